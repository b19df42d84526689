// Group maps and the hierarchy of groups.

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  differences,
  floats,
  integers,
  readTensors,
  segmentsStraight,
  tensor,
} from "../../test/support/segment.js";
import { Random } from "../random.js";
import type { WindowEncoding } from "./encoding.js";
import { groupMap } from "./groups.js";
import { hierarchy } from "./hierarchy.js";

const expected = readTensors("seg/expected.safetensors");
const labelMaps = readTensors("seg/labels_u8.safetensors.gz");
const tiny = readTensors("tiny/expected.safetensors.gz");

function encodingOf(
  rows: number,
  columns: number,
  groups: number[],
  assignments: Float32Array[],
): WindowEncoding {
  const segmentEmbeds = new Float32Array(groups[groups.length - 1]);
  return { rows, columns, assignments, groups, segmentEmbeds, imageEmbed: new Float32Array(1) };
}

describe("groupMap", () => {
  it.each([
    "tiny.square",
    "tiny.portrait",
    "tiny.land",
    "tiny.port",
    "tiny.tall",
    "full.land",
    "full.portrait",
  ])("equals the reference's last block for %s in every pixel", (name) => {
    const reference = tensor(labelMaps, `${name}.group_map_stage1`);
    const [height, width] = reference.shape;
    const patch = name.startsWith("full") ? 16 : 8;
    const rows = Math.floor(height / patch);
    const columns = Math.floor(width / patch);
    const product = floats(expected, `${name}.final_group_prob`); // [patches, segments]
    const segments = product.length / (rows * columns);
    const assignment = new Float32Array(product.length); // [segments, patches]
    for (let i = 0; i < product.length; i++) {
      assignment[(i % segments) * rows * columns + Math.floor(i / segments)] = product[i];
    }
    const encoding = encodingOf(rows, columns, [segments], [assignment]);
    expect(differences(groupMap(encoding, 0, width, height), reference.bytes)).toBe(0);
  });

  it("equals interpolating every group at every pixel, ties included", () => {
    fc.assert(
      fc.property(
        fc.record({
          seed: fc.integer(),
          rows: fc.integer({ min: 1, max: 6 }),
          columns: fc.integer({ min: 1, max: 6 }),
          groups: fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 3 }),
          width: fc.integer({ min: 1, max: 50 }),
          height: fc.integer({ min: 1, max: 50 }),
          levels: fc.constantFrom(2, 3, 1e9),
          kind: fc.constantFrom("soft" as const, "hard" as const),
        }),
        ({ seed, rows, columns, groups, width, height, levels, kind }) => {
          const random = new Random(seed);
          let tokens = rows * columns;
          const assignments = groups.map((count) => {
            const values = Float32Array.from({ length: count * tokens }, () =>
              random.integer(levels),
            );
            tokens = count;
            return values;
          });
          const encoding = encodingOf(rows, columns, groups, assignments);
          for (let stage = 0; stage < groups.length; stage++) {
            const straight = segmentsStraight(encoding, stage, width, height, kind);
            expect(differences(groupMap(encoding, stage, width, height, kind), straight)).toBe(0);
          }
        },
      ),
      { seed: 64, numRuns: 300 },
    );
  });

  it("is 16-bit above 256 groups", () => {
    const many = encodingOf(1, 1, [300], [Float32Array.from({ length: 300 }, (_, i) => i)]);
    expect(groupMap(many, 0, 1, 2)).toEqual(new Uint16Array([299, 299]));
    const few = encodingOf(1, 1, [256], [Float32Array.from({ length: 256 }, (_, i) => i)]);
    expect(groupMap(few, 0, 1, 2)).toEqual(new Uint8Array([255, 255]));
  });

  it("refuses a grouping block that does not exist", () => {
    const one = encodingOf(1, 1, [1], [new Float32Array([1])]);
    expect(() => groupMap(one, 1, 4, 4)).toThrow(/no grouping block 1; the model has 1/);
    expect(() => groupMap(one, 0.5, 4, 4)).toThrow(/no grouping block 0.5/);
    expect(() => groupMap(one, 0, 0, 4)).toThrow(/0 x 4/);
  });
});

describe("hierarchy", () => {
  it("follows a picture by hand: 4 patches, 3 groups, 2 segments", () => {
    const first = new Float32Array([0.8, 0.7, 0.1, 0.2, 0.1, 0.2, 0.8, 0.5, 0.1, 0.1, 0.1, 0.3]);
    const second = new Float32Array([0.9, 0.25, 0.5, 0.1, 0.75, 0.5]);
    const [groups, segments] = hierarchy(encodingOf(2, 2, [3, 2], [first, second]));
    expect(groups).toEqual([
      { group: 0, parent: 0, segment: 0, weight: Math.fround(0.9), area: 0.5 },
      { group: 1, parent: 1, segment: 1, weight: 0.75, area: 0.5 },
      { group: 2, parent: 0, segment: 0, weight: 0.5, area: 0 },
    ]);
    expect(segments.map(({ parent, segment, weight }) => [parent, segment, weight])).toEqual([
      [0, 0, 1],
      [1, 1, 1],
    ]);
  });

  it("agrees with the reference's hard assignments", () => {
    const assignments = [
      floats(tiny, "group0.soft").subarray(0, 16 * 64),
      floats(tiny, "group1.soft").subarray(0, 4 * 16),
    ];
    const [groups, segments] = hierarchy(encodingOf(8, 8, [16, 4], assignments));
    const parents = integers(tiny, "group1.hard_index").subarray(0, 16);
    expect(groups.map((node) => node.parent)).toEqual(Array.from(parents));
    const winners = integers(tiny, "group0.hard_index").subarray(0, 64);
    for (const { group, area } of groups) {
      expect(area).toBe(winners.filter((winner) => winner === group).length / 64);
    }
    expect(segments.reduce((sum, node) => sum + node.area, 0)).toBeCloseTo(1, 12);
  });

  it("goes through three blocks", () => {
    const identity = new Float32Array([1, 0, 0, 1]);
    const swap = new Float32Array([0, 1, 1, 0]);
    const blocks = hierarchy(encodingOf(1, 2, [2, 2, 2], [identity, swap, swap]));
    expect(blocks[0].map((node) => [node.parent, node.segment])).toEqual([
      [1, 0],
      [0, 1],
    ]);
    expect(blocks[1].map((node) => [node.parent, node.segment])).toEqual([
      [1, 1],
      [0, 0],
    ]);
  });
});
