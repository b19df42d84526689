// Label maps as PNG files of 8-bit RGB: each value in its colour. For tools that know labels by colour;
// encodeLabelPng of output/png.ts writes smaller files.

import { countValues, type ValueMap } from "../output/label-map.js";
import { decodeLabelPng, packPng, unpackPng } from "../output/png.js";

const RGB = 2;
const RGBA = 6;

/**
 * Encodes a map in colours; the bytes are the same on every platform.
 *
 * @param palette R, G, B bytes, one colour for every value that may occur
 * @throws InputError when a value has no colour or sizes do not fit
 */
export function encodeRgbPng(source: ValueMap, palette: Uint8Array): Uint8Array {
  countValues(source, palette.length / 3);
  const { width, height, map } = source;
  const stride = 3 * width + 1;
  const rows = new Uint8Array(height * stride); // filter byte 0 ("none") before every row
  for (let y = 0, pixel = 0; y < height; y++) {
    for (let at = y * stride + 1; at < (y + 1) * stride; at += 3, pixel++) {
      const colour = 3 * map[pixel];
      rows[at] = palette[colour];
      rows[at + 1] = palette[colour + 1];
      rows[at + 2] = palette[colour + 2];
    }
  }
  return packPng({ width, height, depth: 8, colourType: RGB }, rows);
}

/** What the pixels of a PNG stand for. */
export interface PngMeaning {
  /** The value of a colour `0xrrggbb`; throws InputError for one that has none. */
  colour(rgb: number): number;
  /** The value of a grey level of a PNG without colours. */
  grey(level: number): number;
}

/**
 * Reads a map from a PNG in colours (8-bit RGB, RGBA without regard to alpha, or palette) or in grey.
 * Interlaced files are refused; checksums are checked.
 *
 * @throws InputError naming what is wrong with the file, or from `meaning`
 */
export async function decodePng(bytes: Uint8Array, meaning: PngMeaning): Promise<ValueMap> {
  const colourType = bytes[25]; // within the header, which always comes first
  if (colourType !== RGB && colourType !== RGBA) {
    const { width, height, map, palette } = await decodeLabelPng(bytes);
    const value = (v: number): number =>
      palette.length === 0
        ? meaning.grey(v)
        : meaning.colour(rgbOf(palette[3 * v], palette[3 * v + 1], palette[3 * v + 2]));
    return { width, height, map: translate(map.length, (i) => map[i], value) };
  }
  const { header, rows } = await unpackPng(bytes, { [RGB]: [8], [RGBA]: [8] });
  const { width, height } = header;
  const step = colourType === RGB ? 3 : 4;
  const map = translate(
    width * height,
    (i) => {
      const at = i * step + Math.floor(i / width) + 1;
      return rgbOf(rows[at], rows[at + 1], rows[at + 2]);
    },
    (rgb) => meaning.colour(rgb),
  );
  return { width, height, map };
}

const rgbOf = (r: number, g: number, b: number): number => (r << 16) | (g << 8) | b;

/** A map whose pixels are looked up once for each stretch of equal ones. */
function translate(
  pixels: number,
  read: (i: number) => number,
  lookUp: (stored: number) => number,
): Uint16Array {
  const map = new Uint16Array(pixels);
  const known = new Map<number, number>();
  let last = -1;
  let value = 0;
  for (let i = 0; i < pixels; i++) {
    const stored = read(i);
    if (stored !== last) {
      value = known.get(stored) ?? lookUp(stored);
      known.set(stored, value);
      last = stored;
    }
    map[i] = value;
  }
  return map;
}
