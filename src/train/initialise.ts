// Fresh weights for training from scratch, as the published run draws them.

import type { GroupViTConfig } from "../model/config.js";
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

/**
 * Weights of every given parameter (checkpoint names and shapes): linear maps, positions and group
 * tokens from a truncated normal of deviation 0.02, text attention and MLPs scaled by width and depth
 * as CLIP does, norms one, biases zero. Every tensor has a stream of its own: the result does not
 * depend on the order of the names.
 */
export function initialWeights(
  config: GroupViTConfig,
  shapes: ReadonlyMap<string, readonly number[]>,
  seed: number | string,
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
