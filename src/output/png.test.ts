import fc from "fast-check";
import sharp from "sharp";
import { describe, expect, test } from "vitest";
import { InputError } from "../errors.js";
import { labelPalette, vocPalette } from "./palette.js";
import { decodeLabelPng, encodeLabelPng } from "./png.js";

const small = {
  width: 3,
  height: 2,
  map: new Uint8Array([0, 1, 1, 2, 2, 1]),
};

describe("encodeLabelPng", () => {
  test("gives these bytes, everywhere", () => {
    const bytes = encodeLabelPng(small, Uint8Array.from([0, 0, 0, 255, 0, 0, 0, 0, 255]));
    expect(Buffer.from(bytes).toString("hex")).toMatchInlineSnapshot(
      `"89504e470d0a1a0a0000000d4948445200000003000000020803000000aaaa962800000009504c5445000000ff00000000ff4aa5ad81000000154944415478da05c101010000004020fc1fad402907001e00080d5944af0000000049454e44ae426082"`,
    );
  });

  test("is read by sharp as the palette's colours", async () => {
    const palette = vocPalette();
    const map = new Uint8Array(64 * 40).map((_, i) => (i * 31) % 256);
    const png = encodeLabelPng({ width: 64, height: 40, map }, palette);
    const { data, info } = await sharp(png)
      .removeAlpha()
      .raw()
      .toBuffer({ resolveWithObject: true });
    expect([info.width, info.height, info.channels]).toEqual([64, 40, 3]);
    const expected = new Uint8Array(map.length * 3);
    map.forEach((value, i) => {
      expected.set(palette.subarray(value * 3, value * 3 + 3), i * 3);
    });
    expect(new Uint8Array(data)).toEqual(expected);
  });

  test("writes more than 256 values as 16-bit grey, which sharp reads", async () => {
    const map = new Uint16Array(50 * 20).map((_, i) => (i * 7) % 1000);
    const png = encodeLabelPng({ width: 50, height: 20, map }, labelPalette(1000, true));
    const data = await sharp(png).toColourspace("grey16").raw({ depth: "ushort" }).toBuffer();
    expect(new Uint16Array(data.buffer, data.byteOffset, data.length / 2)).toEqual(map);
    const back = await decodeLabelPng(png);
    expect(back.map).toEqual(map);
    expect(back.palette.length).toBe(0);
  });

  test("refuses a value without colour, and sizes that do not fit", () => {
    expect(() => encodeLabelPng(small, labelPalette(2, true))).toThrow(/value 2: only 2 values/);
    expect(() => encodeLabelPng({ ...small, width: 4 }, labelPalette(3, true))).toThrow(/needs 8/);
    expect(() => encodeLabelPng(small, new Uint8Array(4))).toThrow(/Palette of 4 bytes/);
  });
});

