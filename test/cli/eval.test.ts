// `groupvit eval` and `groupvit calibrate` as their users meet them: the compiled program, real files.

import { existsSync } from "node:fs";
import { cp, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import sharp from "sharp";
import { beforeAll, expect, test, vi } from "vitest";
import { fromFloat32 } from "../../src/checkpoint/dtypes.js";
import { saveHuggingFace } from "../../src/checkpoint/save.node.js";
import type { Calibration } from "../../src/evaluate/calibrate.js";
import type { ClassificationResult, SegmentationResult } from "../../src/evaluate/result.js";
import { decodeLabelPng, encodeLabelPng, vocPalette } from "../../src/index.js";
import { tarEnd, tarFile } from "../../src/train/data/tar.js";
import { lockFolder } from "../../src/train/lock.js";
import { findFixtures } from "../parity/fixture.js";
import { loadWeights } from "../parity/weights.js";
import { groupvit, saveRandomModel } from "../support/cli.js";
import { readJson, readTensors } from "../support/segment.js";
import { temporaryFolder } from "../support/temporary.js";

vi.setConfig({ testTimeout: 120_000, hookTimeout: 180_000 });

const folder = await temporaryFolder();
const at = (...parts: string[]) => join(folder, ...parts);
const run = (...args: string[]) => groupvit(args, { cwd: folder });

/** A set in the VOC layout. */
async function writeSet(
  root: string,
  classes: readonly string[],
  samples: readonly {
    name: string;
    rgb: Uint8Array;
    width: number;
    height: number;
    mask: Uint8Array;
  }[],
): Promise<void> {
  for (const part of ["JPEGImages", "SegmentationClass", "ImageSets/Segmentation"]) {
    await mkdir(join(root, part), { recursive: true });
  }
  await writeFile(join(root, "classes.txt"), ["background", ...classes, ""].join("\n"));
  const list = samples.map(({ name }) => `${name}\n`).join("");
  await writeFile(join(root, "ImageSets/Segmentation/val.txt"), list);
  for (const { name, rgb, width, height, mask } of samples) {
    const raw = { width, height, channels: 3 } as const;
    await sharp(rgb, { raw })
      .png()
      .toFile(join(root, "JPEGImages", `${name}.png`));
    const png = encodeLabelPng({ width, height, map: mask }, vocPalette());
    await writeFile(join(root, "SegmentationClass", `${name}.png`), png);
  }
}

const CLASSES = ["cat", "dog", "tree"];

beforeAll(async () => {
  await saveRandomModel(at("model"));
  const samples = Array.from({ length: 24 }, (_, n) => {
    const [width, height] = [40 + n, 48];
    const cell = (i: number) => Math.floor((i % width) / 16) + Math.floor(i / width / 16) + n;
    const rgb = Uint8Array.from(
      { length: width * height * 3 },
      (_, i) => (cell(Math.floor(i / 3)) * (61 + 40 * (i % 3))) % 256,
    );
    const mask = Uint8Array.from({ length: width * height }, (_, i) =>
      i % 97 === 0 ? 255 : cell(i) % 4,
    );
    return { name: `picture-${n}`, rgb, width, height, mask };
  });
  await writeSet(at("set"), CLASSES, samples);
});

const read = async (path: string) =>
  JSON.parse(await readFile(at(path), "utf8")) as SegmentationResult;
/** All but the speed. */
const numbers = ({ picturesPerSecond, ...rest }: SegmentationResult) => rest;

test("labels after the whole pipeline are the reference's", async () => {
  const fixtures = new Map(
    findFixtures("test/fixtures").fixtures.map((fixture) => [fixture.name, fixture]),
  );
  const report = readJson<{ classes: string[]; logit_scale_override: number }>("seg/report.json");
  const { config, tensors } = await loadWeights(fixtures.get("full")!);
  tensors.set("logit_scale", fromFloat32(Float32Array.of(report.logit_scale_override), []));
  await saveHuggingFace(at("full"), { config, tensors });
  const images = readTensors("seg/images.safetensors.gz");
  const labels = readTensors("seg/labels_u8.safetensors.gz");
  const names = ["land", "portrait"];
  const samples = names.map((name) => {
    const [height, width] = images.get(`${name}.original_rgb`)!.shape as [number, number];
    const rgb = images.get(`${name}.original_rgb`)!.bytes;
    return { name, rgb, width, height, mask: new Uint8Array(width * height) };
  });
  await writeSet(at("reference"), report.classes, samples);
  const cases: [string, string[]][] = [
    ["whole.bg1.th0.95", ["--mode", "whole"]],
    ["whole.bg0", ["--mode", "whole", "--background", "none"]],
    ["slide.bg0", ["--mode", "slide", "--background", "none"]],
  ];
  for (const [key, options] of cases) {
    const { code } = await run(
      ...["eval", "folder", "--root", "reference", "--model", "full", "--short-side", "448"],
      ...["--save", `saved-${key}`, "--out", `out-${key}`, ...options],
    );
    expect(code).toBe(0);
    for (const name of names) {
      const saved = await decodeLabelPng(await readFile(at(`saved-${key}`, `${name}.png`)));
      const expected = labels.get(`full.${name}.${key}`)!.bytes;
      const shift = key.includes("bg0") ? 1 : 0;
      let different = 0;
      for (let i = 0; i < expected.length; i++) {
        if (saved.map[i] !== expected[i]! + shift) different++;
      }
      // The reference's own float32 run differs from its float64 run by as many pixels.
      expect(different / expected.length, `${name} ${key}`).toBeLessThan(1e-4);
    }
  }
});

test("killed at any moment and run again, it gives the numbers of one run", async () => {
  const args = ["eval", "folder", "--root", "set", "--model", "model"];
  const { code, stdout } = await run(...args, "--out", "whole", "--json");
  expect(code).toBe(0);
  const whole = JSON.parse(stdout) as SegmentationResult;
  expect(await read("whole/result.json")).toEqual(whole);
  expect(whole.classes.map(({ name }) => name)).toEqual(["background", ...CLASSES]);
  const pixels = whole.confusion.flat().reduce((a, b) => a + b, 0);
  expect(pixels).toBe(whole.classes.reduce((sum, own) => sum + own.pixels, 0));

  for (const delay of [600, 900, 1200]) {
    await groupvit([...args, "--out", "killed"], {
      cwd: folder,
      started: (child) => setTimeout(() => child.kill("SIGKILL"), delay),
    });
  }
  expect((await run(...args, "--out", "killed", "--processes", "1")).code).toBe(0);
  expect(numbers(await read("killed/result.json"))).toEqual(numbers(whole));
  const ledger = await readFile(at("killed/ledger.jsonl"), "utf8");
  expect(ledger.trimEnd().split("\n")).toHaveLength(25);
});

test("a mask that was corrected is measured again, a map that is missing is saved", async () => {
  await cp(at("set"), at("corrected"), { recursive: true });
  const args = ["eval", "folder", "--root", "corrected", "--model", "model", "--limit", "4"];
  const first = await run(...args, "--out", "resumed", "--json");
  const { pictures } = JSON.parse(first.stdout) as SegmentationResult;
  const { name } = pictures[1]!;
  const path = at("corrected/SegmentationClass", `${name}.png`);
  const mask = await decodeLabelPng(await readFile(path));
  await writeFile(path, encodeLabelPng({ ...mask, map: mask.map.fill(2) }, vocPalette()));
  const resumed = await run(...args, "--out", "resumed", "--save", "maps", "--json");
  const fresh = await run(...args, "--out", "begun-again", "--json");
  expect(numbers(JSON.parse(resumed.stdout))).toEqual(numbers(JSON.parse(fresh.stdout)));
  expect(numbers(JSON.parse(fresh.stdout))).not.toEqual(numbers(JSON.parse(first.stdout)));
  // Other bytes are another set, and the result says so.
  const setOf = ({ stdout }: { stdout: string }) =>
    (JSON.parse(stdout) as SegmentationResult).dataset;
  expect(setOf(fresh).sha256).not.toBe(setOf(first).sha256);
  expect((await readdir(at("maps"))).sort()).toEqual(
    pictures.map((picture) => `${picture.name}.png`).sort(),
  );
  // Now all is there: nothing is measured, and the ledger does not grow.
  const ledger = await readFile(at("resumed/ledger.jsonl"), "utf8");
  expect((await run(...args, "--out", "resumed", "--save", "maps")).code).toBe(0);
  expect(await readFile(at("resumed/ledger.jsonl"), "utf8")).toBe(ledger);
});

test.each<[string, (root: string) => Promise<unknown>, RegExp]>([
  [
    "a mask that is missing",
    (root) => rm(join(root, "SegmentationClass/picture-23.png")),
    /SegmentationClass\/picture-23\.png: the mask of "picture-23" is missing; add it/,
  ],
  [
    "a class id out of range",
    (root) =>
      writeFile(
        join(root, "SegmentationClass/picture-23.png"),
        encodeLabelPng(
          { width: 63, height: 48, map: new Uint8Array(63 * 48).fill(4) },
          vocPalette(),
        ),
      ),
    /picture-23\.png: value 4 at x 0, y 0 has no class.*correct the mask or the list of classes/,
  ],
  [
    "sizes that disagree",
    (root) =>
      writeFile(
        join(root, "SegmentationClass/picture-23.png"),
        encodeLabelPng({ width: 48, height: 63, map: new Uint8Array(63 * 48) }, vocPalette()),
      ),
    /picture-23\.png: the mask is 48 x 63 pixels, its picture .*63 x 48; give a mask/,
  ],
  [
    "a JPEG mask",
    async (root) => {
      const path = join(root, "SegmentationClass/picture-23");
      await sharp(`${path}.png`).jpeg().toFile(`${path}.jpg`);
      await rm(`${path}.png`);
    },
    /picture-23\.jpg: a JPEG cannot be a mask.*PNG/,
  ],
  [
    "an empty split",
    (root) => writeFile(join(root, "ImageSets/Segmentation/val.txt"), "\n"),
    /val\.txt: it lists no pictures/,
  ],
])("%s is named before a picture is measured", async (what, spoil, message) => {
  const root = what.replaceAll(" ", "-");
  await cp(at("set"), at(root), { recursive: true });
  await spoil(at(root));
  const out = `out-${root}`;
  const { code, stderr } = await run(
    ...["eval", "folder", "--root", root, "--model", "model", "--out", out],
  );
  expect(stderr).toMatch(message);
  expect(code).toBe(2);
  await expect(readdir(at(out))).rejects.toThrow("ENOENT");
});

const square = (colour: string) =>
  sharp({ create: { width: 48, height: 48, channels: 3, background: colour } });
const squareMask = (value: number) =>
  encodeLabelPng({ width: 48, height: 48, map: new Uint8Array(48 * 48).fill(value) }, vocPalette());

/** Files by path below `root`. */
async function put(root: string, files: Record<string, string | Uint8Array>): Promise<void> {
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(at(root, path)), { recursive: true });
    await writeFile(at(root, path), content);
  }
}

