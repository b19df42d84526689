// A small GroupViT whose answer is known: what a device must compute before it is trusted with a model.

import { parameterShapes } from "../checkpoint/shapes.js";
import type { WeightFormat } from "../graph/onnx.js";
import type { GroupViTConfig } from "../model/config.js";
import { Random } from "../random.js";
import type { EngineOptions } from "../runtime/engine.js";
import { Engine } from "../runtime/engine.js";
import type { CreateSession } from "../runtime/session.js";
import { SELF_TEST_ANSWER } from "./self-test-answer.js";

/** Two stages with grouping, every kind of layer, sizes that are no multiples of a GPU's vectors. */
const CONFIG: GroupViTConfig = {
  vision: {
    hiddenSize: 36,
    intermediateSize: 52,
    depths: [1, 1],
    numGroupTokens: [6, 0],
    numOutputGroups: [6, 6],
    numAttentionHeads: 3,
    imageSize: 32,
    patchSize: 4,
    numChannels: 3,
    layerNormEps: 1e-5,
    assignEps: 1,
    assignMlpRatio: [0.5, 4],
    hiddenAct: "gelu",
  },
  text: {
    vocabSize: 64,
    hiddenSize: 28,
    intermediateSize: 44,
    numHiddenLayers: 1,
    numAttentionHeads: 2,
    maxPositionEmbeddings: 16,
    layerNormEps: 1e-5,
    hiddenAct: "quick_gelu",
    padTokenId: 1,
    bosTokenId: 62,
    eosTokenId: 63,
  },
  projectionDim: 20,
  projectionIntermediateDim: 40,
  logitScaleInitValue: 2.6592,
};
const ROWS = 7;
const COLUMNS = 9;
const TEXTS = [
  [62, 5, 17, 63],
  [62, 9, 63],
];

/** Largest difference that passes, of numbers around 1; wrong kernels are off by far more. */
export const SELF_TEST_TOLERANCE: Readonly<Record<WeightFormat, number>> = {
  fp32: 1e-3,
  fp16: 1e-2,
  int8: 2e-1,
};

/**
 * Computes the small model and compares it with the stored answer.
 *
 * @returns the largest difference; infinite where a number is none
 * @throws what the engine throws
 */
export async function selfTest(
  createSession: CreateSession,
  options: EngineOptions,
): Promise<number> {
  const answer = await selfTestNumbers(createSession, options);
  let largest = 0;
  SELF_TEST_ANSWER.forEach((expected, i) => {
    const difference = Math.abs(answer[i]! - expected);
    largest = difference <= largest ? largest : Number.isNaN(difference) ? Infinity : difference;
  });
  return largest;
}

/** What the small model computes: picture, segments, some of each assignment, texts. */
export async function selfTestNumbers(
  createSession: CreateSession,
  options: EngineOptions,
): Promise<number[]> {
  const engine = new Engine(CONFIG, selfTestWeights(), createSession, options);
  try {
    const inside = CONFIG.vision.patchSize ** 2 * CONFIG.vision.numChannels;
    const patches = uniform("patches", ROWS * COLUMNS * inside, 1);
    const { image, segments, assignments } = await engine.encodeImages(patches, 1, ROWS, COLUMNS);
    const texts = await engine.encodeTexts(TEXTS);
    return [image, segments.subarray(0, 40), ...assignments, ...texts].flatMap((part) =>
      Array.from(part.subarray(0, 40)),
    );
  } finally {
    await engine.release();
  }
}

/** Weights that are the same everywhere: no function that engines round in their own way. */
function selfTestWeights(): Map<string, Float32Array> {
  const weights = new Map<string, Float32Array>();
  for (const [name, shape] of parameterShapes(CONFIG)) {
    if (/position_ids|num_batches_tracked/.test(name)) continue;
    const size = shape.reduce((a, b) => a * b, 1);
    const inputs = shape.length > 1 ? size / shape[0]! : 1;
    const scale = /embedding|group_token/.test(name) ? 1 : Math.sqrt(3 / inputs);
    const values = uniform(name, size, shape.length > 1 ? scale : 0.2);
    // Factors of norms and variances lie around 1.
    const factor = /norm[^.]*\.weight$|running_var$|\.1\.weight$/.test(name) && shape.length === 1;
    weights.set(name, factor ? values.map((value) => 1 + value) : values);
  }
  return weights;
}

/** Numbers between -size and size. */
function uniform(seed: string, count: number, size: number): Float32Array {
  const random = new Random(seed);
  return Float32Array.from({ length: count }, () => (2 * random.uniform() - 1) * size);
}
