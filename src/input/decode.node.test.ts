// Decoding in Node: every format and colour type from pictures made here, every way to hand one over, and
// what strangers may send instead of a picture.

import { mkdtempSync, openAsBlob, rmSync, writeFileSync } from "node:fs";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pathToFileURL } from "node:url";
import fc from "fast-check";
import sharp from "sharp";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { InputError, PictureError } from "../errors.js";
import { Random } from "../random.js";
import { decodePicture } from "./decode.node.js";
import type { Picture } from "./picture.js";

function noise(width: number, height: number, seed = 1): Picture {
  const random = new Random(seed);
  const data = Uint8Array.from({ length: width * height * 3 }, () => random.integer(256));
  return { width, height, data };
}

function encoder({ width, height, data }: Picture) {
  return sharp(data, { raw: { width, height, channels: 3 } });
}

/** Two flat halves, left and right, which survive every lossy coder. */
function halves(left: number[], right: number[]): Picture {
  const data = new Uint8Array(64 * 32 * 3);
  for (let i = 0; i < 64 * 32; i++) data.set(i % 64 < 32 ? left : right, i * 3);
  return { width: 64, height: 32, data };
}

function pixel({ width, data }: Picture, x: number, y: number): number[] {
  return [...data.subarray((y * width + x) * 3, (y * width + x) * 3 + 3)];
}

function expectNear(actual: number[], expected: number[], tolerance: number): void {
  const distance = Math.max(...expected.map((value, i) => Math.abs(value - actual[i]!)));
  expect(distance, `${actual} against ${expected}`).toBeLessThanOrEqual(tolerance);
}

/** The message of the PictureError that decoding must end in. */
async function refusal(...call: Parameters<typeof decodePicture>): Promise<string> {
  const error = await decodePicture(...call).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(PictureError);
  return (error as PictureError).message;
}

describe("formats", () => {
  const picture = noise(37, 23);

  it.each([
    ["PNG", () => encoder(picture).png()],
    ["lossless WebP", () => encoder(picture).webp({ lossless: true })],
    ["TIFF, LZW", () => encoder(picture).tiff({ compression: "lzw" })],
    ["TIFF, deflate, tiled", () => encoder(picture).tiff({ compression: "deflate", tile: true })],
    ["PNG, interlaced", () => encoder(picture).png({ progressive: true })],
  ])("%s gives the bytes that went in", async (_, encode) => {
    const decoded = await decodePicture(await encode().toBuffer());
    expect([decoded.width, decoded.height]).toEqual([37, 23]);
    expect(Buffer.compare(decoded.data, picture.data)).toBe(0);
    expect(decoded.data.constructor).toBe(Uint8Array);
  });

  it.each([
    ["JPEG", () => encoder(halves([200, 40, 30], [20, 90, 220])).jpeg()],
    [
      "progressive JPEG",
      () => encoder(halves([200, 40, 30], [20, 90, 220])).jpeg({ progressive: true }),
    ],
    ["AVIF", () => encoder(halves([200, 40, 30], [20, 90, 220])).avif()],
    ["lossy WebP", () => encoder(halves([200, 40, 30], [20, 90, 220])).webp()],
    ["GIF", () => encoder(halves([200, 40, 30], [20, 90, 220])).gif()],
    ["palette PNG", () => encoder(halves([200, 40, 30], [20, 90, 220])).png({ palette: true })],
  ])("%s shows what went in", async (_, encode) => {
    const decoded = await decodePicture(await encode().toBuffer());
    expect([decoded.width, decoded.height]).toEqual([64, 32]);
    expectNear(pixel(decoded, 5, 5), [200, 40, 30], 8);
    expectNear(pixel(decoded, 60, 25), [20, 90, 220], 8);
  });

  it.each(["gif", "webp"] as const)("an animated %s gives its first frame", async (format) => {
    const frames = [halves([250, 0, 0], [250, 0, 0]), halves([0, 0, 250], [0, 0, 250])];
    const data = Buffer.concat(frames.map((frame) => frame.data));
    const animated = await sharp(data, {
      raw: { width: 64, height: 64, channels: 3, pageHeight: 32 },
    })
      [format]()
      .toBuffer();
    expect((await sharp(animated).metadata()).pages).toBe(2);
    const decoded = await decodePicture(animated);
    expect([decoded.width, decoded.height]).toEqual([64, 32]);
    expectNear(pixel(decoded, 30, 15), [250, 0, 0], 8);
  });
});

