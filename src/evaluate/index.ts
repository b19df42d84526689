/**
 * Measuring models under stated protocols: `groupvit/evaluate`. Node only.
 *
 * @example
 * import { evaluateSet, modelFacts, openDataset, standardProtocol, writeReport } from "groupvit/evaluate";
 *
 * const set = await openDataset("folder", "my-masks"); // pictures, masks and classes.txt, VOC layout
 * const model = await modelFacts("nvidia/groupvit-gcc-yfcc"); // or a folder, or undefined: the bundled one
 * const { protocol } = standardProtocol(set, model);
 * const result = await evaluateSet({ set, model, protocol, out: "runs/my-masks" }); // resumes there
 * if (result.task === "segmentation") console.log(result.mIoU);
 * console.log(await writeReport("runs/my-masks", set, result, model)); // the page to look at
 *
 * @module
 */

export type { Calibration, Scored, Setting } from "./calibrate.js";
export { calibrate } from "./calibrate.js";
export type { Confusion } from "./confusion.js";
export {
  addPixels,
  classAccuracy,
  classIoU,
  createConfusion,
  IGNORED,
  meanIoU,
  pixelAccuracy,
} from "./confusion.js";
export type {
  ClassificationSet,
  LabelledSample,
  MaskCoding,
  MaskedSample,
  SegmentationSet,
} from "./dataset.js";
export { checkDataset } from "./datasets/check.js";
export type { OpenOptions } from "./datasets/open.js";
export { openDataset, scenesSingles } from "./datasets/open.js";
export type { PrepareOptions, PrepareReport } from "./datasets/prepare.js";
export { prepareDataset } from "./datasets/prepare.js";
export type {
  ClassificationProtocol,
  Protocol,
  ProtocolBackground,
  Published,
  SegmentationProtocol,
  StandardProtocol,
} from "./protocol.js";
export { protocolChanges, STANDARD_PROTOCOLS } from "./protocol.js";
export { writeReport } from "./report-folder.js";
export type { ClassificationResult, EvaluationResult, SegmentationResult } from "./result.js";
export type { EvaluateOptions, EvaluationSet, ModelFacts } from "./run.js";
export { evaluateSet, limitSet, modelFacts, standardProtocol } from "./run.js";
export { resultText } from "./terminal-table.js";
