// The data sets of the evaluation by name: where their files lie, and what their masks mean.

import { dirname, join } from "node:path";
import { InputError } from "../../errors.js";
import { readCells } from "../../train/data/tables.js";
import type {
  ClassificationSet,
  DatasetName,
  LabelledSample,
  SegmentationSet,
} from "../dataset.js";
import { openCocoObject } from "./coco.js";
import { checkName, firstFile, firstFolder, realRoot } from "./files.js";
import { openImagenet } from "./imagenet.js";
import { CONTEXT_CLASSES, VOC_CLASSES } from "./names.js";
import { ARCHIVES, fetchIt, fetchOrUnpack } from "./origins.js";
import {
  CONTEXT_FOLDERS,
  listNames,
  OWN_FOLDERS,
  openVocLayout,
  readClasses,
  VOC_FOLDERS,
} from "./voc-layout.js";

export interface OpenOptions {
  /** List of pictures; default "val", and all pictures where a user's folder has no lists. */
  split?: string;
  signal?: AbortSignal;
}

/**
 * Opens a data set; `checkDataset` then says whether its files are as they should be.
 *
 * @param root the set's folder: `VOCdevkit/VOC2012` or a folder around it, COCO's folder with
 *   `val2017`, a folder in the VOC layout with `classes.txt`, ImageNet's folder or tar shards
 * @throws InputError where the layout is not there; says what is missing and where to get it
 */
export async function openDataset(
  name: Exclude<DatasetName, "imagenet">,
  root: string,
  options?: OpenOptions,
): Promise<SegmentationSet>;
export async function openDataset(
  name: "imagenet",
  root: string,
  options?: OpenOptions,
): Promise<ClassificationSet>;
export async function openDataset(
  name: DatasetName,
  root: string,
  options?: OpenOptions,
): Promise<SegmentationSet | ClassificationSet>;
export async function openDataset(
  name: DatasetName,
  root: string,
  options: OpenOptions = {},
): Promise<SegmentationSet | ClassificationSet> {
  const { split = "val" } = options;
  if (!/^\w[\w.-]*$/.test(split)) {
    throw new InputError(
      `split ${JSON.stringify(split)}: it names no list; give the name of one, such as "val"`,
    );
  }
  switch (name) {
    case "voc":
      return openVocLayout({
        name,
        root: await vocFolder(name, root, "VOC2012"),
        folders: VOC_FOLDERS,
        classes: VOC_CLASSES,
        split,
        listed: true,
        tiers: false,
        advice: fetchIt(ARCHIVES.voc2012),
      });
    case "context":
      return openVocLayout({
        name,
        root: await vocFolder(name, root, "VOC2010"),
        folders: CONTEXT_FOLDERS,
        classes: CONTEXT_CLASSES,
        split,
        listed: true,
        tiers: false,
        advice: `make it with "groupvit data prepare context --root ${root}"`,
      });
    case "coco-object":
      return openCocoObject(await realRoot(root), split === "val" ? "val2017" : split);
    case "imagenet":
      return openImagenet(root, split, options.signal);
    default:
      return openOwn(name, root, options.split);
  }
}

/** The folder of one year of PASCAL VOC in or below `root`. */
export async function vocFolder(
  name: DatasetName,
  root: string,
  year: "VOC2010" | "VOC2012",
): Promise<string> {
  const real = await realRoot(root);
  const folders = ["", year, `VOCdevkit/${year}`].map((below) => join(real, below));
  for (const folder of folders) {
    if ((await firstFolder([join(folder, "JPEGImages")])) !== undefined) return folder;
  }
  const archive = year === "VOC2010" ? ARCHIVES.voc2010 : ARCHIVES.voc2012;
  throw new InputError(
    `data set ${name}: no folder JPEGImages in ${real}, its ${year} or VOCdevkit/${year}; ` +
      (await fetchOrUnpack(archive, [real, dirname(real)])),
  );
}

async function openOwn(
  name: "scenes" | "folder",
  root: string,
  wanted: string | undefined,
): Promise<SegmentationSet> {
  const real = await realRoot(root);
  const advice = ownAdvice(name, root);
  const lists = await listNames(join(real, OWN_FOLDERS.lists));
  const listed = wanted !== undefined || lists.length > 0;
  return openVocLayout({
    name,
    root: real,
    folders: OWN_FOLDERS,
    classes: await ownClasses(name, real, advice),
    split: wanted ?? (listed ? "val" : "all"),
    listed,
    tiers: true,
    advice,
  });
}

function ownAdvice(name: "scenes" | "folder", root: string): string {
  return name === "scenes"
    ? `write the set with "groupvit data scenes-evaluation --out ${root}"`
    : "lay it out as JPEGImages, SegmentationClass, classes.txt and ImageSets/Segmentation/val.txt";
}

async function ownClasses(name: string, root: string, advice: string): Promise<string[]> {
  const path = await firstFile([join(root, "classes.txt")]);
  if (path === undefined) {
    throw new InputError(`data set ${name}: no classes.txt in ${root}; ${advice}`);
  }
  return readClasses(path);
}

/**
 * The single objects of the scenes: one cut-out a picture, on white, of the same classes.
 *
 * @throws InputError where the table is missing or names an unknown class
 */
export async function scenesSingles(root: string): Promise<ClassificationSet> {
  const real = await realRoot(root);
  const advice = ownAdvice("scenes", root);
  const classes = await ownClasses("scenes", real, advice);
  const table = await firstFile([join(real, "single.csv")]);
  if (table === undefined) {
    throw new InputError(`data set scenes: no single.csv in ${real}; ${advice}`);
  }
  const samples: LabelledSample[] = [];
  const names = new Set<string>();
  let header = true;
  for await (const [file = "", label = "", tier = ""] of readCells(table, ",")) {
    if (header) {
      header = false;
      continue;
    }
    checkName(file, table);
    const index = classes.indexOf(label);
    if (index < 0) {
      throw new InputError(
        `${table}: the class "${label}" of ${file} is not in classes.txt; ${advice}`,
      );
    }
    const name = file.replace(/\.\w+$/, "");
    if (names.has(name)) throw new InputError(`${table}: "${name}" is listed twice; remove one`);
    names.add(name);
    samples.push({
      name,
      picture: join(real, file),
      label: index,
      ...(tier === "" ? {} : { tier }),
    });
  }
  if (samples.length === 0) throw new InputError(`${table}: it lists no pictures; ${advice}`);
  return {
    kind: "classification",
    name: "scenes-single",
    root: real,
    split: "single",
    classes,
    samples,
  };
}
