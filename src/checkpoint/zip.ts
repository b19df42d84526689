// ZIP archives as PyTorch writes them: a reader that trusts no size or offset, and a writer of stored
// entries aligned to 64 bytes.

import { CheckpointError } from "../errors.js";
import { quote } from "./quote.js";

/** What all compressed entries of a checkpoint may inflate to; PyTorch itself never compresses. */
const MAX_INFLATED_BYTES = 2 ** 30;
/** DEFLATE cannot do better than 1,032 to 1. */
const MAX_DEFLATE_RATIO = 1032;

interface ZipEntry {
  readonly method: number;
  readonly crc: number;
  readonly size: number;
  /** The entry's bytes as they lie in the archive. */
  readonly packed: Uint8Array;
}

export interface ZipArchive {
  /** Entry names in the directory's order. */
  readonly names: readonly string[];
  /** Bytes of each entry when it is read. */
  readonly sizes: ReadonlyMap<string, number>;
  /**
   * The bytes of an entry, checked against its CRC-32; a view into the archive where it is stored.
   *
   * @throws CheckpointError when there is no such entry or its bytes are damaged
   */
  read(name: string): Promise<Uint8Array>;
}

/** Whether the bytes begin like a ZIP archive with entries. */
export function isZip(bytes: Uint8Array): boolean {
  return bytes[0] === 0x50 && bytes[1] === 0x4b && bytes[2] === 3 && bytes[3] === 4;
}

/**
 * Reads the directory of a ZIP archive (zip64 and data descriptors included).
 *
 * @param maxInflated what all compressed entries may inflate to
 * @throws CheckpointError when the archive is damaged, encrypted, spans disks, holds overlapping
 *   entries or claims to inflate beyond the bound
 */
export function openZip(bytes: Uint8Array, maxInflated = MAX_INFLATED_BYTES): ZipArchive {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const directory = findDirectory(bytes, view);
  const entries = new Map<string, ZipEntry>();
  const ranges: { begin: number; end: number }[] = [];
  let inflated = 0;
  let offset = directory.begin;
  for (let i = 0; i < directory.count; i++) {
    const { name, next, ...central } = readCentral(bytes, view, offset, directory.end);
    offset = next;
    if (entries.has(name)) throw damaged(`has two entries ${quote(name)}`);
    const range = readLocal(bytes, view, name, central, directory.begin);
    const packed = bytes.subarray(range.data, range.end);
    ranges.push({ begin: central.local, end: range.end });
    if (central.method === 8) {
      inflated += central.size;
      if (central.size > MAX_DEFLATE_RATIO * packed.byteLength || inflated > maxInflated) {
        throw damaged(`claims ${central.size} bytes for the compressed entry ${quote(name)}`);
      }
    } else if (central.method !== 0 || central.size !== packed.byteLength) {
      throw damaged(`has the entry ${quote(name)} in an unknown compression or with two sizes`);
    }
    entries.set(name, { method: central.method, crc: central.crc, size: central.size, packed });
  }
  ranges.sort((a, b) => a.begin - b.begin);
  for (let i = 1; i < ranges.length; i++) {
    if (ranges[i]!.begin < ranges[i - 1]!.end) throw damaged("has entries that overlap");
  }

  return {
    names: [...entries.keys()],
    sizes: new Map(Array.from(entries, ([name, { size }]) => [name, size])),
    async read(name) {
      const entry = entries.get(name);
      if (entry === undefined) throw damaged(`lacks the entry ${quote(name)}`);
      const data = entry.method === 0 ? entry.packed : await inflate(entry, name);
      if (crc32(data) !== entry.crc) throw damaged(`has a wrong checksum for ${quote(name)}`);
      return data;
    },
  };
}

interface Directory {
  begin: number;
  end: number;
  count: number;
}

function findDirectory(bytes: Uint8Array, view: DataView): Directory {
  const length = bytes.byteLength;
  let end = -1;
  // The end record is followed only by a comment of at most 65,535 bytes whose length it states.
  for (let at = length - 22; at >= Math.max(0, length - 22 - 0xffff); at--) {
    if (
      view.getUint32(at, true) === 0x06054b50 &&
      at + 22 + view.getUint16(at + 20, true) === length
    ) {
      end = at;
      break;
    }
  }
  if (end === -1) throw damaged("lacks its directory; the file is cut short");
  let disks = view.getUint16(end + 4, true) + view.getUint16(end + 6, true);
  let count = view.getUint16(end + 10, true);
  let size = view.getUint32(end + 12, true);
  let begin = view.getUint32(end + 16, true);
  let limit = end;
  if (end >= 20 && view.getUint32(end - 20, true) === 0x07064b50) {
    const record = Number(view.getBigUint64(end - 12, true));
    if (record > end - 20 - 56 || view.getUint32(record, true) !== 0x06064b50) {
      throw damaged("has a zip64 record in the wrong place");
    }
    disks = view.getUint32(record + 16, true) + view.getUint32(record + 20, true);
    count = Number(view.getBigUint64(record + 32, true));
    size = Number(view.getBigUint64(record + 40, true));
    begin = Number(view.getBigUint64(record + 48, true));
    limit = record;
  }
  if (disks !== 0) throw damaged("is spread over several disks");
  if (begin + size > limit || count > size / 46) throw damaged("has a directory of a wrong size");
  return { begin, end: begin + size, count };
}

