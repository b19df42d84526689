// COCO's run-length encoding of binary masks: runs down the columns, first a run of zeros, as a list
// of counts or as COCO's compressed text (five bits a character, differences after the third count).

import { InputError } from "../errors.js";
import { countValues, type ValueMap } from "./label-map.js";

/** Runs in column-major order: zeros, ones, zeros, ...; the first may be 0. */
export interface Rle {
  /** Height, then width, as COCO has it. */
  readonly size: readonly [height: number, width: number];
  /** Lengths of the runs; they add up to height * width. */
  readonly counts: readonly number[];
}

/** The same with `counts` as COCO's compressed text. */
export interface CompressedRle {
  readonly size: readonly [height: number, width: number];
  readonly counts: string;
}

/** Counts are 32-bit in COCO; half of that leaves room for the sign of a difference. */
const MAX_PIXELS = 2 ** 30;

/**
 * Encodes a binary mask.
 * @param mask `height * width` values, row-major; everything but 0 is inside
 */
export function encodeRle(mask: Uint8Array, height: number, width: number): Rle {
  const binary = mask.map((value) => (value === 0 ? 0 : 1));
  return encodeAllRle({ width, height, map: binary }, 2)[1];
}

/**
 * Encodes every value's mask in one pass.
 * @param values number of different values; the answer has one mask for each, in order
 * @throws InputError when sizes do not fit or a value is too large
 */
export function encodeAllRle(source: ValueMap, values: number): Rle[] {
  countValues(source, values);
  const { width, height, map } = source;
  const pixels = width * height;
  if (pixels > MAX_PIXELS) {
    throw new InputError(`Mask of ${width} x ${height}: RLE takes up to ${MAX_PIXELS} pixels.`);
  }
  const counts: number[][] = Array.from({ length: values }, () => []);
  const ends = new Float64Array(values); // where each value's last run ended
  let value = map[0];
  let runStart = 0;
  const end = (at: number) => {
    counts[value].push(runStart - ends[value], at - runStart);
    ends[value] = at;
    runStart = at;
  };
  const { rows, starts } = changesByColumn(source);
  for (let x = 0; x < width; x++) {
    const top = map[x];
    if (top !== value) {
      end(x * height);
      value = top;
    }
    for (let i = starts[x]; i < starts[x + 1]; i++) {
      end(x * height + rows[i]);
      value = map[rows[i] * width + x];
    }
  }
  end(pixels);
  return counts.map((list, v) => {
    if (ends[v] < pixels) list.push(pixels - ends[v]);
    return { size: [height, width] as const, counts: list };
  });
}

/**
 * Where a pixel differs from the one above it: those of column `x` are `rows` from `starts[x]` to
 * `starts[x + 1]`, downwards. Found row by row, as the map lies in memory: going down columns misses the cache.
 */
function changesByColumn({ width, map }: ValueMap): {
  rows: Int32Array;
  starts: Int32Array;
} {
  const starts = new Int32Array(width + 1);
  let found = new Int32Array(4096);
  let count = 0;
  for (let i = width; i < map.length; i++) {
    if (map[i] === map[i - width]) continue;
    if (count === found.length) {
      const longer = new Int32Array(2 * count);
      longer.set(found);
      found = longer;
    }
    found[count++] = i;
  }
  for (let i = 0; i < count; i++) starts[(found[i] % width) + 1]++;
  for (let x = 0; x < width; x++) starts[x + 1] += starts[x];
  const next = starts.slice();
  const rows = new Int32Array(count);
  for (let i = 0; i < count; i++) {
    const y = Math.floor(found[i] / width);
    rows[next[found[i] - y * width]++] = y;
  }
  return { rows, starts };
}

/**
 * The mask of an RLE: `height * width` bytes of 0 and 1, row-major.
 * @throws InputError when the counts do not add up
 */
export function decodeRle(rle: Rle): Uint8Array {
  checkRle(rle);
  const [height, width] = rle.size;
  const mask = new Uint8Array(height * width);
  let at = 0;
  for (let i = 0; i < rle.counts.length; i++) {
    const end = at + rle.counts[i];
    if (i % 2 === 1) {
      for (let p = at, x = Math.floor(at / height), y = at % height; p < end; p++) {
        mask[y * width + x] = 1;
        if (++y === height) {
          y = 0;
          x++;
        }
      }
    }
    at = end;
  }
  return mask;
}

