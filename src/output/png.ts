// Label maps as PNG files: 8-bit palette for up to 256 values, 16-bit grey for more. Written without
// the platform's compressor (see deflate.ts), so that a mask has the same bytes everywhere; read
// with it, and with every size checked first, because mask files come from strangers too.

import { InputError } from "../errors.js";
import { zlibCompress } from "./deflate.js";
import { countValues, type ValueMap } from "./label-map.js";

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
/** Enough for 11,585 x 11,585; bounds the memory that a hostile header can ask for. */
const MAX_PIXELS = 1 << 27;

const CRC_TABLE = new Uint32Array(256);
for (let n = 0; n < 256; n++) {
  let c = n;
  for (let k = 0; k < 8; k++) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1;
  CRC_TABLE[n] = c;
}

function crc32(bytes: Uint8Array): number {
  let c = 0xffffffff;
  for (let i = 0; i < bytes.length; i++) c = CRC_TABLE[(c ^ bytes[i]) & 255] ^ (c >>> 8);
  return ~c >>> 0;
}

/**
 * Encodes a label map as PNG; the bytes are the same on every platform.
 *
 * The number of colours decides the format, not the picture: up to 256 give an 8-bit palette PNG
 * (the pixel's value is the palette index), more give a 16-bit grey PNG without colours.
 *
 * @param palette R, G, B bytes, one colour for every value that may occur
 * @throws InputError when a value has no colour or sizes do not fit
 * @example
 * const bytes = encodeLabelPng(
 *   { width: 2, height: 1, map: new Uint8Array([0, 1]) },
 *   labelPalette(2, true),
 * );
 */
export function encodeLabelPng(source: ValueMap, palette: Uint8Array): Uint8Array {
  const values = palette.length / 3;
  if (!Number.isInteger(values) || values < 1 || values > 65536) {
    throw new InputError(
      `Palette of ${palette.length} bytes: give 3 bytes for each of 1 to 65536 values.`,
    );
  }
  countValues(source, values);
  const { width, height, map } = source;
  const deep = values > 256;
  const step = deep ? 2 : 1;
  const stride = width * step + 1;
  const rows = new Uint8Array(height * stride); // filter byte 0 ("none") before every row
  for (let y = 0; y < height; y++) {
    const start = y * stride + 1;
    if (!deep) {
      rows.set(map.subarray(y * width, (y + 1) * width), start);
      continue;
    }
    for (let x = 0; x < width; x++) {
      const value = map[y * width + x];
      rows[start + 2 * x] = value >> 8;
      rows[start + 2 * x + 1] = value & 255;
    }
  }
  return deep
    ? packPng({ width, height, depth: 16, colourType: GREY }, rows)
    : packPng({ width, height, depth: 8, colourType: PALETTE }, rows, palette);
}

/**
 * A PNG file of rows that have their filter byte in front.
 *
 * @param palette R, G, B bytes, for colour type 3
 */
export function packPng(header: PngHeader, rows: Uint8Array, palette?: Uint8Array): Uint8Array {
  const { width, height, depth, colourType } = header;
  const bytes = new Uint8Array(13);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  bytes.set([depth, colourType], 8);
  const step = pixelBytes(header);
  const stride = rowBytes(header) + 1;
  // The value before is tried first: its short distance codes in fewer bits.
  const distances = [step, stride, stride + step, stride - step];
  return concatenate([
    Uint8Array.from(SIGNATURE),
    chunk("IHDR", bytes),
    ...(palette ? [chunk("PLTE", palette)] : []),
    chunk("IDAT", zlibCompress(rows, distances)),
    chunk("IEND", new Uint8Array(0)),
  ]);
}

function chunk(type: string, data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(data.length + 12);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, data.length);
  for (let i = 0; i < 4; i++) bytes[4 + i] = type.charCodeAt(i);
  bytes.set(data, 8);
  view.setUint32(8 + data.length, crc32(bytes.subarray(4, 8 + data.length)));
  return bytes;
}

