// `groupvit segment` as its users meet it: the compiled program, real files, a small random model.

import { cp, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import sharp from "sharp";
import { beforeAll, expect, test, vi } from "vitest";
import { decodeLabelPng, GroupViT, type PictureReport, VOCABULARIES } from "../../src/index.js";
import { decodeRle, decompressRle } from "../../src/output/rle.js";
import { groupvit, saveRandomModel } from "../support/cli.js";
import { temporaryFolder } from "../support/temporary.js";

vi.setConfig({ testTimeout: 60_000, hookTimeout: 180_000 });

const LABELS = "sky, sun, grass, tree, house";
const folder = await temporaryFolder();
const at = (...parts: string[]) => join(folder, ...parts);
const segment = (...args: string[]) =>
  groupvit(["segment", "--model", "model", "--labels", LABELS, ...args], { cwd: folder });

interface Document {
  model: string;
  images: PictureReport[];
  errors: { file: string; error: string }[];
}

/** A picture of coloured squares, others for other seeds. */
async function writePicture(path: string, seed = 1): Promise<void> {
  const [width, height] = [96, 80];
  const data = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const cell = Math.floor(x / 32) * 5 + Math.floor(y / 20) * 3 + seed;
      data.set([(cell * 83) % 256, (cell * 151) % 256, (cell * 29) % 256], (y * width + x) * 3);
    }
  }
  await sharp(data, { raw: { width, height, channels: 3 } }).toFile(path);
}

beforeAll(async () => {
  await saveRandomModel(at("model"));
  await mkdir(at("photos", "b"), { recursive: true });
  await writePicture(at("one.png"));
  await writePicture(at("photos", "z.jpg"), 2);
  await writePicture(at("photos", "a.webp"), 3);
  await writePicture(at("photos", "b", "a.png"), 4);
  await writeFile(at("photos", "notes.txt"), "no picture");
  await writeFile(at("broken.jpg"), "this is no picture");
});

test("a mask is exactly the API's map, and an overlay shows it", async () => {
  const { code, stdout, stderr } = await segment("one.png");
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(stdout).toMatch(/^one\.png {2}96 x 80\n {2}label +area +score\n/);
  expect(stdout).toContain(join("groupvit-out", "one.mask.png"));
  expect(stdout).not.toContain("\x1b");

  const model = await GroupViT.load(at("model"));
  const encoded = await model.encode(at("one.png"));
  const expected = await encoded.segment(LABELS);
  await model.release();
  expect(new Set(expected.map).size).toBeGreaterThan(1);
  const mask = await decodeLabelPng(await readFile(at("groupvit-out", "one.mask.png")));
  expect([mask.width, mask.height]).toEqual([96, 80]);
  expect(mask.map).toEqual(expected.map);
  const overlay = await sharp(at("groupvit-out", "one.overlay.png")).metadata();
  expect(overlay.format).toBe("png");
  expect(await readdir(at("groupvit-out"))).toEqual(["one.mask.png", "one.overlay.png"]);
});

test("--json is one document with every label's mask", async () => {
  const { code, stdout, stderr } = await segment("one.png", "--json", "--out", "json");
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  const document = JSON.parse(stdout) as Document;
  expect(Object.keys(document)).toEqual(["model", "images", "errors"]);
  expect(document.model).toBe("model");
  expect(document.errors).toEqual([]);
  const [image] = document.images;
  expect(Object.keys(image!)).toEqual(["file", "width", "height", "labels", "mask"]);
  expect(image).toMatchObject({ file: "one.png", width: 96, height: 80 });
  expect(image!.mask).toBe(join("json", "one.mask.png"));
  const { map } = await decodeLabelPng(await readFile(at("json", "one.mask.png")));
  const names = LABELS.split(", ");
  for (const { label, area, score, rle } of image!.labels) {
    const inside = decodeRle(decompressRle(rle));
    expect([...inside]).toEqual([...map].map((value) => Number(names[value] === label)));
    expect(inside.reduce((a, b) => a + b, 0)).toBe(area);
    expect(score > 0).toBe(area > 0);
  }
  expect(image!.labels.map(({ label }) => label).sort()).toEqual([...names].sort());
  expect(image!.labels.reduce((sum, { area }) => sum + area, 0)).toBe(96 * 80);
});

