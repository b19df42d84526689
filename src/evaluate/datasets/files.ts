// Reading a data set's folder: bounded files, lists of names, and names that stay inside.

import { constants } from "node:fs";
import { type FileHandle, open, readdir, realpath, stat } from "node:fs/promises";
import { join } from "node:path";
import { InputError } from "../../errors.js";

const PICTURE = /\.(jpe?g|png|webp)$/i;
/** ImageNet's largest list has 50,000 lines. */
const MAX_LIST_BYTES = 64 * 2 ** 20;
const CHUNK_BYTES = 2 ** 20;
const MAX_FOLDER_DEPTH = 8;
const MAX_FILES = 5_000_000;

export async function isFolder(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isDirectory() ?? false;
}

export async function isFile(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isFile() ?? false;
}

/** The first of the paths that is a folder. */
export async function firstFolder(paths: readonly string[]): Promise<string | undefined> {
  for (const path of paths) if (await isFolder(path)) return path;
  return undefined;
}

/** The first of the paths that is a file. */
export async function firstFile(paths: readonly string[]): Promise<string | undefined> {
  for (const path of paths) if (await isFile(path)) return path;
  return undefined;
}

/**
 * The folder of a data set, without links.
 *
 * @throws InputError where it is no folder
 */
export async function realRoot(root: string): Promise<string> {
  const real = await realpath(root).catch(() => {
    throw new InputError(`data set folder ${root}: it does not exist; check the path`);
  });
  if (!(await isFolder(real))) {
    throw new InputError(`data set folder ${root}: it is a file; give the folder`);
  }
  return real;
}

/** Opens a regular file; a pipe or device is refused without waiting for it. */
export async function openFile(path: string): Promise<FileHandle> {
  let file: FileHandle;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    throw new InputError(
      code === "ENOENT" || code === "ENOTDIR"
        ? `${path}: it does not exist; check the data set`
        : `${path}: it cannot be read (${code}); check its permissions`,
    );
  }
  if ((await file.stat()).isFile()) return file;
  await file.close();
  throw new InputError(`${path}: it is no regular file; replace it`);
}

/**
 * Up to `length` bytes from `position`; fewer where the file ends.
 *
 * @param length must be bounded by the caller
 */
export async function readPart(
  file: FileHandle,
  position: number,
  length: number,
): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  let filled = 0;
  while (filled < length) {
    const { bytesRead } = await file.read(bytes, filled, length - filled, position + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return bytes.subarray(0, filled);
}

/** The bytes of a file, a mebibyte at a time. */
export async function* readChunks(path: string, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
  const file = await openFile(path);
  try {
    for (let position = 0; ; ) {
      signal?.throwIfAborted();
      const chunk = await readPart(file, position, CHUNK_BYTES);
      if (chunk.length === 0) return;
      position += chunk.length;
      yield chunk;
    }
  } finally {
    await file.close();
  }
}

/** A whole file of at most `limit` bytes. */
export async function readBounded(path: string, limit: number): Promise<Uint8Array> {
  const file = await openFile(path);
  try {
    const { size } = await file.stat();
    if (size > limit) {
      throw new InputError(
        `${path}: ${size} bytes, more than the ${limit} that are read; check it`,
      );
    }
    return await readPart(file, 0, size);
  } finally {
    await file.close();
  }
}

/**
 * The lines of a text file, trimmed; empty ones at the end are left out.
 *
 * @throws InputError where it is no UTF-8: letters that were guessed would name other classes and pictures
 */
export async function readLines(path: string): Promise<string[]> {
  const lines = decodeText(await readBounded(path, MAX_LIST_BYTES), path)
    .split(/\r?\n/)
    .map((line) => line.trim());
  while (lines.length > 0 && lines.at(-1) === "") lines.pop();
  return lines;
}

/** Leaves a byte-order mark out. */
function decodeText(bytes: Uint8Array, path: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new InputError(`${path}: it is no text in UTF-8; save it in that encoding`);
  }
}

/**
 * The names of a list, one a line.
 *
 * @throws InputError where a name leads out of its folder, comes twice, or none is there
 */
export async function readNames(path: string): Promise<string[]> {
  const names = (await readLines(path)).filter((line) => line !== "");
  const seen = new Set<string>();
  for (const name of names) {
    checkName(name, path);
    if (seen.has(name)) throw new InputError(`${path}: "${name}" is listed twice; remove one`);
    seen.add(name);
  }
  if (names.length === 0) {
    throw new InputError(`${path}: it lists no pictures; write one name a line, without extension`);
  }
  return names;
}

/** Refuses names that are no plain path below a folder. */
export function checkName(name: string, list: string): void {
  const parts = name.split("/");
  const plain = parts.every((part) => part !== "" && part !== "." && part !== "..");
  if (!plain || /[\\\0]|^[a-z]:/i.test(name)) {
    throw new InputError(
      `${list}: the name ${JSON.stringify(name.slice(0, 200))} leads out of its folder; ` +
        "give paths below the pictures' folder, without extension",
    );
  }
}

/** A file's path without the extension of a picture. */
export function pictureName(file: string): string {
  return file.replace(PICTURE, "");
}

/** The pictures below a folder: file by name, which is the path without extension; by name in order. */
export async function listPictures(folder: string): Promise<Map<string, string>> {
  const files: string[] = [];
  await walk(folder, "", 0, files);
  files.sort((a, b) => (a < b ? -1 : 1));
  const byName = new Map<string, string>();
  for (const file of files) {
    const name = pictureName(file);
    const first = byName.get(name);
    if (first !== undefined) {
      throw new InputError(
        `${folder}: ${first} and ${file} have the same name; remove or rename one of them`,
      );
    }
    byName.set(name, file);
  }
  return byName;
}

async function walk(root: string, below: string, depth: number, files: string[]): Promise<void> {
  for (const entry of await readdir(join(root, below), { withFileTypes: true })) {
    // Leavings of file managers and unfinished downloads.
    if (entry.name.startsWith(".")) continue;
    const path = below === "" ? entry.name : `${below}/${entry.name}`;
    if (entry.isDirectory()) {
      if (depth < MAX_FOLDER_DEPTH) await walk(root, path, depth + 1, files);
    } else if (PICTURE.test(entry.name)) {
      files.push(path);
      if (files.length > MAX_FILES) {
        throw new InputError(
          `${root}: more than ${MAX_FILES} files; give the data set's own folder`,
        );
      }
    }
  }
}
