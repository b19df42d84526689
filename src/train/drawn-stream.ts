// Batches of drawn samples: threads draw ahead while the engine computes, in pieces that any thread may
// take; what a sample is depends on its number alone.

import { Worker } from "node:worker_threads";
import type { SampleNouns } from "./data/nouns.js";
import { type DrawConfig, drawer } from "./draw.js";
import type { Share } from "./parallel.js";
import type { BatchStream, StreamBatch } from "./stream.js";

/** What a thread is started with. */
export interface DrawStart {
  config: DrawConfig;
  /** Shared memory for the patches of all batches in work. */
  patches: SharedArrayBuffer;
}

export interface DrawRequest {
  task: number;
  /** Number of the first sample, and how many follow it. */
  first: number;
  count: number;
  /** Their side in pixels. */
  size: number;
  /** Where in the shared memory the first one goes, in floats. */
  place: number;
}

export interface DrawReply {
  task: number;
  texts: { caption: number[]; prompts: number[][]; nouns: SampleNouns }[];
  error?: string;
}

/** Batches in work or waiting; two keep the threads busy during the longest step. */
const AHEAD = 2;
/** Samples that a thread takes at a time. */
const PIECE = 16;

/** What one batch consists of. */
interface DrawnBatch {
  batch: number;
  /** Samples of the batch that are drawn. */
  share: Share;
  /** Side of a sample in pixels. */
  size: number;
}

export interface DrawnStreamOptions {
  /** Taken in turns. */
  batches: readonly DrawnBatch[];
  /** 0 draws in this thread, when asked. */
  workers: number;
  /** Number of the first sample. */
  start: number;
}

/** Floats of the samples that are drawn. */
function floatsOf({ share, size }: DrawnBatch): number {
  return share.count * perSample(size);
}

function perSample(size: number): number {
  return size * size * 3;
}

/** The stream; its positions are `{ index }`, the number of the next sample. */
export function drawnStream(
  config: DrawConfig,
  { batches, workers, start }: DrawnStreamOptions,
): BatchStream {
  return workers === 0
    ? drawHere(config, batches, start)
    : drawInThreads(config, batches, start, workers);
}

function drawHere(config: DrawConfig, batches: readonly DrawnBatch[], start: number): BatchStream {
  const draw = drawer(config);
  const patches = new Float32Array(Math.max(...batches.map(floatsOf)));
  let index = start;
  let number = 0;
  return {
    async next() {
      const turn = batches[number++ % batches.length]!;
      const { batch, share, size } = turn;
      const result: StreamBatch = {
        patches: patches.subarray(0, floatsOf(turn)),
        captions: [],
        prompts: [],
        nouns: [],
        position: undefined,
      };
      for (let i = 0; i < share.count; i++) {
        const sample = draw(index + share.start + i, size);
        patches.set(sample.patches, i * perSample(size));
        result.captions.push(sample.caption);
        result.prompts.push(sample.prompts);
        result.nouns.push(sample.nouns);
      }
      index += batch;
      return { ...result, position: { index } };
    },
    close: async () => {},
  };
}

function drawInThreads(
  config: DrawConfig,
  batches: readonly DrawnBatch[],
  start: number,
  workers: number,
): BatchStream {
  const largest = Math.max(...batches.map(floatsOf));
  const shared = new SharedArrayBuffer(AHEAD * largest * 4);
  const workerData: DrawStart = { config, patches: shared };
  const waiting = new Map<
    number,
    { resolve: (reply: DrawReply) => void; reject: (error: Error) => void }
  >();
  let failure: Error | undefined;
  const fail = (error: Error): void => {
    failure ??= error;
    for (const { reject } of waiting.values()) reject(error);
    waiting.clear();
  };
  const load = new Array<number>(workers).fill(0);
  const threads = load.map((_, thread) => {
    const worker = new Worker(new URL("./draw-worker.js", import.meta.url), { workerData });
    worker.on("message", (reply: DrawReply) => {
      const task = waiting.get(reply.task);
      waiting.delete(reply.task);
      load[thread]!--;
      if (reply.error !== undefined) task?.reject(new Error(`data worker: ${reply.error}`));
      else task?.resolve(reply);
    });
    worker.on("error", fail);
    worker.on("exit", (code) => fail(new Error(`data worker: it ended with code ${code}`)));
    return worker;
  });
  let tasks = 0;
  const send = (request: Omit<DrawRequest, "task">): Promise<DrawReply> =>
    new Promise((resolve, reject) => {
      if (failure) return reject(failure);
      const task = tasks++;
      const thread = load.indexOf(Math.min(...load));
      load[thread]!++;
      waiting.set(task, { resolve, reject });
      threads[thread]!.postMessage({ ...request, task } satisfies DrawRequest);
    });

  let index = start;
  let number = 0;
  const startBatch = () => {
    const turn = batches[number % batches.length]!;
    const { batch, share, size } = turn;
    const place = (number % AHEAD) * largest;
    const first = index + share.start;
    number++;
    index += batch;
    const pieces: Promise<DrawReply>[] = [];
    for (let at = 0; at < share.count; at += PIECE) {
      const count = Math.min(PIECE, share.count - at);
      pieces.push(send({ first: first + at, count, size, place: place + at * perSample(size) }));
    }
    const done = Promise.all(pieces);
    // It may fail before anybody waits for it.
    done.catch(() => {});
    return { place, floats: floatsOf(turn), end: index, done };
  };
  const queue = Array.from({ length: AHEAD }, startBatch);
  // The engine takes no shared memory.
  const memory = new Float32Array(largest);
  return {
    async next() {
      const { place, floats, end, done } = queue.shift()!;
      const texts = (await done).flatMap((reply) => reply.texts);
      const patches = memory.subarray(0, floats);
      patches.set(new Float32Array(shared, place * 4, floats));
      queue.push(startBatch());
      return {
        patches,
        captions: texts.map(({ caption }) => caption),
        prompts: texts.map(({ prompts }) => prompts),
        nouns: texts.map(({ nouns }) => nouns),
        position: { index: end },
      };
    },
    async close() {
      for (const worker of threads) worker.removeAllListeners("exit");
      await Promise.all(threads.map((worker) => worker.terminate()));
    },
  };
}