test.each<[string, string, () => Promise<Record<string, string | Uint8Array>>, object]>([
  [
    "voc",
    "voc",
    async () => ({
      "VOCdevkit/VOC2012/JPEGImages/2007_1.jpg": await square("red").jpeg().toBuffer(),
      "VOCdevkit/VOC2012/SegmentationClass/2007_1.png": squareMask(15),
      "VOCdevkit/VOC2012/ImageSets/Segmentation/val.txt": "2007_1\n",
    }),
    { classes: 21, changes: ["pictures: 1449 -> 1"], true: "person", threshold: 0.95 },
  ],
  [
    "context",
    "context",
    async () => ({
      "VOC2010/JPEGImages/2008_1.jpg": await square("red").jpeg().toBuffer(),
      "VOC2010/SegmentationClassContext/2008_1.png": squareMask(59),
      "VOC2010/ImageSets/SegmentationContext/val.txt": "2008_1\n",
    }),
    { classes: 60, changes: ["pictures: 5105 -> 1"], true: "wood", threshold: 0.35 },
  ],
  [
    "coco-object",
    "coco with maps of COCO-Stuff",
    async () => ({
      "val2017/000000000139.jpg": await square("red").jpeg().toBuffer(),
      // 89 is the toothbrush, category 90 of 91.
      "stuffthingmaps/val2017/000000000139.png": squareMask(89),
    }),
    { classes: 81, changes: ["pictures: 5000 -> 1"], true: "toothbrush", threshold: 0.95 },
  ],
])(
  "%s is measured by the authors' protocol, and a part of it is called one",
  async (name, root, files, expected) => {
    await put(root, await files());
    const { stdout, code } = await run(
      ...["eval", name, "--root", root, "--model", "model", "--out", `out ${root}`, "--json"],
    );
    expect(code).toBe(0);
    const result = JSON.parse(stdout) as SegmentationResult;
    expect({
      classes: result.classes.length,
      changes: result.changes,
      true: result.classes.find(({ pixels }) => pixels === 48 * 48)?.name,
      threshold: (result.protocol.background as { threshold: number }).threshold,
    }).toEqual(expected);
    expect(result.protocol).toMatchObject({
      prompts: "simple",
      topK: 5,
      mode: "slide",
      shortSide: 448,
    });
    expect(result.published.map(({ model }) => model)).toEqual([
      "nvidia/groupvit-gcc-yfcc",
      "nvidia/groupvit-gcc-redcaps",
    ]);
  },
);

