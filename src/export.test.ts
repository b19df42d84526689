// Exported files in ONNX Runtime, native and wasm, against the package's own engine and decoding.

import { fileURLToPath } from "node:url";
import * as native from "onnxruntime-node";
import * as web from "onnxruntime-web";
import { beforeAll, describe, expect, it } from "vitest";
import { parseMessage } from "../test/support/protobuf.js";
import { floats, largestDifference, readTensors, tensor } from "../test/support/segment.js";
import { configToJson, parseConfig } from "./checkpoint/config-file.js";
import { fromFloat32 } from "./checkpoint/dtypes.js";
import { loadCheckpoint } from "./checkpoint/load.node.js";
import { parameterShapes } from "./checkpoint/shapes.js";
import type { TensorMap } from "./checkpoint/tensors.js";
import { graphWeights } from "./checkpoint/weights.js";
import { InputError } from "./errors.js";
import { exportOnnx } from "./export.js";
import { patchesFromPixels } from "./input/normalize.js";
import type { LoadedCheckpoint } from "./platform.js";
import { Random } from "./random.js";
import { Engine } from "./runtime/engine.js";
import { createSession } from "./runtime/session.node.js";
import { affinity, logitScaleFactor } from "./segment/affinity.js";

const tiny = fileURLToPath(new URL("../test/fixtures/tiny", import.meta.url));
const inputs = readTensors("tiny/inputs.safetensors");
const expected = readTensors("tiny/expected.safetensors.gz");

type Feeds = Record<string, { data: Float32Array | BigInt64Array; dims: readonly number[] }>;
type Results = Record<string, { data: Float32Array; dims: readonly number[] }>;

async function runNative(onnx: Uint8Array, feeds: Feeds): Promise<Results> {
  const session = await native.InferenceSession.create(onnx, { logSeverityLevel: 3 });
  const tensors = Object.entries(feeds).map(([name, { data, dims }]) => [
    name,
    data instanceof Float32Array
      ? new native.Tensor("float32", data, dims)
      : new native.Tensor("int64", data, dims),
  ]);
  const results = await session.run(Object.fromEntries(tensors));
  await session.release();
  return results as unknown as Results;
}

async function runWeb(onnx: Uint8Array, feeds: Feeds): Promise<Results> {
  web.env.wasm.numThreads = 1;
  const session = await web.InferenceSession.create(onnx, { executionProviders: ["wasm"] });
  const tensors = Object.entries(feeds).map(([name, { data, dims }]) => [
    name,
    data instanceof Float32Array
      ? new web.Tensor("float32", data, dims)
      : new web.Tensor("int64", data, dims),
  ]);
  const results = await session.run(Object.fromEntries(tensors));
  await session.release();
  return results as unknown as Results;
}

const engines = { native: runNative, wasm: runWeb };

/** Rows divided by their lengths, in double precision. */
function normalized(rows: Float32Array, dim: number): Float32Array {
  return rows.map((x, i) => x / Math.hypot(...rows.subarray(i - (i % dim), i - (i % dim) + dim)));
}

function random(size: number, seed: number): Float32Array {
  const source = new Random(seed);
  return Float32Array.from({ length: size }, () => 2 * source.uniform() - 1);
}

function tokenIds(name: string): { data: BigInt64Array; dims: readonly number[] } {
  const { bytes, shape } = tensor(inputs, name);
  return { data: new BigInt64Array(Uint8Array.from(bytes).buffer), dims: shape };
}

let checkpoint: LoadedCheckpoint;
let engine: Engine;
let three: Map<string, Uint8Array>;
let one: Uint8Array;
beforeAll(async () => {
  checkpoint = await loadCheckpoint(tiny);
  engine = new Engine(checkpoint.config, graphWeights(checkpoint.tensors), createSession);
  three = exportOnnx(checkpoint);
  one = exportOnnx(checkpoint, { parts: "one" }).get("groupvit.onnx")!;
});

async function imageInside(pixels: Float32Array, batch: number, height: number, width: number) {
  const { patches, rows, columns } = patchesFromPixels(pixels, [batch, 3, height, width], 8);
  return engine.encodeImages(patches, batch, rows, columns);
}

