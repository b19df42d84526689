// The pictures of a labelling run as a stream of references: files, folders, patterns, lists, addresses,
// tar shards and Parquet files. Nothing is held but what one folder lists.

import { createReadStream } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { basename, dirname, join, relative, resolve } from "node:path";
import { createInterface } from "node:readline";
import { InputError } from "../errors.js";
import { shorten } from "../input/source.js";
import type { FoundPicture } from "../label/chunks.js";
import { bytesOf, type PicturePlace } from "../label/reference.js";
import { openParquet, type ParquetTable } from "../train/data/tables.js";
import { readTar } from "../train/data/tar.js";
import { glob, isGlob } from "./glob.js";
import { isAddress, isPictureFile } from "./sources.js";

/** Deepest folder that a search enters. */
const MAX_DEPTH = 64;
/** Columns of Parquet files under which pictures, or their places, are looked for. */
const COLUMNS = ["image", "picture", "jpg", "png", "bytes", "image_bytes", "content"];
const PLACES = ["url", "image_url", "file", "filename", "file_name", "path", "filepath"];

/**
 * Finds the pictures that arguments stand for, in an order that does not change. What is broken among them (a
 * shard, a table, one of its rows, a folder that cannot be entered) is given in the place of a picture, so that
 * it is set aside with its reason and the rest is labelled.
 *
 * @param to folder of results: a second run must not label what the first has drawn there
 * @throws InputError for an argument that does not exist, or a folder, pattern or list without pictures
 */
export async function* findPictures(
  args: readonly string[],
  to?: string,
): AsyncGenerator<FoundPicture> {
  for (const arg of args) {
    let found = 0;
    for await (const picture of expand(arg, true)) {
      if (to !== undefined && isDrawn(picture.place, to)) continue;
      found++;
      yield picture;
    }
    if (found > 0) continue;
    // Shards often come as what a shell has found for a pattern: an empty one is no wrong argument.
    if (/\.(tar|parquet)$/i.test(arg))
      yield broken(basename(arg), resolve(arg), "no pictures in it");
    else throw new InputError(`${shorten(arg)}: no pictures there; give another source`);
  }
}

/** Whether a picture is one that labelling writes: the masks of `png`, and the sheet. */
function isDrawn(place: PicturePlace, to: string): boolean {
  if (!("path" in place)) return false;
  return place.path.startsWith(join(to, "png", "/")) || place.path === join(to, "review.png");
}

/** What stands for pictures that cannot be found. */
function broken(name: string, path: string, error: unknown): FoundPicture {
  const { code, message } = error as NodeJS.ErrnoException;
  if (typeof error !== "string" && !(error instanceof InputError) && code === undefined)
    throw error;
  const said = typeof error === "string" ? error : code ? `it cannot be read (${code})` : message;
  const reason = said.startsWith(path) ? said : `${path}: ${said}`;
  return { path: name, place: { broken: path, reason } };
}

/** The pictures of a container, and where it turns out to be broken, that in place of the rest. */
async function* orBroken(
  pictures: AsyncGenerator<FoundPicture>,
  path: string,
  name: string,
): AsyncGenerator<FoundPicture> {
  try {
    yield* pictures;
  } catch (error) {
    yield broken(name, path, error);
  }
}

async function* expand(arg: string, lists: boolean): AsyncGenerator<FoundPicture> {
  if (isAddress(arg)) {
    yield address(arg);
    return;
  }
  const entry = await stat(arg).catch(() => undefined);
  if (entry?.isDirectory()) yield* walk(resolve(arg), resolve(arg), 0);
  else if (entry) yield* file(resolve(arg), basename(arg));
  else if (lists && arg.startsWith("@")) yield* list(arg.slice(1));
  else if (isGlob(arg)) yield* pattern(arg);
  else throw new InputError(`${shorten(arg)}: it does not exist; check the path`);
}

function address(arg: string): FoundPicture {
  const url = URL.canParse(arg) ? new URL(arg) : undefined;
  return { path: url ? `${url.hostname}${url.pathname}` : "picture", place: { address: arg } };
}

/** One file: a picture, a shard or a table. */
async function* file(path: string, name: string): AsyncGenerator<FoundPicture> {
  // A link may lead nowhere: that is told when its turn comes.
  const entry = await stat(path).catch(() => undefined);
  const stamp = stampOf(entry);
  // A pipe would be waited for without end.
  if (entry && !entry.isFile()) yield broken(name, path, "no file (a pipe, device or folder)");
  else if (/\.tar$/i.test(path)) yield* orBroken(shard(path, name, stamp), path, name);
  else if (/\.parquet$/i.test(path)) yield* orBroken(parquet(path, name, stamp), path, name);
  else yield { path: name, place: { path, stamp } };
}

const stampOf = (entry: { size: number; mtimeMs: number } | undefined): string =>
  entry ? `${entry.size}-${Math.round(entry.mtimeMs)}` : "missing";

