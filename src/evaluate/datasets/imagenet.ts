// ImageNet's validation pictures with their classes: a folder a class, one folder with a list of labels, or
// tar shards.

import { readdir, realpath } from "node:fs/promises";
import { basename, dirname, join, relative } from "node:path";
import { InputError } from "../../errors.js";
import { VOCABULARIES } from "../../input/vocabularies.js";
import { LIMITS } from "../../train/data/source.js";
import { readCells } from "../../train/data/tables.js";
import { readTar } from "../../train/data/tar.js";
import { resolveShards } from "../../train/data/webdataset.js";
import type { ClassificationSet, LabelledSample } from "../dataset.js";
import { firstFile, isFolder, listPictures, readChunks, readLines, realRoot } from "./files.js";
import { ARCHIVES, fetchIt } from "./origins.js";
import { IMAGENET_SYNSETS } from "./synsets.js";

const PICTURE = /\.(jpe?g|png|webp)$/i;
const SYNSET = /^n\d{8}$/;
/** A class number with a line end. */
const MAX_CLASS_BYTES = 64;
const BLOCK = 512;

const classOfSynset = new Map(IMAGENET_SYNSETS.map((id, index) => [id, index]));

/** Class of a WordNet id or a number from 0; undefined for everything else. */
export function imagenetClass(text: string): number | undefined {
  if (SYNSET.test(text)) return classOfSynset.get(text);
  const index = /^\d{1,4}$/.test(text) ? Number(text) : Number.NaN;
  return index < IMAGENET_SYNSETS.length ? index : undefined;
}

function requiredClass(text: string, where: string): number {
  const index = imagenetClass(text);
  if (index !== undefined) return index;
  throw new InputError(
    `${where}: ${JSON.stringify(text.slice(0, 80))} is no class of ImageNet; ` +
      "give the WordNet id, such as n01440764, or a number from 0 to 999 in the order of the ids",
  );
}

/**
 * Opens ImageNet.
 *
 * @param root folder of class folders (WordNet ids or numbers from 0 to 999), of pictures with `val.txt`
 *   or `LOC_val_solution.csv`, of these below `val`, or WebDataset shards with `.cls` entries
 * @throws InputError where none of these is there, or a label is no class
 */
export async function openImagenet(
  root: string,
  split: string,
  signal?: AbortSignal,
): Promise<ClassificationSet> {
  if (/^https?:/.test(root)) {
    throw new InputError(`data set imagenet: ${root} is a web address; download the shards first`);
  }
  if (/\.tar$|[{}*?]/.test(root)) {
    const shards = resolveShards(root);
    const folder = await realRoot(dirname(shards[0] ?? root));
    return imagenetSet(folder, split, await readShards(shards, folder, root, signal));
  }
  const real = await realRoot(root);
  for (const below of [".", split, `ILSVRC/Data/CLS-LOC/${split}`]) {
    const folder = join(real, below);
    if (!(await isFolder(folder))) continue;
    const samples = await readFolder(real, await realpath(folder), split, signal);
    if (samples !== undefined) return imagenetSet(real, split, samples);
  }
  throw new InputError(
    `data set imagenet: ${real} has neither class folders (n01440764, ...), pictures with val.txt or ` +
      `LOC_val_solution.csv, nor .tar shards; ${fetchIt(ARCHIVES.imagenet)} and sort its pictures ` +
      "into a folder a class",
  );
}

function imagenetSet(
  root: string,
  split: string,
  samples: readonly LabelledSample[],
): ClassificationSet {
  if (samples.length === 0) {
    throw new InputError(`data set imagenet: no pictures in ${root}; give .JPEG, .png or .webp`);
  }
  const classes = VOCABULARIES.imagenet.labels;
  return { kind: "classification", name: "imagenet", root, split, classes, samples };
}

/** The samples of a folder, whichever its layout; undefined where it has none of them. */
async function readFolder(
  root: string,
  folder: string,
  split: string,
  signal?: AbortSignal,
): Promise<LabelledSample[] | undefined> {
  const entries = await readdir(folder, { withFileTypes: true });
  const folders = entries.filter((entry) => entry.isDirectory() || entry.isSymbolicLink());
  const classes = folders.map(({ name }) => name).filter((name) => /^(n\d{8}|\d+)$/.test(name));
  if (classes.length > 0) return readClassFolders(folder, classes.sort());
  const files = entries.map(({ name }) => name);
  if (files.some((name) => PICTURE.test(name))) return readFlat(root, folder);
  // The official archives are tar files too, but no shards.
  const shards = files.filter((name) => /\.tar$/.test(name) && !/^ILSVRC2012_/.test(name)).sort();
  if (shards.length === 0) return undefined;
  const ofSplit = shards.filter((name) => name.includes(split));
  const chosen = ofSplit.length > 0 ? ofSplit : shards;
  const paths = chosen.map((name) => join(folder, name));
  return readShards(paths, root, folder, signal);
}

async function readClassFolders(
  folder: string,
  classes: readonly string[],
): Promise<LabelledSample[]> {
  const samples: LabelledSample[] = [];
  for (const name of classes) {
    const label = requiredClass(name, `folder ${join(folder, name)}`);
    for (const [picture, file] of await listPictures(join(folder, name))) {
      samples.push({ name: `${name}/${picture}`, picture: join(folder, name, file), label });
    }
  }
  return samples;
}

