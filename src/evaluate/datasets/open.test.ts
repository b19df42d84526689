import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import sharp from "sharp";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { InputError } from "../../errors.js";
import { VOCABULARIES } from "../../input/vocabularies.js";
import { vocPalette } from "../../output/palette.js";
import { encodeLabelPng } from "../../output/png.js";
import { tarEnd, tarFile } from "../../train/data/tar.js";
import {
  COCO_CLASSES,
  CONTEXT_CLASSES,
  CONTEXT_SPELLINGS,
  cocoStuffTable,
  VOC_CLASSES,
} from "./names.js";
import { openDataset, scenesSingles } from "./open.js";
import { IMAGENET_SYNSETS } from "./synsets.js";

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "datasets-open-"));
});
afterEach(() => rm(root, { recursive: true }));

async function put(path: string, content: string | Uint8Array = ""): Promise<void> {
  const file = join(root, path);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, content);
}

const mask = encodeLabelPng({ width: 2, height: 1, map: Uint8Array.of(0, 1) }, vocPalette());

/** A picture and its mask (empty files: opening does not look into pictures). */
async function sample(name: string, folder = ""): Promise<void> {
  await put(`${folder}JPEGImages/${name}.jpg`);
  await put(`${folder}SegmentationClass/${name}.png`, mask);
}

async function fault(opened: Promise<unknown>): Promise<string> {
  const error = await opened.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(InputError);
  return (error as Error).message;
}

describe("tables of classes", () => {
  it("have the protocol's words, renamed, at the same places", () => {
    const renamed: Record<string, string> = {
      diningtable: "table",
      pottedplant: "plant",
      tvmonitor: "monitor",
    };
    const asked = (names: readonly string[]) => names.map((name) => renamed[name] ?? name);
    expect(asked(VOC_CLASSES)).toEqual(VOCABULARIES.voc.labels);
    const context = asked(CONTEXT_CLASSES).map((name) =>
      name === "aeroplane" ? "airplane" : name,
    );
    expect(context).toEqual(VOCABULARIES.context.labels);
    expect(COCO_CLASSES).toHaveLength(80);
    expect(IMAGENET_SYNSETS).toHaveLength(VOCABULARIES.imagenet.labels.length);
    for (const name of Object.values(CONTEXT_SPELLINGS)) expect(CONTEXT_CLASSES).toContain(name);
  });

  it("COCO-Stuff values are category ids less one", () => {
    const table = cocoStuffTable();
    // person 1, fire hydrant 11, stop sign 13, hair drier 89, toothbrush 90.
    const values = [0, 10, 12, 88, 89].map((stored) => COCO_CLASSES[table[stored]! - 1]);
    expect(values).toEqual(["person", "fire hydrant", "stop sign", "hair drier", "toothbrush"]);
    // The unused 12, banner (92) and what nobody labelled.
    expect([11, 91, 255].map((stored) => table[stored])).toEqual([0, 0, 0]);
    expect(table.filter((value) => value > 0)).toEqual(COCO_CLASSES.map((_, i) => i + 1));
  });

  it("WordNet ids are ImageNet's, in their order", () => {
    expect([...IMAGENET_SYNSETS].sort()).toEqual(IMAGENET_SYNSETS);
    expect(new Set(IMAGENET_SYNSETS).size).toBe(1000);
    const known = { n01440764: "tench", n03134739: "croquet ball", n15075141: "toilet paper" };
    for (const [id, word] of Object.entries(known)) {
      expect(VOCABULARIES.imagenet.labels[IMAGENET_SYNSETS.indexOf(id)]).toBe(word);
    }
  });
});

