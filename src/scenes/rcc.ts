// Files inside Qt resource collections (.rcc), in which some programs keep their pictures.

import { readFileSync } from "node:fs";
import { inflateSync } from "node:zlib";
import { InputError } from "../errors.js";

/** No picture that a scene can use is larger. */
const LARGEST = 64 << 20;
const DIRECTORY = 2;
const ZLIB = 1;
const ZSTD = 4;

/**
 * Reads one file of a collection: a header of offsets, a tree of nodes that point to names and data, all
 * big-endian (format versions 1 to 3).
 * @param path from the root of the collection, e.g. `gcompris/src/activities/erase/resource/goat.webp`
 * @throws InputError where the collection is damaged, holds no such file or packs it with Zstandard
 */
export function readResource(archive: string, path: string): Buffer {
  const bytes = readFileSync(archive);
  const bad = (why: string) => new InputError(`resource collection ${archive}: ${why}`);
  const need = (at: number, length: number) => {
    if (at + length > bytes.length) throw bad("it ends too early");
    return at;
  };
  if (bytes.length < 20 || bytes.toString("latin1", 0, 4) !== "qres") {
    throw bad('it does not begin with "qres"');
  }
  const version = bytes.readUInt32BE(4);
  if (version < 1 || version > 3) throw bad(`format version ${version} is not known`);
  const nodeSize = version === 1 ? 14 : 22;
  const [tree, data, names] = [8, 12, 16].map((at) => bytes.readUInt32BE(at)) as [
    number,
    number,
    number,
  ];
  const nodeAt = (index: number) => need(tree + index * nodeSize, nodeSize);
  const nameOf = (node: number) => {
    const at = need(names + bytes.readUInt32BE(node), 2);
    const length = bytes.readUInt16BE(at);
    // Between length and characters stands a hash of four bytes.
    const text = Buffer.from(bytes.subarray(need(at + 6, 2 * length), at + 6 + 2 * length));
    return text.swap16().toString("utf16le");
  };
  let node = nodeAt(0);
  for (const part of path.split("/")) {
    if ((bytes.readUInt16BE(node + 4) & DIRECTORY) === 0) throw bad(`it holds no ${path}`);
    const [count, first] = [bytes.readUInt32BE(node + 6), bytes.readUInt32BE(node + 10)];
    let found: number | undefined;
    for (let i = 0; i < count && found === undefined; i++) {
      const child = nodeAt(first + i);
      if (nameOf(child) === part) found = child;
    }
    if (found === undefined) throw bad(`it holds no ${path}`);
    node = found;
  }
  const flags = bytes.readUInt16BE(node + 4);
  if ((flags & DIRECTORY) !== 0) throw bad(`${path} is a folder`);
  if ((flags & ZSTD) !== 0) throw bad(`${path} is packed with Zstandard, which is not supported`);
  const at = need(data + bytes.readUInt32BE(node + 10), 4);
  const length = bytes.readUInt32BE(at);
  const stored = bytes.subarray(need(at + 4, length), at + 4 + length);
  if ((flags & ZLIB) === 0) return stored;
  // Qt writes the size before the deflated data.
  try {
    return inflateSync(stored.subarray(4), { maxOutputLength: LARGEST });
  } catch (error) {
    throw bad(`${path} cannot be unpacked: ${(error as Error).message}`);
  }
}
