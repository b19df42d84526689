// From 8-bit pixels to what the image tower takes: normalised values, as a pixel tensor or cut into the
// patches that the patch convolution multiplies.

import { InputError, PictureError } from "../errors.js";
import { checkPicture, type Rgb } from "./limits.js";
import type { Picture } from "./picture.js";

/** Channel means and deviations of ImageNet: GroupViT's training and the authors' segmentation. */
export const IMAGENET_MEAN: Rgb = [0.485, 0.456, 0.406];
export const IMAGENET_STD: Rgb = [0.229, 0.224, 0.225];

/** Channel means and deviations of CLIP: the image processor published with the RedCaps checkpoint. */
export const CLIP_MEAN: Rgb = [0.48145466, 0.4578275, 0.40821073];
export const CLIP_STD: Rgb = [0.26862954, 0.26130258, 0.27577711];

/** Patches in rows from the top, each flattened in the order row, column, channel. */
export interface Patches {
  /** `[rows * columns, patch * patch * channels]`, preceded by `batch` where there is one. */
  patches: Float32Array;
  rows: number;
  columns: number;
}

/**
 * `(value / 255 - mean) / std` for every pixel, computed in float64, as a tensor `[3, height, width]`.
 *
 * @throws InputError if `mean` or `std` are not three finite numbers, or a deviation is not positive
 * @throws PictureError if the picture's bytes do not fit its size
 *
 * @example
 * const pixels = normalize(picture, IMAGENET_MEAN, IMAGENET_STD);
 */
export function normalize(
  picture: Picture,
  mean: readonly number[],
  std: readonly number[],
): Float32Array {
  checkPicture("picture", picture);
  const table = valueTable(mean, std);
  const { data } = picture;
  const plane = picture.width * picture.height;
  const pixels = new Float32Array(3 * plane); // [3, height, width]
  for (let c = 0; c < 3; c++) {
    const offset = c * plane;
    for (let i = 0, from = c; i < plane; i++, from += 3) {
      pixels[offset + i] = table[c * 256 + data[from]!]!;
    }
  }
  return pixels;
}

/**
 * The normalised picture cut into patches. What is left over at the right and at the bottom is dropped, as
 * a convolution with stride `patchSize` drops it.
 *
 * @throws PictureError if the picture is smaller than one patch, or its bytes do not fit its size
 * @throws InputError if `mean`, `std` or `patchSize` are no such values
 *
 * @example
 * const { patches, rows, columns } = toPatches(picture, IMAGENET_MEAN, IMAGENET_STD, 16);
 */
export function toPatches(
  picture: Picture,
  mean: readonly number[],
  std: readonly number[],
  patchSize: number,
): Patches {
  checkPicture("picture", picture);
  const { rows, columns } = patchGrid(picture.width, picture.height, patchSize);
  const table = valueTable(mean, std);
  const { data } = picture;
  const run = patchSize * 3; // one row of one patch
  const patches = new Float32Array(rows * columns * patchSize * run);
  let to = 0;
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      for (let y = 0; y < patchSize; y++) {
        let from = ((row * patchSize + y) * picture.width + column * patchSize) * 3;
        for (const end = from + run; from < end; from += 3, to += 3) {
          patches[to] = table[data[from]!]!;
          patches[to + 1] = table[256 + data[from + 1]!]!;
          patches[to + 2] = table[512 + data[from + 2]!]!;
        }
      }
    }
  }
  return { patches, rows, columns };
}

/**
 * Patches of a pixel tensor that is already normalised: `[batch, channels, height, width]` becomes
 * `[batch, rows * columns, patch * patch * channels]`, in the order of {@link toPatches}.
 *
 * @throws PictureError if the tensor is smaller than one patch
 * @throws InputError if the shape does not fit the values
 */
export function patchesFromPixels(
  pixels: Float32Array,
  shape: readonly [batch: number, channels: number, height: number, width: number],
  patchSize: number,
): Patches {
  const [batch, channels, height, width] = shape;
  const size = batch * channels * height * width;
  if (shape.some((side) => !Number.isSafeInteger(side) || side < 1) || size !== pixels.length) {
    throw new InputError(
      `patchesFromPixels: shape [${shape.join(", ")}] does not fit ${pixels.length} values: ` +
        "give [batch, channels, height, width]",
    );
  }
  const { rows, columns } = patchGrid(width, height, patchSize);
  const plane = height * width;
  const patches = new Float32Array(batch * rows * columns * patchSize * patchSize * channels);
  let to = 0;
  for (let b = 0; b < batch; b++) {
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        for (let y = 0; y < patchSize; y++) {
          const start = b * channels * plane + (row * patchSize + y) * width + column * patchSize;
          for (let x = start; x < start + patchSize; x++) {
            for (let c = 0, from = x; c < channels; c++, from += plane) {
              patches[to++] = pixels[from]!;
            }
          }
        }
      }
    }
  }
  return { patches, rows, columns };
}

function patchGrid(width: number, height: number, patchSize: number) {
  if (!Number.isSafeInteger(patchSize) || patchSize < 1) {
    throw new InputError(`patch size ${patchSize} must be a whole number from 1`);
  }
  const rows = Math.floor(height / patchSize);
  const columns = Math.floor(width / patchSize);
  if (rows === 0 || columns === 0) {
    throw new PictureError(
      `picture: ${width} x ${height} is smaller than one patch of ${patchSize} x ${patchSize}: ` +
        "give a larger, or a less elongated, picture",
    );
  }
  return { rows, columns };
}

/** `[3, 256]`: the normalised value of each byte in each channel. */
function valueTable(mean: readonly number[], std: readonly number[]): Float32Array {
  const usable =
    mean.length === 3 &&
    std.length === 3 &&
    mean.every(Number.isFinite) &&
    std.every((value) => Number.isFinite(value) && value > 0);
  if (!usable) {
    throw new InputError(
      `normalize: mean [${mean.join(", ")}] and std [${std.join(", ")}] must be three finite numbers each, ` +
        'std above 0: correct "image_mean" or "image_std" in preprocessor_config.json',
    );
  }
  const table = new Float32Array(768);
  for (let c = 0; c < 3; c++) {
    for (let value = 0; value < 256; value++) {
      table[c * 256 + value] = (value / 255 - mean[c]!) / std[c]!;
    }
  }
  return table;
}