function concatenate(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** A label map read from a PNG file. */
export interface DecodedLabelPng extends ValueMap {
  /** R, G, B bytes of the palette; empty for a grey PNG. */
  readonly palette: Uint8Array;
}

/**
 * Reads a label map from a palette or grey PNG of 1, 2, 4, 8 or 16 bits. The values are the palette
 * indices or the grey samples as stored (a 1-bit grey map has values 0 and 1, not 0 and 255).
 *
 * Interlaced files and colour files are refused: mask files are neither. Checksums are checked.
 *
 * @throws InputError naming what is wrong with the file
 */
export async function decodeLabelPng(bytes: Uint8Array): Promise<DecodedLabelPng> {
  const { header, palette, rows } = await unpackPng(bytes, LABEL_DEPTHS);
  const { width, height } = header;
  const map = unpack(rows, header);
  // A value beyond a full palette does not exist.
  if (header.colourType === PALETTE && palette.length < 3 * 2 ** header.depth) {
    countValues({ width, height, map }, palette.length / 3);
  }
  return { width, height, map, palette };
}

/** What the first chunk of a file says. */
export interface PngHeader {
  readonly width: number;
  readonly height: number;
  /** Bits a sample. */
  readonly depth: number;
  /** 0 grey, 2 RGB, 3 palette, 6 RGBA. */
  readonly colourType: number;
}

const GREY = 0;
const PALETTE = 3;
/** Samples a pixel, by colour type. */
const SAMPLES: Readonly<Record<number, number>> = { 0: 1, 2: 3, 3: 1, 6: 4 };
/** Bits a sample that are read, by colour type. */
const LABEL_DEPTHS: Readonly<Record<number, readonly number[]>> = {
  [GREY]: [1, 2, 4, 8, 16],
  [PALETTE]: [1, 2, 4, 8],
};

/** Bytes from a pixel to the next, at least 1: what filters look back by. */
function pixelBytes({ depth, colourType }: PngHeader): number {
  return Math.max(1, (depth * SAMPLES[colourType]) / 8);
}

/** Bytes of a row without its filter byte. */
function rowBytes({ width, depth, colourType }: PngHeader): number {
  return Math.ceil((width * depth * SAMPLES[colourType]) / 8);
}

/**
 * Reads a PNG file that is not interlaced to rows that have a byte without meaning in front.
 *
 * @param depths bits a sample that are taken, for each colour type that is
 * @throws InputError naming what is wrong with the file
 */
export async function unpackPng(
  bytes: Uint8Array,
  depths: Readonly<Record<number, readonly number[]>>,
): Promise<{ header: PngHeader; palette: Uint8Array; rows: Uint8Array }> {
  if (bytes.length < 8 || SIGNATURE.some((byte, i) => bytes[i] !== byte)) {
    throw new InputError("PNG signature missing: give a PNG file.");
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let header: PngHeader | undefined;
  let palette = new Uint8Array(0);
  const data: Uint8Array<ArrayBuffer>[] = [];
  let at = 8;
  for (let ended = false; !ended; ) {
    if (at + 12 > bytes.length)
      throw new InputError(`PNG ends at byte ${at}: the file is cut off.`);
    const length = view.getUint32(at);
    if (length > bytes.length - at - 12) {
      throw new InputError(`PNG chunk of ${length} bytes at byte ${at}: the file is cut off.`);
    }
    const type = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    if (view.getUint32(at + 8 + length) !== crc32(bytes.subarray(at + 4, at + 8 + length))) {
      throw new InputError(`PNG chunk at byte ${at}: wrong checksum, the file is damaged.`);
    }
    const body = bytes.subarray(at + 8, at + 8 + length);
    if ((header === undefined) !== (type === "IHDR")) {
      throw new InputError("PNG header: give a file with exactly one IHDR chunk, the first.");
    }
    if (type === "IHDR") header = readHeader(body, depths);
    else if (type === "PLTE") {
      if (length === 0 || length % 3 !== 0 || length > 768 || palette.length > 0) {
        throw new InputError(`PNG palette of ${length} bytes: give one of 3 to 768, 3 a colour.`);
      }
      palette = body.slice();
    } else if (type === "IDAT") data.push(body.slice());
    else if (type === "IEND") ended = true;
    else if ((bytes[at + 4] & 32) === 0) {
      throw new InputError(`PNG chunk at byte ${at}: a critical chunk of unknown type.`);
    }
    at += 12 + length;
  }
  if (header === undefined) throw new InputError("PNG header missing: give a PNG file.");
  if (header.colourType !== PALETTE) palette = new Uint8Array(0);
  else if (palette.length === 0) {
    throw new InputError("PNG palette missing: a palette PNG needs a PLTE chunk.");
  }
  const length = rowBytes(header);
  const rows = await inflate(data, header.height * (length + 1));
  unfilter(rows, header.height, length, pixelBytes(header));
  return { header, palette, rows };
}

function readHeader(
  body: Uint8Array,
  allowed: Readonly<Record<number, readonly number[]>>,
): PngHeader {
  if (body.length !== 13) throw new InputError(`PNG header of ${body.length} bytes: it has 13.`);
  const view = new DataView(body.buffer, body.byteOffset, 13);
  const width = view.getUint32(0);
  const height = view.getUint32(4);
  const [depth, colourType, compression, filter, interlace] = body.subarray(8);
  if (width < 1 || height < 1) {
    throw new InputError(`PNG size ${width} x ${height}: give at least one pixel.`);
  }
  if (width * height > MAX_PIXELS) {
    throw new InputError(`PNG size ${width} x ${height}: at most ${MAX_PIXELS} pixels are read.`);
  }
  if (!allowed[colourType]?.includes(depth)) {
    throw new InputError(
      `PNG colour type ${colourType} with ${depth} bits: give one of ${describe(allowed)}.`,
    );
  }
  if (compression !== 0 || filter !== 0) {
    throw new InputError(`PNG compression ${compression}, filter ${filter}: only 0 exists.`);
  }
  if (interlace !== 0) throw new InputError("PNG is interlaced: save it without interlacing.");
  return { width, height, depth, colourType };
}

/** "grey (1, 8 bits) or palette (8 bits)". */
function describe(allowed: Readonly<Record<number, readonly number[]>>): string {
  const names: Readonly<Record<number, string>> = { 0: "grey", 2: "RGB", 3: "palette", 6: "RGBA" };
  return Object.entries(allowed)
    .map(([type, depths]) => `${names[Number(type)]} (${depths.join(", ")} bits)`)
    .join(" or ");
}

/** Inflates a zlib stream to exactly `size` bytes, and stops as soon as it gives more. */
async function inflate(parts: Uint8Array<ArrayBuffer>[], size: number): Promise<Uint8Array> {
  // Deflate expands at most 1032 times: a short stream cannot make us allocate a large picture.
  const packed = parts.reduce((sum, part) => sum + part.length, 0);
  if (size > packed * 1032) {
    throw new InputError(`PNG data of ${packed} bytes: too short for ${size} bytes of pixels.`);
  }
  const stream = new Blob(parts).stream();
  const reader = stream.pipeThrough(new DecompressionStream("deflate")).getReader();
  const out = new Uint8Array(size);
  let at = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      if (value.length > size - at) {
        throw new InputError(`PNG data: more than the ${size} bytes that its header promises.`);
      }
      out.set(value, at);
      at += value.length;
    }
  } catch (error) {
    await reader.cancel().catch(() => undefined);
    if (error instanceof InputError) throw error;
    throw new InputError(`PNG data: not a valid zlib stream (${(error as Error).message}).`);
  }
  if (at < size) throw new InputError(`PNG data: ${at} bytes, the header promises ${size}.`);
  return out;
}

