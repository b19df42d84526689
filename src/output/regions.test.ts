import fc from "fast-check";
import { expect, test } from "vitest";
import { outlines, regions, squaredDepth } from "./regions.js";

/** A map drawn as text, one digit a pixel. */
function drawn(...rows: string[]) {
  const map = Uint8Array.from([...rows.join("")].map(Number));
  return { width: rows[0].length, height: rows.length, map };
}

test("outlines lie on both sides of a border, as thick as asked", () => {
  const map = drawn("000111", "000111");
  expect([...outlines(map, 1)]).toEqual([0, 0, 1, 1, 0, 0, 0, 0, 1, 1, 0, 0]);
  expect([...outlines(map, 2)]).toEqual([0, 1, 1, 1, 1, 0, 0, 1, 1, 1, 1, 0]);
  expect([...outlines(drawn("0", "0", "0", "1"), 1)]).toEqual([0, 0, 1, 1]);
  expect([...outlines(drawn("22", "22"), 3)]).toEqual([0, 0, 0, 0]);
});

test("depth is the distance to the nearest other value or the frame, by exhaustive search", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 14 }),
      fc.integer({ min: 1, max: 14 }),
      fc.infiniteStream(fc.constantFrom(0, 0, 0, 0, 0, 1)),
      (width, height, stream) => {
        const map = Uint8Array.from([...stream.take(width * height)]);
        const expected = Array.from(map, (value, i) => {
          const x = i % width;
          const y = Math.floor(i / width);
          let nearest = Number.POSITIVE_INFINITY;
          for (let v = -1; v <= height; v++) {
            for (let u = -1; u <= width; u++) {
              const inside = u >= 0 && u < width && v >= 0 && v < height;
              if (inside && map[v * width + u] === value) continue;
              nearest = Math.min(nearest, (u - x) ** 2 + (v - y) ** 2);
            }
          }
          return nearest;
        });
        expect([...squaredDepth(map, width, height)]).toEqual(expected);
      },
    ),
    { seed: 8, numRuns: 200 },
  );
});

test("the visual centre of a ring's region lies in the region, not in its hole", () => {
  const size = 41;
  const map = new Uint8Array(size * size);
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      const r = Math.hypot(x - 20, y - 20);
      if (r < 19 && r > 9) map[y * size + x] = 1;
    }
  }
  const ring = regions({ width: size, height: size, map }).find(({ value }) => value === 1)!;
  const fromCentre = Math.hypot(ring.x - 20.5, ring.y - 20.5);
  expect(fromCentre).toBeGreaterThan(12);
  expect(fromCentre).toBeLessThan(16);
  expect(ring.radius).toBeGreaterThan(4);
});

test("regions of one value that do not touch are told apart, largest first", () => {
  const found = regions(drawn("11011", "11011", "11010"));
  expect(found.map(({ value, share }) => [value, Math.round(share * 15)])).toEqual([
    [1, 6],
    [1, 5],
    [0, 3],
    [0, 1],
  ]);
});

test("a large map is measured on a grid, and positions are the map's", () => {
  const width = 3000;
  const height = 1000;
  const map = new Uint16Array(width * height);
  for (let y = 0; y < height; y++) map.fill(300, y * width + 1000, y * width + 2000);
  const middle = regions({ width, height, map }).find(({ value }) => value === 300)!;
  expect(Math.abs(middle.x - 1500)).toBeLessThan(10);
  expect(Math.abs(middle.y - 500)).toBeLessThan(10);
  expect(middle.share).toBeCloseTo(1 / 3, 2);
  expect(middle.radius).toBeGreaterThan(480);
});

test("an extremely narrow map still has its regions", () => {
  const map = new Uint8Array(9000).fill(1, 4000);
  expect(regions({ width: 9000, height: 1, map }).map(({ value }) => value)).toEqual([1, 0]);
});
