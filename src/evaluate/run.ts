// An evaluation from the set to the result: protocol, ledger, processes, summary.

import { createHash } from "node:crypto";
import { realpath, stat } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { dirname, join } from "node:path";
import { makeFolders, writeFileAtomic } from "../atomic.node.js";
import { loadCheckpoint } from "../checkpoint/load.node.js";
import { InputError } from "../errors.js";
import type { LoadOptions } from "../groupvit.js";
import { readProcessor } from "../input/processor.js";
import { resolveModel } from "../platform.node.js";
import { lockFolder } from "../train/lock.js";
import type {
  ClassificationSet,
  LabelledSample,
  MaskedSample,
  SegmentationSet,
} from "./dataset.js";
import { isFile } from "./datasets/files.js";
import { PUBLISHED_LISTS } from "./datasets/names.js";
import { Ledger } from "./ledger.js";
import type { ClassificationRecord, SegmentationRecord } from "./measure.js";
import { forEachConcurrently, ProcessEnded, ProcessPool } from "./pool.js";
import {
  authorsSegmentation,
  type Protocol,
  protocolChanges,
  STANDARD_PROTOCOLS,
  type StandardProtocol,
} from "./protocol.js";
import type { EvaluationResult } from "./result.js";
import { summariseLabels, summariseMasks } from "./summary.js";
import type { MeasureRecord, MeasureStart, MeasureTask } from "./worker.js";

export type EvaluationSet = SegmentationSet | ClassificationSet;

/** What is known of a model before an engine loads it. */
export interface ModelFacts {
  /** Folder, file or Hub id; undefined for the bundled model. */
  readonly source: string | undefined;
  /** How results name it. */
  readonly name: string;
  readonly sha256: string;
  /** Short side at which it segments best, by its own preprocessor. */
  readonly shortSide: number;
  /** Its background threshold, 0 to 1, by its own preprocessor. */
  readonly threshold: number;
}

/** Reads and hashes a model's weights; the hash does not depend on the container that holds them. */
export async function modelFacts(model: string | undefined): Promise<ModelFacts> {
  const { config, tensors, files } = await loadCheckpoint(await resolveModel(model));
  const hash = createHash("sha256");
  for (const name of [...tensors.keys()].sort()) {
    const { dtype, shape, bytes } = tensors.get(name)!;
    hash.update(`${name} ${dtype} ${shape.join()}\n`).update(bytes);
  }
  const processor = readProcessor(config.vision, files["preprocessor_config.json"]);
  return {
    source: model,
    name: model ?? "bundled",
    sha256: hash.digest("hex"),
    shortSide: processor.segmentationShortSide,
    threshold: processor.segmentationThreshold,
  };
}

/**
 * The protocol that results of a set are compared under: the authors' where the set is published, else
 * the authors' decoding of the set's own class names, one window, at the model's own size and threshold.
 */
export function standardProtocol(set: EvaluationSet, model: ModelFacts): StandardProtocol {
  const standard = (STANDARD_PROTOCOLS as Record<string, StandardProtocol>)[set.name];
  if (standard) return standard;
  if (set.kind === "classification") {
    const protocol = { task: set.kind, words: set.classes, prompts: "simple" } as const;
    return { name: set.name, protocol, published: [] };
  }
  const background = set.background
    ? ({ kind: "threshold", threshold: model.threshold } as const)
    : ({ kind: "none" } as const);
  const authors = authorsSegmentation(set.classes, background);
  const protocol = { ...authors, shortSide: model.shortSide, mode: "whole" } as const;
  return { name: set.name, protocol, published: [] };
}

export interface EvaluateOptions {
  readonly set: EvaluationSet;
  readonly model: ModelFacts;
  readonly dtype?: LoadOptions["dtype"];
  /** Default: the set's standard protocol. */
  readonly protocol?: Protocol;
  /** Folder for the ledger and what is made of it. */
  readonly out: string;
  /** Processes; default: one per core. */
  readonly processes?: number;
  /** Folder for the predicted maps, as indexed PNG files under the pictures' names. */
  readonly save?: string;
  /** Begins again, though pictures are finished already. */
  readonly fresh?: boolean;
  readonly signal?: AbortSignal;
  onProgress?(done: number, total: number): void;
}

