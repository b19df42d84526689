// Thins out the outlines of a map (Douglas and Peucker 1973) so that they stay a map: neighbours keep
// one common border, borders do not cross, and no region is lost.
//
// Points where three regions meet stay. What lies between two of them is treated alike from either
// side. Where thinned borders cross, or a region has lost its inside, the points that were left out
// come back, and so on until nothing is wrong; of the exact outlines nothing ever is.

import { findCrossings } from "./crossings.js";
import type { Ring } from "./polygons.js";
import { isAnchor, type Outline, type Regions } from "./trace.js";

/** Coordinates of points that are numbered as in `Regions.ids`. */
export function coordinates(points: readonly number[], stride: number): number[] {
  const ring: number[] = [];
  for (const point of points) ring.push((point % stride) - 1, Math.floor(point / stride) - 1);
  return ring;
}

/** Twice the area that a ring encloses (shoelace formula); positive for exteriors. */
export function doubleArea(ring: Ring): number {
  let sum = 0;
  let x = ring[ring.length - 2];
  let y = ring[ring.length - 1];
  for (let i = 0; i < ring.length; i += 2) {
    sum += x * ring[i + 1] - ring[i] * y;
    x = ring[i];
    y = ring[i + 1];
  }
  return sum;
}

/**
 * Leaves out points that lie within a tolerance of what stays.
 *
 * @param outlines all outlines of the map, with the points where a third region joins
 * @param tolerance pixels, above 0
 * @returns a ring for each outline
 */
export function simplifyOutlines(
  { ids, stride }: Pick<Regions, "ids" | "stride">,
  outlines: readonly Outline[],
  tolerance: number,
): Ring[] {
  const rings = outlines.map(({ points }) => coordinates(points, stride));
  const fixed = new Uint8Array(ids.length); // whether a point stays
  for (const { points } of outlines) {
    for (const point of points) fixed[point] = isAnchor(ids, stride, point) ? 1 : 0;
  }
  for (;;) {
    const kept = rings.map((ring, i) => thin(ring, outlines[i].points, fixed, tolerance));
    const wrong = wrongStretches(rings, kept);
    let restored = 0;
    for (const [outline, from, to] of wrong) {
      const { points } = outlines[outline];
      for (let i = from; i !== to; i = (i + 1) % points.length) {
        restored += 1 - fixed[points[i]];
        fixed[points[i]] = 1;
      }
    }
    if (restored === 0) return rings.map((ring, i) => straighten(pick(ring, kept[i])));
  }
}

function pick(ring: Ring, indices: readonly number[]): Ring {
  const picked: number[] = [];
  for (const i of indices) picked.push(ring[2 * i], ring[2 * i + 1]);
  return picked;
}

/** Indices of the points that stay: those that must, and what the tolerance asks for between them. */
function thin(
  ring: Ring,
  points: readonly number[],
  fixed: Uint8Array,
  tolerance: number,
): number[] {
  const ends: number[] = [];
  for (let i = 0; i < points.length; i++) if (fixed[points[i]] === 1) ends.push(i);
  if (ends.length === points.length) return ends;
  if (ends.length === 0) ends.push(first(ring));
  if (ends.length === 1) ends.push(farthest(ring, ends[0]));
  const keep = new Uint8Array(points.length);
  for (let i = 0; i < ends.length; i++) {
    keep[ends[i]] = 1;
    thinArc(ring, keep, ends[i], ends[(i + 1) % ends.length], tolerance);
  }
  const kept: number[] = [];
  for (let i = 0; i < keep.length; i++) if (keep[i] === 1) kept.push(i);
  return kept;
}

/** Whether point i comes before point k, top to bottom, then left to right. */
function precedes(ring: Ring, i: number, k: number): boolean {
  const down = ring[2 * i + 1] - ring[2 * k + 1];
  return down < 0 || (down === 0 && ring[2 * i] < ring[2 * k]);
}

