import { deflateRawSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CheckpointError } from "../errors.js";
import { crc32, openZip, zipChunks } from "./zip.js";

const text = (value: string) => new TextEncoder().encode(value);
const join = (chunks: Uint8Array[]) => new Uint8Array(Buffer.concat(chunks));

interface Part {
  name: string;
  data: Uint8Array;
  method?: number;
  size?: number;
  crc?: number;
  flags?: number;
  /** Sizes only in a data descriptor, as streaming writers do. */
  descriptor?: boolean;
  localName?: string;
  localOffset?: number;
  zip64?: boolean;
}

/** A ZIP archive, as honest or hostile as the parts ask. */
function archive(parts: Part[], end: { count?: number; zip64?: boolean } = {}): Uint8Array {
  const chunks: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const part of parts) {
    const { name, data, method = 0, descriptor = false } = part;
    const packed = method === 8 ? deflateRawSync(data) : Buffer.from(data);
    const size = part.size ?? data.byteLength;
    const crc = part.crc ?? crc32(data);
    const flags = (part.flags ?? 0) | (descriptor ? 8 : 0);
    const localName = Buffer.from(part.localName ?? name);
    const local = Buffer.alloc(30);
    local.writeUInt32LE(0x04034b50, 0);
    local.writeUInt16LE(flags, 6);
    local.writeUInt16LE(method, 8);
    local.writeUInt32LE(descriptor ? 0 : crc, 14);
    local.writeUInt32LE(descriptor ? 0 : packed.byteLength, 18);
    local.writeUInt32LE(descriptor ? 0 : size, 22);
    local.writeUInt16LE(localName.byteLength, 26);
    const trailer = Buffer.alloc(descriptor ? 16 : 0);
    if (descriptor) {
      trailer.writeUInt32LE(0x08074b50, 0);
      trailer.writeUInt32LE(crc, 4);
      trailer.writeUInt32LE(packed.byteLength, 8);
      trailer.writeUInt32LE(size, 12);
    }
    const central = Buffer.alloc(46);
    const extra = Buffer.alloc(part.zip64 ? 28 : 0);
    const where = part.localOffset ?? offset;
    central.writeUInt32LE(0x02014b50, 0);
    central.writeUInt16LE(flags, 8);
    central.writeUInt16LE(method, 10);
    central.writeUInt32LE(crc, 16);
    central.writeUInt32LE(part.zip64 ? 0xffffffff : packed.byteLength, 20);
    central.writeUInt32LE(part.zip64 ? 0xffffffff : size, 24);
    central.writeUInt16LE(Buffer.byteLength(name), 28);
    central.writeUInt16LE(extra.byteLength, 30);
    central.writeUInt32LE(part.zip64 ? 0xffffffff : where, 42);
    if (part.zip64) {
      extra.writeUInt16LE(1, 0);
      extra.writeUInt16LE(24, 2);
      extra.writeBigUInt64LE(BigInt(size), 4);
      extra.writeBigUInt64LE(BigInt(packed.byteLength), 12);
      extra.writeBigUInt64LE(BigInt(where), 20);
    }
    directory.push(central, Buffer.from(name), extra);
    chunks.push(local, localName, packed, trailer);
    offset += local.byteLength + localName.byteLength + packed.byteLength + trailer.byteLength;
  }
  const size = directory.reduce((sum, chunk) => sum + chunk.byteLength, 0);
  const count = end.count ?? parts.length;
  const tail = Buffer.alloc(end.zip64 ? 56 + 20 + 22 : 22);
  const at = tail.byteLength - 22;
  tail.writeUInt32LE(0x06054b50, at);
  tail.writeUInt16LE(end.zip64 ? 0xffff : count, at + 10);
  tail.writeUInt32LE(end.zip64 ? 0xffffffff : size, at + 12);
  tail.writeUInt32LE(end.zip64 ? 0xffffffff : offset, at + 16);
  if (end.zip64) {
    tail.writeUInt32LE(0x06064b50, 0);
    tail.writeBigUInt64LE(BigInt(count), 32);
    tail.writeBigUInt64LE(BigInt(size), 40);
    tail.writeBigUInt64LE(BigInt(offset), 48);
    tail.writeUInt32LE(0x07064b50, 56);
    tail.writeBigUInt64LE(BigInt(offset + size), 64);
  }
  return join([...chunks, ...directory, tail]);
}

describe("crc32", () => {
  it("gives the check value, whatever the length", () => {
    expect(crc32(text("123456789"))).toBe(0xcbf43926);
    expect(crc32(new Uint8Array(0))).toBe(0);
    expect(crc32(text("The quick brown fox jumps over the lazy dog"))).toBe(0x414fa339);
  });
});

