// Resizing, equal to the byte to the two libraries that GroupViT's implementations use: PIL (the image
// processor of Hugging Face) and OpenCV (mmcv, the authors' segmentation). Their roundings differ from
// float arithmetic on about 12 % of the values, and hard assignments can amplify that.

import { InputError } from "../errors.js";
import { checkPicture, checkSize } from "./limits.js";
import type { Picture } from "./picture.js";

/** Resampling filters of PIL. */
export type PilFilter = "bicubic" | "bilinear";

/** Fractional bits of PIL's 8-bit resampling weights. */
const PIL_BITS = 22;

/** Fractional bits of OpenCV's bilinear weights, per axis. */
const CV_ONE = 1 << 11;

interface Size {
  width: number;
  height: number;
}

interface Window extends Size {
  left: number;
  top: number;
}

/** Weights of one axis: output `i` is the sum over `t < count[i]` of `weights[i * taps + t] * input[first[i] + t]`. */
interface Coefficients {
  taps: number;
  first: Int32Array;
  count: Int32Array;
  weights: Int32Array;
}

/**
 * Resizes as `PIL.Image.resize((width, height), filter)` of Pillow 9.4 does, equal to the byte:
 * antialiased when shrinking, horizontal pass first, rounded to 8 bits between the passes.
 *
 * @throws PictureError if the new size is no size or too large
 *
 * @example
 * const half = resizePil(picture, picture.width >> 1, picture.height >> 1, "bicubic");
 */
export function resizePil(
  picture: Picture,
  width: number,
  height: number,
  filter: PilFilter,
): Picture {
  checkSize("resizePil", width, height);
  return resample(picture, { width, height }, { left: 0, top: 0, width, height }, filter);
}

/**
 * Shrinks or grows the shorter side to `shortestEdge` and cuts `crop` x `crop` from the middle, as Hugging
 * Face's `CLIPImageProcessor` does: the longer side is `int(shortestEdge * long / short)`, the cut begins
 * at `(height - crop) // 2`. Only the pixels inside the cut are computed, so that a picture of
 * 1 x 100,000 costs no more than any other.
 *
 * @throws InputError if `crop` is larger than `shortestEdge`
 * @throws PictureError if `crop` x `crop` is no size or too large
 */
export function shortestEdgeCenterCrop(
  picture: Picture,
  shortestEdge: number,
  crop: number,
  filter: PilFilter,
): Picture {
  checkSize("shortestEdgeCenterCrop", crop, crop);
  if (!Number.isSafeInteger(shortestEdge) || crop > shortestEdge) {
    throw new InputError(
      `shortestEdgeCenterCrop: shortest edge ${shortestEdge} must be a whole number of at least the crop, ` +
        `${crop}: correct "size" or "crop_size" in preprocessor_config.json`,
    );
  }
  const short = Math.min(picture.width, picture.height);
  const long = Math.floor((shortestEdge * Math.max(picture.width, picture.height)) / short);
  const size =
    picture.width <= picture.height
      ? { width: shortestEdge, height: long }
      : { width: long, height: shortestEdge };
  const left = Math.floor((size.width - crop) / 2);
  const top = Math.floor((size.height - crop) / 2);
  return resample(picture, size, { left, top, width: crop, height: crop }, filter);
}

/**
 * The size at which the authors segment: the shorter side becomes `target`, unless the longer one would
 * exceed `longCap`. It is mmcv's `rescale_size` for `img_scale=(longCap, target)`:
 * `scale = min(longCap / long, target / short)`, sides `int(side * scale + 0.5)`, at least 1.
 *
 * @example
 * shortSide(480, 640); // { width: 448, height: 597 }
 */
export function shortSide(width: number, height: number, target = 448, longCap = 2048): Size {
  checkSize("shortSide", width, height);
  if (!(target >= 1 && longCap >= 1)) {
    throw new InputError(`shortSide: target ${target} and cap ${longCap} must be at least 1 pixel`);
  }
  const scale = Math.min(longCap / Math.max(width, height), target / Math.min(width, height));
  return {
    width: Math.max(1, Math.floor(width * scale + 0.5)),
    height: Math.max(1, Math.floor(height * scale + 0.5)),
  };
}

/**
 * Resizes as `cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR)` does on 8 bits, equal
 * to the byte: no antialiasing, 11-bit fixed-point weights, area averaging when both sides are halved.
 *
 * @throws PictureError if the new size is no size or too large
 */
