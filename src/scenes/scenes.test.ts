import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { unpackTar } from "modern-tar";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CLASS_NAMES } from "./classes.js";
import { type Catalogue, makeCatalogue, sceneAt } from "./compose.js";
import {
  attributionText,
  buildCutouts,
  type Cutouts,
  fillEnclosed,
  isBuilt,
  loadCutouts,
  readAttributions,
} from "./cutouts.js";
import { writeEvaluation } from "./evaluation.js";
import { colourMap, paintColour, place } from "./paint.js";
import { generateShards } from "./shards.js";
import { HELD_OUT_STYLES, type Source, type Sources, type Split, type Style } from "./sources.js";

const folder = mkdtempSync(join(tmpdir(), "scenes-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function drawing(noun: string, set: string, style: Style, split: Split, shape: string): Source {
  return {
    id: `${set}/${noun}-${shape.length}`,
    set,
    style,
    split,
    noun,
    person: false,
    colour: style !== "icon",
    licence: "CC0-1.0",
    body: {
      svg: `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100" width="100" height="100">${shape}</svg>`,
    },
  };
}

const RED_DISC = '<circle cx="50" cy="50" r="40" fill="#d01020"/>';
const BLUE_RING =
  '<circle cx="50" cy="50" r="30" fill="none" stroke="#1030d0" stroke-width="12"/><path d="M45 0h10v20h-10z" fill="#1030d0"/>';
const OUTLINE = '<path d="M20 20h60l-10 60h-40z" fill="none" stroke="#000" stroke-width="6"/>';
const GREEN_DROP = '<path d="M50 5 85 70a35 25 0 0 1-70 0z" fill="#20a040"/>';
const YELLOW_WEDGE = '<path d="M10 90 50 10 90 90z" fill="#f0e020"/>';

/** 32 x 32 photographs, one a row: red left of blue, and green. */
const SHEET = join(folder, "sheet.png");
async function writeSheet(): Promise<void> {
  const pixels = Buffer.alloc(2 * 32 * 32 * 3);
  for (let i = 0; i < 32 * 32; i++) {
    pixels[3 * i + (i % 32 < 16 ? 0 : 2)] = 255;
    pixels[3 * (32 * 32 + i) + 1] = 255;
  }
  await sharp(pixels, { raw: { width: 32 * 32, height: 2, channels: 3 } })
    .png()
    .toFile(SHEET);
}

/** Three classes and another noun for training; two classes, one of them a copy, held out. */
const SOURCES: Sources = {
  cutouts: [
    drawing("apple", "one", "emoji", "train", RED_DISC),
    drawing("dog", "one", "emoji", "train", BLUE_RING),
    drawing("bucket", "two", "icon", "train", OUTLINE),
    drawing("bucket", "one", "emoji", "train", GREEN_DROP),
    drawing("gadget", "one", "emoji", "train", YELLOW_WEDGE),
    drawing("cat", "one", "emoji", "train", '<path d="M5 5h90v40h-50v50h-40z" fill="#802090"/>'),
    drawing("apple", "openmoji", "emoji", "held-out", GREEN_DROP),
    drawing("dog", "openmoji", "emoji", "held-out", YELLOW_WEDGE),
  ],
  backgrounds: [],
  photographs: [0, 1].map((row) => ({
    id: `photos/${row}`,
    set: "two",
    noun: ["dog", "ferret"][row]!,
    licence: "MIT",
    body: { sheet: SHEET, row },
  })),
  attributions: [
    { set: "one", title: "One", author: "A", url: "u", licence: "CC0-1.0" },
    { set: "two", title: "Two", author: "B", url: "v", licence: "MIT" },
    { set: "openmoji", title: "Open", author: "C", url: "w", licence: "CC-BY-SA-4.0" },
  ],
};

let train: Cutouts;
let heldOut: Cutouts;
let catalogue: Catalogue;
beforeAll(async () => {
  await writeSheet();
  await buildCutouts(SOURCES, join(folder, "cutouts"));
  train = loadCutouts(join(folder, "cutouts"), "train");
  heldOut = loadCutouts(join(folder, "cutouts"), "held-out");
  catalogue = makeCatalogue(train);
});

describe("cut-outs", () => {
  it("leave out of training whatever looks exactly like a held-out one", () => {
    // The green drop and the yellow wedge are held out, under other nouns.
    expect(train.entries.map(({ id }) => id.split("-")[0]).sort()).toEqual([
      "one/apple",
      "one/cat",
      "one/dog",
      "photos/0",
      "photos/1",
      "two/bucket",
    ]);
    const held = new Set(heldOut.entries.map(({ contentHash }) => contentHash));
    expect(held.size).toBe(2);
    expect(train.entries.filter(({ contentHash }) => held.has(contentHash))).toEqual([]);
  });

  it("are cropped to what is visible and kept with copies of half the size", () => {
    const apple = train.entries.find(({ noun }) => noun === "apple")!;
    const [first, second] = apple.levels;
    expect(Math.abs(first!.width - first!.height)).toBeLessThanOrEqual(1);
    expect(first!.width).toBeGreaterThan(140);
    expect(second!.width).toBe((first!.width + 1) >> 1);
  });

  it("name who made what training sees, and no one else", () => {
    const attributions = readAttributions(join(folder, "cutouts"));
    expect(attributions.map(({ set }) => set)).toEqual(["one", "two"]);
    expect(readFileSync(join(folder, "cutouts", "ATTRIBUTIONS.md"), "utf8")).toBe(
      attributionText(attributions),
    );
  });

  it("go on from chunks that exist and forget those that nobody uses", async () => {
    const before = readdirSync(join(folder, "cutouts")).sort();
    writeFileSync(join(folder, "cutouts", "cutouts-0123456789abcdef.bin"), "old");
    await buildCutouts(SOURCES, join(folder, "cutouts"));
    expect(readdirSync(join(folder, "cutouts")).sort()).toEqual(before);
  });

  it("are known to be built, or to be those of another version", async () => {
    const other = join(folder, "other-version");
    expect(isBuilt(other)).toBe(false);
    await buildCutouts(
      { ...SOURCES, cutouts: SOURCES.cutouts.slice(0, 1), photographs: [] },
      other,
    );
    expect(isBuilt(other)).toBe(true);
    const file = join(other, "cutouts.json");
    writeFileSync(file, readFileSync(file, "utf8").replace(/"format":\d+/, '"format":1'));
    expect(isBuilt(other)).toBe(false);
    expect(() => loadCutouts(other, "train")).toThrow(
      /format 1, not \d+; build the cut-outs again/,
    );
  });

  it("on paper lose the paper around them, not the white that lines enclose", async () => {
    const card = join(folder, "card.png");
    const ring = '<circle cx="50" cy="50" r="30" fill="#fff" stroke="#112233" stroke-width="8"/>';
    await sharp(
      Buffer.from(`<svg xmlns="http://www.w3.org/2000/svg" width="100" height="100">${ring}</svg>`),
    )
      .flatten({ background: "#fefdfe" })
      .png()
      .toFile(card);
    const built = join(folder, "paper");
    const base = SOURCES.cutouts[0]!;
    await buildCutouts(
      { ...SOURCES, cutouts: [{ ...base, body: { file: card, paper: true } }], photographs: [] },
      built,
    );
    const { entries, chunks } = loadCutouts(built, "train");
    const { width, height, offset } = entries[0]!.levels[0]!;
    expect([width, height].every((side) => Math.abs(side - 68) <= 1)).toBe(true);
    const pixels = new Uint8Array(chunks[entries[0]!.chunk]!);
    const at = (x: number, y: number) => {
      const i = offset + ((y + 1) * (width + 2) + x + 1) * 4;
      return [...pixels.subarray(i, i + 4)];
    };
    expect(at(1, 1)).toEqual([0, 0, 0, 0]);
    expect(at(width >> 1, height >> 1)).toEqual([255, 255, 255, 255]);
    expect(at(width >> 1, 3)).toEqual([0x11, 0x22, 0x33, 255]);
  });

  it("say what to do where there are none", () => {
    expect(() => loadCutouts(join(folder, "nowhere"), "train")).toThrow(
      /holds no cut-outs; groupvit data scenes builds them/,
    );
  });

  it("fill what an outline encloses", () => {
    const ring = new Uint8Array(25);
    for (const i of [6, 7, 8, 11, 13, 16, 17, 18]) ring[i] = 255;
    const filled = fillEnclosed(ring, 5, 5);
    expect(filled[12]).toBe(255);
    expect(filled[0]).toBe(0);
  });
});

describe("painting", () => {
  it("at scale 1 and angle 0 copies the pixels", () => {
    const texture = { pixels: new Uint8Array(5 * 5 * 4), width: 3, height: 3 };
    for (let y = 0; y < 3; y++) {
      for (let x = 0; x < 3; x++)
        texture.pixels.set([10 * x, 20 * y, 99, 255], 4 * ((y + 1) * 5 + x + 1));
    }
    const canvas = { size: 7, pixels: new Float32Array(147), owner: new Uint8Array(49) };
    const { affine, bounds } = place(7, texture, 3.5, 3.5, 1, 1, 0);
    paintColour(canvas, texture, affine, bounds, colourMap(0, 1, 1, 0), 4);
    for (let y = 0; y < 7; y++) {
      for (let x = 0; x < 7; x++) {
        const inside = x >= 2 && x < 5 && y >= 2 && y < 5;
        expect(canvas.owner[y * 7 + x]).toBe(inside ? 4 : 0);
        const pixel = [...canvas.pixels.subarray(3 * (y * 7 + x), 3 * (y * 7 + x) + 3)];
        expect(pixel.map(Math.round)).toEqual(
          inside ? [10 * (x - 2), 20 * (y - 2), 99] : [0, 0, 0],
        );
      }
    }
  });

  it("turns hues without touching greys", () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 7, noNaN: true }), (hue) => {
        const { matrix } = colourMap(hue, 1, 1, 0);
        for (let row = 0; row < 3; row++) {
          const sum = matrix[3 * row]! + matrix[3 * row + 1]! + matrix[3 * row + 2]!;
          expect(sum).toBeCloseTo(1, 1);
        }
      }),
      { seed: 2 },
    );
  });
});

