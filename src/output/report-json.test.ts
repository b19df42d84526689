import { expect, test } from "vitest";
import { reportPicture } from "./report-json.js";
import { decodeRle, decompressRle } from "./rle.js";

const result = {
  width: 3,
  height: 2,
  labels: ["cat", "dog", "sky"],
  background: true,
  map: Uint8Array.from([0, 3, 3, 0, 3, 1]),
};

test("every label, largest first, with pixels, scores and masks", () => {
  const report = reportPicture(
    "a b.jpg",
    result,
    Float32Array.from([0.1, 0.7, 0.9]),
    "out/a b.png",
  );
  expect(JSON.parse(JSON.stringify(report))).toEqual({
    file: "a b.jpg",
    width: 3,
    height: 2,
    labels: [
      // The columns are 0 0, 3 3, 3 1.
      { label: "sky", score: 0.9, area: 3, rle: { size: [2, 3], counts: "231" } },
      { label: "cat", score: 0.1, area: 1, rle: { size: [2, 3], counts: "51" } },
      { label: "dog", score: 0.7, area: 0, rle: { size: [2, 3], counts: "6" } },
    ],
    mask: "out/a b.png",
  });
  const sky = decodeRle(decompressRle(report.labels[0].rle));
  expect([...sky]).toEqual([0, 1, 1, 0, 1, 0]);
});

test("without background, value 0 is the first label", () => {
  const plain = { ...result, background: false, labels: ["cat", "dog", "sky", "sea"] };
  const report = reportPicture("x", plain, [0, 0, 0, 0], null);
  expect(report.labels.map(({ label, area }) => [label, area])).toEqual([
    ["sea", 3],
    ["cat", 2],
    ["dog", 1],
    ["sky", 0],
  ]);
  expect(report.mask).toBeNull();
});

test("scores and labels must pair up", () => {
  expect(() => reportPicture("x", result, [1], null)).toThrow(/1 for 3 labels/);
});