test("imagenet from folders and from shards has the same numbers, top-1 and top-5", async () => {
  const pictures = await Promise.all(
    ["red", "lime", "blue"].map((c) => square(c).jpeg().toBuffer()),
  );
  const ids = ["n01440764", "n01443537", "n15075141"];
  await put(
    "imagenet",
    Object.fromEntries(ids.map((id, i) => [`val/${id}/${i}.JPEG`, pictures[i]!])),
  );
  const entries = [0, 1, 999].flatMap((label, i) => [
    tarFile(`${i}.jpg`, pictures[i]!),
    tarFile(`${i}.cls`, Buffer.from(`${label}\n`)),
  ]);
  await put("shards", { "val-0.tar": Buffer.concat([...entries, tarEnd()]) });
  const [folders, shards] = await Promise.all(
    ["imagenet", "shards"].map(async (root) => {
      const { stdout } = await run(
        ...["eval", "imagenet", "--root", root, "--model", "model", "--out", `out-${root}`],
        ...["--prompts", "simple", "--json"],
      );
      return JSON.parse(stdout) as ClassificationResult;
    }),
  );
  for (const { changes, top1, top5, classes } of [folders!, shards!]) {
    expect(changes).toEqual(["prompts: full -> simple", "pictures: 50000 -> 3"]);
    expect(classes.filter((own) => own.pictures > 0).map(({ name }) => name)).toEqual([
      "tench",
      "goldfish",
      "toilet paper",
    ]);
    expect(top1).toBeLessThanOrEqual(top5);
    expect([top1, top5]).toEqual([folders!.top1, folders!.top5]);
  }
  expect(shards!.dataset.sha256).toBe(folders!.dataset.sha256);
});

