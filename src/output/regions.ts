// The geometry of a label map: where regions meet (outlines), and where a label is best written
// (the visual centre: the point deepest inside a region).

import type { ValueMap } from "./label-map.js";

/**
 * Marks the pixels within `thickness` of a border between two values, along rows and columns.
 * The picture's own edge is no border.
 * @returns `height * width` bytes, 1 on an outline
 */
export function outlines(source: ValueMap, thickness: number): Uint8Array {
  const { width, height, map } = source;
  const mask = new Uint8Array(width * height);
  for (let y = 0; y < height; y++) {
    const row = y * width;
    for (let x = 0; x + 1 < width; x++) {
      if (map[row + x] === map[row + x + 1]) continue;
      const from = Math.max(0, x - thickness + 1);
      const to = Math.min(width - 1, x + thickness);
      for (let k = from; k <= to; k++) mask[row + k] = 1;
    }
    if (y + 1 === height) continue;
    const from = Math.max(0, y - thickness + 1);
    const to = Math.min(height - 1, y + thickness);
    for (let x = 0; x < width; x++) {
      if (map[row + x] === map[row + width + x]) continue;
      for (let k = from; k <= to; k++) mask[k * width + x] = 1;
    }
  }
  return mask;
}

/** A connected region and the point deepest inside it. */
export interface Region {
  readonly value: number;
  /** Share of the picture, 0 to 1. */
  readonly share: number;
  /** Centre of the largest circle that fits, in pixels of the map. */
  readonly x: number;
  readonly y: number;
  /** Radius of that circle in pixels. */
  readonly radius: number;
}

/** Longest side of the grid on which regions are measured: a label needs no finer place. */
const GRID = 512;

/**
 * The connected regions (4 neighbours) of a map, largest first. Large maps are measured on a grid
 * of at most 512 points a side, so the centre is exact to half a grid cell.
 */
export function regions(source: ValueMap): Region[] {
  const longest = Math.max(source.width, source.height);
  const step = Math.max(1, longest / GRID);
  const width = Math.max(1, Math.floor(source.width / step));
  const height = Math.max(1, Math.floor(source.height / step));
  const grid = new Uint16Array(width * height);
  for (let y = 0; y < height; y++) {
    const row = Math.min(source.height - 1, Math.floor((y + 0.5) * step)) * source.width;
    for (let x = 0; x < width; x++) {
      grid[y * width + x] =
        source.map[row + Math.min(source.width - 1, Math.floor((x + 0.5) * step))];
    }
  }
  const squared = squaredDepth(grid, width, height);
  const seen = new Uint8Array(grid.length);
  const queue = new Int32Array(grid.length);
  const found: Region[] = [];
  for (let seed = 0; seed < grid.length; seed++) {
    if (seen[seed] === 1) continue;
    const value = grid[seed];
    seen[seed] = 1;
    queue[0] = seed;
    let filled = 1;
    let best = seed;
    for (let next = 0; next < filled; next++) {
      const at = queue[next];
      if (squared[at] > squared[best]) best = at;
      const x = at % width;
      if (x > 0) filled = visit(at - 1, value, grid, seen, queue, filled);
      if (x + 1 < width) filled = visit(at + 1, value, grid, seen, queue, filled);
      if (at >= width) filled = visit(at - width, value, grid, seen, queue, filled);
      if (at + width < grid.length) filled = visit(at + width, value, grid, seen, queue, filled);
    }
    found.push({
      value,
      share: filled / grid.length,
      x: ((best % width) + 0.5) * step,
      y: (Math.floor(best / width) + 0.5) * step,
      radius: Math.sqrt(squared[best]) * step,
    });
  }
  return found.sort((a, b) => b.share - a.share || a.y - b.y || a.x - b.x);
}

function visit(
  at: number,
  value: number,
  grid: Uint16Array,
  seen: Uint8Array,
  queue: Int32Array,
  filled: number,
): number {
  if (seen[at] === 1 || grid[at] !== value) return filled;
  seen[at] = 1;
  queue[filled] = at;
  return filled + 1;
}

/**
 * Squared Euclidean distance from every pixel to the nearest one of another value or outside the
 * picture, exact (Felzenszwalb and Huttenlocher 2012: lower envelope of parabolas, per dimension).
 *
 * All values are measured at once: a column distance ends where the value changes, and so does the
 * stretch of a row over which parabolas are compared.
 */
export function squaredDepth(
  map: Uint8Array | Uint16Array,
  width: number,
  height: number,
): Float64Array {
  // Distance up and down the column, in whole pixels.
  const column = new Int32Array(width * height);
  for (let x = 0; x < width; x++) {
    let run = 0;
    for (let y = 0; y < height; y++) {
      const at = y * width + x;
      run = y > 0 && map[at] === map[at - width] ? run + 1 : 1;
      column[at] = run;
    }
    run = 0;
    for (let y = height - 1; y >= 0; y--) {
      const at = y * width + x;
      run = y + 1 < height && map[at] === map[at + width] ? run + 1 : 1;
      if (run < column[at]) column[at] = run;
    }
  }
  const out = new Float64Array(width * height);
  const apex = new Int32Array(width + 2);
  const border = new Float64Array(width + 3);
  for (let y = 0; y < height; y++) {
    const row = y * width;
    for (let start = 0; start < width; ) {
      let end = start;
      while (end < width && map[row + end] === map[row + start]) end++;
      // Parabolas stand at start - 1 and end with height 0 (other value), between with column^2.
      let top = -1;
      for (let q = start - 1; q <= end; q++) {
        const hq = q < start || q === end ? 0 : column[row + q] * column[row + q];
        let cross = Number.NEGATIVE_INFINITY;
        while (top >= 0) {
          const p = apex[top];
          const hp = p < start || p === end ? 0 : column[row + p] * column[row + p];
          cross = (hq + q * q - hp - p * p) / (2 * (q - p));
          if (cross > border[top]) break;
          top--;
          cross = Number.NEGATIVE_INFINITY;
        }
        top++;
        apex[top] = q;
        border[top] = cross;
      }
      border[top + 1] = Number.POSITIVE_INFINITY;
      let k = 0;
      for (let x = start; x < end; x++) {
        while (border[k + 1] < x) k++;
        const p = apex[k];
        const hp = p < start || p === end ? 0 : column[row + p] * column[row + p];
        out[row + x] = (x - p) * (x - p) + hp;
      }
      start = end;
    }
  }
  return out;
}
