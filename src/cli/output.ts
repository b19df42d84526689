// Where results go: files in a folder, written whole or not at all, and one JSON document on stdout.

import { dirname, join } from "node:path";
import { explainWrite, makeFolder, writeFileAtomic } from "../atomic.node.js";
import { print } from "./terminal.js";

/** Writes a file into a folder that exists and gives its path. */
export async function writeInto(
  folder: string,
  name: string,
  bytes: Uint8Array | string,
): Promise<string> {
  const path = join(folder, name);
  await explainWrite(path, () => writeFileAtomic(path, bytes));
  return path;
}

/** Writes a file, making its folder. */
export async function writeTo(path: string, bytes: Uint8Array | string): Promise<void> {
  await makeFolder(dirname(path));
  await explainWrite(path, () => writeFileAtomic(path, bytes));
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
