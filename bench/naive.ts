// The naive path to compare with, in the same engine and language: the graph as an exporter writes it,
// with separate products for queries, keys and values and plain attention; text as processors pad it;
// decoding by score maps of every label; the optimiser as a list of tensor operations. It gives the same
// results.

import * as g from "../src/graph/build.js";
import { toOnnx } from "../src/graph/onnx.js";
import type { Node, Tensor } from "../src/graph/tensor.js";
import { reachable } from "../src/graph/tensor.js";
import type { EncodedPicture } from "../src/groupvit.js";
import { IMAGENET_MEAN, IMAGENET_STD, toPatches } from "../src/input/normalize.js";
import type { Picture } from "../src/input/picture.js";
import type { GroupViTConfig } from "../src/model/config.js";
import type { Outputs } from "../src/model/inference.js";
import { imageGraph, textGraph } from "../src/model/inference.js";
import { causalMask, endOfText } from "../src/runtime/engine.js";
import type { Session, Value } from "../src/runtime/session.js";
import { createSession } from "../src/runtime/session.node.js";
import { affinity } from "../src/segment/affinity.js";
import { multiplyAssignments } from "../src/segment/encoding.js";
import { bilinearAxis } from "../src/segment/interpolate.js";
import type { Size } from "../src/segment/layout.js";
import type { AdamWOptions, Slot } from "../src/train/optimiser.js";

/** The packed product behind one of its parts: slice of transpose of reshape of (reshaped) gemm. */
function packedBehind(node: Node): { gemm: Node; part: number } | undefined {
  if (node.operation !== "slice") return undefined;
  const { axis, start } = node.attributes as { axis: number; start: number };
  const transpose = node.inputs[0]!.node;
  if (axis !== 0 || transpose.operation !== "transpose") return undefined;
  let below = transpose.inputs[0]!.node;
  while (below.operation === "reshape") below = below.inputs[0]!.node;
  const packed = below.operation === "gemm" && below.inputs[1]!.node.operation === "concat";
  return packed ? { gemm: below, part: start } : undefined;
}

/** The same graph with one product for each of queries, keys and values. */
export function separateProjections(outputs: Outputs): Outputs {
  const renewed = new Map<Tensor, Tensor>();
  const now = (tensor: Tensor) => renewed.get(tensor) ?? tensor;
  for (const node of reachable(Object.values(outputs))) {
    const packed = packedBehind(node);
    if (packed) {
      const { gemm, part } = packed;
      const [x, weights, biases] = gemm.inputs as [Tensor, Tensor, Tensor];
      const weight = now(weights.node.inputs[part]!);
      const bias = now(biases.node.inputs[part]!);
      const product = g.gemm(now(x), weight, { transA: false, transB: true }, bias);
      const [, batch, heads, tokens, width] = node.outputs[0]!.shape;
      const split = g.reshape(product, [batch!, tokens!, heads!, width!]);
      const byHead = g.transpose(split, [0, 2, 1, 3]);
      renewed.set(node.outputs[0]!, g.reshape(byHead, node.outputs[0]!.shape));
    } else if (node.inputs.some((input) => renewed.has(input))) {
      const copy = g.input("", "f32", []).node; // for its number: nodes are ordered by it
      const rebuilt: Node = {
        operation: node.operation,
        attributes: node.attributes,
        inputs: node.inputs.map(now),
        outputs: [],
        id: copy.id,
      };
      node.outputs.forEach((tensor, index) => {
        const next = { ...tensor, node: rebuilt, index };
        (rebuilt.outputs as Tensor[]).push(next);
        renewed.set(tensor, next);
      });
    }
  }
  return Object.fromEntries(Object.entries(outputs).map(([name, tensor]) => [name, now(tensor)]));
}

/** Inputs of the text graph with every prompt padded to the longest that the model reads. */
export function paddedTextFeeds(
  prompts: readonly (readonly number[])[],
  config: GroupViTConfig["text"],
): Record<string, Value> {
  const tokens = config.maxPositionEmbeddings;
  const ids = new Int32Array(prompts.length * tokens);
  const ends = new Int32Array(prompts.length);
  prompts.forEach((prompt, row) => {
    ids.set(prompt, row * tokens);
    ends[row] = row * tokens + endOfText(prompt);
  });
  return {
    ids: { shape: [prompts.length, tokens], data: ids },
    positions: { shape: [tokens], data: Int32Array.from({ length: tokens }, (_, i) => i) },
    mask: { shape: [1, 1, tokens, tokens], data: causalMask(tokens) },
    ends: { shape: [prompts.length], data: ends },
  };
}

type Weights = ReadonlyMap<string, Float32Array>;

function open(graph: Outputs, weights: Weights): Promise<Session> {
  return createSession(toOnnx(separateProjections(graph), { weights }), { keepMemory: true });
}

