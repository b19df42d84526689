import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { findCrossings } from "./crossings.js";
import { joinHoles } from "./join-holes.js";
import { labelPolygons, type Polygon, tracePolygons } from "./polygons.js";
import { polygonLoss, rasterise } from "./rasterise.js";
import { doubleArea } from "./simplify.js";

/** A map drawn as text, one digit a pixel. */
function drawn(...rows: string[]) {
  const map = Uint8Array.from(rows.join(""), Number);
  return { width: rows[0].length, height: rows.length, map };
}

describe("by hand", () => {
  test("a ring of pixels around another: the hole goes the other way", () => {
    const [around, middle] = tracePolygons(drawn("111", "101", "111"));
    expect(around).toEqual({
      value: 1,
      area: 8,
      exterior: [0, 0, 3, 0, 3, 3, 0, 3],
      holes: [[1, 2, 2, 2, 2, 1, 1, 1]],
    });
    expect(middle).toEqual({ value: 0, area: 1, exterior: [1, 1, 2, 1, 2, 2, 1, 2], holes: [] });
    expect([doubleArea(around.exterior), doubleArea(around.holes[0])]).toEqual([18, -2]);
  });

  test("pixels that touch at a corner are two regions", () => {
    const ones = tracePolygons(drawn("10", "01")).filter(({ value }) => value === 1);
    expect(ones.map(({ exterior }) => exterior)).toEqual([
      [0, 0, 1, 0, 1, 1, 0, 1],
      [1, 1, 2, 1, 2, 2, 1, 2],
    ]);
  });

  test("a region that touches itself at a corner gets a hole there, no ring that meets itself", () => {
    // The way comes by (2, 2) twice: before and after it has gone around the zero in the middle.
    const [one] = tracePolygons(drawn("111", "101", "110"));
    expect(one.exterior).toEqual([0, 0, 3, 0, 3, 2, 2, 2, 2, 3, 0, 3]);
    expect(one.holes).toEqual([[2, 2, 2, 1, 1, 1, 1, 2]]);
    expect(one.area).toBe(7);
  });

  test("the staircase between two triangles becomes one line for both", () => {
    const steps = drawn("1000", "1100", "1110", "1111");
    const [lower, upper] = tracePolygons(steps, 0.8);
    expect(lower.exterior).toEqual([0, 0, 1, 0, 4, 3, 4, 4, 0, 4]);
    expect(upper.exterior).toEqual([1, 0, 4, 0, 4, 3]);
    // Each inner corner lies 0.71 off that line; with the first in, the others lie nearer.
    expect(tracePolygons(steps, 0.7)[1].exterior).toEqual([1, 0, 4, 0, 4, 3, 1, 1]);
  });

  test("a point where a third region joins stays on both sides, straight or not", () => {
    const [, left, right] = tracePolygons(drawn("0000", "1122", "1122"), 5);
    expect(left.exterior).toEqual([0, 1, 2, 1, 2, 3, 0, 3]);
    expect(right.exterior).toEqual([2, 1, 4, 1, 4, 3, 2, 3]);
  });

  test("no region is lost at any tolerance", () => {
    const specks = tracePolygons(drawn("00000", "01020", "00000", "03330", "00000"), 100);
    expect(specks.map(({ area }) => area)).toEqual([20, 1, 1, 3]);
    for (const { exterior } of specks) expect(doubleArea(exterior)).toBeGreaterThan(0);
  });

  test("a pixel is inside when its centre is", () => {
    const triangle = { exterior: [0, 0, 4, 0, 0, 4], holes: [] };
    // Row y + 0.5 ends at x = 3.5 - y; the pixel whose centre lies just there is not inside.
    expect([...rasterise([triangle], 4, 4)]).toEqual([
      1, 1, 1, 0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0,
    ]);
    expect(polygonLoss(drawn("1111", "1110", "1100", "1000"), 1, [triangle])).toBe(6 / 10);
    expect(polygonLoss(drawn("1110", "1100", "1000", "0000"), 1, [triangle])).toBe(1);
    expect(polygonLoss(drawn("00"), 1, [])).toBe(1);
    expect(polygonLoss(drawn("01"), 1, [])).toBe(0);
  });

  test("what lies outside the picture is cut off", () => {
    const square: Polygon = { exterior: [-5, -5, 2, -5, 2, 1, -5, 1], holes: [] };
    expect([...rasterise([square], 3, 2)]).toEqual([1, 1, 0, 0, 0, 0]);
  });

  test("the background is no label, a label without a pixel has no polygon", () => {
    const labels = ["cat", "dog"];
    const [cat, dog] = labelPolygons({ ...drawn("022", "022"), labels, background: true });
    expect(cat).toEqual({ name: "cat", area: 0, iou: 1, polygons: [] });
    expect(dog).toEqual({
      name: "dog",
      area: 4,
      iou: 1,
      polygons: [{ value: 2, area: 4, exterior: [1, 0, 3, 0, 3, 2, 1, 2], holes: [] }],
    });
  });

  test("a hole is joined by a cut to the left", () => {
    const [around] = tracePolygons(drawn("111", "101", "111"));
    expect(joinHoles(around)).toEqual([
      0, 0, 3, 0, 3, 3, 0, 3, 0, 2, 1, 2, 2, 2, 2, 1, 1, 1, 1, 2, 0, 2,
    ]);
  });
});

