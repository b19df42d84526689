// What both entry points export alike: parts for programs that do more than segment. Each has its own
// documentation.

export { readSafetensors } from "./checkpoint/safetensors.js";
export { huggingFaceFiles } from "./checkpoint/save.js";
export { torchChunks } from "./checkpoint/torch.js";
export type { ExportOptions } from "./export.js";
export { exportOnnx } from "./export.js";
export type { EncodedPicture, LoadOptions } from "./groupvit.js";
export type { DecodeOptions } from "./input/limits.js";
export { tokenizerFiles } from "./input/tokenizer.js";
export * from "./light-parts.js";
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
