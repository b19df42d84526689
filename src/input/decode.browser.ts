// Decodes pictures in the browser (page or worker) with createImageBitmap and OffscreenCanvas: from a URL,
// a file, bytes or a stream to upright 8-bit sRGB. The same calls as `decode.node.ts`.

import { PictureError } from "../errors.js";
import { headerSize, pictureFormat } from "./header.js";
import { checkPicture, checkSize, DEFAULT_URL_TIMEOUT, type DecodeOptions } from "./limits.js";
import type { Picture } from "./picture.js";
import {
  type CommonSource,
  isPicture,
  type Reading,
  readBytes,
  shorten,
  subjectOf,
  withLimits,
} from "./source.js";

export type { DecodeOptions } from "./limits.js";

/** A URL (also relative, `data:` or `blob:`), a file, encoded bytes, a stream of them, or a picture. */
export type PictureSource = CommonSource;

/**
 * Decodes JPEG, PNG, WebP, AVIF and GIF (first frame), turned upright by its EXIF orientation, as 8-bit
 * sRGB; transparent pixels are blended with `background`. TIFF, which browsers do not decode, is refused.
 * A `Picture` is checked against the limits and returned itself.
 *
 * The size is checked in the header, before anything is decoded. Browsers have their own JPEG, AVIF and
 * colour routines: Chromium differs from Node by at most 2. Chromium refuses pictures that are cut short;
 * another browser may show what there is of them. Browsers that guard against fingerprinting add noise to
 * what is read back from a canvas.
 *
 * @throws PictureError if the source cannot be read, is too large, damaged, or no picture
 * @throws the signal's reason when it fires
 *
 * @example
 * const picture = await decodePicture(fileInput.files[0]);
 */
export async function decodePicture(
  source: PictureSource,
  options: DecodeOptions = {},
): Promise<Picture> {
  const place = typeof source === "string" ? absolute(source) : source;
  const subject = subjectOf(place);
  const limits =
    place instanceof URL
      ? { ...options, timeout: options.timeout ?? DEFAULT_URL_TIMEOUT }
      : options;
  return withLimits(subject, limits, async (reading) => {
    if (isPicture(place)) {
      checkPicture(subject, place, reading.maxPixels);
      return place;
    }
    return decode(await readBytes(place, reading), reading);
  });
}

function absolute(address: string): URL {
  try {
    return new URL(address, globalThis.document?.baseURI ?? globalThis.location?.href);
  } catch (error) {
    throw new PictureError(`${shorten(address) || '""'}: malformed address: check it`, {
      cause: error,
    });
  }
}

async function decode(bytes: Uint8Array, reading: Reading): Promise<Picture> {
  const { subject, maxPixels, background, signal } = reading;
  const format = pictureFormat(subject, bytes);
  if (format === "TIFF") {
    throw new PictureError(`${subject}: browsers do not decode TIFF: convert it to PNG or JPEG`);
  }
  const damaged = (cause?: unknown) =>
    new PictureError(`${subject}: damaged or cut short (${format}): save or download it again`, {
      cause,
    });
  const claimed = headerSize(bytes, format);
  if (!claimed) throw damaged();
  checkSize(subject, claimed.width, claimed.height, maxPixels);

  let bitmap: ImageBitmap;
  try {
    // The copy gives the blob bytes that nobody shares. "default" converts embedded profiles to sRGB.
    bitmap = await createImageBitmap(new Blob([new Uint8Array(bytes)]), {
      imageOrientation: "from-image",
      colorSpaceConversion: "default",
    });
  } catch (error) {
    throw damaged(error);
  }
  try {
    signal.throwIfAborted();
    const { width, height } = bitmap;
    checkSize(subject, width, height, maxPixels); // the header may have lied
    const canvas = new OffscreenCanvas(width, height);
    // Read back often means: kept in memory, where the GPU's largest texture is no limit.
    const context = canvas.getContext("2d", {
      alpha: false,
      colorSpace: "srgb",
      willReadFrequently: true,
    });
    if (!context) throw new PictureError(`${subject}: ${width} x ${height} exceeds the canvas`);
    // A canvas stores colours multiplied by alpha, and reading them back from where alpha is small loses
    // bits. On an opaque background nothing is divided again.
    context.fillStyle = `rgb(${background.join(" ")})`;
    context.fillRect(0, 0, width, height);
    context.drawImage(bitmap, 0, 0);
    const rgba = context.getImageData(0, 0, width, height).data;
    const data = new Uint8Array(width * height * 3);
    for (let from = 0, to = 0; to < data.length; from += 4, to += 3) {
      data[to] = rgba[from]!;
      data[to + 1] = rgba[from + 1]!;
      data[to + 2] = rgba[from + 2]!;
    }
    return { width, height, data };
  } catch (error) {
    if (error instanceof PictureError || signal.aborted) throw error;
    throw new PictureError(
      `${subject}: ${bitmap.width} x ${bitmap.height} cannot be read back from a canvas: shrink it`,
      { cause: error },
    );
  } finally {
    bitmap.close();
  }
}
