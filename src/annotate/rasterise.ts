// Polygons back to pixels, by the rule that a pixel is inside when its centre is (even-odd).

import { InputError } from "../errors.js";
import type { ValueMap } from "../output/label-map.js";
import type { Polygon, Ring } from "./polygons.js";

/** Places where outlines cross rows of pixel centres; four bytes each. */
const MAX_CROSSINGS = 2 ** 26;

/** The rings of polygons, exteriors and holes alike. */
export function ringsOf(polygons: Iterable<Polygon>): Ring[] {
  const rings: Ring[] = [];
  for (const { exterior, holes } of polygons) rings.push(exterior, ...holes);
  return rings;
}

/**
 * Visits the stretches of pixels whose centres lie inside an odd number of rings, row by row from the
 * top. Rings may lie partly or wholly outside.
 *
 * @param visit row, first pixel, and the pixel after the last
 * @returns how often rings cross rows: with the pixels visited, the work done
 * @throws InputError beyond 67,108,864 crossings
 */
export function forEachSpan(
  rings: readonly Ring[],
  width: number,
  height: number,
  visit: (y: number, from: number, to: number) => void,
): number {
  const { ends, top } = countCrossings(rings, height);
  const crossings = new Int32Array(ends.length > 0 ? ends[ends.length - 1] : 0);
  const next = Int32Array.from(ends, (_, row) => (row === 0 ? 0 : ends[row - 1]));
  for (const ring of rings) {
    forEachSide(ring, (x0, y0, x1, y1) => {
      const last = lastRow(y0, y1, height);
      for (let y = firstRow(y0, y1); y <= last; y++) {
        const x = x0 + ((y + 0.5 - y0) * (x1 - x0)) / (y1 - y0);
        // The first pixel whose centre is not to the left of the crossing.
        crossings[next[y - top]++] = Math.max(0, Math.min(width, Math.ceil(x - 0.5)));
      }
    });
  }
  for (let row = 0, begin = 0; row < ends.length; begin = ends[row++]) {
    const places = crossings.subarray(begin, ends[row]).sort();
    for (let i = 0; i + 1 < places.length; i += 2) {
      if (places[i] < places[i + 1]) visit(top + row, places[i], places[i + 1]);
    }
  }
  return crossings.length;
}

/** Calls back for each side of a ring that is not level. */
function forEachSide(
  ring: Ring,
  visit: (x0: number, y0: number, x1: number, y1: number) => void,
): void {
  let x = ring[ring.length - 2];
  let y = ring[ring.length - 1];
  for (let i = 0; i < ring.length; i += 2) {
    if (ring[i + 1] !== y) visit(x, y, ring[i], ring[i + 1]);
    x = ring[i];
    y = ring[i + 1];
  }
}

/** A side crosses the centre of a row when the centre lies at or below its upper end, above the lower. */
function firstRow(y0: number, y1: number): number {
  return Math.max(0, Math.ceil(Math.min(y0, y1) - 0.5));
}

function lastRow(y0: number, y1: number, height: number): number {
  return Math.min(height, Math.ceil(Math.max(y0, y1) - 0.5)) - 1;
}

/** Where each row's crossings end when they are laid one row after another, from row `top` on. */
function countCrossings(rings: readonly Ring[], height: number): { ends: Int32Array; top: number } {
  let top = height;
  let bottom = -1;
  for (const ring of rings) {
    forEachSide(ring, (_x0, y0, _x1, y1) => {
      const [first, last] = [firstRow(y0, y1), lastRow(y0, y1, height)];
      if (first > last) return;
      top = Math.min(top, first);
      bottom = Math.max(bottom, last);
    });
  }
  const rows = Math.max(0, bottom - top + 1);
  const change = new Int32Array(rows + 1);
  for (const ring of rings) {
    forEachSide(ring, (_x0, y0, _x1, y1) => {
      const [first, last] = [firstRow(y0, y1), lastRow(y0, y1, height)];
      if (first > last) return;
      change[first - top]++;
      change[last - top + 1]--;
    });
  }
  const ends = new Int32Array(rows);
  let total = 0;
  for (let row = 0, crossing = 0; row < rows; row++) {
    crossing += change[row];
    total += crossing;
    if (total > MAX_CROSSINGS) {
      throw new InputError(
        `Polygons cross the rows of pixels more than ${MAX_CROSSINGS} times; simplify them first.`,
      );
    }
    ends[row] = total;
  }
  return { ends, top };
}

/**
 * The mask of polygons: `height * width` bytes of 0 and 1, row-major; 1 where the pixel's centre lies
 * inside an odd number of rings.
 *
 * @throws InputError beyond 67,108,864 crossings of rings and rows
 */
export function rasterise(polygons: Iterable<Polygon>, width: number, height: number): Uint8Array {
  const mask = new Uint8Array(width * height);
  forEachSpan(ringsOf(polygons), width, height, (y, from, to) => {
    mask.fill(1, y * width + from, y * width + to);
  });
  return mask;
}

/**
 * What polygons lose: intersection over union, 0 to 1, of the pixels of one value and the pixels of
 * the polygons that stand for them. 1 when both are empty.
 */
export function polygonLoss(source: ValueMap, value: number, polygons: Iterable<Polygon>): number {
  const { map } = source;
  let area = 0;
  for (let i = 0; i < map.length; i++) if (map[i] === value) area++;
  return ringsLoss(source, value, area, ringsOf(polygons));
}

/** The same for rings, when the pixels of the value are counted already. */
export function ringsLoss(
  { width, height, map }: ValueMap,
  value: number,
  area: number,
  rings: readonly Ring[],
): number {
  let inside = 0;
  let both = 0;
  forEachSpan(rings, width, height, (y, from, to) => {
    inside += to - from;
    for (let i = y * width + from; i < y * width + to; i++) if (map[i] === value) both++;
  });
  const union = area + inside - both;
  return union === 0 ? 1 : both / union;
}
