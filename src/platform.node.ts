// What Node provides: the engine, picture decoding, checkpoints from disk and Hub, caches on disk.

import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { downloadModel } from "./checkpoint/hub.node.js";
import { isHubId } from "./checkpoint/hub-files.js";
import { loadCheckpoint } from "./checkpoint/load.node.js";
import { openFiles } from "./checkpoint/model-files.js";
import { CheckpointError } from "./errors.js";
import type { PictureSource } from "./input/decode.node.js";
import { decodePicture } from "./input/decode.node.js";
import type { LoadedCheckpoint, ModelSource, OpenOptions, Platform } from "./platform.js";
import { createSession } from "./runtime/session.node.js";
import { openWordStore } from "./segment/word-store.node.js";

/** The model that ships with the package. */
export const BUNDLED_MODEL = fileURLToPath(new URL("../models/scenes", import.meta.url));

/** The folder or file that a model's name stands for; downloads Hub ids. */
export async function resolveModel(
  model: string | undefined,
  options: OpenOptions = {},
): Promise<string> {
  if (model === undefined) return BUNDLED_MODEL;
  if (existsSync(model)) return model;
  if (isHubId(model)) return downloadModel(model, options);
  throw new CheckpointError(
    `model "${model}" is neither a folder, a checkpoint file nor a Hub id such as nvidia/groupvit-gcc-yfcc`,
  );
}

async function openCheckpoint(
  model: ModelSource | undefined,
  options: OpenOptions,
): Promise<LoadedCheckpoint> {
  if (typeof model === "object") return openFiles(model);
  return loadCheckpoint(await resolveModel(model, options));
}

export const nodePlatform: Platform<PictureSource> = {
  createSession,
  decodePicture,
  openCheckpoint,
  openWordStore,
};
