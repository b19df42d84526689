// Supervises the engine processes: gives them work, replaces one that ended and retries its jobs once,
// keeps deadlines, and stops when everything it took is answered.

import { type ChildProcess, fork, type StdioOptions } from "node:child_process";
import type { Socket } from "node:net";
import { getPriority, setPriority } from "node:os";
import { CheckpointError, ConfigError, HubError, InputError, PictureError } from "../errors.js";
import { shortSide } from "../input/resize.js";
import { Batcher, type Pending } from "./batcher.js";
import { ByteReader, PIPE_FD } from "./byte-pipe.js";
import { ApiError } from "./errors.js";
import type {
  EngineMessage,
  EngineReply,
  EngineStart,
  Job,
  JobPicture,
  ModelFacts,
  StageTimes,
  Work,
} from "./jobs.js";

export interface PoolOptions extends Omit<EngineStart, "kind"> {
  processes: number;
  /** Jobs that may wait. */
  queue: number;
  /** Pictures of one size that go through the image tower together. */
  batch: number;
}

/** What the pool tells while it works; for metrics and logs. */
export interface PoolObserver {
  batch(size: number): void;
  stages(times: StageTimes & { queue?: number }): void;
  kept(hit: boolean): void;
  memory(process: number, bytes: number): void;
  /** An engine process ended though nobody asked it to. */
  crash(process: number, how: string): void;
  /** A job met an error that is not about its input. */
  defect(stack: string): void;
}

/** A request's share in the pool. */
export interface PoolRequest {
  work: Work;
  picture?: Omit<JobPicture, "length"> & { bytes: Uint8Array };
  /** Width and height that the picture's header tells. */
  size?: { width: number; height: number };
  /** Milliseconds. */
  deadline: number;
  /** Fires when the client has left. */
  signal: AbortSignal;
}

interface Entry extends Pending {
  readonly id: number;
  readonly request: PoolRequest;
  settled: boolean;
  resolve(bytes: Uint8Array): void;
  reject(error: Error): void;
  timer: NodeJS.Timeout;
}

interface Engine {
  readonly index: number;
  child: ChildProcess;
  ready: boolean;
  /** Batches it was given, oldest first: it works on the first, the others wait in its pipe. */
  batches: Entry[][];
  /** Ids of pictures that it should have kept. */
  known: Set<string>;
  /** Milliseconds before it is started again; grows while it ends without having done anything. */
  backoff: number;
  hung?: NodeJS.Timeout;
}

/** Batches that a process is given: one in work, and one so that no time is lost between them. */
const HELD = 2;
/** Milliseconds that a job waits for others of its shape. */
const PATIENCE = 3;
const RETRIES = 1;
const FIRST_BACKOFF = 50;
const LAST_BACKOFF = 10_000;
/** A process that gives no answer for so long beyond a deadline is ended. */
const HUNG = 30_000;
const MAX_KNOWN = 4096;
/** Engines leave the processor to the server, which needs it rarely and at once. */
const ENGINE_STEPS = 5;
/**
 * What an engine allocates is pictures and maps, which live as long as a job: with V8's usual limits on a small heap, the
 * memory beside it starts a collection for every second job, a tenth of its time.
 */
const HEAP = ["--min-semi-space-size=16", "--initial-old-space-size=96"];
const LOWEST_PRIORITY = 19;

const ERRORS = { InputError, PictureError, CheckpointError, ConfigError, HubError } as const;

export class EnginePool {
  private readonly engines: Engine[] = [];
  private readonly batcher: Batcher<Entry>;
  private nextId = 1;
  private modelFacts?: ModelFacts;
  private closing = false;
  private wake?: NodeJS.Timeout;
  /** Seconds that a job takes an engine, as a running mean. */
  private pace = 0.1;

  constructor(
    private readonly options: PoolOptions,
    private readonly observer: PoolObserver,
  ) {
    this.batcher = new Batcher(options.queue, options.batch, options.batch > 1 ? PATIENCE : 0);
  }

