// The published configuration (GroupViT GCC + YFCC, ViT-S/16) with random weights: what every benchmark
// measures. The weights follow the rules of the reference fixtures, so activations have a trained
// model's order of magnitude; their values do not matter to the times.

import { parameterShapes } from "../src/checkpoint/shapes.js";
import type { TensorMap } from "../src/checkpoint/tensors.js";
import type { GroupViTConfig } from "../src/model/config.js";
import { Random } from "../src/random.js";

export const PUBLISHED: GroupViTConfig = {
  vision: {
    hiddenSize: 384,
    intermediateSize: 1536,
    depths: [6, 3, 3],
    numGroupTokens: [64, 8, 0],
    numOutputGroups: [64, 8, 8],
    numAttentionHeads: 6,
    imageSize: 224,
    patchSize: 16,
    numChannels: 3,
    layerNormEps: 1e-5,
    assignEps: 1,
    assignMlpRatio: [0.5, 4],
    hiddenAct: "gelu",
  },
  text: {
    vocabSize: 49408,
    hiddenSize: 256,
    intermediateSize: 1024,
    numHiddenLayers: 12,
    numAttentionHeads: 4,
    maxPositionEmbeddings: 77,
    layerNormEps: 1e-5,
    hiddenAct: "quick_gelu",
    padTokenId: 1,
    bosTokenId: 49406,
    eosTokenId: 49407,
  },
  projectionDim: 256,
  projectionIntermediateDim: 4096,
  logitScaleInitValue: 2.6592,
};

/** Mean and half range of a parameter's uniform distribution, by name: the fixtures' rules. */
function distribution(name: string, shape: readonly number[]): [number, number] {
  if (name.endsWith("running_mean")) return [0, 0.2];
  if (name.endsWith("running_var")) return [1, 0.5];
  if (name.endsWith(".bias")) return [0, 0.1];
  if (name.endsWith(".weight") && shape.length === 1) return [1, 0.2];
  if (name.endsWith("group_token")) return [0, 1.5];
  if (name.endsWith("position_embeddings")) return [0, 0.5];
  if (name.endsWith("token_embedding.weight")) return [0, 1];
  if (name.endsWith("position_embedding.weight")) return [0, 0.3];
  const gain = /assign\.[qk]_proj\.weight$/.test(name)
    ? 3
    : /attn\.[qk]_proj\.weight$/.test(name)
      ? 1.5
      : /(attn\.out_proj|mlp\.fc2)\.weight$/.test(name)
        ? 0.7
        : 1;
  const fanIn = shape.slice(1).reduce((a, b) => a * b, 1);
  return [0, gain * Math.sqrt(3 / fanIn)];
}

/** Random weights of a configuration by checkpoint name, the same at every call. */
export function randomWeights(config: GroupViTConfig): Map<string, Float32Array> {
  const weights = new Map<string, Float32Array>();
  for (const [name, shape] of parameterShapes(config)) {
    if (name === "logit_scale") {
      weights.set(name, Float32Array.of(config.logitScaleInitValue));
      continue;
    }
    const [base, spread] = distribution(name, shape);
    weights.set(
      name,
      randomFloats(
        name,
        shape.reduce((a, b) => a * b, 1),
        spread,
        base,
      ),
    );
  }
  return weights;
}

/** Uniform numbers in base +- spread. */
export function randomFloats(seed: string, count: number, spread = 1, base = 0): Float32Array {
  const random = new Random(seed);
  const data = new Float32Array(count);
  for (let i = 0; i < count; i++) data[i] = base + spread * (2 * random.uniform() - 1);
  return data;
}

/** The same weights as a checkpoint holds them. */
export function randomTensors(config: GroupViTConfig): TensorMap {
  const shapes = parameterShapes(config);
  const tensors: TensorMap = new Map();
  for (const [name, data] of randomWeights(config)) {
    const bytes = new Uint8Array(data.buffer);
    tensors.set(name, { dtype: "F32", shape: shapes.get(name)!, bytes });
  }
  return tensors;
}