describe("EXIF orientation", () => {
  // Six flat blocks of 16 x 16 in two rows and three columns, lossless.
  const colours = [
    [
      [250, 0, 0],
      [0, 250, 0],
      [0, 0, 250],
    ],
    [
      [250, 250, 0],
      [0, 250, 250],
      [250, 0, 250],
    ],
  ] as const;
  const stored: Picture = { width: 48, height: 32, data: new Uint8Array(48 * 32 * 3) };
  for (let y = 0; y < 32; y++) {
    for (let x = 0; x < 48; x++) {
      stored.data.set(colours[y >> 4]![x >> 4]!, (y * 48 + x) * 3);
    }
  }
  // The stored row and column that belong at row r and column c of the upright picture.
  const origin: Record<number, (r: number, c: number) => [number, number]> = {
    1: (r, c) => [r, c],
    2: (r, c) => [r, 2 - c],
    3: (r, c) => [1 - r, 2 - c],
    4: (r, c) => [1 - r, c],
    5: (r, c) => [c, r],
    6: (r, c) => [1 - c, r],
    7: (r, c) => [1 - c, 2 - r],
    8: (r, c) => [c, 2 - r],
  };
  const cases = Object.keys(origin).flatMap((key) =>
    (["jpeg", "png", "webp", "tiff"] as const).map((format) => [Number(key), format] as const),
  );

  it.each(cases)("%i turns a %s upright", async (orientation, format) => {
    const options = {
      quality: 100,
      lossless: true,
      chromaSubsampling: "4:4:4",
      compression: "lzw",
    };
    const encoded = await encoder(stored)
      .toFormat(format, options as object)
      .withMetadata({ orientation })
      .toBuffer();
    const upright = await decodePicture(encoded);
    const [columns, rows] = orientation < 5 ? [3, 2] : [2, 3];
    expect([upright.width, upright.height]).toEqual([columns * 16, rows * 16]);
    for (let r = 0; r < rows; r++) {
      for (let c = 0; c < columns; c++) {
        const [row, column] = origin[orientation]!(r, c);
        expectNear(pixel(upright, c * 16 + 7, r * 16 + 9), [...colours[row]![column]!], 3);
      }
    }
  });
});

