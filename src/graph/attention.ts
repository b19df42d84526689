// Finds attention in a graph, so that the file writer can hand it to ONNX Runtime's one kernel for it,
// which never holds all logits at once: less memory, and faster from a few hundred tokens on.

import { sameShape } from "./dim.js";
import type { Node, Tensor } from "./tensor.js";

/** softmax(queries x keys transposed) x values, for each head; scales are folded into the queries. */
export interface Attention {
  /** [batch, heads, queries, width] */
  queries: Tensor;
  /** [batch, heads, keys, width], as the values. */
  keys: Tensor;
  values: Tensor;
  heads: number;
  /** Width of a head. */
  width: number;
}

/**
 * The attentions of a graph by the node that closes each (the product with the values), and the nodes
 * inside them, which nothing else reads.
 *
 * @param order the graph's nodes, inputs before users
 * @param outputs the graph's outputs: what is read from outside
 */
export function findAttentions(
  order: readonly Node[],
  outputs: readonly Tensor[],
): { attentions: Map<Node, Attention>; inner: Set<Node> } {
  const users = new Map<Node, number>();
  const count = ({ node }: Tensor) => users.set(node, (users.get(node) ?? 0) + 1);
  for (const node of order) node.inputs.forEach(count);
  outputs.forEach(count);

  const attentions = new Map<Node, Attention>();
  const inner = new Set<Node>();
  for (const node of order) {
    if (node.operation !== "matmul") continue;
    const [shares, values] = node.inputs as [Tensor, Tensor];
    const softmax = shares.node;
    if (softmax.operation !== "softmax" || shares.shape.length !== 4) continue;
    const { axis } = (softmax as Node<"softmax">).attributes;
    const product = softmax.inputs[0]!.node;
    if ((axis !== -1 && axis !== 3) || product.operation !== "matmul") continue;
    const [queries, swapped] = product.inputs as [Tensor, Tensor];
    const swap = swapped.node;
    if (swap.operation !== "transpose") continue;
    const keys = swap.inputs[0]!;
    const { order: axes } = (swap as Node<"transpose">).attributes;
    const parts = [softmax, product, swap];
    const [, heads, , width] = queries.shape;
    if (
      axes.join() === "0,1,3,2" &&
      typeof heads === "number" &&
      typeof width === "number" &&
      sameShape(keys.shape, values.shape) &&
      parts.every((part) => users.get(part) === 1)
    ) {
      attentions.set(node, { queries, keys, values, heads, width });
      for (const part of parts) inner.add(part);
    }
  }
  return { attentions, inner };
}