describe("PASCAL VOC and Context", () => {
  it("VOC 2012 is found in or around its folder, in the order of the list", async () => {
    const folder = "VOCdevkit/VOC2012/";
    await sample("2007_000042", folder);
    await sample("2007_000033", folder);
    await sample("2007_000001", folder);
    await put(`${folder}ImageSets/Segmentation/val.txt`, "2007_000042\r\n2007_000033\n");
    for (const below of ["", "VOCdevkit", "VOCdevkit/VOC2012"]) {
      const set = await openDataset("voc", join(root, below));
      expect(set).toMatchObject({ kind: "segmentation", name: "voc", split: "val" });
      expect(set).toMatchObject({ background: true, coding: { kind: "values" } });
      expect(set.classes).toBe(VOC_CLASSES);
      expect(set.samples.map(({ name }) => name)).toEqual(["2007_000042", "2007_000033"]);
      expect(set.samples[0]).toEqual({
        name: "2007_000042",
        picture: join(root, folder, "JPEGImages/2007_000042.jpg"),
        mask: join(root, folder, "SegmentationClass/2007_000042.png"),
      });
    }
    expect(await fault(openDataset("voc", root, { split: "test" }))).toMatch(
      /test\.txt does not exist; there are lists for val; fetch VOCtrainval_11-May-2012\.tar/,
    );
    expect(await fault(openDataset("voc", root, { split: "../../secret" }))).toMatch(
      /split "\.\.\/\.\.\/secret": it names no list/,
    );
  });

  it("a folder without it names the archive", async () => {
    expect(await fault(openDataset("voc", root))).toMatch(
      /no folder JPEGImages in .*; fetch VOCtrainval_11-May-2012\.tar from http.*voc2012\/ and unpack/,
    );
    expect(await fault(openDataset("voc", join(root, "no")))).toMatch(/does not exist; check/);
    await put("file");
    expect(await fault(openDataset("voc", join(root, "file")))).toMatch(/it is a file/);
    await mkdir(join(root, "JPEGImages"));
    expect(await fault(openDataset("voc", root))).toMatch(/no folder SegmentationClass/);
  });

  it("an archive that lies there is to be unpacked, or fetched again where it is damaged", async () => {
    await put("VOCtrainval_11-May-2012.tar", "half of it");
    expect(await fault(openDataset("voc", root))).toMatch(
      /VOCtrainval_11-May-2012\.tar is damaged \(MD5 \w{32}, not 6cd6e144\w+\): fetch/,
    );
  });

  it("Context takes its own masks and list, and says how to make them", async () => {
    const folder = "VOC2010/";
    await sample("2008_000002", folder);
    expect(await fault(openDataset("context", root))).toMatch(
      /no folder SegmentationClassContext .*"groupvit data prepare context --root/,
    );
    await put(`${folder}SegmentationClassContext/2008_000002.png`, mask);
    expect(await fault(openDataset("context", root))).toMatch(/SegmentationContext\/val\.txt/);
    await put(`${folder}ImageSets/SegmentationContext/val.txt`, "2008_000002\n");
    const set = await openDataset("context", root);
    expect(set.classes).toHaveLength(59);
    expect(set.samples[0]!.mask).toBe(
      join(root, folder, "SegmentationClassContext/2008_000002.png"),
    );
  });

  it.each([
    ["../../etc/passwd", /"\.\.\/\.\.\/etc\/passwd" leads out of its folder/],
    ["/etc/passwd", /leads out/],
    ["a\\..\\b", /leads out/],
    ["C:/x", /leads out/],
    ["a//b", /leads out/],
    ["a\nb\na", /"a" is listed twice/],
    ["\n \n", /it lists no pictures; write one name a line/],
  ])("refuses the list %j", async (list, message) => {
    await sample("a");
    await put("ImageSets/Segmentation/val.txt", list);
    expect(await fault(openDataset("voc", root))).toMatch(message);
  });
});