describe("openZip", () => {
  const data = text("some weights ".repeat(50));

  it("reads stored and deflated entries, zip64 and data descriptors", async () => {
    const bytes = archive(
      [
        { name: "a/stored", data },
        { name: "a/deflated", data, method: 8 },
        { name: "a/streamed", data, method: 8, descriptor: true },
        { name: "a/wide", data, zip64: true },
        { name: "a/empty", data: new Uint8Array(0), method: 8 },
      ],
      { zip64: true },
    );
    const zip = openZip(bytes);
    expect(zip.names).toEqual(["a/stored", "a/deflated", "a/streamed", "a/wide", "a/empty"]);
    for (const name of zip.names.slice(0, 4)) expect(await zip.read(name)).toEqual(data);
    expect((await zip.read("a/empty")).byteLength).toBe(0);
    expect((await zip.read("a/stored")).buffer).toBe(bytes.buffer);
    await expect(zip.read("a/other")).rejects.toThrow(/lacks the entry "a\/other"/);
  });

  const a: Part = { name: "a", data };
  const hostile: [string, Uint8Array, RegExp][] = [
    ["no archive", text("nothing of the kind, but long enough"), /lacks its directory/],
    ["a cut file", archive([a]).subarray(0, 600), /lacks its directory/],
    ["encryption", archive([{ ...a, flags: 1 }]), /encrypted/],
    ["an unknown compression", archive([{ ...a, method: 12 }]), /unknown compression/],
    ["a lying stored size", archive([{ ...a, size: 5 }]), /two sizes/],
    ["a bomb", archive([{ ...a, method: 8, size: 0xfffffff0 }]), /claims 4294967280 bytes/],
    ["two names", archive([{ ...a, localName: "b" }]), /two ways/],
    ["a long second name", archive([{ ...a, localName: "b".repeat(60_000) }]), /two ways/],
    ["one name twice", archive([a, a]), /two entries "a"/],
    ["an offset beyond", archive([{ ...a, localOffset: 1e9 }]), /no entry where/],
    ["an offset into data", archive([{ ...a, localOffset: 5 }]), /no entry where/],
    ["too many entries", archive([a], { count: 60_000 }), /directory of a wrong size/],
    [
      "more entries than there are",
      archive([a, { name: "b", data }], { count: 3 }),
      /wrong size|broken/,
    ],
    ["billions of entries", archive([a], { count: 2 ** 50, zip64: true }), /wrong size/],
  ];
  it.each(hostile)("refuses %s", (_, bytes, message) => {
    expect(() => openZip(bytes)).toThrow(CheckpointError);
    expect(() => openZip(bytes)).toThrow(message);
  });

  it("refuses entries that share bytes", () => {
    // The second local header lies inside the first entry's data.
    const inner = archive([{ name: "b", data }]).subarray(0, 31 + data.byteLength);
    const bytes = archive([
      { name: "a", data: inner },
      { name: "b", data, localOffset: 31 },
    ]);
    expect(() => openZip(bytes)).toThrow(/overlap/);
  });

  it("refuses damaged contents when they are read", async () => {
    const read = (part: Part) => openZip(archive([part])).read("a");
    await expect(read({ ...a, crc: 1 })).rejects.toThrow(/wrong checksum for "a"/);
    await expect(read({ ...a, method: 8, crc: 1 })).rejects.toThrow(/inflate/);
    await expect(read({ ...a, method: 8, size: data.byteLength - 1 })).rejects.toThrow(/inflate/);
    await expect(read({ ...a, method: 8, size: data.byteLength + 1 })).rejects.toThrow(/inflate/);
  });

  it("refuses or reads any mutation, never failing otherwise", async () => {
    const honest = archive(
      [
        { name: "a", data: text("abc") },
        { name: "b", data, method: 8 },
      ],
      { zip64: true },
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(honest.byteLength - 1), fc.nat(255)), {
          minLength: 1,
          maxLength: 3,
        }),
        async (changes) => {
          const bytes = honest.slice();
          for (const [at, value] of changes) bytes[at] = value;
          try {
            const zip = openZip(bytes);
            for (const name of zip.names) await zip.read(name);
          } catch (error) {
            if (!(error instanceof CheckpointError)) throw error;
          }
        },
      ),
      { seed: 4, numRuns: 1000 },
    );
  });
});

describe("zipChunks", () => {
  it("writes entries at multiples of 64 bytes that are read back", async () => {
    const entries: [string, Uint8Array][] = [
      ["x/data.pkl", text("pickle")],
      ["x/é", new Uint8Array(100).fill(7)],
      ["x/empty", new Uint8Array(0)],
      ["x/version", text("3\n")],
    ];
    const bytes = join(zipChunks(entries));
    const zip = openZip(bytes);
    expect(zip.names).toEqual(entries.map(([name]) => name));
    for (const [name, data] of entries) {
      const read = await zip.read(name);
      expect(read).toEqual(data);
      expect(read.byteOffset % 64).toBe(0);
    }
    expect(zipChunks(entries)[1]).toBe(entries[0]![1]);
  });
});
