// What the published data sets lack when they are unpacked is made here, and what they should have is
// counted: masks of PASCAL Context and of COCO's objects, and the lists they are evaluated on.

import { dirname, join } from "node:path";
import { makeFolders, writeFileAtomic } from "../../atomic.node.js";
import { InputError } from "../../errors.js";
import type { ClassificationSet, DatasetName, SegmentationSet } from "../dataset.js";
import { checkDataset } from "./check.js";
import { cocoPictures, findCocoMasks } from "./coco.js";
import { makeCocoMasks } from "./coco-masks.js";
import { makeContextMasks } from "./context-masks.js";
import { firstFile, isFile, readLines, readNames, realRoot } from "./files.js";
import { imagenetClass } from "./imagenet.js";
import type { MadeMasks, MakeOptions } from "./made.js";
import { PUBLISHED_LISTS } from "./names.js";
import { openDataset, vocFolder } from "./open.js";
import { ARCHIVES, fetchIt, fetchOrUnpack } from "./origins.js";

export type PrepareOptions = MakeOptions;

export interface PrepareReport extends MadeMasks {
  readonly dataset: DatasetName;
  readonly root: string;
  readonly split: string;
  readonly pictures: number;
  /** What was found or made, a sentence each. */
  readonly notes: readonly string[];
}

const IMAGENET_PICTURES_PER_CLASS = 50;

/** Classes of the first validation pictures: lists in the order of the development kit get them wrong. */
const IMAGENET_FIRST = ["n01751748", "n09193705", "n02105855", "n04263257", "n03125729"];

/**
 * Makes a data set ready for the evaluation: writes what is missing and can be made, checks every file and
 * the published counts. What was made before, whole, is kept, so that an interrupted call goes on.
 *
 * @throws InputError where something is missing that cannot be made: says which archive has it, and where
 *   that is offered
 */
export async function prepareDataset(
  name: DatasetName,
  root: string,
  options: PrepareOptions = {},
): Promise<PrepareReport> {
  switch (name) {
    case "voc":
      return prepareVoc(root, options);
    case "context":
      return prepareContext(root, options);
    case "coco-object":
      return prepareCoco(root, options);
    case "imagenet":
      return prepareImagenet(root, options);
    default:
      return finish(name, await openDataset(name, root, options), options);
  }
}

/** Checks the set and reports. */
async function finish(
  dataset: DatasetName,
  set: SegmentationSet | ClassificationSet,
  { signal, onProgress }: PrepareOptions,
  { made, kept }: MadeMasks = { made: 0, kept: 0 },
  notes: readonly string[] = [],
): Promise<PrepareReport> {
  await checkDataset(set, {
    signal,
    onProgress: (done, total) => onProgress?.(done, total, "check"),
  });
  const { root, split, samples } = set;
  return { dataset, root, split, pictures: samples.length, made, kept, notes };
}

/** What to do where pictures of a published set are missing; reads its archive where it lies beside. */
function adviceFor(archive: keyof typeof ARCHIVES, root: string, signal?: AbortSignal) {
  const around = [root, dirname(root), dirname(dirname(root))];
  return fetchOrUnpack(ARCHIVES[archive], around, signal);
}

async function checkCount(
  what: string,
  found: number,
  expected: number,
  advice: () => Promise<string>,
): Promise<void> {
  if (found === expected) return;
  throw new InputError(
    `${what}: ${found} pictures, the published set has ${expected}; ${await advice()}`,
  );
}

/** @param expected pictures of the list; the published number but for tests */
export async function prepareVoc(
  root: string,
  options: PrepareOptions,
  expected: number = PUBLISHED_LISTS.voc.pictures,
): Promise<PrepareReport> {
  const set = await openDataset("voc", root, options);
  const list = join(set.root, "ImageSets/Segmentation/val.txt");
  await checkCount(list, set.samples.length, expected, () =>
    adviceFor("voc2012", set.root, options.signal),
  );
  return finish("voc", set, options);
}

