// The naive path to compare with: the graph as an exporter writes it, with separate products for
// queries, keys and values, and text as processors pad it. It gives the same numbers.

import * as g from "../src/graph/build.js";
import type { Node, Tensor } from "../src/graph/tensor.js";
import { reachable } from "../src/graph/tensor.js";
import type { GroupViTConfig } from "../src/model/config.js";
import type { Outputs } from "../src/model/inference.js";
import { causalMask, endOfText } from "../src/runtime/engine.js";
import type { Value } from "../src/runtime/session.js";

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
