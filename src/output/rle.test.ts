import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { InputError } from "../errors.js";
import {
  compressRle,
  decodeRle,
  decompressRle,
  encodeAllRle,
  encodeRle,
  rleArea,
  rleBox,
} from "./rle.js";

const masks = fc
  .record({ height: fc.integer({ min: 1, max: 70 }), width: fc.integer({ min: 1, max: 70 }) })
  .chain(({ height, width }) =>
    fc.record({
      height: fc.constant(height),
      width: fc.constant(width),
      // Runs of values rather than single pixels: both long and short counts occur.
      runs: fc.array(fc.tuple(fc.boolean(), fc.integer({ min: 1, max: 400 })), { maxLength: 40 }),
      rest: fc.boolean(),
    }),
  )
  .map(({ height, width, runs, rest }) => {
    const mask = new Uint8Array(height * width).fill(rest ? 1 : 0);
    let at = 0;
    for (const [inside, length] of runs) {
      mask.fill(inside ? 1 : 0, at, at + length);
      at += length;
    }
    return { height, width, mask };
  });

describe("by hand", () => {
  test("counts run down the columns and begin with zeros", () => {
    // 0 1 1
    // 0 1 0   columns: 0 0, 1 1, 1 0
    const rle = encodeRle(Uint8Array.from([0, 1, 1, 0, 1, 0]), 2, 3);
    expect(rle).toEqual({ size: [2, 3], counts: [2, 3, 1] });
    expect(rleArea(rle)).toBe(3);
    expect(rleBox(rle)).toEqual([1, 0, 2, 2]);
    // 2, 3 and 1 fit in five bits with the sign bit clear: 48 + 2, 48 + 3, 48 + 1.
    expect(compressRle(rle).counts).toBe("231");
  });

  test("full and empty masks", () => {
    expect(encodeRle(new Uint8Array(6).fill(9), 2, 3).counts).toEqual([0, 6]);
    expect(encodeRle(new Uint8Array(6), 2, 3).counts).toEqual([6]);
    expect(compressRle({ size: [2, 3], counts: [0, 6] }).counts).toBe("06");
    expect(rleBox({ size: [2, 3], counts: [6] })).toEqual([0, 0, 0, 0]);
    expect(rleBox({ size: [2, 3], counts: [0, 6] })).toEqual([0, 0, 3, 2]);
  });

  test("a count of 16 needs a second character, for its sign", () => {
    // 16 = 10000b: bit 16 would read as negative, so 16 + 32 (more) + 48 = 96 "`", then 0 + 48 "0".
    expect(compressRle({ size: [1, 16], counts: [16] }).counts).toBe("`0");
    // 1000 = 11111 01000b: 8 + 32 + 48 = 88 "X"; 31 is negative, so 31 + 32 + 48 = 111 "o"; then "0".
    expect(compressRle({ size: [10, 100], counts: [1000] }).counts).toBe("Xo0");
  });

  test("from the fourth count on, differences to the count two before", () => {
    // Counts 5 1 5 2 4 1 (18 pixels): 5, 1, 5 as they are, then 2-1 = 1, 4-5 = -1, 1-2 = -1.
    // -1 is 11111b with nothing but sign above it: 31 + 48 = 79 "O".
    const rle = { size: [1, 18] as const, counts: [5, 1, 5, 2, 4, 1] };
    expect(compressRle(rle).counts).toBe("5151OO");
    expect(decompressRle({ size: [1, 18], counts: "5151OO" })).toEqual(rle);
  });

  test("a difference of -17 takes two characters", () => {
    // -17 = ...1 01111b: low five 15, but bit 16 is clear, so more: 15 + 32 + 48 = 95 "_";
    // what is left is -1: 31 + 48 = 79 "O".
    const rle = { size: [1, 24] as const, counts: [1, 20, 0, 3] };
    // 20 = 10100b has bit 16 set, so it takes two as well: 20 + 32 + 48 = 100 "d", then "0".
    expect(compressRle(rle).counts).toBe("1d00_O");
  });
});

test("what is encoded comes back, through counts and through text", () => {
  fc.assert(
    fc.property(masks, ({ height, width, mask }) => {
      const rle = encodeRle(mask, height, width);
      expect(decodeRle(rle)).toEqual(mask);
      expect(decompressRle(compressRle(rle))).toEqual(rle);
      expect(rleArea(rle)).toBe(mask.reduce((sum, value) => sum + value, 0));
      expect(rle.counts.slice(1).every((count) => count > 0)).toBe(true);
    }),
    { seed: 4, numRuns: 300 },
  );
});

test("the box is the tightest one", () => {
  fc.assert(
    fc.property(masks, ({ height, width, mask }) => {
      const xs: number[] = [];
      const ys: number[] = [];
      mask.forEach((value, i) => {
        if (value === 0) return;
        xs.push(i % width);
        ys.push(Math.floor(i / width));
      });
      const [left, top] = [Math.min(...xs), Math.min(...ys)];
      const box =
        xs.length === 0
          ? [0, 0, 0, 0]
          : [left, top, Math.max(...xs) - left + 1, Math.max(...ys) - top + 1];
      expect(rleBox(encodeRle(mask, height, width))).toEqual(box);
    }),
    { seed: 5, numRuns: 200 },
  );
});

test("all labels in one pass are the labels one by one", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 150 }),
      fc.integer({ min: 1, max: 9 }),
      fc.infiniteStream(fc.nat({ max: 4 })),
      (width, height, stream) => {
        const map = Uint8Array.from([...stream.take(width * height)]);
        const all = encodeAllRle({ width, height, map }, 6);
        for (let value = 0; value < 6; value++) {
          const mask = map.map((v) => (v === value ? 1 : 0));
          expect(all[value]).toEqual(encodeRle(mask, height, width));
        }
      },
    ),
    { seed: 6, numRuns: 100 },
  );
});

test("any text is either refused or the canonical counts of some mask", () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 12, unit: "binary-ascii" }), (counts) => {
      try {
        const rle = decompressRle({ size: [3, 5], counts });
        expect(rleArea(rle)).toBe(decodeRle(rle).reduce((sum, value) => sum + value, 0));
      } catch (error) {
        expect(error).toBeInstanceOf(InputError);
      }
    }),
    { seed: 7, numRuns: 500 },
  );
});

test("hostile sizes and counts are refused before anything is allocated", () => {
  expect(() => decodeRle({ size: [1e6, 1e6], counts: [1e12] })).toThrow(/at most 1073741824/);
  expect(() => decodeRle({ size: [2, 2], counts: [5] })).toThrow(/add up to 5/);
  expect(() => decodeRle({ size: [2, 2], counts: [-1, 5] })).toThrow(/count -1/);
  expect(() => decompressRle({ size: [2, 2], counts: "oooooooo0" })).toThrow(/character/);
  expect(() => decompressRle({ size: [2, 2], counts: "`" })).toThrow(/character 1/);
  expect(() => decompressRle({ size: [2, 2], counts: "4 " })).toThrow(/character 1/);
  expect(() => decompressRle({ size: [0, 2], counts: "" })).toThrow(/RLE size 0 x 2/);
});
