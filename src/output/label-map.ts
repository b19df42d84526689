// The label map: what segmentation hands to everything that writes, draws or prints masks.

import { InputError } from "../errors.js";

/** A value a pixel. Segments of words, or groups of a grouping block, share this shape. */
export interface ValueMap {
  readonly width: number;
  readonly height: number;
  /** `height * width` values, row-major from the top left. */
  readonly map: Uint8Array | Uint16Array;
}

/** A segmented picture: every pixel carries one of the labels, or the background. */
export interface LabelMap extends ValueMap {
  readonly labels: readonly string[];
  /** True: value 0 is the background and label i has value i + 1. False: label i has value i. */
  readonly background: boolean;
}

/** How many different values the map of these labels may hold. */
export function valueCount(result: Pick<LabelMap, "labels" | "background">): number {
  return result.labels.length + (result.background ? 1 : 0);
}

/** The name of a value: its label, or "background". */
export function valueName(result: Pick<LabelMap, "labels" | "background">, value: number): string {
  if (!result.background) return result.labels[value];
  return value === 0 ? "background" : result.labels[value - 1];
}

/**
 * Checks that the sizes fit and that every value is below `values`.
 * @returns pixels per value, `values` entries
 * @throws InputError naming the first misfit
 */
export function countValues(result: ValueMap, values: number): Uint32Array {
  const { width, height, map } = result;
  if (!Number.isInteger(width) || !Number.isInteger(height) || width < 1 || height < 1) {
    throw new InputError(`Label map size ${width} x ${height}: give whole numbers from 1.`);
  }
  if (map.length !== width * height) {
    throw new InputError(
      `Label map of ${map.length} values: ${width} x ${height} needs ${width * height}.`,
    );
  }
  const counts = new Uint32Array(65536);
  for (let i = 0; i < map.length; i++) counts[map[i]]++;
  for (let value = values; value < counts.length; value++) {
    if (counts[value] > 0) {
      throw new InputError(
        `Label map value ${value}: only ${values} values have a label, use 0 to ${values - 1}.`,
      );
    }
  }
  return counts.subarray(0, values);
}

/** A map in another size; each new pixel takes the value at its centre (nearest neighbour). */
export function resizeMap(source: ValueMap, width: number, height: number): ValueMap {
  if (width === source.width && height === source.height) return source;
  const size = width * height;
  const map = source.map instanceof Uint16Array ? new Uint16Array(size) : new Uint8Array(size);
  const columns = new Int32Array(width);
  for (let x = 0; x < width; x++) columns[x] = Math.floor(((x + 0.5) * source.width) / width);
  for (let y = 0; y < height; y++) {
    const row = Math.floor(((y + 0.5) * source.height) / height) * source.width;
    for (let x = 0; x < width; x++) map[y * width + x] = source.map[row + columns[x]];
  }
  return { width, height, map };
}
