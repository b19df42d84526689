// How the learning rate moves over a run, and how long the run is.

import { ConfigError } from "../errors.js";
import { meanSamples, type TrainConfig } from "./config.js";

/** A run's length and learning rate in steps; everything else is derived from the configuration. */
export interface Schedule {
  /** Updates in all. */
  readonly steps: number;
  /** Learning rate of update `step`, counted from 0. */
  rate(step: number): number;
}

/**
 * The schedule of a configuration. Rates are scaled linearly by batch / baseBatch where the latter is
 * given. Cosine is counted from the run's first step, warm-up included, as timm counts it and the
 * published run had it.
 *
 * @param samples pictures of an epoch, where known
 * @throws ConfigError where epochs are asked for and nobody knows how many samples one has
 */
export function scheduleOf(
  config: Pick<
    TrainConfig,
    "batch" | "microBatch" | "mosaics" | "epochs" | "optimiser" | "schedule" | "steps"
  >,
  samples: number | undefined,
): Schedule {
  const { optimiser, schedule, batch } = config;
  const inSteps = (span: { steps: number } | { epochs: number }): number => {
    if ("steps" in span) return span.steps;
    if (samples === undefined) {
      throw new ConfigError(
        `training config: epochs is ${span.epochs}, but the data do not tell how many samples an epoch ` +
          "has; give data.samples, or steps instead",
      );
    }
    return Math.round((span.epochs * samples) / meanSamples(config));
  };
  const total = Math.max(
    1,
    config.steps === undefined ? inSteps({ epochs: config.epochs! }) : config.steps,
  );
  const scale = optimiser.baseBatch === undefined ? 1 : batch / optimiser.baseBatch;
  const peak = optimiser.learningRate * scale;
  const end = schedule.end * scale;
  const warm = schedule.warmUp ? inSteps(schedule.warmUp.length) : 0;
  const from = (schedule.warmUp?.from ?? 0) * scale;
  const fall = schedule.kind === "constant" ? Math.round(schedule.coolDown * total) : 0;
  return {
    steps: total,
    rate(step) {
      if (step < warm) return from + ((peak - from) * step) / warm;
      if (schedule.kind === "cosine") {
        const share = Math.min(1, step / total);
        return end + ((peak - end) * (1 + Math.cos(Math.PI * share))) / 2;
      }
      const left = total - step;
      return left >= fall ? peak : end + ((peak - end) * Math.max(0, left)) / fall;
    },
  };
}
