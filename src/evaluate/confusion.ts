// Confusion counts of label maps, and the intersection over union that they give.

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

/** Mean over the classes that occur; NaN without any. */
export function meanIoU(confusion: Confusion): number {
  const known = classIoU(confusion).filter((iou) => !Number.isNaN(iou));
  return known.reduce((sum, iou) => sum + iou, 0) / known.length;
}