  /**
   * Starts the engines and waits for the first.
   * @throws what the engine says is wrong with the model
   */
  async start(): Promise<ModelFacts> {
    return new Promise((resolve, reject) => {
      for (let index = 0; index < this.options.processes; index++) {
        const engine: Engine = {
          index,
          child: this.spawn(),
          ready: false,
          batches: [],
          known: new Set(),
          backoff: FIRST_BACKOFF,
        };
        this.engines.push(engine);
        this.watch(engine, resolve, reject);
      }
    });
  }

  get facts(): ModelFacts {
    if (!this.modelFacts) throw new Error("the pool was not started");
    return this.modelFacts;
  }

  /** Jobs that wait. */
  get queued(): number {
    return this.batcher.length;
  }

  /** Jobs that processes have. */
  get inWork(): number {
    return this.engines.reduce((sum, { batches }) => sum + batches.flat().length, 0);
  }

  /** Engines that take work. */
  get readyEngines(): number {
    return this.engines.filter(({ ready }) => ready).length;
  }

  /** Process ids of the engines. */
  get pids(): number[] {
    return this.engines.flatMap(({ child }) => child.pid ?? []);
  }

  /**
   * Throws where the queue is full, so that a body need not be read in vain.
   * @throws ApiError 429 with the seconds after which there should be room
   */
  checkRoom(): void {
    if (this.closing) throw stopping();
    if (this.batcher.isFull) throw this.busy();
  }

  /**
   * Works on a request.
   *
   * @returns the body of the answer
   * @throws ApiError 429 where the queue is full, 503 where engines end under it twice, 504 beyond the
   *   deadline; InputError and its kin for input that the engine refuses
   */
  run(request: PoolRequest): Promise<Uint8Array> {
    if (this.closing) throw stopping();
    request.signal.throwIfAborted();
    return new Promise((resolve, reject) => {
      const entry: Entry = {
        id: this.nextId++,
        shape: this.shape(request),
        queuedAt: performance.now(),
        crashes: 0,
        request,
        settled: false,
        resolve,
        reject,
        timer: setTimeout(() => this.expire(entry), request.deadline),
      };
      if (!this.batcher.add(entry)) {
        clearTimeout(entry.timer);
        reject(this.busy());
        return;
      }
      request.signal.addEventListener("abort", () => this.cancel(entry, request.signal.reason), {
        once: true,
      });
      this.dispatch();
    });
  }

  /** Ends the engines; what is not answered yet fails with 503. */
  close(): void {
    this.closing = true;
    clearTimeout(this.wake);
    for (const entry of this.batcher.removeAll()) this.settle(entry, stopping());
    for (const engine of this.engines) {
      clearTimeout(engine.hung);
      for (const entry of engine.batches.flat()) this.settle(entry, stopping());
      engine.child.removeAllListeners();
      engine.child.kill("SIGKILL");
    }
  }

  private spawn(): ChildProcess {
    // Engines need no secrets.
    const { GROUPVIT_TOKEN: _, LABEL_STUDIO_API_KEY: __, ...env } = process.env;
    const stdio: StdioOptions = ["inherit", "inherit", "inherit", "ipc"];
    stdio[PIPE_FD] = "pipe";
    const child = fork(new URL("./engine-process.js", import.meta.url), {
      serialization: "advanced",
      execArgv: [...process.execArgv, ...HEAP],
      env,
      stdio,
    });
    try {
      const priority = Math.min(LOWEST_PRIORITY, getPriority() + ENGINE_STEPS);
      if (child.pid !== undefined) setPriority(child.pid, priority);
    } catch {
      // A system that does not let us, or a process that has ended already.
    }
    return child;
  }

