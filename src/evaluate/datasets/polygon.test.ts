import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { InputError } from "../../errors.js";
import { compressRle, decodeRle, decompressRle, encodeRle } from "../../output/rle.js";
import { fillEdges, polygonEdges } from "./polygon.js";

function filled(points: readonly number[], height: number, width: number): Uint8Array {
  const map = new Uint8Array(height * width);
  fillEdges(map, polygonEdges(points, height, width), height, width, 1);
  return map;
}

function rows(map: Uint8Array, width: number): string[] {
  const lines: string[] = [];
  for (let i = 0; i < map.length; i += width) lines.push(map.subarray(i, i + width).join(""));
  return lines;
}

const area = (map: Uint8Array) => map.reduce((sum, value) => sum + value, 0);

/** Points of a polygon within `side` x `side` pixels, in hundredths as COCO stores them. */
const polygon = (side: number) =>
  fc
    .array(fc.tuple(fc.nat(100 * side), fc.nat(100 * side)), { minLength: 3, maxLength: 8 })
    .map((points) => points.flatMap(([x, y]) => [x / 100, y / 100]));

describe("polygons as COCO fills them", () => {
  // Masks and compressed run lengths that COCO's own tools give for these outlines.
  it.each([
    ["a square", [1, 1, 4, 1, 4, 3, 1, 3], "5220007", ["000000", "011100", "011100", "000000"]],
    ["half pixels", [0.5, 0.5, 3.5, 0.5, 3.5, 2.5, 0.5, 2.5], "5220007", undefined],
    ["a first point twice", [1, 1, 1, 1, 4, 1, 4, 3, 1, 3], "5220007", undefined],
    ["the whole picture", [0, 0, 6, 0, 6, 4, 0, 4], "0h0", undefined],
    ["a single point", [2, 1, 2, 1, 2, 1], "h0", ["000000", "000000", "000000", "000000"]],
  ])("%s", (_, points, counts, mask) => {
    const map = filled(points, 4, 6);
    expect(compressRle(encodeRle(map, 4, 6)).counts).toBe(counts);
    if (mask) expect(rows(map, 6)).toEqual(mask);
  });

  it("slanted sides and points outside follow its rounding", () => {
    expect(rows(filled([0, 0, 4, 0, 0, 4], 4, 4), 4)).toEqual(["1110", "1100", "1000", "0000"]);
    // Not symmetric: pixels are cut where their middle column meets the outline.
    const diamond = filled([2, 0, 4, 2, 2, 4, 0, 2], 5, 5);
    expect(rows(diamond, 5)).toEqual(["01100", "11110", "01100", "00000", "00000"]);
    expect(compressRle(encodeRle(diamond, 5, 5)).counts).toBe("1132O01N5");
    const outside = filled([3.2, -1.5, 7.9, 2.2, 5.5, 6.4, 1.1, 4.9, 2.6, 2.3], 6, 8);
    expect(rows(outside, 8)).toEqual([
      "00011100",
      "00011110",
      "00111111",
      "00111110",
      "01111110",
      "00011100",
    ]);
  });

  it("rectangles cover exactly their pixels", () => {
    const corners = fc.tuple(fc.nat(7), fc.nat(7), fc.integer({ min: 1, max: 8 }), fc.nat(8));
    fc.assert(
      fc.property(corners, ([left, top, across, down]) => {
        const [right, bottom] = [Math.min(8, left + across), Math.min(8, top + down)];
        const map = filled([left, top, right, top, right, bottom, left, bottom], 8, 8);
        for (const [i, value] of map.entries()) {
          const [x, y] = [i % 8, Math.floor(i / 8)];
          expect(value).toBe(x >= left && x < right && y >= top && y < bottom ? 1 : 0);
        }
      }),
      { seed: 1 },
    );
  });

  it("the direction of the outline and whole pixels of offset change nothing", () => {
    fc.assert(
      fc.property(polygon(12), (points) => {
        const map = filled(points, 12, 12);
        const pairs = Array.from({ length: points.length / 2 }, (_, i) =>
          points.slice(2 * i, 2 * i + 2),
        );
        expect(filled(pairs.reverse().flat(), 12, 12)).toEqual(map);
        const moved = filled(
          points.map((value, i) => value + (i % 2 === 0 ? 3 : 2)),
          14,
          15,
        );
        for (let y = 0; y < 12; y++) {
          expect(moved.subarray((y + 2) * 15 + 3, (y + 2) * 15 + 15)).toEqual(
            map.subarray(y * 12, (y + 1) * 12),
          );
        }
      }),
      { seed: 2 },
    );
  });

  it("stays within its box, and near its area", () => {
    const corner = fc
      .tuple(fc.nat(2000), fc.nat(2000))
      .map(([x, y]) => ({ x: x / 100, y: y / 100 }));
    fc.assert(
      fc.property(corner, corner, corner, (a, b, c) => {
        const map = filled([a.x, a.y, b.x, b.y, c.x, c.y], 20, 20);
        const exact = Math.abs((b.x - a.x) * (c.y - a.y) - (c.x - a.x) * (b.y - a.y)) / 2;
        const outline = [a, b, c, a];
        const length = outline
          .slice(1)
          .reduce((sum, to, i) => sum + Math.hypot(to.x - outline[i]!.x, to.y - outline[i]!.y), 0);
        expect(Math.abs(area(map) - exact)).toBeLessThanOrEqual(length / 2 + 2);
        const [xs, ys] = [outline.map(({ x }) => x), outline.map(({ y }) => y)];
        for (const [i, value] of map.entries()) {
          if (value === 0) continue;
          // The centre of the pixel, with half a pixel of rounding.
          const [x, y] = [(i % 20) + 0.5, Math.floor(i / 20) + 0.5];
          expect(x).toBeGreaterThanOrEqual(Math.min(...xs) - 0.5);
          expect(x).toBeLessThanOrEqual(Math.max(...xs) + 0.5);
          expect(y).toBeGreaterThanOrEqual(Math.min(...ys) - 1);
          expect(y).toBeLessThanOrEqual(Math.max(...ys) + 1);
        }
      }),
      { seed: 3 },
    );
  });

  it("compressed run lengths come back as the mask that they were made of", () => {
    fc.assert(
      fc.property(polygon(15), (points) => {
        const map = filled(points, 15, 15);
        const text = compressRle(encodeRle(map, 15, 15));
        expect(decodeRle(decompressRle(text))).toEqual(map);
      }),
      { seed: 4 },
    );
  });

  it.each([
    [[0, 0, 1, 1], /4 numbers/],
    [[0, 0, 1, 1, 2, 2, 3], /7 numbers/],
    [[0, 0, 1, Number.NaN, 2, 2], /coordinate NaN/],
    [[0, 0, 1e300, 1, 2, 2], /coordinate 1e\+300/],
    [Array.from({ length: 40 }, (_, i) => (i % 4 < 2 ? 60_000 : -60_000)), /outline has more/],
  ])("refuses %j", (points, message) => {
    expect(() => polygonEdges(points, 4, 4)).toThrow(message);
    expect(() => polygonEdges(points, 4, 4)).toThrow(InputError);
  });
});
