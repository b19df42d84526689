// What the image tower says about one window of a picture, and the step that everything here starts
// with: multiplying the assignments of the grouping blocks down to "patches x segments".

import { InputError } from "../errors.js";
import { dot } from "./dot.js";

/** One encoded window (the whole picture, or one crop of it): the input of all decoding. */
export interface WindowEncoding {
  /** Patch rows and columns; sides that are no multiple of the patch drop the rest. */
  readonly rows: number;
  readonly columns: number;
  /**
   * Soft assignment of each grouping block, `[groups[s], tokens]` row-major, in [0, 1], columns sum to 1.
   * `tokens` is `rows * columns` at the first block and `groups[s - 1]` after it.
   */
  readonly assignments: readonly Float32Array[];
  /** Groups that leave each grouping block; the last number is the number of segments. */
  readonly groups: readonly number[];
  /** `[segments, dim]`, rows L2-normalised. */
  readonly segmentEmbeds: Float32Array;
  /** `[dim]`, L2-normalised. */
  readonly imageEmbed: Float32Array;
}

/** `soft`: assignments as they are. `hard`: each block's columns become one-hot at their arg max. */
export type AssignmentKind = "soft" | "hard";

/** Most groups a grouping block may have: maps of groups are 16-bit. */
const MAX_GROUPS = 65535;

/**
 * Checks that every array of an encoding has the size that its counts promise, and that its
 * assignments are finite and not negative (which the fast arg max relies on).
 * @throws InputError naming the part that does not fit.
 */
export function checkEncoding(encoding: WindowEncoding): void {
  const { rows, columns, assignments, groups, segmentEmbeds, imageEmbed } = encoding;
  if (!isCount(rows) || !isCount(columns)) {
    throw new InputError(`encoding: a patch grid of ${rows} x ${columns} has no patches`);
  }
  checkAssignments(assignments, groups, rows * columns);
  const segments = groups[groups.length - 1];
  const dim = imageEmbed.length;
  if (dim === 0 || segmentEmbeds.length !== segments * dim) {
    throw new InputError(
      `encoding: segmentEmbeds has ${segmentEmbeds.length} numbers, ` +
        `${segments} segments of ${dim} (the length of imageEmbed) need ${segments * dim}`,
    );
  }
}

/** The part of `checkEncoding` that concerns assignments alone. */
function checkAssignments(
  assignments: readonly Float32Array[],
  groups: readonly number[],
  patches: number,
): void {
  if (groups.length === 0 || assignments.length !== groups.length) {
    throw new InputError(
      `encoding: ${assignments.length} assignments for ${groups.length} grouping blocks; ` +
        "give one of each, at least one",
    );
  }
  let tokens = patches;
  for (let stage = 0; stage < groups.length; stage++) {
    const count = groups[stage];
    const assignment = assignments[stage];
    if (!isCount(count) || count > MAX_GROUPS) {
      throw new InputError(
        `encoding: grouping block ${stage} has ${count} groups, not 1 to ${MAX_GROUPS}`,
      );
    }
    if (assignment.length !== count * tokens) {
      throw new InputError(
        `encoding: assignment ${stage} has ${assignment.length} numbers, ` +
          `[${count} groups, ${tokens} tokens] need ${count * tokens}`,
      );
    }
    for (let i = 0; i < assignment.length; i++) {
      // Written so that NaN fails too.
      if (!(assignment[i] >= 0 && assignment[i] < Infinity)) {
        throw new InputError(
          `encoding: assignment ${stage} holds ${assignment[i]}; check the model's weights`,
        );
      }
    }
    tokens = count;
  }
}

function isCount(value: number): boolean {
  return Number.isInteger(value) && value > 0;
}

/**
 * Multiplies the assignments of the grouping blocks, first to last (paper, section 3.1; the zero-shot
 * transfer of section 3.3 uses the last product).
 *
 * @param assignments per block `[groups[s], tokens]`, see {@link WindowEncoding}.
 * @param patches tokens of the first block.
 * @returns per block `[patches, groups[s]]`: how much of each patch lies in each group.
 * @throws InputError if a size does not fit.
 * @example
 * // Two patches, two groups, one segment that takes everything.
 * multiplyAssignments([new Float32Array([1, 0, 0, 1]), new Float32Array([1, 1])], [2, 1], 2);
 * // [Float32Array [1, 0, 0, 1], Float32Array [1, 1]]
 */
export function multiplyAssignments(
  assignments: readonly Float32Array[],
  groups: readonly number[],
  patches: number,
  kind: AssignmentKind = "soft",
): Float32Array[] {
  checkAssignments(assignments, groups, patches);
  const products: Float32Array[] = [];
  for (let stage = 0; stage < groups.length; stage++) {
    const count = groups[stage];
    const tokens = stage === 0 ? patches : groups[stage - 1];
    const soft = assignments[stage]; // [count, tokens]
    const assignment = kind === "hard" ? hardAssignment(soft, count, tokens) : soft;
    products.push(
      stage === 0
        ? transpose(assignment, count, tokens)
        : multiply(products[stage - 1], assignment, patches, tokens, count),
    );
  }
  return products;
}

/** One-hot over the groups at each token's arg max (the lowest group among equals). */
function hardAssignment(soft: Float32Array, groups: number, tokens: number): Float32Array {
  const hard = new Float32Array(soft.length); // [groups, tokens]
  for (let token = 0; token < tokens; token++) {
    let best = 0;
    for (let group = 1; group < groups; group++) {
      if (soft[group * tokens + token] > soft[best * tokens + token]) best = group;
    }
    hard[best * tokens + token] = 1;
  }
  return hard;
}

/** `[rows, columns]` to `[columns, rows]`. */
function transpose(matrix: Float32Array, rows: number, columns: number): Float32Array {
  const result = new Float32Array(matrix.length);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      result[column * rows + row] = matrix[row * columns + column];
    }
  }
  return result;
}

/** `[patches, tokens]` x `[groups, tokens]` transposed = `[patches, groups]`. */
function multiply(
  previous: Float32Array,
  assignment: Float32Array,
  patches: number,
  tokens: number,
  groups: number,
): Float32Array {
  const product = new Float32Array(patches * groups);
  for (let patch = 0; patch < patches; patch++) {
    const from = patch * tokens;
    for (let group = 0; group < groups; group++) {
      product[patch * groups + group] = dot(previous, from, assignment, group * tokens, tokens);
    }
  }
  return product;
}