describe("decodeLabelPng", () => {
  test("gives back what was encoded", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 1, max: 700 }),
        fc.infiniteStream(fc.nat()),
        async (width, height, values, stream) => {
          const numbers = [...stream.take(width * height)].map((n) => n % values);
          const map = values > 256 ? Uint16Array.from(numbers) : Uint8Array.from(numbers);
          const palette = labelPalette(values, true);
          const back = await decodeLabelPng(encodeLabelPng({ width, height, map }, palette));
          expect(back).toEqual({
            width,
            height,
            map,
            palette: values > 256 ? new Uint8Array(0) : palette,
          });
        },
      ),
      { seed: 2, numRuns: 100 },
    );
  });

  test.each([2, 4, 16, 200])("reads sharp's indexed PNG of %i colours", async (colours) => {
    // A palette of greys in steps, so that the colours are found back exactly.
    const width = 37;
    const height = 21;
    const value = (i: number) => Math.floor((i % width) / 5 + i / 90) % colours;
    const rgb = new Uint8Array(width * height * 3).map((_, i) => {
      const v = value(Math.floor(i / 3));
      return [v, 255 - v, (v * 37) % 256][i % 3];
    });
    const raw = { width, height, channels: 3 as const };
    const png = await sharp(rgb, { raw }).png({ palette: true, colours, dither: 0 }).toBuffer();
    const { map, palette } = await decodeLabelPng(png);
    const shown = await sharp(png).removeAlpha().raw().toBuffer();
    const painted = new Uint8Array(map.length * 3);
    map.forEach((v, i) => {
      painted.set(palette.subarray(v * 3, v * 3 + 3), i * 3);
    });
    expect(painted).toEqual(new Uint8Array(shown));
    expect(new Set(map).size).toBeGreaterThan(1);
  });

  test("reads filtered grey rows of 8 and 16 bits", async () => {
    const width = 61;
    const height = 33;
    const eight = new Uint8Array(width * height).map((_, i) => (i * i) >> 5);
    const png8 = await sharp(eight, { raw: { width, height, channels: 1 } })
      .toColourspace("b-w")
      .png({ adaptiveFiltering: true })
      .toBuffer();
    expect((await decodeLabelPng(png8)).map).toEqual(eight);
    const sixteen = new Uint16Array(width * height).map((_, i) => i * 29);
    const png16 = await sharp(sixteen, { raw: { width, height, channels: 1 } })
      .toColourspace("grey16")
      .png({ adaptiveFiltering: true })
      .toBuffer();
    const back = await decodeLabelPng(png16);
    expect(back.map).toEqual(sixteen);
  });

  test("a damaged or cut file is refused, never read wrongly", async () => {
    const png = encodeLabelPng(small, labelPalette(3, true));
    const good = await decodeLabelPng(png);
    for (let at = 0; at < png.length; at++) {
      const damaged = png.slice();
      damaged[at] ^= 0x11;
      await expect(decodeLabelPng(damaged), `byte ${at}`).rejects.toThrow(InputError);
      await expect(decodeLabelPng(png.slice(0, at))).rejects.toThrow(InputError);
    }
    expect(good.map).toEqual(small.map);
  });

  test("random bytes after the signature are refused", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (tail) => {
        const bytes = Uint8Array.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, ...tail]);
        await expect(decodeLabelPng(bytes)).rejects.toThrow(InputError);
      }),
      { seed: 3, numRuns: 200 },
    );
  });

  test("a header that promises too much, or too little, is refused", async () => {
    const png = encodeLabelPng({ width: 4, height: 4, map: new Uint8Array(16) }, vocPalette());
    await expect(decodeLabelPng(withSize(png, 60000, 60000))).rejects.toThrow(/at most 134217728/);
    await expect(decodeLabelPng(withSize(png, 9000, 9000))).rejects.toThrow(/too short/);
    await expect(decodeLabelPng(withSize(png, 4, 3))).rejects.toThrow(/more than the 15 bytes/);
    await expect(decodeLabelPng(withSize(png, 4, 5))).rejects.toThrow(/20 bytes.*promises 25/);
    await expect(decodeLabelPng(withSize(png, 0, 4))).rejects.toThrow(/at least one pixel/);
    await expect(decodeLabelPng(withSize(png, 4, 4, { 12: 1 }))).rejects.toThrow(/interlaced/);
    await expect(decodeLabelPng(withSize(png, 4, 4, { 9: 2 }))).rejects.toThrow(/colour type 2/);
  });

  test("an index beyond the palette is refused", async () => {
    const png = encodeLabelPng(small, labelPalette(3, true));
    const at = 8 + 25; // the palette's chunk follows the header's
    const shorter = Uint8Array.from([
      ...png.slice(0, at),
      ...chunk("PLTE", [1, 2, 3]),
      ...png.slice(at + 21),
    ]);
    await expect(decodeLabelPng(shorter)).rejects.toThrow(/only 1 values have a label/);
  });

  test("reads bits smaller than a byte from the left", async () => {
    // Two rows of five 2-bit grey samples, 3 2 1 0 3 and 0 1 2 3 0, stored without compression.
    const rows = [0, 0b11100100, 0b11000000, 0, 0b00011011, 0];
    const { deflateSync } = await import("node:zlib");
    const png = Uint8Array.from([
      0x89,
      0x50,
      0x4e,
      0x47,
      0x0d,
      0x0a,
      0x1a,
      0x0a,
      ...chunk("IHDR", [0, 0, 0, 5, 0, 0, 0, 2, 2, 0, 0, 0, 0]),
      ...chunk("IDAT", [...deflateSync(Uint8Array.from(rows))]),
      ...chunk("IEND", []),
    ]);
    expect([...(await decodeLabelPng(png)).map]).toEqual([3, 2, 1, 0, 3, 0, 1, 2, 3, 0]);
  });
});

/** A chunk, with a checksum worked bit by bit rather than by the code under test. */
function chunk(type: string, data: readonly number[]): number[] {
  const body = [...Buffer.from(type), ...data];
  let crc = 0xffffffff;
  for (const byte of body) {
    crc ^= byte;
    for (let k = 0; k < 8; k++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  const out = Buffer.alloc(8 + body.length);
  out.writeUInt32BE(data.length, 0);
  out.set(body, 4);
  out.writeUInt32BE(~crc >>> 0, 4 + body.length);
  return [...out];
}

/** The file with another size in its header (and bytes of the header changed by position). */
function withSize(png: Uint8Array, width: number, height: number, change = {}): Uint8Array {
  const data = Buffer.from(png.slice(16, 29));
  data.writeUInt32BE(width, 0);
  data.writeUInt32BE(height, 4);
  Object.assign(data, change);
  return Uint8Array.from([...png.slice(0, 8), ...chunk("IHDR", [...data]), ...png.slice(33)]);
}