describe.each(Object.entries(engines))("exported files in ONNX Runtime (%s)", (_, run) => {
  // The native size, the reference's sizes, one patch, sizes that are no multiple of the patch.
  it.each([
    [2, 64, 64],
    [1, 96, 64],
    [3, 72, 120],
    [1, 8, 8],
    [1, 71, 130],
    [1, 32, 128],
  ])("image tower: %i pictures of %i x %i", async (batch, height, width) => {
    const pixels = random(batch * 3 * height * width, height + width);
    const result = await run(three.get("image.onnx")!, {
      pixel_values: { data: pixels, dims: [batch, 3, height, width] },
    });
    const inside = await imageInside(pixels, batch, height, width);
    expect(Object.keys(result).sort()).toEqual([
      "assignment_0",
      "assignment_1",
      "image_embeds",
      "segment_embeds",
    ]);
    expect(result.image_embeds!.dims).toEqual([batch, 32]);
    expect(result.segment_embeds!.dims).toEqual([batch, 4, 32]);
    expect(result.assignment_0!.dims[2]).toBe(Math.floor(height / 8) * Math.floor(width / 8));
    const close = (name: string, values: Float32Array) =>
      expect(largestDifference(result[name]!.data, values), name).toBeLessThan(1e-4);
    close("image_embeds", normalized(inside.image, 32));
    close("segment_embeds", normalized(inside.segments, 32));
    close("assignment_0", inside.assignments[0]!);
    close("assignment_1", inside.assignments[1]!);
  });

  it("image tower: the authors' reference at another size", async () => {
    const result = await run(three.get("image.onnx")!, {
      pixel_values: { data: floats(inputs, "pixel_values_96x64"), dims: [2, 3, 96, 64] },
    });
    const reference = floats(expected, "nv_96x64.image_embeds");
    expect(largestDifference(result.image_embeds!.data, reference)).toBeLessThan(1e-5);
  });

  it.each([
    ["input_ids", "text_embeds"],
    ["input_ids_eotpad", "eotpad.text_embeds"],
  ])("text tower: %s", async (name, reference) => {
    const ids = tokenIds(name);
    const { text_embeds } = await run(three.get("text.onnx")!, { input_ids: ids });
    expect(text_embeds!.dims).toEqual([4, 32]);
    expect(largestDifference(text_embeds!.data, floats(expected, reference))).toBeLessThan(1e-5);
  });

  it.each([1, 3, 5, 12])("matcher: the authors' affinity to %i texts", async (labels) => {
    const images = normalized(random(2 * 32, 1), 32);
    const segments = normalized(random(2 * 4 * 32, 2), 32);
    const texts = normalized(random(labels * 32, 3), 32);
    const result = await run(three.get("matcher.onnx")!, {
      image_embeds: { data: images, dims: [2, 32] },
      segment_embeds: { data: segments, dims: [2, 4, 32] },
      text_embeds: { data: texts, dims: [labels, 32] },
    });
    expect(result.logits_per_image!.dims).toEqual([2, labels]);
    const scale = logitScaleFactor(engine.logitScale);
    for (let image = 0; image < 2; image++) {
      const inside = affinity(
        {
          imageEmbed: images.subarray(image * 32, image * 32 + 32),
          segmentEmbeds: segments.subarray(image * 128, image * 128 + 128),
        },
        texts,
        scale,
        5,
      );
      const size = 4 * labels;
      const scores = new Float32Array(size);
      const k = inside.topLabels.length;
      for (let segment = 0; segment < 4; segment++) {
        inside.topLabels.forEach((label, i) => {
          scores[segment * labels + label] = inside.scores[segment * k + i]!;
        });
      }
      const part = (name: string) => result[name]!.data.slice(image * size, (image + 1) * size);
      expect(largestDifference(part("segment_scores"), scores)).toBeLessThan(1e-6);
      expect(largestDifference(part("segment_logits"), inside.logits)).toBeLessThan(1e-4);
    }
  });

  it("one file gives what the three give", async () => {
    const pixels = { data: floats(inputs, "pixel_values_72x120"), dims: [1, 3, 72, 120] };
    const ids = tokenIds("input_ids");
    const all = await run(one, { pixel_values: pixels, input_ids: ids });
    const image = await run(three.get("image.onnx")!, { pixel_values: pixels });
    const text = await run(three.get("text.onnx")!, { input_ids: ids });
    const scores = await run(three.get("matcher.onnx")!, {
      image_embeds: image.image_embeds!,
      segment_embeds: image.segment_embeds!,
      text_embeds: text.text_embeds!,
    });
    const parts = { ...image, ...text, ...scores };
    expect(Object.keys(all).sort()).toEqual(Object.keys(parts).sort());
    for (const [name, { data, dims }] of Object.entries(parts)) {
      expect(all[name]!.dims).toEqual(dims);
      expect(largestDifference(all[name]!.data, data), name).toBeLessThan(1e-5);
    }
    const first = floats(expected, "nv_72x120.logits_per_image"); // three texts, on the first picture
    expect(largestDifference(all.logits_per_image!.data.slice(0, 3), first)).toBeLessThan(1e-4);
  });

  // Measured: 0.0003 and 0.008 of entries up to 0.5; full precision stays within 1e-5.
  it.each([
    ["fp16", 0.001],
    ["int8", 0.02],
  ] as const)("%s weights stay within %f", async (format, limit) => {
    const files = exportOnnx(checkpoint, { format });
    const ids = tokenIds("input_ids");
    const { text_embeds } = await run(files.get("text.onnx")!, { input_ids: ids });
    const difference = largestDifference(text_embeds!.data, floats(expected, "text_embeds"));
    expect(difference).toBeGreaterThan(0);
    expect(difference).toBeLessThan(limit);
    const pixel_values = { data: floats(inputs, "pixel_values"), dims: [4, 3, 64, 64] };
    const { image_embeds } = await run(files.get("image.onnx")!, { pixel_values });
    expect(image_embeds!.data.every(Number.isFinite)).toBe(true);
  });
});

