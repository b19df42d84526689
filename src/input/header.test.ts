// Sizes read from headers against sharp's own reading of pictures made here.

import fc from "fast-check";
import sharp, { type Sharp } from "sharp";
import { describe, expect, it } from "vitest";
import { headerSize, type PictureFormat, pictureFormat } from "./header.js";

const encoders: [string, PictureFormat, (image: Sharp) => Sharp][] = [
  ["baseline JPEG", "JPEG", (image) => image.jpeg()],
  ["progressive JPEG", "JPEG", (image) => image.jpeg({ progressive: true })],
  [
    "JPEG with EXIF and profile",
    "JPEG",
    (i) => i.withIccProfile("p3").withMetadata({ orientation: 6 }),
  ],
  ["PNG", "PNG", (image) => image.png()],
  ["GIF", "GIF", (image) => image.gif()],
  ["lossy WebP", "WebP", (image) => image.webp()],
  ["lossless WebP", "WebP", (image) => image.webp({ lossless: true })],
  ["extended WebP", "WebP", (image) => image.webp().withMetadata({ orientation: 3 })],
  ["AVIF", "AVIF", (image) => image.avif({ effort: 0 })],
];

describe("headerSize", () => {
  it.each(encoders)("reads a %s", async (_, format, encode) => {
    for (const [width, height] of [
      [1, 1],
      [17, 300],
      [1025, 66],
    ] as const) {
      const create = { width, height, channels: 3 as const, background: "teal" };
      const bytes = await encode(sharp({ create }).jpeg()).toBuffer();
      expect(pictureFormat("test", bytes)).toBe(format);
      expect(headerSize(bytes, format)).toEqual({ width, height });
    }
  });

  it("skips stray and fill bytes between JPEG segments", async () => {
    const create = { width: 31, height: 7, channels: 3 as const, background: "teal" };
    const jpeg = await sharp({ create }).jpeg().toBuffer();
    const stray = [...jpeg.subarray(0, 2), 0, 0, 0xff, 0xff, ...jpeg.subarray(2)];
    expect(headerSize(Uint8Array.from(stray), "JPEG")).toEqual({ width: 31, height: 7 });
  });

  it.each(encoders)("ends on every cut and every mutation of a %s", async (_, format, encode) => {
    const create = { width: 40, height: 30, channels: 3 as const, background: "teal" };
    const sample = await encode(sharp({ create }).jpeg()).toBuffer();
    for (let length = 0; length < Math.min(sample.length, 600); length++) {
      const size = headerSize(sample.subarray(0, length), format);
      expect([undefined, { width: 40, height: 30 }]).toContainEqual(size);
    }
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(sample.length - 1), fc.nat(255)), { maxLength: 10 }),
        (changes) => {
          const bytes = Uint8Array.from(sample);
          for (const [at, value] of changes) bytes[at] = value;
          const size = headerSize(bytes, format);
          if (size)
            expect(Number.isInteger(size.width) && Number.isInteger(size.height)).toBe(true);
        },
      ),
      { seed: 5, numRuns: 300 },
    );
  });
});