test("everything that can be saved", async () => {
  const args = ["--save", "labels,groups,scores", "--json", "--out", "all"];
  const { code, stdout } = await segment("one.png", ...args);
  expect(code).toBe(0);
  expect(await readdir(at("all"))).toEqual(["one.groups.png", "one.labels.json", "one.scores.npy"]);
  const [image] = (JSON.parse(stdout) as Document).images;
  expect(image!.mask).toBeNull();
  expect(JSON.parse(await readFile(at("all", "one.labels.json"), "utf8"))).toEqual(image);
  expect((await sharp(at("all", "one.groups.png")).metadata()).width).toBeGreaterThan(480);

  const npy = await readFile(at("all", "one.scores.npy"));
  const start = 10 + npy.readUInt16LE(8);
  expect(start % 64).toBe(0);
  expect(npy.toString("latin1", 0, start)).toBe(
    `\x93NUMPY\x01\x00\x76\x00${"{'descr': '<f4', 'fortran_order': False, 'shape': (80, 96), }".padEnd(117)}\n`,
  );
  const model = await GroupViT.load(at("model"));
  const expected = await (await model.encode(at("one.png"))).segment(LABELS, { pixelScores: true });
  await model.release();
  expect(npy.length).toBe(start + 80 * 96 * 4);
  const scores = Float32Array.from({ length: 80 * 96 }, (_, i) => npy.readFloatLE(start + i * 4));
  expect(scores).toEqual(expected.pixelScores);
});

test("folders, patterns, lists and doubles", async () => {
  await writeFile(at("list.txt"), "# a comment\n\none.png\r\nphotos/z.jpg\n");
  const files = async (...args: string[]) => {
    const { code, stdout, stderr } = await segment(
      ...args,
      "--json",
      "--save",
      "mask",
      "--out",
      "o",
    );
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    return (JSON.parse(stdout) as Document).images.map(({ file, mask }) => [file, mask]);
  };
  const a = ["photos/a.webp", join("o", "a.webp.mask.png")];
  const ba = ["photos/b/a.png", join("o", "a.png.mask.png")];
  const z = ["photos/z.jpg", join("o", "z.mask.png")];
  expect(await files("photos")).toEqual([a, ba, z]);
  expect(await files("photos/**/*.{png,webp}")).toEqual([a, ba]);
  expect(await files("photos/?.jpg", "./photos/z.jpg")).toEqual([z]);
  expect(await files("@list.txt")).toEqual([["one.png", join("o", "one.mask.png")], z]);
});

test("a second run over a folder does not segment the results of the first", async () => {
  await cp(at("photos"), at("again"), { recursive: true });
  for (const _ of [1, 2]) {
    const { code, stdout } = await segment(
      "again",
      "--out",
      "again",
      "--json",
      "--save",
      "mask,overlay,groups",
    );
    expect(code).toBe(0);
    expect((JSON.parse(stdout) as Document).images).toHaveLength(3);
  }
});