/** @param expected pictures of the list; the published number but for tests */
export async function prepareContext(
  root: string,
  options: PrepareOptions,
  expected: number = PUBLISHED_LISTS.context.pictures,
): Promise<PrepareReport> {
  const folder = await vocFolder("context", root, "VOC2010");
  const list = join(folder, "ImageSets/SegmentationContext/val.txt");
  const notes: string[] = [];
  if (!(await isFile(list))) {
    const source = join(folder, "ImageSets/Main/val.txt");
    await writeContextList(source, list, expected, () =>
      adviceFor("voc2010", folder, options.signal),
    );
    notes.push(`wrote ${list} from ${source}`);
  }
  const names = await readNames(list);
  const masks = await makeContextMasks(folder, names, options);
  const set = await openDataset("context", folder, options);
  const report = await finish("context", set, options, masks, notes);
  // Last, so that a part of the set can be evaluated, too.
  await checkCount(list, names.length, expected, async () => "remove it to have it made anew");
  return report;
}

/** The set is annotated on all pictures of VOC 2010, and evaluated on its validation part. */
async function writeContextList(
  source: string,
  list: string,
  expected: number,
  advice: () => Promise<string>,
): Promise<void> {
  if (!(await isFile(source))) {
    throw new InputError(
      `data set context: neither ${list} nor ${source} exists; ${await advice()}`,
    );
  }
  const names = (await readLines(source)).map((line) => line.split(/\s+/)[0]!);
  await checkCount(source, names.length, expected, advice);
  await makeFolders(dirname(list));
  await writeFileAtomic(list, `${names.join("\n")}\n`);
}

/** @param expected pictures of the split; the published number but for tests */
export async function prepareCoco(
  root: string,
  options: PrepareOptions,
  expected: number = PUBLISHED_LISTS["coco-object"].pictures,
): Promise<PrepareReport> {
  const real = await realRoot(root);
  const split = "val2017";
  const { folder, files } = await cocoPictures(real, split);
  const names = [...files.keys()];
  const there = await findCocoMasks(real, split, names);
  const complete = there?.found === names.length;
  const masks = complete
    ? { made: 0, kept: names.length }
    : await makeCocoMasks(await instancesFile(real), real, split, names, options);
  const used = await findCocoMasks(real, split, names);
  const notes = used === undefined ? [] : [`masks: ${used.what}`];
  if (!complete) notes.push("the published results were measured on masks from COCO-Stuff maps");
  const set = await openDataset("coco-object", real);
  const report = await finish("coco-object", set, options, masks, notes);
  // Last, so that a part of the set can be evaluated, too.
  await checkCount(folder, files.size, expected, () =>
    adviceFor("cocoPictures", real, options.signal),
  );
  return report;
}

async function instancesFile(root: string): Promise<string> {
  const wanted = join(root, "annotations/instances_val2017.json");
  const file = await firstFile([wanted, join(root, "instances_val2017.json")]);
  if (file !== undefined) return file;
  throw new InputError(
    `data set coco-object: ${wanted} does not exist; ${fetchIt(ARCHIVES.cocoInstances)}, or, for the ` +
      `masks that the published results were measured on, ${fetchIt(ARCHIVES.cocoStuff)} and unpack ` +
      `it in ${join(root, "annotations")}`,
  );
}

/** @param expected pictures of each class; the published number but for tests */
export async function prepareImagenet(
  root: string,
  options: PrepareOptions,
  expected: number = IMAGENET_PICTURES_PER_CLASS,
): Promise<PrepareReport> {
  const set = await openDataset("imagenet", root, options);
  await checkCount(set.root, set.samples.length, expected * set.classes.length, () =>
    adviceFor("imagenet", set.root, options.signal),
  );
  const counts = new Uint32Array(set.classes.length);
  for (const { label } of set.samples) counts[label]!++;
  const wrong = counts.findIndex((count) => count !== expected);
  if (wrong >= 0) {
    throw new InputError(
      `${set.root}: class ${wrong} (${set.classes[wrong]}) has ${counts[wrong]} pictures, not ` +
        `${expected}; sort the pictures into their classes anew`,
    );
  }
  checkFirstLabels(set);
  return finish("imagenet", set, options);
}

function checkFirstLabels(set: ClassificationSet): void {
  for (const { name, label } of set.samples) {
    const number = /ILSVRC2012_val_0000000([1-5])$/.exec(name)?.[1];
    if (number === undefined) continue;
    const synset = IMAGENET_FIRST[Number(number) - 1]!;
    if (imagenetClass(synset) === label) continue;
    throw new InputError(
      `${set.root}: "${name}" is labelled ${set.classes[label]}, but belongs to ${synset}; the labels ` +
        "are in another order, such as the development kit's: use the WordNet ids",
    );
  }
}
