// The threads that prepare samples: a bounded number in flight, results in the order of the samples,
// whatever the number of threads.

import { Worker } from "node:worker_threads";
import type { SampleNouns } from "./nouns.js";
import type { OrderedSample } from "./order.js";
import { type Prepare, type PrepareConfig, type Prepared, preparer } from "./prepare.js";
import { isSkipped, type RawSample, type SkipReason } from "./source.js";

/** What a thread is started with. */
export interface WorkerStart {
  config: PrepareConfig;
  /** Shared memory in which results are left, one slot of `slotLength` floats a sample in flight. */
  slots: SharedArrayBuffer;
  slotLength: number;
}

export interface WorkerRequest {
  /** Names the request, and where its pixels go. */
  slot: number;
  sample: RawSample;
  seed: string;
}

export type WorkerReply =
  | { slot: number; skipped: SkipReason }
  | { slot: number; caption: number[]; prompts: number[][]; nouns: SampleNouns }
  | { slot: number; error: string };

/** Samples that one thread decodes at a time: one in libvips, one in JavaScript. */
const LANES = 2;

/** Lets only two samples be in work at a time, so that waiting ones are held encoded. */
export function boundedPrepare(prepare: Prepare): Prepare {
  let active = 0;
  const waiting: (() => void)[] = [];
  return async (sample, seed) => {
    if (active >= LANES) await new Promise<void>((resolve) => waiting.push(resolve));
    else active++;
    try {
      return await prepare(sample, seed);
    } finally {
      // The place is handed over directly, so that nobody slips in between.
      const next = waiting.shift();
      if (next) next();
      else active--;
    }
  };
}

interface Pool {
  /** Prepares a sample in a slot that no other sample in flight has. */
  prepare(slot: number, sample: RawSample, seed: string): Promise<Prepared>;
  /** Fails the samples that are waited for, and all later ones. */
  fail(error: Error): void;
  close(): Promise<void>;
}

/** The floats of one slot. */
export function slotView({ slots, slotLength }: WorkerStart, slot: number): Float32Array {
  return new Float32Array(slots, slot * slotLength * 4, slotLength);
}

export function startPool(config: PrepareConfig, workers: number, slotCount: number): Pool {
  if (workers === 0) {
    const prepare = boundedPrepare(preparer(config));
    // Work in this thread ends by itself within milliseconds.
    return {
      prepare: (_, sample, seed) => prepare(sample, seed),
      fail: () => {},
      close: async () => {},
    };
  }
  // Shared slots rather than transferred arrays: those cost the engine's thread 1.6 ms of garbage
  // collection a sample.
  const slotLength = 3 * config.size * config.size;
  const start: WorkerStart = {
    config,
    slots: new SharedArrayBuffer(slotCount * slotLength * 4),
    slotLength,
  };
  const waiting = new Map<
    number,
    { resolve: (result: Prepared) => void; reject: (error: Error) => void }
  >();
  let failure: Error | undefined;
  const load = new Array<number>(workers).fill(0);
  const fail = (error: Error): void => {
    failure ??= error;
    for (const { reject } of waiting.values()) reject(error);
    waiting.clear();
  };
  const threads = load.map((_, thread) => {
    const worker = new Worker(new URL("./worker.js", import.meta.url), { workerData: start });
    worker.on("message", (reply: WorkerReply) => {
      const task = waiting.get(reply.slot);
      if (!task) return;
      waiting.delete(reply.slot);
      load[thread]!--;
      if ("error" in reply) task.reject(new Error(`data worker: ${reply.error}`));
      else if ("skipped" in reply) task.resolve(reply);
      else task.resolve({ ...reply, pixels: slotView(start, reply.slot) });
    });
    worker.on("error", fail);
    worker.on("exit", (code) => fail(new Error(`data worker: it ended with code ${code}`)));
    return worker;
  });
  return {
    prepare: (slot, sample, seed) =>
      new Promise((resolve, reject) => {
        if (failure) return reject(failure);
        const thread = load.indexOf(Math.min(...load));
        load[thread]!++;
        waiting.set(slot, { resolve, reject });
        threads[thread]!.postMessage({ slot, sample, seed } satisfies WorkerRequest);
      }),
    fail,
    close: async () => {
      for (const worker of threads) worker.removeAllListeners("exit");
      await Promise.all(threads.map((worker) => worker.terminate()));
    },
  };
}

/** A sample in its place in the order, prepared or found unusable. */
export interface PreparedInOrder {
  ordered: OrderedSample;
  /** Its pixels are overwritten once the next sample is asked for. */
  prepared: Prepared;
}

/**
 * Prepares samples in `workers` threads (0: in this one), at most `prefetch` ahead of the consumer.
 * Leaving the loop, or the signal, ends the threads.
 */
export async function* prepareInOrder(
  samples: AsyncGenerator<OrderedSample>,
  config: PrepareConfig,
  seedOf: (sample: OrderedSample) => string,
  { workers, prefetch, signal }: { workers: number; prefetch: number; signal?: AbortSignal },
): AsyncGenerator<PreparedInOrder> {
  const pool = startPool(config, workers, prefetch);
  const pending: { slot: number; task: Promise<PreparedInOrder> }[] = [];
  const free = Array.from({ length: prefetch }, (_, slot) => slot);
  // Samples that are waited for fail at once; a race with the signal would keep every sample's promise.
  const onAbort = (): void => pool.fail(signal!.reason);
  signal?.addEventListener("abort", onAbort, { once: true });
  const start = async (slot: number, ordered: OrderedSample): Promise<PreparedInOrder> => {
    const { item } = ordered;
    if (isSkipped(item)) return { ordered, prepared: { skipped: item.skipped } };
    return { ordered, prepared: await pool.prepare(slot, item, seedOf(ordered)) };
  };
  try {
    for (;;) {
      while (pending.length < prefetch) {
        signal?.throwIfAborted();
        const next = await samples.next();
        if (next.done) break;
        const slot = free.pop()!;
        const task = start(slot, next.value);
        // It may fail before anybody waits for it.
        task.catch(() => {});
        pending.push({ slot, task });
      }
      const first = pending.shift();
      if (first === undefined) return;
      const result = await first.task;
      signal?.throwIfAborted();
      yield result;
      free.push(first.slot);
    }
  } finally {
    signal?.removeEventListener("abort", onAbort);
    await pool.close();
    await samples.return(undefined);
  }
}