describe("a user's own folder", () => {
  it("in the layout of VOC with tiers", async () => {
    for (const name of ["photo_1", "emoji_1", "rest"]) await sample(name);
    await put("classes.txt", "background\ncat\ndog\n\n");
    await put("ImageSets/Segmentation/val.txt", "emoji_1\nphoto_1\nrest\n");
    await put("ImageSets/Segmentation/train.txt", "photo_1\n");
    await put("ImageSets/Segmentation/photo.txt", "photo_1\n");
    await put("ImageSets/Segmentation/emoji.txt", "emoji_1\n");
    for (const kind of ["scenes", "folder"] as const) {
      const set = await openDataset(kind, root);
      expect(set.classes).toEqual(["cat", "dog"]);
      expect(set.samples.map(({ name, tier }) => [name, tier])).toEqual([
        ["emoji_1", "emoji"],
        ["photo_1", "photo"],
        ["rest", undefined],
      ]);
    }
    const photos = await openDataset("folder", root, { split: "photo" });
    expect(photos.samples.map(({ name, tier }) => [name, tier])).toEqual([["photo_1", undefined]]);
    await put("ImageSets/Segmentation/more.txt", "photo_1\n");
    expect(await fault(openDataset("folder", root))).toMatch(
      /photo\.txt: "photo_1" is also in more\.txt, but a picture has one tier/,
    );
  });

  it("plain, with pictures of several kinds in folders", async () => {
    await put("classes.txt", "\ufeffbackground\ncat\n");
    await put("images/b/2.PNG");
    await put("images/a.webp");
    await put("images/.hidden.jpg");
    await put("images/notes.txt");
    await put("masks/a.png", mask);
    await put("masks/b/2.png", mask);
    const set = await openDataset("folder", root);
    expect(set.split).toBe("all");
    expect(set.samples).toEqual([
      { name: "a", picture: join(root, "images/a.webp"), mask: join(root, "masks/a.png") },
      { name: "b/2", picture: join(root, "images/b/2.PNG"), mask: join(root, "masks/b/2.png") },
    ]);
    await put("images/a.jpg");
    expect(await fault(openDataset("folder", root))).toMatch(
      /a\.jpg and a\.webp have the same name/,
    );
    expect(await fault(openDataset("folder", root, { split: "val" }))).toMatch(/val\.txt does not/);
  });

  it("whose folder of pictures is a link", async () => {
    await sample("a", "elsewhere/");
    await put("set/classes.txt", "background\ncat\n");
    await mkdir(join(root, "set/masks"), { recursive: true });
    await symlink(join(root, "elsewhere/JPEGImages"), join(root, "set/images"));
    const set = await openDataset("folder", join(root, "set"));
    expect(set.samples[0]).toEqual({
      name: "a",
      picture: join(root, "elsewhere/JPEGImages/a.jpg"),
      // Not there: `checkDataset` says so.
      mask: join(root, "set/masks/a.png"),
    });
  });

  it("with masks in colours", async () => {
    await put("classes.txt", "background\ncat\n");
    await put("images/a.jpg");
    const rgb = await sharp(Buffer.from([0, 0, 0]), { raw: { width: 1, height: 1, channels: 3 } })
      .png()
      .toBuffer();
    await put("masks/a.png", rgb);
    expect((await openDataset("folder", root)).coding).toEqual({ kind: "colours" });
  });

  it.each([
    ["cat\ndog\n", /first line is "cat", not "background"/],
    ["", /first line is "", not "background"/],
    ["background\n", /0 classes after the background; give 1 to 254/],
    [`background\n${Array.from({ length: 255 }, (_, i) => i).join("\n")}`, /255 classes/],
    ["background\ncat\n\ndog", /line 3 is empty; name the class of mask value 2/],
    ["background\ncat\ndog\ncat", /lines 2 and 4 are both "cat"/],
    // Words of the model, which does not tell upper and lower case.
    ["background\ncat\nCat", /lines 2 and 3 are both "cat"/],
    ["background\ncat\nbackground", /lines 1 and 3 are both "background"/],
    ["background\ncat,", /classes\.txt line 2: Label 1, "cat,", is empty or has an empty synonym/],
    [`background\ncat\n${"x".repeat(1001)}`, /classes\.txt line 3: Label 1 has 1001 characters/],
    [Buffer.from("background\nt\u00eate", "latin1"), /classes\.txt: it is no text in UTF-8/],
    [Buffer.from("\ufeffbackground\ncat", "utf16le"), /classes\.txt: it is no text in UTF-8/],
  ])("refuses the classes %j", async (classes, message) => {
    await sample("a");
    await put("classes.txt", classes);
    expect(await fault(openDataset("folder", root))).toMatch(message);
  });

  it("takes Windows line ends and accents, whole", async () => {
    await sample("a");
    await put("classes.txt", "\ufeffbackground\r\nt\u00eate\r\n\r\n");
    expect((await openDataset("folder", root)).classes).toEqual(["t\u00eate"]);
  });

  it("with a list of files instead of names", async () => {
    await sample("a");
    await put("classes.txt", "background\ncat");
    await put("ImageSets/Segmentation/val.txt", "a.jpg\n");
    expect(await fault(openDataset("folder", root))).toMatch(
      /val\.txt: "a\.jpg" has an extension; write names without, as in "a"/,
    );
  });

  it("with a mask that has no picture", async () => {
    await sample("a");
    await put("classes.txt", "background\ncat");
    await put("JPEGImages/b.gif");
    await put("SegmentationClass/b.png", mask);
    expect(await fault(openDataset("folder", root))).toMatch(
      /SegmentationClass\/b\.png: there is no picture "b" to this mask; add it as \.jpg/,
    );
    // A list says what is meant.
    await put("ImageSets/Segmentation/val.txt", "a\n");
    expect((await openDataset("folder", root)).samples).toHaveLength(1);
  });

  it("without classes or pictures", async () => {
    await mkdir(join(root, "images"));
    await mkdir(join(root, "masks"));
    expect(await fault(openDataset("folder", root))).toMatch(/no classes\.txt .*lay it out as/);
    expect(await fault(openDataset("scenes", root))).toMatch(/groupvit data scenes-evaluation/);
    await put("classes.txt", "background\ncat");
    expect(await fault(openDataset("folder", root))).toMatch(/no pictures in .*images/);
  });
});

