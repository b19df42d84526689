// What is kept of a labelled picture: masks as run lengths and scores, from which every annotation format
// can be written later. Numbers are rounded, so that records do not depend on the processor.

import type { Segmentation } from "../groupvit.js";
import { type LabelMap, valueCount } from "../output/label-map.js";
import { compressRle, decompressRle, encodeAllRle, type Rle } from "../output/rle.js";

export interface LabelRecord {
  readonly name: string;
  readonly width: number;
  readonly height: number;
  /** Whether pixels may be without a label. */
  readonly background: boolean;
  /** 0 to 1, see {@link uncertainty}. */
  readonly uncertainty: number;
  /** Labels with pixels: index, mean winning score, mask as COCO's compressed counts. */
  readonly masks: readonly (readonly [label: number, score: number, counts: string])[];
}

/** A picture that could not be labelled. */
export interface FailedRecord {
  readonly name: string;
  readonly error: string;
}

export type PictureRecord = LabelRecord | FailedRecord;

const rounded = (score: number) => Math.round(score * 1e6) / 1e6;

export function recordOf(name: string, result: Segmentation): LabelRecord {
  const { width, height, background, scores } = result;
  const first = background ? 1 : 0;
  const masks = encodeAllRle(result, valueCount(result))
    .slice(first)
    .flatMap((rle, label): [number, number, string][] =>
      result.areas[label] === 0 ? [] : [[label, rounded(scores[label]!), compressRle(rle).counts]],
    );
  return { name, width, height, background, uncertainty: uncertainty(result), masks };
}

/**
 * How unsure the model is of a picture: 1 less the mean winning score over the pixels that took a label
 * ("least confidence"). It needs nothing but what decoding gives anyway; the margin to the second label
 * would need a second score for each pixel. A picture without a labelled pixel has 1: nothing was found.
 */
export function uncertainty({ scores, areas }: Pick<Segmentation, "scores" | "areas">): number {
  let pixels = 0;
  let sum = 0;
  for (let i = 0; i < areas.length; i++) {
    pixels += areas[i]!;
    sum += areas[i]! * scores[i]!;
  }
  return pixels === 0 ? 1 : rounded(1 - sum / pixels);
}

/** The label map, scores and masks of labels that a record stands for. */
export function resultOf(
  { width, height, background, masks: present }: LabelRecord,
  labels: readonly string[],
): { result: LabelMap; scores: Float64Array; masks: Rle[] } {
  const first = background ? 1 : 0;
  const pixels = width * height;
  const size = [height, width] as const;
  const map = labels.length > 255 ? new Uint16Array(pixels) : new Uint8Array(pixels);
  const scores = new Float64Array(labels.length);
  const masks: Rle[] = labels.map(() => ({ size, counts: [pixels] }));
  for (const [label, score, counts] of present) {
    const rle = decompressRle({ size, counts });
    scores[label] = score;
    masks[label] = rle;
    paint(map, rle, label + first);
  }
  return { result: { width, height, labels, background, map }, scores, masks };
}

function paint(map: Uint8Array | Uint16Array, { size, counts }: Rle, value: number): void {
  const [height, width] = size;
  let at = 0;
  for (const [i, run] of counts.entries()) {
    if (i % 2 === 1) {
      // Runs go down the columns.
      let place = (at % height) * width + Math.floor(at / height);
      for (let left = run; left > 0; left--) {
        map[place] = value;
        place += width;
        if (place >= map.length) place -= map.length - 1;
      }
    }
    at += run;
  }
}
