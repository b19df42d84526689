// A second look: the pieces of a picture's segments, seen from near. Attention mixes the whole picture into every
// segment, and what is small has few patches; a window around it, at the model's full size, names it better.
// (Cutting out what was found and classifying it again is known from two-stage methods, as in ZegFormer, CVPR 2022.)

import { InputError } from "../errors.js";
import type { Picture } from "../input/picture.js";
import { resizeOpenCv } from "../input/resize.js";
import { dot } from "./dot.js";
import type { WindowEncoding } from "./encoding.js";
import type { Size } from "./layout.js";
import { cutWindow, type Window } from "./windows.js";

/** Sides of the looks at a piece, in longer sides of its box: with little and with more of what is around it. */
const MARGINS = [1.5, 2.1];
/** A piece that reaches over so much of both sides is the ground, or already as near as can be. */
const MAX_REACH = 0.9;
/** Pieces with a smaller share of the picture are not looked at. */
const MIN_SHARE = 0.006;
/** Most pieces of a picture that are looked at, the largest first: bounds time and memory. */
const MAX_PIECES = 16;

/** A connected part of a segment. */
export interface Piece {
  readonly segment: number;
  /** In pixels of the map it was found in. */
  readonly pixels: number;
  readonly box: Window;
}

/** The pieces of a segment map. */
export interface Pieces {
  /** `[height, width]`: the number of each pixel's piece. */
  readonly map: Int32Array;
  readonly pieces: readonly Piece[];
}

/**
 * Finds the connected parts (over sides, not corners) of equal values, in the order of their first pixels.
 *
 * @param segments `[height, width]`
 */
export function findPieces(segments: Uint16Array, { width, height }: Size): Pieces {
  if (segments.length !== width * height) {
    throw new InputError(`pieces: ${segments.length} values for ${width} x ${height} pixels`);
  }
  const map = new Int32Array(segments.length).fill(-1);
  const pieces: Piece[] = [];
  const open = new Int32Array(segments.length);
  for (let first = 0; first < segments.length; first++) {
    if (map[first] >= 0) continue;
    const segment = segments[first];
    let [x0, y0, x1, y1] = [width, height, 0, 0];
    let pixels = 0;
    let size = 0;
    const add = (pixel: number) => {
      if (map[pixel] >= 0 || segments[pixel] !== segment) return;
      map[pixel] = pieces.length;
      open[size++] = pixel;
    };
    add(first);
    while (size > 0) {
      const pixel = open[--size];
      const x = pixel % width;
      const y = (pixel - x) / width;
      pixels++;
      [x0, y0] = [Math.min(x0, x), Math.min(y0, y)];
      [x1, y1] = [Math.max(x1, x + 1), Math.max(y1, y + 1)];
      if (x > 0) add(pixel - 1);
      if (x + 1 < width) add(pixel + 1);
      if (y > 0) add(pixel - width);
      if (y + 1 < height) add(pixel + width);
    }
    pieces.push({ segment, pixels, box: { x0, y0, x1, y1 } });
  }
  return { map, pieces };
}

/** A square around a piece. */
export interface Look {
  readonly piece: number;
  /** In pixels of the original picture; may reach beyond it. */
  readonly window: Window;
}

/**
 * Which pieces deserve a second look, and where: not specks, and not the ground.
 *
 * @param view the size that pieces were found in @param picture the size that windows count in
 */
export function chooseLooks({ pieces }: Pieces, view: Size, picture: Size): Look[] {
  const [sx, sy] = [picture.width / view.width, picture.height / view.height];
  const isLarge = ({ pixels }: Piece) => pixels >= MIN_SHARE * view.width * view.height;
  const isPart = ({ box }: Piece) =>
    box.x1 - box.x0 < MAX_REACH * view.width || box.y1 - box.y0 < MAX_REACH * view.height;
  return pieces
    .map((piece, number) => ({ ...piece, number }))
    .filter((piece) => isLarge(piece) && isPart(piece))
    .sort((a, b) => b.pixels - a.pixels || a.number - b.number)
    .slice(0, MAX_PIECES)
    .flatMap(({ number, box }) =>
      MARGINS.map((margin) => {
        const longer = Math.max((box.x1 - box.x0) * sx, (box.y1 - box.y0) * sy);
        const side = Math.max(1, Math.round(margin * longer));
        const x0 = Math.round(((box.x0 + box.x1) * sx - side) / 2);
        const y0 = Math.round(((box.y0 + box.y1) * sy - side) / 2);
        return { piece: number, window: { x0, y0, x1: x0 + side, y1: y0 + side } };
      }),
    );
}