describe("colours", () => {
  it("copies grey into all three channels", async () => {
    const grey = Uint8Array.from({ length: 256 }, (_, i) => i);
    const png = await sharp(grey, { raw: { width: 16, height: 16, channels: 1 } })
      .toColourspace("b-w")
      .png()
      .toBuffer();
    expect((await sharp(png).metadata()).channels).toBe(1);
    const { data } = await decodePicture(png);
    expect([...data]).toEqual([...grey].flatMap((value) => [value, value, value]));
  });

  it("blends grey with alpha over white, or over the given background", async () => {
    const pairs = Uint8Array.of(0, 255, 0, 0, 100, 51, 200, 128);
    const png = await sharp(pairs, { raw: { width: 4, height: 1, channels: 2 } })
      .toColourspace("b-w")
      .png()
      .toBuffer();
    expect((await sharp(png).metadata()).channels).toBe(2);
    const over = (value: number, alpha: number, background: number) =>
      (value * alpha + background * (255 - alpha)) / 255;
    const white = await decodePicture(png);
    const red = await decodePicture(png, { background: [255, 0, 0] });
    for (let x = 0; x < 4; x++) {
      const [value, alpha] = [pairs[2 * x]!, pairs[2 * x + 1]!];
      const blank = over(value, alpha, 255);
      const none = over(value, alpha, 0);
      expectNear(pixel(white, x, 0), [blank, blank, blank], 1);
      expectNear(pixel(red, x, 0), [blank, none, none], 1);
    }
    expect(pixel(white, 0, 0)).toEqual([0, 0, 0]);
    expect(pixel(white, 1, 0)).toEqual([255, 255, 255]);
  });

  it("blends colours with alpha, and never shows the colours under full transparency", async () => {
    const rgba = Uint8Array.of(255, 0, 0, 0, 10, 20, 30, 255, 0, 0, 255, 51);
    for (const format of ["png", "webp", "tiff"] as const) {
      const encoded = await sharp(rgba, { raw: { width: 3, height: 1, channels: 4 } })
        .toFormat(format, { lossless: true, exact: true, compression: "lzw" } as object)
        .toBuffer();
      const decoded = await decodePicture(encoded);
      expect(pixel(decoded, 0, 0)).toEqual([255, 255, 255]);
      expect(pixel(decoded, 1, 0)).toEqual([10, 20, 30]);
      expectNear(pixel(decoded, 2, 0), [204, 204, 255], 1);
    }
  });

  it("keeps the upper byte of 16-bit colours and greys", async () => {
    const wide = Uint16Array.of(0, 255, 256, 32767, 32768, 65535, 65280, 1000, 40000);
    const png = await sharp(wide, { raw: { width: 3, height: 1, channels: 3 } })
      .toColourspace("rgb16")
      .png()
      .toBuffer();
    expect((await sharp(png).metadata()).depth).toBe("ushort");
    const { data } = await decodePicture(png);
    expect([...data]).toEqual([...wide].map((value) => value >> 8));

    const grey = await sharp(wide, { raw: { width: 9, height: 1, channels: 1 } })
      .toColourspace("grey16")
      .png()
      .toBuffer();
    expect((await sharp(grey).metadata()).depth).toBe("ushort");
    const shown = await decodePicture(grey);
    expect([...shown.data]).toEqual([...wide].flatMap((v) => [v >> 8, v >> 8, v >> 8]));
  });

  it("converts CMYK to sRGB", async () => {
    const cmyk = await encoder(halves([180, 120, 100], [255, 255, 255]))
      .toColourspace("cmyk")
      .jpeg({ quality: 100 })
      .toBuffer();
    expect((await sharp(cmyk).metadata()).space).toBe("cmyk");
    const decoded = await decodePicture(cmyk);
    expectNear(pixel(decoded, 5, 5), [180, 120, 100], 8); // print colours are fewer
    expectNear(pixel(decoded, 60, 5), [255, 255, 255], 2);
  });

  it("converts a wide-gamut profile to sRGB", async () => {
    const sent = halves([180, 120, 100], [40, 90, 60]);
    const p3 = await encoder(sent).withIccProfile("p3").png().toBuffer();
    const stored = await sharp(p3, { ignoreIcc: true }).raw().toBuffer();
    expect(Math.abs(stored[0]! - 180)).toBeGreaterThan(3); // the file really holds other numbers
    const decoded = await decodePicture(p3);
    expectNear(pixel(decoded, 5, 5), [180, 120, 100], 1);
    expectNear(pixel(decoded, 60, 5), [40, 90, 60], 1);
  });

  it("reads the values under an sRGB profile as they are stored", async () => {
    const plain = await encoder(halves([0, 239, 222], [0, 250, 245]))
      .jpeg()
      .toBuffer();
    const profiled = withJpegProfile(plain, srgbProfile());
    expect((await sharp(profiled).metadata()).icc?.length).toBe(srgbProfile().length);
    const [without, within] = [await decodePicture(plain), await decodePicture(profiled)];
    expect(Buffer.compare(without.data, within.data)).toBe(0);
    // Going through the colour engine would change these saturated colours by 1.
    const converted = await sharp(profiled).toColourspace("srgb").raw().toBuffer();
    expect(Buffer.compare(without.data, converted)).not.toBe(0);
  });
});

