import { mkdir, mkdtemp, rm, symlink, unlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import sharp from "sharp";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { InputError } from "../../errors.js";
import { vocPalette } from "../../output/palette.js";
import { encodeLabelPng } from "../../output/png.js";
import type { ClassificationSet, SegmentationSet } from "../dataset.js";
import { checkDataset } from "./check.js";
import { readMask } from "./masks.js";
import { openDataset, scenesSingles } from "./open.js";

const [WIDTH, HEIGHT] = [3, 2];

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "datasets-check-"));
  await put("classes.txt", "background\ncat\ndog\n");
  for (const name of ["a", "b"]) {
    await put(`images/${name}.jpg`, await picture().jpeg().toBuffer());
    await put(`masks/${name}.png`, mask());
  }
});
afterEach(() => rm(root, { recursive: true }));

async function put(path: string, content: string | Uint8Array): Promise<void> {
  const file = join(root, path);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, content);
}

function picture(width = WIDTH, height = HEIGHT) {
  return sharp({ create: { width, height, channels: 3, background: "#369" } });
}

/** An indexed mask; by default of the picture's size. */
function mask(values = [0, 1, 2, 255, 1, 0], width = WIDTH): Uint8Array {
  const map = Uint8Array.from(values);
  return encodeLabelPng({ width, height: values.length / width, map }, vocPalette());
}

/** An RGB PNG of three bytes a pixel. */
function rgb(...values: number[]) {
  const raw = { width: WIDTH, height: HEIGHT, channels: 3 as const };
  return sharp(Buffer.from(values), { raw }).png();
}

const open = () => openDataset("folder", root);
const check = async () => checkDataset(await open());

async function fault(work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(InputError);
  return (error as Error).message;
}

