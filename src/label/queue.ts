// Labelling by any number of workers behind Redis (BullMQ). Jobs are chunks of references; results go to
// the shared folder, where what has a file is done: a job that is lost or done twice changes nothing.

import { createHash } from "node:crypto";
import { hostname } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import type { Job, Queue, Worker } from "bullmq";
import type { Redis } from "ioredis";
import * as z from "zod/mini";
import { InputError } from "../errors.js";
import type { ProcessPool } from "../evaluate/pool.js";
import { layout } from "./manifest.js";
import type { LabelTask } from "./process.js";
import { referenceSchema } from "./reference.js";
import { Results } from "./results.js";
import { type LabelEngine, labelInPool } from "./run.js";

const QUEUE = "groupvit-label";
/** Jobs that wait in Redis at most: it holds its data in memory. */
const MAX_WAITING = 2000;
const BATCH = 50;
const POLL_MS = 250;
const CONNECT_MS = 5000;
const ATTEMPTS = 4;
const FIRST_PAUSE_MS = 1000;
/** A worker that does not renew its claim on a job for so long has died. */
const LOCK_MS = 10_000;
const STALLED_CHECK_MS = 5000;

/** What comes out of Redis is checked before it is used as a path. */
const taskSchema = z.object({
  to: z.string(),
  run: z.string(),
  chunk: z.object({
    key: z.string().check(z.regex(/^[0-9a-f]{32}$/)),
    pictures: z.array(referenceSchema).check(z.maxLength(1000)),
  }),
  limitPixels: z.optional(z.number()),
});

interface Modules {
  bullmq: typeof import("bullmq");
  Redis: typeof Redis;
}

async function loadModules(): Promise<Modules> {
  try {
    return { bullmq: await import("bullmq"), Redis: (await import("ioredis")).Redis };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ERR_MODULE_NOT_FOUND") throw error;
    throw new InputError(
      "--queue: the packages bullmq and ioredis are not installed; run npm install bullmq ioredis",
    );
  }
}

/** The address without user and password. */
export function publicAddress(address: string): string {
  const url = new URL(address);
  return `${url.protocol}//${url.host}${url.pathname === "/" ? "" : url.pathname}`;
}

function checkAddress(address: string): void {
  const { protocol, pathname } = URL.canParse(address) ? new URL(address) : new URL("none:");
  // Not the text itself: it may hold a password.
  if (protocol !== "redis:" && protocol !== "rediss:") {
    throw new InputError(
      "--queue: no address of Redis; write redis://host:6379 or rediss://host:6379",
    );
  }
  if (!/^\/?\d*$/.test(pathname)) {
    throw new InputError(
      `--queue ${publicAddress(address)}: after the host stands a database's number, as in redis://host:6379/1`,
    );
  }
}

/** Connections that try again by themselves once the first has succeeded. */
async function connect(address: string, modules: Modules): Promise<() => Redis> {
  checkAddress(address);
  const first = new modules.Redis(address, {
    lazyConnect: true,
    connectTimeout: CONNECT_MS,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
  });
  // The reason comes as an event; what `connect` throws only says that the connection was closed.
  let reason: Error | undefined;
  first.on("error", (error) => {
    reason = error;
  });
  try {
    // A database that is not there would silently be number 0.
    const answers = first.connect().then(() => first.select(first.options.db ?? 0));
    const late = sleep(CONNECT_MS, undefined, { ref: false }).then(() => {
      throw new Error(`no answer in ${CONNECT_MS / 1000} s`);
    });
    await Promise.race([answers, late]);
  } catch (error) {
    const cause = reason ?? (error as Error);
    const why = (cause as NodeJS.ErrnoException).code ?? cause.message.split("\n")[0];
    throw new InputError(
      `--queue ${publicAddress(address)}: Redis cannot be reached (${why}); start redis-server there, ` +
        "or check address and password",
    );
  } finally {
    first.disconnect();
  }
  return () =>
    new modules.Redis(address, {
      maxRetriesPerRequest: null,
      retryStrategy: (times) => Math.min(5000, 100 * 2 ** Math.min(times, 6)),
    });
}

/** Tells once that the connection is gone, and once that it is back. */
function watch(connection: Redis, address: string, note: (text: string) => void): void {
  let isLost = false;
  connection.on("error", () => {
    if (!isLost) note(`${publicAddress(address)}: the connection is lost; trying again`);
    isLost = true;
  });
  connection.on("ready", () => {
    if (isLost) note(`${publicAddress(address)}: connected again`);
    isLost = false;
  });
}

/** A queue, and how to let go of it. */
export interface OpenQueue {
  readonly queue: Queue<LabelTask>;
  close(): Promise<void>;
}

/** @throws InputError where Redis cannot be reached, without its password */
export async function openQueue(address: string, note: (text: string) => void): Promise<OpenQueue> {
  const modules = await loadModules();
  const connection = (await connect(address, modules))();
  watch(connection, address, note);
  const queue = new modules.bullmq.Queue<LabelTask>(QUEUE, {
    connection,
    defaultJobOptions: {
      attempts: ATTEMPTS,
      backoff: { type: "exponential", delay: FIRST_PAUSE_MS },
      removeOnComplete: true,
    },
  });
  queue.on("error", () => {}); // told by the connection
  return {
    queue,
    async close() {
      // Without waiting for a server that may be gone.
      connection.disconnect();
      await queue.close().catch(() => {});
    },
  };
}

