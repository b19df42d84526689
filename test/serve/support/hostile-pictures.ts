// Picture files made to hurt who decodes them: headers that promise gigapixels, streams that unpack to
// far more than they are, files of two kinds at once.

import { deflateSync } from "node:zlib";
import sharp from "sharp";
import { crc32 } from "../../../src/checkpoint/zip.js";

const SIGNATURE = Buffer.from("\x89PNG\r\n\x1a\n", "latin1");

function pngChunk(name: string, data: Uint8Array): Buffer {
  const named = Buffer.concat([Buffer.from(name, "latin1"), data]);
  const chunk = Buffer.alloc(named.length + 8);
  chunk.writeUInt32BE(data.length, 0);
  named.copy(chunk, 4);
  chunk.writeUInt32BE(crc32(named), chunk.length - 4);
  return chunk;
}

function pngHeader(width: number, height: number, depth = 8, colour = 2): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([depth, colour, 0, 0, 0], 8);
  return pngChunk("IHDR", header);
}

/** Zeros of a length, deflated. */
const zeros = (length: number) => deflateSync(Buffer.alloc(length), { level: 9 });

/** A PNG of the size that its header says, whose pixels unpack to `unpacked` zeros. */
export function png(width: number, height: number, unpacked: number, extra: Buffer[] = []): Buffer {
  return Buffer.concat([
    SIGNATURE,
    pngHeader(width, height),
    ...extra,
    pngChunk("IDAT", zeros(unpacked)),
    pngChunk("IEND", Buffer.alloc(0)),
  ]);
}

/** A small PNG with a compressed text or colour profile that unpacks to `unpacked` bytes. */
export function pngWithBomb(kind: "zTXt" | "iCCP" | "iTXt", unpacked: number): Buffer {
  const name = Buffer.from("bomb\0", "latin1");
  const method = kind === "iTXt" ? Buffer.from([1, 0, 0, 0]) : Buffer.from([0]);
  return png(8, 8, 8 * 25, [pngChunk(kind, Buffer.concat([name, method, zeros(unpacked)]))]);
}

/** The start of a JPEG of any size, cut off where its pixels should begin. */
export function jpegHeader(width: number, height: number): Buffer {
  const frame = Buffer.from("ffd8ffc00011080000000003012200021101031101", "hex");
  frame.writeUInt16BE(height, 7);
  frame.writeUInt16BE(width, 9);
  return Buffer.concat([frame, Buffer.from("ffda000c03010002110311003f00", "hex")]);
}

/** A GIF of one colour that says to be of any size. */
export function gif(width: number, height: number): Buffer {
  const head = Buffer.from("GIF89a\0\0\0\0\x80\0\0\0\0\0\xff\xff\xff", "latin1");
  head.writeUInt16LE(width, 6);
  head.writeUInt16LE(height, 8);
  const image = Buffer.from(",\0\0\0\0\0\0\0\0\0\x02\x02\x44\x01\0;", "latin1");
  image.writeUInt16LE(width, 5);
  image.writeUInt16LE(height, 7);
  return Buffer.concat([head, image]);
}

/** A WebP whose canvas (`VP8X`) or lossless picture (`VP8L`) says to be of any size. */
export function webp(kind: "VP8X" | "VP8L", width: number, height: number): Buffer {
  const data = Buffer.alloc(10);
  if (kind === "VP8X") {
    data.writeUIntLE(width - 1, 4, 3);
    data.writeUIntLE(height - 1, 7, 3);
  } else {
    data[0] = 0x2f;
    data.writeUInt32LE(((width - 1) & 0x3fff) | (((height - 1) & 0x3fff) << 14), 1);
  }
  const head = Buffer.from(`RIFF\0\0\0\0WEBP${kind}\0\0\0\0`, "latin1");
  head.writeUInt32LE(4 + 8 + data.length, 4);
  head.writeUInt32LE(data.length, 16);
  return Buffer.concat([head, data]);
}

/** A little-endian TIFF of any size with one strip of a few bytes. */
export function tiff(width: number, height: number): Buffer {
  const tags: [number, number, number][] = [
    [256, 4, width],
    [257, 4, height],
    [258, 3, 8],
    [259, 3, 1],
    [262, 3, 1],
    [273, 4, 8],
    [277, 3, 1],
    [278, 4, height],
    [279, 4, 4],
  ];
  const file = Buffer.alloc(12 + 2 + tags.length * 12 + 4);
  file.write("II*\0", 0, "latin1");
  file.writeUInt32LE(12, 4);
  file.writeUInt16LE(tags.length, 12);
  for (const [i, [tag, type, value]] of tags.entries()) {
    const at = 14 + i * 12;
    file.writeUInt16LE(tag, at);
    file.writeUInt16LE(type, at + 2);
    file.writeUInt32LE(1, at + 4);
    file.writeUInt32LE(value, at + 8);
  }
  return file;
}

/** A ZIP archive with one stored file, as it stands behind a picture in a polyglot. */
export function zip(name: string, content: string): Buffer {
  const data = Buffer.from(content);
  const local = Buffer.alloc(30);
  local.write("PK\x03\x04", "latin1");
  local.writeUInt32LE(crc32(data), 14);
  local.writeUInt32LE(data.length, 18);
  local.writeUInt32LE(data.length, 22);
  local.writeUInt16LE(name.length, 26);
  const end = Buffer.alloc(22);
  end.write("PK\x05\x06", "latin1");
  return Buffer.concat([local, Buffer.from(name), data, end]);
}

/** The same pixels in another form of file. */
export async function variants(): Promise<Record<string, Buffer>> {
  const plain = () =>
    sharp(
      Uint8Array.from({ length: 32 * 24 * 3 }, (_, i) => (i * 7) % 256),
      {
        raw: { width: 32, height: 24, channels: 3 },
      },
    );
  const frames = Buffer.alloc(32 * 240 * 3, 99);
  const animated = () =>
    sharp(frames, { raw: { width: 32, height: 240, channels: 3, pageHeight: 24 } });
  return {
    "16-bit PNG": await plain().toColourspace("rgb16").png().toBuffer(),
    "CMYK JPEG": await plain().toColourspace("cmyk").jpeg().toBuffer(),
    "grey PNG": await plain().greyscale().png().toBuffer(),
    "PNG with alpha": await plain().ensureAlpha(0.5).png().toBuffer(),
    "palette PNG": await plain().png({ palette: true }).toBuffer(),
    "progressive JPEG": await plain().jpeg({ progressive: true }).toBuffer(),
    "animated GIF": await animated().gif().toBuffer(),
    "animated WebP": await animated().webp().toBuffer(),
    TIFF: await plain().tiff().toBuffer(),
    AVIF: await plain().avif({ effort: 0 }).toBuffer(),
  };
}
