// Polygons as COCO's own tools fill them, pixel for pixel: published masks depend on their rounding.
//
// The outline is walked on a grid five times finer. Where it passes the middle line of a pixel column, the
// pixel below the crossing is where the inside begins or ends, counted down the columns; what has an odd
// number of crossings before it is inside.

import { InputError } from "../../errors.js";

/** Fine steps a pixel. */
const SCALE = 5;
/** Farther out than any picture reaches. */
const MAX_COORDINATE = 65_536;
/** Fine steps of one outline: sixty times around the largest picture of COCO. */
const MAX_STEPS = 2_000_000;

/**
 * Where the inside of a polygon begins and ends, as positions `x * height + y` in ascending order: the
 * pixels from the first to before the second are inside, from the third to before the fourth, and so on.
 * Without an end the last one reaches to the last pixel.
 *
 * @param points x and y in pixels in turn, at least three points, none twice for closing
 * @throws InputError where these are no points, or too far out or too many
 */
export function polygonEdges(
  points: readonly number[],
  height: number,
  width: number,
): Uint32Array {
  const corners = fineCorners(points);
  const edges: number[] = [];
  let before: [number, number] | undefined;
  let steps = 0;
  for (let i = 0; i + 3 < corners.length; i += 2) {
    const side = corners.slice(i, i + 4) as [number, number, number, number];
    steps += Math.max(Math.abs(side[2] - side[0]), Math.abs(side[3] - side[1])) + 1;
    if (steps > MAX_STEPS) {
      throw new InputError(
        `polygon: its outline has more than ${MAX_STEPS / SCALE} pixels; check it`,
      );
    }
    walkSide(side, (x, y) => {
      if (before !== undefined) {
        const edge = crossing(before, [x, y], height, width);
        if (edge !== undefined) edges.push(edge);
      }
      before = [x, y];
    });
  }
  return Uint32Array.from(edges).sort();
}

/** Corners on the fine grid, the first again at the end. */
function fineCorners(points: readonly number[]): number[] {
  if (points.length < 6 || points.length % 2 !== 0) {
    throw new InputError(
      `polygon: ${points.length} numbers; give x and y of at least three points`,
    );
  }
  const corners = points.map((value) => {
    if (!(Math.abs(value) <= MAX_COORDINATE)) {
      throw new InputError(`polygon: the coordinate ${value} is no place in a picture; check it`);
    }
    return Math.trunc(SCALE * value + 0.5);
  });
  return [...corners, corners[0]!, corners[1]!];
}

/** Visits the fine points of a side, one a step along its longer direction, both ends included. */
function walkSide(
  [fromX, fromY, toX, toY]: [number, number, number, number],
  visit: (x: number, y: number) => void,
): void {
  const across = Math.abs(toX - fromX);
  const down = Math.abs(toY - fromY);
  const flat = across >= down;
  const length = flat ? across : down;
  // Always measured from the same end, so that a side gives the same points in both directions.
  const backwards = flat ? fromX > toX : fromY > toY;
  const [x, y] = backwards ? [toX, toY] : [fromX, fromY];
  const slope =
    length === 0 ? 0 : (flat ? toY - fromY : toX - fromX) / (backwards ? -length : length);
  for (let step = 0; step <= length; step++) {
    const t = backwards ? length - step : step;
    if (flat) visit(x + t, Math.trunc(y + slope * t + 0.5));
    else visit(Math.trunc(x + slope * t + 0.5), y + t);
  }
}

/** The edge between two neighbouring fine points; undefined where they lie at no middle line. */
function crossing(
  [fromX, fromY]: [number, number],
  [toX, toY]: [number, number],
  height: number,
  width: number,
): number | undefined {
  if (fromX === toX) return undefined;
  const column = ((toX < fromX ? toX : toX - 1) + 0.5) / SCALE - 0.5;
  if (!Number.isInteger(column) || column < 0 || column > width - 1) return undefined;
  const y = (Math.min(fromY, toY) + 0.5) / SCALE - 0.5;
  return column * height + Math.ceil(Math.min(height, Math.max(0, y)));
}

/** Writes `value` into the inside; `map` is row-major, the edges as `polygonEdges` gives them. */
export function fillEdges(
  map: Uint8Array,
  edges: Uint32Array,
  height: number,
  width: number,
  value: number,
): void {
  for (let i = 0; i < edges.length; i += 2) {
    const end = edges[i + 1] ?? height * width;
    let at = edges[i]!;
    for (let x = Math.floor(at / height), y = at % height; at < end; at++) {
      map[y * width + x] = value;
      if (++y === height) {
        y = 0;
        x++;
      }
    }
  }
}
