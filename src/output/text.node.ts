// Text as outlines: letters become SVG paths from DejaVu Sans, so that drawing needs no installed
// fonts and no text of a stranger ever enters the SVG.
//
// Glyphs are set one after another, without the layout engine of opentype.js, which throws on
// DejaVu's substitution tables. So Arabic letters are not joined and right-to-left text is not
// reordered; characters that DejaVu lacks (CJK for one) show as boxes.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type opentype from "opentype.js";
import type { Font } from "opentype.js";
import { shorten } from "./label-text.js";

export type Weight = "regular" | "bold";

const FILES: Record<Weight, string> = {
  regular: "dejavu-fonts-ttf/ttf/DejaVuSansCondensed.ttf",
  bold: "dejavu-fonts-ttf/ttf/DejaVuSansCondensed-Bold.ttf",
};
/** Height of DejaVu's capitals, as a share of the font size. */
export const CAP_HEIGHT = 0.729;

const require = createRequire(import.meta.url);
const fonts = new Map<Weight, Font>();

function font(weight: Weight): Font {
  let loaded = fonts.get(weight);
  if (loaded === undefined) {
    const file = readFileSync(require.resolve(FILES[weight]));
    // Loaded when the first letter is drawn: most programs never draw one.
    const { parse } = require("opentype.js") as typeof opentype;
    // Glyph by glyph, as they are drawn: reading all 6,000 takes longer than encoding a picture.
    loaded = parse(new Uint8Array(file).buffer, { lowMemory: true });
    fonts.set(weight, loaded);
  }
  return loaded;
}

/** Width of the text in pixels at this font size. */
export function textWidth(text: string, size: number, weight: Weight): number {
  let width = 0;
  for (const character of text) width += advance(character, size, weight);
  return width;
}

function advance(character: string, size: number, weight: Weight): number {
  const face = font(weight);
  return (face.charToGlyph(character).advanceWidth * size) / face.unitsPerEm;
}

/** The text, cut with an ellipsis to fit `width` pixels. */
export function fitText(text: string, size: number, weight: Weight, width: number): string {
  return shorten(text, width, (character) => advance(character, size, weight));
}

/** SVG path data of the text, its baseline starting at (x, y). */
export function textPath(text: string, x: number, y: number, size: number, weight: Weight): string {
  const face = font(weight);
  let path = "";
  let pen = x;
  for (const character of text) {
    path += face.charToGlyph(character).getPath(pen, y, size).toPathData(2);
    pen += advance(character, size, weight);
  }
  return path;
}