  private watch(
    engine: Engine,
    started?: (facts: ModelFacts) => void,
    failed?: (error: Error) => void,
  ): void {
    const { child } = engine;
    const reader = new ByteReader(child.stdio[PIPE_FD] as Socket);
    const { processes: _, queue: __, batch: ___, ...start } = this.options;
    child.on("message", (reply: EngineReply) => {
      if (reply.kind === "ready") {
        this.modelFacts = reply.facts;
        engine.ready = true;
        started?.(reply.facts);
        this.dispatch();
      } else if (reply.kind === "memory") {
        this.observer.memory(engine.index, reply.bytes);
      } else if (reply.kind === "failed" && reply.id === undefined) {
        failed?.(revive(reply.name, reply.message));
        child.kill("SIGKILL");
      } else if (reply.kind === "done") {
        // Of a process that has ended since, the bytes may still come: its jobs were given to others.
        void reader.take(reply.length).then((bytes) => {
          if (engine.child === child) this.answer(engine, reply, bytes);
        });
      } else {
        this.answer(engine, reply);
      }
    });
    child.on("error", () => {}); // It could not be told something; its exit is what counts.
    child.on("exit", (code, signal) => {
      const how = signal === null ? `with code ${code}` : `by ${signal}`;
      failed?.(new Error(`an engine process was ended ${how} before it was ready`));
      this.replace(engine, how);
    });
    this.tell(engine, { kind: "start", ...start });
  }

  private tell(engine: Engine, message: EngineMessage): void {
    // A process that just ended: its exit event follows, and what it was given is retried then.
    if (engine.child.connected) engine.child.send(message, () => {});
  }

  private shape({ picture, size, work }: PoolRequest): string | undefined {
    // What asks about the picture as a whole does not encode it with others.
    if (!picture || !size || work.kind === "embed" || work.kind === "classify") return undefined;
    if (picture.encode.mode === "slide" || picture.encode.zoom) return undefined;
    const target = picture.encode.shortSide ?? this.facts.shortSide;
    const view = shortSide(size.width, size.height, target, Math.round((target * 2048) / 448));
    return `${target} ${view.width} ${view.height}`;
  }

  /** Gives waiting jobs to engines with room, the one that has a job's picture first. */
  private dispatch(): void {
    for (;;) {
      const free = this.engines.filter(({ ready, batches }) => ready && batches.length < HELD);
      if (free.length === 0) return;
      const batch = this.batcher.take();
      if (batch.length === 0) break;
      this.give(this.choose(free, batch[0]!.request.picture?.id), batch);
    }
    if (this.batcher.length > 0) {
      clearTimeout(this.wake);
      this.wake = setTimeout(() => this.dispatch(), Math.ceil(this.batcher.wait));
    }
  }

  private choose(free: readonly Engine[], picture: string | undefined): Engine {
    const least = free.reduce((a, b) => (b.batches.length < a.batches.length ? b : a));
    if (picture === undefined) return least;
    // Encoding it again costs less than to wait for another job.
    return (
      free.find(({ known, batches }) => known.has(picture) && batches.length === 0) ??
      free.find((engine) => engine === least && engine.known.has(picture)) ??
      least
    );
  }

  private give(engine: Engine, batch: Entry[]): void {
    engine.batches.push(batch);
    this.observer.batch(batch.length);
    const now = performance.now();
    for (const entry of batch) this.observer.stages({ queue: now - entry.queuedAt });
    const files: Uint8Array[] = [];
    const jobs = batch.map(({ id, request: { picture, work } }): Job => {
      if (!picture) return { id, work };
      const { bytes, ...rest } = picture;
      if (picture.id !== undefined && engine.known.has(picture.id)) {
        return { id, work, picture: rest };
      }
      files.push(bytes);
      return { id, work, picture: { ...rest, length: bytes.length } };
    });
    this.tell(engine, { kind: "work", jobs });
    const pipe = engine.child.stdio[PIPE_FD] as Socket;
    for (const file of files) pipe.write(file);
    this.watchOver(engine);
  }

