// Reads the format and the size of a picture from its first bytes, without decoding anything: what is
// refused here never reaches a decoder. The bytes are hostile; every walk is bounded by their length.

import { PictureError } from "../errors.js";

/** Formats that are decoded. A browser decodes no TIFF. */
export type PictureFormat = "JPEG" | "PNG" | "WebP" | "AVIF" | "GIF" | "TIFF";

/** What strangers send instead; only named so that the error can say what it is. */
type RefusedFormat = "SVG" | "PDF" | "HTML" | "HEIC" | "BMP" | "JPEG XL" | "XML";

/**
 * The format of a picture, by its signature and never by its name.
 *
 * SVG and PDF are programs to be run rather than pixels to be unpacked (references to other files,
 * unbounded work), so they are refused although the decoder could render SVG.
 *
 * @throws PictureError if the bytes begin like none of the formats that are decoded
 */
export function pictureFormat(subject: string, bytes: Uint8Array): PictureFormat {
  if (bytes.length === 0) {
    throw new PictureError(`${subject}: empty (0 bytes): save or download the picture again`);
  }
  const format = sniff(bytes);
  switch (format) {
    case "JPEG":
    case "PNG":
    case "WebP":
    case "AVIF":
    case "GIF":
    case "TIFF":
      return format;
    case undefined:
      throw new PictureError(
        `${subject}: not a picture (unknown first bytes): give JPEG, PNG, WebP, AVIF, GIF or TIFF`,
      );
    default:
      throw new PictureError(
        `${subject}: ${format} is not supported: convert it to JPEG, PNG, WebP, AVIF, GIF or TIFF`,
      );
  }
}

function sniff(bytes: Uint8Array): PictureFormat | RefusedFormat | undefined {
  const head = latin1(bytes, 0, 12);
  if (head.startsWith("\xff\xd8\xff")) return "JPEG";
  if (head.startsWith("\x89PNG\r\n\x1a\n")) return "PNG";
  if (head.startsWith("RIFF") && head.startsWith("WEBP", 8)) return "WebP";
  if (head.startsWith("GIF87a") || head.startsWith("GIF89a")) return "GIF";
  if (/^(II[*+]\0|MM\0[*+])/.test(head)) return "TIFF";
  if (head.startsWith("ftyp", 4)) {
    // The brands follow the box's header; the box's length is hostile, so it is clamped.
    const length = Math.min(bytes.length < 4 ? 0 : u32(bytes, 0), 256, bytes.length);
    const brands = latin1(bytes, 8, length);
    if (/avif|avis/.test(brands)) return "AVIF";
    if (/hei|hev|mif1|msf1/.test(brands)) return "HEIC";
    return undefined;
  }
  if (head.startsWith("BM")) return "BMP";
  if (head.startsWith("\xff\x0a") || head.startsWith("\0\0\0\x0cJXL ")) return "JPEG XL";
  const start = latin1(bytes, 0, 1024);
  if (start.includes("%PDF-")) return "PDF";
  // UTF-16 text has a zero beside every letter.
  const text = start.replaceAll("\0", "").toLowerCase();
  if (text.includes("<svg")) return "SVG";
  if (text.includes("<!doctype html") || text.includes("<html")) return "HTML";
  if (text.includes("<?xml")) return "XML";
  return undefined;
}

/**
 * Width and height as the header of a JPEG, PNG, WebP, GIF or AVIF file claims them, before any EXIF
 * rotation; `undefined` if the header is damaged, cut short, or of another format.
 */
export function headerSize(
  bytes: Uint8Array,
  format: PictureFormat,
): { width: number; height: number } | undefined {
  switch (format) {
    case "PNG":
      // Signature, then the IHDR chunk: length, name, width, height.
      return bytes.length < 24 || latin1(bytes, 12, 16) !== "IHDR"
        ? undefined
        : { width: u32(bytes, 16), height: u32(bytes, 20) };
    case "GIF":
      return bytes.length < 10
        ? undefined
        : { width: bytes[6]! | (bytes[7]! << 8), height: bytes[8]! | (bytes[9]! << 8) };
    case "JPEG":
      return jpegSize(bytes);
    case "WebP":
      return webpSize(bytes);
    case "AVIF":
      return avifSize(bytes);
    case "TIFF":
      return undefined;
  }
}

/** Walks the marker segments to the frame header (SOF0..SOF15 without DHT, JPG and DAC). */
function jpegSize(bytes: Uint8Array) {
  let at = 2;
  while (at + 9 <= bytes.length) {
    if (bytes[at] !== 0xff) {
      at++; // garbage between segments, which decoders skip
      continue;
    }
    const marker = bytes[at + 1]!;
    if (marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc) {
      return { width: u16(bytes, at + 7), height: u16(bytes, at + 5) };
    }
    if (marker === 0xda || marker === 0xd9) return undefined; // pixels, or the end, without a frame
    const bare = marker === 0xff || marker === 0 || marker === 1 || (marker & 0xf8) === 0xd0;
    at += bare ? 1 : 2 + Math.max(2, u16(bytes, at + 2));
  }
  return undefined;
}

function webpSize(bytes: Uint8Array) {
  if (bytes.length < 30) return undefined;
  switch (latin1(bytes, 12, 16)) {
    case "VP8 ":
      return { width: u16le(bytes, 26) & 0x3fff, height: u16le(bytes, 28) & 0x3fff };
    case "VP8L": {
      const bits = (u16le(bytes, 21) | (u16le(bytes, 23) << 16)) >>> 0;
      return { width: (bits & 0x3fff) + 1, height: ((bits >>> 14) & 0x3fff) + 1 };
    }
    case "VP8X":
      return {
        width: (u16le(bytes, 24) | (bytes[26]! << 16)) + 1,
        height: (u16le(bytes, 27) | (bytes[29]! << 16)) + 1,
      };
    default:
      return undefined;
  }
}

/** The largest image spatial extent (`ispe`) among the item properties: meta / iprp / ipco. */
function avifSize(bytes: Uint8Array) {
  let largest: { width: number; height: number } | undefined;
  const walk = (from: number, to: number, path: readonly string[]): void => {
    let at = from;
    while (at + 8 <= to) {
      const size = u32(bytes, at);
      const name = latin1(bytes, at + 4, at + 8);
      // 0 means "to the end"; 64-bit lengths (1) are only used by the pixel data.
      const end = size === 0 ? to : at + size;
      if (size === 1 || end > to || end < at + 8) return;
      if (name === path[0]) walk(at + (name === "meta" ? 12 : 8), end, path.slice(1));
      if (path.length === 0 && name === "ispe" && end >= at + 20) {
        const width = u32(bytes, at + 12);
        const height = u32(bytes, at + 16);
        if (!largest || width * height > largest.width * largest.height) {
          largest = { width, height };
        }
      }
      at = end;
    }
  };
  walk(0, bytes.length, ["meta", "iprp", "ipco"]);
  return largest;
}

function latin1(bytes: Uint8Array, from: number, to: number): string {
  return String.fromCharCode(...bytes.subarray(from, to));
}

function u16(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!;
}

function u16le(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8);
}

function u32(bytes: Uint8Array, at: number): number {
  return u16(bytes, at) * 65536 + u16(bytes, at + 2);
}