describe("checking a data set with masks", () => {
  it("passes what is whole, and reports its progress", async () => {
    for (let i = 0; i < 20; i++) {
      await put(`images/c${i}.png`, await picture().png().toBuffer());
      await put(`masks/c${i}.png`, mask());
    }
    const done: string[] = [];
    await checkDataset(await open(), { onProgress: (n, total) => done.push(`${n}/${total}`) });
    // Files first, in parts, then the values of each mask.
    expect(done.slice(0, 3)).toEqual(["16/44", "22/44", "23/44"]);
    expect(done.at(-1)).toBe("44/44");
  });

  it("names a value without a class, though only the last mask has it", async () => {
    for (let i = 0; i < 20; i++) {
      await put(`images/c${i}.png`, await picture().png().toBuffer());
      await put(`masks/c${i}.png`, mask(i === 19 ? [0, 1, 2, 0, 3, 0] : undefined));
    }
    const set = await open();
    const last = { ...set, samples: [...set.samples].sort((a) => (a.name === "c19" ? 1 : -1)) };
    expect(await fault(checkDataset(last))).toMatch(
      /masks\/c19\.png: value 3 at x 1, y 1 has no class; values are 0 background, 1 cat, 2 dog/,
    );
  });

  it.each<[string, string, () => Promise<Uint8Array | string> | Uint8Array | string, RegExp]>([
    ["an empty picture", "images/b.jpg", () => "", /images\/b\.jpg: empty \(0 bytes\)/],
    [
      "a page instead of a picture",
      "images/b.jpg",
      () => "<html>",
      /b\.jpg: HTML is not supported/,
    ],
    [
      "a picture that is cut short",
      "images/b.jpg",
      async () => (await picture().jpeg().toBuffer()).subarray(0, 40),
      /images\/b\.jpg: damaged or cut short/,
    ],
    [
      "a picture of another size",
      "images/b.jpg",
      () => picture(3, 3).jpeg().toBuffer(),
      /masks\/b\.png: the mask is 3 x 2 pixels, its picture .*b\.jpg 3 x 3; give a mask of the pic/,
    ],
    [
      "a picture that its EXIF orientation turns",
      "images/b.jpg",
      () => picture().withMetadata({ orientation: 6 }).jpeg().toBuffer(),
      /the mask is 3 x 2 pixels, its picture .* 2 x 3; the picture's EXIF orientation turns it/,
    ],
    [
      "a JPEG as mask",
      "masks/b.png",
      () => picture().jpeg().toBuffer(),
      /masks\/b\.png: a JPEG cannot be a mask, since compression changes label values.*as PNG/,
    ],
    ["another file as mask", "masks/b.png", () => "text", /it is no PNG file; save the mask as/],
    [
      "a mask that ends in its header",
      "masks/b.png",
      () => mask().subarray(0, 30),
      /masks\/b\.png: it is no PNG file/,
    ],
    [
      "an RGB mask among indexed ones",
      "masks/b.png",
      () => picture().png().toBuffer(),
      /masks\/b\.png: it is an RGB picture, but this set's masks hold class values/,
    ],
    [
      "an interlaced mask",
      "masks/b.png",
      () => picture().toColourspace("b-w").png({ progressive: true }).toBuffer(),
      /it is interlaced; save the PNG without/,
    ],
    [
      "a grey mask with alpha",
      "masks/b.png",
      () => picture().toColourspace("b-w").ensureAlpha().png().toBuffer(),
      /it has an alpha channel; save the mask without/,
    ],
    [
      "a mask that claims a gigantic size",
      "masks/b.png",
      () => {
        const bytes = mask();
        new DataView(bytes.buffer).setUint32(16, 2 ** 31);
        return bytes;
      },
      /2147483648 x 2 is no size of a mask/,
    ],
  ])("names %s", async (_, path, content, message) => {
    await put(path, await content());
    expect(await fault(check())).toMatch(message);
  });

  it("an upright mask fits a picture that its EXIF orientation turns", async () => {
    await put("images/b.jpg", await picture().withMetadata({ orientation: 6 }).jpeg().toBuffer());
    await put("masks/b.png", mask([0, 1, 2, 255, 1, 0], 2));
    await check();
  });

  it("names the first missing file, and a JPEG that stands for a mask", async () => {
    await unlink(join(root, "masks/b.png"));
    expect(await fault(check())).toMatch(
      /b\.png: the mask of "b" is missing; add it, or leave it out/,
    );
    await put("masks/b.jpg", await picture().jpeg().toBuffer());
    expect(await fault(check())).toMatch(/masks\/b\.jpg: a JPEG cannot be a mask/);
    await put("ImageSets/Segmentation/val.txt", "b\nc\na\nd\n");
    await put("masks/b.png", mask());
    await unlink(join(root, "masks/b.jpg"));
    expect(await fault(check())).toMatch(/images\/c\.jpg: the picture of "c" is missing.*"val"/);
  });

  it("refuses links and folders in place of files", async () => {
    const secret = await mkdtemp(join(tmpdir(), "datasets-secret-"));
    try {
      await writeFile(join(secret, "b.jpg"), await picture().jpeg().toBuffer());
      await unlink(join(root, "images/b.jpg"));
      await symlink(join(secret, "b.jpg"), join(root, "images/b.jpg"));
      expect(await fault(check())).toMatch(/b\.jpg: it is a link that leads out of the data set/);
      await unlink(join(root, "images/b.jpg"));
      await symlink(join(root, "images/a.jpg"), join(root, "images/b.jpg"));
      await check();
    } finally {
      await rm(secret, { recursive: true });
    }
    await put("ImageSets/Segmentation/val.txt", "a\nc\n");
    await mkdir(join(root, "images/c.jpg"));
    expect(await fault(check())).toMatch(/images\/c\.jpg: it is no regular file/);
  });

  it("stops for its signal and refuses an empty set", async () => {
    const set = await open();
    const reason = new Error("enough");
    await expect(checkDataset(set, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    const empty: SegmentationSet = { ...set, samples: [] };
    expect(await fault(checkDataset(empty))).toMatch(/data set folder: the split "all" is empty/);
  });
});

describe("checking a data set with classes", () => {
  it("looks at every picture", async () => {
    await put("single/a.png", await picture().png().toBuffer());
    await put("single.csv", "file,class,tier\nsingle/a.png,cat,photo\n");
    await checkDataset(await scenesSingles(root));
    await put("single/a.png", "%PDF-1.4");
    expect(await fault(checkDataset(await scenesSingles(root)))).toMatch(/PDF is not supported/);
    await unlink(join(root, "single/a.png"));
    expect(await fault(checkDataset(await scenesSingles(root)))).toMatch(
      /picture of .* is missing/,
    );
  });

  it("and at what stands in tar shards", async () => {
    const jpeg = await picture().jpeg().toBuffer();
    await put("x.tar", Buffer.concat([Buffer.alloc(512), jpeg]));
    const set = (offset: number, length: number): ClassificationSet => ({
      kind: "classification",
      name: "imagenet",
      root,
      split: "val",
      classes: ["cat"],
      samples: [{ name: "x/1", picture: { shard: "x.tar", offset, length }, label: 0 }],
    });
    await checkDataset(set(512, jpeg.length));
    expect(await fault(checkDataset(set(512, jpeg.length + 1)))).toMatch(
      /x\.tar: it ends within "x/,
    );
    expect(await fault(checkDataset(set(0, 300)))).toMatch(/x\.tar, x\/1: not a picture/);
  });
});

describe("reading masks", () => {
  const set = {
    classes: ["cat", "dog"],
    background: true,
    coding: { kind: "values" },
  } as const satisfies Pick<SegmentationSet, "classes" | "background" | "coding">;
  const read = (from: Pick<SegmentationSet, "classes" | "background" | "coding"> = set) =>
    readMask(from, { mask: join(root, "masks/a.png") });

  it("indices and grey values as stored", async () => {
    expect(await read()).toEqual({
      width: 3,
      height: 2,
      map: Uint8Array.of(0, 1, 2, 255, 1, 0),
    });
    const raw = { width: 3, height: 2, channels: 1 as const };
    const grey = sharp(Buffer.from([2, 2, 1, 0, 0, 255]), { raw }).toColourspace("b-w");
    await put("masks/a.png", await grey.png().toBuffer());
    expect((await read()).map).toEqual(Uint8Array.of(2, 2, 1, 0, 0, 255));
  });

  it("through a table", async () => {
    const table = new Array<number>(256).fill(0);
    [table[1], table[2], table[255]] = [2, 255, 1];
    const mapped = await read({ ...set, coding: { kind: "values", table } });
    expect(mapped.map).toEqual(Uint8Array.of(0, 2, 255, 1, 2, 0));
  });

  it("colours of the VOC palette", async () => {
    // 0 black, 1 (128, 0, 0), 2 (0, 128, 0), 255 (224, 224, 192).
    const colours = [0, 0, 0, 128, 0, 0, 0, 128, 0, 224, 224, 192, 128, 0, 0, 0, 0, 0];
    await put("masks/a.png", await rgb(...colours).toBuffer());
    const coloured = { ...set, coding: { kind: "colours" } } as const;
    const expected = Uint8Array.of(0, 1, 2, 255, 1, 0);
    expect(await read(coloured)).toEqual({ width: 3, height: 2, map: expected });
    await put(
      "masks/a.png",
      await rgb(...colours)
        .ensureAlpha(1)
        .png()
        .toBuffer(),
    );
    expect((await read(coloured)).map).toEqual(expected);
    await put("masks/a.png", await rgb(...colours.with(9, 225)).toBuffer());
    expect(await fault(read(coloured))).toMatch(
      /masks\/a\.png: the colour \(225, 224, 192\) at x 0, y 1 is not in the palette/,
    );
    await put("masks/a.png", await rgb(...colours.with(12, 64)).toBuffer());
    expect(await fault(read(coloured))).toMatch(/value 8 at x 1, y 1 has no class/);
    await put("masks/a.png", mask());
    expect(await fault(read(coloured))).toMatch(
      /it holds values, but the set's first mask colours/,
    );
    await put(
      "masks/a.png",
      await rgb(...colours)
        .toColourspace("rgb16")
        .png()
        .toBuffer(),
    );
    expect(await fault(read(coloured))).toMatch(/16 bits a colour; save the mask with 8/);
    const broken = (await rgb(...colours).toBuffer()).subarray(0, 60);
    await put("masks/a.png", broken);
    expect(await fault(read(coloured))).toMatch(/masks\/a\.png: it is damaged/);
  });

  it("names value, place and classes where there is no class", async () => {
    await put("masks/a.png", mask([0, 1, 2, 0, 3, 0]));
    expect(await fault(read())).toMatch(
      /a\.png: value 3 at x 1, y 1 has no class; values are 0 background, 1 cat, 2 dog, and 255/,
    );
    const classes = Array.from({ length: 20 }, (_, i) => `class ${i + 1}`);
    await put("masks/a.png", mask([0, 1, 2, 0, 0, 21]));
    expect(await fault(read({ ...set, classes }))).toMatch(
      /value 21 at x 2, y 1 has .*values are 0 background, 1 class 1, .*4 class 4, \.\.\. 20 class 20/,
    );
    await put("masks/a.png", mask([0, 1, 1, 0, 2, 0]));
    expect(await fault(read({ ...set, background: false }))).toMatch(
      /value 2 .* 0 cat, 1 dog, and/,
    );
    const raw = { width: 3, height: 2, channels: 1 as const };
    const deep = sharp(Uint16Array.of(0, 1, 258, 0, 0, 0), { raw }).toColourspace("grey16");
    await put("masks/a.png", await deep.png().toBuffer());
    expect(await fault(read())).toMatch(/value 258 at x 2, y 0 has no class/);
  });

  it("names the file where it is damaged or missing", async () => {
    await put("masks/a.png", mask().subarray(0, -20));
    expect(await fault(read())).toMatch(/masks\/a\.png: PNG .*cut off/);
    await unlink(join(root, "masks/a.png"));
    expect(await fault(read())).toMatch(/masks\/a\.png: it does not exist/);
  });
});
