// A labelling run from references to annotation files: manifest, index, engine, composition. What is
// finished stands on disk, so that a run that was killed goes on where it was.

import { createHash } from "node:crypto";
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import {
  type AnnotationFormatName,
  type AnnotationOptions,
  checkLabels,
} from "../annotate/index.js";
import { JsonList } from "../annotate/json-list.js";
import { explainWrite, LEFTOVER } from "../atomic.node.js";
import { forEachConcurrently, ProcessEnded, ProcessPool } from "../evaluate/pool.js";
import { type Chunk, chunksOf, type FoundPicture, readIndex, writeIndex } from "./chunks.js";
import { Composer, type FormatSummary, Output } from "./compose.js";
import { claimFolder, layout, type Manifest } from "./manifest.js";
import type { LabelTask } from "./process.js";
import type { FailedRecord } from "./record.js";
import { Results } from "./results.js";
import { ReviewQueue } from "./review.js";

/** What labels chunks: processes of this machine, or workers behind a queue. */
export interface LabelEngine {
  /**
   * Resolves when every task has its result.
   *
   * @param tasks all that had no result when the run began; may be gone through more than once
   * @param onDone called with each task that is finished
   */
  work(
    tasks: () => AsyncIterable<LabelTask>,
    onDone: (task: LabelTask) => void,
    signal: AbortSignal,
  ): Promise<void>;
  /** Who is at work, for the progress line. */
  remark?(): string;
}

export interface LabelOptions {
  readonly found: AsyncIterable<FoundPicture>;
  readonly manifest: Manifest;
  /** Folder for the results. */
  readonly to: string;
  readonly formats: readonly AnnotationFormatName[];
  readonly annotation?: AnnotationOptions;
  /** Length of the review queue. */
  readonly review: number;
  readonly limitPixels?: number;
  /** Forgets results that are there. */
  readonly fresh?: boolean;
  readonly engine: LabelEngine;
  readonly signal?: AbortSignal;
  /** Pictures found so far. */
  onFound?(pictures: number): void;
  /** Pictures that this run has labelled or set aside, of those that did not stand. */
  onProgress?(done: number, total: number): void;
  /** A picture that was set aside. */
  onSetAside?(failed: FailedRecord): void;
}

export interface LabelSummary {
  readonly pictures: number;
  readonly labelled: number;
  readonly setAside: number;
  /** Labelled by earlier runs already. */
  readonly stood: number;
  readonly formats: readonly FormatSummary[];
}

/**
 * Labels pictures. Run again with the same options after it was killed, it goes on where it was and ends
 * with the same files, byte for byte.
 *
 * @throws InputError for labels that a format cannot hold, a folder of other results, or one that cannot be written
 */
export async function labelPictures(options: LabelOptions): Promise<LabelSummary> {
  return explainWrite(options.to, () => label(options));
}

async function label(options: LabelOptions): Promise<LabelSummary> {
  const { manifest, to, formats, annotation = {}, engine } = options;
  for (const format of formats) checkLabels(format, manifest.labels, annotation);
  await claimFolder(to, manifest, options.fresh ?? false);
  const places = layout(to);
  const results = new Results(places.results);
  const total = await writeIndex(places.index, chunksOf(options.found), options.onFound);
  const missing = await writeIndex(places.pending, unfinished(places.index, results));
  const stood = total.pictures - missing.pictures;
  const run = createHash("sha256").update(JSON.stringify(manifest)).digest("hex");
  const ended = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, ended.signal]) : ended.signal;
  async function* tasks(): AsyncGenerator<LabelTask> {
    for await (const chunk of readIndex(places.pending)) {
      yield { to, run, chunk, limitPixels: options.limitPixels };
    }
  }
  try {
    let done = 0;
    const onDone = ({ chunk }: LabelTask) => {
      done += chunk.pictures.length;
      options.onProgress?.(done, missing.pictures);
    };
    const composed = compose(options, results, signal);
    const [summary] = await Promise.all([composed, engine.work(tasks, onDone, signal)]);
    await removeFiles(places.results, [LEFTOVER, OF_A_RUN]);
    await removeFiles(to, [LEFTOVER]);
    return { pictures: total.pictures, stood, ...summary };
  } finally {
    ended.abort(new Error("the run has ended"));
  }
}

/** Chunks of an index that do not stand, those with pictures that were set aside included. */
async function* unfinished(index: string, results: Results): AsyncGenerator<Chunk> {
  for await (const chunk of readIndex(index)) {
    if (await results.isDone(chunk.key)) continue;
    await results.retry(chunk.key);
    yield chunk;
  }
}

/** How long the composition waits for the next chunk before it looks again. */
const POLL_MS = 50;

async function compose(
  { to, manifest, formats, annotation = {}, review, onSetAside }: LabelOptions,
  results: Results,
  signal: AbortSignal,
): Promise<Pick<LabelSummary, "labelled" | "setAside" | "formats">> {
  const places = layout(to);
  const output = new Output(to, places.parts);
  await output.begin();
  const composer = new Composer(output, formats, manifest.labels, annotation);
  const queue = new ReviewQueue(manifest.labels, review);
  const failures = new JsonList("set-aside.json", 0, "[");
  let [labelled, setAside] = [0, 0];
  const fail = async (failed: FailedRecord) => {
    setAside++;
    onSetAside?.(failed);
    await output.write(failures.add(failed));
  };
  for await (const { key, pictures } of readIndex(places.index)) {
    while (!(await results.isFinished(key))) await sleep(POLL_MS, undefined, { signal });
    signal.throwIfAborted();
    const records = await results.read(key);
    for (const [i, reference] of pictures.entries()) {
      const record = records[i]!;
      if ("error" in record) {
        await fail(record);
        continue;
      }
      labelled++;
      queue.add(reference, record);
      for (const refused of await composer.add(reference, record)) await fail(refused);
    }
  }
  const summary = await composer.end();
  await output.write(failures.end("]\n"));
  await output.end();
  await queue.write({ list: join(to, "review.json"), sheet: join(to, "review.png") }, signal);
  return { labelled, setAside, formats: summary };
}

/** What only a run at work needs. */
const OF_A_RUN = /\.(trail|retry)\.jsonl$|^pending\.jsonl$/;

async function removeFiles(folder: string, patterns: readonly RegExp[]): Promise<void> {
  for (const file of await readdir(folder)) {
    if (patterns.some((pattern) => pattern.test(file))) {
      await rm(join(folder, file), { force: true });
    }
  }
}

/** A chunk that ends its processes is given again, often enough to find out every picture that does so. */
const ATTEMPTS_PER_PICTURE = 4;

/** Labels a chunk in the pool, again where its process is killed or crashes. */
export async function labelInPool(
  pool: ProcessPool<LabelTask, void>,
  task: LabelTask,
): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await pool.run(task);
    } catch (error) {
      if (!(error instanceof ProcessEnded)) throw error;
      if (attempt >= ATTEMPTS_PER_PICTURE * task.chunk.pictures.length) throw error;
    }
  }
}

/** Processes that label; end them with `close`. */
export function labelPool(processes: number): ProcessPool<LabelTask, void> {
  return new ProcessPool(new URL("./process.js", import.meta.url), undefined, processes);
}

/** Labels on this machine, in processes of one engine thread each. */
export function localEngine(processes: number): LabelEngine {
  return {
    async work(tasks, onDone, signal) {
      const pool = labelPool(processes);
      const label = async (task: LabelTask) => {
        await labelInPool(pool, task);
        onDone(task);
      };
      try {
        await forEachConcurrently(tasks(), pool.capacity, label, signal);
      } finally {
        pool.close();
      }
    },
  };
}
