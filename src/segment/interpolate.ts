// Bilinear resizing with half-pixel centres (`align_corners = false`, no antialiasing), as PyTorch does
// it, and the arg max over resized group maps without ever building the resized maps.

import { InputError } from "../errors.js";

/** Where the samples of one resized axis come from: `(1 - fraction) * in[low] + fraction * in[high]`. */
export interface Axis {
  readonly low: Int32Array;
  readonly high: Int32Array;
  /** In [0, 1); `high` equals `low` wherever it is 0. */
  readonly fraction: Float64Array;
}

/** Largest number of pixels of a map: pixel numbers stay within signed 32 bits. */
const MAX_PIXELS = 2 ** 31 - 1;

/** @throws InputError unless both sides are whole, positive, and their product fits a map. */
export function checkSize(subject: string, width: number, height: number): void {
  const whole = Number.isInteger(width) && Number.isInteger(height) && width > 0 && height > 0;
  if (!whole || width * height > MAX_PIXELS) {
    throw new InputError(
      `${subject}: a size of ${width} x ${height} is not possible; ` +
        `give whole numbers of pixels, at most ${MAX_PIXELS} together`,
    );
  }
}

/** Sampling positions of `to` samples over `from` samples. */
export function bilinearAxis(from: number, to: number): Axis {
  const low = new Int32Array(to);
  const high = new Int32Array(to);
  const fraction = new Float64Array(to);
  const scale = from / to;
  for (let i = 0; i < to; i++) {
    const source = Math.max(scale * (i + 0.5) - 0.5, 0);
    const floor = Math.min(Math.floor(source), from - 1);
    low[i] = floor;
    if (floor < from - 1 && source > floor) {
      fraction[i] = source - floor;
      high[i] = floor + 1;
    } else {
      high[i] = floor;
    }
  }
  return { low, high, fraction };
}

/**
 * Arg max over groups of the bilinearly resized maps `probabilities`, one group a pixel
 * (the lowest among equals).
 *
 * The four patches around a pixel are the same for a whole rectangle of pixels. Where one group is the
 * largest in all four, it is the largest everywhere between them and the rectangle is filled at once;
 * elsewhere only the groups that no other group dominates are interpolated. The result is that of
 * interpolating every group at every pixel in double precision.
 *
 * @param probabilities `[rows, columns, groups]`, finite and not negative.
 * @returns `[height, width]`.
 */
export function argMaxResized(
  probabilities: Float32Array,
  rows: number,
  columns: number,
  groups: number,
  width: number,
  height: number,
): Uint16Array {
  const map = new Uint16Array(width * height);
  const xs = bilinearAxis(columns, width);
  const ys = bilinearAxis(rows, height);
  const xRuns = runs(xs);
  const yRuns = runs(ys);
  const winners = patchWinners(probabilities, rows * columns, groups);
  const candidates = new Int32Array(groups);
  const longestRun = longest(xRuns);
  // Interpolated along x for the patch row above and the one below, `[candidates, run of columns]`.
  const above = new Float64Array(groups * longestRun);
  const below = new Float64Array(groups * longestRun);

  for (let yRun = 0; yRun + 1 < yRuns.length; yRun++) {
    const yStart = yRuns[yRun];
    const yEnd = yRuns[yRun + 1];
    const top = ys.low[yStart] * columns;
    const bottom = ys.high[yStart] * columns;
    for (let xRun = 0; xRun + 1 < xRuns.length; xRun++) {
      const xStart = xRuns[xRun];
      const xEnd = xRuns[xRun + 1];
      const left = xs.low[xStart];
      const right = xs.high[xStart];
      const p00 = top + left;
      const p01 = top + right;
      const p10 = bottom + left;
      const p11 = bottom + right;
      const winner = winners[p00];
      if (winner === winners[p01] && winner === winners[p10] && winner === winners[p11]) {
        for (let y = yStart; y < yEnd; y++) map.fill(winner, y * width + xStart, y * width + xEnd);
        continue;
      }

      let count = 0;
      for (let group = 0; group < groups; group++) {
        const dominated =
          dominates(probabilities, groups, winner, group, p00, p01, p10, p11) ||
          dominates(probabilities, groups, winners[p01], group, p00, p01, p10, p11) ||
          dominates(probabilities, groups, winners[p10], group, p00, p01, p10, p11) ||
          dominates(probabilities, groups, winners[p11], group, p00, p01, p10, p11);
        if (!dominated) candidates[count++] = group;
      }

      const run = xEnd - xStart;
      for (let c = 0; c < count; c++) {
        const group = candidates[c];
        const v00 = probabilities[p00 * groups + group];
        const v01 = probabilities[p01 * groups + group];
        const v10 = probabilities[p10 * groups + group];
        const v11 = probabilities[p11 * groups + group];
        for (let i = 0; i < run; i++) {
          const fraction = xs.fraction[xStart + i];
          above[c * run + i] = (1 - fraction) * v00 + fraction * v01;
          below[c * run + i] = (1 - fraction) * v10 + fraction * v11;
        }
      }
      for (let y = yStart; y < yEnd; y++) {
        const fraction = ys.fraction[y];
        const rest = 1 - fraction;
        const line = y * width + xStart;
        for (let i = 0; i < run; i++) {
          let best = 0;
          let bestValue = rest * above[i] + fraction * below[i];
          for (let c = 1, at = run + i; c < count; c++, at += run) {
            const value = rest * above[at] + fraction * below[at];
            if (value > bestValue) {
              bestValue = value;
              best = c;
            }
          }
          map[line + i] = candidates[best];
        }
      }
    }
  }
  return map;
}

/**
 * Whether `rival` beats `group` at every point between four patches, rounding included. Values are
 * 32-bit floats: a strict difference (6e-8 relative) is far above the rounding of double-precision
 * interpolation, and equal values go to the lower number.
 */
function dominates(
  values: Float32Array,
  groups: number,
  rival: number,
  group: number,
  p00: number,
  p01: number,
  p10: number,
  p11: number,
): boolean {
  if (rival === group) return false;
  const d00 = values[p00 * groups + rival] - values[p00 * groups + group];
  const d01 = values[p01 * groups + rival] - values[p01 * groups + group];
  const d10 = values[p10 * groups + rival] - values[p10 * groups + group];
  const d11 = values[p11 * groups + rival] - values[p11 * groups + group];
  return rival < group
    ? d00 >= 0 && d01 >= 0 && d10 >= 0 && d11 >= 0
    : d00 > 0 && d01 > 0 && d10 > 0 && d11 > 0;
}

/** Arg max of each patch, the lowest group among equals: `[patches]`. */
function patchWinners(probabilities: Float32Array, patches: number, groups: number): Uint16Array {
  const winners = new Uint16Array(patches);
  for (let patch = 0; patch < patches; patch++) {
    const from = patch * groups;
    let best = 0;
    for (let group = 1; group < groups; group++) {
      if (probabilities[from + group] > probabilities[from + best]) best = group;
    }
    winners[patch] = best;
  }
  return winners;
}

/** Starts of the runs of equal (low, high) along an axis, and its end. */
export function runs(axis: Axis): number[] {
  const starts = [0];
  for (let i = 1; i < axis.low.length; i++) {
    if (axis.low[i] !== axis.low[i - 1] || axis.high[i] !== axis.high[i - 1]) starts.push(i);
  }
  starts.push(axis.low.length);
  return starts;
}

function longest(starts: readonly number[]): number {
  let most = 0;
  for (let i = 1; i < starts.length; i++) most = Math.max(most, starts[i] - starts[i - 1]);
  return most;
}
