// Entry of the processes that evaluate: each has an engine of its own and works on one picture at a
// time. `run.ts` gives them their pictures.

import { createHash, type Hash } from "node:crypto";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { writeFileAtomic } from "../atomic.node.js";
import type { LoadOptions } from "../groupvit.js";
import { GroupViT } from "../index.js";
import type { LabelledSample, MaskedSample } from "./dataset.js";
import { readChunks } from "./datasets/files.js";
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

export type MeasureRecord = (SegmentationRecord | ClassificationRecord) & {
  /** Of the picture's bytes, and of the mask's or the label after them. */
  readonly sha256: string;
};

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
  const hash = createHash("sha256");
  if (protocol.task === "classification") {
    const { name, picture, label } = sample as LabelledSample;
    const source = typeof picture === "string" ? picture : await readPart(picture);
    const record = await measureLabel(model!, name, source, label, words!);
    if (typeof source === "string") await addFile(hash, source);
    else hash.update(source);
    return { ...record, sha256: hash.update(` ${label}`).digest("hex") };
  }
  const { picture, mask } = sample as MaskedSample;
  const record = await measureMask(
    model!,
    sample as MaskedSample,
    protocol,
    set!,
    save === undefined ? undefined : (png) => writeFileAtomic(save, png),
  );
  await addFile(hash, picture);
  await addFile(hash, mask);
  return { ...record, sha256: hash.digest("hex") };
}

async function addFile(hash: Hash, path: string): Promise<void> {
  for await (const chunk of readChunks(path)) hash.update(chunk);
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
