// Pictures are labelled in chunks of a few, which are what processes and queues hand around. The index
// on disk lists them in order; it is read as a stream, so that its length does not matter.

import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { open } from "node:fs/promises";
import { createInterface } from "node:readline";
import { Names } from "./names.js";
import type { PicturePlace, PictureReference } from "./reference.js";

/** A picture that a source holds. */
export interface FoundPicture {
  /** Path relative to its source, for names. */
  readonly path: string;
  readonly place: PicturePlace;
}

export interface Chunk {
  /** Names the result: the hash of what the chunk refers to. */
  readonly key: string;
  readonly pictures: readonly PictureReference[];
}

const MIN_PICTURES = 8;
const MAX_PICTURES = 32;
/** One picture in so many ends a chunk. */
const ENDS = 12;

/**
 * Parts pictures into chunks. Which picture ends a chunk depends on the picture itself, so that one that
 * is added or removed changes its own chunk and leaves the others, and their results, as they were.
 */
export async function* chunksOf(
  found: AsyncIterable<FoundPicture> | Iterable<FoundPicture>,
): AsyncGenerator<Chunk> {
  const names = new Names();
  let pictures: PictureReference[] = [];
  for await (const { path, place } of found) {
    const reference = { ...names.next(path), place };
    pictures.push(reference);
    const ends = createHash("sha1").update(reference.file).digest()[0]! % ENDS === 0;
    if ((pictures.length >= MIN_PICTURES && ends) || pictures.length === MAX_PICTURES) {
      yield chunk(pictures);
      pictures = [];
    }
  }
  if (pictures.length > 0) yield chunk(pictures);
}

function chunk(pictures: readonly PictureReference[]): Chunk {
  const key = createHash("sha256").update(JSON.stringify(pictures)).digest("hex").slice(0, 32);
  return { key, pictures };
}

/** Writes the index. @returns how much there is */
export async function writeIndex(
  path: string,
  chunks: AsyncIterable<Chunk>,
  onProgress?: (pictures: number) => void,
): Promise<{ pictures: number; chunks: number }> {
  const file = await open(path, "w");
  const total = { pictures: 0, chunks: 0 };
  try {
    for await (const chunk of chunks) {
      await file.write(`${JSON.stringify(chunk)}\n`);
      total.chunks++;
      total.pictures += chunk.pictures.length;
      onProgress?.(total.pictures);
    }
  } finally {
    await file.close();
  }
  return total;
}

/** The chunks of an index that this process wrote. */
export async function* readIndex(path: string): AsyncGenerator<Chunk> {
  const stream = createReadStream(path);
  try {
    for await (const line of createInterface({
      input: stream,
      crlfDelay: Number.POSITIVE_INFINITY,
    })) {
      yield JSON.parse(line) as Chunk;
    }
  } finally {
    stream.destroy();
  }
}
