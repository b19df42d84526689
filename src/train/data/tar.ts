// Tar archives as streams: a reader that trusts nothing in the archive and never touches the file
// system with a name from it, and the headers that shards are written with.

import { InputError } from "../../errors.js";

const BLOCK = 512;
/** Largest PAX or GNU long-name record: names only, so 64 KiB is generous. */
const MAX_HEADER_RECORD = 64 * 2 ** 10;

/** One regular file of an archive. */
export interface TarEntry {
  /** The name as written; data, never a path to open. */
  readonly name: string;
  /** Bytes that the header claims. */
  readonly size: number;
  /** The content, or `undefined` where `wanted` refused it (its bytes are passed over). */
  readonly bytes: Uint8Array | undefined;
  /** Where the entry and its padding end, in bytes from the start of the archive. */
  readonly end: number;
}

/** Reads exact byte counts from a stream of chunks, holding no more than one chunk and one request. */
class ByteReader {
  private chunk: Uint8Array = new Uint8Array(0);
  private start = 0;
  position = 0;
  private readonly chunks: AsyncIterator<Uint8Array>;

  constructor(stream: AsyncIterable<Uint8Array>) {
    this.chunks = stream[Symbol.asyncIterator]();
  }

  /** Makes at least one byte available; false at the end of the stream. */
  private async fill(): Promise<boolean> {
    while (this.start >= this.chunk.length) {
      const next = await this.chunks.next();
      if (next.done) return false;
      this.chunk = next.value;
      this.start = 0;
    }
    return true;
  }

  /** The next `length` bytes as a copy, or `undefined` where the stream ends before. */
  async read(length: number): Promise<Uint8Array | undefined> {
    const out = new Uint8Array(length);
    let filled = 0;
    while (filled < length) {
      if (!(await this.fill())) return undefined;
      const take = Math.min(length - filled, this.chunk.length - this.start);
      out.set(this.chunk.subarray(this.start, this.start + take), filled);
      this.start += take;
      this.position += take;
      filled += take;
    }
    return out;
  }

  /** Passes over `length` bytes; false where the stream ends before. */
  async skip(length: number): Promise<boolean> {
    let left = length;
    while (left > 0) {
      if (!(await this.fill())) return false;
      const take = Math.min(left, this.chunk.length - this.start);
      this.start += take;
      this.position += take;
      left -= take;
    }
    return true;
  }

  async close(): Promise<void> {
    await this.chunks.return?.();
  }
}

/** A numeric header field: octal text, or big-endian binary where the first bit is set (GNU). */
function headerNumber(block: Uint8Array, offset: number, length: number): number {
  if (block[offset]! & 0x80) {
    let value = block[offset]! & 0x7f;
    for (let i = 1; i < length; i++) {
      value = value * 256 + block[offset + i]!;
      if (value > Number.MAX_SAFE_INTEGER) return Number.NaN;
    }
    return value;
  }
  const text = headerText(block, offset, length).trim();
  if (text === "") return 0;
  return /^[0-7]+$/.test(text) ? Number.parseInt(text, 8) : Number.NaN;
}

function headerText(block: Uint8Array, offset: number, length: number): string {
  let end = offset;
  while (end < offset + length && block[end] !== 0) end++;
  return new TextDecoder().decode(block.subarray(offset, end));
}

/** Sum of the header's bytes with the checksum field itself counted as spaces. */
function headerChecksum(block: Uint8Array): number {
  let sum = 8 * 32;
  for (let i = 0; i < BLOCK; i++) {
    if (i < 148 || i >= 156) sum += block[i]!;
  }
  return sum;
}

/** `path` and `size` of a PAX record ("27 path=name\n" lines, lengths in bytes). */
function parsePax(bytes: Uint8Array): { path?: string; size?: number } {
  const found: { path?: string; size?: number } = {};
  let start = 0;
  while (start < bytes.length) {
    const space = bytes.indexOf(0x20, start);
    if (space < 0) break;
    const length = Number(new TextDecoder().decode(bytes.subarray(start, space)));
    if (!Number.isInteger(length) || length <= space - start || start + length > bytes.length)
      break;
    const line = new TextDecoder().decode(bytes.subarray(space + 1, start + length - 1));
    const equals = line.indexOf("=");
    const value = line.slice(equals + 1);
    if (line.startsWith("path=")) found.path = value;
    if (line.startsWith("size=") && /^\d{1,15}$/.test(value)) found.size = Number(value);
    start += length;
  }
  return found;
}

