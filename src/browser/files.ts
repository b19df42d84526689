// A model's files as pages come by them: picked, picked as a folder, or dropped.

import { CheckpointError } from "../errors.js";
import type { ModelFiles } from "../platform.js";

/** Files of one model: by path or name, as a list, or what was dropped on the page. */
export type FileSource = ModelFiles | Iterable<File> | DataTransfer;

/** Far more than a model has: a whole disk was dropped. */
const MAX_FILES = 10_000;
const WEIGHTS = /\.(safetensors|bin|pth|pt|index\.json)$/;

/**
 * A model's files by plain name. Of folders, the one nearest to the top that holds weights is taken.
 *
 * Dropped items must be given in the event's handler, before anything is waited for.
 *
 * @throws CheckpointError if no file is there, or too many are
 */
export async function modelFiles(source: FileSource): Promise<ModelFiles> {
  const all = await byPath(source);
  const paths = Object.keys(all);
  if (paths.length === 0) {
    throw new CheckpointError("model: no files; give its folder, or its config and weight files");
  }
  const depth = (path: string) => path.split("/").length;
  const nearest = paths.filter((path) => WEIGHTS.test(path)).sort((a, b) => depth(a) - depth(b))[0];
  const folder = (nearest ?? paths[0]!).replace(/[^/]*$/, "");
  const files: Record<string, ModelFiles[string]> = {};
  for (const path of paths) {
    const name = path.slice(folder.length);
    if (path.startsWith(folder) && !name.includes("/")) files[name] = all[path]!;
  }
  return files;
}

async function byPath(source: FileSource): Promise<ModelFiles> {
  if (source instanceof DataTransfer) return dropped(source);
  if (!isList(source)) return source;
  const files: Record<string, File> = {};
  for (const file of source) files[file.webkitRelativePath || file.name] = file;
  return files;
}

function isList(source: FileSource): source is Iterable<File> {
  return Symbol.iterator in source;
}

/** Everything that was dropped, folders with what they hold. */
async function dropped(transfer: DataTransfer): Promise<ModelFiles> {
  const entries = Array.from(transfer.items, (item) => item.webkitGetAsEntry());
  const files: Record<string, File> = {};
  const plain = Array.from(transfer.files);
  // Items made by a script have files, but no entries.
  if (!entries.some((entry) => entry !== null)) {
    for (const file of plain) files[file.name] = file;
    return files;
  }
  const waiting = entries.filter((entry) => entry !== null);
  for (let entry = waiting.pop(); entry; entry = waiting.pop()) {
    if (entry.isDirectory) waiting.push(...(await entriesOf(entry as FileSystemDirectoryEntry)));
    else files[entry.fullPath.slice(1)] = await fileOf(entry as FileSystemFileEntry);
    if (waiting.length + Object.keys(files).length > MAX_FILES) {
      throw new CheckpointError(
        `model: more than ${MAX_FILES} files were dropped; drop the model's folder alone`,
      );
    }
  }
  return files;
}

async function entriesOf(folder: FileSystemDirectoryEntry): Promise<FileSystemEntry[]> {
  const reader = folder.createReader();
  const all: FileSystemEntry[] = [];
  for (;;) {
    const part = await new Promise<FileSystemEntry[]>((resolve, reject) => {
      reader.readEntries(resolve, reject);
    });
    if (part.length === 0) return all;
    all.push(...part);
  }
}

function fileOf(entry: FileSystemFileEntry): Promise<File> {
  return new Promise((resolve, reject) => entry.file(resolve, reject));
}