describe("scenes", () => {
  it("depend on seed and number alone", () => {
    const options = { size: 64, difficulty: 0.7 };
    const first = sceneAt("seed", 5, catalogue, options);
    sceneAt("seed", 6, catalogue, options);
    expect(sceneAt("seed", 5, makeCatalogue(train), options)).toEqual(first);
    expect(sceneAt("other", 5, catalogue, options).picture).not.toEqual(first.picture);
  });

  it("differ from one number to the next", () => {
    const captions = new Set<string>();
    for (let index = 0; index < 50; index++) {
      captions.add(sceneAt(1, index, catalogue, { size: 32, difficulty: 0.8 }).caption);
    }
    expect(captions.size).toBeGreaterThan(25);
  });

  it("reject sizes and difficulties out of range, and empty catalogues", () => {
    expect(() => sceneAt(1, 0, catalogue, { size: 16, difficulty: 0 })).toThrow(/scene size 16/);
    expect(() => sceneAt(1, 0, catalogue, { size: 64, difficulty: 2 })).toThrow(/difficulty 2/);
    expect(() => sceneAt(1, 0, catalogue, { size: 64, difficulty: 0, distorted: 1.5 })).toThrow(
      /distorted scenes 1.5 must lie between 0 and 1/,
    );
    const empty = makeCatalogue({ entries: [], chunks: [] });
    expect(() => sceneAt(1, 0, empty, { size: 64, difficulty: 0 })).toThrow(/no cut-out/);
  });

  it("are photographs as often as asked, which are named and nowhere masked", () => {
    expect(() => sceneAt(1, 0, catalogue, { size: 64, difficulty: 0, photographs: 2 })).toThrow(
      /photographs 2 must lie between 0 and 1/,
    );
    const options = { size: 64, difficulty: 0.5, distorted: 0 };
    let photographs = 0;
    for (let index = 0; index < 200; index++) {
      const scene = sceneAt("photo", index, catalogue, { ...options, photographs: 0.3 });
      if (scene.mask[0] !== 255) continue;
      photographs++;
      expect(new Set(scene.mask)).toEqual(new Set([255]));
      const [object] = scene.objects;
      expect(scene.objects.length).toBe(1);
      expect(["dog", "ferret"]).toContain(object!.noun);
      expect(scene.nouns).toEqual([object!.noun]);
      expect(scene.caption).toContain(object!.noun);
      expect(scene.caption).not.toMatch(/drawing|icon|cartoon|clip art/);
    }
    expect(photographs).toBeGreaterThan(35);
    expect(photographs).toBeLessThan(90);
    // A share of 0 is what it was before there were photographs.
    expect(sceneAt("photo", 3, catalogue, { ...options, photographs: 0 })).toEqual(
      sceneAt("photo", 3, catalogue, options),
    );
  });

  it("show what the photograph shows, whole or in a frame", () => {
    const only = makeCatalogue({
      ...train,
      entries: train.entries.filter(({ id }) => id !== "photos/0"),
    });
    let whole = 0;
    for (let index = 0; index < 40; index++) {
      const { picture, objects } = sceneAt("green", index, only, {
        size: 48,
        difficulty: 0,
        photographs: 1,
      });
      const [left, top, width, height] = objects[0]!.box;
      if (width === 48) whole++;
      const centre = 3 * ((top + (height >> 1)) * 48 + left + (width >> 1));
      const [red, green, blue] = picture.data.subarray(centre, centre + 3);
      expect(green! + 25).toBeGreaterThan(red!);
      expect(green! + 25).toBeGreaterThan(blue!);
    }
    expect(whole).toBeGreaterThan(8);
    expect(whole).toBeLessThan(32);
  });

  it("name what they show, and nothing is masked that is not named or drawn", () => {
    fc.assert(
      fc.property(fc.nat(100000), fc.constantFrom(0, 0.5, 1), (index, difficulty) => {
        const scene = sceneAt("named", index, catalogue, { size: 64, difficulty });
        expect(scene.objects.length).toBeGreaterThan(0);
        for (const { noun } of scene.objects) expect(scene.caption).toContain(noun.slice(0, -1));
        for (const { noun } of scene.objects) expect(scene.nouns).toContain(noun);
        expect(new Set(scene.nouns).size).toBe(scene.nouns.length);
        expect(scene.caption).not.toMatch(
          / {2}|undefined|null|\ba [aeio]|\ban [bcdfgjklmnpqrstvwyz]/,
        );
        // No cut-out here is a photograph.
        expect(scene.caption).not.toContain("photo");
        const known = new Set(train.entries.map(({ classIndex }) => classIndex));
        for (const value of new Set(scene.mask)) expect(value === 0 || known.has(value)).toBe(true);
      }),
      { seed: 3, numRuns: 300 },
    );
  });

  it("of difficulty 0 hold one object, of difficulty 1 often more", () => {
    let most = 0;
    for (let index = 0; index < 100; index++) {
      expect(sceneAt(1, index, catalogue, { size: 48, difficulty: 0 }).objects).toHaveLength(1);
      most = Math.max(
        most,
        sceneAt(1, index, catalogue, { size: 48, difficulty: 1 }).objects.length,
      );
    }
    expect(most).toBe(4);
  });

  it("tell colours that are there", () => {
    const apple = makeCatalogue({
      entries: train.entries.filter(({ noun }) => noun === "apple"),
      chunks: train.chunks,
    });
    for (let index = 0; index < 60; index++) {
      const scene = sceneAt("colour", index, apple, { size: 64, difficulty: 0, distorted: 0 });
      expect(scene.objects[0]!.colour).toBe("red");
      expect(scene.caption).not.toMatch(/(blue|green|yellow|black|white) apple/);
    }
  });

  it("distort as many scenes as asked for, whatever their difficulty", () => {
    const apple = makeCatalogue({
      entries: train.entries.filter(({ noun }) => noun === "apple"),
      chunks: train.chunks,
    });
    // The apple is a red disc: recoloured, it is often of another colour.
    const red = (distorted: number) => {
      let count = 0;
      for (let index = 0; index < 100; index++) {
        const scene = sceneAt("distort", index, apple, { size: 64, difficulty: 0, distorted });
        count += scene.objects[0]!.colour === "red" ? 1 : 0;
      }
      return count;
    };
    const [none, half, all] = [red(0), red(0.5), red(1)];
    expect(none).toBe(100);
    expect(half).toBeLessThan(none - 5);
    expect(all).toBeLessThan(half - 5);
  });

  it("mask exactly the object that is drawn", () => {
    const apple = makeCatalogue({
      entries: train.entries.filter(({ noun }) => noun === "apple"),
      chunks: train.chunks,
    });
    const scene = sceneAt("mask", 1, apple, { size: 96, difficulty: 0, distorted: 0 });
    const [, , width, height] = scene.objects[0]!.box;
    let area = 0;
    for (const value of scene.mask) area += value === CLASS_NAMES.indexOf("apple") ? 1 : 0;
    // A disc fills pi / 4 of its box.
    expect(area / (width * height)).toBeCloseTo(Math.PI / 4, 1);
  });
});

