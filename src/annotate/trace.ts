// From a label map to closed outlines along pixel edges: regions are numbered in one pass, then every
// side between two regions is walked once for each of them.

import { InputError } from "../errors.js";
import type { ValueMap } from "../output/label-map.js";

/** What regions are joined from, at most; 24 bytes each. */
const MAX_PARTS = 2 ** 24;

/** The regions of a map: pixels of one value that hang together by their sides. */
export interface Regions {
  /** Region of each pixel, from 1, row-major with a border of one pixel of 0 on all sides. */
  readonly ids: Int32Array;
  /** Pixels in a row of `ids`: the map's width + 2. */
  readonly stride: number;
  /** Value of region i + 1; regions are in the order of their first pixel. */
  readonly values: readonly number[];
  /** Pixels of region i + 1. */
  readonly areas: readonly number[];
}

/**
 * Finds the regions (4 neighbours) by union-find over the rows.
 * @throws InputError for a map of so much noise that the regions would fill the memory
 */
export function findRegions({ width, height, map }: ValueMap): Regions {
  const stride = width + 2;
  const ids = new Int32Array(stride * (height + 2));
  const parents = [0];
  const found = [0]; // value of each provisional region
  for (let y = 0, pixel = 0; y < height; y++) {
    for (let at = (y + 1) * stride + 1, end = at + width; at < end; at++, pixel++) {
      const value = map[pixel];
      const left = ids[at - 1];
      const up = ids[at - stride];
      const joinsLeft = left !== 0 && map[pixel - 1] === value;
      const joinsUp = up !== 0 && map[pixel - width] === value;
      if (joinsLeft && joinsUp) ids[at] = left === up ? left : join(parents, left, up);
      else if (joinsLeft) ids[at] = left;
      else if (joinsUp) ids[at] = up;
      else {
        if (parents.length > MAX_PARTS) {
          throw new InputError(`Label map has more than ${MAX_PARTS} regions; smooth it`);
        }
        ids[at] = parents.length;
        parents.push(parents.length);
        found.push(value);
      }
    }
  }
  const values: number[] = [];
  const areas: number[] = [];
  const final = new Int32Array(parents.length);
  for (let id = 1; id < parents.length; id++) {
    // A parent has a lower number, so it is final already.
    final[id] = parents[id] === id ? values.push(found[id]) : final[parents[id]];
    if (parents[id] === id) areas.push(0);
  }
  for (let at = 0; at < ids.length; at++) {
    if (ids[at] === 0) continue;
    ids[at] = final[ids[at]];
    areas[ids[at] - 1]++;
  }
  return { ids, stride, values, areas };
}

/** Joins the sets of two regions; the lower root stays, and is the answer. */
function join(parents: number[], a: number, b: number): number {
  const [rootA, rootB] = [root(parents, a), root(parents, b)];
  const low = Math.min(rootA, rootB);
  parents[Math.max(rootA, rootB)] = low;
  return low;
}

function root(parents: number[], id: number): number {
  let at = id;
  while (parents[at] !== at) {
    parents[at] = parents[parents[at]];
    at = parents[at];
  }
  return at;
}

/** A closed outline, its points as numbers of `ids`: that of the pixel to the lower right. */
export interface Outline {
  /** Number of the region that it bounds, from 1; the region lies to the right of the way. */
  readonly region: number;
  readonly points: readonly number[];
}

/**
 * Walks every outline, the region to the right: rightwards along the tops of pixels, downwards along
 * right sides. No outline visits a point twice.
 *
 * @param junctions whether points on a straight way are kept where a third region joins
 */
export function* traceOutlines(
  { ids, stride }: Pick<Regions, "ids" | "stride">,
  junctions: boolean,
): Generator<Outline> {
  const walked = new Uint8Array(ids.length); // whether the top of the pixel has been walked
  for (let at = stride + 1; at < ids.length - stride; at++) {
    const region = ids[at];
    if (region === 0 || region === ids[at - stride] || walked[at] === 1) continue;
    for (const points of walk(ids, stride, at, walked, junctions)) yield { region, points };
  }
}

/** One way around, from the upper left corner of `start` to the right, cut into simple outlines. */
function walk(
  ids: Int32Array,
  stride: number,
  start: number,
  walked: Uint8Array,
  junctions: boolean,
): number[][] {
  // By heading (right, down, left, up): the step, and the pixels ahead on the right and the left.
  const steps = [1, stride, -1, -stride];
  const rightAhead = [0, -1, -1 - stride, -stride];
  const leftAhead = [-stride, 0, -1, -1 - stride];
  const region = ids[start];
  const outlines: number[][] = [];
  const touches = new Map<number, number>(); // point that may be met again -> its index in `points`
  const points = [start];
  if (ids[start - 1 - stride] === region && ids[start - 1] !== region) touches.set(start, 0);
  for (let at = start, heading = 0; ; ) {
    if (heading === 0) walked[at] = 1;
    at += steps[heading];
    const right = ids[at + rightAhead[heading]];
    const left = ids[at + leftAhead[heading]];
    if (right === region && left !== region) {
      if (junctions && isAnchor(ids, stride, at)) points.push(at);
      continue;
    }
    heading = (heading + (right === region ? 3 : 1)) & 3;
    if (at === start && heading === 0) break;
    // Only where the region lies on both sides of a corner does the way come by twice.
    if (right !== region && left === region) {
      const before = touches.get(at);
      if (before !== undefined) {
        const loop = points.splice(before);
        for (const point of loop) touches.delete(point);
        outlines.push(loop);
      } else touches.set(at, points.length);
    }
    points.push(at);
  }
  outlines.push(points);
  return outlines;
}

/**
 * Whether all outlines through a point keep it when they are thinned out: where three regions meet,
 * where regions touch across a corner, and at the corners of the picture.
 */
export function isAnchor(ids: Int32Array, stride: number, at: number): boolean {
  const se = ids[at];
  const sw = ids[at - 1];
  const ne = ids[at - stride];
  const nw = ids[at - stride - 1];
  if (nw === ne && sw === se) return false;
  if (nw === sw && ne === se) return false;
  if (nw === se && ne === sw) return true;
  const threeAlike =
    (nw === ne && (nw === sw || nw === se)) || (sw === se && (sw === nw || sw === ne));
  if (!threeAlike) return true;
  // A corner of two regions alone stays only if it is the picture's own.
  return (nw === ne || nw === sw ? nw : se) === 0;
}
