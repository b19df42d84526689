// Fresh weights for training from scratch, as the published run draws them.

import type { GroupViTConfig } from "../model/config.js";
import { nativeGrid } from "../model/image-tower.js";
import { Random } from "../random.js";

const DEVIATION = 0.02;
/** Initial temperature of both contrastive losses. */
const INITIAL_LOGIT_SCALE = Math.log(1 / 0.07);

/** Normal numbers within two deviations. */
function truncatedNormal(random: Random, size: number, deviation: number): Float32Array {
  const data = new Float32Array(size);
  for (let i = 0; i < size; i++) {
    let value = random.normal();
    while (Math.abs(value) > 2) value = random.normal();
    data[i] = value * deviation;
  }
  return data;
}

/** Half the height of the tokens' own values, which a LayerNorm brings to one. */
const WAVE_HEIGHT = 0.5;
/** Radians per patch of the fastest wave, and how many times slower the slowest is. */
const [FASTEST, SLOWDOWN] = [1, 30];

/**
 * Sines and cosines of column and row (Vaswani et al. 2017, section 3.5, in two dimensions), a quarter
 * of the width each: [grid * grid, width].
 */
function waves(grid: number, width: number): Float32Array {
  const count = Math.ceil(width / 4);
  const data = new Float32Array(grid * grid * width);
  for (let patch = 0; patch < grid * grid; patch++) {
    const at = [patch % grid, Math.floor(patch / grid)];
    for (let i = 0; i < width; i++) {
      const [kind, wave] = [Math.floor(i / count), i % count];
      const angle = at[kind >> 1]! * FASTEST * SLOWDOWN ** (-wave / count);
      data[patch * width + i] = WAVE_HEIGHT * (kind % 2 === 0 ? Math.sin(angle) : Math.cos(angle));
    }
  }
  return data;
}

/**
 * Weights of every given parameter (checkpoint names and shapes): linear maps, positions and group
 * tokens from a truncated normal of deviation 0.02, text attention and MLPs scaled by width and depth
 * as CLIP does, norms one, biases zero. With `structured`, the picture's positions begin as sines and
 * cosines of the patch's column and row instead, so that neighbours are alike from the start, and assignment
 * logits with a deviation near 1, so that like tokens choose like groups. Every tensor has a stream of its own: the result does not
 * depend on the order of the names.
 */
export function initialWeights(
  config: GroupViTConfig,
  shapes: ReadonlyMap<string, readonly number[]>,
  seed: number | string,
  kind: "published" | "structured" = "published",
): Map<string, Float32Array> {
  const { hiddenSize: width, numHiddenLayers: layers } = config.text;
  const attention = width ** -0.5;
  const output = attention * (2 * layers) ** -0.5;
  const weights = new Map<string, Float32Array>();
  for (const [name, shape] of shapes) {
    const size = shape.reduce((a, b) => a * b, 1);
    const random = new Random(`${seed} ${name}`);
    const normal = (deviation: number) => truncatedNormal(random, size, deviation);
    let data: Float32Array;
    if (name.endsWith("logit_scale")) data = new Float32Array([INITIAL_LOGIT_SCALE]);
    else if (name.endsWith(".running_var")) data = new Float32Array(size).fill(1);
    else if (name.endsWith(".running_mean") || name.endsWith(".bias"))
      data = new Float32Array(size);
    else if (kind === "structured" && name === "vision_model.embeddings.position_embeddings")
      data = waves(nativeGrid(config.vision), config.vision.hiddenSize);
    else if (kind === "structured" && /\.assign\.[qk]_proj\.weight$/.test(name))
      data = normal(config.vision.hiddenSize ** -0.5);
    else if (shape.length === 1) data = new Float32Array(size).fill(1);
    else if (name.endsWith("text_model.embeddings.position_embedding.weight")) data = normal(0.01);
    else if (/^text_model\.encoder\..*(out_proj|fc2)\.weight$/.test(name)) data = normal(output);
    else if (/^text_model\.encoder\..*_proj\.weight$/.test(name)) data = normal(attention);
    else if (/^text_model\.encoder\..*fc1\.weight$/.test(name)) data = normal((2 * width) ** -0.5);
    else data = normal(DEVIATION);
    weights.set(name, data);
  }
  return weights;
}
