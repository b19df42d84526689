// Checkpoints of a run: one safetensors file with everything that the next step depends on, written
// whole or not at all.

import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { makeFolders } from "../atomic.node.js";
import { fromFloat32, toFloat32 } from "../checkpoint/dtypes.js";
import { readSafetensors, safetensorsChunks } from "../checkpoint/safetensors.js";
import type { Model } from "../checkpoint/save.js";
import { MULTI_LABEL_LOGIT_SCALE, POSITION_IDS, parameterShapes } from "../checkpoint/shapes.js";
import type { TensorMap } from "../checkpoint/tensors.js";
import { CheckpointError } from "../errors.js";
import type { GroupViTConfig } from "../model/config.js";
import { writeAtomically } from "./data/files.js";
import type { TrainingState } from "./step.js";
import type { StreamPosition } from "./stream.js";

/** Scores of an evaluation, 0 to 1. */
export interface Scores {
  /** Mean over the classes and background that occur. */
  miou: number;
  /** Zero-shot, on pictures of single objects. */
  accuracy: number;
}

/** Everything that the rest of a run depends on. */
export interface RunState extends TrainingState {
  /** Moving average of the weights, where the run keeps one. */
  ema?: Map<string, Float32Array>;
  /** Where the data stand; undefined before the first batch. */
  position: StreamPosition;
  /** Batches taken from the data, skipped ones included. */
  batches: number;
  /** Numbers of batches that are never learnt from, since the loss broke on them. */
  skipped: number[];
  /** The best evaluation so far. */
  best?: Scores & { step: number };
}

/** Names and shapes of all weights that a run keeps, batch norm's statistics included. */
export function weightShapes(config: GroupViTConfig, multiLabel: number): Map<string, number[]> {
  const shapes = new Map(
    [...parameterShapes(config)].filter(
      ([name]) => name !== POSITION_IDS && !name.endsWith(".num_batches_tracked"),
    ),
  );
  if (multiLabel > 0) shapes.set(MULTI_LABEL_LOGIT_SCALE, []);
  return shapes;
}

/** The weights as a model under Hugging Face's names. */
export function modelOf(
  config: GroupViTConfig,
  weights: ReadonlyMap<string, Float32Array>,
  step: number,
): Model {
  const tensors: TensorMap = new Map();
  for (const [name, shape] of parameterShapes(config)) {
    if (name === POSITION_IDS) continue;
    if (name.endsWith(".num_batches_tracked")) {
      const bytes = new Uint8Array(new BigInt64Array([BigInt(step)]).buffer);
      tensors.set(name, { dtype: "I64", shape: [], bytes });
    } else {
      tensors.set(name, fromFloat32(weights.get(name)!, shape));
    }
  }
  const scale = weights.get(MULTI_LABEL_LOGIT_SCALE);
  if (scale) tensors.set(MULTI_LABEL_LOGIT_SCALE, fromFloat32(scale, []));
  return { config, tensors };
}

const FILE = /^step-(\d{8,})\.safetensors$/;
const PARTS = ["weights", "first", "second", "ema"] as const;

export function checkpointFile(step: number): string {
  return `step-${String(step).padStart(8, "0")}.safetensors`;
}

/** Steps of the checkpoints in a folder, the latest first. */
export async function listCheckpoints(folder: string): Promise<number[]> {
  const names = await readdir(folder).catch(() => [] as string[]);
  const steps = names.flatMap((name) => FILE.exec(name)?.[1] ?? []).map(Number);
  return steps.sort((a, b) => b - a);
}

/** Writes a checkpoint, then removes all but the `keep` latest and what a killed run left half-written. */
export async function saveCheckpoint(
  folder: string,
  state: RunState,
  shapes: ReadonlyMap<string, readonly number[]>,
  keep: number,
): Promise<void> {
  await makeFolders(folder);
  const tensors: TensorMap = new Map();
  for (const part of PARTS) {
    for (const [name, shape] of shapes) {
      const data = state[part]?.get(name);
      if (data) tensors.set(`${part}/${name}`, fromFloat32(data, shape));
    }
  }
  const { step, position, batches, skipped, best } = state;
  const run = JSON.stringify({ step, position, batches, skipped, best });
  await writeAtomically(join(folder, checkpointFile(step)), async (file) => {
    for (const chunk of safetensorsChunks(tensors, { run })) await file.writeFile(chunk);
  });
  for (const name of await readdir(folder)) {
    if (name.includes(".partial-")) await rm(join(folder, name), { force: true });
  }
  for (const old of (await listCheckpoints(folder)).slice(keep)) {
    await rm(join(folder, checkpointFile(old)), { force: true });
  }
}

/**
 * Reads a checkpoint.
 *
 * @throws CheckpointError where it is damaged or does not have these shapes
 */
export async function readCheckpoint(
  folder: string,
  step: number,
  shapes: ReadonlyMap<string, readonly number[]>,
): Promise<RunState> {
  const path = join(folder, checkpointFile(step));
  const { tensors, metadata } = readNamed(path, await readFile(path));
  const run = parseRun(metadata.run, path);
  const state: RunState = { ...run, weights: new Map(), first: new Map(), second: new Map() };
  for (const part of PARTS) {
    for (const [name, shape] of shapes) {
      const tensor = tensors.get(`${part}/${name}`);
      if (!tensor) {
        if (part !== "weights") continue;
        throw new CheckpointError(`${path}: weight ${name} is missing; resume from another one`);
      }
      if (tensor.shape.join() !== shape.join()) {
        throw new CheckpointError(
          `${path}: ${part}/${name} has shape [${tensor.shape}], this run needs [${shape}]; ` +
            "resume with the configuration that it was written with",
        );
      }
      if (part === "ema") state.ema ??= new Map();
      // Copied: the engine wants aligned arrays, and the file's bytes can be freed.
      state[part]!.set(name, toFloat32(tensor).slice());
    }
  }
  return state;
}

/** As `readSafetensors`, with the file in the message: a run has several. */
function readNamed(path: string, bytes: Uint8Array): ReturnType<typeof readSafetensors> {
  try {
    return readSafetensors(bytes);
  } catch (error) {
    if (!(error instanceof CheckpointError)) throw error;
    throw new CheckpointError(`${path}: ${error.message}`);
  }
}

type RunFields = Pick<RunState, "step" | "position" | "batches" | "skipped" | "best">;

function parseRun(text: string | undefined, path: string): RunFields {
  try {
    const run = JSON.parse(text ?? "") as RunFields;
    const counts = [run.step, run.batches, ...run.skipped];
    if (counts.every((value) => Number.isSafeInteger(value) && value >= 0)) return run;
  } catch {
    // Told below.
  }
  throw new CheckpointError(`${path}: it is no checkpoint of a training run; resume from another`);
}
