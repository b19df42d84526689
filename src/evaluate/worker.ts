// Entry of the processes that evaluate: each has an engine of its own and works on one picture at a
// time. `run.ts` gives them their pictures.

import { open } from "node:fs/promises";
import { join } from "node:path";
import { writeFileAtomic } from "../atomic.node.js";
import type { LoadOptions } from "../groupvit.js";
import { GroupViT } from "../index.js";
import type { LabelledSample, MaskedSample } from "./dataset.js";
import {
  type ClassificationRecord,
  measureLabel,
  measureMask,
  type SegmentationRecord,
  type SetHead,
} from "./measure.js";
import { serveTasks } from "./pool.js";
import type { Protocol } from "./protocol.js";

export interface MeasureStart {
  model: string | undefined;
  dtype: LoadOptions["dtype"];
  protocol: Protocol;
  root: string;
  /** For segmentation. */
  set?: SetHead;
}

export interface MeasureTask {
  sample: MaskedSample | LabelledSample;
  /** File for the predicted map. */
  save?: string;
}

export type MeasureRecord = SegmentationRecord | ClassificationRecord;

let start: MeasureStart | undefined;
let model: GroupViT | undefined;
let words: Float32Array | undefined;
/** One after another: pictures wait here while one is in work. */
let last: Promise<unknown> = Promise.resolve();

async function load(message: MeasureStart): Promise<void> {
  start = message;
  // One thread each: sums within the engine round alike, whatever the number of processes.
  model = await GroupViT.load(message.model, { dtype: message.dtype, threads: 1 });
  const { protocol } = message;
  if (protocol.task === "classification") {
    words = await model.embedLabels(protocol.words, protocol.prompts);
  }
}

async function measure({ sample, save }: MeasureTask): Promise<MeasureRecord> {
  const { protocol, set } = start!;
  if (protocol.task === "classification") return label(sample as LabelledSample);
  return measureMask(
    model!,
    sample as MaskedSample,
    protocol,
    set!,
    save === undefined ? undefined : (png) => writeFileAtomic(save, png),
  );
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

serveTasks(load, (task: MeasureTask) => {
  const own = last.then(() => measure(task));
  last = own.catch(() => {});
  return own;
});
