// TensorBoard event files: scalars of every step, as records of Event messages with masked CRC-32C.

import { appendFile } from "node:fs/promises";
import { Message } from "../graph/protobuf.js";
import { writeAtomically } from "./data/files.js";
import type { StepRecord } from "./metrics.js";

/** One file a run, rewritten from metrics.jsonl when the run is taken up again. */
export const EVENTS_FILE = "events.out.tfevents.0000000000.groupvit";

const TABLE = (() => {
  const table = new Uint32Array(256);
  for (let byte = 0; byte < 256; byte++) {
    let value = byte;
    for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1;
    table[byte] = value;
  }
  return table;
})();

/** CRC-32C (Castagnoli) of bytes, unsigned. */
export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = TABLE[(crc ^ byte) & 255]! ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

/** As TFRecord stores checksums: rotated right by 15 bits, plus a constant. */
function masked(bytes: Uint8Array): number {
  const crc = crc32c(bytes);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

/** A TFRecord: length, its checksum, data, their checksum. */
function record(data: Uint8Array): Uint8Array {
  const out = new Uint8Array(data.length + 16);
  const view = new DataView(out.buffer);
  view.setBigUint64(0, BigInt(data.length), true);
  view.setUint32(8, masked(out.subarray(0, 8)), true);
  out.set(data, 12);
  view.setUint32(12 + data.length, masked(data), true);
  return out;
}

/** The scalars of a step by tag; groups of names become sections in TensorBoard. */
function scalars(step: StepRecord): [string, number][] {
  const tags: [string, number | undefined][] = [
    ["loss/total", step.loss],
    ["loss/contrastive", step.contrastive_loss],
    ["loss/multi_label", step.multi_label_loss],
    ["optimiser/lr", step.lr],
    ["optimiser/gradient_norm", step.gradient_norm],
    ["scale/logit_scale", step.logit_scale],
    ["scale/multi_label_logit_scale", step.multi_label_logit_scale],
    ["speed/samples_per_second", step.samples_per_second],
    ["speed/data_seconds", step.data_seconds],
    ["speed/step_seconds", step.step_seconds],
    ["evaluation/miou", step.miou],
    ["evaluation/accuracy", step.accuracy],
    ...step.group_entropy.map((value, i): [string, number] => [`groups/entropy_${i}`, value]),
  ];
  return tags.filter((tag): tag is [string, number] => tag[1] !== undefined);
}

function stepEvent(step: StepRecord): Uint8Array {
  const summary = new Message();
  for (const [tag, value] of scalars(step)) {
    summary.message(1, new Message().string(1, tag).float(2, value));
  }
  return record(
    new Message().double(1, step.time).integer(2, step.step).message(5, summary).finish(),
  );
}

/** Writes the file anew with the steps so far. */
export async function writeEvents(path: string, steps: readonly StepRecord[]): Promise<void> {
  const time = steps[0]?.time ?? 0;
  const head = record(new Message().double(1, time).string(3, "brain.Event:2").finish());
  await writeAtomically(path, async (file) => {
    await file.writeFile(head);
    for (const step of steps) await file.writeFile(stepEvent(step));
  });
}

/** Adds a step. */
export function appendEvent(path: string, step: StepRecord): Promise<void> {
  return appendFile(path, stepEvent(step));
}