test.each([
  [
    "set/SegmentationClass",
    /picture-0\.png: the predicted map would take the place of the set's own/,
  ],
  ["set/classes.txt", /classes\.txt for the predicted maps: it cannot be made \(EEXIST\)/],
])("maps are not saved to %s", async (save, message) => {
  const before = await readFile(at("set/SegmentationClass/picture-0.png"));
  const { code, stderr } = await run(
    ...["eval", "folder", "--root", "set", "--model", "model", "--save", save, "--out", "unsaved"],
  );
  expect(stderr).toMatch(message);
  expect(code).toBe(2);
  expect(await readFile(at("set/SegmentationClass/picture-0.png"))).toEqual(before);
});

test("two evaluations do not write into one folder", async () => {
  const unlock = await lockFolder(at("busy"));
  const { code, stderr } = await run(
    ...["eval", "folder", "--root", "set", "--model", "model", "--out", "busy"],
  );
  await unlock();
  expect(stderr).toMatch(/busy: process \d+ on .* works there since/);
  expect(code).toBe(2);
});

test("a change of protocol is named, and never mixed into finished numbers", async () => {
  const args = ["eval", "folder", "--root", "set", "--model", "model", "--limit", "6"];
  const first = await run(...args, "--out", "changed", "--threshold", "0.5", "--flip", "--json");
  expect((JSON.parse(first.stdout) as SegmentationResult).changes).toEqual([
    "threshold: 0.95 -> 0.5",
    "flip: off -> on",
    "pictures: 24 -> 6",
  ]);
  const second = await run(...args, "--out", "changed", "--threshold", "0.6", "--flip");
  expect(second.code).toBe(2);
  expect(second.stderr).toMatch(/another measurement \(threshold: 0.5 -> 0.6\).*--fresh/);
  const third = await run(...args, "--out", "changed", "--threshold", "0.6", "--flip", "--fresh");
  expect(third.code).toBe(0);
  expect(third.stdout).toContain("threshold: 0.95 -> 0.6");
  const page = await readFile(at("changed/index.html"), "utf8");
  expect(page).toMatch(/threshold[\s\S]{0,200}0\.95[\s\S]{0,60}0\.6/);
});