describe("evaluation", () => {
  it("is a VOC folder whose masks are palette indices", async () => {
    const target = join(folder, "evaluation");
    const summary = await writeEvaluation(heldOut, target, { scenes: 4, size: 64 });
    expect(summary).toEqual({
      classes: ["dog", "apple"],
      scenes: 4,
      singles: { photo: 0, drawing: 0, emoji: 2 },
    });
    expect(readFileSync(join(target, "classes.txt"), "utf8")).toBe("background\ndog\napple\n");
    const names = readFileSync(join(target, "ImageSets/Segmentation/val.txt"), "utf8")
      .trim()
      .split("\n");
    expect(names).toEqual(["emoji_0000", "emoji_0001", "emoji_0002", "emoji_0003"]);
    for (const name of names) {
      const png = readFileSync(join(target, "SegmentationClass", `${name}.png`));
      expect([png[24], png[25]]).toEqual([8, 3]); // 8 bits, indexed
      const picture = await sharp(join(target, "JPEGImages", `${name}.png`)).metadata();
      expect([picture.width, picture.height]).toEqual([64, 64]);
    }
    expect(readFileSync(join(target, "single.csv"), "utf8")).toMatch(
      /^file,class,tier\nsingle\/emoji_0000\.png,(dog|apple),emoji\n/,
    );
    await expect(writeEvaluation(heldOut, target)).rejects.toThrow(/exists; remove it/);
  });

  it("stays the set that published numbers were measured on", () => {
    // Whoever changes how scenes are composed changes this set too, and with it every number of the bundled
    // model's card: then measure it again (`groupvit eval scenes --card`), and write down here what it is now.
    const own = makeCatalogue(heldOut);
    const scenes = Array.from({ length: 8 }, (_, i) =>
      sceneAt("evaluation/emoji", i, own, { size: 64, difficulty: i / 7, distorted: 0 }),
    );
    const objects = scenes.map(({ mask }) => {
      const share = (value: number) => mask.reduce((sum, own) => sum + (own === value ? 1 : 0), 0);
      const values = [...new Set(mask)].sort((a, b) => a - b);
      // In tens of pixels: how edges are drawn may differ between versions of the rasteriser.
      return values
        .map((value) => `${CLASS_NAMES[value]} ${Math.round(share(value) / 10)}`)
        .join(", ");
    });
    expect(objects).toEqual([
      "background 292, apple 118",
      "background 302, apple 108",
      "background 334, dog 21, apple 55",
      "background 343, dog 67",
      "background 322, dog 40, apple 48",
      "background 267, dog 143",
      "background 356, dog 54",
      "background 318, dog 16, apple 75",
    ]);
  });

  it("refuses cut-outs that training sees", async () => {
    await expect(writeEvaluation(train, join(folder, "wrong"))).rejects.toThrow(
      /belongs to training/,
    );
    expect(existsSync(join(folder, "wrong"))).toBe(false);
  });

  it("leaves nothing behind when it is stopped", async () => {
    const signal = AbortSignal.abort();
    const target = join(folder, "stopped");
    await expect(writeEvaluation(heldOut, target, { signal })).rejects.toThrow();
    expect(readdirSync(folder).filter((name) => name.startsWith("stopped"))).toEqual([]);
  });
});

