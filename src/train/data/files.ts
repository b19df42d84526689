// Files that are whole or absent: written under a temporary name in the same folder, then renamed.

import { type FileHandle, open, rename, rm } from "node:fs/promises";

/** Writes through `write` and renames when it returns; on an error nothing is left behind. */
export async function writeAtomically(
  path: string,
  write: (file: FileHandle) => Promise<void>,
): Promise<void> {
  const temporary = `${path}.partial-${process.pid}`;
  const file = await open(temporary, "w");
  try {
    await write(file);
    await file.sync();
    await file.close();
    await rename(temporary, path);
  } catch (error) {
    await file.close().catch(() => {});
    await rm(temporary, { force: true });
    throw error;
  }
}

/** Writes all of `bytes` at `position`; a single `write` may stop short, on a full disk above all. */
export async function writeFully(
  file: FileHandle,
  bytes: Uint8Array,
  position: number,
): Promise<void> {
  let written = 0;
  while (written < bytes.length) {
    const left = bytes.length - written;
    written += (await file.write(bytes, written, left, position + written)).bytesWritten;
  }
}