/** Pixels inside. */
export function rleArea(rle: Rle): number {
  checkRle(rle);
  let area = 0;
  for (let i = 1; i < rle.counts.length; i += 2) area += rle.counts[i];
  return area;
}

/** The smallest box around the mask, `[x, y, width, height]` in pixels; zeros for an empty mask. */
export function rleBox(rle: Rle): [x: number, y: number, width: number, height: number] {
  checkRle(rle);
  const height = rle.size[0];
  let left = Number.POSITIVE_INFINITY;
  let top = Number.POSITIVE_INFINITY;
  let right = -1;
  let bottom = -1;
  let at = 0;
  for (let i = 0; i < rle.counts.length; i++) {
    const run = rle.counts[i];
    if (i % 2 === 1 && run > 0) {
      const first = Math.floor(at / height);
      const last = Math.floor((at + run - 1) / height);
      left = Math.min(left, first);
      right = last;
      // A run that goes on in the next column touches the bottom of this one and the top of that.
      top = first === last ? Math.min(top, at % height) : 0;
      bottom = first === last ? Math.max(bottom, (at + run - 1) % height) : height - 1;
    }
    at += run;
  }
  return right < 0 ? [0, 0, 0, 0] : [left, top, right - left + 1, bottom - top + 1];
}

/** COCO's compressed text of an RLE. */
export function compressRle(rle: Rle): CompressedRle {
  checkRle(rle);
  const codes: number[] = [];
  for (let i = 0; i < rle.counts.length; i++) {
    // From the fourth count on, the difference to the count two before, which is of the same kind.
    let rest = i > 2 ? rle.counts[i] - rle.counts[i - 2] : rle.counts[i];
    for (let more = true; more; ) {
      let five = rest & 31;
      rest >>= 5;
      // The highest of the last five bits is the sign, so a number may need one more group.
      more = (five & 16) !== 0 ? rest !== -1 : rest !== 0;
      if (more) five |= 32;
      codes.push(five + 48);
    }
  }
  let counts = "";
  for (let i = 0; i < codes.length; i += 4096) {
    counts += String.fromCharCode(...codes.slice(i, i + 4096));
  }
  return { size: rle.size, counts };
}

/**
 * Reads COCO's compressed text.
 * @throws InputError for characters outside "0" to "o", an unfinished or too long number, or counts
 *   that do not add up to the size
 */
export function decompressRle(rle: CompressedRle): Rle {
  checkSize(rle.size);
  const counts: number[] = [];
  const text = rle.counts;
  for (let at = 0; at < text.length; ) {
    let value = 0;
    let shift = 0;
    for (let more = true; more; shift += 5) {
      const code = text.charCodeAt(at) - 48; // NaN past the end
      if (!(code >= 0 && code < 64) || shift > 30) {
        throw new InputError(`RLE text at character ${at}: not COCO's compressed counts.`);
      }
      at++;
      value |= (code & 31) << shift;
      more = (code & 32) !== 0;
      if (!more && (code & 16) !== 0 && shift < 25) value |= -1 << (shift + 5);
    }
    if (counts.length > 2) value += counts[counts.length - 2];
    counts.push(value);
  }
  const result = { size: rle.size, counts };
  checkRle(result);
  return result;
}

function checkSize([height, width]: readonly [number, number]): void {
  const whole = Number.isInteger(height) && Number.isInteger(width) && height > 0 && width > 0;
  if (!whole || height * width > MAX_PIXELS) {
    throw new InputError(
      `RLE size ${height} x ${width}: give whole numbers from 1, at most ${MAX_PIXELS} pixels.`,
    );
  }
}

function checkRle(rle: Rle): void {
  checkSize(rle.size);
  const pixels = rle.size[0] * rle.size[1];
  let sum = 0;
  for (const count of rle.counts) {
    if (!Number.isInteger(count) || count < 0) {
      throw new InputError(`RLE count ${count}: counts are whole numbers from 0.`);
    }
    sum += count;
  }
  if (sum !== pixels) {
    throw new InputError(
      `RLE counts add up to ${sum}: ${rle.size[0]} x ${rle.size[1]} has ${pixels} pixels.`,
    );
  }
}