test("pictures from stdin and from an address", async () => {
  const bytes = await readFile(at("one.png"));
  const server = createServer((request, response) => {
    response.statusCode = request.url?.startsWith("/park.png") ? 200 : 404;
    response.end(bytes);
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  try {
    const args = ["segment", "-", `${address}/park.png?size=1`, `${address}/none.png`, "--json"];
    const { code, stdout } = await groupvit([...args, "-m", "model", "-l", LABELS, "-o", "web"], {
      cwd: folder,
      stdin: bytes,
    });
    const { images, errors } = JSON.parse(stdout) as Document;
    expect(images.map(({ mask }) => mask)).toEqual(
      ["stdin", "park"].map((name) => join("web", `${name}.mask.png`)),
    );
    expect(images[1]!.labels).toEqual(images[0]!.labels);
    expect(errors).toHaveLength(1);
    expect(errors[0]!.error).toContain("HTTP 404");
    expect(code).toBe(2);
  } finally {
    server.close();
  }
});

test("a broken picture among good ones is reported and does not stop the rest", async () => {
  const { code, stdout, stderr } = await segment(
    "one.png",
    "broken.jpg",
    "absent.png",
    "photos/z.jpg",
  );
  expect(code).toBe(2);
  expect(stdout).toContain("one.png  96 x 80");
  expect(stdout).toContain("photos/z.jpg  96 x 80");
  expect(stderr.trimEnd().split("\n")).toEqual([
    expect.stringMatching(/^groupvit: broken\.jpg: /),
    "groupvit: absent.png: no such file: check the path",
    "groupvit: 2 of 4 pictures could not be read",
  ]);
  const json = await segment("broken.jpg", "one.png", "--json");
  const document = JSON.parse(json.stdout) as Document;
  expect(document.images.map(({ file }) => file)).toEqual(["one.png"]);
  expect(document.errors.map(({ file }) => file)).toEqual(["broken.jpg"]);
  expect(json.code).toBe(2);
});

test("a vocabulary brings its background threshold, unless told otherwise", async () => {
  const model = await GroupViT.load(at("model"));
  const encoded = await model.encode(at("one.png"));
  const { labels, threshold } = VOCABULARIES.context;
  const base = ["segment", "one.png", "-m", "model", "--vocabulary", "context", "-o", "voc"];
  for (const [args, options] of [
    [[], { background: "threshold", threshold }],
    [["--threshold", "0.01"], { background: "threshold", threshold: 0.01 }],
    [["--background", "none"], { background: "none" }],
  ] as const) {
    const { code } = await groupvit([...base, ...args], { cwd: folder });
    expect(code).toBe(0);
    const { map } = await decodeLabelPng(await readFile(at("voc", "one.mask.png")));
    expect(map).toEqual((await encoded.segment(labels, options)).map);
  }
  await model.release();
});

test.each(["voc", "coco", "imagenet"] as const)("pictures are asked for %s", async (name) => {
  const { code, stdout } = await groupvit(
    ["classify", "one.png", "-m", "model", "--vocabulary", name, "--top", "100000", "--json"],
    { cwd: folder },
  );
  expect(code).toBe(0);
  const { images } = JSON.parse(stdout) as { images: { labels: { label: string }[] }[] };
  // Words that stand twice are asked for once.
  const words = new Set(VOCABULARIES[name].labels);
  expect(images[0]!.labels).toHaveLength(words.size);
  expect(new Set(images[0]!.labels.map(({ label }) => label))).toEqual(words);
});

test("options reach the model", async () => {
  const model = await GroupViT.load(at("model"), { dtype: "fp16" });
  const encoded = await model.encode(at("one.png"), { mode: "slide", shortSide: 64 });
  const expected = await encoded.segment("sky, sun; house", {
    prompts: "subset",
    backgroundWords: "grass",
    topK: 3,
  });
  await model.release();
  const args = "--mode slide --short-side 64 --prompts subset --top-k 3 --dtype fp16 --threads 1";
  const { code, stderr } = await groupvit(
    ["segment", "one.png", "-m", "model", "-o", "opt", "-l", "sky, sun; house"].concat(
      ["--background-words", "grass"],
      args.split(" "),
    ),
    { cwd: folder },
  );
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  const { map } = await decodeLabelPng(await readFile(at("opt", "one.mask.png")));
  expect(map).toEqual(expected.map);
});

test.each([
  [["--labels", ""], "labels"],
  [["--labels", "dog, , cat"], "empty"],
  [["--labels", "dog, Dog"], "given twice"],
  [["--labels-file", "absent.txt"], "absent.txt"],
  [["--labels", "dog", "--vocabulary", "voc"], "only one"],
  [["--vocabulary", "cityscapes"], "Allowed choices"],
  [[], "--labels"],
  [["--labels", "dog", "--threshold", "2"], "from 0 to 1"],
  [["--labels", "dog", "--threshold", "0.5", "--background", "none"], "--threshold"],
  [["--labels", "dog", "--background", "words"], "--background-words"],
  [["--labels", "dog", "--background-words", "dog"], "given twice"],
  [["--labels", "dog", "--top-k", "0"], "whole number"],
  [["--labels", "dog", "--short-side", "3"], "shortSide"],
  [["--labels", "dog", "--save", "masks"], "masks"],
  [["--labels", "dog", "--model", "absent"], "absent"],
  [["--labels", "dog", "--model", "photos"], "no weights"],
  [["--labels", "dog", "--out", "one.png"], "one.png"],
  [["--labels", "dog", "--out", "/proc/groupvit/out"], "cannot be written"],
  [["--labels", "dog", "empty-pattern-*"], "no file matches"],
  [["--labels", "dog", "@absent.txt"], "absent.txt"],
  [["--label", "dog"], "Did you mean --labels?"],
])("%j is refused in one line", async (args, part) => {
  const words = args.includes("--model") ? args : ["--model", "model", ...args];
  const { code, stdout, stderr } = await groupvit(["segment", "one.png", ...words], {
    cwd: folder,
  });
  expect(code).toBe(2);
  expect(stdout).toBe("");
  expect(stderr).toMatch(/^groupvit: [^\n]+\n$/);
  expect(stderr).toContain(part);
});

test("too large a picture is refused by its header", async () => {
  const { code, stderr } = await segment("one.png", "--limit-pixels", "1000");
  expect(code).toBe(2);
  expect(stderr).toMatch(/^groupvit: one\.png: 96 x 80 .* 1000[^\n]*\n$/);
});

test("Ctrl-C ends a long batch cleanly", async () => {
  await mkdir(at("many"));
  const bytes = await readFile(at("one.png"));
  for (let i = 0; i < 200; i++) await writeFile(at("many", `${i}.png`), bytes);
  for (const json of [false, true]) {
    const out = at(json ? "stopped-json" : "stopped");
    const args = ["segment", "many", "-m", "model", "-l", LABELS, "-o", out];
    const { code, stdout, stderr } = await groupvit(json ? [...args, "--json"] : args, {
      cwd: folder,
      started: (child) => child.stdout!.once("data", () => child.kill("SIGINT")),
    });
    expect(code).toBe(130);
    expect(stderr).toBe("groupvit: stopped; finished files are complete\n");
    const names = await readdir(out);
    expect(names.length).toBeGreaterThan(0);
    expect(names.length).toBeLessThan(400);
    for (const name of names) {
      expect(name).toMatch(/^\d+\.(mask|overlay)\.png$/);
      await sharp(join(out, name)).stats(); // whole
    }
    if (json) expect((JSON.parse(stdout) as Document).images.length).toBeLessThan(200);
  }
});
