// COCO's 80 objects as a segmentation set: val2017's pictures with masks that lie beside them.

import { realpath } from "node:fs/promises";
import { join } from "node:path";
import { InputError } from "../../errors.js";
import type { MaskCoding, SegmentationSet } from "../dataset.js";
import { firstFolder, isFolder, listPictures } from "./files.js";
import { COCO_CLASSES, cocoStuffTable } from "./names.js";
import { ARCHIVES, fetchIt } from "./origins.js";

/** What the masks that `prepareDataset` makes are called, as in the authors' preparation. */
export const OBJECT_SUFFIX = "_instanceTrainIds";

/** Masks of one kind in one folder. */
export interface CocoMasks {
  readonly what: string;
  readonly coding: MaskCoding;
  /** File of a picture, whether it exists or not. */
  readonly file: (name: string) => string;
  /** For how many of the pictures they exist. */
  readonly found: number;
}

/** Pictures of a split by name, in COCO's folder or the `images` in it. */
export async function cocoPictures(
  root: string,
  split: string,
): Promise<{ folder: string; files: Map<string, string> }> {
  const found = await firstFolder([join(root, split), join(root, "images", split)]);
  const folder = found === undefined ? undefined : await realpath(found);
  const files = folder === undefined ? undefined : await listPictures(folder);
  if (folder === undefined || files === undefined || files.size === 0) {
    throw new InputError(
      `data set coco-object: no pictures in ${join(root, split)} or ${join(root, "images", split)}; ` +
        `${fetchIt(ARCHIVES.cocoPictures)} and unpack it there`,
    );
  }
  return { folder, files };
}

/** The masks that most pictures have; objects before COCO-Stuff maps where both are complete. */
export async function findCocoMasks(
  root: string,
  split: string,
  names: readonly string[],
): Promise<CocoMasks | undefined> {
  let best: CocoMasks | undefined;
  for (const below of ["annotations", "stuffthingmaps"]) {
    const folder = join(root, below, split);
    if (!(await isFolder(folder))) continue;
    const real = await realpath(folder);
    const files = await listPictures(real);
    for (const stuff of [false, true]) {
      const suffix = stuff ? "" : OBJECT_SUFFIX;
      const found = names.filter((name) => files.has(`${name}${suffix}`)).length;
      if (found <= (best?.found ?? 0)) continue;
      best = {
        what: stuff ? `COCO-Stuff maps in ${folder}` : `object masks in ${folder}`,
        coding: { kind: "values", ...(stuff ? { table: cocoStuffTable() } : {}) },
        file: (name) => join(real, files.get(`${name}${suffix}`) ?? `${name}${suffix}.png`),
        found,
      };
    }
  }
  return best;
}

/**
 * Opens COCO's objects.
 *
 * @param split folder of the pictures, such as "val2017"
 * @throws InputError where pictures or all masks are missing
 */
export async function openCocoObject(root: string, split: string): Promise<SegmentationSet> {
  const { folder, files } = await cocoPictures(root, split);
  const masks = await findCocoMasks(root, split, [...files.keys()]);
  if (masks === undefined) {
    throw new InputError(
      `data set coco-object: no masks in ${join(root, "annotations", split)}; ` +
        `make them with "groupvit data prepare coco-object --root ${root}"`,
    );
  }
  return {
    kind: "segmentation",
    name: "coco-object",
    root,
    split,
    classes: COCO_CLASSES,
    background: true,
    coding: masks.coding,
    samples: [...files].map(([name, file]) => ({
      name,
      picture: join(folder, file),
      mask: masks.file(name),
    })),
  };
}