export function resizeOpenCv(picture: Picture, width: number, height: number): Picture {
  checkPicture("picture", picture);
  checkSize("resizeOpenCv", width, height);
  if (width === picture.width && height === picture.height) {
    return { width, height, data: new Uint8Array(picture.data) };
  }
  if (width * 2 === picture.width && height * 2 === picture.height) return halve(picture);

  const { data } = picture;
  const rowBytes = width * 3;
  const output = new Uint8Array(rowBytes * height);
  const columns = cvColumns(picture.width, width);
  const scale = 1 / (height / picture.height);
  // Two horizontally resized source rows; consecutive outputs mostly need the same two, or the lower again.
  let upper = new Int32Array(rowBytes);
  let lower = new Int32Array(rowBytes);
  let upperRow = -1;
  let lowerRow = -1;
  for (let y = 0; y < height; y++) {
    const position = Math.fround((y + 0.5) * scale - 0.5);
    const floor = Math.floor(position);
    const fraction = Math.fround(position - floor);
    const row0 = Math.min(Math.max(floor, 0), picture.height - 1);
    const row1 = Math.min(Math.max(floor + 1, 0), picture.height - 1);
    if (row0 !== upperRow) {
      if (row0 === lowerRow) {
        [upper, lower] = [lower, upper];
        [upperRow, lowerRow] = [lowerRow, upperRow];
      } else {
        cvRow(data, row0 * picture.width * 3, columns, upper);
        upperRow = row0;
      }
    }
    if (row1 !== lowerRow) {
      if (row1 === upperRow) lower.set(upper);
      else cvRow(data, row1 * picture.width * 3, columns, lower);
      lowerRow = row1;
    }
    const weight0 = roundHalfEven(Math.fround(1 - fraction) * CV_ONE);
    const weight1 = roundHalfEven(fraction * CV_ONE);
    const start = y * rowBytes;
    for (let i = 0; i < rowBytes; i++) {
      const a = Math.imul(weight0, upper[i]! >> 4) >> 16;
      const b = Math.imul(weight1, lower[i]! >> 4) >> 16;
      output[start + i] = (a + b + 2) >> 2;
    }
  }
  return { width, height, data: output };
}

/** Byte offsets of the left and right pixel, and their weights, for every output column. */
interface CvColumns {
  offsets: Int32Array;
  weights: Int32Array;
}

function cvColumns(from: number, to: number): CvColumns {
  const offsets = new Int32Array(to * 2);
  const weights = new Int32Array(to * 2);
  const scale = 1 / (to / from);
  for (let x = 0; x < to; x++) {
    const position = Math.fround((x + 0.5) * scale - 0.5);
    let left = Math.floor(position);
    let fraction = Math.fround(position - left);
    if (left < 0 || left >= from - 1) {
      left = left < 0 ? 0 : from - 1;
      fraction = 0;
    }
    offsets[2 * x] = left * 3;
    offsets[2 * x + 1] = Math.min(left + 1, from - 1) * 3;
    weights[2 * x] = roundHalfEven(Math.fround(1 - fraction) * CV_ONE);
    weights[2 * x + 1] = roundHalfEven(fraction * CV_ONE);
  }
  return { offsets, weights };
}

function cvRow(data: Uint8Array, start: number, columns: CvColumns, row: Int32Array): void {
  const { offsets, weights } = columns;
  for (let x = 0, o = 0; o < row.length; x += 2, o += 3) {
    const left = start + offsets[x]!;
    const right = start + offsets[x + 1]!;
    const weight0 = weights[x]!;
    const weight1 = weights[x + 1]!;
    row[o] = data[left]! * weight0 + data[right]! * weight1;
    row[o + 1] = data[left + 1]! * weight0 + data[right + 1]! * weight1;
    row[o + 2] = data[left + 2]! * weight0 + data[right + 2]! * weight1;
  }
}

/** OpenCV replaces bilinear by area averaging when both sides are exactly halved. */
function halve(picture: Picture): Picture {
  const width = picture.width / 2;
  const height = picture.height / 2;
  const { data } = picture;
  const stride = picture.width * 3;
  const output = new Uint8Array(width * height * 3);
  let o = 0;
  for (let y = 0; y < height; y++) {
    let i = y * 2 * stride;
    for (let x = 0; x < width; x++, i += 6) {
      for (let c = i; c < i + 3; c++) {
        output[o++] =
          (data[c]! + data[c + 3]! + data[c + stride]! + data[c + stride + 3]! + 2) >> 2;
      }
    }
  }
  return { width, height, data: output };
}

function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest === 0.5) return floor + (floor & 1);
  return rest < 0.5 ? floor : floor + 1;
}