describe("single objects of the scenes", () => {
  const classes = "background\ncat\ndog\n";
  it("are read from their table", async () => {
    await put("classes.txt", classes);
    await put(
      "single.csv",
      "file,class,tier\nsingle/photo_0000.png,dog,photo\nsingle/emoji_0000.png,cat,emoji\n",
    );
    expect(await scenesSingles(root)).toEqual({
      kind: "classification",
      name: "scenes-single",
      root,
      split: "single",
      classes: ["cat", "dog"],
      samples: [
        {
          name: "single/photo_0000",
          picture: join(root, "single/photo_0000.png"),
          label: 1,
          tier: "photo",
        },
        {
          name: "single/emoji_0000",
          picture: join(root, "single/emoji_0000.png"),
          label: 0,
          tier: "emoji",
        },
      ],
    });
  });

  it.each([
    [undefined, /no single\.csv .*groupvit data scenes-evaluation/],
    ["file,class,tier\n", /lists no pictures/],
    ["file,class,tier\nsingle/a.png,cow,photo\n", /the class "cow" of single\/a\.png/],
    ["file,class,tier\n../a.png,cat,photo\n", /leads out of its folder/],
    ["file,class,tier\na.png,cat,photo\na.jpg,dog,photo\n", /"a" is listed twice/],
  ])("refuses the table %j", async (table, message) => {
    await put("classes.txt", classes);
    if (table !== undefined) await put("single.csv", table);
    expect(await fault(scenesSingles(root))).toMatch(message);
  });
});

