// Sets in the layout of PASCAL VOC: pictures, masks and lists of names in three folders.

import { readdir, realpath } from "node:fs/promises";
import { join } from "node:path";
import { InputError } from "../../errors.js";
import { parseLabels } from "../../input/vocabularies.js";
import type { MaskCoding, MaskedSample, SegmentationSet } from "../dataset.js";
import {
  firstFolder,
  isFile,
  isFolder,
  listPictures,
  openFile,
  pictureName,
  readLines,
  readNames,
  readPart,
} from "./files.js";
import { isColour, PNG_HEADER_BYTES, pngHeader } from "./png-header.js";

/** Lists that say which pictures a split has, and not which part of a split they are. */
const SPLIT_LISTS = new Set(["train", "val", "trainval", "test"]);
/** Mask values end at 254, since 255 is not counted. */
const MAX_CLASSES = 254;

/** Folders of the layout; the first of several that exists is taken. */
export interface VocFolders {
  readonly pictures: readonly string[];
  readonly masks: readonly string[];
  readonly lists: string;
}

export const VOC_FOLDERS: VocFolders = {
  pictures: ["JPEGImages"],
  masks: ["SegmentationClass"],
  lists: "ImageSets/Segmentation",
};

export const CONTEXT_FOLDERS: VocFolders = {
  pictures: ["JPEGImages"],
  masks: ["SegmentationClassContext"],
  lists: "ImageSets/SegmentationContext",
};

/** A user's own pictures. */
export const OWN_FOLDERS: VocFolders = {
  pictures: ["JPEGImages", "images"],
  masks: ["SegmentationClass", "masks"],
  lists: "ImageSets/Segmentation",
};

export interface VocSet {
  readonly name: string;
  readonly root: string;
  readonly folders: VocFolders;
  readonly classes: readonly string[];
  readonly split: string;
  /** Without a list all pictures are taken. */
  readonly listed: boolean;
  /** Whether the other lists of the folder are tiers. */
  readonly tiers: boolean;
  /** What to do where a folder or the list is missing. */
  readonly advice: string;
}

/**
 * Opens a set in this layout. Files are not looked into, but for the kind of the first mask.
 *
 * @throws InputError where a folder or the list is missing, or a name leads out of its folder
 */
export async function openVocLayout(source: VocSet): Promise<SegmentationSet> {
  const { name, root, folders, classes, split, advice } = source;
  const pictures = await requiredFolder(source, folders.pictures);
  const masks = await requiredFolder(source, folders.masks);
  const list = join(root, folders.lists, `${split}.txt`);
  if (source.listed && !(await isFile(list))) {
    const lists = await listNames(join(root, folders.lists));
    const there = lists.length > 0 ? `; there are lists for ${lists.join(", ")}` : "";
    throw new InputError(`data set ${name}: ${list} does not exist${there}; ${advice}`);
  }
  const pictureFiles = await listPictures(pictures);
  const maskFiles = await listPictures(masks);
  const names = source.listed ? await readNames(list) : [...pictureFiles.keys()];
  if (names.length === 0) {
    throw new InputError(`data set ${name}: no pictures in ${pictures}; give .jpg, .png or .webp`);
  }
  if (source.listed) checkExtensions(list, names, pictureFiles);
  else checkMasks(masks, maskFiles, pictureFiles);
  const tiers = source.tiers ? await readTiers(join(root, folders.lists), split) : undefined;
  const samples = names.map((sample): MaskedSample => {
    const tier = tiers?.get(sample);
    return {
      name: sample,
      // Where a file is missing, `checkDataset` says so under the usual name.
      picture: join(pictures, pictureFiles.get(sample) ?? `${sample}.jpg`),
      mask: join(masks, maskFiles.get(sample) ?? `${sample}.png`),
      ...(tier === undefined ? {} : { tier }),
    };
  });
  return {
    kind: "segmentation",
    name,
    root,
    split,
    classes,
    background: true,
    coding: await maskCoding(samples[0]!.mask),
    samples,
  };
}

