// Groups for the eye: which group of any grouping block a pixel lies in, and how the groups of one
// block merge into the next.

import { InputError } from "../errors.js";
import type { AssignmentKind, WindowEncoding } from "./encoding.js";
import { checkEncoding, multiplyAssignments } from "./encoding.js";
import { argMaxResized, checkSize } from "./interpolate.js";

/**
 * The group of a grouping block that each pixel lies in: arg max of the product of assignments up to
 * that block, resized bilinearly from the patch grid.
 *
 * @param stage which grouping block, from 0. @param width,height size of the map, any.
 * @returns `[height, width]`, 16-bit if the block has more than 256 groups.
 * @throws InputError if the block does not exist or a size does not fit.
 */
export function groupMap(
  encoding: WindowEncoding,
  stage: number,
  width: number,
  height: number,
  kind: AssignmentKind = "soft",
): Uint8Array | Uint16Array {
  checkSize("group map", width, height);
  checkEncoding(encoding);
  const { rows, columns, assignments, groups } = encoding;
  if (!Number.isInteger(stage) || stage < 0 || stage >= groups.length) {
    throw new InputError(
      `group map: there is no grouping block ${stage}; the model has ${groups.length}, from 0`,
    );
  }
  const products = multiplyAssignments(
    assignments.slice(0, stage + 1),
    groups.slice(0, stage + 1),
    rows * columns,
    kind,
  );
  const map = argMaxResized(products[stage], rows, columns, groups[stage], width, height);
  return groups[stage] > 256 ? map : Uint8Array.from(map);
}