describe("shards", () => {
  it("hold pictures, captions and nouns, equal for equal seeds, and are not written twice", async () => {
    const options = {
      seed: 9,
      count: 5,
      perShard: 3,
      size: 48,
      difficulty: 0.5,
      format: "png" as const,
    };
    const files = await generateShards(catalogue, { ...options, folder: join(folder, "a") });
    expect(files.map((file) => file.slice(-10))).toEqual(["000000.tar", "000001.tar"]);
    const again = await generateShards(catalogue, { ...options, folder: join(folder, "b") });
    for (const [i, file] of files.entries()) {
      expect(readFileSync(file).equals(readFileSync(again[i]!))).toBe(true);
    }
    const entries = await unpackTar(new Uint8Array(readFileSync(files[1]!)));
    expect(entries.map(({ header }) => header.name)).toEqual(
      ["000000003", "000000004"].flatMap((key) => [`${key}.png`, `${key}.txt`, `${key}.json`]),
    );
    const scene = sceneAt(9, 3, catalogue, options);
    expect(new TextDecoder().decode(entries[1]!.data)).toBe(scene.caption);
    const pixels = await sharp(entries[0]!.data).raw().toBuffer();
    expect(pixels.equals(scene.picture.data)).toBe(true);
    // A shard that exists is kept, whatever is in it.
    writeFileSync(files[0]!, "kept");
    await generateShards(catalogue, { ...options, folder: join(folder, "a") });
    expect(readFileSync(files[0]!, "utf8")).toBe("kept");
    // Of other settings, or a longer stream whose last shard here is too short, it would be the wrong one.
    for (const changed of [{ size: 64 }, { count: 6 }]) {
      await expect(
        generateShards(catalogue, { ...options, ...changed, folder: join(folder, "a") }),
      ).rejects.toThrow(/begun with other settings/);
    }
  });
});

/** The real data, where scripts/setup-scenes.mjs and a build have been run. */
const built = ".cache/scenes/cutouts";
describe.skipIf(!existsSync(join(built, "cutouts.json")))("the built cut-outs", () => {
  it("keep the held-out styles and looks out of training", () => {
    const index = JSON.parse(readFileSync(join(built, "cutouts.json"), "utf8")) as {
      entries: Cutouts["entries"];
    };
    const held = index.entries.filter(({ split }) => split === "held-out");
    const hashes = new Set(held.map(({ contentHash }) => contentHash));
    const seen = index.entries.filter(({ split }) => split === "train");
    expect(seen.filter(({ set }) => HELD_OUT_STYLES.has(set))).toEqual([]);
    expect(seen.filter(({ contentHash }) => hashes.has(contentHash))).toEqual([]);
    expect(
      held.every(({ set }) => ["openmoji", "tuxpaint", "mate-backgrounds"].includes(set)),
    ).toBe(true);
    const nouns = new Set(seen.map(({ noun }) => noun));
    expect(CLASS_NAMES.slice(1).filter((name) => !nouns.has(name))).toEqual([]);
  });
});