/** At most `count` samples, evenly spread over the set. */
export function limitSet<Kind extends EvaluationSet>(set: Kind, count: number): Kind {
  const { samples } = set;
  if (samples.length <= count) return set;
  const chosen = Array.from(
    { length: count },
    (_, i) => samples[Math.floor((i * samples.length) / count)]!,
  );
  return { ...set, samples: chosen, whole: samples.length };
}

/**
 * Measures a model on a set. Killed and run again with the same options, it goes on where it was and
 * ends with the same numbers; pictures and masks that were changed meanwhile are measured again.
 *
 * @throws InputError for a protocol that does not fit the set, an `out` folder of another measurement or at work
 *   in another process, or a file of the set that cannot be used; the message names it
 */
export async function evaluateSet(options: EvaluateOptions): Promise<EvaluationResult> {
  const { set, model, out } = options;
  const standard = standardProtocol(set, model);
  const protocol = options.protocol ?? standard.protocol;
  checkProtocol(set, protocol);
  const unlock = await lockFolder(out);
  try {
    const { records, picturesPerSecond } = await measureAll(options, protocol);
    const result = summarise(set, records, {
      model: { name: model.name, sha256: model.sha256, dtype: options.dtype ?? "fp32" },
      changes: [
        ...protocolChanges(standard.protocol, protocol),
        ...otherChanges(set, options.dtype),
      ],
      published: standard.published,
      picturesPerSecond,
      protocol,
    });
    await writeFileAtomic(join(out, "result.json"), `${JSON.stringify(result, null, 1)}\n`);
    return result;
  } finally {
    await unlock();
  }
}

/** What departs from the standard besides the protocol: another list, some of its pictures, other numbers. */
function otherChanges(set: EvaluationSet, dtype: LoadOptions["dtype"] = "fp32"): string[] {
  const published = (PUBLISHED_LISTS as Record<string, { split: string; pictures: number }>)[
    set.name
  ];
  const { split = set.split, pictures = set.whole ?? set.samples.length } = published ?? {};
  return [
    ...(split === set.split ? [] : [`split: ${split} -> ${set.split}`]),
    ...(pictures === set.samples.length ? [] : [`pictures: ${pictures} -> ${set.samples.length}`]),
    ...(dtype === "fp32" ? [] : [`dtype: fp32 -> ${dtype}`]),
  ];
}

interface Job extends MeasureTask {
  /** What the files of the sample are, for the ledger. */
  files: string;
}

/** Measures what the ledger lacks; gives a record for each sample, in the order of the set. */
async function measureAll(options: EvaluateOptions, protocol: Protocol) {
  const { set, model, out, save, dtype = "fp32" } = options;
  const ledger = await Ledger.open(
    join(out, "ledger.jsonl"),
    {
      format: "groupvit-ledger/1",
      dataset: set.name,
      split: set.split,
      model: model.sha256,
      dtype,
      protocol,
    },
    options.fresh ?? false,
  );
  try {
    return await measureJobs(options, protocol, ledger, await jobsLeft(set, ledger, save));
  } finally {
    await ledger.close();
  }
}

async function measureJobs(
  { set, model, dtype, processes = availableParallelism(), signal, onProgress }: EvaluateOptions,
  protocol: Protocol,
  ledger: Ledger,
  jobs: readonly Job[],
) {
  const began = performance.now();
  const start: MeasureStart = {
    model: model.source,
    dtype,
    protocol,
    root: set.root,
    ...(set.kind === "segmentation" ? { set: headOf(set) } : {}),
  };
  const pool = new ProcessPool<MeasureTask, MeasureRecord>(
    new URL("./worker.js", import.meta.url),
    start,
    processes,
  );
  let done = set.samples.length - jobs.length;
  try {
    await forEachConcurrently(
      jobs,
      pool.capacity,
      async ({ files, ...task }) => {
        await ledger.add({ ...(await pool.run(task)), files });
        onProgress?.(++done, set.samples.length);
      },
      signal,
    );
  } catch (error) {
    if (!(error instanceof ProcessEnded)) throw error;
    throw new Error(`${error.message}; run the command again: finished pictures are kept`);
  } finally {
    pool.close();
  }
  const seconds = (performance.now() - began) / 1000;
  return {
    records: set.samples.map(({ name }) => ledger.records.get(name)!),
    picturesPerSecond: jobs.length / seconds,
  };
}