/** Undoes the row filters in place (PNG specification, section 9). */
function unfilter(rows: Uint8Array, height: number, rowBytes: number, step: number): void {
  const stride = rowBytes + 1;
  for (let y = 0; y < height; y++) {
    const filter = rows[y * stride];
    const row = y * stride + 1;
    if (filter > 4) throw new InputError(`PNG row ${y}: filter ${filter} does not exist.`);
    if (filter === 0) continue;
    for (let i = 0; i < rowBytes; i++) {
      const left = i >= step ? rows[row + i - step] : 0;
      const up = y > 0 ? rows[row + i - stride] : 0;
      let predicted = filter === 1 ? left : up;
      if (filter === 3) predicted = (left + up) >> 1;
      else if (filter === 4) {
        const corner = i >= step && y > 0 ? rows[row + i - stride - step] : 0;
        const toLeft = Math.abs(up - corner);
        const toUp = Math.abs(left - corner);
        const toCorner = Math.abs(left + up - 2 * corner);
        predicted = toLeft <= toUp && toLeft <= toCorner ? left : toUp <= toCorner ? up : corner;
      }
      rows[row + i] += predicted;
    }
  }
}

function unpack(rows: Uint8Array, header: PngHeader): Uint8Array | Uint16Array {
  const { width, height, depth } = header;
  const stride = rowBytes(header) + 1;
  const map = depth === 16 ? new Uint16Array(width * height) : new Uint8Array(width * height);
  const mask = (1 << Math.min(depth, 8)) - 1;
  for (let y = 0; y < height; y++) {
    const row = y * stride + 1;
    if (depth === 8) {
      map.set(rows.subarray(row, row + width), y * width);
      continue;
    }
    for (let x = 0; x < width; x++) {
      const bit = x * depth;
      const byte = rows[row + (bit >> 3)];
      map[y * width + x] =
        depth === 16
          ? (byte << 8) | rows[row + 2 * x + 1]
          : (byte >> (8 - depth - (bit & 7))) & mask;
    }
  }
  return map;
}
