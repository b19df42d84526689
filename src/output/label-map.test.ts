import { expect, test } from "vitest";
import { countValues, resizeMap, valueCount, valueName } from "./label-map.js";

const labels = ["cat", "dog"];

test("values and their names, with and without background", () => {
  expect(valueCount({ labels, background: true })).toBe(3);
  expect([0, 1, 2].map((v) => valueName({ labels, background: true }, v))).toEqual([
    "background",
    "cat",
    "dog",
  ]);
  expect(valueCount({ labels, background: false })).toBe(2);
  expect(valueName({ labels, background: false }, 0)).toBe("cat");
});

test("counting values checks the map", () => {
  const map = Uint16Array.from([0, 300, 300, 1]);
  expect(countValues({ width: 2, height: 2, map }, 301)[300]).toBe(2);
  expect(() => countValues({ width: 2, height: 2, map }, 300)).toThrow(/value 300.*0 to 299/);
  expect(() => countValues({ width: 3, height: 2, map }, 301)).toThrow(/needs 6/);
  expect(() => countValues({ width: -2, height: -2, map }, 301)).toThrow(/size -2 x -2/);
});

test("resizing takes the value at each new pixel's centre", () => {
  const map = Uint8Array.from([1, 2, 3, 4]);
  expect([...resizeMap({ width: 2, height: 2, map }, 4, 2).map]).toEqual([1, 1, 2, 2, 3, 3, 4, 4]);
  expect([...resizeMap({ width: 4, height: 1, map }, 2, 1).map]).toEqual([2, 4]);
  expect([...resizeMap({ width: 4, height: 1, map }, 1, 1).map]).toEqual([3]);
});
