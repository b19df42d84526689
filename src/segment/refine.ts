// Fitting a label map to the picture's own edges: pixel-adaptive refinement (Araslanov & Roth, CVPR 2020,
// section 3.3) of the map's labels as masks. It knows nothing of words or segments.

import { InputError } from "../errors.js";
import type { Picture } from "../input/picture.js";

/** Distances of the eight neighbours that a pixel looks at. */
const DILATIONS = [1, 2, 4, 8, 12, 24];
const ROUNDS = 10;
/** How fast a difference of colour parts pixels, in deviations of the neighbourhood. */
const SHARPNESS = 0.1;
/** Beyond it the picture is refined at a coarser grid: bounds time and memory (48 weights a pixel). */
const MAX_PIXELS = 1 << 18;

/**
 * Moves the borders of a label map towards the picture's edges.
 *
 * @param picture `[height, width, 3]` bytes
 * @param map `[height, width]` values
 * @returns a map of the same size with no new values
 * @throws InputError where the sizes differ
 */
export function refineMap<Map extends Uint8Array | Uint16Array>(picture: Picture, map: Map): Map {
  const { width, height, data } = picture;
  if (map.length !== width * height) {
    throw new InputError(
      `refine: a map of ${map.length} values for a picture of ${width} x ${height}; give one of its size`,
    );
  }
  const refined = map.slice() as Map;
  const values = [...new Set(map)];
  if (values.length < 2) return refined;
  const step = Math.ceil(Math.sqrt((width * height) / MAX_PIXELS));
  const [columns, rows] = [Math.ceil(width / step), Math.ceil(height / step)];
  const at = (i: number) => Math.floor(i / columns) * step * width + (i % columns) * step;
  const grid = createGrid(columns, rows);
  const colours = [0, 1, 2].map((c) => {
    const plane = new Float32Array(grid.size);
    fillInside(plane, grid, (i) => data[3 * at(i) + c]!);
    extendEdges(plane, grid);
    return plane;
  });
  const weights = affinities(colours, grid);
  const best = new Float32Array(columns * rows).fill(-1);
  const winner = new Uint16Array(columns * rows);
  // Weights sum to 1, and so do the masks: the last one is what the others leave.
  const rest = new Float32Array(columns * rows).fill(1);
  const last = values.pop()!;
  let mask = new Float32Array(grid.size);
  let next = new Float32Array(grid.size);
  for (const value of values) {
    fillInside(mask, grid, (i) => (map[at(i)] === value ? 1 : 0));
    for (let round = 0; round < ROUNDS; round++) {
      extendEdges(mask, grid);
      spread(mask, weights, grid, next);
      [mask, next] = [next, mask];
    }
    for (let y = 0, i = 0; y < rows; y++) {
      for (let x = 0, from = start(grid, y); x < columns; x++, i++, from++) {
        rest[i]! -= mask[from]!;
        if (mask[from]! > best[i]!) {
          best[i] = mask[from]!;
          winner[i] = value;
        }
      }
    }
  }
  for (let i = 0; i < rest.length; i++) if (rest[i]! > best[i]!) winner[i] = last;
  for (let y = 0; y < height; y++) {
    const row = Math.floor(y / step) * columns;
    for (let x = 0; x < width; x++) refined[y * width + x] = winner[row + Math.floor(x / step)]!;
  }
  return refined;
}

/** Planes of numbers with a margin around them, so that every pixel has all of its neighbours. */
interface Grid {
  readonly columns: number;
  readonly rows: number;
  readonly margin: number;
  /** Numbers from a row to the next, and of a plane. */
  readonly stride: number;
  readonly size: number;
  /** Steps from a pixel to its neighbours. */
  readonly neighbours: Int32Array;
}

function createGrid(columns: number, rows: number): Grid {
  const dilations = DILATIONS.filter((distance) => distance < Math.max(columns, rows));
  const margin = Math.max(...dilations);
  const stride = columns + 2 * margin;
  const around = [-1, 0, 1].flatMap((dy) => [-1, 0, 1].map((dx) => dy * stride + dx));
  const neighbours = dilations.flatMap((distance) =>
    around.filter((step) => step !== 0).map((step) => step * distance),
  );
  const size = stride * (rows + 2 * margin);
  return { columns, rows, margin, stride, size, neighbours: Int32Array.from(neighbours) };
}

/** Where a row begins in a plane. */
function start({ margin, stride }: Grid, y: number): number {
  return (y + margin) * stride + margin;
}

function fillInside(plane: Float32Array, grid: Grid, value: (pixel: number) => number): void {
  for (let y = 0, i = 0; y < grid.rows; y++) {
    const from = start(grid, y);
    for (let x = 0; x < grid.columns; x++, i++) plane[from + x] = value(i);
  }
}

/** Fills the margin: beyond the border the nearest pixel inside stands. */
function extendEdges(plane: Float32Array, grid: Grid): void {
  const { columns, rows, margin, stride } = grid;
  for (let y = 0; y < rows; y++) {
    const from = start(grid, y);
    plane.fill(plane[from]!, from - margin, from);
    plane.fill(plane[from + columns - 1]!, from + columns, from + columns + margin);
  }
  const last = rows + margin - 1;
  for (let y = 0; y < margin; y++) {
    plane.copyWithin(y * stride, margin * stride, (margin + 1) * stride);
    plane.copyWithin((last + 1 + y) * stride, last * stride, (last + 1) * stride);
  }
}

/** How alike a pixel and its neighbours are: [rows, columns, neighbours], summing to 1 over neighbours. */
function affinities(colours: readonly Float32Array[], grid: Grid): Float32Array {
  const { columns, rows, neighbours } = grid;
  const count = neighbours.length;
  const weights = new Float32Array(rows * columns * count);
  const own = new Float32Array(count);
  for (let y = 0, at = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++, at += count) {
      const i = start(grid, y) + x;
      own.fill(0);
      for (const plane of colours) {
        let [sum, squares] = [0, 0];
        for (let n = 0; n < count; n++) {
          const value = plane[i + neighbours[n]!]!;
          sum += value;
          squares += value * value;
        }
        const mean = sum / count;
        const deviation = Math.sqrt(Math.max(0, squares / count - mean * mean));
        const scale = 1 / (3 * (1e-3 + SHARPNESS * deviation));
        for (let n = 0; n < count; n++) {
          own[n]! -= Math.abs(plane[i + neighbours[n]!]! - plane[i]!) * scale;
        }
      }
      let largest = Number.NEGATIVE_INFINITY;
      for (let n = 0; n < count; n++) if (own[n]! > largest) largest = own[n]!;
      let total = 0;
      for (let n = 0; n < count; n++) {
        const power = Math.exp(own[n]! - largest);
        own[n] = power;
        total += power;
      }
      for (let n = 0; n < count; n++) weights[at + n] = own[n]! / total;
    }
  }
  return weights;
}

/** Each pixel takes the mean of its neighbours, weighted by how alike they are. */
function spread(mask: Float32Array, weights: Float32Array, grid: Grid, next: Float32Array): void {
  const { columns, rows, neighbours } = grid;
  const count = neighbours.length;
  for (let y = 0, at = 0; y < rows; y++) {
    const from = start(grid, y);
    for (let i = from; i < from + columns; i++, at += count) {
      let sum = 0;
      for (let n = 0; n < count; n++) {
        sum += weights[at + n]! * mask[i + neighbours[n]!]!;
      }
      next[i] = sum;
    }
  }
}