function first(ring: Ring): number {
  let best = 0;
  for (let i = 1; i < ring.length / 2; i++) if (precedes(ring, i, best)) best = i;
  return best;
}

/** The point farthest from point `from`; of several the first in the plane, not on the way. */
function farthest(ring: Ring, from: number): number {
  let best = from;
  let longest = 0;
  for (let i = 0; i < ring.length / 2; i++) {
    const dx = ring[2 * i] - ring[2 * from];
    const dy = ring[2 * i + 1] - ring[2 * from + 1];
    const distance = dx * dx + dy * dy;
    if (distance > longest || (distance === longest && precedes(ring, i, best))) {
      longest = distance;
      best = i;
    }
  }
  return best;
}

/** Marks what stays between two points: the same points whichever way the ring goes. */
function thinArc(
  ring: Ring,
  keep: Uint8Array,
  start: number,
  end: number,
  tolerance: number,
): void {
  const count = ring.length / 2;
  const steps = (end - start + count) % count;
  const forwards = precedes(ring, start, end);
  const index = (step: number): number =>
    forwards ? (start + step) % count : (end - step + count) % count;
  const pending: (readonly [from: number, to: number])[] = [[0, steps]];
  for (let stretch = pending.pop(); stretch !== undefined; stretch = pending.pop()) {
    const [from, to] = stretch;
    let longest = tolerance * tolerance;
    let split = -1;
    for (let step = from + 1; step < to; step++) {
      const distance = squaredDistance(ring, index(step), index(from), index(to));
      if (distance > longest) {
        longest = distance;
        split = step;
      }
    }
    if (split < 0) continue;
    keep[index(split)] = 1;
    pending.push([from, split], [split, to]);
  }
}

/** Squared distance of point p from the segment between points a and b. */
function squaredDistance(ring: Ring, p: number, a: number, b: number): number {
  const dx = ring[2 * b] - ring[2 * a];
  const dy = ring[2 * b + 1] - ring[2 * a + 1];
  const px = ring[2 * p] - ring[2 * a];
  const py = ring[2 * p + 1] - ring[2 * a + 1];
  const share = Math.max(0, Math.min(1, (px * dx + py * dy) / (dx * dx + dy * dy)));
  return (px - share * dx) ** 2 + (py - share * dy) ** 2;
}

/** A stretch of an outline, from one point index to another, the last not counted. */
type Stretch = readonly [outline: number, from: number, to: number];

/** What must not stay as thin as it is: outlines without an inside or inside out, sides that cross. */
function wrongStretches(rings: readonly Ring[], kept: readonly number[][]): Stretch[] {
  const wrong: Stretch[] = [];
  const sides: Stretch[] = [];
  const ends: number[] = [];
  rings.forEach((ring, outline) => {
    const indices = kept[outline];
    if (Math.sign(doubleArea(pick(ring, indices))) !== Math.sign(doubleArea(ring))) {
      const last = ring.length / 2 - 1;
      wrong.push([outline, 0, last], [outline, last, 0]);
      return;
    }
    indices.forEach((from, i) => {
      const to = indices[(i + 1) % indices.length];
      // The neighbour goes the same side in the other direction: one of the two is enough.
      if (precedes(ring, to, from)) return;
      sides.push([outline, from, to]);
      ends.push(ring[2 * from], ring[2 * from + 1], ring[2 * to], ring[2 * to + 1]);
    });
  });
  for (const [a, b] of findCrossings(ends)) wrong.push(sides[a], sides[b]);
  return wrong;
}

/** Without the points that lie on a straight line between their neighbours. */
function straighten(ring: Ring): Ring {
  const count = ring.length / 2;
  const bends = (i: number): boolean => {
    const [a, b] = [(i + count - 1) % count, (i + 1) % count];
    const [x, y] = [ring[2 * i], ring[2 * i + 1]];
    return (x - ring[2 * a]) * (ring[2 * b + 1] - y) !== (y - ring[2 * a + 1]) * (ring[2 * b] - x);
  };
  return ring.filter((_, i) => bends(i >> 1));
}
