import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { deflateSync } from "node:zlib";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { InputError } from "../errors.js";
import { readResource } from "./rcc.js";

const folder = mkdtempSync(join(tmpdir(), "groupvit-rcc-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const ZLIB = 1;
const DIRECTORY = 2;
const ZSTD = 4;

interface Node {
  name: string;
  flags: number;
  /** Index of the first child and how many follow, or the stored bytes. */
  children?: [first: number, count: number];
  data?: Buffer;
}

/** Writes a collection as Qt's `rcc --binary` does. */
function collection(version: number, nodes: Node[]): Buffer {
  const nodeSize = version === 1 ? 14 : 22;
  const names: Buffer[] = [];
  const datas: Buffer[] = [];
  const tree = Buffer.alloc(nodes.length * nodeSize);
  let [nameAt, dataAt] = [0, 0];
  for (const [i, { name, flags, children, data }] of nodes.entries()) {
    const at = i * nodeSize;
    tree.writeUInt32BE(nameAt, at);
    tree.writeUInt16BE(flags, at + 4);
    const text = Buffer.from(name, "utf16le").swap16();
    const head = Buffer.alloc(6);
    head.writeUInt16BE(name.length, 0);
    head.writeUInt32BE(0xabad1dea, 2);
    names.push(head, text);
    nameAt += 6 + text.length;
    if (children !== undefined) {
      tree.writeUInt32BE(children[1], at + 6);
      tree.writeUInt32BE(children[0], at + 10);
    } else {
      tree.writeUInt32BE(dataAt, at + 10);
      const size = Buffer.alloc(4);
      size.writeUInt32BE(data!.length);
      datas.push(size, data!);
      dataAt += 4 + data!.length;
    }
  }
  const header = Buffer.alloc(20);
  header.write("qres", 0, "latin1");
  header.writeUInt32BE(version, 4);
  const [data, name] = [Buffer.concat(datas), Buffer.concat(names)];
  header.writeUInt32BE(20 + data.length + name.length, 8);
  header.writeUInt32BE(20, 12);
  header.writeUInt32BE(20 + data.length, 16);
  return Buffer.concat([header, data, name, tree]);
}

const TEXT = Buffer.from("a goat ".repeat(50));
/** What Qt's qCompress makes: the size, then zlib's stream. */
const compressed = (() => {
  const size = Buffer.alloc(4);
  size.writeUInt32BE(TEXT.length);
  return Buffer.concat([size, deflateSync(TEXT)]);
})();

function write(version: number): { file: string; bytes: Buffer } {
  const bytes = collection(version, [
    { name: "", flags: DIRECTORY, children: [1, 2] },
    { name: "animals", flags: DIRECTORY, children: [3, 3] },
    { name: "readme", flags: 0, data: Buffer.from("plain") },
    { name: "goat.webp", flags: ZLIB, data: compressed },
    { name: "Ziege \u{1f410}", flags: 0, data: Buffer.from("raw") },
    { name: "new.webp", flags: ZSTD, data: Buffer.from("zstd") },
  ]);
  const file = join(folder, `v${version}.rcc`);
  writeFileSync(file, bytes);
  return { file, bytes };
}

describe("Qt resource collections", () => {
  it.each([1, 2, 3])("are read in format version %i, deflated or not", (version) => {
    const { file } = write(version);
    expect(readResource(file, "animals/goat.webp")).toEqual(TEXT);
    expect(readResource(file, "animals/Ziege \u{1f410}").toString()).toBe("raw");
    expect(readResource(file, "readme").toString()).toBe("plain");
  });

  it("say what is wrong", () => {
    const { file } = write(3);
    expect(() => readResource(file, "animals/sheep.webp")).toThrow(/holds no animals\/sheep.webp/);
    expect(() => readResource(file, "readme/inside")).toThrow(/holds no readme\/inside/);
    expect(() => readResource(file, "animals")).toThrow(/animals is a folder/);
    expect(() => readResource(file, "animals/new.webp")).toThrow(/Zstandard/);
    const other = join(folder, "other.rcc");
    writeFileSync(other, "no collection at all");
    expect(() => readResource(other, "readme")).toThrow(/does not begin with "qres"/);
    const bytes = write(3).bytes;
    bytes.writeUInt32BE(9, 4);
    writeFileSync(other, bytes);
    expect(() => readResource(other, "readme")).toThrow(/version 9/);
  });

  it("that are cut short or damaged give the file or an error, never anything else", () => {
    const { bytes } = write(2);
    const file = join(folder, "damaged.rcc");
    fc.assert(
      fc.property(
        fc.nat(bytes.length),
        fc.array(fc.tuple(fc.nat(bytes.length - 1), fc.nat(255)), { maxLength: 4 }),
        (length, changes) => {
          const damaged = Buffer.from(bytes);
          for (const [at, value] of changes) damaged[at] = value;
          writeFileSync(file, damaged.subarray(0, length));
          try {
            expect(readResource(file, "animals/goat.webp")).toBeInstanceOf(Buffer);
          } catch (error) {
            expect(error).toBeInstanceOf(InputError);
          }
        },
      ),
      { seed: 4, numRuns: 300 },
    );
  });
});