/** The part `window` of `picture` resized by PIL's method to `size`. An axis that keeps its length is copied. */
function resample(picture: Picture, size: Size, window: Window, filter: PilFilter): Picture {
  checkPicture("picture", picture);
  const { data } = picture;
  const sourceBytes = picture.width * 3;
  const rowBytes = window.width * 3;
  const across =
    picture.width === size.width
      ? undefined
      : pilCoefficients(picture.width, size.width, window.left, window.width, filter);
  const down =
    picture.height === size.height
      ? undefined
      : pilCoefficients(picture.height, size.height, window.top, window.height, filter);
  // A clamped view saturates to 0..255 on its own, which is PIL's clip8.
  const output = new Uint8ClampedArray(rowBytes * window.height);
  const horizontal = (row: number, target: Uint8ClampedArray, offset: number): void => {
    const start = row * sourceBytes;
    if (across) pilRow(data, start, across, target, offset);
    else {
      const from = start + window.left * 3;
      target.set(data.subarray(from, from + rowBytes), offset);
    }
  };

  if (!down) {
    for (let y = 0; y < window.height; y++) horizontal(window.top + y, output, y * rowBytes);
  } else {
    // Every output row needs at most `taps` neighbouring rows: a ring of them bounds the memory and stays
    // in the cache, whatever the height of the source.
    const { taps, first, count, weights } = down;
    const ring = new Uint8ClampedArray(taps * rowBytes);
    const sums = new Int32Array(rowBytes);
    let next = first[0]!;
    for (let y = 0; y < window.height; y++) {
      const begin = first[y]!;
      const end = begin + count[y]!;
      if (next < begin) next = begin;
      for (; next < end; next++) horizontal(next, ring, (next % taps) * rowBytes);
      sums.fill(1 << (PIL_BITS - 1));
      for (let row = begin; row < end; row++) {
        const weight = weights[y * taps + row - begin]!;
        addRow(sums, ring, (row % taps) * rowBytes, weight);
      }
      const start = y * rowBytes;
      for (let i = 0; i < rowBytes; i++) output[start + i] = sums[i]! >> PIL_BITS;
    }
  }
  return {
    width: window.width,
    height: window.height,
    data: new Uint8Array(output.buffer),
  };
}

function addRow(sums: Int32Array, rows: Uint8ClampedArray, offset: number, weight: number): void {
  for (let i = 0; i < sums.length; i++) {
    sums[i] = sums[i]! + Math.imul(rows[offset + i]!, weight);
  }
}

function pilRow(
  data: Uint8Array,
  start: number,
  coefficients: Coefficients,
  target: Uint8ClampedArray,
  offset: number,
): void {
  const { taps, first, count, weights } = coefficients;
  const half = 1 << (PIL_BITS - 1);
  for (let x = 0, o = offset; x < first.length; x++, o += 3) {
    let red = half;
    let green = half;
    let blue = half;
    let i = start + first[x]! * 3;
    const begin = x * taps;
    const end = begin + count[x]!;
    for (let t = begin; t < end; t++, i += 3) {
      const weight = weights[t]!;
      red = (red + Math.imul(data[i]!, weight)) | 0;
      green = (green + Math.imul(data[i + 1]!, weight)) | 0;
      blue = (blue + Math.imul(data[i + 2]!, weight)) | 0;
    }
    target[o] = red >> PIL_BITS;
    target[o + 1] = green >> PIL_BITS;
    target[o + 2] = blue >> PIL_BITS;
  }
}

/** PIL's weights of the outputs `begin .. begin + length` when `from` pixels become `to`. */
function pilCoefficients(
  from: number,
  to: number,
  begin: number,
  length: number,
  filter: PilFilter,
): Coefficients {
  const scale = from / to;
  const stretch = Math.max(scale, 1);
  const support = (filter === "bicubic" ? 2 : 1) * stretch;
  const taps = Math.min(Math.ceil(support) * 2 + 1, from);
  const first = new Int32Array(length);
  const count = new Int32Array(length);
  const weights = new Int32Array(length * taps);
  const exact = new Float64Array(taps);
  const inverse = 1 / stretch;
  for (let i = 0; i < length; i++) {
    const center = (begin + i + 0.5) * scale;
    const low = Math.max(0, Math.trunc(center - support + 0.5));
    const high = Math.min(from, Math.trunc(center + support + 0.5));
    let sum = 0;
    for (let t = 0; t < high - low; t++) {
      const x = (t + low - center + 0.5) * inverse;
      const weight = filter === "bicubic" ? bicubic(x) : bilinear(x);
      exact[t] = weight;
      sum += weight;
    }
    for (let t = 0; t < high - low; t++) {
      const weight = (sum === 0 ? exact[t]! : exact[t]! / sum) * 2 ** PIL_BITS;
      weights[i * taps + t] = Math.trunc(weight < 0 ? weight - 0.5 : weight + 0.5);
    }
    first[i] = low;
    count[i] = high - low;
  }
  return { taps, first, count, weights };
}

function bilinear(x: number): number {
  const distance = Math.abs(x);
  return distance < 1 ? 1 - distance : 0;
}

/** Keys' cubic with a = -0.5. The order of the operations is part of the result. */
function bicubic(x: number): number {
  const a = -0.5;
  const d = Math.abs(x);
  if (d < 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
  if (d < 2) return (((d - 5) * d + 8) * d - 4) * a;
  return 0;
}
