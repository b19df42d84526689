// What the makers of masks share.

import type { FileHandle } from "node:fs/promises";
import { open } from "node:fs/promises";
import { readPart } from "./files.js";
import { PNG_HEADER_BYTES, pngHeader } from "./png-header.js";

export interface MakeOptions {
  signal?: AbortSignal;
  /** Called after each file; `what` names the work in a word. */
  onProgress?: (done: number, total: number, what: string) => void;
}

export interface MadeMasks {
  /** Masks that were written now. */
  readonly made: number;
  /** Masks that were there already. */
  readonly kept: number;
}

/** The chunk that ends every PNG file. */
const END = "\0\0\0\0IEND\xae\x42\x60\x82";

/** Whether a PNG file is there from its first to its last chunk. */
export async function isWholePng(path: string): Promise<boolean> {
  let file: FileHandle;
  try {
    file = await open(path, "r");
  } catch {
    return false;
  }
  try {
    const { size } = await file.stat();
    if (size < PNG_HEADER_BYTES + END.length) return false;
    if (pngHeader(await readPart(file, 0, PNG_HEADER_BYTES)) === undefined) return false;
    const end = await readPart(file, size - END.length, END.length);
    return String.fromCharCode(...end) === END;
  } finally {
    await file.close();
  }
}
