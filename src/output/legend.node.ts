// The legend of a label map: for every label in the picture a swatch, its name and its share.

import { countValues, type LabelMap, valueCount, valueName } from "./label-map.js";
import { cleanLabel, percent } from "./label-text.js";
import { CAP_HEIGHT, fitText, textPath, textWidth } from "./text.node.js";

const INK = "#1f2328";
const FAINT_INK = "#59636e";

/** An SVG drawing and its size in pixels. */
export interface Drawing {
  readonly width: number;
  readonly height: number;
  readonly svg: Buffer;
}

/** The labels present in the picture with their share (0 to 1), largest first, background last. */
export function presentValues(result: LabelMap): { value: number; name: string; share: number }[] {
  const counts = countValues(result, valueCount(result));
  const pixels = result.width * result.height;
  const present = [...counts.keys()]
    .filter((value) => counts[value] > 0)
    .map((value) => ({
      value,
      name: cleanLabel(valueName(result, value)),
      share: counts[value] / pixels,
    }));
  const rank = (value: number) => (result.background && value === 0 ? 1 : 0);
  return present.sort(
    (a, b) => rank(a.value) - rank(b.value) || b.share - a.share || a.value - b.value,
  );
}

/**
 * Draws the legend on white, in as many columns as fit.
 * @param fontSize in pixels; everything else follows it
 * @param maxHeight rows that do not fit are summed up in a last entry, "and 12 more"
 */
export function drawLegend(
  result: LabelMap,
  palette: Uint8Array,
  width: number,
  fontSize: number,
  maxHeight: number,
): Drawing {
  const margin = Math.round(fontSize * 0.9);
  const row = Math.round(fontSize * 1.7);
  const swatch = Math.round(fontSize * 1.05);
  const gap = Math.round(fontSize * 0.5);
  const between = Math.round(fontSize * 1.6);
  const inner = width - 2 * margin;
  const shareWidth = textWidth("100.0%", fontSize, "regular");

  const present = presentValues(result);
  const fixed = swatch + 2 * gap + shareWidth;
  const longest = Math.max(...present.map(({ name }) => textWidth(name, fontSize, "bold")));
  const maxRows = Math.max(3, Math.floor((maxHeight - 2 * margin) / row));
  let entryWidth = inner;
  let columns = 1;
  // Names are cut shorter, for more columns, only where not everything fits otherwise.
  for (const letters of [14, 9, 6]) {
    entryWidth = Math.min(inner, fixed + Math.min(longest, fontSize * letters));
    columns = Math.max(1, Math.floor((inner + between) / (entryWidth + between)));
    if (columns * maxRows >= present.length) break;
  }
  const shown = present.length <= columns * maxRows ? present.length : columns * maxRows - 1;
  const cells = Math.min(present.length, shown + 1);
  const rows = Math.ceil(cells / columns);
  const height = rows * row + 2 * margin - (row - swatch);

  const parts: string[] = [`<rect width="${width}" height="${height}" fill="#fff"/>`];
  for (let i = 0; i < cells; i++) {
    // Down the columns, so that the order reads as a list.
    const x = margin + Math.floor(i / rows) * (entryWidth + between);
    const y = margin + (i % rows) * row;
    const baseline = y + swatch / 2 + (fontSize * CAP_HEIGHT) / 2;
    if (i >= shown) {
      const more = textPath(`and ${present.length - shown} more`, x, baseline, fontSize, "regular");
      parts.push(`<path fill="${FAINT_INK}" d="${more}"/>`);
      break;
    }
    const { value, name, share } = present[i];
    const [r, g, b] = palette.subarray(value * 3, value * 3 + 3);
    const text = fitText(name, fontSize, "bold", entryWidth - fixed + 1);
    const textX = x + swatch + gap;
    const shareX = textX + textWidth(text, fontSize, "bold") + gap;
    parts.push(
      `<rect x="${x}" y="${y}" width="${swatch}" height="${swatch}" rx="${swatch * 0.2}" ` +
        `fill="rgb(${r},${g},${b})"/>`,
      `<path fill="${INK}" d="${textPath(text, textX, baseline, fontSize, "bold")}"/>`,
      `<path fill="${FAINT_INK}" d="${textPath(percent(share), shareX, baseline, fontSize, "regular")}"/>`,
    );
  }
  return { width, height, svg: svg(width, height, parts) };
}

/** An SVG document of these parts, ready for sharp. */
export function svg(width: number, height: number, parts: readonly string[]): Buffer {
  return Buffer.from(
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">` +
      `${parts.join("")}</svg>`,
  );
}
