// Entry of the threads that prepare samples. `workers.ts` starts them and speaks to them.

import { parentPort, workerData } from "node:worker_threads";
import sharp from "sharp";
import { type PrepareConfig, preparer } from "./prepare.js";
import { boundedPrepare, type WorkerReply, type WorkerRequest } from "./workers.js";

// Pictures are decoded side by side already; libvips need not split each one over threads.
sharp.concurrency(1);
sharp.cache(false);

const prepare = boundedPrepare(preparer(workerData as PrepareConfig));

parentPort!.on("message", async ({ id, sample, seed }: WorkerRequest) => {
  try {
    const result = await prepare(sample, seed);
    const reply: WorkerReply = { id, result };
    parentPort!.postMessage(reply, "pixels" in result ? [result.pixels.buffer as ArrayBuffer] : []);
  } catch (error) {
    parentPort!.postMessage({ id, error: String(error) } satisfies WorkerReply);
  }
});
