// Looks through a data set before anything runs for long: every file is there, is what it should be, pictures
// and masks fit, and every pixel of a mask has a class.

import { realpath, stat } from "node:fs/promises";
import { join, relative, resolve, sep } from "node:path";
import sharp from "sharp";
import { InputError, PictureError } from "../../errors.js";
import { pictureFormat } from "../../input/header.js";
import { checkSize, DEFAULT_MAX_PIXELS } from "../../input/limits.js";
import { shorten } from "../../input/source.js";
import type {
  ClassificationSet,
  LabelledSample,
  MaskedSample,
  SegmentationSet,
} from "../dataset.js";
import { openFile, readPart } from "./files.js";
import { maskFault, readMask } from "./masks.js";
import { pngHeader } from "./png-header.js";

type AnySet = SegmentationSet | ClassificationSet;

export interface CheckOptions {
  signal?: AbortSignal;
  onProgress?: (done: number, total: number) => void;
}

/** Enough to tell formats, and for the header of a PNG. */
const HEAD_BYTES = 1024;
/** Samples that are looked at together: reading files waits more than it works. */
const AT_ONCE = 16;

/**
 * Checks every sample of a set, with memory that does not grow with it: first that all files are there and fit,
 * then the values of all masks. Damaged pixels of pictures show only when they are decoded.
 *
 * @throws InputError for the first sample, in order, that is wrong: names the file and what to do
 */
export async function checkDataset(
  set: AnySet,
  { signal, onProgress }: CheckOptions = {},
): Promise<void> {
  const count = set.samples.length;
  if (count === 0) {
    throw new InputError(`data set ${set.name}: the split "${set.split}" is empty; name another`);
  }
  const masked = set.kind === "segmentation" ? set.samples : [];
  const total = count + masked.length;
  const checkAt = (i: number) =>
    set.kind === "segmentation"
      ? checkMasked(set, set.samples[i]!)
      : checkLabelled(set, set.samples[i]!);
  for (let start = 0; start < count; start += AT_ONCE) {
    signal?.throwIfAborted();
    const end = Math.min(count, start + AT_ONCE);
    const results = await Promise.allSettled(
      Array.from({ length: end - start }, (_, i) => checkAt(start + i)),
    );
    for (const result of results) if (result.status === "rejected") throw result.reason;
    onProgress?.(end, total);
  }
  // One after another: a large mask takes memory.
  for (const [i, sample] of masked.entries()) {
    signal?.throwIfAborted();
    await readMask(set as SegmentationSet, sample);
    onProgress?.(count + i + 1, total);
  }
}

async function checkMasked(set: SegmentationSet, sample: MaskedSample): Promise<void> {
  const picture = await pictureSize(set, sample);
  const mask = await fileHead(set, "mask", sample.name, sample.mask);
  const fault = maskFault(mask, set);
  if (fault !== undefined) throw new InputError(`${sample.mask}: ${fault}`);
  const { width, height } = pngHeader(mask)!;
  if (width === picture.width && height === picture.height) return;
  const turned = picture.turned && width === picture.height && height === picture.width;
  throw new InputError(
    `${sample.mask}: the mask is ${width} x ${height} pixels, its picture ${sample.picture} ` +
      `${picture.width} x ${picture.height}; ` +
      (turned
        ? "the picture's EXIF orientation turns it: save it upright without that tag, or turn the mask"
        : "give a mask of the picture's size"),
  );
}

/** Size of the upright picture, and whether its EXIF orientation swaps the sides. */
async function pictureSize(set: SegmentationSet, { name, picture }: MaskedSample) {
  await checkPicture(set, name, picture);
  try {
    const { autoOrient, width } = await sharp(picture, { limitInputPixels: false }).metadata();
    checkSize(picture, autoOrient.width, autoOrient.height, DEFAULT_MAX_PIXELS);
    return { ...autoOrient, turned: autoOrient.width !== width };
  } catch (error) {
    if (error instanceof PictureError) throw error;
    const why = shorten((error as Error).message, 120);
    throw new PictureError(`${picture}: damaged or cut short (${why}); save or download it again`);
  }
}

/** Refuses a picture that is missing, outside the set, or of a format that is not decoded. */
async function checkPicture(set: AnySet, name: string, picture: string): Promise<void> {
  pictureFormat(picture, await fileHead(set, "picture", name, picture));
}

async function checkLabelled(
  set: ClassificationSet,
  { name, picture }: LabelledSample,
): Promise<void> {
  if (typeof picture === "string") return checkPicture(set, name, picture);
  const shard = join(set.root, picture.shard);
  const file = await openFile(shard);
  try {
    const { size } = await file.stat();
    if (picture.offset + picture.length > size) {
      throw new InputError(`shard ${shard}: it ends within "${name}"; fetch it again`);
    }
    const head = await readPart(file, picture.offset, Math.min(HEAD_BYTES, picture.length));
    pictureFormat(`shard ${shard}, ${name}`, head);
  } finally {
    await file.close();
  }
}

async function fileHead(
  { root, split }: AnySet,
  what: "picture" | "mask",
  name: string,
  path: string,
): Promise<Uint8Array> {
  if (!(await exists(path))) {
    throw new InputError(
      `${path}: the ${what} of "${name}" is missing; add it, or leave it out of the split "${split}"`,
    );
  }
  const file = await openFile(path);
  try {
    await checkInside(root, name, path);
    return await readPart(file, 0, HEAD_BYTES);
  } finally {
    await file.close();
  }
}

/**
 * Refuses a file that a link leads to outside the set. The folder that a set's names stand in may itself
 * be a link: whoever made the layout chose it.
 */
async function checkInside(root: string, name: string, path: string): Promise<void> {
  const real = await realpath(path);
  const base = resolve(path, ...name.split("/").map(() => ".."));
  if (isBelow(root, real) || isBelow(base, real)) return;
  throw new InputError(
    `${path}: it is a link that leads out of the data set, to ${real}; copy the file there`,
  );
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}

function isBelow(folder: string, path: string): boolean {
  const below = relative(folder, path);
  return below !== ".." && !below.startsWith(`..${sep}`) && resolve(folder, below) === path;
}
