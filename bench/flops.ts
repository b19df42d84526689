// How much arithmetic a graph's matrix products hold.

import type { Dim } from "../src/graph/dim.js";
import type { Node, Tensor } from "../src/graph/tensor.js";
import { reachable } from "../src/graph/tensor.js";

function sizeOf(dim: Dim, sizes: Readonly<Record<string, number>>): number {
  if (typeof dim === "number") return dim;
  let sum = 0;
  for (const [monomial, factor] of dim.terms) {
    let product = factor;
    for (const name of monomial.split("*")) {
      if (name === "") continue;
      const size = sizes[name];
      if (size === undefined) throw new Error(`size "${name}" of the graph is not given`);
      product *= size;
    }
    sum += product;
  }
  return sum;
}

/**
 * Floating-point operations of all products, 10^9, two for each multiplication with addition.
 *
 * @param sizes values of the graph's symbolic sizes
 */
export function gigaFlop(
  outputs: Readonly<Record<string, Tensor>>,
  sizes: Readonly<Record<string, number>> = {},
): number {
  let total = 0;
  for (const node of reachable(Object.values(outputs))) {
    if (node.operation !== "gemm" && node.operation !== "matmul") continue;
    const [left] = node.inputs as [Tensor];
    const transposed = node.operation === "gemm" && (node as Node<"gemm">).attributes.transA;
    const inner = left.shape[left.shape.length - (transposed ? 2 : 1)]!;
    const dims = [inner, ...node.outputs[0]!.shape];
    total += 2 * dims.reduce<number>((product, dim) => product * sizeOf(dim, sizes), 1);
  }
  return total / 1e9;
}
