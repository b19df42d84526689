// A plain folder of pictures with captions: a `.txt` beside each picture, or one table (CSV, TSV,
// JSON lines, Parquet) or COCO captions file that names pictures and captions.

import { constants } from "node:fs";
import { open, readdir, readFile, realpath, stat } from "node:fs/promises";
import { extname, isAbsolute, join, relative, resolve, sep } from "node:path";
import { InputError } from "../../errors.js";
import {
  captionFault,
  LIMITS,
  type SampleSource,
  type ShardRef,
  type SourceItem,
} from "./source.js";
import { readRecords, textColumn } from "./tables.js";

const PICTURE = /\.(jpe?g|png|webp|gif|bmp|tiff?|avif)$/i;
/** Column names under which tables keep the picture's file, and its caption. */
const FILE_COLUMNS = ["file", "filename", "file_name", "filepath", "image_path", "path", "image"];
const CAPTION_COLUMNS = ["caption", "raw_caption", "text", "title", "description"];
/** COCO's caption file has 90 MB; a JavaScript string ends at 512 MB. */
const MAX_JSON_BYTES = 500 * 2 ** 20;
const MAX_FOLDER_DEPTH = 16;

interface FolderSample {
  /** Path relative to the folder. */
  file: string;
  /** The caption, or undefined where it is read from the `.txt` beside the picture. */
  caption?: string;
}

/**
 * A folder as a source, in shards of `samplesPerShard` in the order of the table, or by name.
 *
 * @param captions table or COCO captions JSON; without it each picture has its `.txt` beside it.
 *   COCO gives one sample for each of a picture's captions.
 * @throws InputError where the folder or table is missing or has no pictures
 */
export async function pictureFolder(
  folder: string,
  captions?: string,
  samplesPerShard = 1000,
): Promise<SampleSource> {
  const root = await realpath(folder).catch(() => {
    throw new InputError(`folder ${folder}: it does not exist; check the path`);
  });
  const samples = captions === undefined ? await listPictures(root) : await listCaptions(captions);
  if (samples.length === 0) {
    throw new InputError(
      captions === undefined
        ? `${folder}: no pictures there; give a folder with pictures`
        : `${captions}: it names no pictures; give a table with a row for each picture`,
    );
  }
  const shards: ShardRef[] = [];
  for (let start = 0; start < samples.length; start += samplesPerShard) {
    const end = Math.min(samples.length, start + samplesPerShard);
    shards.push({ name: `${start}-${end}`, samples: end - start });
  }
  return {
    describe: () => ({
      kind: "folder",
      location: captions === undefined ? folder : `${folder} with ${captions}`,
      shards: shards.length,
      samples: samples.length,
    }),
    shards: () => shards,
    async *open(shard, signal) {
      const index = shards.findIndex((known) => known.name === shard.name);
      if (index < 0) throw new InputError(`shard ${shard.name}: not part of ${folder}`);
      const start = index * samplesPerShard;
      for (const sample of samples.slice(start, start + samplesPerShard)) {
        signal?.throwIfAborted();
        yield await readSample(root, sample);
      }
    },
  };
}

async function readSample(root: string, sample: FolderSample): Promise<SourceItem> {
  const key = sample.file;
  let caption = sample.caption;
  if (caption === undefined) {
    const text = await readInside(root, sample.file.replace(PICTURE, ".txt"), LIMITS.captionBytes);
    if (text === "missing") return { key, skipped: "no caption" };
    if (text === "too large") return { key, skipped: "caption too long" };
    caption = new TextDecoder().decode(text);
  }
  const fault = captionFault(caption);
  if (fault !== undefined) return { key, skipped: fault };
  const image = await readInside(root, sample.file, LIMITS.imageBytes);
  if (image === "missing") return { key, skipped: "no picture" };
  if (image === "too large") return { key, skipped: "too large" };
  return { key, image, caption };
}

/**
 * A regular file below `root`. Names come from tables: one that leads outside, also by a link,
 * counts as missing, and so does a device or pipe.
 */
