// Entry of the processes that evaluate: each has an engine of its own and works on one picture at a
// time. `pool.ts` starts them and speaks to them.

import { open } from "node:fs/promises";
import { join } from "node:path";
import { writeFileAtomic } from "../atomic.node.js";
import { GroupViT } from "../index.js";
import type { LabelledSample, MaskedSample } from "./dataset.js";
import { measureLabel, measureMask } from "./measure.js";
import type { WorkerJob, WorkerReply, WorkerStart } from "./pool.js";

let start: WorkerStart | undefined;
let model: GroupViT | undefined;
let words: Float32Array | undefined;
/** One after another: pictures wait here while one is in work. */
let last: Promise<void> = Promise.resolve();

const send = (reply: WorkerReply) => process.send!(reply);

async function load(message: WorkerStart): Promise<void> {
  start = message;
  // One thread each: sums within the engine round alike, whatever the number of processes.
  model = await GroupViT.load(message.model, { dtype: message.dtype, threads: 1 });
  const { protocol } = message;
  if (protocol.task === "classification") {
    words = await model.embedLabels(protocol.words, protocol.prompts);
  }
  send({ kind: "ready" });
}

async function work({ task, sample, save }: WorkerJob): Promise<void> {
  const { protocol, set } = start!;
  const record =
    protocol.task === "segmentation"
      ? await measureMask(
          model!,
          sample as MaskedSample,
          protocol,
          set!,
          save === undefined ? undefined : (png) => writeFileAtomic(save, png),
        )
      : await label(sample as LabelledSample);
  send({ kind: "done", task, record });
}

async function label({ name, picture, label }: LabelledSample) {
  const source = typeof picture === "string" ? picture : await readPart(picture);
  return measureLabel(model!, name, source, label, words!);
}

async function readPart({ shard, offset, length }: Exclude<LabelledSample["picture"], string>) {
  const file = await open(join(start!.root, shard), "r");
  try {
    const bytes = new Uint8Array(length);
    await file.read(bytes, 0, length, offset);
    return bytes;
  } finally {
    await file.close();
  }
}

process.on("message", (message: WorkerStart | WorkerJob) => {
  last = last
    .then(() => (message.kind === "start" ? load(message) : work(message)))
    .catch((error: Error) => {
      const task = message.kind === "start" ? undefined : message.task;
      send({ kind: "failed", task, name: error.name, message: error.message });
    });
});
// The parent is gone: nobody wants the results.
process.on("disconnect", () => process.exit());
