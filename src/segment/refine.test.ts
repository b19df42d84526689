import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { InputError } from "../errors.js";
import { refineMap } from "./refine.js";

/** A dark disc on light ground, with the map of a disc that is `shift` pixels off. */
function disc(size: number, shift: number) {
  const inside = (x: number, y: number) => Math.hypot(x - size / 2, y - size / 2) < size / 4;
  const data = new Uint8Array(size * size * 3);
  const truth = new Uint8Array(size * size);
  const map = new Uint8Array(size * size);
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      const i = y * size + x;
      // A little texture, so that neighbourhoods have a deviation.
      data.fill((inside(x, y) ? 60 : 200) + ((x * 7 + y * 13) % 9), 3 * i, 3 * i + 3);
      truth[i] = inside(x, y) ? 3 : 0;
      map[i] = inside(x - shift, y) ? 3 : 0;
    }
  }
  return { picture: { width: size, height: size, data }, truth, map };
}

const wrong = (one: Uint8Array, two: Uint8Array) =>
  one.reduce((sum, value, i) => sum + (value === two[i] ? 0 : 1), 0);

describe("a refined map", () => {
  it("moves to the picture's edge", () => {
    const { picture, truth, map } = disc(64, 5);
    const refined = refineMap(picture, map);
    expect(wrong(map, truth)).toBeGreaterThan(250);
    expect(wrong(refined, truth)).toBeLessThan(wrong(map, truth) / 3);
  });

  it("stays where it fits already", () => {
    const { picture, truth } = disc(64, 0);
    expect(wrong(refineMap(picture, truth), truth)).toBeLessThan(20);
  });

  it("has no new values, and does not touch the given map", () => {
    const pictures = fc.record({
      width: fc.integer({ min: 1, max: 9 }),
      height: fc.integer({ min: 1, max: 9 }),
    });
    fc.assert(
      fc.property(pictures, fc.nat(1000), ({ width, height }, seed) => {
        const data = Uint8Array.from(
          { length: width * height * 3 },
          (_, i) => (i * 31 + seed) % 256,
        );
        const map = Uint16Array.from({ length: width * height }, (_, i) => ((i + seed) % 3) * 300);
        const before = map.slice();
        const refined = refineMap({ width, height, data }, map);
        expect(map).toEqual(before);
        for (const value of refined) expect(map).toContain(value);
      }),
      { seed: 1, numRuns: 50 },
    );
  });

  it("bounds its work on large pictures", () => {
    const { picture, truth, map } = disc(1200, 40);
    const refined = refineMap(picture, map);
    expect(refined.length).toBe(1200 * 1200);
    expect(wrong(refined, truth)).toBeLessThan(wrong(map, truth));
  });

  it("refuses a map of another size", () => {
    const { picture } = disc(16, 0);
    expect(() => refineMap(picture, new Uint8Array(7))).toThrow(InputError);
  });
});
