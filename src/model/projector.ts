// The projector that closes each tower: linear, batch norm, ReLU, linear into the shared space.

import * as g from "../graph/build.js";
import type { Tensor } from "../graph/tensor.js";
import type { GroupViTConfig } from "./config.js";
import type { ModelContext } from "./layers.js";
import { linear } from "./layers.js";

const BATCH_NORM_EPS = 1e-5;

/** Batch statistics of a projector in training, for the running averages. */
export interface BatchStatistics {
  /** [hidden] */
  mean: Tensor;
  /** Biased variance [hidden]. */
  variance: Tensor;
}

export type Projector = "visual_projection" | "text_projection";

/** The projector with running statistics, as used at inference: rows [n, width] to [n, dim]. */
export function project(
  ctx: ModelContext,
  name: Projector,
  rows: Tensor,
  config: GroupViTConfig,
): Tensor {
  const size = [config.projectionIntermediateDim];
  const mean = ctx.parameter(`${name}.1.running_mean`, size);
  const variance = ctx.parameter(`${name}.1.running_var`, size);
  const hidden = linear(ctx, `${name}.0`, rows, config.projectionIntermediateDim);
  // Scale and shift depend on weights alone: they are folded into two vectors.
  const deviation = g.sqrt(g.add(variance, g.scalar(BATCH_NORM_EPS)));
  const scale = g.divide(ctx.parameter(`${name}.1.weight`, size), deviation);
  const shift = g.subtract(ctx.parameter(`${name}.1.bias`, size), g.multiply(mean, scale));
  return finish(ctx, name, g.add(g.multiply(hidden, scale), shift), config);
}

/**
 * The projector in training: batch norm over the rows of the whole batch.
 *
 * @returns the rows projected, their statistics, and `also`, which projects other rows with these statistics
 */
export function projectBatch(
  ctx: ModelContext,
  name: Projector,
  rows: Tensor,
  config: GroupViTConfig,
): { projected: Tensor; statistics: BatchStatistics; also(others: Tensor): Tensor } {
  const size = [config.projectionIntermediateDim];
  const first = (x: Tensor) => linear(ctx, `${name}.0`, x, config.projectionIntermediateDim);
  const hidden = first(rows);
  const mean = g.reduceMean(hidden, 0, true);
  const centred = g.subtract(hidden, mean);
  const variance = g.reduceMean(g.multiply(centred, centred), 0, true);
  const deviation = g.sqrt(g.add(variance, g.scalar(BATCH_NORM_EPS)));
  const scale = g.divide(ctx.parameter(`${name}.1.weight`, size), deviation);
  const close = (x: Tensor) => {
    const normed = g.add(g.multiply(x, scale), ctx.parameter(`${name}.1.bias`, size));
    return finish(ctx, name, normed, config);
  };
  return {
    projected: close(centred),
    statistics: { mean: g.reshape(mean, size), variance: g.reshape(variance, size) },
    also: (others) => close(g.subtract(first(others), mean)),
  };
}

function finish(ctx: ModelContext, name: Projector, normed: Tensor, config: GroupViTConfig) {
  return linear(ctx, `${name}.3`, g.relu(normed), config.projectionDim);
}
