// The picture with its segmentation laid over it: tinted regions, crisp outlines, a name in the middle
// of each region, and a legend. Everything scales with the picture; small pictures are enlarged.

import type { OverlayOptions as Layer } from "sharp";
import { InputError } from "../errors.js";
import type { Picture } from "../input/picture.js";
import { blendOverlay, paintOutlines } from "./blend.js";
import {
  encodePicture,
  fromPicture,
  type PictureFormat,
  resizePicture,
  toPicture,
} from "./encode.node.js";
import { countValues, type LabelMap, resizeMap, valueCount, valueName } from "./label-map.js";
import { cleanLabel } from "./label-text.js";
import { drawLegend, svg } from "./legend.node.js";
import { labelPalette, prefersBlackText } from "./palette.js";
import { outlines, regions } from "./regions.js";
import { CAP_HEIGHT, fitText, textPath, textWidth } from "./text.node.js";

/** Text needs pixels: a picture whose longest side is below this is enlarged by a whole factor. */
const LEGIBLE_SIDE = 480;

export interface OverlayOptions {
  /** How strongly the colours cover the picture, 0 to 1; default 0.5. */
  readonly opacity?: number;
  /** Write a label in each region; default true. */
  readonly labels?: boolean;
  /** Add the legend below; default true. */
  readonly legend?: boolean;
}

/**
 * Draws a segmentation over its picture.
 *
 * Without labels and legend the answer has the size of the picture. With them, a picture whose
 * longest side is below 480 pixels is enlarged by the smallest whole factor that reaches it.
 * Labels are drawn with DejaVu Sans: scripts that it lacks show as boxes.
 *
 * @param picture as segmented; its size is the size of `result`
 * @returns the bytes of a PNG or JPEG file
 * @throws InputError when sizes do not fit or a value has no label
 */
export async function drawOverlay(
  picture: Picture,
  result: LabelMap,
  options: OverlayOptions & { readonly format?: PictureFormat } = {},
): Promise<Uint8Array> {
  return encodePicture(await renderOverlay(picture, result, options), options.format ?? "png");
}

/** `drawOverlay` before it is encoded. */
export async function renderOverlay(
  picture: Picture,
  result: LabelMap,
  { opacity = 0.5, labels = true, legend = true }: OverlayOptions = {},
): Promise<Picture> {
  if (result.width !== picture.width || result.height !== picture.height) {
    throw new InputError(
      `Label map of ${result.width} x ${result.height}: resize it to the picture's ` +
        `${picture.width} x ${picture.height}.`,
    );
  }
  const values = valueCount(result);
  countValues(result, values);
  const palette = labelPalette(values, result.background);
  const factor =
    labels || legend ? Math.ceil(LEGIBLE_SIDE / Math.max(picture.width, picture.height)) : 1;
  const large = await resizePicture(picture, picture.width * factor, picture.height * factor);
  const map = { ...result, ...resizeMap(result, large.width, large.height) };
  const rgb = blendOverlay(large, map.map, palette, opacity);

  const size = fontSize(large);
  const mask = outlines(map, lineWidth(large));
  if (result.background) {
    // A line on the background's side would be a grey one; the label's own side is enough.
    for (let i = 0; i < mask.length; i++) if (map.map[i] === 0) mask[i] = 0;
  }
  paintOutlines(rgb, mask, map, palette);
  const tinted = { ...large, data: rgb };
  if (!labels && !legend) return tinted;

  const layers: Layer[] = labels ? labelChips(map, palette, size) : [];
  if (!legend) return toPicture(fromPicture(tinted).composite(layers));
  // A narrow picture is widened with white until a legend has room for words.
  const width = Math.max(large.width, Math.round(size * 16));
  const drawn = drawLegend(map, palette, width, size, Math.max(large.height, size * 12));
  layers.push({ input: drawn.svg, left: 0, top: large.height });
  return toPicture(
    fromPicture(tinted)
      .extend({ bottom: drawn.height, right: width - large.width, background: "#fff" })
      .composite(layers),
  );
}

/** Font size for a picture of this size: readable when the picture fills a screen. */
export function fontSize({ width, height }: { width: number; height: number }): number {
  return Math.max(14, Math.round(Math.sqrt(width * height) / 50));
}

/** Width of an outline inside a region, in pixels. */
export function lineWidth(picture: { width: number; height: number }): number {
  return Math.max(1, Math.round(fontSize(picture) / 9));
}

interface Box {
  left: number;
  top: number;
  width: number;
  height: number;
}

/** A chip with the label for each region that has room for one, and for each label's largest. */
function labelChips(map: LabelMap, palette: Uint8Array, size: number): Layer[] {
  const height = Math.round(size * 1.55);
  const padding = Math.round(size * 0.5);
  const edge = Math.round(size * 0.3);
  const maxText = Math.min(map.width - 2 * (edge + padding), size * 16);
  if (maxText < size * 2 || map.height < height + 2 * edge) return [];
  const placed: Box[] = [];
  const named = new Set<number>();
  const chips: Layer[] = [];
  for (const region of regions(map)) {
    if (map.background && region.value === 0) continue;
    const first = !named.has(region.value);
    if (region.share < (first ? 0.001 : 0.01) || (!first && region.radius < size * 1.2)) continue;
    const text = fitText(cleanLabel(valueName(map, region.value)), size, "bold", maxText);
    const width = Math.ceil(textWidth(text, size, "bold")) + 2 * padding;
    const left = clamp(Math.round(region.x - width / 2), edge, map.width - width - edge);
    const middle = Math.round(region.y - height / 2);
    // Where another chip is in the way, one row down or up will do, inside the region's circle.
    const box = [0, 1, -1, 2, -2]
      .map((rows) => rows * (height + edge))
      .filter((shift) => Math.abs(shift) <= region.radius)
      .map((shift) => ({
        left,
        top: clamp(middle + shift, edge, map.height - height - edge),
        width,
        height,
      }))
      .find((candidate) => !placed.some((other) => overlaps(candidate, other, edge)));
    if (box === undefined) continue;
    placed.push(box);
    named.add(region.value);
    const [r, g, b] = palette.subarray(region.value * 3, region.value * 3 + 3);
    const ink = prefersBlackText(r, g, b) ? "#111" : "#fff";
    const baseline = height / 2 + (size * CAP_HEIGHT) / 2;
    const hairline = Math.max(1, size / 16);
    chips.push({
      input: svg(width, height, [
        `<rect x="${hairline / 2}" y="${hairline / 2}" width="${width - hairline}" ` +
          `height="${height - hairline}" rx="${height * 0.28}" fill="rgb(${r},${g},${b})" ` +
          `stroke="${ink}" stroke-opacity="0.55" stroke-width="${hairline}"/>`,
        `<path fill="${ink}" d="${textPath(text, padding, baseline, size, "bold")}"/>`,
      ]),
      left: box.left,
      top: box.top,
    });
  }
  return chips;
}

function clamp(value: number, low: number, high: number): number {
  return Math.max(low, Math.min(high, value));
}

function overlaps(a: Box, b: Box, gap: number): boolean {
  return (
    a.left < b.left + b.width + gap &&
    b.left < a.left + a.width + gap &&
    a.top < b.top + b.height + gap &&
    b.top < a.top + a.height + gap
  );
}
