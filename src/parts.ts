// What both entry points export alike: parts for programs that do more than segment. Each has its own
// documentation.

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
  ExplainOptions,
  GroupStage,
  LoadOptions,
  Ranked,
  Segmentation,
  SegmentOptions,
} from "./groupvit.js";
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
export type { ExplainedRegion, Explanation } from "./segment/explain.js";
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
