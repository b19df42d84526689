// Confusion counts of label maps, and the measures that they give: intersection over union, accuracies.

import { InputError } from "../errors.js";

/** Pixels with this value in the truth are not counted, as PASCAL VOC has it. */
export const IGNORED = 255;

/** How often each true value met each predicted one: [classes, classes], row = truth. */
export interface Confusion {
  readonly classes: number;
  readonly counts: Float64Array;
}

export function createConfusion(classes: number): Confusion {
  return { classes, counts: new Float64Array(classes * classes) };
}

/**
 * Counts the pixels of one picture.
 *
 * @param truth values below `classes`, or 255 where nothing is counted
 * @param predicted values below `classes`, as many
 * @throws InputError where lengths differ or a value has no class
 */
export function addPixels(
  { classes, counts }: Confusion,
  truth: Uint8Array,
  predicted: Uint8Array | Uint16Array,
): void {
  if (truth.length !== predicted.length) {
    throw new InputError(
      `confusion: ${truth.length} true and ${predicted.length} predicted pixels; give maps of one size`,
    );
  }
  for (let i = 0; i < truth.length; i++) {
    const row = truth[i]!;
    if (row === IGNORED) continue;
    const column = predicted[i]!;
    if (row >= classes || column >= classes) {
      const value = row >= classes ? row : column;
      throw new InputError(`confusion: value ${value} has no class; there are ${classes}`);
    }
    counts[row * classes + column]!++;
  }
}

/** The entries that are not zero: true value, predicted value, pixels; three numbers an entry. */
export function toTriples({ classes, counts }: Confusion): number[] {
  const triples: number[] = [];
  for (let i = 0; i < counts.length; i++) {
    if (counts[i]! > 0) triples.push(Math.floor(i / classes), i % classes, counts[i]!);
  }
  return triples;
}

/** Adds what `toTriples` gave. */
export function addTriples({ classes, counts }: Confusion, triples: readonly number[]): void {
  for (let i = 0; i < triples.length; i += 3) {
    counts[triples[i]! * classes + triples[i + 1]!]! += triples[i + 2]!;
  }
}

/** True pixels of each class. */
export function truePixels({ classes, counts }: Confusion): number[] {
  return Array.from({ length: classes }, (_, row) =>
    counts.subarray(row * classes, (row + 1) * classes).reduce((sum, n) => sum + n, 0),
  );
}

/** Intersection over union of each class; NaN where a class is neither true nor predicted. */
export function classIoU({ classes, counts }: Confusion): number[] {
  return Array.from({ length: classes }, (_, value) => {
    let union = 0;
    for (let other = 0; other < classes; other++) {
      union += counts[value * classes + other]! + counts[other * classes + value]!;
    }
    const intersection = counts[value * classes + value]!;
    return intersection / (union - intersection);
  });
}

/** Share of each class's true pixels that are found; NaN where a class does not occur. */
export function classAccuracy(confusion: Confusion): number[] {
  const { classes, counts } = confusion;
  return truePixels(confusion).map((pixels, value) => counts[value * classes + value]! / pixels);
}

/** Mean of the numbers that are not NaN, as mmseg averages over classes; NaN without any. */
export function meanOfKnown(values: readonly number[]): number {
  const known = values.filter((value) => !Number.isNaN(value));
  return known.reduce((sum, value) => sum + value, 0) / known.length;
}

/** Mean intersection over union of the classes that are true or predicted; NaN without any. */
export function meanIoU(confusion: Confusion): number {
  return meanOfKnown(classIoU(confusion));
}

/** Share of all counted pixels that are right; NaN without any. */
export function pixelAccuracy({ classes, counts }: Confusion): number {
  let [right, all] = [0, 0];
  for (let row = 0; row < classes; row++) {
    for (let column = 0; column < classes; column++) {
      const n = counts[row * classes + column]!;
      all += n;
      if (row === column) right += n;
    }
  }
  return right / all;
}
