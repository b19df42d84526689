// Colours for label maps: a well separated palette for people, and PASCAL VOC's for indexed PNG files.

import { InputError } from "../errors.js";

// Nine colours chosen by eye, then the farthest remaining colour in OKLab, one after another, with
// a deuteranope's view counted in, and chroma and lightness kept where both show on photographs.
// The table is stored, not computed: cube roots may differ between JavaScript engines, files not.
const COLOURS = (
  "2f7ed8 f28e1c 2ca25f d9304f 8e5bd6 f2cf3a 4fd0e0 f07fc0 8a4b2a 2424b4 fcccf0 " +
  "00fc9c 9c0078 006c00 9c9cfc 90c000 307878 a87800 600078 a8789c 54549c 00a8c0 " +
  "b4cc9c 840030 c03ca8 00cc90 24fcfc f06c6c 0054d8 fca8a8 905478 8424b4 9ca86c " +
  "003c78 cc6ce4 e4a8fc 9ce430 607830 b40048 c0f090 6c3c6c 18a8fc fccc9c e4549c " +
  "6c78a8 a8d8fc 30b418 e45400 006048 6c3000 009000 244800 a86054 ccb448 9c78fc " +
  "cc909c 54309c 54e4c0 54540c c08460 186078 909c00 c02400 8490cc"
).split(" ");

/** Neutral grey of the background. */
const BACKGROUND = [64, 64, 64] as const;

/**
 * One colour a value, the same on every platform: R, G, B bytes, `count * 3` of them.
 * The first 24 differ by at least 0.11 in OKLab, 64 by 0.08; later ones are tints and shades of
 * these, so past 64 labels the names in the picture matter more than the colours.
 * @param count number of values, background included
 * @param background whether value 0 is the background; it gets a neutral dark grey
 */
export function labelPalette(count: number, background: boolean): Uint8Array {
  if (!Number.isInteger(count) || count < 0 || count > 65536) {
    throw new InputError(`Palette of ${count} colours: a label map has 0 to 65536 values.`);
  }
  const palette = new Uint8Array(count * 3);
  let index = 0;
  for (let value = 0; value < count; value++) {
    if (background && value === 0) {
      palette.set(BACKGROUND, 0);
      continue;
    }
    const colour = Number.parseInt(COLOURS[index % COLOURS.length], 16);
    const round = Math.floor(index / COLOURS.length);
    for (let channel = 0; channel < 3; channel++) {
      palette[value * 3 + channel] = shade((colour >> (16 - 8 * channel)) & 255, round);
    }
    index++;
  }
  return palette;
}

// Rounds 1, 2, 3, ... : a third to white, a third to black, two thirds to white, and again.
function shade(byte: number, round: number): number {
  if (round === 0) return byte;
  const kind = (round - 1) % 3;
  if (kind === 0) return Math.floor((byte * 2 + 255) / 3);
  if (kind === 1) return Math.floor((byte * 2) / 3);
  return Math.floor((byte + 510) / 3);
}

/**
 * PASCAL VOC's palette of 256 colours, R, G, B bytes (768): the bits of the value, lowest first,
 * are dealt to the high bits of R, G and B. 0 is black, 1 (128, 0, 0), 255 (224, 224, 192), "void".
 */
export function vocPalette(): Uint8Array {
  const palette = new Uint8Array(768);
  for (let value = 0; value < 256; value++) {
    let bits = value;
    for (let shift = 7; bits > 0; shift--) {
      for (let channel = 0; channel < 3; channel++) {
        palette[value * 3 + channel] |= ((bits >> channel) & 1) << shift;
      }
      bits >>= 3;
    }
  }
  return palette;
}

/**
 * Whether text on this colour is black rather than white. White wins while its contrast is about
 * 3 : 1, which suits bold text: on saturated colours it reads better than its number says.
 */
export function prefersBlackText(r: number, g: number, b: number): boolean {
  // Squares stand in for the sRGB curve: the choice needs no more.
  return 0.2126 * r * r + 0.7152 * g * g + 0.0722 * b * b > 0.31 * 255 * 255;
}