/** Refuses a list of files instead of names, as it is often written. */
function checkExtensions(list: string, names: readonly string[], files: Map<string, string>) {
  const file = names.find((name) => !files.has(name) && files.has(pictureName(name)));
  if (file === undefined) return;
  throw new InputError(
    `${list}: "${file}" has an extension; write names without, as in "${pictureName(file)}"`,
  );
}

/** Without a list, a mask alone means a picture that is missing or of a kind that is not looked for. */
function checkMasks(folder: string, masks: Map<string, string>, files: Map<string, string>) {
  for (const [name, mask] of masks) {
    if (files.has(name)) continue;
    throw new InputError(
      `${join(folder, mask)}: there is no picture "${name}" to this mask; add it as .jpg, .png or .webp, ` +
        "or remove the mask",
    );
  }
}

async function requiredFolder(
  { name, root, advice }: VocSet,
  among: readonly string[],
): Promise<string> {
  const found = await firstFolder(among.map((folder) => join(root, folder)));
  // The folder itself may be a link to where the pictures lie; what is below it must stay inside.
  if (found !== undefined) return realpath(found);
  throw new InputError(`data set ${name}: no folder ${among.join(" or ")} in ${root}; ${advice}`);
}

/** The splits or tiers that a folder has lists for. */
export async function listNames(folder: string): Promise<string[]> {
  if (!(await isFolder(folder))) return [];
  const files = (await readdir(folder)).filter((file) => /^[^.].*\.txt$/.test(file));
  return files.map((file) => file.slice(0, -".txt".length)).sort();
}

/** Tier by name: every list that is no split names the members of one. */
async function readTiers(folder: string, split: string): Promise<Map<string, string>> {
  const tiers = new Map<string, string>();
  for (const tier of await listNames(folder)) {
    if (tier === split || SPLIT_LISTS.has(tier)) continue;
    const list = join(folder, `${tier}.txt`);
    for (const name of await readNames(list)) {
      const other = tiers.get(name);
      if (other !== undefined) {
        throw new InputError(
          `${list}: "${name}" is also in ${other}.txt, but a picture has one tier; ` +
            "remove it from one of the two, or the list that is no tier",
        );
      }
      tiers.set(name, tier);
    }
  }
  return tiers;
}

/** Colours where the first mask has them; a set does not mix the two. */
async function maskCoding(mask: string): Promise<MaskCoding> {
  const file = await openFile(mask).catch(() => undefined);
  if (file === undefined) return { kind: "values" };
  try {
    const header = pngHeader(await readPart(file, 0, PNG_HEADER_BYTES));
    return { kind: header !== undefined && isColour(header) ? "colours" : "values" };
  } finally {
    await file.close();
  }
}

/** The word that the model is asked for. */
function checkWord(name: string, where: string): string {
  try {
    return parseLabels([name])[0]!;
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    throw new InputError(`${where}: ${error.message}`);
  }
}

/**
 * The classes of a user's set, without the background that its list begins with.
 *
 * @throws InputError where the list does not begin with it, or has an empty, unusable or repeated line
 */
export async function readClasses(path: string): Promise<string[]> {
  const [first, ...classes] = await readLines(path);
  if (first !== "background") {
    throw new InputError(
      `${path}: its first line is ${JSON.stringify((first ?? "").slice(0, 80))}, not "background"; ` +
        "write background first, then the class of mask value 1, and so on",
    );
  }
  if (classes.length === 0 || classes.length > MAX_CLASSES) {
    throw new InputError(
      `${path}: ${classes.length} classes after the background; give 1 to ${MAX_CLASSES}`,
    );
  }
  // Names that differ in case alone are one word to the model.
  const lines = new Map([["background", 1]]);
  for (const [i, name] of classes.entries()) {
    const line = i + 2;
    if (name === "") {
      throw new InputError(`${path}: line ${line} is empty; name the class of mask value ${i + 1}`);
    }
    const word = checkWord(name, `${path} line ${line}`).toLowerCase();
    const other = lines.get(word);
    if (other !== undefined) {
      throw new InputError(`${path}: lines ${other} and ${line} are both "${word}"; rename one`);
    }
    lines.set(word, line);
  }
  return classes;
}
