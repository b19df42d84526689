// For the tests of decoding: reference tensors, and the straightforward decoding that the fast one must
// equal: score maps of all labels at full size, one pixel and one label at a time.

import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { toFloat32 } from "../../src/checkpoint/dtypes.js";
import { readSafetensors } from "../../src/checkpoint/safetensors.js";
import type { TensorMap } from "../../src/checkpoint/tensors.js";
import { affinity } from "../../src/segment/affinity.js";
import type { DecodeOptions } from "../../src/segment/decode.js";
import { multiplyAssignments, type WindowEncoding } from "../../src/segment/encoding.js";
import type { PlacedWindow, Size } from "../../src/segment/layout.js";

const fixtures = new URL("../fixtures/", import.meta.url);

export function readJson<T>(path: string): T {
  return JSON.parse(readFileSync(new URL(path, fixtures), "utf8"));
}

export function readTensors(path: string): TensorMap {
  const bytes = readFileSync(new URL(path, fixtures));
  return readSafetensors(path.endsWith(".gz") ? gunzipSync(bytes) : bytes).tensors;
}

export function tensor(tensors: TensorMap, name: string) {
  const found = tensors.get(name);
  if (!found) throw new Error(`no tensor ${name} in the fixtures`);
  return found;
}

export function floats(tensors: TensorMap, name: string): Float32Array {
  return toFloat32(tensor(tensors, name));
}

/** An I32 tensor; a copy, because its bytes need not be aligned in the file. */
export function integers(tensors: TensorMap, name: string): Int32Array {
  return new Int32Array(Uint8Array.from(tensor(tensors, name).bytes).buffer);
}

/** What a report says about one reference tensor. */
export interface TensorReport {
  absmax: number;
  f32_vs_f64_max: number;
}

/** The tolerance rule of the fixtures' manifest. */
export function tolerance(report: TensorReport): number {
  return Math.max(1e-5, 1e-5 * report.absmax, 20 * report.f32_vs_f64_max);
}

export function largestDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) return Infinity;
  let most = 0;
  for (let i = 0; i < a.length; i++) {
    const difference = Math.abs(a[i] - b[i]);
    if (!(difference <= most)) most = difference;
  }
  return most;
}

export function differences(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) return Infinity;
  let count = 0;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) count++;
  return count;
}

/** `[rows, columns, channels]` to `[height, width, channels]`, bilinear with half-pixel centres. */
export function resizeBilinear(
  values: ArrayLike<number>,
  rows: number,
  columns: number,
  channels: number,
  width: number,
  height: number,
): Float64Array {
  const result = new Float64Array(width * height * channels);
  for (let y = 0; y < height; y++) {
    const sy = Math.max((rows / height) * (y + 0.5) - 0.5, 0);
    const y0 = Math.min(Math.floor(sy), rows - 1);
    const y1 = Math.min(y0 + 1, rows - 1);
    const fy = y1 > y0 ? sy - y0 : 0;
    for (let x = 0; x < width; x++) {
      const sx = Math.max((columns / width) * (x + 0.5) - 0.5, 0);
      const x0 = Math.min(Math.floor(sx), columns - 1);
      const x1 = Math.min(x0 + 1, columns - 1);
      const fx = x1 > x0 ? sx - x0 : 0;
      for (let c = 0; c < channels; c++) {
        const at = (row: number, column: number) => values[(row * columns + column) * channels + c];
        result[(y * width + x) * channels + c] =
          (1 - fy) * ((1 - fx) * at(y0, x0) + fx * at(y0, x1)) +
          fy * ((1 - fx) * at(y1, x0) + fx * at(y1, x1));
      }
    }
  }
  return result;
}

/** Arg max over the last axis, the lowest among equals. */
export function argMax(values: ArrayLike<number>, channels: number): number[] {
  const result: number[] = [];
  for (let i = 0; i < values.length; i += channels) {
    let best = 0;
    for (let c = 1; c < channels; c++) if (values[i + c] > values[i + best]) best = c;
    result.push(best);
  }
  return result;
}

/** The segment of every pixel of a window, by interpolating every segment's map at every pixel. */
export function segmentsStraight(
  encoding: WindowEncoding,
  stage: number,
  width: number,
  height: number,
  kind: "soft" | "hard",
): number[] {
  const { rows, columns, assignments, groups } = encoding;
  const products = multiplyAssignments(assignments, groups, rows * columns, kind);
  return argMax(
    resizeBilinear(products[stage], rows, columns, groups[stage], width, height),
    groups[stage],
  );
}

export interface DecodedStraight {
  map: number[];
  scores: number[];
}

/** The decoding as the description of the reference states it, with nothing saved. */
export function decodeStraight(
  windows: readonly PlacedWindow[],
  resized: Size,
  original: Size,
  labelEmbeds: Float32Array,
  options: DecodeOptions,
  kind: "soft" | "hard" = "soft",
): DecodedStraight {
  const { background } = options;
  const labels = labelEmbeds.length / windows[0].encoding.imageEmbed.length;
  const first = background.kind === "threshold" ? 1 : 0;
  const classes = labels + first;
  const sums = new Float64Array(resized.width * resized.height * classes);
  const counts = new Float64Array(resized.width * resized.height);
  for (const { window, encoding } of windows) {
    const width = window.x1 - window.x0;
    const height = window.y1 - window.y0;
    const last = encoding.groups.length - 1;
    const segments = segmentsStraight(encoding, last, width, height, kind);
    const scored = affinity(encoding, labelEmbeds, options.logitScale, options.topK ?? 5);
    const k = scored.topLabels.length;
    const threshold =
      background.kind === "threshold"
        ? Math.min(background.threshold, Math.max(...scored.scores))
        : 0;
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const segment = segments[y * width + x];
        const row = Array.from(scored.scores.subarray(segment * k, segment * k + k));
        const pixel = (y + window.y0) * resized.width + x + window.x0;
        counts[pixel]++;
        if (first && Math.max(...row) < threshold) sums[pixel * classes]++;
        for (let i = 0; i < k; i++) sums[pixel * classes + first + scored.topLabels[i]] += row[i];
      }
    }
  }
  for (let i = 0; i < sums.length; i++) sums[i] /= counts[Math.floor(i / classes)];
  const scores = resizeBilinear(
    sums,
    resized.height,
    resized.width,
    classes,
    original.width,
    original.height,
  );
  const winners = argMax(scores, classes);
  return {
    map: winners.map((winner) => {
      if (background.kind !== "words") return winner;
      return background.labels.includes(winner) ? 0 : winner + 1;
    }),
    scores: winners.map((winner, pixel) => scores[pixel * classes + winner]),
  };
}
