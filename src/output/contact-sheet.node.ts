// A grid of pictures with captions, for reviews: many results on one page.

import sharp, { type OverlayOptions } from "sharp";
import { InputError } from "../errors.js";
import type { Picture } from "../input/picture.js";
import { resizePicture, toPicture } from "./encode.node.js";
import { cleanLabel } from "./label-text.js";
import { svg } from "./legend.node.js";
import { fitText, textPath } from "./text.node.js";

export interface ContactSheetCell {
  readonly picture: Picture;
  readonly caption: string;
}

export interface ContactSheetOptions {
  readonly columns: number;
  /** Longest side of a picture on the sheet in pixels; smaller ones are enlarged to it. */
  readonly cellSide: number;
  /** Written large at the top. */
  readonly title: string;
}

/** Bounds memory: 400 megapixels are 1.2 GB of pixels. */
const MAX_PIXELS = 4e8;

/**
 * Lays pictures out in rows, each fitted into a cell with its caption above. All cells have the shape
 * of the widest and the tallest fitted picture.
 * @throws InputError for no picture, or a sheet of more than 400 megapixels
 */
export async function renderContactSheet(
  cells: readonly ContactSheetCell[],
  { columns, cellSide, title }: ContactSheetOptions,
): Promise<Picture> {
  if (cells.length === 0)
    throw new InputError("Contact sheet without pictures: give at least one.");
  const used = Math.min(columns, cells.length);
  const font = Math.max(13, Math.round(cellSide / 26));
  const gap = Math.round(font * 1.4);
  const sizes = cells.map(({ picture: { width, height } }) => {
    const scale = cellSide / Math.max(width, height);
    return {
      width: Math.max(1, Math.round(width * scale)),
      height: Math.max(1, Math.round(height * scale)),
    };
  });
  const cellWidth = Math.max(font * 10, ...sizes.map(({ width }) => width));
  const cellHeight = Math.max(...sizes.map(({ height }) => height));
  const captionHeight = Math.round(font * 2.5);
  const titleSize = Math.round(font * 1.5);
  const head = gap + Math.round(titleSize * 1.3);
  const width = gap + used * (cellWidth + gap);
  const rows = Math.ceil(cells.length / used);
  const height = head + rows * (cellHeight + captionHeight) + gap;
  if (width * height > MAX_PIXELS) {
    throw new InputError(
      `Contact sheet of ${width} x ${height}: give fewer pictures or smaller cells.`,
    );
  }

  const text: string[] = [];
  const write = (label: string, x: number, y: number, size: number, limit: number) => {
    const fitted = fitText(cleanLabel(label), size, "bold", limit);
    text.push(`<path fill="#1f2328" d="${textPath(fitted, x, y, size, "bold")}"/>`);
  };
  write(title, gap, gap + titleSize, titleSize, width - 2 * gap);
  const layers: OverlayOptions[] = [];
  for (let i = 0; i < cells.length; i++) {
    const left = gap + (i % used) * (cellWidth + gap);
    const top = head + Math.floor(i / used) * (cellHeight + captionHeight);
    const fitted = await resizePicture(cells[i].picture, sizes[i].width, sizes[i].height);
    layers.push({
      input: Buffer.from(fitted.data.buffer, fitted.data.byteOffset, fitted.data.length),
      raw: { width: fitted.width, height: fitted.height, channels: 3 },
      left,
      top: top + captionHeight,
    });
    write(cells[i].caption, left, top + captionHeight - Math.round(font * 0.6), font, cellWidth);
  }
  layers.push({ input: svg(width, height, text), left: 0, top: 0 });
  return toPicture(
    sharp({ create: { width, height, channels: 3, background: "#fff" } }).composite(layers),
  );
}
