// Decodes pictures in Node with sharp: from a path, a URL, bytes or a stream to upright 8-bit sRGB.

import { createReadStream, type Stats } from "node:fs";
import { stat } from "node:fs/promises";
import { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import sharp from "sharp";
import { PictureError } from "../errors.js";
import { pictureFormat } from "./header.js";
import { checkPicture, checkSize, DEFAULT_URL_TIMEOUT, type DecodeOptions } from "./limits.js";
import type { Picture } from "./picture.js";
import {
  type CommonSource,
  checkBytes,
  collect,
  isPicture,
  isUrl,
  type Reading,
  readBytes,
  shorten,
  subjectOf,
  unreadable,
  withLimits,
} from "./source.js";

export type { DecodeOptions } from "./limits.js";

/** A path, an http(s), file or data URL, encoded bytes, a stream of them (standard input), or a picture. */
export type PictureSource = CommonSource | Readable;

/**
 * Decodes JPEG, PNG, WebP, AVIF, GIF (first frame) and TIFF (first page), turned upright by its EXIF
 * orientation, as 8-bit sRGB. Grey, palette, 16-bit and CMYK pictures and embedded colour profiles are
 * converted; transparent pixels are blended with `background`. A picture that is broken or cut short is
 * refused rather than filled up with grey; wrong values inside JPEG data cannot be told from right ones. A `Picture` is checked against the limits and returned itself.
 *
 * The size is checked in the header, before anything is decoded. The signal and the timeout reject at
 * once; decoding that has begun in libvips ends in the background.
 *
 * URLs are fetched as they are: who passes on URLs of strangers must keep them off private networks.
 *
 * @throws PictureError if the source cannot be read, is too large, damaged, or no picture
 * @throws the signal's reason when it fires
 *
 * @example
 * const picture = await decodePicture("cat.jpg");
 * const fromPipe = await decodePicture(process.stdin, { maxPixels: 10_000_000 });
 */
export async function decodePicture(
  source: PictureSource,
  options: DecodeOptions = {},
): Promise<Picture> {
  const place = pathOrSource(source);
  const subject = place instanceof Readable && place === process.stdin ? "stdin" : subjectOf(place);
  const limits = isUrl(place)
    ? { ...options, timeout: options.timeout ?? DEFAULT_URL_TIMEOUT }
    : options;
  return withLimits(subject, limits, async (reading) => {
    if (isPicture(place)) {
      checkPicture(subject, place, reading.maxPixels);
      return place;
    }
    const bytes = await readSource(place, reading);
    const format = pictureFormat(subject, bytes);
    try {
      return await decode(bytes, reading);
    } catch (error) {
      if (error instanceof PictureError) throw error;
      const why = error instanceof Error ? shorten(error.message, 120) : "";
      throw new PictureError(
        `${subject}: damaged or cut short (${format}: ${why}): save or download it again`,
        { cause: error },
      );
    }
  });
}

/** A `file:` URL as the path that it names; everything else as it is. */
function pathOrSource(source: PictureSource): PictureSource {
  if (!isUrl(source) || !/^file:/i.test(String(source))) return source;
  try {
    return fileURLToPath(source);
  } catch (error) {
    const why = error instanceof Error ? shorten(error.message) : "";
    throw new PictureError(`file: URL: names no path (${why}): give the path`, { cause: error });
  }
}

async function readSource(
  source: Exclude<PictureSource, Picture>,
  reading: Reading,
): Promise<Uint8Array> {
  if (source instanceof Readable) return readStream(source, reading);
  if (typeof source === "string" && !isUrl(source)) return readFile(source, reading);
  return readBytes(source, reading);
}

async function readFile(path: string, reading: Reading): Promise<Uint8Array> {
  let status: Stats;
  try {
    status = await stat(path);
    if (status.isDirectory()) {
      throw new PictureError(`${reading.subject}: a folder: give a picture file`);
    }
    checkBytes(status.size, reading);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "ENOENT" || code === "ENOTDIR") {
      throw new PictureError(`${reading.subject}: no such file: check the path`, { cause: error });
    }
    throw unreadable(error, reading.subject);
  }
  // Counted again while reading: files grow, and devices and pipes have no size. The stream allocates what it may
  // read at once, twice: a small picture must not cost two megabytes of garbage.
  const highWaterMark = status.isFile() ? Math.min(1 << 20, status.size + 1) : 1 << 16;
  return readStream(createReadStream(path, { highWaterMark }), reading);
}

async function readStream(stream: Readable, reading: Reading): Promise<Uint8Array> {
  const close = () => stream.destroy();
  reading.signal.addEventListener("abort", close, { once: true });
  try {
    return await collect(stream, reading);
  } finally {
    reading.signal.removeEventListener("abort", close);
  }
}

async function decode(bytes: Uint8Array, reading: Reading): Promise<Picture> {
  const { subject, maxPixels, background, timeout, signal } = reading;
  // Only reads the header, so the limit on pixels can be ours, which says what to do.
  const { width, height, icc } = await sharp(bytes, { limitInputPixels: false }).metadata();
  checkSize(subject, width, height, maxPixels);
  signal.throwIfAborted();
  // Converting sRGB to sRGB changes some values by 1; PIL and OpenCV, which trained and measured the
  // checkpoints, read the values as they are stored.
  const ignoreIcc = icc !== undefined && isSrgbProfile(icc);
  const { data, info } = await sharp(bytes, {
    ignoreIcc,
    // Errors and missing data, but no warnings: many photographs carry stray bytes. PIL draws the same line.
    failOn: "error",
    limitInputPixels: width * height,
  })
    .timeout({ seconds: timeout === undefined ? 0 : Math.min(3600, Math.ceil(timeout / 1000)) })
    .pipelineColourspace("srgb") // or grey with alpha would be blended with a grey background
    .autoOrient()
    .flatten({ background: { r: background[0], g: background[1], b: background[2] } })
    .toColourspace("srgb")
    .raw({ depth: "uchar" })
    .toBuffer({ resolveWithObject: true });
  if (info.channels !== 3) {
    throw new PictureError(
      `${subject}: ${info.channels} channels cannot be shown as colours: convert it to RGB`,
    );
  }
  const picture = {
    width: info.width,
    height: info.height,
    data: new Uint8Array(data.buffer, data.byteOffset, data.length),
  };
  checkPicture(subject, picture, maxPixels);
  return picture;
}

/** Whether an ICC profile describes itself ("desc" tag) as sRGB. */
function isSrgbProfile(icc: Buffer): boolean {
  const count = icc.length < 132 ? 0 : icc.readUInt32BE(128);
  for (let i = 0; i < count && 132 + 12 * (i + 1) <= icc.length; i++) {
    const entry = 132 + 12 * i;
    if (icc.toString("latin1", entry, entry + 4) !== "desc") continue;
    const offset = icc.readUInt32BE(entry + 4);
    const text = icc.toString("latin1", offset, offset + icc.readUInt32BE(entry + 8));
    return text.replaceAll("\0", "").includes("sRGB"); // ASCII, or UTF-16 since version 4
  }
  return false;
}
