// Position embeddings for pictures of other than the native size: bicubic interpolation of the stored
// table, in the two ways that the public implementations do it.

import { ConfigError } from "../errors.js";

/** Rows and columns of a patch grid. */
export interface PatchGrid {
  readonly rows: number;
  readonly columns: number;
}

/**
 * `authors`: the source of a target patch is scaled by native / target.
 * `huggingface`: by native / (target + 0.1); embeddings of a tower differ by up to 0.1 from the authors'.
 */
export type PositionMode = "authors" | "huggingface";

/** Cubic convolution (Keys) coefficient. */
const A = -0.75;

/**
 * Resizes a table of position embeddings: bicubic with a = -0.75, half-pixel centres, no antialiasing,
 * borders repeated.
 *
 * The native grid itself returns a copy; Hugging Face does so only for pictures that are square in pixels,
 * which a picture on the native grid need not be if a side is no multiple of the patch.
 *
 * @param table `[native.rows * native.columns, dim]`, row-major. @param rows,columns target grid.
 * @param square whether the picture is square in pixels; only Hugging Face's way asks.
 * @returns `[rows * columns, dim]`.
 * @throws ConfigError if the table does not have the native size or a grid is empty.
 * @example
 * // One row of two patches, 1-D embeddings 0 and 1, to four patches.
 * interpolatePositions(new Float32Array([0, 1]), { rows: 1, columns: 2 }, 1, 1, 4, "authors");
 * // Float32Array [-0.10546875, 0.2265625, 0.7734375, 1.10546875]
 */
export function interpolatePositions(
  table: Float32Array,
  native: PatchGrid,
  dim: number,
  rows: number,
  columns: number,
  mode: PositionMode,
  square = true,
): Float32Array {
  for (const count of [native.rows, native.columns, dim, rows, columns]) {
    if (!Number.isInteger(count) || count < 1) {
      throw new ConfigError(
        `position embeddings: a grid of ${native.rows} x ${native.columns} to ${rows} x ${columns}, ` +
          `${dim} wide, is not possible; the picture must have at least one patch`,
      );
    }
  }
  if (table.length !== native.rows * native.columns * dim) {
    throw new ConfigError(
      `position embeddings: the table has ${table.length} numbers, a native grid of ` +
        `${native.rows} x ${native.columns}, ${dim} wide, needs ${native.rows * native.columns * dim}`,
    );
  }
  if (rows === native.rows && columns === native.columns && (square || mode === "authors")) {
    return table.slice();
  }

  const xs = bicubicAxis(native.columns, columns, mode);
  const ys = bicubicAxis(native.rows, rows, mode);
  // Along x first: [native.rows, columns, dim].
  const wide = new Float64Array(native.rows * columns * dim);
  for (let y = 0; y < native.rows; y++) {
    for (let x = 0; x < columns; x++) {
      const to = (y * columns + x) * dim;
      for (let tap = 0; tap < 4; tap++) {
        const weight = xs.weights[4 * x + tap];
        const from = (y * native.columns + xs.taps[4 * x + tap]) * dim;
        for (let d = 0; d < dim; d++) wide[to + d] += weight * table[from + d];
      }
    }
  }
  const result = new Float32Array(rows * columns * dim);
  const sum = new Float64Array(dim);
  for (let y = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++) {
      sum.fill(0);
      for (let tap = 0; tap < 4; tap++) {
        const weight = ys.weights[4 * y + tap];
        const from = (ys.taps[4 * y + tap] * columns + x) * dim;
        for (let d = 0; d < dim; d++) sum[d] += weight * wide[from + d];
      }
      result.set(sum, (y * columns + x) * dim);
    }
  }
  return result;
}

/**
 * Weights that make the positions of a window of the field from those of the whole: what
 * `interpolatePositions` does to a larger grid, of which the window is cut out.
 *
 * @param side of the native grid in patches
 * @param window left, top and side of the window, as shares of the field's side
 * @returns [side * side, side * side]: of each patch, the weights of the stored positions; rows sum to 1
 */
export function windowWeights(
  side: number,
  window: { left: number; top: number; side: number },
): Float32Array {
  const xs = axisWeights(side, side, window.side, window.left * side);
  const ys = axisWeights(side, side, window.side, window.top * side);
  const weights = new Float32Array(side ** 4);
  for (let patch = 0; patch < side * side; patch++) {
    const [y, x] = [Math.floor(patch / side), patch % side];
    for (let i = 0; i < 16; i++) {
      const [row, column] = [4 * y + (i >> 2), 4 * x + (i & 3)];
      const from = ys.taps[row]! * side + xs.taps[column]!;
      weights[patch * side * side + from]! += ys.weights[row]! * xs.weights[column]!;
    }
  }
  return weights;
}

/** Four taps and weights for each target sample of an axis. */
function bicubicAxis(from: number, to: number, mode: PositionMode) {
  return axisWeights(from, to, mode === "authors" ? from / to : from / (to + 0.1), 0);
}

/** The same where samples begin at `offset` and are `scale` apart. */
function axisWeights(from: number, to: number, scale: number, offset: number) {
  const taps = new Int32Array(4 * to);
  const weights = new Float64Array(4 * to);
  for (let i = 0; i < to; i++) {
    const source = offset + scale * (i + 0.5) - 0.5;
    const floor = Math.floor(source);
    for (let tap = 0; tap < 4; tap++) {
      taps[4 * i + tap] = Math.min(Math.max(floor - 1 + tap, 0), from - 1);
      weights[4 * i + tap] = cubic(Math.abs(source - (floor - 1 + tap)));
    }
  }
  return { taps, weights };
}

/** The cubic convolution kernel at a distance in [0, 2]. */
function cubic(t: number): number {
  return t <= 1 ? ((A + 2) * t - (A + 3)) * t * t + 1 : ((A * t - 5 * A) * t + 8 * A) * t - 4 * A;
}
