// The strip of validation pictures as an image: one row of tiles, the masks of the moment laid over them.

import { dirname } from "node:path";
import { makeFolders, writeFileAtomic } from "../atomic.node.js";
import type { Picture } from "../input/picture.js";
import { blendOverlay } from "../output/blend.js";
import { encodePicture, resizePicture } from "../output/encode.node.js";
import { resizeMap } from "../output/label-map.js";
import { labelPalette } from "../output/palette.js";
import type { StripCell } from "./evaluation.js";

const TILE = 112;
const GAP = 4;

/** What is laid over the pictures. */
export type StripLayer = "nothing" | "truth" | "predicted";

/** Writes the row as a PNG, atomically. `classes` counts the background. */
export async function writeStrip(
  path: string,
  cells: readonly StripCell[],
  classes: number,
  layer: StripLayer,
): Promise<void> {
  const palette = labelPalette(classes, true);
  const width = cells.length * (TILE + GAP) - GAP;
  const data = new Uint8Array(width * TILE * 3).fill(255);
  for (const [i, cell] of cells.entries()) {
    const tile = await tileOf(cell, palette, layer);
    for (let y = 0; y < TILE; y++) {
      const row = tile.subarray(y * TILE * 3, (y + 1) * TILE * 3);
      data.set(row, (y * width + i * (TILE + GAP)) * 3);
    }
  }
  await makeFolders(dirname(path));
  await writeFileAtomic(path, await encodePicture({ width, height: TILE, data }, "png"));
}

async function tileOf(
  { picture, predicted, truth }: StripCell,
  palette: Uint8Array,
  layer: StripLayer,
): Promise<Uint8Array> {
  const small: Picture = await resizePicture(picture, TILE, TILE);
  if (layer === "nothing") return small.data;
  const values = layer === "truth" ? truth.map((value) => (value === 255 ? 0 : value)) : predicted;
  const { width, height } = picture;
  const map = resizeMap({ width, height, map: values }, TILE, TILE).map;
  return blendOverlay(small, map, palette, 0.6);
}
