// AdamW with global-norm clipping, as graph expressions: one per tensor, the authors' decay rule.

import * as g from "../graph/build.js";
import type { Tensor } from "../graph/tensor.js";

export interface AdamWOptions {
  beta1: number;
  beta2: number;
  eps: number;
  weightDecay: number;
  /** Largest global gradient norm; 0 leaves gradients as they are. */
  clipNorm: number;
}

/** The published run's settings. */
export const PUBLISHED_ADAMW: AdamWOptions = {
  beta1: 0.9,
  beta2: 0.999,
  eps: 1e-8,
  weightDecay: 0.05,
  clipNorm: 5,
};

/**
 * Weight decay falls on everything but vectors: norms and biases. Scalars (both logit scales) and
 * embeddings (positions, group tokens) do decay in the published run.
 */
export function decays(name: string, shape: readonly number[]): boolean {
  return shape.length !== 1 && !name.endsWith(".bias");
}

export interface Slot {
  name: string;
  shape: readonly number[];
  /** The parameter, its gradient and its two moments, all of `shape`. */
  parameter: Tensor;
  grad: Tensor;
  first: Tensor;
  second: Tensor;
}

/** Scalars that change from step to step, computed by `adamWScalars`. */
export interface StepScalars {
  /** Learning rate divided by the first bias correction. */
  rate: Tensor;
  /** One over the square root of the second bias correction. */
  correction: Tensor;
  /** Learning rate times weight decay. */
  decay: Tensor;
}

/** The scalars of step `step` (from 1) at a learning rate. */
export function adamWScalars(step: number, learningRate: number, options: AdamWOptions) {
  return {
    rate: learningRate / (1 - options.beta1 ** step),
    correction: 1 / Math.sqrt(1 - options.beta2 ** step),
    decay: learningRate * options.weightDecay,
  };
}

/** Euclidean norm over all gradients, a scalar. */
export function globalNorm(grads: readonly Tensor[]): Tensor {
  const squares = grads.map((grad) => {
    const axes = grad.shape.map((_, axis) => axis);
    return g.reduceSum(g.multiply(grad, grad), axes, false);
  });
  // Summed as one vector, not as a chain of additions.
  return g.sqrt(
    g.reduceSum(
      g.concat(
        squares.map((square) => g.reshape(square, [1])),
        0,
      ),
      [0],
      false,
    ),
  );
}

export interface Updated {
  parameter: Tensor;
  first: Tensor;
  second: Tensor;
}

/** One AdamW update (Loshchilov & Hutter 2019, as PyTorch computes it). */
export function adamW(
  slots: readonly Slot[],
  norm: Tensor,
  scalars: StepScalars,
  options: AdamWOptions,
): Updated[] {
  const { beta1, beta2, eps, clipNorm } = options;
  const clip =
    clipNorm > 0
      ? g.minimum(g.divide(g.scalar(clipNorm), g.add(norm, g.scalar(1e-6))), g.scalar(1))
      : g.scalar(1);
  // The clip factor is folded into the moments' factors: gradients are read once, never rewritten.
  const firstFactor = g.multiply(clip, g.scalar(1 - beta1));
  const secondFactor = g.multiply(g.multiply(clip, clip), g.scalar(1 - beta2));
  const keep = g.subtract(g.scalar(1), scalars.decay);
  return slots.map(({ name, shape, parameter, grad, first, second }) => {
    const newFirst = g.add(g.multiply(first, g.scalar(beta1)), g.multiply(grad, firstFactor));
    const square = g.multiply(grad, grad);
    const newSecond = g.add(g.multiply(second, g.scalar(beta2)), g.multiply(square, secondFactor));
    const deviation = g.multiply(g.sqrt(newSecond), scalars.correction);
    const update = g.divide(g.multiply(newFirst, scalars.rate), g.add(deviation, g.scalar(eps)));
    const kept = decays(name, shape) ? g.multiply(parameter, keep) : parameter;
    return { parameter: g.subtract(kept, update), first: newFirst, second: newSecond };
  });
}
