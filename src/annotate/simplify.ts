// Thins out outlines (Douglas and Peucker 1973) so that neighbours stay together: points where three
// regions meet are kept, and what lies between them is treated alike from either side.

import type { Ring } from "./polygons.js";

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
 * Removes points that lie within `tolerance` of what stays. A ring that would lose its inside, or be
 * turned inside out, stays as it is.
 *
 * @param anchors whether each point stays in any case
 * @param tolerance pixels, above 0
 */
export function simplifyRing(ring: Ring, anchors: readonly boolean[], tolerance: number): Ring {
  const keep = anchors.slice();
  const ends = keep.flatMap((kept, i) => (kept ? [i] : []));
  if (ends.length === 0) ends.push(first(ring));
  if (ends.length === 1) ends.push(farthest(ring, ends[0]));
  for (let i = 0; i < ends.length; i++) {
    keep[ends[i]] = true;
    simplifyArc(ring, keep, ends[i], ends[(i + 1) % ends.length], tolerance);
  }
  const thin = straighten(ring.filter((_, i) => keep[i >> 1]));
  const same = thin.length >= 6 && Math.sign(doubleArea(thin)) === Math.sign(doubleArea(ring));
  return same ? thin : straighten(ring);
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
    const distance = (ring[2 * i] - ring[2 * from]) ** 2 + (ring[2 * i + 1] - ring[2 * from + 1]) ** 2;
    if (distance > longest || (distance === longest && precedes(ring, i, best))) {
      longest = distance;
      best = i;
    }
  }
  return best;
}

/** Marks what stays between two points, the same points whichever way the ring goes. */
function simplifyArc(ring: Ring, keep: boolean[], start: number, end: number, tolerance: number) {
  const count = ring.length / 2;
  const steps = (end - start + count) % count;
  const forwards = precedes(ring, start, end);
  const index = (step: number): number =>
    forwards ? (start + step) % count : (end - step + count) % count;
  const pending = [0, steps];
  while (pending.length > 0) {
    const to = pending.pop() as number;
    const from = pending.pop() as number;
    if (to - from < 2) continue;
    const [a, b] = [index(from), index(to)];
    let farthestStep = -1;
    let longest = tolerance * tolerance;
    for (let step = from + 1; step < to; step++) {
      const distance = squaredDistance(ring, index(step), a, b);
      if (distance > longest) {
        longest = distance;
        farthestStep = step;
      }
    }
    if (farthestStep < 0) continue;
    keep[index(farthestStep)] = true;
    pending.push(from, farthestStep, farthestStep, to);
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