/** What a look shows, `side` pixels a side. Beyond the picture its nearest pixels go on. */
export function lookAt(picture: Picture, { window }: Look, side: number): Picture {
  const { x0, y0, x1, y1 } = window;
  const inside = {
    x0: Math.max(0, x0),
    y0: Math.max(0, y0),
    x1: Math.min(picture.width, x1),
    y1: Math.min(picture.height, y1),
  };
  const scale = side / (x1 - x0);
  const part = resizeOpenCv(
    cutWindow(picture, inside),
    Math.min(side, Math.max(1, Math.round((inside.x1 - inside.x0) * scale))),
    Math.min(side, Math.max(1, Math.round((inside.y1 - inside.y0) * scale))),
  );
  if (part.width === side && part.height === side) return part;
  const left = Math.min(side - part.width, Math.round((inside.x0 - x0) * scale));
  const top = Math.min(side - part.height, Math.round((inside.y0 - y0) * scale));
  const within = (value: number, size: number) => Math.min(size - 1, Math.max(0, value));
  const data = new Uint8Array(side * side * 3);
  for (let y = 0, to = 0; y < side; y++) {
    const row = within(y - top, part.height) * part.width;
    for (let x = 0; x < side; x++, to += 3) {
      const from = 3 * (row + within(x - left, part.width));
      data.set(part.data.subarray(from, from + 3), to);
    }
  }
  return { width: side, height: side, data };
}

/** A picture's pieces, and what was seen of them. */
export interface ZoomedWindow {
  readonly pieces: Pieces;
  /** `[pieces, dim]`: the embedding of each piece's segment. */
  readonly segmentEmbeds: Float32Array;
  /** `[pieces, dim]`, L2-normalised: the same and what each of its looks showed, in equal parts. */
  readonly closeEmbeds: Float32Array;
  /** `[pieces]`: 1 where there was a look. */
  readonly seen: Uint8Array;
}

/**
 * Joins what the looks at each piece say.
 *
 * @param looks the windows that were encoded @param images `[dim]` image embedding of each, L2-normalised
 */
export function joinLooks(
  { segmentEmbeds, imageEmbed }: Pick<WindowEncoding, "segmentEmbeds" | "imageEmbed">,
  pieces: Pieces,
  looks: readonly Look[],
  images: readonly Float32Array[],
): ZoomedWindow {
  const dim = imageEmbed.length;
  const own = new Float32Array(pieces.pieces.length * dim);
  for (const [piece, { segment }] of pieces.pieces.entries()) {
    own.set(segmentEmbeds.subarray(segment * dim, (segment + 1) * dim), piece * dim);
  }
  const closeEmbeds = own.slice();
  const seen = new Uint8Array(pieces.pieces.length);
  for (const [i, { piece }] of looks.entries()) {
    const row = piece * dim;
    for (let d = 0; d < dim; d++) closeEmbeds[row + d] += images[i][d];
    seen[piece] = 1;
  }
  for (let row = 0; row < closeEmbeds.length; row += dim) {
    const norm = Math.sqrt(dot(closeEmbeds, row, closeEmbeds, row, dim));
    // Vectors that cancel out say nothing: the first look stands.
    if (norm < 1e-6) closeEmbeds.set(own.subarray(row, row + dim), row);
    else for (let d = 0; d < dim; d++) closeEmbeds[row + d] /= norm;
  }
  return { pieces, segmentEmbeds: own, closeEmbeds, seen };
}