test("crossings over the grid are the crossings of all pairs", () => {
  const coordinate = fc.integer({ min: 0, max: 40 });
  const segment = fc
    .tuple(coordinate, coordinate, coordinate, coordinate)
    .filter(([ax, ay, bx, by]) => ax !== bx || ay !== by);
  fc.assert(
    fc.property(fc.array(segment, { maxLength: 40 }), (segments) => {
      const pairs = new Set<string>();
      for (let a = 0; a < segments.length; a++) {
        for (let b = a + 1; b < segments.length; b++) {
          // Two segments alone lie in a grid of their own.
          if ([...findCrossings([...segments[a], ...segments[b]])].length > 0)
            pairs.add(`${a} ${b}`);
        }
      }
      const found = [...findCrossings(segments.flat())].map(
        ([a, b]) => `${Math.min(a, b)} ${Math.max(a, b)}`,
      );
      expect(new Set(found)).toEqual(pairs);
    }),
    { seed: 15, numRuns: 200 },
  );
});

test.each([
  ["cross", [0, 0, 2, 2, 0, 2, 2, 0], true],
  ["touch in the middle", [0, 0, 4, 0, 2, 0, 2, 3], true],
  ["share an end", [0, 0, 2, 2, 2, 2, 4, 0], false],
  ["go on from an end", [0, 0, 2, 2, 2, 2, 3, 3], false],
  ["go the same way from an end", [0, 0, 2, 2, 0, 0, 3, 3], true],
  ["lie in one line apart", [0, 0, 2, 2, 3, 3, 4, 4], false],
  ["overlap in one line", [0, 0, 3, 3, 2, 2, 4, 4], true],
  ["are the same", [0, 0, 3, 1, 3, 1, 0, 0], true],
  ["pass by", [0, 0, 9, 1, 0, 1, 9, 2], false],
])("segments that %s", (_, ends, expected) => {
  expect([...findCrossings(ends)].length > 0).toBe(expected);
});

test("tolerances, sizes and outlines without end are refused", () => {
  const map = drawn("01");
  expect(() => tracePolygons(map, -1)).toThrow(/Tolerance -1/);
  expect(() => tracePolygons(map, Number.NaN)).toThrow(/Tolerance NaN/);
  expect(() => tracePolygons({ ...map, width: 3 })).toThrow(/needs 3/);
  const checks = new Uint8Array(1100 * 1100).map((_, i) => (i + Math.floor(i / 1100)) % 2);
  expect(() => tracePolygons({ width: 1100, height: 1100, map: checks })).toThrow(
    /more than 1048576 outlines; smooth it/,
  );
  const comb = Array.from({ length: 80_000 }, (_, i) => [i % 2, i % 2 === 0 ? 0 : 1000]).flat();
  expect(() => rasterise([{ exterior: comb, holes: [] }], 2, 1000)).toThrow(/67108864 times/);
});