/**
 * The regular files of a tar archive (ustar, PAX and GNU long names), in order; links, folders and
 * devices are passed over.
 *
 * @param label  names the archive in messages
 * @param wanted how many bytes at most to hold of a file of this name; 0 passes it over
 * @throws InputError where a header is broken or the archive ends within a file; the files before
 *   have been given by then
 */
export async function* readTar(
  stream: AsyncIterable<Uint8Array>,
  label: string,
  wanted: (name: string) => number,
): AsyncGenerator<TarEntry> {
  const reader = new ByteReader(stream);
  let pax: { path?: string; size?: number } = {};
  let longName: string | undefined;
  const truncated = (): InputError =>
    new InputError(
      `${label}: the archive ends within a file at byte ${reader.position}; fetch it again`,
    );
  const noTar = (compressed = false): InputError =>
    new InputError(
      compressed
        ? `${label}: it is compressed; unpack it with gunzip, shards are plain .tar files`
        : `${label}: it is no tar archive; give the .tar shards of a data set`,
    );
  try {
    for (;;) {
      const start = reader.position;
      const header = await reader.read(BLOCK);
      if (header === undefined) {
        // A missing end mark is common (concatenated or streamed shards); a torn header is a fault.
        if (reader.position !== start) throw start === 0 ? noTar() : truncated();
        return;
      }
      if (header.every((byte) => byte === 0)) return;
      const size = headerNumber(header, 124, 12);
      if (headerNumber(header, 148, 8) !== headerChecksum(header) || !Number.isSafeInteger(size)) {
        if (start === 0) throw noTar(header[0] === 0x1f && header[1] === 0x8b);
        throw new InputError(
          `${label}: broken tar header at byte ${start}; fetch the archive again`,
        );
      }
      const type = String.fromCharCode(header[156]!);
      if (type === "x" || type === "L") {
        if (size > MAX_HEADER_RECORD) {
          throw new InputError(
            `${label}: a name record of ${size} bytes at byte ${start} (at most ` +
              `${MAX_HEADER_RECORD}); the archive is not a data set shard`,
          );
        }
        const record = await reader.read(size);
        if (record === undefined || !(await reader.skip(padding(size)))) throw truncated();
        if (type === "x") pax = parsePax(record);
        else longName = headerText(record, 0, record.length);
        continue;
      }
      const bodySize = pax.size ?? size;
      const prefix =
        headerText(header, 257, 5) === "ustar" && header[263] === 0x30
          ? headerText(header, 345, 155)
          : "";
      const shortName = headerText(header, 0, 100);
      const name = pax.path ?? longName ?? (prefix ? `${prefix}/${shortName}` : shortName);
      pax = {};
      longName = undefined;
      // '0' and NUL are files; '7' (contiguous) is one too. Global PAX records and all else pass.
      const isFile = type === "0" || type === "\0" || type === "7";
      const limit = isFile ? wanted(name) : 0;
      let bytes: Uint8Array | undefined;
      if (bodySize <= limit) {
        bytes = await reader.read(bodySize);
        if (bytes === undefined) throw truncated();
      } else if (!(await reader.skip(bodySize))) {
        throw truncated();
      }
      if (!(await reader.skip(padding(bodySize)))) throw truncated();
      if (isFile) yield { name, size: bodySize, bytes, end: reader.position };
    }
  } finally {
    await reader.close();
  }
}

function padding(size: number): number {
  return (BLOCK - (size % BLOCK)) % BLOCK;
}

/**
 * One file as tar bytes (ustar): header, content, padding. Owner and times are zero, so that the
 * same samples give the same bytes.
 *
 * @throws InputError where the name has more than 100 bytes
 */
export function tarFile(name: string, content: Uint8Array): Uint8Array {
  const encoder = new TextEncoder();
  const nameBytes = encoder.encode(name);
  if (nameBytes.length > 100) {
    throw new InputError(
      `tar entry ${name}: the name has ${nameBytes.length} bytes; use at most 100`,
    );
  }
  const out = new Uint8Array(BLOCK + content.length + padding(content.length));
  const put = (text: string, offset: number): void => out.set(encoder.encode(text), offset);
  out.set(nameBytes, 0);
  put("0000644\0", 100);
  put("0000000\0", 108);
  put("0000000\0", 116);
  put(`${content.length.toString(8).padStart(11, "0")}\0`, 124);
  put("00000000000\0", 136);
  put("0", 156);
  put("ustar\0", 257);
  put("00", 263);
  put(`${headerChecksum(out.subarray(0, BLOCK)).toString(8).padStart(6, "0")}\0 `, 148);
  out.set(content, BLOCK);
  return out;
}

/** The two zero blocks that close an archive. */
export function tarEnd(): Uint8Array {
  return new Uint8Array(2 * BLOCK);
}
