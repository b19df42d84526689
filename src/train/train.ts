// Training as a function, `groupvit/train`: what the command line calls, and any program may.

import { availableParallelism, cpus } from "node:os";
import { localRanks } from "../distribute/mpi.js";
import { FailedTogether, openRanks, type Ranks } from "../distribute/ranks.js";
import type { TrainConfig, TrainConfigInput } from "./config.js";
import type { TrainProgress, TrainResult } from "./loop.js";
import type { RunMode } from "./run-folder.js";

export type { TrainConfigInput } from "./config.js";
export type { TrainProgress, TrainResult } from "./loop.js";

export interface TrainSettings {
  /** Folder of the run: checkpoints, metrics, page and, at the end, the model. */
  out: string;
  /**
   * `auto` (the default) goes on where the folder holds a run and begins one where it is empty; `resume`
   * insists on a run, `fresh` replaces it.
   */
  mode?: RunMode;
  /** Stops after this step of the schedule; default: its last. */
  steps?: number;
  /** Where the engine computes, instead of what the configuration says. */
  device?: TrainConfig["device"];
  /** Threads of the engine, instead of the configuration's. */
  threads?: number;
  /** Ends the run after the step at hand, with a checkpoint; it does not throw. */
  signal?: AbortSignal;
  /** Called after every step. */
  onStep?(progress: TrainProgress): void;
  /** Something worth telling, such as a roll-back. */
  onNotice?(text: string): void;
}

/**
 * Trains a model from pictures and captions, or goes on with a run. The folder has everything that the next
 * step depends on: a run that was stopped or killed goes on with the same call, and ends with the same bytes.
 *
 * Started by `mpirun` as several ranks, all of them train one model: rank 0 writes the folder and calls
 * `onStep` and `onNotice`, the others are silent. MPI can be started once in a process: so can such a run.
 *
 * @param config the content of a configuration file, as JSON text or as the object it holds
 * @returns what was reached; `finished` is false where the signal ended the run
 * @throws ConfigError, InputError or CheckpointError with the way out
 *
 * @example
 * import { readFile } from "node:fs/promises";
 * import { train } from "groupvit/train";
 * const config = await readFile("configs/smoke.json", "utf8");
 * const result = await train(config, {
 *   out: "runs/smoke",
 *   onStep: ({ step, record }) => console.log(step, record.loss),
 * });
 * console.log(result.models); // [ 'runs/smoke/model' ]
 */
export async function train(
  config: string | TrainConfigInput,
  settings: TrainSettings,
): Promise<TrainResult> {
  const ranks = await openRanks();
  if (!ranks) return run(await readConfig(config, settings), settings);
  try {
    const parsed = await ranks.together(() => readConfig(config, settings));
    // Unless told otherwise the engine takes all cores, and the ranks of a machine would fight for them.
    parsed.threads ??= ownCores();
    const result = await run(parsed, settings, ranks);
    await ranks.close();
    return result;
  } catch (error) {
    if (!(error instanceof FailedTogether)) ranks.fail(error);
    await ranks.close();
    throw error;
  }
}

async function readConfig(
  config: string | TrainConfigInput,
  { device, threads }: TrainSettings,
): Promise<TrainConfig> {
  const { parseTrainConfig } = await import("./config.js");
  const parsed = parseTrainConfig(config);
  if (device !== undefined) parsed.device = device;
  if (threads !== undefined) parsed.threads = threads;
  return parsed;
}

/** Cores for this rank: those that the launcher bound it to, or its part of the machine. */
function ownCores(): number {
  const each = Math.floor(cpus().length / localRanks(process.env));
  return Math.max(1, Math.min(availableParallelism(), each));
}

async function run(
  config: TrainConfig,
  { out, mode, steps, signal, onStep, onNotice }: TrainSettings,
  ranks?: Ranks,
): Promise<TrainResult> {
  const { train } = await import("./loop.js");
  return train({
    config,
    folder: out,
    mode,
    stopAfter: steps,
    signal,
    onProgress: onStep,
    onNotice,
    ranks,
  });
}
