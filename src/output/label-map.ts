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

/** A map enlarged by a whole factor: every value becomes a square of `factor` pixels a side. */
export function enlargeMap(source: ValueMap, factor: number): ValueMap {
  if (factor === 1) return source;
  const width = source.width * factor;
  const height = source.height * factor;
  const map =
    source.map instanceof Uint16Array
      ? new Uint16Array(width * height)
      : new Uint8Array(width * height);
  for (let y = 0; y < source.height; y++) {
    const row = y * factor * width;
    for (let x = 0; x < source.width; x++) {
      map.fill(source.map[y * source.width + x], row + x * factor, row + (x + 1) * factor);
    }
    for (let k = 1; k < factor; k++) map.copyWithin(row + k * width, row, row + width);
  }
  return { width, height, map };
}
