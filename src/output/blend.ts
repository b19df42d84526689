// Colours laid over a picture, pixel by pixel. Pure arithmetic, for Node and browsers alike.

import { InputError } from "../errors.js";
import type { Picture } from "../input/picture.js";
import type { ValueMap } from "./label-map.js";

/**
 * Lays the colour of each pixel's value over the picture:
 * `round(picture * (1 - opacity) + colour * opacity)`, with opacity in 256ths.
 * @param map `height * width` values
 * @param palette R, G, B bytes, one colour for every value
 * @param opacity 0 (the picture) to 1 (the colours)
 * @returns `height * width * 3` bytes
 * @throws InputError when sizes do not fit
 */
export function blendOverlay(
  picture: Picture,
  map: Uint8Array | Uint16Array,
  palette: Uint8Array,
  opacity: number,
): Uint8Array {
  if (!(opacity >= 0 && opacity <= 1)) {
    throw new InputError(`Opacity ${opacity}: give a number from 0 to 1.`);
  }
  if (picture.data.length !== picture.width * picture.height * 3) {
    throw new InputError(
      `Picture of ${picture.data.length} bytes: ${picture.width} x ${picture.height} needs ` +
        `${picture.width * picture.height * 3}.`,
    );
  }
  if (map.length !== picture.width * picture.height) {
    throw new InputError(
      `Label map of ${map.length} values: the picture of ${picture.width} x ${picture.height} ` +
        `needs ${picture.width * picture.height}.`,
    );
  }
  const share = Math.round(opacity * 256);
  const keep = 256 - share;
  const { data } = picture;
  const out = new Uint8Array(data.length);
  for (let i = 0, p = 0; i < map.length; i++, p += 3) {
    const c = map[i] * 3;
    if (c >= palette.length) {
      throw new InputError(`Label map value ${map[i]}: the palette has ${palette.length / 3}.`);
    }
    out[p] = (data[p] * keep + palette[c] * share + 128) >> 8;
    out[p + 1] = (data[p + 1] * keep + palette[c + 1] * share + 128) >> 8;
    out[p + 2] = (data[p + 2] * keep + palette[c + 2] * share + 128) >> 8;
  }
  return out;
}

/**
 * Paints the marked pixels, in place, with the colour of their value.
 * @param rgb `height * width * 3` bytes
 * @param mask `height * width` bytes, 1 where to paint (see `outlines`)
 */
export function paintOutlines(
  rgb: Uint8Array,
  mask: Uint8Array,
  source: ValueMap,
  palette: Uint8Array,
): void {
  for (let i = 0, p = 0; i < mask.length; i++, p += 3) {
    if (mask[i] === 0) continue;
    const c = source.map[i] * 3;
    rgb[p] = palette[c];
    rgb[p + 1] = palette[c + 1];
    rgb[p + 2] = palette[c + 2];
  }
}
