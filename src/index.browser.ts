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

export { readSafetensors } from "./checkpoint/safetensors.js";
export { huggingFaceFiles } from "./checkpoint/save.js";
export { torchChunks } from "./checkpoint/torch.js";
export {
  CheckpointError,
  ConfigError,
  HubError,
  InputError,
  PictureError,
} from "./errors.js";
export type { ExportOptions } from "./export.js";
export { exportOnnx } from "./export.js";
export type {
  EncodedPicture,
  EncodeOptions,
  GroupStage,
  LoadOptions,
  Ranked,
  Segmentation,
  SegmentOptions,
} from "./groupvit.js";
export type { PictureSource } from "./input/decode.browser.js";
export { decodePicture } from "./input/decode.browser.js";
export type { DecodeOptions } from "./input/limits.js";
export type { Picture } from "./input/picture.js";
export type { PromptSet } from "./input/prompts.js";
export { tokenizerFiles } from "./input/tokenizer.js";
export type { Vocabulary } from "./input/vocabularies.js";
export { parseLabels, readLabelsFile, VOCABULARIES } from "./input/vocabularies.js";
export { labelPalette, vocPalette } from "./output/palette.js";
export { decodeLabelPng, encodeLabelPng } from "./output/png.js";
export type { CompressedRle, Rle } from "./output/rle.js";
export { compressRle, decodeRle, decompressRle, encodeRle, rleArea, rleBox } from "./output/rle.js";
export type {
  ImageInputs,
  ModelInputs,
  ModelOutputs,
  PretrainedOptions,
  PretrainedProcessor,
  ProcessorInputs,
  TextInputs,
} from "./transformers.js";
export { Tensor } from "./transformers.js";