  /** @param bytes of an answer that is done */
  private answer(
    engine: Engine,
    reply: Exclude<EngineReply, { kind: "ready" | "memory" }>,
    bytes: Uint8Array = new Uint8Array(),
  ): void {
    const entry = engine.batches.flat().find(({ id }) => id === reply.id);
    if (!entry) return;
    const id = entry.request.picture?.id;
    if (reply.kind === "missing") {
      // The picture had to make room: the job is repeated with it.
      if (id !== undefined) engine.known.delete(id);
      this.leave(engine, entry);
      if (!entry.settled) this.batcher.putBack(entry);
    } else if (reply.kind === "failed") {
      this.leave(engine, entry);
      if (reply.name === "Error" && !entry.settled) {
        this.observer.defect(reply.stack ?? reply.message);
      }
      this.settle(entry, revive(reply.name, reply.message));
    } else {
      this.leave(engine, entry);
      engine.backoff = FIRST_BACKOFF;
      const { times } = reply;
      const seconds = ((times.decode ?? 0) + (times.encode ?? 0) + (times.mask ?? 0)) / 1000;
      this.pace += 0.1 * (seconds - this.pace);
      this.observer.stages(times);
      if (id !== undefined) {
        this.observer.kept(reply.cached);
        if (engine.known.size >= MAX_KNOWN) engine.known.clear();
        engine.known.add(id);
      }
      this.settle(entry, bytes);
    }
    this.dispatch();
  }

  /** Takes a job off an engine's list. */
  private leave(engine: Engine, entry: Entry): void {
    engine.batches = engine.batches
      .map((batch) => batch.filter((other) => other !== entry))
      .filter((batch) => batch.length > 0);
    this.watchOver(engine);
  }

  /** A process that keeps silent although its work should be over long ago is ended. */
  private watchOver(engine: Engine): void {
    clearTimeout(engine.hung);
    const deadline = engine.batches[0]?.[0]?.request.deadline;
    if (deadline === undefined) return;
    engine.hung = setTimeout(() => engine.child.kill("SIGKILL"), deadline + HUNG);
  }

  private replace(engine: Engine, how: string): void {
    this.observer.crash(engine.index, how);
    engine.ready = false;
    clearTimeout(engine.hung);
    const [first = [], ...others] = engine.batches;
    engine.batches = [];
    engine.known.clear();
    // Backwards, so that the oldest is the first again.
    for (const entry of others.flat().reverse()) if (!entry.settled) this.batcher.putBack(entry);
    for (const entry of [...first].reverse()) {
      entry.crashes++;
      if (entry.settled) continue;
      if (entry.crashes <= RETRIES) this.batcher.putBack(entry);
      else this.settle(entry, crashed());
    }
    setTimeout(() => {
      if (this.closing) return;
      engine.child = this.spawn();
      this.watch(engine);
    }, engine.backoff);
    engine.backoff = Math.min(LAST_BACKOFF, 2 * engine.backoff);
    this.dispatch();
  }

  private settle(entry: Entry, result: Uint8Array | Error): void {
    if (entry.settled) return;
    entry.settled = true;
    clearTimeout(entry.timer);
    if (result instanceof Error) entry.reject(result);
    else entry.resolve(result);
  }

  private expire(entry: Entry): void {
    const seconds = entry.request.deadline / 1000;
    this.cancel(
      entry,
      new ApiError(
        504,
        "deadline",
        `not answered within ${seconds} s; try again later, or with a smaller picture or fewer labels`,
      ),
    );
  }

  /** Ends a job wherever it is; an engine that works on it stops at its next step. */
  private cancel(entry: Entry, reason: Error): void {
    if (entry.settled) return;
    this.batcher.remove(entry);
    this.settle(entry, reason);
    const engine = this.engines.find(({ batches }) => batches.flat().includes(entry));
    if (engine) this.tell(engine, { kind: "cancel", id: entry.id });
  }

  private busy(): ApiError {
    const engines = Math.max(1, this.readyEngines);
    const seconds = Math.ceil((this.batcher.length * this.pace) / engines);
    return new ApiError(
      429,
      "busy",
      `${this.batcher.length} requests wait already; try again after the seconds in Retry-After`,
      Math.min(60, Math.max(1, seconds)),
    );
  }
}

function revive(name: string, message: string): Error {
  const Type = ERRORS[name as keyof typeof ERRORS] ?? Error;
  return new Type(message);
}

const stopping = () =>
  new ApiError(503, "stopping", "the server is being stopped; send it to another one", 5);

const crashed = () =>
  new ApiError(
    503,
    "engine",
    "the engine ended twice while it worked on this; try another picture, or report it",
    5,
  );
