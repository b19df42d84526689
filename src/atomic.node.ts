// Files that are either there in full or not at all, folders for them, and names that any file system takes.

import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, open, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { InputError } from "./errors.js";

/** Names of files that a process was killed over. */
export const LEFTOVER = /^\.[0-9a-f]{18}\.tmp$/;

/**
 * Writes a file under a temporary name, flushes it, then renames it. Readers see the old file or the new
 * one; after a failure the folder is as it was.
 *
 * @param aside where it grows, on the same file system: what a killed process leaves is there then, and not among
 *   the files. Default: the folder of the file
 */
export async function writeFileAtomic(
  path: string,
  bytes: Uint8Array | string,
  aside = dirname(path),
): Promise<void> {
  // Not made from the file's own name: that may already be as long as the file system allows.
  const temporary = join(aside, `.${randomBytes(9).toString("hex")}.tmp`);
  try {
    const file = await open(temporary, "wx");
    try {
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/**
 * Makes a folder for results, with those above it.
 *
 * @throws InputError where that cannot be done
 */
export async function makeFolder(folder: string): Promise<void> {
  await explainWrite(folder, () => makeFolders(folder));
}

/**
 * As `mkdir` with `recursive`, which in Node 20 never returns where a folder cannot hold any (/proc).
 *
 * @returns the outermost folder that was made, if any was
 */
export async function makeFolders(folder: string): Promise<string | undefined> {
  const parent = dirname(folder);
  const outermost =
    parent !== folder && !existsSync(parent) ? await makeFolders(parent) : undefined;
  try {
    await mkdir(folder);
  } catch (error) {
    const there = await stat(folder).catch(() => undefined);
    if (!there?.isDirectory()) throw error;
    return outermost;
  }
  return outermost ?? folder;
}

/**
 * Does work that writes to a place.
 *
 * @throws InputError where the system refuses: no room, no permission, no folder
 */
export async function explainWrite<Value>(
  path: string,
  work: () => Promise<Value>,
): Promise<Value> {
  try {
    return await work();
  } catch (error) {
    const { code, syscall } = error as NodeJS.ErrnoException;
    if (syscall === undefined) throw error;
    throw new InputError(
      `${path}: cannot be written (${code}); choose a folder that may be written to and has room`,
      { cause: error },
    );
  }
}

/** Room for an extension and a number within the 255 bytes that file systems allow. */
const MAX_NAME_BYTES = 120;
const WINDOWS_DEVICE = /^(con|prn|aux|nul|com[0-9]|lpt[0-9])(?=\.|$)/i;

/**
 * A file name made from any text: letters and digits of all scripts, ".", "_" and "-" stay, the rest
 * becomes "-". Never empty, hidden, a path, a device of Windows, or longer than 120 bytes of UTF-8.
 * Different texts may give the same name.
 */
export function safeName(text: string): string {
  const plain = text
    .slice(0, 4 * MAX_NAME_BYTES)
    .normalize("NFC")
    .replace(/[^\p{L}\p{M}\p{N}._-]+/gu, "-")
    .replace(/\.{2,}/g, ".")
    .replace(/^[-.]+/, "");
  let name = "";
  let bytes = 0;
  for (const character of plain) {
    bytes += Buffer.byteLength(character);
    if (bytes > MAX_NAME_BYTES) break;
    name += character;
  }
  name = name.replace(/[-.]+$/, ""); // Windows drops a dot at the end
  if (name === "") return "unnamed";
  return WINDOWS_DEVICE.test(name) ? `x-${name.slice(0, MAX_NAME_BYTES - 2)}` : name;
}
