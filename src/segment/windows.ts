// Windows of a picture for `whole` and `slide` decoding.

import { InputError } from "../errors.js";
import type { Picture } from "../input/picture.js";
import { checkSize } from "./interpolate.js";

/** A rectangle of pixels; `x1` and `y1` are exclusive. */
export interface Window {
  readonly x0: number;
  readonly y0: number;
  readonly x1: number;
  readonly y1: number;
}

/**
 * The windows of `slide` decoding, rows first. A last window that would stick out is shifted back
 * inside; a picture smaller than the crop gets one window of its own size. `slideWindows` with a crop
 * of the picture's longer side is `whole` decoding.
 *
 * @param width,height the resized picture, in pixels.
 * @param crop side of a window (the authors: 448). @param stride step (the authors: 224).
 * @throws InputError if a number is not a positive whole one, or windows would leave gaps.
 * @example
 * slideWindows(597, 448, 448, 224);
 * // [{ x0: 0, y0: 0, x1: 448, y1: 448 }, { x0: 149, y0: 0, x1: 597, y1: 448 }]
 */
export function slideWindows(
  width: number,
  height: number,
  crop: number,
  stride: number,
): Window[] {
  checkSize("slide windows", width, height);
  const whole = Number.isInteger(crop) && Number.isInteger(stride);
  if (!whole || stride < 1 || crop < stride) {
    throw new InputError(
      `slide windows: crop ${crop} with stride ${stride} does not cover a picture; ` +
        "give whole numbers, 1 <= stride <= crop (the authors: 448 and 224)",
    );
  }
  const windows: Window[] = [];
  for (const y0 of starts(height, crop, stride)) {
    for (const x0 of starts(width, crop, stride)) {
      windows.push({ x0, y0, x1: Math.min(x0 + crop, width), y1: Math.min(y0 + crop, height) });
    }
  }
  return windows;
}

function starts(length: number, crop: number, stride: number): number[] {
  const steps = Math.ceil(Math.max(length - crop, 0) / stride);
  const last = Math.max(length - crop, 0);
  return Array.from({ length: steps + 1 }, (_, i) => Math.min(i * stride, last));
}

/** The pixels of a window that lies within the picture. */
export function cutWindow(picture: Picture, { x0, y0, x1, y1 }: Window): Picture {
  const [width, height] = [x1 - x0, y1 - y0];
  if (width === picture.width && height === picture.height) return picture;
  const data = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) {
    const start = ((y0 + y) * picture.width + x0) * 3;
    data.set(picture.data.subarray(start, start + width * 3), y * width * 3);
  }
  return { width, height, data };
}
