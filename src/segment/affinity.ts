// Words against segments: label embeddings from prompts, and the affinity of segments to labels as the
// authors score it.

import { InputError } from "../errors.js";
import { dot } from "./dot.js";
import type { WindowEncoding } from "./encoding.js";

/** The authors never let the logit scale exceed this factor. */
const MAX_LOGIT_SCALE = 100;

/**
 * The factor on cosine similarities: `exp(parameter)`, at most 100 as the authors clamp it.
 * (Hugging Face does not clamp: use `Math.exp` for parity with it.)
 */
export function logitScaleFactor(parameter: number): number {
  return Math.min(Math.exp(parameter), MAX_LOGIT_SCALE);
}

/**
 * The embedding of one label: the mean of the **un-normalised** embeddings of its prompts, then
 * normalised.
 *
 * @param promptEmbeds one `[dim]` per prompt ("a photo of a cat.", ...), as the text tower's projector
 *   gives them.
 * @returns `[dim]`, L2 norm 1.
 * @throws InputError if there is no prompt, lengths differ, or the mean is zero or not finite.
 * @example
 * labelEmbedding([new Float32Array([3, 0]), new Float32Array([3, 8])]); // Float32Array [0.6, 0.8]
 */
export function labelEmbedding(promptEmbeds: readonly Float32Array[]): Float32Array {
  const dim = promptEmbeds[0]?.length ?? 0;
  if (dim === 0) throw new InputError("label embedding: no prompts; give at least one");
  const sum = new Float64Array(dim);
  for (const embed of promptEmbeds) {
    if (embed.length !== dim) {
      throw new InputError(
        `label embedding: prompt embeddings of ${dim} and ${embed.length} numbers do not mix`,
      );
    }
    for (let i = 0; i < dim; i++) sum[i] += embed[i];
  }
  let squares = 0;
  for (let i = 0; i < dim; i++) squares += sum[i] * sum[i];
  const norm = Math.sqrt(squares);
  if (!(norm > 0 && norm < Infinity)) {
    throw new InputError(
      `label embedding: the mean of ${promptEmbeds.length} prompts has norm ${norm}; ` +
        "check the prompts and the model's weights",
    );
  }
  const result = new Float32Array(dim);
  for (let i = 0; i < dim; i++) result[i] = sum[i] / norm;
  return result;
}

/** How the segments of one window relate to the labels. */
export interface Affinity {
  /** `[segments, labels]`: cosine similarity times the logit scale. */
  readonly logits: Float32Array;
  /** `[k]`: the labels nearest to the whole window, nearest first. */
  readonly topLabels: Int32Array;
  /**
   * `[segments, k]`, columns as in `topLabels`, in [0, 1]: the soft-max over all labels times the
   * soft-max over the top labels only. Every other label scores exactly 0. Double precision: a segment
   * far from all top labels scores around 1e-40, and its best label must still be known.
   */
  readonly scores: Float64Array;
}

/**
 * Scores every segment of a window against every label (the authors' zero-shot decoding).
 *
 * @param labelEmbeds `[labels, dim]`, rows L2-normalised.
 * @param logitScale the factor, see {@link logitScaleFactor}.
 * @param topK how many labels stay in the running; more than there are (or `Infinity`) means all.
 * @throws InputError if sizes do not fit, or an embedding is not finite.
 */
export function affinity(
  encoding: Pick<WindowEncoding, "segmentEmbeds" | "imageEmbed">,
  labelEmbeds: Float32Array,
  logitScale: number,
  topK: number,
): Affinity {
  const { segmentEmbeds, imageEmbed } = encoding;
  const dim = imageEmbed.length;
  const labels = labelEmbeds.length / dim;
  if (!Number.isInteger(labels) || labels < 1) {
    throw new InputError(
      `labels: ${labelEmbeds.length} numbers are no label embeddings of ${dim} each; ` +
        "labels and picture must come from the same model",
    );
  }
  if (!(topK >= 1)) {
    throw new InputError(`topK: ${topK} leaves no label; give 1 or more (the authors: 5)`);
  }
  if (!(logitScale > 0 && logitScale < Infinity)) {
    throw new InputError(`logit scale: ${logitScale} is not a positive number`);
  }
  const segments = segmentEmbeds.length / dim;
  const logits = similarities(segmentEmbeds, labelEmbeds, dim, logitScale); // [segments, labels]
  const imageLogits = similarities(imageEmbed, labelEmbeds, dim, logitScale); // [labels]
  const topLabels = largest(imageLogits, Math.min(Math.floor(topK), labels)); // [k]
  const k = topLabels.length;

  const scores = new Float64Array(segments * k);
  for (let segment = 0; segment < segments; segment++) {
    const row = segment * labels;
    let most = -Infinity;
    for (let label = 0; label < labels; label++) most = Math.max(most, logits[row + label]);
    let total = 0;
    for (let label = 0; label < labels; label++) total += Math.exp(logits[row + label] - most);
    let topMost = -Infinity;
    for (let i = 0; i < k; i++) topMost = Math.max(topMost, logits[row + topLabels[i]]);
    let topTotal = 0;
    for (let i = 0; i < k; i++) topTotal += Math.exp(logits[row + topLabels[i]] - topMost);
    for (let i = 0; i < k; i++) {
      const logit = logits[row + topLabels[i]];
      scores[segment * k + i] =
        (Math.exp(logit - most) / total) * (Math.exp(logit - topMost) / topTotal);
    }
  }
  return { logits, topLabels, scores };
}

/** `scale * a . b` for rows of `a` `[m, dim]` and `b` `[n, dim]`: `[m, n]`. */
function similarities(a: Float32Array, b: Float32Array, dim: number, scale: number): Float32Array {
  const m = a.length / dim;
  const n = b.length / dim;
  const result = new Float32Array(m * n);
  for (let j = 0; j < n; j++) {
    for (let i = 0; i < m; i++) {
      const value = scale * dot(a, i * dim, b, j * dim, dim);
      if (!Number.isFinite(value)) {
        throw new InputError(
          `labels: the similarity to label ${j} is ${value}; ` +
            "an embedding holds NaN or infinity, check the model's weights",
        );
      }
      result[i * n + j] = value;
    }
  }
  return result;
}

/** Places of the `k` largest values, largest first, the lower place among equals. */
function largest(values: Float32Array, k: number): Int32Array {
  const least = values.slice().sort()[values.length - k];
  const places: number[] = [];
  for (let i = 0; i < values.length; i++) if (values[i] > least) places.push(i);
  for (let i = 0; places.length < k; i++) if (values[i] === least) places.push(i);
  return Int32Array.from(places.sort((i, j) => values[j] - values[i] || i - j));
}
