// Files that are whole or absent: written under a temporary name in the same folder, then renamed.

import { type FileHandle, open, readdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { makeFolder } from "../../atomic.node.js";
import { ConfigError, InputError } from "../../errors.js";

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

/**
 * Makes a folder for shards and notes there how they are made, so that the shards of two data sets never
 * mix. The same settings may come again, to go on or to begin anew.
 *
 * @param name of the note
 * @throws ConfigError where its shards are made otherwise; InputError where it has some of which nothing is known
 */
export async function claimFolder(
  folder: string,
  name: string,
  settings: Readonly<Record<string, unknown>>,
): Promise<void> {
  const path = join(folder, name);
  const own = `${JSON.stringify(settings)}\n`;
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [] as string[];
    throw new InputError(`folder ${folder}: it cannot be written (${error.code}); give another`);
  });
  const found = names.includes(name) ? await readFile(path, "utf8") : undefined;
  if (found === own) return;
  if (found !== undefined) {
    throw new ConfigError(
      `${path}: the folder was begun with other settings (${found.trim()}, now ${own.trim()}); ` +
        "use a new folder",
    );
  }
  if (names.some((other) => other.endsWith(".tar"))) {
    throw new InputError(`folder ${folder}: it holds shards already; use a new folder`);
  }
  await makeFolder(folder);
  await writeAtomically(path, (file) => file.writeFile(own));
}