/** Pictures side by side; a list names the class of each. */
async function readFlat(root: string, folder: string): Promise<LabelledSample[]> {
  const list = await firstFile([
    join(folder, "val.txt"),
    join(root, "val.txt"),
    join(root, "LOC_val_solution.csv"),
  ]);
  if (list === undefined) {
    throw new InputError(
      `data set imagenet: ${folder} has pictures but no labels; add a val.txt with lines such as ` +
        '"ILSVRC2012_val_00000001.JPEG 65" (number or WordNet id) or LOC_val_solution.csv. ' +
        "ILSVRC2012_validation_ground_truth.txt will not do: its numbers have another order",
    );
  }
  const labels = list.endsWith(".csv") ? await readSolution(list) : await readLabels(list);
  return [...(await listPictures(folder))].map(([name, file]) => {
    const label = labels.get(name);
    if (label === undefined) {
      throw new InputError(`${list}: it lacks ${file}; add its line or remove the picture`);
    }
    return { name, picture: join(folder, file), label };
  });
}

/** Lines of file name (folders before it are left out) and class. */
async function readLabels(list: string): Promise<Map<string, number>> {
  const labels = new Map<string, number>();
  for (const [i, line] of (await readLines(list)).entries()) {
    const [file = "", label = ""] = line.split(/\s+/);
    const name = (file.split("/").at(-1) ?? "").replace(PICTURE, "");
    labels.set(name, requiredClass(label, `${list} line ${i + 1}`));
  }
  return labels;
}

/** Kaggle's table: the second column begins with the WordNet id, boxes follow. */
async function readSolution(list: string): Promise<Map<string, number>> {
  const labels = new Map<string, number>();
  for await (const [name = "", prediction = ""] of readCells(list, ",")) {
    if (name === "ImageId") continue;
    labels.set(name, requiredClass(prediction.split(" ")[0]!, `${list}, ${name}`));
  }
  return labels;
}

interface OpenSample {
  key: string;
  picture?: { offset: number; length: number };
  label?: number;
}

/**
 * Finds the pictures of tar shards; reads through them once, but holds none.
 *
 * @param root what the samples name their shard below
 * @param location names the shards in messages
 */
async function readShards(
  shards: readonly string[],
  root: string,
  location: string,
  signal?: AbortSignal,
): Promise<LabelledSample[]> {
  if (shards.length === 0) {
    throw new InputError(`data set imagenet: no shards at ${location}; check the path or pattern`);
  }
  const samples: LabelledSample[] = [];
  const names = new Set<string>();
  for (const shard of shards) {
    for await (const sample of readShard(shard, root, signal)) {
      if (names.has(sample.name)) {
        throw new InputError(`${shard}: "${sample.name}" comes twice; remove one of the two`);
      }
      names.add(sample.name);
      samples.push(sample);
    }
  }
  return samples;
}

async function* readShard(
  shard: string,
  root: string,
  signal?: AbortSignal,
): AsyncGenerator<LabelledSample> {
  const isClass = (name: string) => name.endsWith(".cls");
  const limit = (name: string) => (isClass(name) ? MAX_CLASS_BYTES : 0);
  let sample: OpenSample | undefined;
  for await (const entry of readTar(readChunks(shard, signal), `shard ${shard}`, limit)) {
    const key = sampleKey(entry.name);
    if (key === undefined) continue;
    if (sample !== undefined && sample.key !== key) {
      yield finished(sample, shard, root);
      sample = undefined;
    }
    sample ??= { key };
    if (isClass(entry.name)) {
      const text = new TextDecoder().decode(entry.bytes ?? new Uint8Array(0)).trim();
      sample.label = requiredClass(text, `shard ${shard}, ${entry.name}`);
    } else if (PICTURE.test(entry.name)) {
      if (entry.size > LIMITS.imageBytes) {
        throw new InputError(
          `shard ${shard}: ${entry.name} has ${entry.size} bytes, more than the ` +
            `${LIMITS.imageBytes} of a picture; write the shard again without it`,
        );
      }
      // Entries are padded to whole blocks.
      const offset = entry.end - Math.ceil(entry.size / BLOCK) * BLOCK;
      sample.picture = { offset, length: entry.size };
    }
  }
  if (sample !== undefined) yield finished(sample, shard, root);
}

/** The name up to the first dot of the file, as WebDataset has it; undefined for hidden files. */
function sampleKey(name: string): string | undefined {
  const slash = name.lastIndexOf("/");
  const dot = name.indexOf(".", slash + 1);
  return dot <= slash + 1 ? undefined : name.slice(0, dot);
}

function finished(
  { key, picture, label }: OpenSample,
  shard: string,
  root: string,
): LabelledSample {
  if (picture === undefined || label === undefined) {
    const missing = picture === undefined ? "picture (.jpg, .png or .webp)" : "class (.cls)";
    throw new InputError(
      `shard ${shard}: "${key}" has no ${missing}; write the shard again with both side by side`,
    );
  }
  const name = `${basename(shard).replace(/\.tar$/, "")}/${key}`;
  return { name, picture: { shard: relative(root, shard), ...picture }, label };
}
