// Where results go: files in a folder, written whole or not at all, and one JSON document on stdout.

import { existsSync } from "node:fs";
import { mkdir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { writeFileAtomic } from "../atomic.node.js";
import { InputError } from "../errors.js";
import { print } from "./terminal.js";

/** Makes a folder for results, with those above it. */
export async function makeFolder(folder: string): Promise<void> {
  await explained(folder, () => makeFolders(folder));
}

/** As `mkdir` with `recursive`, which in Node 20 never returns where a folder cannot hold any (/proc). */
async function makeFolders(folder: string): Promise<void> {
  const parent = dirname(folder);
  if (parent !== folder && !existsSync(parent)) await makeFolders(parent);
  try {
    await mkdir(folder);
  } catch (error) {
    const there = await stat(folder).catch(() => undefined);
    if (!there?.isDirectory()) throw error;
  }
}

/** Writes a file into a folder that exists and gives its path. */
export async function writeInto(
  folder: string,
  name: string,
  bytes: Uint8Array | string,
): Promise<string> {
  const path = join(folder, name);
  await explained(path, () => writeFileAtomic(path, bytes));
  return path;
}

/** Writes a file, making its folder. */
export async function writeTo(path: string, bytes: Uint8Array | string): Promise<void> {
  await makeFolder(dirname(path));
  await explained(path, () => writeFileAtomic(path, bytes));
}

async function explained(path: string, work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === undefined) throw error;
    throw new InputError(
      `${path}: cannot be written (${code}); choose a folder that may be written to and has room`,
      { cause: error },
    );
  }
}

/** What went wrong with one picture of a batch. */
export interface BatchError {
  file: string;
  error: string;
}

/**
 * A JSON document `{ ...head, "images": [...], "errors": [...], ...tail }` that is written while a batch
 * runs, so that its length does not matter. It is closed properly whatever happens.
 */
export class BatchDocument {
  private images = 0;

  constructor(private readonly head: Record<string, unknown>) {}

  async add(image: unknown): Promise<void> {
    await print(`${this.images === 0 ? this.opening() : ","}\n    ${JSON.stringify(image)}`);
    this.images++;
  }

  async close(errors: readonly BatchError[], tail: Record<string, unknown> = {}): Promise<void> {
    const start = this.images === 0 ? `${this.opening()}]` : "\n  ]";
    const rest = Object.entries({ errors, ...tail })
      .map(([key, value]) => `,\n  ${JSON.stringify(key)}: ${JSON.stringify(value)}`)
      .join("");
    await print(`${start}${rest}\n}\n`);
  }

  private opening(): string {
    const fields = Object.entries(this.head).map(
      ([key, value]) => `\n  ${JSON.stringify(key)}: ${JSON.stringify(value)},`,
    );
    return `{${fields.join("")}\n  "images": [`;
  }
}
