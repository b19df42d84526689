// Normalising against the fixtures, and patches against their definition.

import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readSafetensors } from "../checkpoint/safetensors.js";
import { InputError, PictureError } from "../errors.js";
import { Random } from "../random.js";
import {
  CLIP_MEAN,
  CLIP_STD,
  IMAGENET_MEAN,
  IMAGENET_STD,
  normalize,
  patchesFromPixels,
  toPatches,
} from "./normalize.js";
import type { Picture } from "./picture.js";

function noise(width: number, height: number, seed = 1): Picture {
  const random = new Random(seed);
  const data = Uint8Array.from({ length: width * height * 3 }, () => random.integer(256));
  return { width, height, data };
}

describe("normalize", () => {
  const folder = new URL("../../test/fixtures/resize/", import.meta.url);
  const expected = readSafetensors(
    gunzipSync(readFileSync(new URL("expected.safetensors.gz", folder))),
  ).tensors;
  const report = JSON.parse(readFileSync(new URL("report.json", folder), "utf8"));
  const cases: { key: string; kind: string; of: string; mean: number[]; std: number[] }[] =
    report.cases.filter((c: { kind: string }) => c.kind === "normalize");

  it.each(cases)("$key equals float64 arithmetic rounded to float32", ({ key, of, mean, std }) => {
    const source = expected.get(of)!;
    const [height, width] = source.shape as [number, number];
    const pixels = normalize({ width, height, data: source.bytes }, mean, std);
    const { bytes, shape } = expected.get(key)!;
    const values = new Float32Array(new Uint8Array(bytes).buffer);
    let wrong = 0;
    let i = 0;
    for (let c = 0; c < 3; c++) {
      for (let y = 0; y < height; y += 8) {
        for (let x = 0; x < width; x += 8) {
          if (pixels[(c * height + y) * width + x] !== values[i++]) wrong++;
        }
      }
    }
    expect(i).toBe(shape.reduce((a, b) => a * b));
    expect(wrong).toBe(0);
  });

  it("has the fixtures' constants", () => {
    expect(cases.map(({ mean, std }) => [mean, std])).toEqual([
      [CLIP_MEAN, CLIP_STD],
      [IMAGENET_MEAN, IMAGENET_STD],
    ]);
  });

  it("refuses statistics and pictures that are none", () => {
    const picture = noise(2, 2);
    expect(() => normalize(picture, [0, 0], [1, 1, 1])).toThrow(InputError);
    expect(() => normalize(picture, [0, 0, 0], [1, 0, 1])).toThrow(/std/);
    expect(() => normalize(picture, [0, Number.NaN, 0], [1, 1, 1])).toThrow(InputError);
    expect(() => normalize({ ...picture, height: 3 }, [0, 0, 0], [1, 1, 1])).toThrow(PictureError);
  });
});

describe("toPatches", () => {
  it("orders patches by row and column, values by row, column, channel", () => {
    // 5 x 3 pixels, patch 2: the last column and the last row are dropped.
    const picture = { width: 5, height: 3, data: Uint8Array.from({ length: 45 }, (_, i) => i) };
    const { patches, rows, columns } = toPatches(picture, [0, 0, 0], [1, 1, 1], 2);
    expect([rows, columns]).toEqual([1, 2]);
    const bytes = [...patches].map((value) => Math.round(value * 255));
    expect(bytes).toEqual([
      ...[0, 1, 2, 3, 4, 5, 15, 16, 17, 18, 19, 20],
      ...[6, 7, 8, 9, 10, 11, 21, 22, 23, 24, 25, 26],
    ]);
  });

  it("equals normalising first and cutting the pixel tensor", () => {
    const side = fc.integer({ min: 1, max: 40 });
    fc.assert(
      fc.property(side, side, fc.integer({ min: 1, max: 9 }), (width, height, patch) => {
        fc.pre(width >= patch && height >= patch);
        const picture = noise(width, height, width * 41 + height);
        const direct = toPatches(picture, IMAGENET_MEAN, IMAGENET_STD, patch);
        const pixels = normalize(picture, IMAGENET_MEAN, IMAGENET_STD);
        expect(patchesFromPixels(pixels, [1, 3, height, width], patch)).toEqual(direct);
      }),
      { seed: 3, numRuns: 100 },
    );
  });

  it("refuses a picture smaller than a patch, and patches that are none", () => {
    expect(() => toPatches(noise(15, 40), IMAGENET_MEAN, IMAGENET_STD, 16)).toThrow(
      "picture: 15 x 40 is smaller than one patch of 16 x 16",
    );
    expect(() => toPatches(noise(4, 4), IMAGENET_MEAN, IMAGENET_STD, 0)).toThrow(InputError);
    expect(() => toPatches(noise(4, 4), IMAGENET_MEAN, IMAGENET_STD, 1.5)).toThrow(InputError);
  });
});

describe("patchesFromPixels", () => {
  it("keeps the pictures of a batch and any number of channels apart", () => {
    // [batch 2, channels 2, height 2, width 2], patch 1: every pixel is a patch of its channels.
    const pixels = Float32Array.from({ length: 16 }, (_, i) => i);
    const { patches, rows, columns } = patchesFromPixels(pixels, [2, 2, 2, 2], 1);
    expect([rows, columns]).toEqual([2, 2]);
    expect([...patches]).toEqual([0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15]);
  });

  it("refuses shapes that do not fit", () => {
    const pixels = new Float32Array(12);
    expect(() => patchesFromPixels(pixels, [1, 3, 2, 3], 1)).toThrow(InputError);
    expect(() => patchesFromPixels(pixels, [-1, -3, 2, 2], 1)).toThrow(InputError);
    expect(() => patchesFromPixels(pixels, [1, 3, 2, 2], 3)).toThrow(PictureError);
  });
});
