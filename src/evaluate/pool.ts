// Child processes that evaluate pictures side by side. Each has one engine (several in one process have
// crashed), holds two pictures at most, and ends with its parent.

import { type ChildProcess, fork } from "node:child_process";
import { CheckpointError, ConfigError, InputError, PictureError } from "../errors.js";
import type { LoadOptions } from "../groupvit.js";
import type { LabelledSample, MaskedSample } from "./dataset.js";
import type { ClassificationRecord, SegmentationRecord, SetHead } from "./measure.js";
import type { Protocol } from "./protocol.js";

export interface WorkerStart {
  kind: "start";
  model: string | undefined;
  dtype: LoadOptions["dtype"];
  protocol: Protocol;
  root: string;
  /** For segmentation. */
  set?: SetHead;
}

export interface WorkerJob {
  kind: "job";
  task: number;
  sample: MaskedSample | LabelledSample;
  /** File for the predicted map. */
  save?: string;
}

export type MeasureRecord = SegmentationRecord | ClassificationRecord;

export type WorkerReply =
  | { kind: "ready" }
  | { kind: "done"; task: number; record: MeasureRecord }
  | { kind: "failed"; task: number | undefined; name: string; message: string };

/** Pictures that a process holds: one in work, one that waits so that no time is lost between them. */
const HELD = 2;

const ERRORS = { InputError, PictureError, CheckpointError, ConfigError } as const;

function revive(name: string, message: string): Error {
  const Type = ERRORS[name as keyof typeof ERRORS] ?? Error;
  return new Type(message);
}

/**
 * Works through jobs with `processes` workers.
 *
 * @param onRecord called as pictures are done, in no fixed order; the next job waits for its promise
 * @throws the first error of a worker; InputError and its kin are passed on as such
 */
export async function runPool(
  start: Omit<WorkerStart, "kind">,
  jobs: readonly Omit<WorkerJob, "kind" | "task">[],
  processes: number,
  onRecord: (record: MeasureRecord, index: number) => Promise<void>,
  signal?: AbortSignal,
): Promise<void> {
  signal?.throwIfAborted();
  const children: ChildProcess[] = [];
  let next = 0;
  let done = 0;
  try {
    await new Promise<void>((resolve, reject) => {
      signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
      const give = (child: ChildProcess) => {
        if (next >= jobs.length) return;
        const task = next++;
        child.send({ kind: "job", task, ...jobs[task]! } satisfies WorkerJob);
      };
      const answer = async (child: ChildProcess, reply: WorkerReply) => {
        if (reply.kind === "failed") throw revive(reply.name, reply.message);
        if (reply.kind === "ready") {
          for (let i = 0; i < HELD; i++) give(child);
          return;
        }
        await onRecord(reply.record, reply.task);
        done++;
        if (done === jobs.length) resolve();
        else give(child);
      };
      for (let i = 0; i < Math.min(processes, jobs.length); i++) {
        const child = fork(new URL("./worker.js", import.meta.url), { serialization: "advanced" });
        children.push(child);
        child.on("message", (reply: WorkerReply) => {
          answer(child, reply).catch(reject);
        });
        child.on("error", reject);
        child.on("exit", (code, killer) => {
          const how = killer === null ? `with code ${code}` : `by ${killer}`;
          reject(
            new Error(
              `an evaluation process was ended ${how}; run the command again: finished pictures are kept`,
            ),
          );
        });
        child.send({ kind: "start", ...start } satisfies WorkerStart);
      }
      if (jobs.length === 0) resolve();
    });
  } finally {
    for (const child of children) {
      child.removeAllListeners("exit");
      child.kill();
    }
  }
}
