// How the groups of each grouping block merge into the final segments, for drawing the hierarchy.

import { checkEncoding, multiplyAssignments, type WindowEncoding } from "./encoding.js";

/** One group of one grouping block. */
export interface GroupNode {
  /** Its number within its block. */
  readonly group: number;
  /** The group of the next block that takes most of it; its own number in the last block. */
  readonly parent: number;
  /** The final segment that takes most of it. */
  readonly segment: number;
  /** How much of it that segment takes (soft assignment), in [0, 1]. */
  readonly weight: number;
  /** Share of the window's patches whose arg max it is, in [0, 1]; 0 for a group that won nothing. */
  readonly area: number;
}

/**
 * The grouping hierarchy of one window (paper, section 3.1): per grouping block, first to last, its
 * groups in order.
 *
 * Parent and segment follow soft assignments, each for itself: with three blocks or more, a group's
 * segment need not be its parent's.
 *
 * @throws InputError if an array of the encoding does not fit.
 * @example
 * const [first] = hierarchy(encoding);
 * first.filter((node) => node.area > 0 && node.segment === 3); // the groups that make up segment 3
 */
export function hierarchy(encoding: WindowEncoding): GroupNode[][] {
  checkEncoding(encoding);
  const { rows, columns, assignments, groups } = encoding;
  const patches = rows * columns;
  const products = multiplyAssignments(assignments, groups, patches); // [patches, groups[s]]
  const last = groups.length - 1;
  return products.map((product, stage) => {
    const count = groups[stage];
    const wins = new Uint32Array(count);
    for (let patch = 0; patch < patches; patch++) wins[largest(product, patch * count, count)]++;
    const nodes = Array.from(wins, (won, group) => ({ group, area: won / patches }));
    if (stage === last) {
      return nodes.map((node) => ({ ...node, parent: node.group, segment: node.group, weight: 1 }));
    }
    // The remaining blocks see this block's groups as their tokens: [groups, segments].
    const onward = multiplyAssignments(
      assignments.slice(stage + 1),
      groups.slice(stage + 1),
      count,
    );
    const parents = onward[0];
    const segments = onward[onward.length - 1];
    return nodes.map((node) => {
      const parent = largest(parents, node.group * groups[stage + 1], groups[stage + 1]);
      const segment = largest(segments, node.group * groups[last], groups[last]);
      return { ...node, parent, segment, weight: segments[node.group * groups[last] + segment] };
    });
  });
}

/** Place of the largest of `count` values from `start` on, relative to it. */
function largest(values: Float32Array, start: number, count: number): number {
  let best = 0;
  for (let i = 1; i < count; i++) if (values[start + i] > values[start + best]) best = i;
  return best;
}
