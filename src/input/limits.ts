// What a picture may cost before it is refused: sizes are checked against these limits before anything is
// allocated, because the numbers come from the headers of files that strangers made.

import { PictureError } from "../errors.js";
import type { Picture } from "./picture.js";

/** Pixels that a picture may have unless the caller says otherwise: 100 megapixels. */
export const DEFAULT_MAX_PIXELS = 100_000_000;

/** Encoded bytes that are read at most unless the caller says otherwise: 256 MiB. */
export const DEFAULT_MAX_BYTES = 256 * 1024 * 1024;

/** Milliseconds that a download may take unless the caller says otherwise. */
export const DEFAULT_URL_TIMEOUT = 60_000;

/**
 * Longest side in pixels. The resize tables grow with it (bicubic from `n` to 1 needs `4n` weights), so
 * that a strip of 100,000,000 x 1 would cost gigabytes although it has few enough pixels.
 */
export const MAX_SIDE = 1_000_000;

/** Most bytes of one decoded or resized picture: `width * height * 3`. */
const MAX_DECODED_BYTES = 2 ** 31 - 1;

/** Red, green, blue. */
export type Rgb = readonly [number, number, number];

/**
 * What transparent pixels show. White, because pictures with alpha (logos, drawings, cut-out products) are
 * made for white pages; dropping alpha instead would show colours that nobody was meant to see.
 */
export const WHITE: Rgb = [255, 255, 255];

/** Options of `decodePicture`, in Node and in the browser. */
export interface DecodeOptions {
  /** Most pixels, checked before decoding. Default 100,000,000. */
  maxPixels?: number;
  /** Most encoded bytes, checked while reading. Default 256 MiB. */
  maxBytes?: number;
  /** Most milliseconds for the whole call. Default 60,000 for URLs, no limit otherwise. */
  timeout?: number;
  /** Rejects with the signal's reason as soon as it fires. */
  signal?: AbortSignal;
  /** Colour 0..255 behind transparent pixels. Default white. */
  background?: Rgb;
}

/**
 * Refuses sizes that are no sizes, or too large.
 *
 * @param subject begins the message, e.g. the picture's path
 * @throws PictureError
 */
export function checkSize(
  subject: string,
  width: number,
  height: number,
  maxPixels: number = Number.POSITIVE_INFINITY,
): void {
  if (!Number.isSafeInteger(width) || !Number.isSafeInteger(height) || width < 1 || height < 1) {
    throw new PictureError(
      `${subject}: ${width} x ${height} is no picture size: both sides must be whole numbers from 1`,
    );
  }
  if (width * height > maxPixels) {
    throw new PictureError(
      `${subject}: ${width} x ${height} are ${width * height} pixels, more than the limit of ${maxPixels}: ` +
        "shrink the picture, or raise maxPixels if you trust its origin",
    );
  }
  if (width > MAX_SIDE || height > MAX_SIDE || width * height * 3 > MAX_DECODED_BYTES) {
    throw new PictureError(
      `${subject}: ${width} x ${height} is too large: sides end at ${MAX_SIDE} pixels, ` +
        `and width * height * 3 at ${MAX_DECODED_BYTES} bytes: shrink or cut the picture`,
    );
  }
}

/**
 * Refuses a picture whose bytes do not fit its size.
 *
 * @throws PictureError
 */
export function checkPicture(subject: string, picture: Picture, maxPixels?: number): void {
  const { width, height, data } = picture;
  checkSize(subject, width, height, maxPixels);
  if (data.length !== width * height * 3) {
    throw new PictureError(
      `${subject}: ${width} x ${height} pixels need ${width * height * 3} bytes, not ${data.length}: ` +
        "give three bytes (R, G, B) a pixel, without padding",
    );
  }
}
