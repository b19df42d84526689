// The other commands, help and messages, and models from the Hub: the compiled program on real files.

import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import sharp from "sharp";
import { beforeAll, expect, test, vi } from "vitest";
import { decodePicture, GroupViT, loadCheckpoint } from "../../src/index.js";
import { groupvit, randomModel, saveRandomModel } from "../support/cli.js";
import { hubRepository, startHub } from "../support/hub-server.js";
import { temporaryFolder } from "../support/temporary.js";

vi.setConfig({ testTimeout: 60_000, hookTimeout: 180_000 });

const folder = await temporaryFolder();
const at = (...parts: string[]) => join(folder, ...parts);
const run = (...args: string[]) => groupvit(args, { cwd: folder });

beforeAll(async () => {
  await saveRandomModel(at("model"));
  const noise = Uint8Array.from(
    { length: 90 * 70 * 3 },
    (_, i) => (i * i * 31 + (i >> 5) * 57) % 256,
  );
  await sharp(noise, { raw: { width: 90, height: 70, channels: 3 } }).toFile(at("one.png"));
  await writeFile(at("broken.jpg"), "this is no picture");
});

test("help has examples and loads neither the engine nor the picture library", async () => {
  const preload = at("loaded.mjs");
  await writeFile(
    preload,
    `process.on("exit", () => {
      const objects = process.report.getReport().sharedObjects;
      process.stderr.write(objects.filter((path) => /onnxruntime|vips|sharp/.test(path)).join());
    });`,
  );
  const env = { NODE_OPTIONS: `--import=${pathToFileURL(preload)}` };
  const commands = ["segment", "classify", "groups", "embed", "export", "convert", "doctor"];
  for (const args of [[], ...commands.map((command) => [command])]) {
    const help = await groupvit([...args, "--help"], { cwd: folder, env });
    expect({ code: help.code, stderr: help.stderr }).toEqual({ code: 0, stderr: "" });
    expect(help.stdout).toContain("Examples:\n  groupvit ");
    for (const line of help.stdout.split("\n")) expect(line.length).toBeLessThan(110);
  }
  // The check itself would notice.
  const used = await groupvit(["embed", "--text", "dog", "-m", "model"], { cwd: folder, env });
  expect(used.stderr).toMatch(/onnxruntime/);
});