interface Central {
  nameBytes: Uint8Array;
  flags: number;
  method: number;
  crc: number;
  packedSize: number;
  size: number;
  local: number;
}

function readCentral(
  bytes: Uint8Array,
  view: DataView,
  at: number,
  end: number,
): Central & { name: string; next: number } {
  if (at + 46 > end || view.getUint32(at, true) !== 0x02014b50) {
    throw damaged("has a broken directory");
  }
  const nameEnd = at + 46 + view.getUint16(at + 28, true);
  const extraEnd = nameEnd + view.getUint16(at + 30, true);
  const next = extraEnd + view.getUint16(at + 32, true);
  if (next > end) throw damaged("has a broken directory");
  const nameBytes = bytes.subarray(at + 46, nameEnd);
  const name = new TextDecoder().decode(nameBytes);
  const flags = view.getUint16(at + 8, true);
  if (flags & 1) throw damaged(`has the encrypted entry ${quote(name)}`);
  let size = view.getUint32(at + 24, true);
  let packedSize = view.getUint32(at + 20, true);
  let local = view.getUint32(at + 42, true);
  for (let field = nameEnd; field + 4 <= extraEnd; ) {
    const fieldEnd = field + 4 + view.getUint16(field + 2, true);
    if (fieldEnd > extraEnd) break;
    if (view.getUint16(field, true) === 1) {
      // zip64: only the values that do not fit above, in this order.
      let value = field + 4;
      const wide = (narrow: number): number => {
        if (narrow !== 0xffffffff) return narrow;
        if (value + 8 > fieldEnd) throw damaged(`lacks the zip64 size of ${quote(name)}`);
        value += 8;
        return Number(view.getBigUint64(value - 8, true));
      };
      size = wide(size);
      packedSize = wide(packedSize);
      local = wide(local);
    }
    field = fieldEnd;
  }
  const method = view.getUint16(at + 10, true);
  const crc = view.getUint32(at + 16, true);
  return { name, next, nameBytes, flags, method, crc, packedSize, size, local };
}

/** Checks the entry's local header against the directory and returns where its data lies. */
function readLocal(
  bytes: Uint8Array,
  view: DataView,
  name: string,
  central: Central,
  limit: number,
): { data: number; end: number } {
  const at = central.local;
  if (at + 30 > limit || view.getUint32(at, true) !== 0x04034b50) {
    throw damaged(`has no entry where the directory puts ${quote(name)}`);
  }
  const nameEnd = at + 30 + view.getUint16(at + 26, true);
  const data = nameEnd + view.getUint16(at + 28, true);
  const end = data + central.packedSize;
  if (end > limit) throw damaged(`has the entry ${quote(name)} reach beyond the data`);
  const size = view.getUint32(at + 18, true);
  // With a data descriptor (flag 8) or zip64 the sizes here are no sizes.
  const sizesDiffer = !(central.flags & 8) && size !== 0xffffffff && size !== central.packedSize;
  const sameName = sameBytes(bytes.subarray(at + 30, nameEnd), central.nameBytes);
  if (!sameName || view.getUint16(at + 8, true) !== central.method || sizesDiffer) {
    throw damaged(`describes the entry ${quote(name)} in two ways`);
  }
  return { data, end };
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.byteLength === b.byteLength && a.every((byte, i) => byte === b[i]);
}

/**
 * Inflates an entry to no more than its stated size. The platform inflates gzip everywhere, raw DEFLATE
 * only lately: the entry is given gzip's header and trailer, which hold the same CRC-32 and size.
 */
async function inflate(entry: ZipEntry, name: string): Promise<Uint8Array> {
  const frame = new Uint8Array(10 + entry.packed.byteLength + 8);
  frame.set([0x1f, 0x8b, 8]);
  frame.set(entry.packed, 10);
  const view = new DataView(frame.buffer);
  view.setUint32(frame.byteLength - 8, entry.crc, true);
  view.setUint32(frame.byteLength - 4, entry.size, true);

  const out = new Uint8Array(entry.size);
  let offset = 0;
  const stream = new Blob([frame]).stream().pipeThrough(new DecompressionStream("gzip"));
  const reader = stream.getReader();
  try {
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      if (offset + part.value.byteLength > out.byteLength) throw new RangeError("too long");
      out.set(part.value, offset);
      offset += part.value.byteLength;
    }
  } catch {
    await reader.cancel().catch(() => undefined);
    throw damaged(`cannot inflate the entry ${quote(name)}`);
  }
  if (offset !== out.byteLength) throw damaged(`cannot inflate the entry ${quote(name)}`);
  return out;
}

/**
 * The pieces of a ZIP archive of stored entries, each entry's data at a multiple of 64 bytes. The
 * entries' own bytes are not copied.
 *
 * @throws CheckpointError beyond 4 GiB or 65,534 entries
 */
