// The package as Node sees it.

import type { LoadOptions } from "./groupvit.js";
import { GroupViTBase } from "./groupvit.js";
import type { PictureSource } from "./input/decode.node.js";
import type { ModelSource } from "./platform.js";
import { nodePlatform } from "./platform.node.js";
import type { GroupViTModel as PretrainedModel } from "./transformers.js";
import { transformers } from "./transformers.js";

/** A loaded model: see `encode`, and `segment`, `classify` and `groups` of what it gives. */
export type GroupViT = GroupViTBase<PictureSource>;

export const GroupViT = {
  /**
   * Loads a model.
   *
   * @param model a Hugging Face folder, a checkpoint file, a Hub id such as
   *   `nvidia/groupvit-gcc-yfcc`, or nothing for the bundled model
   * @throws CheckpointError, ConfigError or HubError with the way out
   */
  load(model?: ModelSource, options: LoadOptions = {}): Promise<GroupViT> {
    return GroupViTBase.open(nodePlatform, model, options);
  },
};

/** Hugging Face's classes in camel case. */
export const { GroupViTModel, AutoProcessor } = transformers(nodePlatform);
export type GroupViTModel = PretrainedModel;

// Parts, for programs that do more than segment: each has its own documentation.
export { hubSettings } from "./checkpoint/hub.node.js";
export type { Checkpoint } from "./checkpoint/load.node.js";
export { loadCheckpoint } from "./checkpoint/load.node.js";
export { saveAuthors, saveHuggingFace } from "./checkpoint/save.node.js";
export type { PictureSource } from "./input/decode.node.js";
export { decodePicture } from "./input/decode.node.js";
export type { GroupDrawing, GroupMode } from "./output/groups.node.js";
export { drawGroups, GROUP_MODES } from "./output/groups.node.js";
export { drawOverlay } from "./output/overlay.node.js";
export type { PictureReport } from "./output/report-json.js";
export { reportPicture } from "./output/report-json.js";
export { formatTable } from "./output/table.js";
export * from "./parts.js";
export { BUNDLED_MODEL, resolveModel } from "./platform.node.js";
