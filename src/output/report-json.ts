// The JSON that the command line prints for each picture.

import { InputError } from "../errors.js";
import { type LabelMap, valueCount } from "./label-map.js";
import { type CompressedRle, compressRle, encodeAllRle, rleArea } from "./rle.js";

/** One label of a picture. */
export interface LabelReport {
  readonly label: string;
  /** 0 to 1, rounded to six decimals. */
  readonly score: number;
  /** Pixels of the picture that carry the label. */
  readonly area: number;
  /** Its mask as COCO's compressed RLE: `{ size: [height, width], counts }`. */
  readonly rle: CompressedRle;
}

/** One picture. */
export interface PictureReport {
  /** As the caller named the picture. */
  readonly file: string;
  /** Pixels. */
  readonly width: number;
  readonly height: number;
  /** Every label asked for, largest area first, those without a pixel last; the background is none. */
  readonly labels: readonly LabelReport[];
  /** Path of the mask file, null when none was written. */
  readonly mask: string | null;
}

/**
 * Reports a segmented picture; the answer is plain data for `JSON.stringify`.
 * @param scores one number from 0 to 1 for each of `result.labels`
 * @throws InputError when there are more or fewer scores than labels, or sizes do not fit
 */
export function reportPicture(
  file: string,
  result: LabelMap,
  scores: ArrayLike<number>,
  mask: string | null,
): PictureReport {
  if (scores.length !== result.labels.length) {
    throw new InputError(
      `Scores: ${scores.length} for ${result.labels.length} labels, give one for each.`,
    );
  }
  const first = result.background ? 1 : 0;
  const masks = encodeAllRle(result, valueCount(result));
  const labels = result.labels.map((label, i) => {
    const rle = masks[i + first];
    // Rounding keeps the last digits, which differ between processors, out of the report.
    const score = Math.round(scores[i] * 1e6) / 1e6;
    return { label, score, area: rleArea(rle), rle };
  });
  return {
    file,
    width: result.width,
    height: result.height,
    labels: labels
      .sort((a, b) => b.area - a.area)
      .map((entry) => ({ ...entry, rle: compressRle(entry.rle) })),
    mask,
  };
}
