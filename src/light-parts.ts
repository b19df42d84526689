// What every entry point exports, pages' own (`groupvit/browser`) among them: errors, types, and small pure
// functions. Nothing here needs the engine.

export {
  CheckpointError,
  ConfigError,
  HubError,
  InputError,
  PictureError,
} from "./errors.js";
export type {
  EncodeOptions,
  ExplainOptions,
  GroupStage,
  Ranked,
  Segmentation,
  SegmentOptions,
} from "./groupvit.js";
export type { Picture } from "./input/picture.js";
export type { PromptSet } from "./input/prompts.js";
export type { Vocabulary } from "./input/vocabularies.js";
export { parseLabels, readLabelsFile, VOCABULARIES } from "./input/vocabularies.js";
export { labelPalette, vocPalette } from "./output/palette.js";
export { decodeLabelPng, encodeLabelPng } from "./output/png.js";
export type { CompressedRle, Rle } from "./output/rle.js";
export { compressRle, decodeRle, decompressRle, encodeRle, rleArea, rleBox } from "./output/rle.js";
export type { ExplainedRegion, Explanation } from "./segment/explain.js";