/** One job a chunk of a run: given twice, it is there once. */
function jobId({ to, run, chunk }: LabelTask): string {
  return createHash("sha256").update(`${to}\n${run}\n${chunk.key}`).digest("hex");
}

/** Leaves the work to the workers of a queue, and follows it. */
export async function queueEngine(
  address: string,
  note: (text: string) => void,
): Promise<LabelEngine> {
  const open = await openQueue(address, note);
  const { queue } = open;
  let workers = "";
  const enqueue = async (tasks: readonly LabelTask[]) => {
    await queue.addBulk(
      tasks.map((data) => ({ name: "label", data, opts: { jobId: jobId(data) } })),
    );
  };

  /** Whether the job of a task is lost, as all are where Redis forgets (no append-only file). */
  const isLost = async (task: LabelTask, results: Results): Promise<boolean> => {
    const job = await queue.getJob(jobId(task));
    if (await results.isFinished(task.chunk.key)) return false;
    if (job && (await job.isFailed())) throwFailure(job);
    return !job;
  };

  return {
    remark: () => workers,
    async work(tasks, onDone, signal) {
      let results: Results | undefined;
      const wait = async () => {
        await sleep(POLL_MS, undefined, { signal });
        const count = await queue.getWorkersCount();
        workers = count === 0 ? "no worker yet: start groupvit worker" : `${count} workers`;
        if (await queue.isPaused()) workers = "paused; groupvit queue resume goes on";
      };
      try {
        // What failed before would not be given again. Others that wait for theirs give them again.
        await queue.clean(0, 0, "failed");
        const giveAll = async () => {
          let batch: LabelTask[] = [];
          const give = async () => {
            await enqueue(batch);
            batch = [];
            while ((await queue.count()) > MAX_WAITING) await wait();
            signal.throwIfAborted();
          };
          for await (const task of tasks()) {
            results ??= new Results(layout(task.to).results);
            if (await results.isFinished(task.chunk.key)) continue;
            batch.push(task);
            if (batch.length === BATCH) await give();
          }
          await give();
        };
        await giveAll();
        for await (const task of tasks()) {
          for (let looks = 0; !(await results!.isFinished(task.chunk.key)); looks++) {
            // With it went the others.
            if (looks % 8 === 0 && (await isLost(task, results!))) await giveAll();
            await wait();
          }
          onDone(task);
        }
      } finally {
        await open.close();
      }
    },
  };
}

function throwFailure({ failedReason }: Job<LabelTask>): never {
  const reason = failedReason.split("\n")[0];
  throw new InputError(
    `a worker could not do its work (${reason}); mend that and run the command again: what is done is kept`,
  );
}

/**
 * Works on the jobs of a queue until the signal fires, then finishes what is begun.
 *
 * @param onDone called with each chunk that is finished here
 */
export async function runWorker(
  address: string,
  pool: ProcessPool<LabelTask, void>,
  {
    signal,
    note,
    onReady,
    onDone,
  }: {
    signal: AbortSignal;
    note: (text: string) => void;
    onReady(address: string): void;
    onDone(task: LabelTask): void;
  },
): Promise<void> {
  const modules = await loadModules();
  const connection = (await connect(address, modules))();
  watch(connection, address, note);
  const worker: Worker<LabelTask> = new modules.bullmq.Worker<LabelTask>(
    QUEUE,
    async (job) => {
      const task = taskSchema.parse(job.data);
      try {
        await labelInPool(pool, task);
      } catch (error) {
        throw new Error(`${hostname()}: ${(error as Error).message}`);
      }
      onDone(task);
    },
    {
      connection,
      concurrency: pool.capacity,
      lockDuration: LOCK_MS,
      stalledInterval: STALLED_CHECK_MS,
      // A worker that dies is no fault of its job; what kills workers is found out by the trail of a chunk.
      maxStalledCount: 1_000_000,
      name: hostname(),
    },
  );
  onReady(publicAddress(address));
  worker.on("error", () => {}); // told by the connection
  worker.on("failed", (job, error) =>
    note(`chunk ${job?.data.chunk.key ?? "?"}: ${error.message}`),
  );
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
  await worker.close();
  connection.disconnect();
}

/** What a queue holds, and who works on it. */
export interface QueueStatus {
  readonly address: string;
  readonly paused: boolean;
  /** Chunks of pictures. */
  readonly waiting: number;
  readonly active: number;
  /** To be tried again later. */
  readonly delayed: number;
  readonly failed: number;
  /** Machines of the workers, one entry a worker. */
  readonly workers: readonly string[];
}

export async function queueStatus(address: string, { queue }: OpenQueue): Promise<QueueStatus> {
  const counts = await queue.getJobCounts("wait", "active", "delayed", "failed");
  const workers = await queue.getWorkers();
  return {
    address: publicAddress(address),
    paused: await queue.isPaused(),
    waiting: counts.wait ?? 0,
    active: counts.active ?? 0,
    delayed: counts.delayed ?? 0,
    failed: counts.failed ?? 0,
    workers: workers.map(({ rawname }) => rawname?.split(":w:").at(-1) ?? "?").sort(),
  };
}