test.each([
  [["eval", "voc"], /--root/],
  [["eval", "scenes"], /evaluation does not exist; .*"npm run eval:scenes" makes the held-out set/],
  [["eval", "pascal"], /Choose from voc/],
  [["eval", "folder", "--root", "nowhere"], /nowhere/],
  [
    ["eval", "folder", "--root", "set", "--background", "none", "--threshold", "0.5"],
    /--threshold/,
  ],
  [["eval", "folder", "--root", "set", "--split", "../val"], /split/],
  [["calibrate", "set", "--limit", "1"], /from 2 to/],
] as const)("%j ends with code 2 and says why", async (args, message) => {
  const { code, stderr } = await run(...args);
  expect(code).toBe(2);
  expect(stderr).toMatch(message);
});

test("the command in a model's card gives its numbers again", async () => {
  await cp(at("model"), at("own model"), { recursive: true });
  const { code, stdout } = await run(
    ...["eval", "folder", "--root", "set", "--model", "own model", "--limit", "4", "--flip"],
    ...["--threshold", "0.6", "--out", "carded", "--card", "--json"],
  );
  expect(code).toBe(0);
  const card = await readFile(at("own model/README.md"), "utf8");
  const command = /Measured again by `groupvit (.*)`/.exec(card)![1]!;
  expect(command).toBe(
    "eval folder --root set --model 'own model' --limit 4 --threshold 0.6 --flip",
  );
  const words = command.match(/'[^']*'|\S+/g)!.map((word) => word.replaceAll("'", ""));
  const again = await run(...words, "--out", "carded-again", "--json");
  const numbers = (text: string) => ({ ...JSON.parse(text), picturesPerSecond: 0 });
  expect(numbers(again.stdout)).toEqual(numbers(stdout));
});

test("what has no card is refused before anything is measured", async () => {
  const { code, stderr } = await run(
    ...["eval", "folder", "--root", "set", "--model", "model/model.safetensors", "--card"],
    ...["--out", "uncarded"],
  );
  expect(stderr).toMatch(/--card: model\/model\.safetensors is no folder with a README\.md/);
  expect(code).toBe(2);
  expect(existsSync(at("uncarded"))).toBe(false);
});

test("calibrate refuses masks of which no pixel is counted", async () => {
  const rgb = new Uint8Array(32 * 32 * 3).fill(90);
  const mask = new Uint8Array(32 * 32).fill(255);
  const samples = ["a", "b"].map((name) => ({ name, rgb, width: 32, height: 32, mask }));
  await writeSet(at("ignored"), CLASSES, samples);
  const { code, stderr } = await run("calibrate", "ignored", "--model", "model");
  expect(stderr).toMatch(/ignored: no pixel of the 2 masks is counted, all are 255; label some/);
  expect(code).toBe(2);
});

test("calibrate finds a setting at least as good as the standard", async () => {
  const { code, stdout } = await run(
    "calibrate",
    "set",
    "--model",
    "model",
    "--limit",
    "6",
    "--json",
  );
  expect(code).toBe(0);
  const result = JSON.parse(stdout) as Calibration;
  expect(result.pictures).toBe(6);
  expect(result.best.mIoU).toBeGreaterThanOrEqual(result.standard.mIoU);
  expect(result.best.mIoU).toBe(Math.max(...result.tried.map(({ mIoU }) => mIoU)));
  // The best setting, measured by eval on the same pictures, is what calibrate says.
  const { threshold, prompts, mIoU } = result.best;
  const again = await run(
    ...["eval", "folder", "--root", "set", "--model", "model", "--limit", "6", "--json"],
    ...["--out", "calibrated", "--threshold", `${threshold}`, "--prompts", prompts],
  );
  expect((JSON.parse(again.stdout) as SegmentationResult).mIoU).toBe(mIoU);
});
