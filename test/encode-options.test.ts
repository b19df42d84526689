// Options of `encode` that show the tower a picture more than once.

import { beforeAll, describe, expect, it } from "vitest";
import { GroupViT, type Picture } from "../src/index.js";
import { Random } from "../src/random.js";
import { refineMap } from "../src/segment/refine.js";
import { saveRandomModel } from "./support/cli.js";
import { temporaryFolder } from "./support/temporary.js";

const folder = await temporaryFolder();
let model: GroupViT;
beforeAll(async () => {
  model = await GroupViT.load(await saveRandomModel(`${folder}/model`), { threads: 1 });
}, 120_000);

const LABELS = ["sky", "grass", "tree", "house"];

function blocks(width: number, height: number, seed: number): Picture {
  const random = new Random(seed);
  const colours = Array.from({ length: 64 }, () => random.integer(256));
  const data = Uint8Array.from({ length: width * height * 3 }, (_, i) => {
    const [x, y] = [Math.floor(i / 3) % width, Math.floor(i / 3 / width)];
    return colours[(3 * (Math.floor(x / 16) + 5 * Math.floor(y / 16)) + (i % 3)) % 64]!;
  });
  return { width, height, data };
}

function mirrored({ width, height, data }: Picture): Picture {
  const flipped = new Uint8Array(data.length);
  for (let i = 0; i < width * height; i++) {
    const from = 3 * (Math.floor(i / width) * width + (width - 1 - (i % width)));
    flipped.set(data.subarray(from, from + 3), 3 * i);
  }
  return { width, height, data: flipped };
}

const mapOf = async (picture: Picture, options: Parameters<GroupViT["encode"]>[1]) =>
  (await (await model.encode(picture, options)).segment(LABELS)).map;

describe("encode with flip", () => {
  it("treats left and right alike", async () => {
    const scoresOf = async (picture: Picture, flip: boolean) => {
      const encoded = await model.encode(picture, { shortSide: 64, flip });
      return (await encoded.segment(LABELS, { pixelScores: true })).pixelScores!;
    };
    const picture = blocks(96, 64, 1);
    const largest = async (flip: boolean) => {
      const [one, two] = [await scoresOf(picture, flip), await scoresOf(mirrored(picture), flip)];
      return one.reduce((most, score, i) => {
        const back = Math.floor(i / 96) * 96 + (95 - (i % 96));
        return Math.max(most, Math.abs(score - two[back]!));
      }, 0);
    };
    expect(await largest(true)).toBeLessThan(1e-5);
    expect(await largest(false)).toBeGreaterThan(1e-3);
  });

  it("shows twice the windows, each over the same place", async () => {
    const { windows } = await model.encode(blocks(80, 64, 2), { shortSide: 64, flip: true });
    expect(windows.map(({ window }) => window)).toEqual([
      { x0: 0, y0: 0, x1: 80, y1: 64 },
      { x0: 0, y0: 0, x1: 80, y1: 64 },
    ]);
  });
});

describe("encode with scales", () => {
  it("of 1 alone is encode without", async () => {
    const picture = blocks(90, 70, 3);
    expect(await mapOf(picture, { shortSide: 64, scales: [1] })).toEqual(
      await mapOf(picture, { shortSide: 64 }),
    );
  });

  it("encodes the same windows at other sizes", async () => {
    const { windows } = await model.encode(blocks(128, 64, 4), {
      shortSide: 64,
      mode: "slide",
      scales: [1, 2],
    });
    const [one, two] = [windows.slice(0, windows.length / 2), windows.slice(windows.length / 2)];
    expect(two.map(({ window }) => window)).toEqual(one.map(({ window }) => window));
    for (const { encoding } of one) expect([encoding.rows, encoding.columns]).toEqual([4, 4]);
    for (const { encoding } of two) expect([encoding.rows, encoding.columns]).toEqual([8, 8]);
  });

  it.each([[[]], [[0]], [[Number.NaN]], [[1000]], [new Array(17).fill(1)]])(
    "refuses %j",
    async (scales) => {
      await expect(model.encode(blocks(64, 64, 5), { shortSide: 64, scales })).rejects.toThrow(
        /scales: .* must give/,
      );
    },
  );
});

describe("encode with zoom", () => {
  it("gives every piece one label, and groups as without", async () => {
    const picture = blocks(96, 80, 6);
    const plain = await model.encode(picture, { shortSide: 80 });
    const zoomed = await model.encode(picture, { shortSide: 80, zoom: true });
    expect(zoomed.groups()).toEqual(plain.groups());
    const { map } = await zoomed.segment(LABELS, { topK: 1 });
    const { pieces, seen } = zoomed.zoomed!;
    expect(seen).toContain(1);
    const labels = pieces.pieces.map(() => new Set<number>());
    for (const [i, piece] of pieces.map.entries()) labels[piece]!.add(map[i]!);
    for (const found of labels) expect(found.size).toBe(1);
    // Seen from near, pieces take other labels than the one nearest to the picture.
    expect(new Set(map).size).toBeGreaterThan(
      new Set((await plain.segment(LABELS, { topK: 1 })).map).size,
    );
  });

  it.each([{ mode: "slide" }, { flip: true }, { scales: [1, 2] }, { scales: [2] }] as const)(
    "refuses %j, which has more than one window",
    async (options) => {
      await expect(
        model.encode(blocks(64, 64, 5), { shortSide: 64, zoom: true, ...options }),
      ).rejects.toThrow(/zoom: it takes one window/);
    },
  );

  it("refuses hard maps, and to be explained", async () => {
    const zoomed = await model.encode(blocks(64, 64, 5), { shortSide: 64, zoom: true });
    await expect(zoomed.segment(LABELS, { assignment: "hard" })).rejects.toThrow(/soft maps/);
    await expect(zoomed.explain(LABELS)).rejects.toThrow(/without zoom/);
  });

  it("can be stopped", async () => {
    const signal = AbortSignal.abort(new Error("enough"));
    await expect(model.encode(blocks(64, 64, 5), { zoom: true, signal })).rejects.toThrow("enough");
  });
});

describe("segment with refine", () => {
  it("gives the map fitted to the picture's edges, and the areas of that map", async () => {
    const picture = blocks(96, 80, 7);
    const encoded = await model.encode(picture);
    const { pixelScores } = await encoded.segment(LABELS, { pixelScores: true });
    const median = pixelScores!.slice().sort()[pixelScores!.length >> 1]!;
    const options = { background: "threshold", threshold: median } as const;
    const plain = await encoded.segment(LABELS, options);
    const refined = await encoded.segment(LABELS, { ...options, refine: true });
    expect(refined.map).toEqual(refineMap(picture, plain.map));
    expect(refined.map).not.toEqual(plain.map);
    const counts = new Uint32Array(LABELS.length);
    for (const value of refined.map) if (value > 0) counts[value - 1]!++;
    expect(refined.areas).toEqual(counts);
    expect(refined.scores).toEqual(plain.scores);
  });
});
