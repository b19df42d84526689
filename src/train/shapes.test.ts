import { expect, it } from "vitest";
import { SHAPE_NAMES, shapesAt } from "./shapes.js";

const same = (a: Uint8Array, b: Uint8Array) => Buffer.compare(a, b) === 0;

it("every picture is made from its seed and number alone, and its caption names what its mask holds", () => {
  const seen = new Set<string>();
  for (let index = 0; index < 200; index++) {
    const options = { seed: 1, size: 48, most: 3 };
    const { picture, caption, nouns, mask } = shapesAt(index, options);
    expect(same(shapesAt(index, options).picture.data, picture.data)).toBe(true);
    const values = [...new Set(mask)].filter((value) => value > 0);
    expect(new Set(values.map((value) => SHAPE_NAMES[value - 1]))).toEqual(new Set(nouns));
    for (const noun of nouns) expect(caption).toContain(` ${noun}`);
    expect(caption).toMatch(/^an? \w+ \w+( and an? \w+ \w+){0,2} on a \w+ background$/);
    for (const noun of nouns) seen.add(noun);
  }
  expect(seen).toEqual(new Set(SHAPE_NAMES));
  const [one, other] = [1, 2].map((seed) => shapesAt(0, { seed, size: 48, most: 3 }).picture.data);
  expect(same(one!, other!)).toBe(false);
});
