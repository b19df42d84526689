// A polygon with holes as a single ring, for formats that know no holes: each hole is joined to what
// lies to its left by a cut that is walked in both directions, so that the pixels inside are the same.

import type { Polygon, Ring } from "./polygons.js";

/** One ring that encloses what the polygon does, by the even-odd and the non-zero rule alike. */
export function joinHoles({ exterior, holes }: Polygon): Ring {
  if (holes.length === 0) return exterior;
  const outline = new Outline(exterior);
  const found = holes.map((hole) => outline.add(hole));
  // From left to right, so that a hole is joined to the outline, or to a hole that is joined already.
  found.sort((a, b) => outline.x[a.left] - outline.x[b.left]);
  for (const hole of found) outline.join(hole);
  return outline.ring();
}

/** A ring's points are numbered one after another. */
interface Hole {
  readonly first: number;
  readonly last: number;
  /** The leftmost point. */
  readonly left: number;
}

/** Rings as linked points, and the sides of what is joined by the rows of pixels that they touch. */
class Outline {
  readonly x: number[] = [];
  private readonly y: number[] = [];
  private readonly next: number[] = [];
  /** Points from which a side goes through each row. */
  private readonly rows = new Map<number, number[]>();

  constructor(exterior: Ring) {
    const { first, last } = this.add(exterior);
    for (let at = first; at <= last; at++) this.indexSide(at);
  }

  add(ring: Ring): Hole {
    const first = this.x.length;
    let left = first;
    for (let i = 0; i < ring.length; i += 2) {
      const at = this.point(ring[i], ring[i + 1], this.x.length + 1);
      if (ring[i] < this.x[left]) left = at;
    }
    const last = this.x.length - 1;
    this.next[last] = first;
    return { first, last, left };
  }

  /** Joins a hole to the nearest side on its left; if there is none, to the first point. */
  join({ first, last, left }: Hole): void {
    const [x, y] = [this.x[left], this.y[left]];
    const { from, ...cut } = this.nearest(x, y) ?? { from: 0, x: this.x[0], y: this.y[0] };
    const back = this.point(cut.x, cut.y, this.next[from]);
    this.next[left === first ? last : left - 1] = this.point(x, y, back);
    this.next[from] = this.point(cut.x, cut.y, left);
    for (let at = first; at <= last; at++) this.indexSide(at);
    this.indexSide(back);
  }

  /** All that is joined, without points that repeat the one before. */
  ring(): Ring {
    const ring: number[] = [];
    let at = 0;
    do {
      const [x, y] = [this.x[at], this.y[at]];
      if (x !== ring[ring.length - 2] || y !== ring[ring.length - 1]) ring.push(x, y);
      at = this.next[at];
    } while (at !== 0);
    return ring;
  }

  private point(x: number, y: number, next: number): number {
    this.x.push(x);
    this.y.push(y);
    return this.next.push(next) - 1;
  }

  private indexSide(from: number): void {
    const [y0, y1] = [this.y[from], this.y[this.next[from]]];
    for (let row = Math.floor(Math.min(y0, y1)); row <= Math.floor(Math.max(y0, y1)); row++) {
      const sides = this.rows.get(row);
      if (sides === undefined) this.rows.set(row, [from]);
      else sides.push(from);
    }
  }

  /** Where a way to the left first meets a side: the side, by its first point, and the place. */
  private nearest(x: number, y: number): { from: number; x: number; y: number } | undefined {
    let best: { from: number; x: number; y: number } | undefined;
    for (const from of this.rows.get(Math.floor(y)) ?? []) {
      const place = this.meeting(from, x, y);
      if (place !== undefined && (best === undefined || place > best.x)) {
        best = { from, x: place, y };
      }
    }
    return best;
  }

  /** The rightmost place not right of `x` where the side from a point is at height `y`. */
  private meeting(from: number, x: number, y: number): number | undefined {
    const to = this.next[from];
    const [x0, y0, x1, y1] = [this.x[from], this.y[from], this.x[to], this.y[to]];
    if (y < Math.min(y0, y1) || y > Math.max(y0, y1)) return undefined;
    const low = y0 === y1 ? Math.min(x0, x1) : x0 + ((y - y0) * (x1 - x0)) / (y1 - y0);
    if (low > x) return undefined;
    return y0 === y1 ? Math.min(x, Math.max(x0, x1)) : low;
  }
}
