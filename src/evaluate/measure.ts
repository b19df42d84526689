// What one picture contributes to a result: a short record of whole numbers and sums, so that records of
// many processes and interrupted runs add up to the same result.

import { InputError } from "../errors.js";
import type { GroupViT } from "../index.js";
import { decodePicture } from "../input/decode.node.js";
import { encodeLabelPng, labelPalette } from "../parts.js";
import { addPixels, createConfusion, IGNORED, toTriples } from "./confusion.js";
import type { MaskCoding, MaskedSample } from "./dataset.js";
import { readMask } from "./datasets/masks.js";
import type { SegmentationProtocol } from "./protocol.js";

/** Equal ranges of the winning score, over which reliability is counted. */
export const SCORE_BINS = 10;

export interface SegmentationRecord {
  readonly name: string;
  /** Confusion: true value, predicted value, pixels; three numbers an entry. */
  readonly pairs: readonly number[];
  /** Of each range of scores: pixels, sum of scores, right ones; background is not counted. */
  readonly bins: readonly number[];
}

export interface ClassificationRecord {
  readonly name: string;
  readonly label: number;
  /** Classes that were nearer to the picture than the true one, or as near and before it. */
  readonly rank: number;
}

/** A set without its list of samples. */
export interface SetHead {
  readonly name: string;
  readonly root: string;
  readonly classes: readonly string[];
  readonly background: boolean;
  readonly coding: MaskCoding;
}

/** A predicted map with the set's class values. */
export interface Prediction {
  readonly width: number;
  readonly height: number;
  readonly map: Uint8Array | Uint16Array;
  readonly scores: Float32Array;
}

/** Encodes a picture as the protocol says. */
export function encodeFor(model: GroupViT, picture: string, protocol: SegmentationProtocol) {
  const { mode, shortSide, flip, zoom } = protocol;
  return model.encode(picture, { mode, shortSide, flip, zoom });
}

/** Segments a picture as the protocol says. */
export async function predict(
  model: GroupViT,
  picture: string,
  protocol: SegmentationProtocol,
  set: Pick<SetHead, "background">,
): Promise<Prediction> {
  const { background } = protocol;
  const encoded = await encodeFor(model, picture, protocol);
  const { width, height, map, pixelScores } = await encoded.segment(protocol.words, {
    prompts: protocol.prompts,
    topK: protocol.topK,
    assignment: protocol.assignment,
    refine: protocol.refine,
    pixelScores: true,
    background: background.kind,
    ...(background.kind === "threshold" ? { threshold: background.threshold } : {}),
  });
  if (set.background && background.kind === "none") {
    // Labels begin at 0 there, classes after the background at 1.
    for (let i = 0; i < map.length; i++) map[i]!++;
  }
  return { width, height, map, scores: pixelScores! };
}

/**
 * Segments a picture and compares it with its mask.
 *
 * @param save receives the predicted map as an indexed PNG
 * @throws InputError where picture and mask differ in size
 */
export async function measureMask(
  model: GroupViT,
  sample: MaskedSample,
  protocol: SegmentationProtocol,
  set: SetHead,
  save?: (png: Uint8Array) => Promise<unknown>,
): Promise<SegmentationRecord> {
  const truth = await readMask(set, sample);
  const predicted = await predict(model, sample.picture, protocol, set);
  if (truth.width !== predicted.width || truth.height !== predicted.height) {
    throw new InputError(
      `${sample.mask}: the mask is ${truth.width} x ${truth.height} pixels, its picture ` +
        `${predicted.width} x ${predicted.height}; give a mask of the picture's size`,
    );
  }
  const values = set.classes.length + (set.background ? 1 : 0);
  const confusion = createConfusion(values);
  addPixels(confusion, truth.map, predicted.map);
  await save?.(encodeLabelPng(predicted, labelPalette(values, set.background)));
  const first = set.background ? 1 : 0;
  return {
    name: sample.name,
    pairs: toTriples(confusion),
    bins: scoreBins(truth.map, predicted, first),
  };
}

/** @param first lowest value that has a score of its own */
function scoreBins(truth: Uint8Array, { map, scores }: Prediction, first: number): number[] {
  const bins = new Array<number>(3 * SCORE_BINS).fill(0);
  for (let i = 0; i < truth.length; i++) {
    if (truth[i] === IGNORED || map[i]! < first) continue;
    const at = 3 * Math.min(SCORE_BINS - 1, Math.floor(scores[i]! * SCORE_BINS));
    bins[at]!++;
    bins[at + 1]! += scores[i]!;
    if (truth[i] === map[i]) bins[at + 2]!++;
  }
  return bins;
}

/**
 * Finds how many words are nearer to a picture than its true one.
 *
 * @param words embeddings of all classes [classes, dim], L2-normalised
 * @throws InputError where the model gives no numbers
 */
export async function measureLabel(
  model: GroupViT,
  name: string,
  picture: string | Uint8Array,
  label: number,
  words: Float32Array,
): Promise<ClassificationRecord> {
  const image = await model.embedPicture(await decodePicture(picture));
  const score = (word: number) => {
    let sum = 0;
    for (let i = 0; i < image.length; i++) sum += image[i]! * words[word * image.length + i]!;
    return sum;
  };
  const own = score(label);
  let rank = 0;
  for (let word = 0; word < words.length / image.length; word++) {
    const other = score(word);
    if (Number.isNaN(other)) {
      throw new InputError(
        `${name}: the similarity to class ${word} is NaN; an embedding holds NaN or infinity, check the ` +
          "model's weights",
      );
    }
    // Among equals the first is the answer, as for arg max.
    if (other > own || (other === own && word < label)) rank++;
  }
  return { name, label, rank };
}
