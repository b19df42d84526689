// What the arguments of a command stand for: pictures from files, folders, patterns, lists, addresses
// and standard input, each with a name for the files made from it.

import { readFile, stat } from "node:fs/promises";
import { basename, dirname, parse, resolve } from "node:path";
import { safeName } from "../atomic.node.js";
import { InputError } from "../errors.js";
import type { PictureSource } from "../input/decode.node.js";
import { isUrl, shorten } from "../input/source.js";
import { glob, isGlob, walk } from "./glob.js";

/** Whether a text is an address rather than a path. */
export const isAddress = (text: string): boolean => isUrl(text);

/** One picture of a batch. */
export interface Source {
  /** As the user sees it: path, address or "-". */
  readonly file: string;
  /** Begins the names of all files made from it; no two of a batch are the same. */
  readonly name: string;
  /** What the decoder opens. */
  open(): PictureSource;
}

/** Pictures that folders are searched for; other files are opened only where they are named. */
const PICTURE = /\.(jpe?g|jfif|png|webp|gif|tiff?|avif)$/i;
/** What this program writes: a second run over a folder must not segment the results of the first. */
const OWN_OUTPUT =
  /\.(mask|overlay|groups|(input|pred|all_groups|first_group|final_group|input_pred|input_pred_label))\.png$/i;

/** Whether a search takes a file: pictures, without those that this program wrote. */
export function isPictureFile(file: string): boolean {
  return PICTURE.test(file) && !OWN_OUTPUT.test(file);
}

const MAX_LIST_BYTES = 64 << 20;
/** File systems take 255 bytes; the rest is for endings and numbers. */
const MAX_NAME_BYTES = 200;
/** Folders that may tell files of equal names apart. */
const MAX_FOLDERS = 20;

/**
 * Finds the pictures: folders are searched with their subfolders, patterns such as "photos/*.jpg"
 * matched, `@list.txt` read line by line (blank lines and those with # in front are skipped), `-` is
 * standard input. What exists under exactly that name is always taken as such. Doubles are dropped.
 *
 * @throws InputError for a folder or pattern without pictures, a list that cannot be read, a second `-`
 */
export async function findSources(args: readonly string[]): Promise<Source[]> {
  const files = new Map<string, string>();
  const add = (file: string) => {
    const key = isAddress(file) || file === "-" ? file : resolve(file);
    if (!files.has(key)) files.set(key, file);
  };
  for (const arg of args) {
    for (const file of await expand(arg, true)) add(file);
  }
  const names = outputNames([...files.values()]);
  return [...files.values()].map((file, i) => ({
    file,
    name: names[i]!,
    open: () => (file === "-" ? process.stdin : file),
  }));
}

async function expand(arg: string, lists: boolean): Promise<string[]> {
  if (arg === "") throw new InputError('picture "": give the path of a picture');
  if (arg === "-" || isAddress(arg)) return [arg];
  const found = await stat(arg).catch(() => undefined);
  if (found?.isDirectory()) {
    const pictures = (await walk(arg)).filter(isPictureFile);
    if (pictures.length === 0) {
      throw new InputError(
        `folder ${shorten(arg)}: no pictures in it (jpg, png, webp, gif, tiff, avif); give another`,
      );
    }
    return pictures;
  }
  if (found) return [arg];
  if (lists && arg.startsWith("@")) return readList(arg.slice(1));
  if (isGlob(arg)) {
    const pictures = (await glob(arg)).filter((file) => !OWN_OUTPUT.test(file));
    if (pictures.length === 0) {
      throw new InputError(`pattern ${shorten(arg)}: no file matches; check the folder's name`);
    }
    return pictures;
  }
  // Reported when its turn comes, so that one wrong path does not stop the others.
  return [arg];
}

async function readList(path: string): Promise<string[]> {
  let text: string;
  try {
    const { size } = await stat(path);
    if (size > MAX_LIST_BYTES) throw new Error(`${size} bytes, at most ${MAX_LIST_BYTES} are read`);
    text = await readFile(path, "utf8");
  } catch (error) {
    const why = shorten((error as Error).message, 120);
    throw new InputError(`list @${shorten(path)}: cannot be read (${why}); check the path`);
  }
  const lines = text
    .replace(/^\ufeff/, "")
    .split(/\r\n|\r|\n/)
    .filter((line) => line.trim() !== "" && !line.startsWith("#"));
  if (lines.length === 0) {
    throw new InputError(`list @${shorten(path)}: empty; give one path or address a line`);
  }
  const files: string[] = [];
  // A list within a list could name itself.
  for (const line of lines) for (const file of await expand(line, false)) files.push(file);
  return files;
}

/**
 * Names for output files, one for each input. As short as they can be while no two are the same: the
 * file's name without its ending, else with it, else with the folders that tell it apart
 * (`a/dog.jpg` and `b/dog.jpg` are `a_dog.jpg` and `b_dog.jpg`), else numbered. Upper and lower case
 * count as the same, as on Windows and macOS.
 */
export function outputNames(files: readonly string[]): string[] {
  const candidates = files.map(candidateNames);
  const names = new Array<string>(files.length);
  let open = files.map((_, i) => i);
  for (let level = 0; open.length > 0; level++) {
    const groups = new Map<string, number[]>();
    for (const i of open) {
      const list = candidates[i]!;
      const name = list[Math.min(level, list.length - 1)]!;
      const key = name.toLowerCase();
      names[i] = name;
      groups.set(key, [...(groups.get(key) ?? []), i]);
    }
    open = [];
    for (const group of groups.values()) {
      if (group.length > 1 && group.some((i) => level + 1 < candidates[i]!.length)) {
        for (const i of group) open.push(i);
      }
    }
  }
  const used = new Set<string>();
  return names.map((name) => {
    let unique = name;
    for (let n = 2; used.has(unique.toLowerCase()); n++) unique = `${name}-${n}`;
    used.add(unique.toLowerCase());
    return unique;
  });
}

/** Names for one file, the shortest first. */
function candidateNames(file: string): string[] {
  if (file === "-") return ["stdin"];
  // What a file is called, this system takes; addresses may hold anything.
  let path = file;
  let name = (text: string) => (Buffer.byteLength(text) > MAX_NAME_BYTES ? safeName(text) : text);
  if (isAddress(file)) {
    const url = URL.canParse(file) ? new URL(file) : undefined;
    if (!url || url.host === "") return ["picture"];
    path = `/${url.hostname}${decodeQuietly(url.pathname)}`.replace(/\/+$/, "");
    name = safeName;
  }
  const parsed = parse(path);
  const list = [name(parsed.name), name(parsed.base)];
  let suffix = parsed.base;
  for (let folder = dirname(resolve(path)); list.length < MAX_FOLDERS; folder = dirname(folder)) {
    if (basename(folder) === "") break;
    suffix = `${basename(folder)}_${suffix}`;
    list.push(name(suffix));
  }
  return list;
}

function decodeQuietly(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}
