// Hugging Face's own segmentation logits (`output_segmentation=True`), for parity with its class only:
// soft maps, and the logit scale applied twice. Segment pictures with `decode`.

import { InputError } from "../errors.js";
import { dot } from "./dot.js";
import { multiplyAssignments } from "./encoding.js";
import { bilinearAxis, checkSize } from "./interpolate.js";

/** Most numbers a result may have (4 GiB of 32-bit floats). */
const MAX_ELEMENTS = 2 ** 30;

export interface SegmentationLogitsInput {
  /** Soft assignments per grouping block, `[groups, tokens]`. */
  readonly assignments: readonly Float32Array[];
  readonly groups: readonly number[];
  /** `[segments, dim]`, L2-normalised. */
  readonly segmentEmbeds: Float32Array;
  /** `[labels, dim]`, L2-normalised. */
  readonly textEmbeds: Float32Array;
  /** The factor `exp(parameter)`; Hugging Face does not clamp it. */
  readonly logitScale: number;
  /** Size of the picture that the tower saw, in pixels. */
  readonly height: number;
  readonly width: number;
}

/**
 * Similarity of segments to labels times the scale, spread over the bilinearly resized grouping maps,
 * times the scale again.
 *
 * @returns `[labels, height, width]`.
 * @throws InputError if sizes do not fit or the result would exceed 2^30 numbers.
 */
export function segmentationLogits(input: SegmentationLogitsInput): Float32Array {
  const { assignments, groups, segmentEmbeds, textEmbeds, logitScale, height, width } = input;
  checkSize("segmentation logits", width, height);
  const segments = groups[groups.length - 1];
  const dim = segmentEmbeds.length / segments;
  const labels = textEmbeds.length / dim;
  if (!Number.isInteger(dim) || !Number.isInteger(labels) || labels < 1) {
    throw new InputError(
      `segmentation logits: ${segmentEmbeds.length} numbers for ${segments} segments and ` +
        `${textEmbeds.length} for the labels do not share a width`,
    );
  }
  if (labels * height * width > MAX_ELEMENTS) {
    throw new InputError(
      `segmentation logits: [${labels}, ${height}, ${width}] is too large; ` +
        "give fewer labels at a time, or use decode()",
    );
  }
  const patches = (assignments[0]?.length ?? 0) / groups[0];
  const { rows, columns } = patchGrid(patches, height, width);
  const products = multiplyAssignments(assignments, groups, patches);
  const grouping = products[products.length - 1]; // [patches, segments]

  // Both steps are linear: combining segments on the patch grid, then resizing, is the same as resizing
  // every segment's map first, at a fraction of the work.
  const result = new Float32Array(labels * height * width);
  const coarse = new Float64Array(patches);
  const xs = bilinearAxis(columns, width);
  const ys = bilinearAxis(rows, height);
  for (let label = 0; label < labels; label++) {
    coarse.fill(0);
    for (let segment = 0; segment < segments; segment++) {
      const similarity = dot(segmentEmbeds, segment * dim, textEmbeds, label * dim, dim);
      const logit = similarity * logitScale * logitScale;
      for (let patch = 0; patch < patches; patch++) {
        coarse[patch] += logit * grouping[patch * segments + segment];
      }
    }
    for (let y = 0; y < height; y++) {
      const above = ys.low[y] * columns;
      const below = ys.high[y] * columns;
      const fy = ys.fraction[y];
      const line = (label * height + y) * width;
      for (let x = 0; x < width; x++) {
        const low = xs.low[x];
        const high = xs.high[x];
        const fx = xs.fraction[x];
        result[line + x] =
          (1 - fy) * ((1 - fx) * coarse[above + low] + fx * coarse[above + high]) +
          fy * ((1 - fx) * coarse[below + low] + fx * coarse[below + high]);
      }
    }
  }
  return result;
}

/** The patch grid as Hugging Face infers it from the number of patches and the picture's size. */
function patchGrid(patches: number, height: number, width: number) {
  const scale = Math.sqrt(Math.floor((height * width) / patches));
  let rows: number;
  let columns: number;
  if (height > width) {
    columns = roundHalfEven(width / scale);
    rows = Math.floor(patches / columns);
  } else {
    rows = roundHalfEven(height / scale);
    columns = Math.floor(patches / rows);
  }
  if (rows * columns !== patches) {
    throw new InputError(
      `segmentation logits: ${patches} patches are no grid of a ${height} x ${width} picture`,
    );
  }
  return { rows, columns };
}

/** Python's rounding: halves go to the even neighbour. */
function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  if (value - floor !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}
