import { mkdir, mkdtemp, readdir, readFile, rm, stat, unlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import sharp from "sharp";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { InputError } from "../../errors.js";
import { vocPalette } from "../../output/palette.js";
import { decodeLabelPng, encodeLabelPng } from "../../output/png.js";
import { readReduction } from "./context-masks.js";
import { readMask } from "./masks.js";
import { COCO_CLASSES, CONTEXT_CLASSES } from "./names.js";
import { openDataset } from "./open.js";
import {
  prepareCoco,
  prepareContext,
  prepareDataset,
  prepareImagenet,
  prepareVoc,
} from "./prepare.js";
import { IMAGENET_SYNSETS } from "./synsets.js";

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "datasets-prepare-"));
});
afterEach(() => rm(root, { recursive: true }));

async function put(path: string, content: string | Uint8Array = ""): Promise<void> {
  const file = join(root, path);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, content);
}

function jpeg(width: number, height: number): Promise<Buffer> {
  return sharp({ create: { width, height, channels: 3, background: "#369" } })
    .jpeg()
    .toBuffer();
}

function mask(values: number[], width: number): Uint8Array {
  const map = Uint8Array.from(values);
  return encodeLabelPng({ width, height: values.length / width, map }, vocPalette());
}

async function stored(path: string): Promise<string[]> {
  const { width, map } = await decodeLabelPng(await readFile(join(root, path)));
  const values = Array.from(map, (value) => (value > 9 ? `(${value})` : `${value}`));
  return Array.from({ length: map.length / width }, (_, y) =>
    values.slice(y * width, (y + 1) * width).join(""),
  );
}

async function fault(work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(InputError);
  return (error as Error).message;
}

