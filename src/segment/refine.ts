// Fitting a label map to the picture's own edges: pixel-adaptive refinement (Araslanov & Roth, CVPR 2020,
// section 3.3) of the map's labels as masks. It knows nothing of words or segments.

import { InputError } from "../errors.js";
import type { Picture } from "../input/picture.js";

/** Distances of the eight neighbours that a pixel looks at. */
const DILATIONS = [1, 2, 4, 8, 12, 24];
const ROUNDS = 10;
/** How fast a difference of colour parts pixels, in deviations of the neighbourhood. */
const SHARPNESS = 0.1;
/** Beyond it the picture is refined at a coarser grid: bounds time and memory (48 floats a pixel). */
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
  const colours = new Float32Array(3 * columns * rows); // [3, rows, columns]
  for (let i = 0; i < columns * rows; i++) {
    for (let c = 0; c < 3; c++) colours[c * columns * rows + i] = data[3 * at(i) + c]!;
  }
  const neighbours = offsets(columns, rows);
  const weights = affinities(colours, columns, rows, neighbours);
  const best = new Float32Array(columns * rows).fill(-1);
  const winner = new Uint16Array(columns * rows);
  for (const value of values) {
    let mask: Float32Array = Float32Array.from({ length: columns * rows }, (_, i) =>
      map[at(i)] === value ? 1 : 0,
    );
    for (let round = 0; round < ROUNDS; round++)
      mask = spread(mask, weights, neighbours, columns, rows);
    for (let i = 0; i < mask.length; i++) {
      if (mask[i]! > best[i]!) {
        best[i] = mask[i]!;
        winner[i] = value;
      }
    }
  }
  for (let y = 0; y < height; y++) {
    const row = Math.floor(y / step) * columns;
    for (let x = 0; x < width; x++) refined[y * width + x] = winner[row + Math.floor(x / step)]!;
  }
  return refined;
}

type Offset = readonly [dx: number, dy: number];

function offsets(columns: number, rows: number): Offset[] {
  const around = [-1, 0, 1].flatMap((dy) => [-1, 0, 1].map((dx) => [dx, dy] as const));
  return DILATIONS.filter((distance) => distance < Math.max(columns, rows)).flatMap((distance) =>
    around
      .filter(([dx, dy]) => dx !== 0 || dy !== 0)
      .map(([dx, dy]) => [dx * distance, dy * distance] as const),
  );
}

/** Index of a neighbour; beyond the border the nearest pixel inside stands for it. */
function neighbour(x: number, y: number, [dx, dy]: Offset, columns: number, rows: number): number {
  const nx = Math.min(columns - 1, Math.max(0, x + dx));
  const ny = Math.min(rows - 1, Math.max(0, y + dy));
  return ny * columns + nx;
}

/** How alike a pixel and its neighbours are: [neighbours, rows, columns], summing to 1 over neighbours. */
function affinities(
  colours: Float32Array,
  columns: number,
  rows: number,
  neighbours: readonly Offset[],
): Float32Array {
  const size = columns * rows;
  const weights = new Float32Array(neighbours.length * size);
  const places = new Int32Array(neighbours.length);
  for (let y = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++) {
      const i = y * columns + x;
      neighbours.forEach((offset, n) => {
        places[n] = neighbour(x, y, offset, columns, rows);
        weights[n * size + i] = 0;
      });
      for (let c = 0; c < 3; c++) {
        const plane = colours.subarray(c * size, (c + 1) * size);
        let [sum, squares] = [0, 0];
        for (const place of places) {
          sum += plane[place]!;
          squares += plane[place]! ** 2;
        }
        const mean = sum / places.length;
        const deviation = Math.sqrt(Math.max(0, squares / places.length - mean * mean));
        const scale = 1 / (3 * (1e-3 + SHARPNESS * deviation));
        for (let n = 0; n < places.length; n++) {
          weights[n * size + i]! -= Math.abs(plane[places[n]!]! - plane[i]!) * scale;
        }
      }
      let largest = Number.NEGATIVE_INFINITY;
      for (let n = 0; n < places.length; n++) largest = Math.max(largest, weights[n * size + i]!);
      let total = 0;
      for (let n = 0; n < places.length; n++) {
        const power = Math.exp(weights[n * size + i]! - largest);
        weights[n * size + i] = power;
        total += power;
      }
      for (let n = 0; n < places.length; n++) weights[n * size + i]! /= total;
    }
  }
  return weights;
}

/** Each pixel takes the mean of its neighbours, weighted by how alike they are. */
function spread(
  mask: Float32Array,
  weights: Float32Array,
  neighbours: readonly Offset[],
  columns: number,
  rows: number,
): Float32Array {
  const size = columns * rows;
  const next = new Float32Array(size);
  neighbours.forEach(([dx, dy], n) => {
    const own = weights.subarray(n * size, (n + 1) * size);
    for (let y = 0; y < rows; y++) {
      const from = Math.min(rows - 1, Math.max(0, y + dy)) * columns;
      for (let x = 0; x < columns; x++) {
        const nx = Math.min(columns - 1, Math.max(0, x + dx));
        next[y * columns + x]! += own[y * columns + x]! * mask[from + nx]!;
      }
    }
  });
  return next;
}
