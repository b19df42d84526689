// The results of chunks on disk, the ledger of a run: one small file a chunk, written whole, in the order
// of its pictures. What has a file is done; any process may write it, and all would write the same.
//
// Chunks with pictures that were set aside have another ending, so that the next run tries these again.

import { open, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { writeFileAtomic } from "../atomic.node.js";
import type { PictureRecord } from "./record.js";

/** How often a picture may end its process before it is set aside. */
const MAX_ENDS = 3;

/** The pictures of a chunk that were begun. */
export interface Trail {
  readonly ended: number;
  readonly poison: ReadonlySet<number>;
  /** Notes that a picture is begun. */
  mark(picture: number): Promise<void>;
  end(): Promise<void>;
}

/** Whether a file of the results' folder is of a chunk: its records, or its trail. */
export const isOfChunk = (file: string): boolean =>
  /^[0-9a-f]{32}\.(done|partial|retry|trail)\.jsonl$/.test(file);

export class Results {
  /** @param folder that exists */
  constructor(private readonly folder: string) {}

  private path(key: string, ending: "done" | "partial" | "retry" | "trail"): string {
    return join(this.folder, `${key}.${ending}.jsonl`);
  }

  /** Whether a chunk was worked on in this run or stands from an earlier one. */
  async isFinished(key: string): Promise<boolean> {
    return (await this.isDone(key)) || exists(this.path(key, "partial"));
  }

  /** Whether every picture of a chunk is labelled. */
  async isDone(key: string): Promise<boolean> {
    return exists(this.path(key, "done"));
  }

  /** Lets a chunk be worked on again where pictures were set aside. */
  async retry(key: string): Promise<void> {
    await rename(this.path(key, "partial"), this.path(key, "retry")).catch(ignoreMissing);
  }

  /** The records of a finished chunk. */
  async read(key: string): Promise<PictureRecord[]> {
    return (
      (await readLines(this.path(key, "done"))) ??
      (await readLines(this.path(key, "partial"))) ??
      []
    );
  }

  /** Records of an earlier run by picture, without those that were set aside. */
  async standing(key: string): Promise<Map<string, PictureRecord>> {
    const records = (await readLines(this.path(key, "retry"))) ?? [];
    return new Map(records.filter((r) => !("error" in r)).map((record) => [record.name, record]));
  }

  async write(key: string, records: readonly PictureRecord[]): Promise<void> {
    const text = records.map((record) => `${JSON.stringify(record)}\n`).join("");
    const isDone = records.every((record) => !("error" in record));
    await writeFileAtomic(this.path(key, isDone ? "done" : "partial"), text);
    for (const left of ["retry", "trail"] as const) await rm(this.path(key, left), { force: true });
    if (isDone) await rm(this.path(key, "partial"), { force: true });
  }

  /**
   * Begins the trail of a chunk: a line for each picture that is begun, so that what ends a process again
   * and again is found out.
   *
   * @returns how many pictures earlier attempts ended with, and those (by index) that did so too often
   */
  async beginTrail(key: string): Promise<Trail> {
    const path = this.path(key, "trail");
    const lines = (await readFile(path, "utf8").catch(() => "")).split("\n");
    const ends = new Map<number, number>();
    for (const [i, line] of lines.entries()) {
      const isLast = lines[i + 1] === undefined || /^(begin)?$/.test(lines[i + 1]!);
      if (!isLast || !/^\d{1,4}$/.test(line)) continue;
      ends.set(Number(line), (ends.get(Number(line)) ?? 0) + 1);
    }
    const file = await open(path, "a");
    await file.write("begin\n");
    const poison = [...ends].flatMap(([picture, times]) => (times >= MAX_ENDS ? [picture] : []));
    return {
      ended: ends.size,
      poison: new Set(poison),
      async mark(picture) {
        await file.write(`${picture}\n`);
      },
      end: () => file.close(),
    };
  }
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

async function readLines(path: string): Promise<PictureRecord[] | undefined> {
  const text = await readFile(path, "utf8").catch(ignoreMissing);
  return text
    ?.split("\n")
    .slice(0, -1)
    .map((line) => JSON.parse(line) as PictureRecord);
}

function ignoreMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== "ENOENT") throw error;
}