describe("COCO objects", () => {
  it.each(["", "images/"])("takes pictures in %jval2017 and the authors' masks", async (below) => {
    await put(`${below}val2017/000000000139.jpg`);
    await put(`${below}val2017/000000000285.jpg`);
    await put("annotations/val2017/000000000139_instanceTrainIds.png", mask);
    const set = await openDataset("coco-object", root);
    expect(set).toMatchObject({ split: "val2017", background: true, coding: { kind: "values" } });
    expect(set.coding.table).toBeUndefined();
    expect(set.classes).toHaveLength(80);
    expect(set.samples[1]).toEqual({
      name: "000000000285",
      picture: join(root, `${below}val2017/000000000285.jpg`),
      mask: join(root, "annotations/val2017/000000000285_instanceTrainIds.png"),
    });
  });

  it.each(["annotations", "stuffthingmaps"])(
    "or COCO-Stuff maps in %s, through the table",
    async (below) => {
      await put("val2017/1.jpg");
      await put("val2017/2.jpg");
      await put(`${below}/val2017/1.png`, mask);
      await put(`${below}/val2017/2.png`, mask);
      // Left by a call that was interrupted.
      await put("annotations/val2017/1_instanceTrainIds.png", mask);
      const set = await openDataset("coco-object", root);
      expect(set.coding).toEqual({ kind: "values", table: cocoStuffTable() });
      expect(set.samples.map((item) => item.mask)).toEqual([
        join(root, below, "val2017/1.png"),
        join(root, below, "val2017/2.png"),
      ]);
      await put("annotations/val2017/2_instanceTrainIds.png", mask);
      expect((await openDataset("coco-object", root)).coding.table).toBeUndefined();
    },
  );

  it("says what is missing", async () => {
    expect(await fault(openDataset("coco-object", root))).toMatch(
      /no pictures in .*val2017.*fetch val2017\.zip from https:\/\/cocodataset\.org/,
    );
    await put("val2017/1.jpg");
    expect(await fault(openDataset("coco-object", root))).toMatch(
      /no masks in .*; make them with "groupvit data prepare coco-object --root/,
    );
  });
});

