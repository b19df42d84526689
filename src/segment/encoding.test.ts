import { describe, expect, it } from "vitest";
import {
  floats,
  integers,
  largestDifference,
  readJson,
  readTensors,
  resizeBilinear,
  type TensorReport,
  tolerance,
} from "../../test/support/segment.js";
import { multiplyAssignments } from "./encoding.js";

const expected = readTensors("tiny/expected.safetensors.gz");
const { tensors } = readJson<{ tensors: Record<string, TensorReport> }>("tiny/report.json");

describe("multiplyAssignments", () => {
  it.each([
    ["", 64, 64],
    ["hf_96x64.", 96, 64],
    ["hf_72x120.", 72, 120],
    ["hf_128x128.", 128, 128],
  ])("gives the reference's grouping map once resized (%s%d x %d)", (prefix, height, width) => {
    const rows = height / 8;
    const columns = width / 8;
    const first = floats(expected, `${prefix}group0.soft`).subarray(0, 16 * rows * columns);
    const second = floats(expected, `${prefix}group1.soft`).subarray(0, 4 * 16);
    const product = multiplyAssignments([first, second], [16, 4], rows * columns)[1];
    const resized = resizeBilinear(product, rows, columns, 4, width, height);
    const reference = floats(expected, `${prefix}grouping_map`); // [batch, 4, height, width]
    const map = new Float32Array(4 * height * width);
    for (let i = 0; i < map.length; i++)
      map[(i % 4) * height * width + Math.floor(i / 4)] = resized[i];
    expect(largestDifference(map, reference.subarray(0, map.length))).toBeLessThan(
      tolerance(tensors[`${prefix}grouping_map`]),
    );
  });

  it("gives the hard product the one-hot of each block's arg max, lowest among equals", () => {
    // Three patches, three groups, two segments; patch 1 is torn between groups 1 and 2.
    const first = new Float32Array([0.6, 0.2, 0.1, 0.2, 0.4, 0.2, 0.2, 0.4, 0.7]); // [groups, patches]
    const second = new Float32Array([0.9, 0.1, 0.5, 0.1, 0.9, 0.5]); // [segments, groups]
    const hard = multiplyAssignments([first, second], [3, 2], 3, "hard");
    expect(Array.from(hard[0])).toEqual([1, 0, 0, 0, 1, 0, 0, 0, 1]);
    expect(Array.from(hard[1])).toEqual([1, 0, 0, 1, 1, 0]);
    const reference = floats(expected, "group0.soft").subarray(0, 16 * 64);
    const winners = integers(expected, "group0.hard_index").subarray(0, 64);
    const onehot = multiplyAssignments([reference], [16], 64, "hard")[0];
    expect(Array.from(winners, (group, patch) => onehot[patch * 16 + group])).toEqual(
      new Array(64).fill(1),
    );
    expect(onehot.reduce((sum, value) => sum + value)).toBe(64);
  });

  it("keeps the shares of a patch: soft rows sum to 1 at every block", () => {
    const first = floats(expected, "group0.soft").subarray(0, 16 * 64);
    const second = floats(expected, "group1.soft").subarray(0, 4 * 16);
    const products = multiplyAssignments([first, second], [16, 4], 64);
    for (const [stage, groups] of [16, 4].entries()) {
      for (let patch = 0; patch < 64; patch++) {
        const row = products[stage].subarray(patch * groups, (patch + 1) * groups);
        expect(row.reduce((sum, value) => sum + value)).toBeCloseTo(1, 5);
      }
    }
  });
});
