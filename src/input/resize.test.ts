// Resizing against the bytes that Pillow 9.4 and OpenCV 4.6 produced (test/fixtures/resize and seg).

import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readSafetensors } from "../checkpoint/safetensors.js";
import { InputError, PictureError } from "../errors.js";
import { Random } from "../random.js";
import type { Picture } from "./picture.js";
import {
  type PilFilter,
  resizeOpenCv,
  resizePil,
  shortestEdgeCenterCrop,
  shortSide,
} from "./resize.js";

const fixtures = new URL("../../test/fixtures/", import.meta.url);

function json(path: string) {
  return JSON.parse(readFileSync(new URL(path, fixtures), "utf8"));
}

function tensors(path: string) {
  return readSafetensors(gunzipSync(readFileSync(new URL(path, fixtures)))).tensors;
}

function fixturePicture(map: ReturnType<typeof tensors>, name: string): Picture {
  const { shape, bytes } = map.get(name)!;
  return { height: shape[0]!, width: shape[1]!, data: bytes };
}

function differingBytes(actual: Picture, expected: Picture): number {
  expect([actual.height, actual.width]).toEqual([expected.height, expected.width]);
  expect(actual.data.length).toBe(expected.data.length);
  let count = 0;
  for (let i = 0; i < expected.data.length; i++) {
    if (actual.data[i] !== expected.data[i]) count++;
  }
  return count;
}

function noise(width: number, height: number, seed = 1): Picture {
  const random = new Random(seed);
  const data = Uint8Array.from({ length: width * height * 3 }, () => random.integer(256));
  return { width, height, data };
}

function constant(width: number, height: number, value: number): Picture {
  return { width, height, data: new Uint8Array(width * height * 3).fill(value) };
}

interface Case {
  key: string;
  kind: "pil_resize" | "cv2_resize" | "shortest_edge_center_crop" | "normalize";
  filter: string;
  input: string;
  width: number;
  height: number;
  shortest_edge: number;
  crop: number;
}

describe("resize fixtures", () => {
  const inputs = tensors("resize/inputs.safetensors.gz");
  const expected = tensors("resize/expected.safetensors.gz");
  const cases: Case[] = json("resize/report.json").cases;

  it.each(cases.filter(({ kind }) => kind === "pil_resize"))("$key equals PIL", (c) => {
    const actual = resizePil(
      fixturePicture(inputs, c.input),
      c.width,
      c.height,
      c.filter as PilFilter,
    );
    expect(differingBytes(actual, fixturePicture(expected, c.key))).toBe(0);
  });

  it.each(cases.filter(({ kind }) => kind === "cv2_resize"))("$key equals OpenCV", (c) => {
    const actual = resizeOpenCv(fixturePicture(inputs, c.input), c.width, c.height);
    expect(differingBytes(actual, fixturePicture(expected, c.key))).toBe(0);
  });

  it.each(cases.filter(({ kind }) => kind === "shortest_edge_center_crop"))(
    "$key equals the CLIP image processor",
    (c) => {
      const actual = shortestEdgeCenterCrop(
        fixturePicture(inputs, c.input),
        c.shortest_edge,
        c.crop,
        c.filter as PilFilter,
      );
      expect(differingBytes(actual, fixturePicture(expected, c.key))).toBe(0);
    },
  );

  it("covers every kind of case", () => {
    const count = (kind: string) => cases.filter((c) => c.kind === kind).length;
    expect(["pil_resize", "cv2_resize", "shortest_edge_center_crop"].map(count)).toEqual([
      46, 23, 8,
    ]);
  });
});

describe("segmentation fixtures", () => {
  const images = tensors("seg/images.safetensors.gz");
  const sizes: Record<string, { original: number[]; resized: number[] }> =
    json("seg/report.json").resize;

  it.each(Object.entries(sizes))("%s has the authors' size and bytes", (name, size) => {
    const { width, height } = shortSide(size.original[1]!, size.original[0]!);
    expect([height, width]).toEqual(size.resized.slice(0, 2));
    const resized = fixturePicture(images, `${name}.resized_rgb`);
    // The square is stored once: its size does not change.
    const original = images.has(`${name}.original_rgb`)
      ? fixturePicture(images, `${name}.original_rgb`)
      : resized;
    expect(differingBytes(resizeOpenCv(original, width, height), resized)).toBe(0);
  });
});