/** A version-2 sRGB profile with curve tables, as cameras and scanners write them. */
function srgbProfile(): Buffer {
  const number = (value: number) => {
    const bytes = Buffer.alloc(4);
    bytes.writeInt32BE(Math.round(value * 65536));
    return bytes;
  };
  const xyz = (...values: number[]) =>
    Buffer.concat([Buffer.from("XYZ \0\0\0\0", "latin1"), ...values.map(number)]);
  const curve = Buffer.alloc(12 + 2 * 1024);
  curve.write("curv");
  curve.writeUInt32BE(1024, 8);
  for (let i = 0; i < 1024; i++) {
    const v = i / 1023;
    const linear = v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    curve.writeUInt16BE(Math.round(linear * 65535), 12 + 2 * i);
  }
  const name = "sRGB IEC61966-2.1";
  const description = Buffer.alloc(12 + name.length + 1 + 78);
  description.write("desc");
  description.writeUInt32BE(name.length + 1, 8);
  description.write(name, 12);
  const tags: [string, Buffer][] = [
    ["desc", description],
    ["wtpt", xyz(0.9505, 1, 1.0891)],
    ["rXYZ", xyz(0.43607, 0.22249, 0.01392)],
    ["gXYZ", xyz(0.38515, 0.71687, 0.09708)],
    ["bXYZ", xyz(0.14307, 0.06061, 0.7141)],
    ["rTRC", curve],
    ["gTRC", curve],
    ["bTRC", curve],
  ];
  const table = Buffer.alloc(4 + 12 * tags.length);
  table.writeUInt32BE(tags.length);
  let offset = 128 + table.length;
  const bodies = tags.map(([tag, body], i) => {
    table.write(tag, 4 + 12 * i);
    table.writeUInt32BE(offset, 8 + 12 * i);
    table.writeUInt32BE(body.length, 12 + 12 * i);
    const padded = Buffer.concat([body, Buffer.alloc((4 - (body.length % 4)) % 4)]);
    offset += padded.length;
    return padded;
  });
  const header = Buffer.alloc(128);
  header.writeUInt32BE(offset, 0);
  header.writeUInt32BE(0x02100000, 8);
  header.write("mntrRGB XYZ ", 12);
  header.write("acsp", 36);
  Buffer.concat([0.9642, 1, 0.8249].map(number)).copy(header, 68);
  return Buffer.concat([header, table, ...bodies]);
}

function withJpegProfile(jpeg: Buffer, profile: Buffer): Buffer {
  const marker = Buffer.from("ICC_PROFILE\0\x01\x01", "latin1");
  const segment = Buffer.alloc(4);
  segment.writeUInt16BE(0xffe2, 0);
  segment.writeUInt16BE(2 + marker.length + profile.length, 2);
  // JFIF's own segment must stay the first.
  const after = 4 + jpeg.readUInt16BE(4);
  return Buffer.concat([jpeg.subarray(0, after), segment, marker, profile, jpeg.subarray(after)]);
}

