// Entry of the engine processes: each has one engine and works on one batch at a time. Pictures are
// decoded and results written here as well, so that the server's event loop stays free.

import { encodeLabelStudio } from "../annotate/label-studio.js";
import { EncodedPicture } from "../groupvit.js";
import {
  decodePicture,
  drawGroups,
  drawOverlay,
  encodeLabelPng,
  GroupViT,
  InputError,
  labelPalette,
  type Picture,
  reportPicture,
} from "../index.js";
import { ByteReader, enginePipe } from "./byte-pipe.js";
import { ExpiringCache } from "./expiring-cache.js";
import { groupsReport } from "./groups-report.js";
import type {
  EncodeFields,
  EngineMessage,
  EngineReply,
  EngineStart,
  Job,
  StageTimes,
  Work,
} from "./jobs.js";

/** A job with its picture's file, as it came. */
interface Received {
  job: Job;
  bytes: Promise<Uint8Array> | undefined;
}

/** Jobs of a batch whose picture is at hand. */
interface Prepared {
  job: Job;
  picture?: Picture;
  encoded?: EncodedPicture;
  times: StageTimes;
  cached: boolean;
  /** Its supervisor was told why. */
  failed?: boolean;
}

const MAX_KEPT = 1024;
const MEMORY_PERIOD = 5_000; // ms

let start: EngineStart;
let model: GroupViT;
let kept: ExpiringCache<EncodedPicture>;
/** One batch after another; those that wait are with the server's supervisor, and here, in order. */
let last: Promise<void> = Promise.resolve();
const cancels = new Map<number, AbortController>();
const pipe = enginePipe();
const reader = new ByteReader(pipe);

const send = (reply: EngineReply) => process.send?.(reply);

async function load(message: EngineStart): Promise<void> {
  start = message;
  const { device, dtype, threads } = message;
  model = await GroupViT.load(message.model, { device, dtype, threads });
  kept = new ExpiringCache({
    count: MAX_KEPT,
    bytes: message.keepBytes,
    lifetime: message.keepFor,
  });
  // The sessions are made at their first use: now, and not when somebody waits.
  const grey = { width: 64, height: 64, data: new Uint8Array(64 * 64 * 3).fill(128) };
  const { patchSize } = model.config.vision;
  const warm = await model.encode(grey, { shortSide: Math.max(64, patchSize) });
  await warm.segment(["picture"]);
  const facts = {
    dim: model.config.projectionDim,
    shortSide: model.processor.segmentationShortSide,
    patchSize,
    groups: warm.groups().map(({ groups }) => groups),
  };
  send({ kind: "ready", facts });
  const report = () => send({ kind: "memory", bytes: process.memoryUsage.rss() });
  report();
  setInterval(report, MEMORY_PERIOD).unref();
}

async function runBatch(received: readonly Received[]): Promise<void> {
  const prepared: Prepared[] = [];
  for (const { job, bytes } of received) {
    await guarded(job, async () => {
      const ready = await prepare(job, await bytes);
      if (ready) prepared.push(ready);
    });
  }
  await encodeTogether(prepared);
  for (const item of prepared) {
    if (item.failed) continue;
    await guarded(item.job, async () => {
      const began = performance.now();
      const bytes = await produce(item);
      item.times.mask = performance.now() - began;
      const { times, cached } = item;
      send({ kind: "done", id: item.job.id, length: bytes.length, times, cached });
      pipe.write(bytes);
    });
  }
  for (const { job } of received) cancels.delete(job.id);
}

/** Runs a step of a job; what goes wrong there fails this job and no other. Gives whether it went well. */
async function guarded(job: Job, step: () => Promise<void>): Promise<boolean> {
  // Turns of the event loop, in which cancellations are heard.
  await new Promise((resolve) => setImmediate(resolve));
  const signal = cancels.get(job.id)?.signal;
  try {
    signal?.throwIfAborted();
    await step();
    return true;
  } catch (error) {
    fail(job.id, error);
    return false;
  }
}

function fail(id: number | undefined, error: unknown): void {
  const { name, message, stack } = error instanceof Error ? error : new Error(String(error));
  const kind = error instanceof InputError ? name : "Error";
  send({ kind: "failed", id, name: kind, message, stack });
}

/** Whether a job needs the segmentation view through the image tower. */
const needsEncoding = ({ kind }: Work) => kind !== "embed" && kind !== "classify";

function cacheKey(id: string, work: Work, encode: EncodeFields): string {
  const { mode = "whole", shortSide, zoom } = encode;
  if (!needsEncoding(work)) return `${id} as a whole`;
  return `${id} ${mode} ${shortSide ?? ""}${zoom ? " zoom" : ""}`;
}

/** Finds or decodes the job's picture; tells the supervisor where it has to send the bytes. */
async function prepare(job: Job, bytes: Uint8Array | undefined): Promise<Prepared | undefined> {
  const { picture, work } = job;
  if (!picture) return { job, times: {}, cached: false };
  const key = picture.id === undefined ? undefined : cacheKey(picture.id, work, picture.encode);
  const encoded = key === undefined ? undefined : kept.get(key);
  if (encoded) return { job, encoded, times: {}, cached: true };
  if (!bytes) {
    send({ kind: "missing", id: job.id });
    return undefined;
  }
  const began = performance.now();
  const decoded = await decodePicture(bytes, { maxPixels: start.maxPixels });
  const times = { decode: performance.now() - began };
  if (needsEncoding(work)) return { job, picture: decoded, times, cached: false };
  // Without windows: what asks about the picture as a whole prepares it in its own way.
  const whole = new EncodedPicture(model, decoded, decoded, []);
  if (key !== undefined) kept.set(key, whole, encodedBytes(whole));
  return { job, encoded: whole, times, cached: false };
}

