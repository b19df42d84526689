// The folder of a run: what lies in it, and whether a run begins there or goes on.

import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { makeFolders } from "../atomic.node.js";
import { CheckpointError, ConfigError, InputError } from "../errors.js";
import {
  listCheckpoints,
  type RunState,
  readCheckpoint,
  saveCheckpoint,
  weightShapes,
} from "./checkpoint.js";
import { changedFields, parseTrainConfig, type TrainConfig } from "./config.js";
import { writeAtomically } from "./data/files.js";
import { copyOf, startState } from "./start.js";
import { EVENTS_FILE } from "./tensorboard.js";

/** `auto` goes on where a run exists and begins one where the folder is empty. */
export type RunMode = "auto" | "resume" | "fresh";

/** Everything that a run writes, by name in its folder. */
export const RUN_FILES = {
  config: "config.json",
  checkpoints: "checkpoints",
  metrics: "metrics.jsonl",
  events: EVENTS_FILE,
  page: "index.html",
  strip: "strip",
  best: "best",
  model: "model",
  halfModel: "model-f16",
} as const;

export interface OpenedRun {
  state: RunState;
  resumed: boolean;
}

/**
 * The state that a run in the folder begins or goes on with. A damaged checkpoint is passed over for the
 * one before it.
 *
 * @param steps updates that the schedule has
 * @throws InputError where the folder holds something else, nothing to resume, or more steps than these
 * @throws ConfigError where the run there has another configuration
 */
export async function openRun(
  folder: string,
  config: TrainConfig,
  mode: RunMode,
  steps: number,
  onNotice: (text: string) => void,
): Promise<OpenedRun> {
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [] as string[];
    throw new InputError(`run folder ${folder}: it cannot be read (${error.code})`);
  });
  const checkpoints = join(folder, RUN_FILES.checkpoints);
  const saved = await listCheckpoints(checkpoints);
  const others = names.filter((name) => !isBeginning(name));
  if (mode === "fresh") {
    const ours: string[] = Object.values(RUN_FILES);
    const lost = names.filter((name) => ours.includes(name));
    if (saved.length === 0 && others.length > 0 && lost.length > 0) {
      throw new InputError(
        `run folder ${folder}: it holds no run, and a new one would replace ${lost.join(", ")} there; ` +
          "give an empty folder",
      );
    }
  } else if (saved.length > 0) {
    await checkConfig(folder, config, onNotice);
    const state = await latest(checkpoints, saved, config, onNotice);
    if (state.step > steps) {
      throw new InputError(
        `run folder ${folder}: its run has made ${state.step} steps, the configuration has ${steps}; ` +
          "raise steps, or start another run with another --out (or --fresh)",
      );
    }
    await writeConfig(folder, config);
    return { state, resumed: true };
  } else if (mode === "resume") {
    throw new InputError(
      `run folder ${folder}: it holds no checkpoint; leave --resume out to begin`,
    );
  } else if (others.length > 0) {
    throw new InputError(
      `run folder ${folder}: it holds other files (${others.slice(0, 3).join(", ")}); give an empty ` +
        "folder, or --fresh to begin beside them",
    );
  }
  await makeFolders(folder);
  const state = await startState(config);
  // After all that can fail: a wrong setting must not cost the run that is there.
  if (mode === "fresh") {
    for (const name of Object.values(RUN_FILES)) {
      await rm(join(folder, name), { recursive: true, force: true });
    }
  }
  await writeConfig(folder, config);
  // A killed run needs one to begin again from, and a roll-back needs one to go to.
  const shapes = weightShapes(config.model, config.multiLabel);
  await saveCheckpoint(checkpoints, state, shapes, config.checkpoint.keep);
  return { state, resumed: false };
}

/** What a run that was killed before its first checkpoint leaves. */
function isBeginning(name: string): boolean {
  const begun: string[] = [RUN_FILES.config, RUN_FILES.checkpoints];
  return begun.includes(name) || name.startsWith(".") || name.includes(".partial-");
}

function writeConfig(folder: string, config: TrainConfig): Promise<void> {
  const text = `${JSON.stringify(config, null, 2)}\n`;
  return writeAtomically(join(folder, RUN_FILES.config), (file) => file.writeFile(text));
}

async function checkConfig(
  folder: string,
  config: TrainConfig,
  onNotice: (text: string) => void,
): Promise<void> {
  const path = join(folder, RUN_FILES.config);
  const text = await readFile(path, "utf8").catch(() => undefined);
  if (text === undefined) return;
  let before: TrainConfig;
  try {
    before = parseTrainConfig(text);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new ConfigError(
      `${path}: what the run began with cannot be read (${error.message}); restore the file, or begin ` +
        "again with --fresh",
    );
  }
  const changed = changedFields(before, config);
  if (changed.length > 0) onNotice(`changed since the run began: ${changed.join(", ")}`);
}

async function latest(
  folder: string,
  saved: readonly number[],
  config: TrainConfig,
  onNotice: (text: string) => void,
): Promise<RunState> {
  const shapes = weightShapes(config.model, config.multiLabel);
  for (const [i, step] of saved.entries()) {
    try {
      const state = await readCheckpoint(folder, step, shapes);
      return { ...state, ema: config.ema === undefined ? undefined : (state.ema ?? copyOf(state)) };
    } catch (error) {
      if (!(error instanceof CheckpointError)) throw error;
      if (i === saved.length - 1) {
        throw new CheckpointError(`${error.message}; there is no other: begin again with --fresh`);
      }
      onNotice(`${error.message}; going on from step ${saved[i + 1]}`);
    }
  }
  throw new Error("no checkpoint to read");
}
