// Which of many line segments cross or touch each other, found over a grid of cells.

/**
 * Pairs of segments that have a point in common which is not an end of both, or that are the same. A
 * pair may come more than once.
 *
 * @param ends whole numbers, `x0, y0, x1, y1` of each segment
 */
export function* findCrossings(
  ends: readonly number[],
): Generator<readonly [a: number, b: number]> {
  const count = ends.length / 4;
  if (count < 2) return;
  const grid = new Grid(ends);
  // Which segments lie in which cell, first counted, then laid one cell after another.
  const starts = new Int32Array(grid.cells + 1);
  for (let i = 0; i < count; i++) grid.visit(i, (cell) => starts[cell + 1]++);
  for (let cell = 0; cell < grid.cells; cell++) starts[cell + 1] += starts[cell];
  const members = new Int32Array(starts[grid.cells]);
  const next = starts.slice();
  for (let i = 0; i < count; i++) {
    grid.visit(i, (cell) => {
      members[next[cell]++] = i;
    });
  }
  for (let cell = 0; cell < grid.cells; cell++) {
    for (let i = starts[cell]; i < starts[cell + 1]; i++) {
      for (let k = i + 1; k < starts[cell + 1]; k++) {
        if (crosses(ends, 4 * members[i], 4 * members[k])) yield [members[i], members[k]];
      }
    }
  }
}

/** Square cells over the segments, a few segments in each. */
class Grid {
  readonly cells: number;
  private readonly left: number;
  private readonly top: number;
  private readonly side: number;
  private readonly columns: number;

  constructor(private readonly ends: readonly number[]) {
    let [left, top] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
    let [right, bottom] = [Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY];
    for (let i = 0; i < ends.length; i += 2) {
      left = Math.min(left, ends[i]);
      right = Math.max(right, ends[i]);
      top = Math.min(top, ends[i + 1]);
      bottom = Math.max(bottom, ends[i + 1]);
    }
    const area = (right - left + 1) * (bottom - top + 1);
    this.left = left;
    this.top = top;
    this.side = Math.max(2, Math.ceil(Math.sqrt((8 * area) / ends.length)));
    this.columns = Math.floor((right - left) / this.side) + 1;
    this.cells = this.columns * (Math.floor((bottom - top) / this.side) + 1);
  }

  /** Calls back for every cell that segment i goes through. */
  visit(i: number, callback: (cell: number) => void): void {
    const { side, columns } = this;
    const down = this.ends[4 * i + 1] <= this.ends[4 * i + 3];
    const [from, to] = down ? [4 * i, 4 * i + 2] : [4 * i + 2, 4 * i];
    const x0 = this.ends[from] - this.left;
    const y0 = this.ends[from + 1] - this.top;
    const x1 = this.ends[to] - this.left;
    const y1 = this.ends[to + 1] - this.top;
    const slope = y1 === y0 ? 0 : (x1 - x0) / (y1 - y0);
    for (let row = Math.floor(y0 / side); row <= Math.floor(y1 / side); row++) {
      // The part of the segment within this row of cells; a level one lies in it as a whole.
      const a = y1 === y0 ? x0 : x0 + slope * (Math.max(y0, row * side) - y0);
      const b = y1 === y0 ? x1 : x0 + slope * (Math.min(y1, (row + 1) * side) - y0);
      // Rounding may put an end just outside.
      const first = Math.max(0, Math.floor(Math.min(a, b) / side));
      const last = Math.min(columns - 1, Math.floor(Math.max(a, b) / side));
      for (let column = first; column <= last; column++) {
        callback(row * columns + column);
      }
    }
  }
}

/** Whether the segments whose ends begin at i and k share more than an end. */
function crosses(ends: readonly number[], i: number, k: number): boolean {
  const [ax, ay, bx, by] = [ends[i], ends[i + 1], ends[i + 2], ends[i + 3]];
  const [cx, cy, dx, dy] = [ends[k], ends[k + 1], ends[k + 2], ends[k + 3]];
  if (Math.max(ax, bx) < Math.min(cx, dx) || Math.max(cx, dx) < Math.min(ax, bx)) return false;
  if (Math.max(ay, by) < Math.min(cy, dy) || Math.max(cy, dy) < Math.min(ay, by)) return false;
  const c = turn(ax, ay, bx, by, cx, cy);
  const d = turn(ax, ay, bx, by, dx, dy);
  const a = turn(cx, cy, dx, dy, ax, ay);
  const b = turn(cx, cy, dx, dy, bx, by);
  if (c * d > 0 || a * b > 0) return false;
  const [ac, ad] = [ax === cx && ay === cy, ax === dx && ay === dy];
  const [bc, bd] = [bx === cx && by === cy, bx === dx && by === dy];
  if (!ac && !ad && !bc && !bd) return true;
  if ((ac && bd) || (ad && bc)) return true;
  // With one end in common they share more only when they go the same way from it.
  if (c !== 0 || d !== 0) return false;
  const [ex, ey] = ac || ad ? [bx - ax, by - ay] : [ax - bx, ay - by];
  const [fx, fy] = ac || bc ? [dx - cx, dy - cy] : [cx - dx, cy - dy];
  return ex * fx + ey * fy > 0;
}

/** On which side of the line from a to b point p lies: the sign. */
function turn(ax: number, ay: number, bx: number, by: number, px: number, py: number): number {
  return Math.sign((bx - ax) * (py - ay) - (by - ay) * (px - ax));
}