export function zipChunks(entries: Iterable<readonly [string, Uint8Array]>): Uint8Array[] {
  const writer = new ZipWriter();
  const chunks: Uint8Array[] = [];
  for (const [name, bytes] of entries) chunks.push(...writer.add(name, bytes));
  return [...chunks, ...writer.end()];
}

/** The same piece by piece: only the directory is kept. */
export class ZipWriter {
  private readonly directory: Uint8Array[] = [];
  private offset = 0;

  /** The pieces of the next entry. */
  add(name: string, bytes: Uint8Array): Uint8Array[] {
    const nameBytes = new TextEncoder().encode(name);
    const crc = crc32(bytes);
    // PyTorch pads with an extra field "FB" filled with "Z".
    const bare = 30 + nameBytes.byteLength + 4;
    const padding = (64 - ((this.offset + bare) % 64)) % 64;
    const local = new Uint8Array(bare + padding).fill(0x5a, bare);
    const localView = new DataView(local.buffer);
    localView.setUint32(0, 0x04034b50, true);
    setCommonFields(localView, 4, nameBytes.byteLength, bytes.byteLength, crc);
    localView.setUint16(28, 4 + padding, true);
    local.set(nameBytes, 30);
    localView.setUint16(bare - 4, 0x4246, true);
    localView.setUint16(bare - 2, padding, true);

    const central = new Uint8Array(46 + nameBytes.byteLength);
    const centralView = new DataView(central.buffer);
    centralView.setUint32(0, 0x02014b50, true);
    setCommonFields(centralView, 6, nameBytes.byteLength, bytes.byteLength, crc);
    centralView.setUint32(42, this.offset, true);
    central.set(nameBytes, 46);
    this.directory.push(central);

    this.offset += local.byteLength + bytes.byteLength;
    return [local, bytes];
  }

  /**
   * The directory, which ends the archive.
   *
   * @throws CheckpointError beyond 4 GiB or 65,534 entries
   */
  end(): Uint8Array[] {
    const { directory, offset } = this;
    const size = directory.reduce((sum, central) => sum + central.byteLength, 0);
    if (offset + size >= 0xffffffff || directory.length >= 0xffff) {
      throw new CheckpointError(
        `An archive of ${directory.length} entries and ${offset} bytes is beyond what can be written ` +
          "(65,534 and 4 GiB); save as safetensors",
      );
    }
    const end = new Uint8Array(22);
    const view = new DataView(end.buffer);
    view.setUint32(0, 0x06054b50, true);
    view.setUint16(8, directory.length, true);
    view.setUint16(10, directory.length, true);
    view.setUint32(12, size, true);
    view.setUint32(16, offset, true);
    return [...directory, end];
  }
}

/** The fields that local and central headers share, from "version needed" on. */
function setCommonFields(
  view: DataView,
  at: number,
  nameLength: number,
  size: number,
  crc: number,
): void {
  view.setUint16(at, 20, true); // version 2.0
  view.setUint16(at + 2, 0x800, true); // names in UTF-8
  view.setUint16(at + 8, 0x21, true); // 1 January 1980: no clock in the bytes
  view.setUint32(at + 10, crc, true);
  view.setUint32(at + 14, size, true);
  view.setUint32(at + 18, size, true);
  view.setUint16(at + 22, nameLength, true);
}

let crcTables: Uint32Array[] | undefined;

/** CRC-32 as ZIP and PNG use it. */
export function crc32(bytes: Uint8Array): number {
  crcTables ??= makeCrcTables();
  const [t0, t1, t2, t3, t4, t5, t6, t7] = crcTables as [
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
  ];
  let crc = -1;
  let i = 0;
  // Eight bytes a turn ("slicing by 8"): weights are hundreds of megabytes.
  for (const end = bytes.byteLength - 7; i < end; i += 8) {
    crc ^= bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24);
    crc =
      t7[crc & 255]! ^
      t6[(crc >>> 8) & 255]! ^
      t5[(crc >>> 16) & 255]! ^
      t4[crc >>> 24]! ^
      t3[bytes[i + 4]!]! ^
      t2[bytes[i + 5]!]! ^
      t1[bytes[i + 6]!]! ^
      t0[bytes[i + 7]!]!;
  }
  for (; i < bytes.byteLength; i++) crc = t0[(crc ^ bytes[i]!) & 255]! ^ (crc >>> 8);
  return ~crc >>> 0;
}

function makeCrcTables(): Uint32Array[] {
  const tables = Array.from({ length: 8 }, () => new Uint32Array(256));
  for (let i = 0; i < 256; i++) {
    let crc = i;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? 0xedb88320 ^ (crc >>> 1) : crc >>> 1;
    tables[0]![i] = crc;
  }
  for (let i = 0; i < 256; i++) {
    for (let k = 1; k < 8; k++) {
      const before = tables[k - 1]![i]!;
      tables[k]![i] = (before >>> 8) ^ tables[0]![before & 255]!;
    }
  }
  return tables;
}

function damaged(fault: string): CheckpointError {
  return new CheckpointError(
    `The checkpoint's ZIP archive ${fault}; download or save the checkpoint again`,
  );
}