/** Encodes pictures that have their size already. */
export async function naiveImageTower(config: GroupViTConfig, weights: Weights) {
  const session = await open(imageGraph(config), weights);
  const { patchSize, hiddenSize } = config.vision;
  return (view: Picture) => {
    const { patches, rows, columns } = toPatches(view, IMAGENET_MEAN, IMAGENET_STD, patchSize);
    const count = rows * columns;
    return session.run({
      patches: { shape: [1, count, patches.length / count], data: patches },
      positions: { shape: [1, count, hiddenSize], data: new Float32Array(count * hiddenSize) },
    });
  };
}

/** Prompts that go through at once: all logits of a layer must fit into memory. */
const PROMPTS = 256;

/** Encodes tokenised prompts. */
export async function naiveTextTower(config: GroupViTConfig, weights: Weights) {
  const session = await open(textGraph(config), weights);
  return async (prompts: readonly (readonly number[])[]) => {
    for (let start = 0; start < prompts.length; start += PROMPTS) {
      await session.run(paddedTextFeeds(prompts.slice(start, start + PROMPTS), config.text));
    }
  };
}

/**
 * Decodes a picture of one window: of each label a score map at full size, all but the largest values
 * thrown away.
 *
 * @param embeds label embeddings [labels, dim]
 * @returns [height, width]
 */
export function naiveDecode(
  { windows, width, height }: EncodedPicture,
  embeds: Float32Array,
  logitScale: number,
): Int32Array {
  const { window, encoding } = windows[0]!;
  const { rows, columns, assignments, groups } = encoding;
  const view = { width: window.x1 - window.x0, height: window.y1 - window.y0 };
  const product = multiplyAssignments(assignments, groups, rows * columns).at(-1)!; // [patches, segments]
  const segments = groups.at(-1)!;
  const grid = { width: columns, height: rows };
  const segmentMap = largestOf(segments, grid, view, (segment) =>
    Float64Array.from({ length: rows * columns }, (_, i) => product[i * segments + segment]!),
  );
  const { topLabels, scores } = affinity(encoding, embeds, logitScale, 5);
  const labels = embeds.length / encoding.imageEmbed.length;
  return largestOf(labels, view, { width, height }, (label) => {
    const map = new Float64Array(segmentMap.length);
    const column = topLabels.indexOf(label);
    if (column < 0) return map;
    for (let i = 0; i < map.length; i++) {
      map[i] = scores[segmentMap[i]! * topLabels.length + column]!;
    }
    return map;
  });
}

/** Resizes maps one after the other; which is the largest at each pixel, the first among equals. */
function largestOf(
  count: number,
  from: Size,
  to: Size,
  mapOf: (index: number) => Float64Array,
): Int32Array {
  const xs = bilinearAxis(from.width, to.width);
  const ys = bilinearAxis(from.height, to.height);
  const largest = new Float64Array(to.width * to.height).fill(-1);
  const winners = new Int32Array(largest.length);
  for (let index = 0; index < count; index++) {
    const map = mapOf(index);
    for (let y = 0, pixel = 0; y < to.height; y++) {
      const [top, bottom] = [ys.low[y]! * from.width, ys.high[y]! * from.width];
      const below = ys.fraction[y]!;
      for (let x = 0; x < to.width; x++, pixel++) {
        const [left, right, part] = [xs.low[x]!, xs.high[x]!, xs.fraction[x]!];
        const value =
          (1 - below) * ((1 - part) * map[top + left]! + part * map[top + right]!) +
          below * ((1 - part) * map[bottom + left]! + part * map[bottom + right]!);
        if (value > largest[pixel]!) {
          largest[pixel] = value;
          winners[pixel] = index;
        }
      }
    }
  }
  return winners;
}

/** AdamW without clipping, each operation over the whole tensor. */
export function naiveAdamW(
  { parameter, grad, first, second }: Slot & { second: Float32Array },
  step: number,
  learningRate: number,
  { beta1, beta2, eps, weightDecay }: AdamWOptions,
): void {
  const count = parameter.length;
  const denominator = new Float32Array(count);
  for (let i = 0; i < count; i++) parameter[i]! *= 1 - learningRate * weightDecay;
  for (let i = 0; i < count; i++) first[i]! *= beta1;
  for (let i = 0; i < count; i++) first[i]! += (1 - beta1) * grad[i]!;
  for (let i = 0; i < count; i++) second[i]! *= beta2;
  for (let i = 0; i < count; i++) second[i]! += (1 - beta2) * grad[i]! * grad[i]!;
  for (let i = 0; i < count; i++) denominator[i] = Math.sqrt(second[i]!);
  for (let i = 0; i < count; i++) denominator[i]! /= Math.sqrt(1 - beta2 ** step);
  for (let i = 0; i < count; i++) denominator[i]! += eps;
  const rate = learningRate / (1 - beta1 ** step);
  for (let i = 0; i < count; i++) parameter[i]! -= (rate * first[i]!) / denominator[i]!;
}
