// Label maps for tests: single pixels at random, and rectangles over one another.

import fc from "fast-check";
import type { ValueMap } from "../output/label-map.js";

const side = fc.integer({ min: 1, max: 14 });

export const noiseMaps: fc.Arbitrary<ValueMap> = fc
  .tuple(side, side, fc.integer({ min: 1, max: 3 }))
  .chain(([width, height, values]) =>
    fc
      .array(fc.nat({ max: values }), { minLength: width * height, maxLength: width * height })
      .map((pixels) => ({ width, height, map: Uint8Array.from(pixels) })),
  );

export const blockMaps: fc.Arbitrary<ValueMap> = fc
  .record({
    width: fc.integer({ min: 1, max: 40 }),
    height: fc.integer({ min: 1, max: 40 }),
    blocks: fc.array(
      fc.record({
        x: fc.nat({ max: 39 }),
        y: fc.nat({ max: 39 }),
        width: fc.integer({ min: 1, max: 25 }),
        height: fc.integer({ min: 1, max: 25 }),
        /** How far the right end moves a row: slanted edges. */
        slope: fc.constantFrom(0, 0, 0.3, 1, -0.7),
        value: fc.nat({ max: 3 }),
      }),
      { maxLength: 12 },
    ),
  })
  .map(({ width, height, blocks }) => {
    const map = new Uint8Array(width * height);
    for (const block of blocks) {
      for (let y = block.y; y < Math.min(height, block.y + block.height); y++) {
        const end = block.x + block.width + Math.round(block.slope * (y - block.y));
        for (let x = block.x; x < Math.min(width, end); x++) map[y * width + x] = block.value;
      }
    }
    return { width, height, map };
  });