/** A model with weights drawn from their names. */
function randomCheckpoint(vision: Record<string, unknown>): LoadedCheckpoint {
  const config = parseConfig({
    ...configToJson(checkpoint.config),
    vision_config: { ...(configToJson(checkpoint.config).vision_config as object), ...vision },
  });
  const tensors: TensorMap = new Map();
  for (const [name, shape] of parameterShapes(config)) {
    if (/position_ids|num_batches_tracked/.test(name)) continue;
    const source = new Random(name);
    const positive = name.endsWith("running_var") || name === "logit_scale";
    const values = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () =>
      positive ? 1 + source.uniform() : (source.uniform() - 0.5) / 2,
    );
    tensors.set(name, fromFloat32(values, shape));
  }
  return { config, tensors, files: {}, source: "test" };
}

describe("exported files of other architectures", () => {
  it.each([
    ["no grouping block", { depths: [2], num_group_tokens: [0], num_output_groups: [0] }, 0],
    [
      "one grouping block",
      { depths: [1, 1], num_group_tokens: [6, 0], num_output_groups: [6, 6] },
      1,
    ],
    ["one channel", { num_channels: 1 }, 2],
  ])("%s", async (_, vision, blocks) => {
    const other = randomCheckpoint(vision);
    const channels = other.config.vision.numChannels;
    const pixels = random(2 * channels * 40 * 72, 5);
    const { patches } = patchesFromPixels(pixels, [2, channels, 40, 72], 8);
    const inside = await new Engine(
      other.config,
      graphWeights(other.tensors),
      createSession,
    ).encodeImages(patches, 2, 5, 9);
    const result = await runNative(exportOnnx(other, { parts: "one" }).get("groupvit.onnx")!, {
      pixel_values: { data: pixels, dims: [2, channels, 40, 72] },
      input_ids: { data: BigInt64Array.of(0n, 4n, 511n), dims: [1, 3] },
    });
    const close = (name: string, values: Float32Array) =>
      expect(largestDifference(result[name]!.data, values), name).toBeLessThan(1e-4);
    expect(Object.keys(result).filter((name) => name.startsWith("assignment"))).toHaveLength(
      blocks,
    );
    close("image_embeds", normalized(inside.image, 32));
    close("segment_embeds", normalized(inside.segments, 32));
    for (const [i, values] of inside.assignments.entries()) close(`assignment_${i}`, values);
  });
});

describe("exported files", () => {
  it("say how to use them, and leave sizes open", () => {
    const model = parseMessage(one);
    const pairs = model.all(14).map((entry) => [entry.text(1), entry.text(2)]);
    const metadata: Record<string, string> = Object.fromEntries(pairs);
    const config = JSON.parse(metadata.config!);
    expect(config.vision_config.image_size).toBe(64);
    expect(JSON.parse(metadata.segmentation_mean!)).toEqual([0.485, 0.456, 0.406]);
    expect(metadata.tokenizer).toMatch(/CLIP/);
    expect(metadata.license).toMatch(/licence of the checkpoint/);
    const graph = model.one(7);
    const shapes = graph.all(11).map((info) => [
      info.text(1),
      info
        .one(2)
        .one(1)
        .one(2)
        .all(1)
        .map((dim) => dim.text(2) ?? dim.integer(1)),
    ]);
    expect(Object.fromEntries(shapes)).toEqual({
      pixel_values: ["batch", 3, "height", "width"],
      input_ids: ["texts", "tokens"],
    });
    expect(model.one(8).integer(2)).toBe(20);
    const domains = graph.all(1).map((node) => node.text(7) ?? "");
    expect(new Set(domains)).toEqual(new Set([""]));
  });

  it("halve with fp16, and shrink more with int8", () => {
    const size = (format: "fp32" | "fp16" | "int8") =>
      exportOnnx(checkpoint, { parts: "one", format }).get("groupvit.onnx")!.length;
    expect(size("fp16")).toBeLessThan(0.65 * size("fp32"));
    expect(size("int8")).toBeLessThan(0.65 * size("fp32"));
  });

  it("refuse what they do not know", () => {
    expect(() => exportOnnx(checkpoint, { parts: "two" as "one" })).toThrow(InputError);
    expect(() => exportOnnx(checkpoint, { format: "bf16" as "fp16" })).toThrow(/use fp32, fp16/);
  });
});
