// The page's end of a worker: calls and their answers, aborts, and what a worker that breaks down means.

import { InputError } from "../errors.js";
import type { Calls, FromWorker, LoadProgress, SentError, ToWorker } from "./protocol.js";
import { receiveError } from "./protocol.js";

const WORKER_PLACE =
  "serve groupvit-worker.js beside groupvit.js on the page's own origin, or give its address as workerUrl";

/** What a caller may hear while a call runs. */
export interface CallOptions {
  signal?: AbortSignal;
  onProgress?(progress: LoadProgress): void;
  onWarning?(message: string): void;
}

interface Pending extends CallOptions {
  resolve(value: Calls[keyof Calls]["got"]): void;
  reject(reason: unknown): void;
}

/** One worker with one model. */
export class Connection {
  private readonly worker: Worker;
  private readonly pending = new Map<number, Pending>();
  private calls = 0;
  /** Why nothing can be asked any more. */
  private ended?: Error;

  /** @param workerUrl address of `groupvit-worker.js`; default: beside this script */
  constructor(workerUrl?: string | URL) {
    try {
      // Bundlers know a worker by this very expression.
      this.worker = workerUrl
        ? new Worker(workerUrl, { type: "module", name: "groupvit" })
        : new Worker(new URL("./groupvit-worker.js", import.meta.url), { type: "module" });
    } catch (error) {
      throw new InputError(`worker: ${(error as Error).message}; ${WORKER_PLACE}`, {
        cause: error,
      });
    }
    this.worker.onmessage = ({ data }: MessageEvent<FromWorker>) => this.receive(data);
    this.worker.onerror = (event) => {
      event.preventDefault();
      this.end(brokenWorker(event));
    };
    this.worker.onmessageerror = () => {
      this.end(new InputError("worker: an answer could not be read; load the model again"));
    };
  }

  /**
   * Asks the worker for something.
   *
   * @throws what the worker throws, as the same class; the signal's reason as soon as it fires
   */
  call<C extends keyof Calls>(
    call: C,
    given: Calls[C]["given"],
    options: CallOptions = {},
  ): Promise<Calls[C]["got"]> {
    const { signal } = options;
    return new Promise<Calls[C]["got"]>((resolve, reject) => {
      if (this.ended) throw this.ended;
      signal?.throwIfAborted();
      const id = ++this.calls;
      const abort = () => {
        this.pending.delete(id);
        this.post({ id, call: "abort" });
        reject(signal?.reason);
      };
      signal?.addEventListener("abort", abort, { once: true });
      const done = () => signal?.removeEventListener("abort", abort);
      this.pending.set(id, {
        ...options,
        resolve(value) {
          done();
          resolve(value);
        },
        reject(reason) {
          done();
          reject(reason);
        },
      });
      try {
        this.post({ id, call, given } as ToWorker);
      } catch (error) {
        this.pending.delete(id);
        done();
        throw new InputError(
          `${call}: what was given cannot be sent to the worker (${(error as Error).message})`,
          { cause: error },
        );
      }
    });
  }

  /** Stops the worker, frees its memory, and rejects what is still waited for. */
  end(reason: Error): void {
    if (this.ended) return;
    this.ended = reason;
    this.worker.terminate();
    for (const { reject } of this.pending.values()) reject(reason);
    this.pending.clear();
  }

  private post(message: ToWorker): void {
    this.worker.postMessage(message);
  }

  private receive(message: FromWorker): void {
    if ("failed" in message && message.failed.fatal) {
      // Also where the caller has aborted: an engine that broke down is broken for all.
      this.breakDown(message.id, message.failed);
      return;
    }
    const pending = this.pending.get(message.id);
    if (!pending) return;
    if ("progress" in message) pending.onProgress?.(message.progress);
    else if ("warning" in message) pending.onWarning?.(message.warning);
    else {
      this.pending.delete(message.id);
      if ("failed" in message) pending.reject(receiveError(message.failed));
      else pending.resolve(message.got);
    }
  }

  private breakDown(id: number, failed: SentError): void {
    const own = this.pending.get(id);
    this.pending.delete(id);
    own?.reject(receiveError(failed));
    this.end(new InputError("model: its engine broke down in an earlier call; load it again"));
  }
}

/** A worker that fails outside of any call: as a rule its script did not load. */
function brokenWorker(event: ErrorEvent): InputError {
  return event.message
    ? new InputError(`worker: it broke down (${event.message}); load the model again`)
    : new InputError(`worker: its script did not load; ${WORKER_PLACE}`);
}
