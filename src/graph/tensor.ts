// The graph itself: nodes that apply an operation of the table (operations.ts) to tensors. Building a
// graph computes nothing; it is turned into ONNX (onnx.ts) or into its gradient (gradient.ts).

import type { Dim } from "./dim.js";
import type { AttributesOf, OperationName } from "./operations.js";

/** `i64` only enters exported files: the engine's own graphs count in `i32`. */
export type DType = "f32" | "i32" | "i64" | "bool";

/** A typed value in a graph. Immutable; made by the functions of `build.ts`. */
export interface Tensor {
  readonly dtype: DType;
  readonly shape: readonly Dim[];
  /** What computes it. */
  readonly node: Node;
  /** Which output of the node it is. */
  readonly index: number;
}

export interface Node<Name extends OperationName = OperationName> {
  readonly operation: Name;
  readonly attributes: AttributesOf<Name>;
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly Tensor[];
  /** Creation order: every node's inputs have smaller numbers. */
  readonly id: number;
}

/** Every node that the given tensors depend on, inputs before users. */
export function reachable(outputs: readonly Tensor[]): Node[] {
  const seen = new Set<Node>();
  const stack = outputs.map((tensor) => tensor.node);
  while (stack.length > 0) {
    const node = stack.pop()!;
    if (seen.has(node)) continue;
    seen.add(node);
    for (const input of node.inputs) stack.push(input.node);
  }
  return [...seen].sort((a, b) => a.id - b.id);
}
