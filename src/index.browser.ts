// The package as browsers see it: the names of `index.ts` that need no file system.

import type { LoadOptions } from "./groupvit.js";
import { GroupViTBase } from "./groupvit.js";
import type { PictureSource } from "./input/decode.browser.js";
import { browserPlatform } from "./platform.browser.js";
import type { LoadedCheckpoint, ModelSource, OpenOptions } from "./platform.js";
import type { GroupViTModel as PretrainedModel } from "./transformers.js";
import { transformers } from "./transformers.js";

/** A loaded model: see `encode`, and `segment`, `classify` and `groups` of what it gives. */
export type GroupViT = GroupViTBase<PictureSource>;

export const GroupViT = {
  /**
   * Loads a model.
   *
   * @param model a Hub id such as `nvidia/groupvit-gcc-yfcc`, the address of a model folder or weight
   *   file, or a model's files by name (bytes, texts or `File` objects)
   * @throws CheckpointError, ConfigError or HubError with the way out
   */
  load(model?: ModelSource, options: LoadOptions = {}): Promise<GroupViT> {
    return GroupViTBase.open(browserPlatform, model, options);
  },
};

/** Hugging Face's classes in camel case. */
export const { GroupViTModel, AutoProcessor } = transformers(browserPlatform);
export type GroupViTModel = PretrainedModel;

/** Opens a checkpoint without making a model of it, for `exportOnnx` or `huggingFaceFiles`. */
export function loadCheckpoint(
  model: ModelSource,
  options: OpenOptions = {},
): Promise<LoadedCheckpoint> {
  return browserPlatform.openCheckpoint(model, options);
}

export type { PictureSource } from "./input/decode.browser.js";
export { decodePicture } from "./input/decode.browser.js";
export * from "./parts.js";