describe("preparing VOC", () => {
  it("counts the list and checks every file", async () => {
    for (const name of ["1", "2"]) {
      await put(`VOC2012/JPEGImages/${name}.jpg`, await jpeg(2, 1));
      await put(`VOC2012/SegmentationClass/${name}.png`, mask([0, 20], 2));
    }
    await put("VOC2012/ImageSets/Segmentation/val.txt", "1\n2\n");
    const work: string[] = [];
    const report = await prepareVoc(
      root,
      { onProgress: (done, total, what) => work.push(`${what} ${done}/${total}`) },
      2,
    );
    expect(report).toEqual({
      dataset: "voc",
      root: join(root, "VOC2012"),
      split: "val",
      pictures: 2,
      made: 0,
      kept: 0,
      notes: [],
    });
    expect(work).toEqual(["check 2/4", "check 3/4", "check 4/4"]);
    expect(await fault(prepareDataset("voc", root))).toMatch(
      /val\.txt: 2 pictures, the published set has 1449; fetch VOCtrainval_11-May-2012\.tar from/,
    );
    await put("VOCtrainval_11-May-2012.tar", "half of it");
    expect(await fault(prepareDataset("voc", root))).toMatch(/tar is damaged \(MD5 /);
    await unlink(join(root, "VOC2012/SegmentationClass/2.png"));
    expect(await fault(prepareVoc(root, {}, 2))).toMatch(/2\.png: the mask of "2" is missing/);
  });
});

/** A level 5 .mat file with a LabelMap of 16-bit values, down the columns. */
function mat(rows: number, columns: number, values: number[]): Uint8Array {
  const element = (type: number, data: Buffer) => {
    const tag = Buffer.alloc(8);
    tag.writeUInt32LE(type, 0);
    tag.writeUInt32LE(data.length, 4);
    return Buffer.concat([tag, data, Buffer.alloc((8 - (data.length % 8)) % 8)]);
  };
  const words = (...list: number[]) => Buffer.from(Uint32Array.from(list).buffer);
  const header = Buffer.alloc(128, 32);
  header.writeUInt16LE(0x0100, 124);
  header.write("IM", 126);
  const matrix = [
    element(6, words(11, 0)),
    element(5, words(rows, columns)),
    element(1, Buffer.from("LabelMap")),
    element(4, Buffer.from(Uint16Array.from(values).buffer)),
  ];
  return Buffer.concat([header, element(14, Buffer.concat(matrix))]);
}

/**
 * Ids of the 59 classes among the 459 labels, in the order of the classes. They are those by which the
 * conversions in use reduce the annotations.
 */
const CONTEXT_IDS =
  "2 9 18 19 22 23 25 31 33 34 44 45 46 59 65 68 72 80 85 98 104 105 113 115 144 158 159 162 187 189 207 " +
  "220 232 258 259 260 284 295 296 308 324 326 347 349 354 355 360 366 368 397 415 416 420 424 427 440 " +
  "445 454 458";

/** The 459 labels, as far as their names matter here. */
function contextLabels(): string {
  const original: Record<string, string> = { diningtable: "table" };
  const names = new Map<number, string>();
  for (const [i, id] of CONTEXT_IDS.split(" ").entries()) {
    const name = CONTEXT_CLASSES[i]!;
    names.set(Number(id), original[name] ?? name);
  }
  // Near to classes by name, and none of them.
  const others: [number, string][] = [
    [133, "electronic keyboard"],
    [228, "laptop"],
    [293, "plant"],
    [431, "unknown"],
  ];
  for (const [id, name] of others) names.set(id, name);
  const lines = Array.from(
    { length: 459 },
    (_, i) => `${i + 1}: ${names.get(i + 1) ?? `x${i + 1}`}`,
  );
  return `${lines.join("\n")}\n`;
}

describe("preparing Context", () => {
  it("reduces the labels by name to the published ids", async () => {
    await put("labels.txt", contextLabels());
    const table = await readReduction(join(root, "labels.txt"));
    const expected = new Uint8Array(500);
    for (const [i, id] of CONTEXT_IDS.split(" ").entries()) expected[Number(id)] = i + 1;
    expect(table.subarray(0, 500)).toEqual(expected);
    expect(table.subarray(500).every((value) => value === 0)).toBe(true);
    expect(CONTEXT_CLASSES[table[308]! - 1]).toBe("pottedplant");
    await put(
      "spelled.txt",
      contextLabels()
        .replace("aeroplane", "airplane")
        .replace(/: cloth$/m, ": Clothes"),
    );
    const spelled = await readReduction(join(root, "spelled.txt"));
    expect(spelled.subarray(0, 500)).toEqual(expected);
  });

  it.each<[string, (labels: string) => string, RegExp]>([
    ["a missing class", (text) => text.replace(": sky", ": heaven"), /it lacks sky of the 59/],
    ["a class twice", (text) => text.replace(": plant", ": potted plant"), /are the same class/],
    [
      "a line without id",
      (text) => text.replace("4: ", "four "),
      /is no label such as "1: accordion"/,
    ],
    ["an id that is too large", (text) => text.replace("4: ", "99999: "), /99999: .* is no label/],
    ["an empty list", () => "", /it lacks aeroplane, bag, bed, bedclothes, bench of the 59/],
  ])("refuses labels with %s", async (_, change, message) => {
    await put("labels.txt", change(contextLabels()));
    expect(await fault(readReduction(join(root, "labels.txt")))).toMatch(message);
  });

  it("makes list and masks once, and goes on after an interruption", async () => {
    for (const name of ["2008_000001", "2008_000002", "2008_000003"]) {
      await put(`VOC2010/JPEGImages/${name}.jpg`, await jpeg(3, 2));
    }
    await put("VOC2010/ImageSets/Main/val.txt", "2008_000002 -1\n2008_000003  1\n");
    await put("VOC2010/labels.txt", contextLabels());
    // sky, plant (none of the 59), pottedplant / unknown, 0, wood, down the columns.
    await put("VOC2010/trainval/2008_000002.mat", mat(2, 3, [360, 431, 293, 0, 308, 458]));
    await put("VOC2010/trainval/2008_000003.mat", "broken");
    expect(await fault(prepareContext(root, {}, 2))).toMatch(/2008_000003\.mat: too short/);
    const first = join(root, "VOC2010/SegmentationClassContext/2008_000002.png");
    const before = await stat(first);
    await put("VOC2010/trainval/2008_000003.mat", mat(2, 3, [1, 1, 2, 2, 459, 9]));
    const report = await prepareContext(root, {}, 2);
    expect(report).toMatchObject({ dataset: "context", pictures: 2, made: 1, kept: 1, notes: [] });
    expect((await stat(first)).mtimeMs).toBe(before.mtimeMs);
    expect(await stored("VOC2010/SegmentationClassContext/2008_000002.png")).toEqual([
      "(47)0(40)",
      "00(59)",
    ]);
    expect(await stored("VOC2010/SegmentationClassContext/2008_000003.png")).toEqual([
      "010",
      "012",
    ]);
    const set = await openDataset("context", root);
    expect(set.samples.map(({ name }) => name)).toEqual(["2008_000002", "2008_000003"]);
    expect(set.classes[46]).toBe("sky");
    // With all masks there, annotations are not needed any more; a cut-off mask is made again.
    await rm(join(root, "VOC2010/trainval"), { recursive: true });
    expect(await prepareContext(root, {}, 2)).toMatchObject({ made: 0, kept: 2 });
    await writeFile(first, (await readFile(first)).subarray(0, -4));
    expect(await fault(prepareContext(root, {}, 2))).toMatch(/no folder trainval with annotations/);
    expect(await readdir(join(root, "VOC2010/ImageSets/SegmentationContext"))).toEqual(["val.txt"]);
  });

  it("says where the parts come from", async () => {
    expect(await fault(prepareDataset("context", root))).toMatch(
      /fetch VOCtrainval_03-May-2010\.tar from http.*voc2010/,
    );
    await put("JPEGImages/a.jpg", await jpeg(1, 1));
    expect(await fault(prepareContext(root, {}, 1))).toMatch(
      /neither .*SegmentationContext\/val\.txt nor .*Main\/val\.txt exists; fetch VOCtrainval_03/,
    );
    await put("ImageSets/Main/val.txt", "a\n");
    expect(await fault(prepareDataset("context", root))).toMatch(
      /Main\/val\.txt: 1 pictures, the published set has 5105/,
    );
    expect(await fault(prepareContext(root, {}, 1))).toMatch(
      /no folder trainval with annotations \(\.mat\) .*; fetch trainval\.tar\.gz from https.*context/,
    );
    await put("trainval.tar.gz");
    expect(await fault(prepareContext(root, {}, 1))).toMatch(/; unpack .*trainval\.tar\.gz$/);
    await put("trainval/b.mat");
    expect(await fault(prepareContext(root, {}, 1))).toMatch(
      /no labels\.txt beside .*; fetch labels/,
    );
    await put("labels.txt", contextLabels());
    expect(await fault(prepareContext(root, {}, 1))).toMatch(/a\.mat: it does not exist/);
    await put("trainval/a.mat", mat(2, 2, [1, 1, 1, 1]));
    expect(await fault(prepareContext(root, {}, 1))).toMatch(/mask is 2 x 2 pixels, its picture/);
  });

  it("makes the masks of a part of the set, too, before it tells that it is one", async () => {
    await put("JPEGImages/a.jpg", await jpeg(2, 2));
    await put("ImageSets/SegmentationContext/val.txt", "a\n");
    await put("labels.txt", contextLabels());
    await put("trainval/a.mat", mat(2, 2, [2, 458, 293, 2]));
    expect(await fault(prepareDataset("context", root))).toMatch(
      /val\.txt: 1 pictures, the published set has 5105; remove it to have it made anew/,
    );
    expect(await stored("SegmentationClassContext/a.png")).toEqual(["10", "(59)1"]);
  });
});

/** COCO's ids: some between 1 and 90 are not used. */
const COCO_IDS = Array.from({ length: 90 }, (_, i) => i + 1).filter(
  (id) => ![12, 26, 29, 30, 45, 66, 68, 69, 71, 83].includes(id),
);

interface Instances {
  images: object[];
  annotations: object[];
  categories: { id: number; name: string }[];
}

function instances(change: (value: Instances) => void = () => undefined): string {
  const value: Instances = {
    images: [
      { id: 7, file_name: "000000000139.jpg", width: 7, height: 5 },
      { id: 8, file_name: "000000000285.jpg", width: 2, height: 2 },
    ],
    categories: COCO_IDS.map((id, i) => ({ id, name: COCO_CLASSES[i]! })),
    annotations: [
      {
        id: 1,
        image_id: 7,
        category_id: 3,
        segmentation: [
          [0, 0, 3, 0, 3, 4, 0, 4],
          [4, 3, 7, 3, 7, 5, 4, 5],
        ],
      },
      { id: 2, image_id: 7, category_id: 90, segmentation: [[2, 2, 6, 2, 6, 4, 2, 4]] },
      {
        id: 3,
        image_id: 7,
        category_id: 1,
        iscrowd: 1,
        segmentation: { size: [5, 7], counts: [14, 1, 4, 1, 4, 1, 4, 2, 4] },
      },
      { id: 4, image_id: 7, category_id: 2, segmentation: { size: [5, 7], counts: "01R1" } },
    ],
  };
  change(value);
  return JSON.stringify(value);
}

describe("preparing COCO objects", () => {
  beforeEach(async () => {
    await put("val2017/000000000139.jpg", await jpeg(7, 5));
    await put("val2017/000000000285.jpg", await jpeg(2, 2));
  });

  it("draws polygons and both kinds of run lengths, later ones over earlier ones", async () => {
    await put("annotations/instances_val2017.json", instances());
    const report = await prepareCoco(root, {}, 2);
    expect(report).toMatchObject({ dataset: "coco-object", split: "val2017", made: 2, kept: 0 });
    expect(report.notes[0]).toBe(`masks: object masks in ${join(root, "annotations/val2017")}`);
    // car 3, toothbrush 80, person 1, bicycle 2; "01R1" is COCO's text for runs of 0, 1 and 34.
    expect(await stored("annotations/val2017/000000000139_instanceTrainIds.png")).toEqual([
      "2330001",
      "3330000",
      "33(80)(80)(80)(80)0",
      "33(80)(80)(80)(80)3",
      "0011113",
    ]);
    expect(await stored("annotations/val2017/000000000285_instanceTrainIds.png")).toEqual([
      "00",
      "00",
    ]);
  });

  it("refuses objects of pictures that the file lacks", async () => {
    const text = instances(({ annotations }) => Object.assign(annotations[2]!, { image_id: "7" }));
    await put("annotations/instances_val2017.json", text);
    await expect(prepareCoco(root, {}, 2)).rejects.toThrow(
      /annotation 3 has the picture "7", which "images" lacks; correct it/,
    );
  });

  it("keeps what is whole, and reads COCO-Stuff maps as they are", async () => {
    await put("annotations/instances_val2017.json", instances());
    const kept = "annotations/val2017/000000000285_instanceTrainIds.png";
    await put(kept, mask([9, 9, 9, 9], 2));
    expect(await prepareCoco(root, {}, 2)).toMatchObject({ made: 1, kept: 1 });
    expect(await stored(kept)).toEqual(["99", "99"]);
    expect(await prepareCoco(root, {}, 2)).toMatchObject({ made: 0, kept: 2 });
    await rm(join(root, "annotations"), { recursive: true });
    await put("annotations/val2017/000000000139.png", mask(new Array(35).fill(0), 7));
    await put("annotations/val2017/000000000285.png", mask([0, 89, 91, 255], 2));
    const report = await prepareCoco(root, {}, 2);
    expect(report).toMatchObject({ made: 0, kept: 2 });
    expect(report.notes).toEqual([
      `masks: COCO-Stuff maps in ${join(root, "annotations/val2017")}`,
    ]);
    const set = await openDataset("coco-object", root);
    expect((await readMask(set, set.samples[1]!)).map).toEqual(Uint8Array.of(1, 80, 0, 0));
  });

  it("stops for its signal and goes on later", async () => {
    await put("annotations/instances_val2017.json", instances());
    const stop = new AbortController();
    const reason = new Error("enough");
    const work = prepareCoco(
      root,
      { signal: stop.signal, onProgress: () => stop.abort(reason) },
      2,
    );
    await expect(work).rejects.toBe(reason);
    expect(await readdir(join(root, "annotations/val2017"))).toHaveLength(1);
    expect(await prepareCoco(root, {}, 2)).toMatchObject({ made: 1, kept: 1 });
  });

  it("says what is missing", async () => {
    expect(await fault(prepareCoco(root, {}, 2))).toMatch(
      /instances_val2017\.json does not exist; fetch annotations_trainval2017\.zip .*stuffthingmaps/,
    );
    await put("annotations/instances_val2017.json", instances());
    expect(await fault(prepareDataset("coco-object", root))).toMatch(
      /val2017: 2 pictures, the published set has 5000; fetch val2017\.zip/,
    );
    // The masks of those that are there were made all the same: they can be evaluated.
    expect((await openDataset("coco-object", root)).samples).toHaveLength(2);
    expect(await readdir(join(root, "annotations/val2017"))).toHaveLength(2);
  });

  it.each<[string, string | ((value: Instances) => void), RegExp]>([
    ["no JSON", "{", /instances_val2017\.json: it is not JSON/],
    ["another JSON", '{"images":[]}', /it has no list "annotations"; give COCO's/],
    ["a missing picture", (v) => v.images.pop(), /it has no picture 000000000285/],
    [
      "captions' categories",
      (v) => v.categories.reverse(),
      /category 1 of 80 is "toothbrush", in COCO "person" of 80/,
    ],
    [
      "more categories",
      (v) => v.categories.push({ id: 95, name: "banner" }),
      /category 81 of 81 is "banner"/,
    ],
    [
      "an unknown category",
      (v) => Object.assign(v.annotations[0]!, { category_id: 12 }),
      /annotation 1 has the category 12/,
    ],
    [
      "a gigantic picture",
      (v) => Object.assign(v.images[0]!, { width: 1e6, height: 1e6 }),
      /picture 7 has more than 67108864 pixels/,
    ],
    ["a picture without size", (v) => Object.assign(v.images[0]!, { width: 0.5 }), /is 0\.5 x 5/],
    [
      "a polygon of two points",
      (v) => Object.assign(v.annotations[0]!, { segmentation: [[0, 0, 1, 1]] }),
      /annotation 1: polygon: 4 numbers/,
    ],
    [
      "words for coordinates",
      (v) => Object.assign(v.annotations[0]!, { segmentation: [["a"]] }),
      /annotation 1: it has neither polygons nor run lengths/,
    ],
    [
      "run lengths of another size",
      (v) => Object.assign(v.annotations[2]!, { segmentation: { size: [7, 5], counts: [35] } }),
      /annotation 3: its mask is 5 x 7 pixels, the picture 7 x 5/,
    ],
    [
      "run lengths that do not add up",
      (v) => Object.assign(v.annotations[2]!, { segmentation: { size: [5, 7], counts: [30] } }),
      /annotation 3: RLE counts add up to 30/,
    ],
    [
      "damaged text",
      (v) => Object.assign(v.annotations[3]!, { segmentation: { size: [5, 7], counts: "~~" } }),
      /annotation 4: RLE text/,
    ],
    ["no shape", (v) => Object.assign(v.annotations[3]!, { segmentation: null }), /annotation 4: /],
  ])("refuses %s", async (_, change, message) => {
    const text = typeof change === "string" ? change : instances(change);
    await put("annotations/instances_val2017.json", text);
    expect(await fault(prepareCoco(root, {}, 2))).toMatch(message);
  });
});

describe("preparing ImageNet", () => {
  it("counts the pictures of every class, and knows the order of the first labels", async () => {
    const picture = await jpeg(2, 2);
    await Promise.all(
      IMAGENET_SYNSETS.map((id, i) =>
        put(`val/${id}/${id === "n01751748" ? "ILSVRC2012_val_00000001" : i}.JPEG`, picture),
      ),
    );
    expect(await prepareImagenet(root, {}, 1)).toMatchObject({ pictures: 1000, split: "val" });
    expect(await fault(prepareDataset("imagenet", root))).toMatch(
      /1000 pictures, the published set has 50000; fetch ILSVRC2012_img_val\.tar/,
    );
    await rm(join(root, "val/n01440764/0.JPEG"));
    await put("val/n01443537/more.JPEG", picture);
    expect(await fault(prepareImagenet(root, {}, 1))).toMatch(
      /class 0 \(tench\) has 0 pictures, not 1/,
    );
    await rm(join(root, "val/n01443537/more.JPEG"));
    await put("val/n01440764/ILSVRC2012_val_00000003.JPEG", picture);
    expect(await fault(prepareImagenet(root, {}, 1))).toMatch(
      /"n01440764\/ILSVRC2012_val_00000003" is labelled tench, but belongs to n02105855; .*another order/,
    );
  });
});

describe("preparing a user's folder", () => {
  it("checks it", async () => {
    await put("classes.txt", "background\ncat\n");
    await put("images/a.jpg", await jpeg(2, 1));
    await put("masks/a.png", mask([0, 1], 2));
    expect(await prepareDataset("folder", root)).toMatchObject({ dataset: "folder", pictures: 1 });
    await put("masks/a.png", mask([0, 1, 1], 3));
    expect(await fault(prepareDataset("folder", root))).toMatch(
      /mask is 3 x 1 pixels, its picture/,
    );
  });
});
