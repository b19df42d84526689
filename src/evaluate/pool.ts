// Child processes that work through tasks side by side: evaluation and labelling share them. Each has
// one engine (several in one process have crashed), holds two tasks at most, and ends with its parent.

import { type ChildProcess, fork } from "node:child_process";
import { CheckpointError, ConfigError, InputError, PictureError } from "../errors.js";

interface Task {
  kind: "task";
  id: number;
  task: unknown;
}

type Request = { kind: "start"; start: unknown } | Task;

type Reply =
  | { kind: "ready" }
  | { kind: "done"; id: number; result: unknown }
  | { kind: "failed"; id: number | undefined; name: string; message: string };

/** Tasks that a process holds: one in work, one that waits so that no time is lost between them. */
const HELD = 2;

const ERRORS = { InputError, PictureError, CheckpointError, ConfigError } as const;

function revive(name: string, message: string): Error {
  const Type = ERRORS[name as keyof typeof ERRORS] ?? Error;
  return new Type(message);
}

/** A process that did not end by itself: killed, out of memory, or crashed. */
export class ProcessEnded extends Error {
  override name = "ProcessEnded";
}

interface Waiting {
  resolve(result: unknown): void;
  reject(error: Error): void;
}

/** A process and the tasks that it holds. */
interface Member {
  readonly child: ChildProcess;
  readonly tasks: Map<number, Waiting>;
}

/**
 * Processes of one entry file, which calls {@link serveTasks}. They start when there is work for them;
 * one that ended is replaced by the next task.
 */
export class ProcessPool<Task, Result> {
  private readonly members = new Set<Member>();
  private readonly free: (() => void)[] = [];
  private active = 0;
  private next = 0;
  private closed = false;

  /**
   * @param entry file that the processes run
   * @param start what `serveTasks` gets before the first task
   */
  constructor(
    private readonly entry: URL,
    private readonly start: unknown,
    private readonly processes: number,
  ) {}

  /** Tasks that can be in work or wait in a process at a time. */
  get capacity(): number {
    return this.processes * HELD;
  }

  /**
   * Does one task; waits while all processes have enough of them.
   *
   * @throws what the task threw: InputError and its kin as such, anything else as Error
   * @throws ProcessEnded where the process ended meanwhile; the task may be given again
   */
  async run(task: Task): Promise<Result> {
    if (this.active >= this.capacity) await new Promise<void>((go) => this.free.push(go));
    else this.active++;
    try {
      return (await this.give(task)) as Result;
    } finally {
      // The place is handed over directly, so that nobody slips in between.
      const next = this.free.shift();
      if (next) next();
      else this.active--;
    }
  }

  /** Ends the processes; tasks in work are lost. */
  close(): void {
    this.closed = true;
    for (const { child, tasks } of this.members) {
      tasks.clear();
      child.kill();
    }
  }

  private give(task: Task): Promise<unknown> {
    if (this.closed) return Promise.reject(new ProcessEnded("the processes were ended"));
    const member = this.leastBusy();
    const id = this.next++;
    return new Promise((resolve, reject) => {
      member.tasks.set(id, { resolve, reject });
      send(member.child, { kind: "task", id, task });
    });
  }

  /** An idle process; else a new one; else the one with the fewest tasks. */
  private leastBusy(): Member {
    const [first] = [...this.members].sort((a, b) => a.tasks.size - b.tasks.size);
    if (first && (first.tasks.size === 0 || this.members.size >= this.processes)) return first;
    return this.startProcess();
  }

  private startProcess(): Member {
    const child = fork(this.entry, { serialization: "advanced" });
    const member: Member = { child, tasks: new Map() };
    this.members.add(member);
    const end = (error: Error) => {
      this.members.delete(member);
      for (const { reject } of member.tasks.values()) reject(error);
      member.tasks.clear();
    };
    child.on("message", (reply: Reply) => {
      if (reply.kind === "ready") return;
      if (reply.kind === "done") {
        member.tasks.get(reply.id)?.resolve(reply.result);
        member.tasks.delete(reply.id);
        return;
      }
      const error = revive(reply.name, reply.message);
      if (reply.id === undefined) {
        end(error);
        child.kill();
        return;
      }
      member.tasks.get(reply.id)?.reject(error);
      member.tasks.delete(reply.id);
    });
    child.on("error", end);
    child.on("exit", (code, killer) => {
      const how = killer === null ? `with code ${code}` : `by ${killer}`;
      end(new ProcessEnded(`a process was ended ${how}`));
    });
    send(child, { kind: "start", start: this.start });
    return member;
  }
}

function send(child: ChildProcess, request: Request): void {
  // That the process is gone is told by its "exit".
  child.send(request, () => {});
}

/**
 * Runs `work` on every item, at most `limit` at a time; takes the next item only when there is room.
 *
 * @throws the first error, or the signal's reason, without waiting for what is in work
 */
export async function forEachConcurrently<T>(
  items: AsyncIterable<T> | Iterable<T>,
  limit: number,
  work: (item: T, index: number) => Promise<void>,
  signal?: AbortSignal,
): Promise<void> {
  signal?.throwIfAborted();
  const active = new Set<Promise<void>>();
  let failed: (error: unknown) => void = () => {};
  const failure = new Promise<never>((_, reject) => {
    failed = reject;
  });
  failure.catch(() => {});
  const abort = () => failed(signal!.reason);
  signal?.addEventListener("abort", abort, { once: true });
  try {
    let index = 0;
    for await (const item of items) {
      const one = work(item, index++)
        .catch(failed)
        .finally(() => active.delete(one));
      active.add(one);
      if (active.size >= limit) await Promise.race([failure, ...active]);
      signal?.throwIfAborted();
    }
    await Promise.race([failure, Promise.all(active)]);
    // A failure that came with the last item.
    await Promise.race([failure, Promise.resolve()]);
  } finally {
    signal?.removeEventListener("abort", abort);
  }
}

/**
 * The side of the process: prepares itself with `start`, then does the tasks that come, the two that it
 * holds at the same time.
 */
export function serveTasks<Start, Task, Result>(
  start: (start: Start) => Promise<void>,
  work: (task: Task) => Promise<Result>,
): void {
  let ready: Promise<void> = Promise.resolve();
  const reply = (message: Reply) => process.send!(message);
  const fail = (id: number | undefined) => (error: Error) =>
    reply({ kind: "failed", id, name: error.name, message: error.message });
  process.on("message", (request: Request) => {
    if (request.kind === "start") {
      ready = start(request.start as Start);
      ready.then(() => reply({ kind: "ready" }), fail(undefined));
      return;
    }
    const { id, task } = request;
    ready.then(
      () => work(task as Task).then((result) => reply({ kind: "done", id, result }), fail(id)),
      () => {}, // told above
    );
  });
  // Ctrl-C reaches every process of a terminal; the parent says when to end.
  process.on("SIGINT", () => {});
  // The parent is gone: nobody wants the results.
  process.on("disconnect", () => process.exit());
}