test("version and usage errors", async () => {
  const { version } = JSON.parse(await readFile("package.json", "utf8")) as { version: string };
  expect(await run("--version")).toEqual({ code: 0, stdout: `${version}\n`, stderr: "" });
  for (const [args, part] of [
    [["segmnet"], "Did you mean segment?"],
    [["segment"], "missing required argument"],
    [["doctor", "--jsn"], "Did you mean --json?"],
    [["convert", "model", "--out", "x"], "--to"],
    [["convert", "model", "--to", "onnx", "--out", "x"], "Allowed choices"],
  ] as const) {
    const { code, stdout, stderr } = await run(...args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toMatch(/^groupvit: [^\n]+\n$/);
    expect(stderr).toContain(part);
  }
});

test("classify ranks labels as the API does", async () => {
  const labels = "cat, dog, tree";
  const { code, stdout, stderr } = await run(
    "classify",
    "one.png",
    "-m",
    "model",
    "-l",
    labels,
    "--json",
  );
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  const model = await GroupViT.load(at("model"));
  const expected = await (await model.encode(at("one.png"))).classify(labels);
  await model.release();
  expect(JSON.parse(stdout)).toEqual({
    model: "model",
    images: [{ file: "one.png", labels: expected }],
    errors: [],
  });
  const text = await run("classify", "one.png", "-m", "model", "-l", labels, "--top", "1");
  expect(text.stdout).toBe(`one.png\n  ${expected[0]!.score.toFixed(3)}  ${expected[0]!.label}\n`);
});

test("groups draws every mode at the picture's size", async () => {
  const modes = "input,pred,input_pred,input_pred_label,all_groups,first_group,final_group,sheet";
  const args = ["groups", "one.png", "-m", "model", "-o", "groups"];
  const all = await run(...args, "-l", "cat, dog", "--modes", modes, "--json");
  expect({ code: all.code, stderr: all.stderr }).toEqual({ code: 0, stderr: "" });
  const [image] = JSON.parse(all.stdout).images;
  expect(Object.keys(image.files).join()).toBe(modes);
  expect(image.stages.map(({ groups }: { groups: number }) => groups)).toEqual([12, 6]);
  for (const file of Object.values<string>(image.files)) {
    expect((await sharp(at(file)).metadata()).format).toBe("png");
  }
  const input = await decodePicture(at(image.files.input));
  expect(input.data).toEqual((await decodePicture(at("one.png"))).data);

  const without = await run(...args, "--modes", "first_group");
  expect(without.code).toBe(0);
  const needy = await run(...args, "--modes", "pred");
  expect(needy.code).toBe(2);
  expect(needy.stderr).toMatch(/^groupvit: mode pred: [^\n]+\n$/);
});

test("embed gives unit vectors as JSON and as a NumPy array", async () => {
  const model = await GroupViT.load(at("model"));
  const [text] = await model.embedTexts(["a dog, at night"]);
  const picture = await model.embedPicture(await decodePicture(at("one.png")));
  await model.release();
  expect(Math.hypot(...picture)).toBeCloseTo(1, 5);

  const args = ["embed", "one.png", "--text", "a dog, at night", "-m", "model"];
  const json = await run(...args);
  expect({ code: json.code, stderr: json.stderr }).toEqual({ code: 0, stderr: "" });
  expect(JSON.parse(json.stdout)).toEqual({
    model: "model",
    dim: 24,
    images: [{ file: "one.png", embedding: [...picture] }],
    errors: [],
    texts: [{ text: "a dog, at night", embedding: [...text!] }],
  });

  const file = await run(...args, "broken.jpg", "--out", "vectors/all.npy", "--json");
  expect(file.code).toBe(2);
  const document = JSON.parse(file.stdout);
  expect(document.images).toEqual([{ file: "one.png" }]);
  expect(document.errors).toHaveLength(1);
  const npy = await readFile(at("vectors", "all.npy"));
  expect(npy.toString("latin1")).toContain("'shape': (2, 24)");
  const values = Array.from({ length: 48 }, (_, i) => npy.readFloatLE(npy.length - 192 + i * 4));
  expect(values).toEqual([...picture, ...text!]);
  expect((await run("embed", "-m", "model")).stderr).toMatch(/^groupvit: embed: nothing given/);
});

test("convert: to every format and back, the same numbers", async () => {
  const original = (await loadCheckpoint(at("model"))).tensors;
  const steps = [
    ["model", "authors", "authors.pth"],
    ["authors.pth", "pytorch", "pytorch"],
    ["pytorch", "huggingface", "huggingface"],
  ] as const;
  for (const [from, to, out] of steps) {
    const { code, stdout, stderr } = await run("convert", from, "--to", to, "--out", out, "--json");
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    for (const file of JSON.parse(stdout).files) await stat(at(file));
    const { tensors, config } = await loadCheckpoint(at(out));
    expect(config).toEqual(randomModel().config);
    for (const [name, { bytes, ...rest }] of original) {
      const found = tensors.get(name)!;
      expect(found, name).toMatchObject(rest);
      expect(Buffer.compare(found.bytes, bytes), name).toBe(0);
    }
  }
  expect((await readdir(at("huggingface"))).sort()).toEqual([
    "config.json",
    "merges.txt",
    "model.safetensors",
    "preprocessor_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
  ]);
  await run("convert", "model", "--to", "huggingface", "--dtype", "f16", "--out", "half");
  const sizes = await Promise.all(
    ["half", "huggingface"].map(async (name) => (await stat(at(name, "model.safetensors"))).size),
  );
  expect(sizes[0]! / sizes[1]!).toBeCloseTo(0.5, 1);
  const half = (await loadCheckpoint(at("half"))).tensors;
  expect(half.get("logit_scale")).toEqual(original.get("logit_scale"));
});

test("convert: wrong places and types", async () => {
  for (const [args, part] of [
    [["--to", "authors", "--out", "model"], "a folder"],
    [["--to", "huggingface", "--out", "one.png"], "a file"],
    [["--to", "authors", "--out", "x.pth", "--dtype", "f16"], "f32 only"],
  ] as const) {
    const { code, stderr } = await run("convert", "model", ...args);
    expect(code).toBe(2);
    expect(stderr).toMatch(/^groupvit: [^\n]+\n$/);
    expect(stderr).toContain(part);
  }
  const broken = await run("convert", "broken.jpg", "--to", "authors", "--out", "x.pth");
  expect(broken.code).toBe(2);
  expect(broken.stderr).toMatch(/^groupvit: broken\.jpg: [^\n]+\n$/);
  expect(await readdir(folder)).not.toContain("x.pth");
});

test("export writes ONNX files", async () => {
  const three = await run("export", "-m", "model", "--out", "onnx", "--dtype", "fp16", "--json");
  expect({ code: three.code, stderr: three.stderr }).toEqual({ code: 0, stderr: "" });
  const files = ["image.onnx", "text.onnx", "matcher.onnx"].map((name) => join("onnx", name));
  expect(JSON.parse(three.stdout)).toEqual({ model: "model", files });
  const one = await run("export", "-m", "model", "--out", "onnx", "--parts", "one");
  expect(one.code).toBe(0);
  expect((await readdir(at("onnx"))).sort()).toEqual([
    "groupvit.onnx",
    "image.onnx",
    "matcher.onnx",
    "text.onnx",
  ]);
});

test("doctor tells what works and keeps secrets", async () => {
  const env = { HF_TOKEN: "hf_secret", HF_ENDPOINT: "https://hub.example.org" };
  const { code, stdout, stderr } = await groupvit(["doctor", "--json"], { cwd: folder, env });
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  const report = JSON.parse(stdout);
  expect(report.providers[0]).toEqual({ device: "cpu", usable: true });
  expect(report.providers.at(-1)).toEqual({ device: "wasm", usable: true });
  expect(report.hub).toEqual({ endpoint: "https://hub.example.org", offline: false, token: true });
  expect(report.onnxruntime).toMatch(/^1\./);
  expect(report.pictures.formats).toEqual(["JPEG", "PNG", "WebP", "GIF", "TIFF", "AVIF"]);
  const text = await groupvit(["doctor"], { cwd: folder, env });
  expect(text.stdout).toMatch(/\n {2}cpu +works\n/);
  expect(stdout + text.stdout).not.toContain("hf_secret");
});

test("models from the Hub: downloaded once, then without network and offline", async () => {
  const files: Record<string, Uint8Array> = {};
  for (const name of await readdir(at("model"))) files[name] = await readFile(at("model", name));
  const hub = await startHub({ "org/tiny": hubRepository(files) });
  const classify = (env: Record<string, string>) =>
    groupvit(["classify", "one.png", "-m", "org/tiny", "-l", "cat, dog"], { cwd: folder, env });
  const here = { HF_ENDPOINT: hub.endpoint };
  let expected: string;
  try {
    const early = await classify({ ...here, HF_HUB_OFFLINE: "1" });
    expect({ code: early.code, stdout: early.stdout }).toEqual({ code: 2, stdout: "" });
    expect(early.stderr).toMatch(/^groupvit: Hub model org\/tiny: offline mode [^\n]+\n$/);
    const first = await classify(here);
    expect({ code: first.code, stderr: first.stderr }).toEqual({ code: 0, stderr: "" });
    expected = first.stdout;
    const fetched = hub.requests.filter(({ host }) => host === "storage").length;
    expect(fetched).toBeGreaterThan(0);
    expect((await classify(here)).stdout).toBe(expected);
    expect(hub.requests.filter(({ host }) => host === "storage")).toHaveLength(fetched);
    const unknown = await groupvit(["classify", "one.png", "-m", "org/none", "-l", "cat"], {
      cwd: folder,
      env: here,
    });
    expect(unknown.code).toBe(2);
    expect(unknown.stderr).toMatch(/^groupvit: Hub model org\/none: [^\n]+\n$/);
  } finally {
    await hub.close();
  }
  const cut = await classify(here);
  expect({ code: cut.code, stdout: cut.stdout }).toEqual({ code: 0, stdout: expected });
  expect(cut.stderr).toMatch(/^groupvit: Hub model org\/tiny: [^\n]+using the copy in [^\n]+\n$/);
  const offline = await classify({ ...here, HF_HUB_OFFLINE: "1" });
  expect(offline).toEqual({ code: 0, stdout: expected, stderr: "" });
  const absent = await groupvit(["classify", "one.png", "-m", "org/absent", "-l", "cat"], {
    cwd: folder,
    env: here,
  });
  expect({ code: absent.code, stdout: absent.stdout }).toEqual({ code: 2, stdout: "" });
  expect(absent.stderr).toMatch(/^groupvit: Hub model org\/absent: [^\n]+\n$/);
});