describe("shortSide", () => {
  it("lets the cap on the longer side win", () => {
    expect(shortSide(4000, 500)).toEqual({ width: 2048, height: 256 });
    expect(shortSide(500, 4000)).toEqual({ width: 256, height: 2048 });
    expect(shortSide(4000, 500, 448, 4096)).toEqual({ width: 3584, height: 448 });
  });

  it("never makes a side vanish", () => {
    expect(shortSide(100_000, 1)).toEqual({ width: 2048, height: 1 });
  });

  it("refuses sizes that are none", () => {
    expect(() => shortSide(0, 5)).toThrow(PictureError);
    expect(() => shortSide(5, Number.NaN)).toThrow(PictureError);
    expect(() => shortSide(5, 5, 0)).toThrow(InputError);
  });
});

describe("resizing extremes", () => {
  const resizers: [string, (p: Picture, w: number, h: number) => Picture][] = [
    ["bicubic", (p, w, h) => resizePil(p, w, h, "bicubic")],
    ["bilinear", (p, w, h) => resizePil(p, w, h, "bilinear")],
    ["OpenCV", resizeOpenCv],
  ];

  it.each(resizers)("%s keeps one colour, whatever the sizes", (_, resize) => {
    const side = fc.oneof(fc.constant(1), fc.constant(2), fc.integer({ min: 1, max: 70 }));
    fc.assert(
      fc.property(
        side,
        side,
        side,
        side,
        fc.integer({ min: 0, max: 255 }),
        (w0, h0, w1, h1, value) => {
          const resized = resize(constant(w0, h0, value), w1, h1);
          expect(differingBytes(resized, constant(w1, h1, value))).toBe(0);
        },
      ),
      { seed: 7, numRuns: 200 },
    );
  });

  it.each(resizers)("%s grows one pixel to 100 x 100 and a strip 100-fold", (_, resize) => {
    const pixel: Picture = { width: 1, height: 1, data: Uint8Array.of(9, 130, 255) };
    const grown = resize(pixel, 100, 100);
    expect(grown.data.length).toBe(30_000);
    for (let i = 0; i < grown.data.length; i += 3) {
      expect([...grown.data.subarray(i, i + 3)]).toEqual([9, 130, 255]);
    }
    const strip = resize(noise(1, 40), 3, 4000);
    expect([strip.width, strip.height]).toEqual([3, 4000]);
  });

  it.each(resizers)("%s gives a copy when the size does not change", (_, resize) => {
    const { data } = noise(5, 4);
    const picture = { width: 5, height: 4, data: Buffer.from(data) }; // whose slice() would be a view
    const same = resize(picture, 5, 4);
    expect([...same.data]).toEqual([...data]);
    expect(same.data.buffer).not.toBe(picture.data.buffer);
  });

  it.each(resizers)("%s leaves its input alone and refuses impossible sizes", (_, resize) => {
    const picture = noise(6, 6);
    const before = picture.data.slice();
    resize(picture, 3, 3);
    expect(picture.data).toEqual(before);
    for (const [w, h] of [
      [0, 5],
      [5, -1],
      [2.5, 5],
      [Number.NaN, 5],
      [60_000, 60_000],
      [2_000_000, 1],
    ] as const) {
      expect(() => resize(picture, w, h)).toThrow(PictureError);
    }
    expect(() => resize({ ...picture, width: 7 }, 3, 3)).toThrow(/need 126 bytes, not 108/);
  });
});

describe("shortestEdgeCenterCrop", () => {
  it("equals resizing everything and cutting the middle out", () => {
    const side = fc.integer({ min: 1, max: 60 });
    fc.assert(
      fc.property(side, side, fc.integer({ min: 1, max: 40 }), fc.nat(39), (w, h, edge, less) => {
        const crop = Math.max(1, edge - less);
        const picture = noise(w, h, w * 100 + h);
        const short = Math.min(w, h);
        const width = Math.floor((edge * w) / short);
        const height = Math.floor((edge * h) / short);
        const whole = resizePil(picture, width, height, "bicubic");
        const left = Math.floor((width - crop) / 2);
        const top = Math.floor((height - crop) / 2);
        const data = new Uint8Array(crop * crop * 3);
        for (let y = 0; y < crop; y++) {
          const start = ((top + y) * width + left) * 3;
          data.set(whole.data.subarray(start, start + crop * 3), y * crop * 3);
        }
        const cut = shortestEdgeCenterCrop(picture, edge, crop, "bicubic");
        expect(differingBytes(cut, { width: crop, height: crop, data })).toBe(0);
      }),
      { seed: 11, numRuns: 100 },
    );
  });

  it("computes only the cut of a picture that would grow to gigabytes", () => {
    const strip = constant(1, 200_000, 77);
    const cut = shortestEdgeCenterCrop(strip, 224, 224, "bicubic");
    expect(differingBytes(cut, constant(224, 224, 77))).toBe(0);
  });

  it("refuses a crop larger than the shortest edge", () => {
    expect(() => shortestEdgeCenterCrop(noise(4, 4), 200, 224, "bicubic")).toThrow(InputError);
  });
});
