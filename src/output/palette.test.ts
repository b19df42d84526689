import { expect, test } from "vitest";
import { InputError } from "../errors.js";
import { labelPalette, prefersBlackText, vocPalette } from "./palette.js";

const colour = (palette: Uint8Array, value: number) => [
  ...palette.subarray(value * 3, value * 3 + 3),
];

test("the VOC palette has the published colours", () => {
  const palette = vocPalette();
  expect(palette.length).toBe(768);
  expect(colour(palette, 0)).toEqual([0, 0, 0]);
  expect(colour(palette, 1)).toEqual([128, 0, 0]); // aeroplane
  expect(colour(palette, 8)).toEqual([64, 0, 0]); // cat
  expect(colour(palette, 15)).toEqual([192, 128, 128]); // person
  expect(colour(palette, 20)).toEqual([0, 64, 128]); // tv monitor
  expect(colour(palette, 255)).toEqual([224, 224, 192]); // void
});

test("a label keeps its colour, whatever comes after it and whether or not there is a background", () => {
  const few = labelPalette(5, false);
  const many = labelPalette(300, true);
  expect([...many.subarray(3, 18)]).toEqual([...few]);
  expect(colour(many, 0)).toEqual([64, 64, 64]);
  expect(colour(few, 0)).toEqual([0x2f, 0x7e, 0xd8]);
  expect(labelPalette(0, true).length).toBe(0);
});

test("24 labels differ by 0.11 in OKLab, 64 by 0.08, and 255 are all different", () => {
  expect(smallestDistance(labelPalette(24, false))).toBeGreaterThan(0.11);
  expect(smallestDistance(labelPalette(64, false))).toBeGreaterThan(0.08);
  expect(smallestDistance(labelPalette(256, true))).toBeGreaterThan(0);
});

test("text is black on light colours and white on dark ones", () => {
  expect(prefersBlackText(242, 207, 58)).toBe(true);
  expect(prefersBlackText(252, 204, 156)).toBe(true);
  expect(prefersBlackText(36, 36, 180)).toBe(false);
  expect(prefersBlackText(64, 64, 64)).toBe(false);
});

test("an impossible count is refused", () => {
  expect(() => labelPalette(-1, true)).toThrow(InputError);
  expect(() => labelPalette(65537, true)).toThrow(InputError);
});

function smallestDistance(palette: Uint8Array): number {
  const labs = Array.from({ length: palette.length / 3 }, (_, i) =>
    oklab(palette.subarray(i * 3, i * 3 + 3)),
  );
  let smallest = Number.POSITIVE_INFINITY;
  for (let i = 0; i < labs.length; i++) {
    for (let j = 0; j < i; j++) {
      smallest = Math.min(smallest, Math.hypot(...labs[i].map((v, k) => v - labs[j][k])));
    }
  }
  return smallest;
}

function oklab(rgb: Uint8Array): number[] {
  const [r, g, b] = [...rgb].map((byte) => {
    const c = byte / 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  });
  const l = Math.cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b);
  const m = Math.cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b);
  const s = Math.cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b);
  return [
    0.2104542553 * l + 0.793617785 * m - 0.0040720468 * s,
    1.9779984951 * l - 2.428592205 * m + 0.4505937099 * s,
    0.0259040371 * l + 0.7827717662 * m - 0.808675766 * s,
  ];
}
