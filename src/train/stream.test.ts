import { describe, expect, it } from "vitest";
import { toPatches } from "../input/normalize.js";
import type { Picture } from "../input/picture.js";
import { Random } from "../random.js";
import { shrinkPatches } from "./stream.js";

describe("pictures made smaller", () => {
  it("have the means of squares of pixels, patch by patch", () => {
    const random = new Random(3);
    const [inner, factor, patch] = [8, 3, 4];
    const side = inner * factor;
    const cut = (data: Uint8Array, width: number) => {
      const picture: Picture = { width, height: width, data };
      return [...toPatches(picture, [0, 0, 0], [1, 1, 1], patch).patches];
    };
    const small: number[] = [];
    const large: number[] = [];
    for (let picture = 0; picture < 2; picture++) {
      const means = Uint8Array.from({ length: inner * inner * 3 }, () => 100 + random.integer(50));
      const pixels = new Uint8Array(side * side * 3);
      for (let i = 0; i < pixels.length; i++) {
        const [y, x] = [Math.floor(i / 3 / side), Math.floor(i / 3) % side];
        const mean =
          means[(Math.floor(y / factor) * inner + Math.floor(x / factor)) * 3 + (i % 3)]!;
        // Nine values about each mean that cancel each other out.
        pixels[i] = mean + 20 * ((y % factor) - 1) + 5 * ((x % factor) - 1);
      }
      small.push(...cut(means, inner));
      large.push(...cut(pixels, side));
    }
    const shrunk = shrinkPatches(Float32Array.from(large), patch, side / patch, factor);
    expect(shrunk).toHaveLength(small.length);
    for (const [i, value] of shrunk.entries()) expect(value).toBeCloseTo(small[i]!, 4);
  });
});