async function* walk(root: string, folder: string, depth: number): AsyncGenerator<FoundPicture> {
  if (depth > MAX_DEPTH) return;
  const entries = await readdir(folder, { withFileTypes: true }).catch((error: Error) => error);
  if (entries instanceof Error) {
    yield broken(relative(root, folder) || basename(root), folder, entries);
    return;
  }
  // Folders sort as their paths would, so that the whole comes in the order of paths.
  const names = entries
    .filter(({ name }) => !name.startsWith("."))
    .map((entry) => (entry.isDirectory() ? `${entry.name}/` : entry.name))
    .sort();
  entries.length = 0;
  for (const name of names) {
    const path = join(folder, name);
    if (name.endsWith("/")) yield* walk(root, path, depth + 1);
    else if (isPictureFile(name) || /\.(tar|parquet)$/i.test(name)) {
      yield* file(path, relative(root, path));
    }
  }
}

async function* pattern(arg: string): AsyncGenerator<FoundPicture> {
  // Names begin after the folders that hold no pattern.
  const parts = arg.split("/");
  const fixed = parts.slice(0, parts.findIndex(isGlob)).join("/");
  const root = fixed === "" && arg.startsWith("/") ? "/" : resolve(fixed);
  for (const path of await glob(arg)) {
    if (isPictureFile(path) || /\.(tar|parquet)$/i.test(path)) {
      yield* file(resolve(path), relative(root, resolve(path)));
    }
  }
}

/** One path or address a line; blank lines and those with # in front are skipped. */
async function* list(path: string): AsyncGenerator<FoundPicture> {
  const stream = createReadStream(path);
  const lines = createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY });
  try {
    for await (const line of lines) {
      const arg = line.replace(/^\ufeff/, "");
      if (arg.trim() === "" || arg.startsWith("#")) continue;
      if (arg.includes("\0")) {
        throw new InputError(`list @${shorten(path)}: it is no UTF-8 text; save it as that`);
      }
      const isSingle = !isAddress(arg) && !isGlob(arg);
      const entry = isSingle ? await stat(arg).catch(() => undefined) : undefined;
      if (isSingle && !entry?.isDirectory()) {
        // What is missing is set aside when its turn comes: one wrong line does not stop the others.
        const below = relative(process.cwd(), resolve(arg));
        const name = below.startsWith("..") ? basename(arg) : below;
        yield* file(resolve(arg), name);
      } else yield* expand(arg, false);
    }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    throw new InputError(`list @${shorten(path)}: cannot be read (${code}); check the path`);
  } finally {
    stream.destroy();
  }
}

async function* shard(path: string, name: string, stamp: string): AsyncGenerator<FoundPicture> {
  const folder = name.replace(/\.tar$/i, "");
  const stream = createReadStream(path, { highWaterMark: 1 << 20 });
  for await (const { name: entry, size, end } of readTar(stream, path, () => 0)) {
    if (!isPictureFile(entry) || basename(entry).startsWith(".")) continue;
    const offset = end - Math.ceil(size / 512) * 512;
    const place = { shard: path, stamp, offset, length: size };
    yield { path: `${folder}/${entry}`, place };
  }
}

async function* parquet(path: string, name: string, stamp: string): AsyncGenerator<FoundPicture> {
  const folder = name.replace(/\.parquet$/i, "");
  const table = await openParquet(path);
  try {
    const embedded = pick(table, COLUMNS);
    const column = embedded ?? pick(table, PLACES);
    if (column === undefined) {
      throw new InputError(
        `${path}: its columns are ${table.columns.slice(0, 20).join(", ")}; name one of them "image" ` +
          '(bytes), "file" or "url"',
      );
    }
    for (const { start, end } of table.groups) {
      const rows = await table.rows(start, end, [column]);
      for (const [i, record] of rows.entries()) {
        const cell = record[column];
        const row = start + i;
        const own = `${folder}/${`${row}`.padStart(6, "0")}.jpg`;
        if (embedded !== undefined && bytesOf(cell)) {
          yield { path: own, place: { table: path, stamp, column, row } };
        } else yield await named(cell, path, row).catch((error) => broken(own, path, error));
      }
    }
  } finally {
    await table.close();
  }
}

function pick(table: ParquetTable, names: readonly string[]): string | undefined {
  return names
    .map((name) => table.columns.find((column) => column.toLowerCase() === name))
    .find((column) => column !== undefined);
}

/** A picture whose place is written in a cell: an address, or a file below the table's folder. */
async function named(cell: unknown, table: string, row: number): Promise<FoundPicture> {
  const text = cell instanceof Uint8Array ? new TextDecoder().decode(cell) : cell;
  if (typeof text !== "string" || text === "") {
    throw new InputError(`${table}, row ${row + 1}: neither a picture nor its place; leave it out`);
  }
  if (isAddress(text)) return address(text);
  const path = resolve(dirname(table), text);
  const below = relative(dirname(table), path);
  if (below.startsWith("..")) {
    throw new InputError(
      `${table}, row ${row + 1}: "${shorten(text)}" leads out of the table's folder; move the pictures`,
    );
  }
  const stamp = stampOf(await stat(path).catch(() => undefined));
  return { path: below, place: { path, stamp } };
}