/** Samples without a record, or whose files are others than those it was made from, or whose map is not saved. */
async function jobsLeft(
  set: EvaluationSet,
  { records }: Ledger,
  save: string | undefined,
): Promise<Job[]> {
  // The set's own paths have no links in them.
  const folder = save === undefined ? undefined : await realpath(save).catch(() => save);
  const jobs: Job[] = [];
  const folders = new Set<string>();
  for (const sample of set.samples) {
    const files = await filesOf(set.root, sample);
    const saved = folder === undefined ? undefined : join(folder, `${sample.name}.png`);
    if (saved !== undefined && (saved === sample.picture || isMaskOf(sample, saved))) {
      throw new InputError(
        `${saved}: the predicted map would take the place of the set's own file; save to another folder`,
      );
    }
    const finished = records.get(sample.name)?.files === files;
    if (finished && (saved === undefined || (await isFile(saved)))) continue;
    jobs.push({ sample, files, ...(saved === undefined ? {} : { save: saved }) });
    if (saved !== undefined) folders.add(dirname(saved));
  }
  for (const path of folders) {
    await makeFolders(path).catch(({ code }: NodeJS.ErrnoException) => {
      throw new InputError(
        `folder ${path} for the predicted maps: it cannot be made (${code}); save to another folder`,
      );
    });
  }
  return jobs;
}

function isMaskOf(sample: MaskedSample | LabelledSample, path: string): boolean {
  return "mask" in sample && sample.mask === path;
}

/** Sizes and times of change of a sample's files: whoever corrects a mask gets new numbers, not the old ones. */
async function filesOf(root: string, sample: MaskedSample | LabelledSample): Promise<string> {
  const { picture } = sample;
  // What is missing is told by the process that reads it.
  const identity = async (path: string) => {
    const found = await stat(path).catch(() => undefined);
    return `${found?.size}-${found?.mtimeMs}`;
  };
  if (typeof picture !== "string") {
    const { shard, offset, length } = picture;
    return `${await identity(join(root, shard))} ${offset}+${length}`;
  }
  const own = await identity(picture);
  return "mask" in sample ? `${own} ${await identity(sample.mask)}` : own;
}

function headOf({ name, root, classes, background, coding }: SegmentationSet) {
  return { name, root, classes, background, coding };
}

function checkProtocol(set: EvaluationSet, protocol: Protocol): void {
  if (protocol.task !== set.kind) {
    throw new InputError(`protocol: ${protocol.task} does not fit ${set.name}, a ${set.kind} set`);
  }
  if (protocol.words.length !== set.classes.length) {
    throw new InputError(
      `protocol: ${protocol.words.length} words for the ${set.classes.length} classes of ${set.name}; ` +
        "give one word list a class",
    );
  }
  if (
    protocol.task === "segmentation" &&
    protocol.background.kind === "threshold" &&
    !(set as SegmentationSet).background
  ) {
    throw new InputError(`protocol: ${set.name} has no background class; use background none`);
  }
}

type Common = Pick<EvaluationResult, "model" | "changes" | "published" | "picturesPerSecond"> & {
  protocol: Protocol;
};

function summarise(
  set: EvaluationSet,
  records: readonly MeasureRecord[],
  { protocol, ...common }: Common,
): EvaluationResult {
  const hash = createHash("sha256");
  for (const { sha256 } of records) hash.update(sha256);
  const head = {
    format: "groupvit-evaluation/1",
    dataset: {
      name: set.name,
      split: set.split,
      pictures: set.samples.length,
      sha256: hash.digest("hex"),
    },
    ...common,
  } as const;
  if (set.kind === "segmentation" && protocol.task === "segmentation") {
    const summary = summariseMasks(set, records as readonly SegmentationRecord[]);
    return { ...head, task: "segmentation", protocol, ...summary };
  }
  if (set.kind === "classification" && protocol.task === "classification") {
    const summary = summariseLabels(set, records as readonly ClassificationRecord[]);
    return { ...head, task: "classification", protocol, ...summary };
  }
  throw new Error("the protocol was checked against the set");
}
