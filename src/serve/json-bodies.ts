// Parses JSON without holding up others: small bodies at once, large ones in a thread of their own.

import { Worker } from "node:worker_threads";
import { ApiError } from "./errors.js";
import { parseJson } from "./json.js";
import type { JsonReply, JsonTask } from "./json-worker.js";

/** Bytes of a body that is parsed at once, in about a millisecond. */
const SMALL = 1 << 18;

interface Waiting {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

export class JsonBodies {
  private thread?: Worker;
  private readonly waiting = new Map<number, Waiting>();
  private nextId = 1;

  /**
   * The value of a body, whose bytes are gone then.
   * @throws ApiError as `parseJson` does
   */
  async parse(bytes: Uint8Array<ArrayBuffer>, pictureLimit: number): Promise<unknown> {
    if (bytes.length <= SMALL) return parseJson(bytes, pictureLimit);
    const task: JsonTask = { id: this.nextId++, bytes, pictureLimit };
    return new Promise((resolve, reject) => {
      this.waiting.set(task.id, { resolve, reject });
      this.thread ??= this.start();
      this.thread.postMessage(task, [bytes.buffer]);
    });
  }

  async close(): Promise<void> {
    await this.thread?.terminate();
  }

  private start(): Worker {
    const thread = new Worker(new URL("./json-worker.js", import.meta.url));
    thread.on("message", (reply: JsonReply) => {
      const waiting = this.waiting.get(reply.id);
      this.waiting.delete(reply.id);
      if ("value" in reply) {
        const { value } = reply;
        waiting?.resolve(value);
      } else {
        const { status, code, message } = reply.refused;
        waiting?.reject(new ApiError(status, code, message));
      }
    });
    // Such as one that ran out of memory: those that wait are told, and the next body gets another.
    const gone = (error: Error) => {
      this.thread = undefined;
      for (const { reject } of this.waiting.values()) reject(error);
      this.waiting.clear();
    };
    thread.on("error", gone);
    thread.on("exit", () => gone(new Error("the thread that parses bodies has ended")));
    thread.unref();
    return thread;
  }
}
