// `groupvit/browser`: the package as pages use it. The model computes in a worker; what is exported beside
// it are small pure functions that a page needs to show and save what comes back.

export {
  CheckpointError,
  ConfigError,
  HubError,
  InputError,
  PictureError,
} from "../errors.js";
export type {
  EncodeOptions,
  ExplainOptions,
  GroupStage,
  Ranked,
  Segmentation,
  SegmentOptions,
} from "../groupvit.js";
export type { Picture } from "../input/picture.js";
export type { PromptSet } from "../input/prompts.js";
export type { Vocabulary } from "../input/vocabularies.js";
export { parseLabels, readLabelsFile, VOCABULARIES } from "../input/vocabularies.js";
export { labelPalette, vocPalette } from "../output/palette.js";
export { decodeLabelPng, encodeLabelPng } from "../output/png.js";
export type { CompressedRle, Rle } from "../output/rle.js";
export {
  compressRle,
  decodeRle,
  decompressRle,
  encodeRle,
  rleArea,
  rleBox,
} from "../output/rle.js";
export type { ExplainedRegion, Explanation } from "../segment/explain.js";
export type { FileSource } from "./files.js";
export { modelFiles } from "./files.js";
export type { BrowserLoadOptions, BrowserPictureSource } from "./model.js";
export { BrowserPicture, GroupViT } from "./model.js";
export type { BrowserDevice, LoadProgress } from "./protocol.js";
