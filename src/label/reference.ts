// Where a picture lies. References go into the index and the queue; the picture's bytes never do.

import { open } from "node:fs/promises";
import * as z from "zod/mini";
import { InputError, PictureError } from "../errors.js";
import type { PictureSource } from "../input/decode.node.js";
import { DEFAULT_MAX_BYTES } from "../input/limits.js";
import { openParquet, type ParquetTable } from "../train/data/tables.js";

const count = z.int().check(z.minimum(0));

/**
 * A file, an address, a part of a tar shard, or a row of a Parquet file; or a place whose pictures could not be
 * found (a broken shard), which takes the place of a picture so that it is set aside as one.
 */
const placeSchema = z.union([
  // The stamp changes when the file does.
  z.object({ path: z.string(), stamp: z.string() }),
  z.object({ address: z.string() }),
  z.object({ shard: z.string(), stamp: z.string(), offset: count, length: count }),
  z.object({ table: z.string(), stamp: z.string(), column: z.string(), row: count }),
  z.object({ broken: z.string(), reason: z.string() }),
]);
export type PicturePlace = z.infer<typeof placeSchema>;

export const referenceSchema = z.object({
  /** How annotation files name the picture; unique. */
  file: z.string(),
  /** `file` without its extension; begins the names of files made from it, and is unique as well. */
  name: z.string(),
  place: placeSchema,
});
export type PictureReference = z.infer<typeof referenceSchema>;

/** What messages call a picture. */
export function describePlace(place: PicturePlace): string {
  if ("path" in place) return place.path;
  if ("address" in place) return place.address;
  if ("broken" in place) return place.broken;
  if ("shard" in place) return `${place.shard} at byte ${place.offset}`;
  return `${place.table}, row ${place.row + 1}`;
}

/** What the decoder opens. */
export async function openPlace(place: PicturePlace): Promise<PictureSource> {
  if ("path" in place) return place.path;
  if ("address" in place) return place.address;
  if ("broken" in place) throw new PictureError(place.reason);
  if ("shard" in place) return readPart(place.shard, place.offset, place.length);
  return readCell(place.table, place.column, place.row);
}

async function readPart(shard: string, offset: number, length: number): Promise<Uint8Array> {
  if (length > DEFAULT_MAX_BYTES) {
    throw new PictureError(`${shard}: a picture of ${length} bytes; shrink it`);
  }
  const file = await open(shard, "r").catch((error: NodeJS.ErrnoException) => {
    throw new PictureError(`${shard}: it cannot be read (${error.code}); check the path`);
  });
  try {
    const bytes = new Uint8Array(length);
    const { bytesRead } = await file.read(bytes, 0, length, offset);
    return bytes.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

/** Pictures of the row group that was read last: neighbours follow. */
let cached: { table: string; column: string; start: number; rows: Promise<unknown[]> } | undefined;

async function readCell(path: string, column: string, row: number): Promise<Uint8Array> {
  if (
    cached?.table !== path ||
    cached.column !== column ||
    row < cached.start ||
    row >= cached.start + (await cached.rows).length
  ) {
    const table = await openParquet(path).catch(asPictureError);
    try {
      const group = table.groups.find(({ start, end }) => row >= start && row < end);
      if (!group) throw new PictureError(`${path}: no row ${row + 1}; label it again`);
      cached = { table: path, column, start: group.start, rows: readColumn(table, group, column) };
      await cached.rows;
    } finally {
      await table.close();
    }
  }
  const bytes = bytesOf((await cached.rows)[row - cached.start]);
  if (bytes) return bytes;
  throw new PictureError(`${path}, row ${row + 1}: column "${column}" holds no picture`);
}

async function readColumn(
  table: ParquetTable,
  { start, end }: { start: number; end: number },
  column: string,
): Promise<unknown[]> {
  const rows = await table.rows(start, end, [column]).catch(asPictureError);
  return rows.map((record) => record[column]);
}

/** A table that is broken is told of its pictures, not of the run. */
function asPictureError(error: unknown): never {
  throw error instanceof InputError ? new PictureError(error.message) : error;
}

/** The bytes in a cell: plain, or as Hugging Face's data sets have them, `{ bytes, path }`. */
export function bytesOf(cell: unknown): Uint8Array | undefined {
  if (cell instanceof Uint8Array) return cell;
  if (typeof cell !== "object" || cell === null) return undefined;
  const { bytes } = cell as { bytes?: unknown };
  return bytes instanceof Uint8Array ? bytes : undefined;
}
