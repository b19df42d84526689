// The optimiser: AdamW with global-norm clipping and the authors' decay rule, and Muon for the matrices
// of the towers where a run asks for it. Parameters are updated in place, in one pass over memory.

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

export interface OptimiserOptions extends AdamWOptions {
  /**
   * How weight matrices inside the towers and projectors are updated. `muon` (Jordan et al. 2024):
   * momentum, made orthogonal; everything else stays with AdamW. Default `adamw`, the published run's.
   */
  matrices?: "adamw" | "muon";
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

/**
 * Whether Muon updates a parameter: matrices that map features to features, not tables of them. The
 * projections that decide assignments stay with AdamW: under gumbel noise their gradients have hardly a
 * direction at first, and updates of one size in all directions never grow (docs/experiments.md).
 */
export function isOrthogonalised(
  name: string,
  shape: readonly number[],
  { matrices }: OptimiserOptions,
): boolean {
  if (matrices !== "muon" || shape.length !== 2) return false;
  return !/embedding|\.assign\.[qk]_proj\./.test(name);
}

/** What an update reads and writes: all of the parameter's size. */
export interface Slot {
  name: string;
  shape: readonly number[];
  parameter: Float32Array;
  grad: Float32Array;
  first: Float32Array;
}

/** Euclidean norm over all gradients. */
export function globalNorm(grads: Iterable<Float32Array>): number {
  let total = 0;
  for (const grad of grads) {
    let sum = 0;
    for (let i = 0; i < grad.length; i++) sum += grad[i]! * grad[i]!;
    total += sum;
  }
  return Math.sqrt(total);
}

/** Factor that brings gradients of this norm below the largest allowed one, as PyTorch computes it. */
export function clipFactor(norm: number, clipNorm: number): number {
  return clipNorm > 0 ? Math.min(1, clipNorm / (norm + 1e-6)) : 1;
}

/**
 * One AdamW update in place (Loshchilov & Hutter 2019, as PyTorch computes it).
 *
 * @param step number of this update, from 1
 * @param clip factor of the gradient
 */
export function adamW(
  { name, shape, parameter, grad, first, second }: Slot & { second: Float32Array },
  step: number,
  learningRate: number,
  clip: number,
  { beta1, beta2, eps, weightDecay }: AdamWOptions,
): void {
  const rate = learningRate / (1 - beta1 ** step);
  const correction = 1 / Math.sqrt(1 - beta2 ** step);
  const keep = decays(name, shape) ? 1 - learningRate * weightDecay : 1;
  const [fresh1, fresh2] = [clip * (1 - beta1), clip * clip * (1 - beta2)];
  for (let i = 0; i < parameter.length; i++) {
    const g = grad[i]!;
    const v = second[i]!;
    if (g === 0 && v === 0) {
      // Never touched, as most rows of a word table in a small vocabulary: it only decays.
      parameter[i]! *= keep;
      continue;
    }
    const m = beta1 * first[i]! + fresh1 * g;
    const w = beta2 * v + fresh2 * g * g;
    first[i] = m;
    second[i] = w;
    parameter[i] = parameter[i]! * keep - (rate * m) / (Math.sqrt(w) * correction + eps);
  }
}

const MUON_MOMENTUM = 0.95;
/** Brings an orthogonal update to the usual size of AdamW's (Liu et al. 2025, section 2.2). */
const MUON_SCALE = 0.2;

/** Moves Muon's momentum on and gives the matrix that is to be made orthogonal (Nesterov's look ahead). */
export function muonDirection({ grad, first }: Slot): Float32Array {
  const ahead = new Float32Array(grad.length);
  for (let i = 0; i < grad.length; i++) {
    const fresh = (1 - MUON_MOMENTUM) * grad[i]!;
    const m = MUON_MOMENTUM * first[i]! + fresh;
    first[i] = m;
    ahead[i] = MUON_MOMENTUM * m + fresh;
  }
  return ahead;
}

/** One Muon update in place; learning rate and decay mean what they mean for AdamW. */
export function muon(
  { shape, parameter }: Slot,
  direction: Float32Array,
  learningRate: number,
  { weightDecay }: AdamWOptions,
): void {
  const keep = 1 - learningRate * weightDecay;
  const rate = learningRate * MUON_SCALE * Math.sqrt(Math.max(...shape));
  for (let i = 0; i < parameter.length; i++) {
    parameter[i] = parameter[i]! * keep - rate * direction[i]!;
  }
}

/** Coefficients of the quintic that drives singular values towards 1, and how often it is applied. */
const NEWTON_SCHULZ = [3.4445, -4.775, 2.0315] as const;
const NEWTON_SCHULZ_STEPS = 5;

/** A matrix of the same singular vectors whose singular values are all near 1 (0.7 to 1.2). */
export function orthogonalised(matrix: Tensor): Tensor {
  const [rows, columns] = matrix.shape as [number, number];
  const wide = rows <= columns ? matrix : g.transpose(matrix, [1, 0]);
  const length = g.sqrt(g.reduceSum(g.multiply(wide, wide), [0, 1], false));
  let x = g.divide(wide, g.add(length, g.scalar(1e-12)));
  const [a, b, c] = NEWTON_SCHULZ;
  for (let step = 0; step < NEWTON_SCHULZ_STEPS; step++) {
    const square = g.gemm(x, x, { transA: false, transB: true });
    const fourth = g.gemm(square, square, { transA: false, transB: false });
    const factor = g.add(g.multiply(square, g.scalar(b)), g.multiply(fourth, g.scalar(c)));
    x = g.add(g.multiply(x, g.scalar(a)), g.gemm(factor, x, { transA: false, transB: false }));
  }
  return rows <= columns ? x : g.transpose(x, [1, 0]);
}
