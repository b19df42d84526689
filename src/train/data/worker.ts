// Entry of the threads that prepare samples. `workers.ts` starts them and speaks to them.

import { parentPort, workerData } from "node:worker_threads";
import sharp from "sharp";
import { preparer } from "./prepare.js";
import {
  boundedPrepare,
  slotView,
  type WorkerReply,
  type WorkerRequest,
  type WorkerStart,
} from "./workers.js";

// Pictures are decoded side by side already; libvips need not split each one over threads.
sharp.concurrency(1);
sharp.cache(false);

const start = workerData as WorkerStart;
const prepare = boundedPrepare(preparer(start.config));

parentPort!.on("message", async ({ slot, sample, seed }: WorkerRequest) => {
  let reply: WorkerReply;
  try {
    const result = await prepare(sample, seed);
    if ("skipped" in result) {
      reply = { slot, skipped: result.skipped };
    } else {
      slotView(start, slot).set(result.pixels);
      reply = { slot, caption: result.caption, prompts: result.prompts, nouns: result.nouns };
    }
  } catch (error) {
    reply = { slot, error: String(error) };
  }
  parentPort!.postMessage(reply);
});