describe("sources", () => {
  const picture = noise(9, 6);
  let folder: string;
  let png: Buffer;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "groupvit-decode-"));
    png = await encoder(picture).png().toBuffer();
    writeFileSync(join(folder, "a picture.png"), png);
    writeFileSync(join(folder, "empty.png"), "");
    writeFileSync(join(folder, "notes.txt"), "the quick brown fox");
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  it("reads paths, file URLs, buffers, blobs and streams alike", async () => {
    const path = join(folder, "a picture.png");
    const exact = png.buffer.slice(png.byteOffset, png.byteOffset + png.length) as ArrayBuffer;
    const sources = [
      path,
      pathToFileURL(path),
      pathToFileURL(path).href,
      png,
      new Uint8Array(png),
      exact,
      new Blob([exact]),
      new Blob([exact]).stream(),
      Readable.from([png.subarray(0, 40), png.subarray(40)]),
      `data:image/png;base64,${png.toString("base64")}`,
    ];
    for (const source of sources) {
      const decoded = await decodePicture(source);
      expect(Buffer.compare(decoded.data, picture.data)).toBe(0);
    }
  });

  it("gives a picture back as it is, unless it does not fit", async () => {
    expect(await decodePicture(picture)).toBe(picture);
    expect(await refusal({ ...picture, height: 7 })).toMatch(/^picture: 9 x 7 .* not 162/);
    expect(await refusal(picture, { maxPixels: 53 })).toMatch(/54 pixels, more than .* 53/);
  });

  it("says what is wrong with a path", async () => {
    const missing = join(folder, "missing.png");
    expect(await refusal(missing)).toBe(`${missing}: no such file: check the path`);
    expect(await refusal(folder)).toBe(`${folder}: a folder: give a picture file`);
    expect(await refusal(join(folder, "empty.png"))).toMatch(/empty\.png: empty \(0 bytes\)/);
    expect(await refusal(join(folder, "notes.txt"))).toMatch(/notes\.txt: not a picture/);
    expect(await refusal("")).toMatch(/^"": no such file/);
    expect(await refusal("a\0b.png")).toMatch(/^a b\.png: cannot be read to the end \(/);
    expect(await refusal("/dev/zero", { maxBytes: 1e6 })).toMatch(/^\/dev\/zero: larger than/);
    expect(await refusal("ftp://host/a.png")).toMatch(/^ftp:\/\/host\/a\.png: cannot read "ftp:"/);
    expect(await refusal("file://host/a.png")).toMatch(/^file: URL: names no path/);
  });

  it("refuses a blob whose file has changed", async () => {
    const path = join(folder, "changing.png");
    writeFileSync(path, png);
    const blob = await openAsBlob(path);
    writeFileSync(path, "shorter");
    expect(await refusal(blob)).toMatch(/^bytes: cannot be read to the end \(/);
  });

  it("refuses what is no source, and options that are none", async () => {
    await expect(decodePicture(null as unknown as string)).rejects.toThrow(InputError);
    await expect(decodePicture(5 as unknown as string)).rejects.toThrow(/from number/);
    await expect(decodePicture(png, { maxPixels: 0 })).rejects.toThrow(/maxPixels/);
    await expect(decodePicture(png, { maxBytes: Number.NaN })).rejects.toThrow(/maxBytes/);
    await expect(decodePicture(png, { timeout: -1 })).rejects.toThrow(/timeout/);
    await expect(decodePicture(png, { background: [0, 0, 256] })).rejects.toThrow(/background/);
  });

  it("names a stream, and closes it at the limit", async () => {
    let sent = 0;
    const endless = new Readable({
      read() {
        sent += 1000;
        this.push(Buffer.alloc(1000));
      },
    });
    expect(await refusal(endless, { maxBytes: 50_000 })).toMatch(/^stream: larger than .* 50000/);
    expect(endless.destroyed).toBe(true);
    expect(sent).toBeLessThan(200_000);
    const text = Readable.from(["some", "text"]);
    expect(await refusal(text)).toMatch(/^stream: the stream gives string instead of bytes/);
    const failing = new Readable({
      read() {
        this.destroy(new Error("the disk is gone"));
      },
    });
    expect(await refusal(failing)).toMatch(
      /^stream: cannot be read to the end \(the disk is gone\)/,
    );
  });

  it("calls standard input by its name", async () => {
    const stdin = Object.getOwnPropertyDescriptor(process, "stdin")!;
    const input = Readable.from([]);
    Object.defineProperty(process, "stdin", { configurable: true, get: () => input });
    try {
      expect(await refusal(input)).toMatch(/^stdin: empty/);
    } finally {
      Object.defineProperty(process, "stdin", stdin);
    }
  });

  it("stops for the signal and for the timeout", async () => {
    const silent = new Readable({ read() {} });
    const controller = new AbortController();
    const waiting = decodePicture(silent, { signal: controller.signal });
    controller.abort(new Error("enough"));
    await expect(waiting).rejects.toThrow("enough");
    expect(silent.destroyed).toBe(true);

    const late = new Readable({ read() {} });
    expect(await refusal(late, { timeout: 20 })).toMatch(/^stream: not read within 20 ms/);
    expect(late.destroyed).toBe(true);

    const fired = AbortSignal.abort(new Error("before"));
    await expect(decodePicture(png, { signal: fired })).rejects.toThrow("before");
  });
});

