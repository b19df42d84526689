// The threads that prepare samples: a bounded number in flight, results in the order of the samples,
// whatever the number of threads.

import { Worker } from "node:worker_threads";
import type { OrderedSample } from "./order.js";
import { type Prepare, type PrepareConfig, type Prepared, preparer } from "./prepare.js";
import { isSkipped, type RawSample } from "./source.js";

export interface WorkerRequest {
  id: number;
  sample: RawSample;
  seed: string;
}

export type WorkerReply = { id: number; result: Prepared } | { id: number; error: string };

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
  prepare: Prepare;
  close(): Promise<void>;
}

function startPool(config: PrepareConfig, workers: number): Pool {
  if (workers === 0) return { prepare: boundedPrepare(preparer(config)), close: async () => {} };
  const waiting = new Map<
    number,
    { resolve: (result: Prepared) => void; reject: (error: Error) => void; thread: number }
  >();
  let nextId = 0;
  let failure: Error | undefined;
  const load = new Array<number>(workers).fill(0);
  const fail = (error: Error): void => {
    failure ??= error;
    for (const { reject } of waiting.values()) reject(error);
    waiting.clear();
  };
  const threads = load.map((_, thread) => {
    const worker = new Worker(new URL("./worker.js", import.meta.url), { workerData: config });
    worker.on("message", (reply: WorkerReply) => {
      const task = waiting.get(reply.id);
      if (!task) return;
      waiting.delete(reply.id);
      load[thread]!--;
      if ("error" in reply) task.reject(new Error(`data worker: ${reply.error}`));
      else task.resolve(reply.result);
    });
    worker.on("error", fail);
    worker.on("exit", (code) => fail(new Error(`data worker: it ended with code ${code}`)));
    return worker;
  });
  return {
    prepare: (sample, seed) =>
      new Promise((resolve, reject) => {
        if (failure) return reject(failure);
        const thread = load.indexOf(Math.min(...load));
        load[thread]!++;
        const id = nextId++;
        waiting.set(id, { resolve, reject, thread });
        threads[thread]!.postMessage({ id, sample, seed } satisfies WorkerRequest);
      }),
    close: async () => {
      for (const worker of threads) worker.removeAllListeners("exit");
      await Promise.all(threads.map((worker) => worker.terminate()));
    },
  };
}

/** A sample in its place in the order, prepared or found unusable. */
export interface PreparedInOrder {
  ordered: OrderedSample;
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
  const pool = startPool(config, workers);
  const pending: Promise<PreparedInOrder>[] = [];
  let onAbort: (() => void) | undefined;
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal!.reason);
    signal?.addEventListener("abort", onAbort, { once: true });
  });
  // Both may fail while nobody is waiting for them.
  aborted.catch(() => {});
  const start = async (ordered: OrderedSample): Promise<PreparedInOrder> => {
    const { item } = ordered;
    if (isSkipped(item)) return { ordered, prepared: { skipped: item.skipped } };
    return { ordered, prepared: await pool.prepare(item, seedOf(ordered)) };
  };
  try {
    for (;;) {
      while (pending.length < prefetch) {
        signal?.throwIfAborted();
        const next = await samples.next();
        if (next.done) break;
        const task = start(next.value);
        task.catch(() => {});
        pending.push(task);
      }
      const first = pending.shift();
      if (first === undefined) return;
      yield await Promise.race([first, aborted]);
    }
  } finally {
    signal?.removeEventListener("abort", onAbort!);
    await pool.close();
    await samples.return(undefined);
  }
}