async function readInside(
  root: string,
  file: string,
  limit: number,
): Promise<Uint8Array | "missing" | "too large"> {
  try {
    if (isAbsolute(file) || file.includes("\0")) return "missing";
    const path = await realpath(resolve(root, file));
    const below = relative(root, path);
    if (below === ".." || below.startsWith(`..${sep}`) || isAbsolute(below)) return "missing";
    // Non-blocking, so that a named pipe cannot hang the loader before it is found to be one.
    const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const { size } = await handle.stat();
      if (!(await handle.stat()).isFile()) return "missing";
      if (size > limit) return "too large";
      const bytes = new Uint8Array(size);
      let filled = 0;
      while (filled < size) {
        const { bytesRead } = await handle.read(bytes, filled, size - filled, filled);
        if (bytesRead === 0) break;
        filled += bytesRead;
      }
      return bytes.subarray(0, filled);
    } finally {
      await handle.close();
    }
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === undefined) throw error;
    return "missing";
  }
}

/** All pictures below the folder, sorted by path; links are not followed. */
async function listPictures(root: string, below = "", depth = 0): Promise<FolderSample[]> {
  if (depth > MAX_FOLDER_DEPTH) return [];
  const entries = await readdir(join(root, below), { withFileTypes: true });
  entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  const samples: FolderSample[] = [];
  for (const entry of entries) {
    const path = below === "" ? entry.name : `${below}/${entry.name}`;
    if (entry.isDirectory()) {
      for (const sample of await listPictures(root, path, depth + 1)) samples.push(sample);
    } else if (entry.isFile() && PICTURE.test(entry.name)) {
      samples.push({ file: path });
    }
  }
  return samples;
}

async function listCaptions(path: string): Promise<FolderSample[]> {
  if (extname(path).toLowerCase() === ".json") return listCocoCaptions(path);
  const samples: FolderSample[] = [];
  for await (const record of readRecords(path)) {
    const file = textColumn(record, FILE_COLUMNS);
    const caption = textColumn(record, CAPTION_COLUMNS);
    // Of JSON lines each may have fields of its own; the first tells whether this is such a table.
    if (samples.length === 0 && (file === undefined || caption === undefined)) {
      throw new InputError(
        `${path}: its columns are ${Object.keys(record).slice(0, 20).join(", ")}; name one of them ` +
          `"file" and one "caption"`,
      );
    }
    samples.push({ file: file ?? "", caption: caption ?? "" });
  }
  return samples;
}

/** COCO's captions_*.json: `images` with id and file_name, `annotations` with image_id and caption. */
async function listCocoCaptions(path: string): Promise<FolderSample[]> {
  const { images, annotations } = (await readJson(path)) as {
    images?: unknown;
    annotations?: unknown;
  };
  if (!Array.isArray(images) || !Array.isArray(annotations)) {
    throw new InputError(
      `${path}: it lacks "images" and "annotations"; give COCO captions or a .csv table`,
    );
  }
  const files = new Map<unknown, string>();
  for (const image of images as ({ id?: unknown; file_name?: unknown } | null)[]) {
    if (typeof image?.file_name === "string") files.set(image.id, image.file_name);
  }
  const samples: FolderSample[] = [];
  let captioned = 0;
  for (const note of annotations as ({ image_id?: unknown; caption?: unknown } | null)[]) {
    const { image_id: id, caption } = note ?? {};
    if (typeof caption === "string") captioned++;
    // What fits nothing is counted when it is read: no caption, or no picture.
    samples.push({
      file: files.get(id) ?? `image_id ${JSON.stringify(id)}`,
      caption: typeof caption === "string" ? caption : "",
    });
  }
  if (samples.length > 0 && captioned === 0) {
    throw new InputError(
      `${path}: its annotations have no captions; give captions_*.json, not instances or keypoints`,
    );
  }
  return samples;
}

/** A JSON object from a file of bounded size. */
export async function readJson(path: string): Promise<object> {
  const { size } = await stat(path).catch(() => {
    throw new InputError(`${path}: it does not exist; check the path`);
  });
  if (size > MAX_JSON_BYTES) {
    throw new InputError(`${path}: ${size} bytes of JSON (at most ${MAX_JSON_BYTES}); split it`);
  }
  let value: unknown;
  try {
    value = JSON.parse(await readFile(path, "utf8"));
  } catch {
    throw new InputError(`${path}: it is not JSON; check the file`);
  }
  if (typeof value !== "object" || value === null) {
    throw new InputError(`${path}: it holds no JSON object; check the file`);
  }
  return value;
}
