import { expect, test } from "vitest";
import { InputError } from "../errors.js";
import { blendOverlay, paintOutlines } from "./blend.js";

const picture = { width: 2, height: 1, data: Uint8Array.from([10, 100, 255, 0, 0, 0]) };
const palette = Uint8Array.from([200, 0, 0, 0, 101, 255]);

test("half opacity is the rounded mean of picture and colour", () => {
  const blended = blendOverlay(picture, Uint8Array.from([0, 1]), palette, 0.5);
  // (10 + 200) / 2, (100 + 0) / 2, (255 + 0) / 2 rounded up; then 0, 101 / 2 rounded up, 255 / 2.
  expect([...blended]).toEqual([105, 50, 128, 0, 51, 128]);
});

test("opacity 0 is the picture, 1 the colours, a quarter is a quarter", () => {
  const map = Uint16Array.from([0, 1]);
  expect(blendOverlay(picture, map, palette, 0)).toEqual(picture.data);
  expect(blendOverlay(picture, map, palette, 1)).toEqual(palette);
  // 10 * 3/4 + 200 / 4 = 57.5; 75; 191.25; 0; 25.25; 63.75
  expect([...blendOverlay(picture, map, palette, 0.25)]).toEqual([58, 75, 191, 0, 25, 64]);
});

test("outlines take the colour of the pixel's own value, in place", () => {
  const rgb = new Uint8Array(6);
  const map = Uint8Array.from([1, 0]);
  paintOutlines(rgb, Uint8Array.from([1, 0]), { width: 2, height: 1, map }, palette);
  expect([...rgb]).toEqual([0, 101, 255, 0, 0, 0]);
});

test("what does not fit is refused", () => {
  const map = Uint8Array.from([0, 1]);
  expect(() => blendOverlay(picture, map, palette, 1.1)).toThrow(/Opacity 1.1/);
  expect(() => blendOverlay(picture, map, palette, Number.NaN)).toThrow(InputError);
  expect(() => blendOverlay(picture, map.subarray(1), palette, 0.5)).toThrow(/needs 2/);
  expect(() => blendOverlay(picture, Uint8Array.from([0, 2]), palette, 0.5)).toThrow(/value 2/);
  expect(() => blendOverlay({ ...picture, width: 3 }, map, palette, 0.5)).toThrow(/needs 9/);
});