describe("URLs", () => {
  let server: Server | undefined;

  async function serve(listener: RequestListener): Promise<string> {
    server = createServer(listener);
    await new Promise<void>((resolve) => server!.listen(0, "127.0.0.1", resolve));
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  afterEach(async () => {
    server?.closeAllConnections();
    await new Promise((resolve) => (server ? server.close(resolve) : resolve(undefined)));
    server = undefined;
  });

  it("downloads a picture, through a redirect too", async () => {
    const picture = noise(12, 8);
    const png = await encoder(picture).png().toBuffer();
    const root = await serve((request, response) => {
      if (request.url === "/moved") response.writeHead(302, { location: "/a.png" }).end();
      else response.writeHead(200, { "content-type": "image/png" }).end(png);
    });
    for (const source of [`${root}/a.png`, new URL("/moved", root)]) {
      const decoded = await decodePicture(source);
      expect(Buffer.compare(decoded.data, picture.data)).toBe(0);
    }
  });

  it("says which status the server answered, without the query", async () => {
    const root = await serve((_, response) => response.writeHead(404).end("nothing here"));
    expect(await refusal(`${root}/a.png?token=secret`)).toBe(
      `${root}/a.png: the server answered HTTP 404: check the address`,
    );
  });

  it("refuses a page in place of a picture", async () => {
    const root = await serve((_, response) => response.end("<!DOCTYPE html><html>log in</html>"));
    expect(await refusal(`${root}/a.png`)).toMatch(/a\.png: HTML is not supported/);
  });

  it("refuses an announced length before it reads", async () => {
    const root = await serve((_, response) => {
      response.writeHead(200, { "content-length": String(10 ** 12) });
      response.write("x");
    });
    expect(await refusal(`${root}/a.png`)).toMatch(/larger than the limit of 268435456 bytes/);
  });

  it("counts a body without an end, compressed or not", async () => {
    let closed = false;
    const root = await serve((_, response) => {
      const timer = setInterval(() => response.write(Buffer.alloc(100_000)), 1);
      response.on("close", () => {
        closed = true;
        clearInterval(timer);
      });
    });
    expect(await refusal(`${root}/a.png`, { maxBytes: 1_000_000 })).toMatch(
      /larger than the limit/,
    );
    for (let i = 0; i < 100 && !closed; i++) await new Promise((next) => setTimeout(next, 10));
    expect(closed).toBe(true);
  });

  it("does not wait for a server that hangs", async () => {
    const root = await serve(() => {});
    expect(await refusal(`${root}/a.png`, { timeout: 50 })).toMatch(/not read within 50 ms/);
    const signal = AbortSignal.timeout(50);
    await expect(decodePicture(`${root}/a.png`, { signal })).rejects.toThrow(/timeout/);
  });

  it("refuses a body that stops half way", async () => {
    const root = await serve((_, response) => {
      response.writeHead(200, { "content-length": "1000" });
      response.write(Buffer.alloc(10));
      setTimeout(() => response.destroy(), 20);
    });
    expect(await refusal(`${root}/a.png`)).toMatch(/a\.png: cannot be read to the end \(/);
  });

  it("says that nobody answers, and never repeats a password", async () => {
    const root = await serve(() => {});
    await new Promise((resolve) => server!.close(resolve));
    server = undefined;
    expect(await refusal(`${root}/a.png`)).toMatch(/cannot be downloaded \(.*ECONNREFUSED/);
    const message = await refusal("http://user:hush@127.0.0.1/a.png");
    expect(message).toMatch(/^http:\/\/127\.0\.0\.1\/a\.png: .*password/);
    expect(message).not.toContain("hush");
    expect(await refusal("http://")).toMatch(/^URL: malformed/);
  });
});

describe("hostile bytes", () => {
  it.each([
    ["SVG", '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'],
    ["SVG", `<?xml version="1.0"?><!-- ${"x".repeat(600)} --><svg/>`],
    ["SVG", Buffer.from("\ufeff<svg/>", "utf16le")],
    ["PDF", "%PDF-1.7\n"],
    ["HTML", "<html><body>"],
    ["BMP", "BM______________"],
    ["HEIC", "\0\0\0\x18ftypheic\0\0\0\0mif1heic"],
    ["JPEG XL", "\0\0\0\x0cJXL \r\n\x87\n"],
  ])("refuses %s by its name", async (name, content) => {
    const bytes = typeof content === "string" ? Buffer.from(content, "latin1") : content;
    expect(await refusal(bytes)).toMatch(new RegExp(`^bytes: ${name} is not supported`));
  });

  it("refuses nothing, noise, and bare signatures", async () => {
    expect(await refusal(new Uint8Array(0))).toMatch(/^bytes: empty/);
    expect(await refusal(new Uint8Array([1, 2, 3]))).toMatch(/^bytes: not a picture/);
    for (const start of ["\xff\xd8\xff", "\x89PNG\r\n\x1a\n", "RIFF____WEBP", "GIF89a", "II*\0"]) {
      expect(await refusal(Buffer.from(start, "latin1"))).toMatch(/^bytes: damaged or cut short/);
    }
    expect(await refusal(Buffer.from("\0\0\0\x1cftypavif____", "latin1"))).toMatch(/damaged/);
  });

  it("refuses decompression bombs by their header", async () => {
    const jpeg = await encoder(noise(16, 16)).jpeg().toBuffer();
    const frame = jpeg.indexOf(Buffer.from([0xff, 0xc0]));
    jpeg.writeUInt32BE(0x8000_8000, frame + 5);
    expect(await refusal(jpeg)).toMatch(/32768 x 32768 are 1073741824 pixels/);

    const png = await encoder(noise(30, 20)).png().toBuffer();
    expect(await refusal(png, { maxPixels: 599 })).toMatch(
      /30 x 20 are 600 pixels, more than .* 599/,
    );
    expect((await decodePicture(png, { maxPixels: 600 })).width).toBe(30);
    expect(await refusal(png, { maxBytes: png.length - 1 })).toMatch(/larger than the limit/);
    expect((await decodePicture(png, { maxBytes: png.length })).width).toBe(30);
  });

  const formats = ["jpeg", "png", "webp", "gif", "tiff", "avif"] as const;
  const samples = new Map<string, Buffer>();
  beforeAll(async () => {
    for (const format of formats) {
      samples.set(format, await encoder(noise(40, 30)).toFormat(format).toBuffer());
    }
  });

  it.each(formats)("refuses a %s that is cut short", async (format) => {
    const sample = samples.get(format)!;
    for (const part of [0.3, 0.5, 0.8, 0.95]) {
      const message = await refusal(sample.subarray(0, Math.floor(sample.length * part)));
      expect(message).toMatch(/^bytes: damaged or cut short \((JPEG|PNG|WebP|GIF|TIFF|AVIF): .+\)/);
      expect(message.length).toBeLessThan(300);
      expect(message).not.toMatch(/\p{Cc}/u);
    }
  });

  it("reads on past stray bytes between the segments of a JPEG", async () => {
    const jpeg = samples.get("jpeg")!;
    const after = 4 + jpeg.readUInt16BE(4); // the first segment
    const stray = Buffer.concat([jpeg.subarray(0, after), Buffer.alloc(3), jpeg.subarray(after)]);
    const [plain, decoded] = [await decodePicture(jpeg), await decodePicture(stray)];
    expect(Buffer.compare(plain.data, decoded.data)).toBe(0);
  });

  it.each(formats)("gives a picture or a PictureError for a mutated %s", async (format) => {
    const sample = samples.get(format)!;
    let refused = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(sample.length - 1), fc.nat(255)), { minLength: 1, maxLength: 8 }),
        fc.option(fc.nat(sample.length)),
        async (changes, length) => {
          const bytes = Uint8Array.from(sample.subarray(0, length ?? sample.length));
          for (const [at, value] of changes) bytes[at] = value;
          try {
            const { width, height, data } = await decodePicture(bytes, {
              maxPixels: 1_000_000,
              timeout: 10_000,
            });
            expect(data.length).toBe(width * height * 3);
          } catch (error) {
            if (!(error instanceof PictureError)) throw error;
            expect(error.message).not.toMatch(/not read within/);
            refused++;
          }
        },
      ),
      { seed: 42, numRuns: 80 },
    );
    expect(refused).toBeGreaterThan(0);
  });
});
