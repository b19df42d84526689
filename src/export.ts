// A model as ONNX files for other programs: image tower, text tower and matcher, each by itself or all in
// one file, for any batch, picture size and prompt length.

import { configToJson } from "./checkpoint/config-file.js";
import { graphWeights } from "./checkpoint/weights.js";
import { InputError } from "./errors.js";
import type { WeightFormat } from "./graph/onnx.js";
import { toOnnx } from "./graph/onnx.js";
import { readProcessor } from "./input/processor.js";
import {
  exportedGraph,
  exportedImageGraph,
  exportedMatcherGraph,
  exportedTextGraph,
} from "./model/exported.js";
import type { LoadedCheckpoint } from "./platform.js";

export interface ExportOptions {
  /** `three`: `image.onnx`, `text.onnx` and `matcher.onnx`. `one`: `groupvit.onnx`. Default `three`. */
  parts?: "three" | "one";
  /** Weights: `fp32`, `fp16` (half the size, computed in fp32) or `int8`. Default `fp32`. */
  format?: WeightFormat;
}

const GRAPHS = {
  three: {
    "image.onnx": exportedImageGraph,
    "text.onnx": exportedTextGraph,
    "matcher.onnx": exportedMatcherGraph,
  },
  one: { "groupvit.onnx": exportedGraph },
};
const FORMATS: readonly WeightFormat[] = ["fp32", "fp16", "int8"];

/**
 * Writes a checkpoint as ONNX files (opset 20, standard operations only). Their inputs and outputs are
 * told where the graphs are built (`model/exported.ts`); how to prepare pictures and texts stands in the
 * files' metadata.
 *
 * @returns bytes by file name
 * @throws InputError for options out of range
 * @example
 * for (const [name, bytes] of exportOnnx(await loadCheckpoint("my-model"))) await writeFile(name, bytes);
 */
export function exportOnnx(
  checkpoint: LoadedCheckpoint,
  options: ExportOptions = {},
): Map<string, Uint8Array> {
  const { parts = "three", format = "fp32" } = options;
  const graphs = GRAPHS[parts];
  if (!graphs) throw new InputError(`parts: "${parts}" is unknown; use three or one`);
  if (!FORMATS.includes(format)) {
    throw new InputError(`format: "${format}" is unknown; use fp32, fp16 or int8`);
  }
  const weights = graphWeights(checkpoint.tensors);
  const shared = metadata(checkpoint, format);
  const files = new Map<string, Uint8Array>();
  for (const [name, graph] of Object.entries(graphs)) {
    files.set(name, toOnnx(graph(checkpoint.config), { weights, format, metadata: shared }));
  }
  return files;
}

/** What a program must know to use the files. */
function metadata(
  { config, files }: LoadedCheckpoint,
  format: WeightFormat,
): Record<string, string> {
  const processor = readProcessor(config.vision, files["preprocessor_config.json"]);
  const { bosTokenId, eosTokenId, maxPositionEmbeddings } = config.text;
  const ownTokenizer = files["tokenizer.json"] ?? files["vocab.json"];
  return {
    config: JSON.stringify(configToJson(config)),
    weight_format: format,
    position_embeddings: "bicubic, a = -0.75, half-pixel centres, as the authors",
    segmentation_short_side: String(processor.segmentationShortSide),
    segmentation_threshold: String(processor.segmentationThreshold),
    segmentation_mean: JSON.stringify(processor.segmentationMean),
    segmentation_std: JSON.stringify(processor.segmentationStd),
    classification_crop: String(processor.crop),
    classification_mean: JSON.stringify(processor.mean),
    classification_std: JSON.stringify(processor.std),
    tokenizer:
      ownTokenizer === undefined ? "CLIP BPE, 49,408 tokens" : "the checkpoint's own files",
    tokens: JSON.stringify({ start: bosTokenId, end: eosTokenId, longest: maxPositionEmbeddings }),
    license: "the licence of the checkpoint's weights applies",
  };
}