describe("ImageNet", () => {
  it.each(["", "val/", "ILSVRC/Data/CLS-LOC/val/"])(
    "class folders of WordNet ids in %j",
    async (below) => {
      await put(`${below}n15075141/b.JPEG`);
      await put(`${below}n01440764/x.JPEG`);
      await put(`${below}n01440764/a.JPEG`);
      const set = await openDataset("imagenet", root);
      expect(set).toMatchObject({ kind: "classification", split: "val" });
      expect(set.classes).toBe(VOCABULARIES.imagenet.labels);
      expect(set.samples).toEqual([
        { name: "n01440764/a", picture: join(root, below, "n01440764/a.JPEG"), label: 0 },
        { name: "n01440764/x", picture: join(root, below, "n01440764/x.JPEG"), label: 0 },
        { name: "n15075141/b", picture: join(root, below, "n15075141/b.JPEG"), label: 999 },
      ]);
    },
  );

  it("class folders of numbers", async () => {
    await put("0/a.png");
    await put("999/a.png");
    await put("17/a.png");
    const { samples } = await openDataset("imagenet", root);
    expect(samples.map(({ name, label }) => [name, label])).toEqual([
      ["0/a", 0],
      ["17/a", 17],
      ["999/a", 999],
    ]);
    await mkdir(join(root, "1000"));
    expect(await fault(openDataset("imagenet", root))).toMatch(/"1000" is no class of ImageNet/);
  });

  it.each([
    ["val.txt", "val/b.JPEG 1\na.JPEG n15075141\n"],
    ["val/val.txt", "b.JPEG n01443537\na.JPEG 999\n"],
    [
      "LOC_val_solution.csv",
      "ImageId,PredictionString\nb,n01443537 85 1 499 272 \na,n15075141 1 1 2 2 n15075141 3 3 4 4\n",
    ],
  ])("one folder and %s", async (list, content) => {
    await put("val/a.JPEG");
    await put("val/b.JPEG");
    await put(list, content);
    const { samples } = await openDataset("imagenet", root);
    expect(samples.map(({ name, label }) => [name, label])).toEqual([
      ["a", 999],
      ["b", 1],
    ]);
    await put("val/c.JPEG");
    expect(await fault(openDataset("imagenet", root))).toMatch(/lacks c\.JPEG/);
  });

  it("tar shards, by folder, file or pattern", async () => {
    const bytes = Uint8Array.from({ length: 700 }, (_, i) => i);
    const text = (value: string) => new TextEncoder().encode(value);
    const shard = (...entries: [string, Uint8Array][]) =>
      Buffer.concat([...entries.map(([name, data]) => tarFile(name, data)), tarEnd()]);
    const first = shard(
      ["a.jpg", bytes],
      ["a.cls", text("17\n")],
      ["a.json", text("{}")],
      ["b.cls", text("n01443537")],
      ["b.jpeg", bytes.subarray(0, 5)],
    );
    await put("val-00.tar", first);
    await put("val-01.tar", shard(["c.cls", text("999")], ["c.png", bytes]));
    await put("train-00.tar", shard(["d.cls", text("0")], ["d.png", bytes]));
    await put("ILSVRC2012_img_val.tar", "not a shard");
    const { samples } = await openDataset("imagenet", root);
    // Header, then content; each padded to 512 bytes.
    expect(samples).toEqual([
      { name: "val-00/a", picture: { shard: "val-00.tar", offset: 512, length: 700 }, label: 17 },
      { name: "val-00/b", picture: { shard: "val-00.tar", offset: 5120, length: 5 }, label: 1 },
      { name: "val-01/c", picture: { shard: "val-01.tar", offset: 1536, length: 700 }, label: 999 },
    ]);
    expect([...first.subarray(5120, 5125)]).toEqual([0, 1, 2, 3, 4]);
    const pattern = await openDataset("imagenet", join(root, "val-{00..01}.tar"));
    expect(pattern).toMatchObject({ root, samples });
    expect((await openDataset("imagenet", join(root, "val-01.tar"))).samples).toHaveLength(1);
    expect(await fault(openDataset("imagenet", join(root, "val-{00..02}.tar")))).toMatch(
      /val-02\.tar: it does not exist/,
    );
    await put("val-02.tar", shard(["e.jpg", bytes]));
    expect(await fault(openDataset("imagenet", root))).toMatch(/"e" has no class \(\.cls\)/);
    await put("val-02.tar", shard(["e.cls", text("5")]));
    expect(await fault(openDataset("imagenet", root))).toMatch(/"e" has no picture/);
    await put("val-02.tar", shard(["e.cls", text("cat")], ["e.jpg", bytes]));
    expect(await fault(openDataset("imagenet", root))).toMatch(/e\.cls: "cat" is no class/);
    await put("val-02.tar", first.subarray(0, 900));
    expect(await fault(openDataset("imagenet", root))).toMatch(/ends within a file/);
    const one = shard(["e.cls", text("5")], ["e.jpg", bytes]).subarray(0, -1024);
    const other = shard(["f.cls", text("5")], ["f.jpg", bytes]).subarray(0, -1024);
    await put("val-02.tar", Buffer.concat([one, other, one]));
    expect(await fault(openDataset("imagenet", root))).toMatch(/"val-02\/e" comes twice/);
  });

  it("refuses what it cannot tell the classes of", async () => {
    expect(await fault(openDataset("imagenet", "https://example.org/{0..9}.tar"))).toMatch(
      /web address; download/,
    );
    expect(await fault(openDataset("imagenet", root))).toMatch(
      /neither class folders .*fetch ILSVRC2012_img_val\.tar from https:\/\/image-net\.org/,
    );
    await put("ILSVRC2012_val_00000001.JPEG");
    await put("ILSVRC2012_validation_ground_truth.txt", "490\n");
    expect(await fault(openDataset("imagenet", root))).toMatch(
      /no labels; add a val\.txt .*numbers have another order/,
    );
    await put("val.txt", "ILSVRC2012_val_00000001.JPEG 1000\n");
    expect(await fault(openDataset("imagenet", root))).toMatch(
      /val\.txt line 1: "1000" is no class/,
    );
    await mkdir(join(root, "n99999999"));
    expect(await fault(openDataset("imagenet", root))).toMatch(
      /n99999999: "n99999999" is no class/,
    );
    await rm(join(root, "n99999999"), { recursive: true });
    await mkdir(join(root, "n01440764"));
    expect(await fault(openDataset("imagenet", root))).toMatch(/no pictures in/);
    expect(await readdir(root)).toHaveLength(4);
  });
});