/** Sends pictures that are not yet encoded through the image tower. */
async function encodeTogether(prepared: readonly Prepared[]): Promise<void> {
  const open = prepared.filter(({ encoded, picture }) => picture && !encoded);
  const began = performance.now();
  if (open.length === 1) {
    const [item] = open as [Prepared];
    const encoded = await guarded(item.job, async () => {
      item.encoded = await model.encode(item.picture!, {
        ...item.job.picture!.encode,
        maxPixels: start.maxPixels,
        signal: cancels.get(item.job.id)?.signal,
      });
    });
    item.failed = !encoded;
  } else if (open.length > 1) {
    // The supervisor puts only pictures with the same options into a batch, none of them "slide" or zoomed.
    const { shortSide } = open[0]!.job.picture!.encode;
    const all = await model.encodeMany(
      open.map(({ picture }) => picture!),
      { shortSide },
    );
    for (const [i, item] of open.entries()) item.encoded = all[i];
  }
  for (const item of open) {
    item.times.encode = (performance.now() - began) / open.length;
    const { id, encode } = item.job.picture!;
    if (id === undefined || !item.encoded) continue;
    kept.set(cacheKey(id, item.job.work, encode), item.encoded, encodedBytes(item.encoded));
  }
}

/** Memory of an encoded picture, roughly: pixels, assignments, and the layout made from them. */
function encodedBytes({ picture, windows, zoomed }: EncodedPicture): number {
  let bytes = picture.data.length;
  if (zoomed) bytes += 2 * zoomed.closeEmbeds.byteLength + zoomed.pieces.map.byteLength;
  for (const { encoding } of windows) {
    for (const { byteLength } of encoding.assignments) bytes += 2 * byteLength;
    bytes += encoding.segmentEmbeds.byteLength;
  }
  return bytes;
}

/** The body of the answer. */
async function produce({ job, encoded }: Prepared): Promise<Uint8Array> {
  const { work } = job;
  const signal = cancels.get(job.id)?.signal;
  const file = job.picture?.file ?? "picture";
  switch (work.kind) {
    case "segment":
      return segment(encoded!, file, work, signal);
    case "brush": {
      const { names, modelVersion, fromNames: fromName, toName } = work;
      const result = await encoded!.segment(work.labels, { ...work.options, signal });
      const named = { ...result, labels: names };
      return json(encodeLabelStudio(named, result.scores, { modelVersion, fromName, toName }));
    }
    case "classify": {
      const ranked = await encoded!.classify(work.labels, { prompts: work.prompts, signal });
      return json({ file, labels: ranked.slice(0, work.top) });
    }
    case "groups":
      return groups(encoded!, file, work, signal);
    case "embed": {
      const picture = encoded?.picture;
      const vectors = await model.embedTexts(work.texts, signal);
      return json({
        ...(picture ? { file, embedding: [...(await model.embedPicture(picture))] } : {}),
        dim: model.config.projectionDim,
        texts: work.texts.map((text, i) => ({ text, embedding: [...vectors[i]!] })),
      });
    }
  }
}

async function segment(
  encoded: EncodedPicture,
  file: string,
  { labels, options, as }: Extract<Work, { kind: "segment" }>,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  const result = await encoded.segment(labels, { ...options, signal });
  if (as === "json") return json(reportPicture(file, result, result.scores, null));
  if (as === "overlay") return drawOverlay(encoded.picture, result);
  const values = result.labels.length + (result.background ? 1 : 0);
  return encodeLabelPng(result, labelPalette(values, result.background));
}

async function groups(
  encoded: EncodedPicture,
  file: string,
  { mode, labels, prompts, as }: Extract<Work, { kind: "groups" }>,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  const { picture, width, height } = encoded;
  const stages = encoded.groups();
  if (as === "json") return json(groupsReport(file, width, height, stages));
  const maps = stages.map(({ map }) => ({ width, height, map }));
  const prediction = labels
    ? await encoded.segment(labels, { prompts, signal })
    : { ...maps[0]!, labels: [], background: false };
  return drawGroups(mode, {
    picture,
    firstGroups: maps[0]!,
    finalGroups: maps.at(-1)!,
    prediction,
  });
}

const json = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));

process.on("message", (message: EngineMessage) => {
  if (message.kind === "cancel") {
    cancels.get(message.id)?.abort(new Error("cancelled"));
    return;
  }
  if (message.kind === "start") {
    last = load(message).catch((error: unknown) => fail(undefined, error));
    return;
  }
  // All of them, even of jobs that are cancelled before their turn: others' follow.
  const received = message.jobs.map((job) => {
    cancels.set(job.id, new AbortController());
    const length = job.picture?.length;
    return { job, bytes: length === undefined ? undefined : reader.take(length) };
  });
  last = last
    .then(() => runBatch(received))
    .catch((error: unknown) => {
      // Whatever a step did not foresee: its jobs are told, and the process goes on.
      for (const { job } of received) fail(job.id, error);
    });
});
// Ctrl-C reaches the whole process group; the server ends its engines when their work is done.
process.on("SIGINT", () => {});
process.on("SIGTERM", () => {});
process.on("disconnect", () => process.exit());
