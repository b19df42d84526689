// The package as Node sees it.

import type { LoadOptions } from "./groupvit.js";
import { GroupViTBase } from "./groupvit.js";
import type { PictureSource } from "./input/decode.node.js";
import { nodePlatform } from "./platform.node.js";

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
  load(model?: string, options: LoadOptions = {}): Promise<GroupViT> {
    return GroupViTBase.open(nodePlatform, model, options);
  },
};
