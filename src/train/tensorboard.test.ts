import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import type { StepRecord } from "./metrics.js";
import { appendEvent, crc32c, writeEvents } from "./tensorboard.js";

const folder = mkdtempSync(join(tmpdir(), "events-"));
afterAll(() => rmSync(folder, { recursive: true }));

const STEP: StepRecord = {
  step: 7,
  loss: 3.5,
  contrastive_loss: 1.5,
  multi_label_loss: 2,
  lr: 1e-3,
  gradient_norm: 0.25,
  logit_scale: 14.5,
  group_entropy: [2.5, 1.25],
  tokens: 12,
  skipped_samples: 0,
  samples_per_second: 10,
  data_seconds: 0.125,
  step_seconds: 1,
  time: 1_700_000_000.5,
};

/** A bit-by-bit CRC-32C, independent of the writer's table. */
function slowCrc(bytes: Uint8Array): number {
  let remainder = 0xffffffffn;
  for (const byte of bytes) {
    remainder ^= BigInt(byte);
    for (let bit = 0; bit < 8; bit++) {
      remainder = remainder & 1n ? (remainder >> 1n) ^ 0x82f63b78n : remainder >> 1n;
    }
  }
  return Number(remainder ^ 0xffffffffn);
}

/** Fields of a protobuf message: numbers, and bytes of nested ones. */
function fields(bytes: Uint8Array): { field: number; value: number | Uint8Array }[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const found: { field: number; value: number | Uint8Array }[] = [];
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = bytes[at++]!;
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const tag = varint();
    const wire = tag & 7;
    let value: number | Uint8Array;
    if (wire === 0) value = varint();
    else if (wire === 1) {
      value = view.getFloat64(at, true);
      at += 8;
    } else if (wire === 5) {
      value = view.getFloat32(at, true);
      at += 4;
    } else {
      const length = varint();
      value = bytes.subarray(at, at + length);
      at += length;
    }
    found.push({ field: tag >> 3, value });
  }
  return found;
}

function readRecords(bytes: Uint8Array): Uint8Array[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const unmask = (crc: number) => {
    const rotated = (crc - 0xa282ead8) >>> 0;
    return ((rotated >>> 17) | (rotated << 15)) >>> 0;
  };
  const records: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = Number(view.getBigUint64(at, true));
    expect(unmask(view.getUint32(at + 8, true))).toBe(slowCrc(bytes.subarray(at, at + 8)));
    const data = bytes.subarray(at + 12, at + 12 + length);
    expect(unmask(view.getUint32(at + 12 + length, true))).toBe(slowCrc(data));
    records.push(data);
    at += length + 16;
  }
  return records;
}

it("CRC-32C has the published check value", () => {
  expect(crc32c(new TextEncoder().encode("123456789"))).toBe(0xe3069283);
});

it("event files are read back by an independent reader", async () => {
  const path = join(folder, "events");
  await writeEvents(path, [STEP]);
  await appendEvent(path, { ...STEP, step: 8, loss: 3, miou: 0.5, accuracy: 0.75 });
  const [head, ...events] = readRecords(new Uint8Array(readFileSync(path)));
  const text = new TextDecoder();
  const version = fields(head!).find(({ field }) => field === 3)!.value as Uint8Array;
  expect(text.decode(version)).toBe("brain.Event:2");
  const parsed = events.map((event) => {
    const all = fields(event);
    const summary = all.find(({ field }) => field === 5)!.value as Uint8Array;
    const values = fields(summary).map(({ value }) => {
      const [tag, scalar] = fields(value as Uint8Array);
      return [text.decode(tag!.value as Uint8Array), scalar!.value] as const;
    });
    return {
      time: all.find(({ field }) => field === 1)!.value,
      step: all.find(({ field }) => field === 2)!.value,
      scalars: Object.fromEntries(values),
    };
  });
  expect(parsed).toHaveLength(2);
  expect(parsed[0]).toMatchObject({ time: STEP.time, step: 7 });
  expect(parsed[0]!.scalars).toMatchObject({
    "loss/total": 3.5,
    "loss/multi_label": 2,
    "groups/entropy_1": 1.25,
    "scale/logit_scale": 14.5,
  });
  expect(parsed[0]!.scalars).not.toHaveProperty("evaluation/miou");
  expect(parsed[1]!.scalars).toMatchObject({ "loss/total": 3, "evaluation/miou": 0.5 });
});
