// Reverse-mode differentiation as a transform of graphs: the rules stand in the operations' table, this
// walker only orders and sums.

import * as g from "./build.js";
import { sameShape } from "./dim.js";
import { operations } from "./operations.js";
import type { Node, Tensor } from "./tensor.js";
import { reachable } from "./tensor.js";

/** A tensor and the gradient of the loss with respect to it. */
export interface Seed {
  tensor: Tensor;
  grad: Tensor;
}

/** Operations whose value is piecewise constant: nothing flows back through them. */
const FLAT = new Set<string>(["equal", "argMax", "cast", "stopGradient"]);

type Rule = (node: Node, grads: readonly (Tensor | undefined)[]) => (Tensor | undefined)[];

/**
 * Gradients with respect to `wrt`, given gradients with respect to some tensors that depend on them.
 *
 * @returns one tensor per entry of `wrt`, of its shape; zeros where nothing depends on it
 * @throws Error naming an operation that has no gradient rule
 */
export function backpropagate(seeds: readonly Seed[], wrt: readonly Tensor[]): Tensor[] {
  const order = reachable(seeds.map((seed) => seed.tensor));
  const wanted = new Set(wrt);
  // Only what lies between `wrt` and the seeds is differentiated.
  const active = new Set<Tensor>(wrt);
  for (const node of order) {
    if (FLAT.has(node.operation)) continue;
    if (node.inputs.some((input) => active.has(input))) {
      for (const output of node.outputs) active.add(output);
    }
  }

  const grads = new Map<Tensor, Tensor>();
  const contribute = (tensor: Tensor, grad: Tensor) => {
    if (!sameShape(tensor.shape, grad.shape)) {
      throw new Error(
        `gradient of ${tensor.node.operation} has shape [${grad.shape.join(", ")}], ` +
          `its tensor [${tensor.shape.join(", ")}]`,
      );
    }
    const sum = grads.get(tensor);
    grads.set(tensor, sum ? g.add(sum, grad) : grad);
  };
  for (const { tensor, grad } of seeds) contribute(tensor, grad);

  for (const node of order.reverse()) {
    const outputGrads = node.outputs.map((output) => grads.get(output));
    if (outputGrads.every((grad) => grad === undefined)) continue;
    if (!node.inputs.some((input) => active.has(input))) continue;
    const rule = operations[node.operation].gradient as Rule | undefined;
    if (!rule) throw new Error(`operation "${node.operation}" has no gradient rule`);
    rule(node, outputGrads).forEach((grad, i) => {
      const input = node.inputs[i]!;
      if (grad && active.has(input)) contribute(input, grad);
    });
    // Intermediate gradients are not needed again.
    for (const output of node.outputs) if (!wanted.has(output)) grads.delete(output);
  }
  return wrt.map((tensor) => grads.get(tensor) ?? g.expand(g.scalar(0), tensor.shape));
}

/** Gradients of a scalar. */
export function gradient(loss: Tensor, wrt: readonly Tensor[]): Tensor[] {
  if (loss.shape.length !== 0) {
    throw new Error(`gradient: the loss must be a scalar, not [${loss.shape.join(", ")}]`);
  }
  return backpropagate([{ tensor: loss, grad: g.scalar(1) }], wrt);
}
