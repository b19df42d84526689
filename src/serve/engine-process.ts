// Entry of the engine processes: each has one engine and works on one batch at a time. Pictures are
// decoded and results written here as well, so that the server's event loop stays free.

import { encodeLabelStudio } from "../annotate/label-studio.js";
import {
  decodePicture,
  drawGroups,
  drawOverlay,
  type EncodedPicture,
  encodeLabelPng,
  GroupViT,
  InputError,
  labelPalette,
  type Picture,
  reportPicture,
} from "../index.js";
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

async function runBatch(jobs: readonly Job[]): Promise<void> {
  const prepared: Prepared[] = [];
  for (const job of jobs) {
    await guarded(job, async () => {
      const ready = await prepare(job);
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
      send({ kind: "done", id: item.job.id, bytes, times, cached });
    });
  }
  for (const { id } of jobs) cancels.delete(id);
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

const cacheKey = (id: string, { mode = "whole", shortSide }: EncodeFields) =>
  `${id} ${mode} ${shortSide ?? ""}`;

/** Finds or decodes the job's picture; tells the supervisor where it has to send the bytes. */
async function prepare(job: Job): Promise<Prepared | undefined> {
  const { picture } = job;
  if (!picture) return { job, times: {}, cached: false };
  const { id, bytes, encode } = picture;
  const encoded = id === undefined ? undefined : kept.get(cacheKey(id, encode));
  if (encoded) return { job, encoded, picture: encoded.picture, times: {}, cached: true };
  if (!bytes) {
    send({ kind: "missing", id: job.id });
    return undefined;
  }
  const began = performance.now();
  const decoded = await decodePicture(bytes, { maxPixels: start.maxPixels });
  const times = { decode: performance.now() - began };
  return { job, picture: decoded, times, cached: false };
}

/** Sends pictures that are not yet encoded through the image tower. */
async function encodeTogether(prepared: readonly Prepared[]): Promise<void> {
  const open = prepared.filter(({ job, encoded, picture }) => {
    return picture && !encoded && job.work.kind !== "embed";
  });
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
    // The supervisor puts only pictures with the same options into a batch, none of them "slide".
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
    kept.set(cacheKey(id, encode), item.encoded, encodedBytes(item.encoded));
  }
}

/** Memory of an encoded picture, roughly: pixels, assignments, and the layout made from them. */
function encodedBytes({ picture, windows }: EncodedPicture): number {
  let bytes = picture.data.length;
  for (const { encoding } of windows) {
    for (const { byteLength } of encoding.assignments) bytes += 2 * byteLength;
    bytes += encoding.segmentEmbeds.byteLength;
  }
  return bytes;
}

/** The body of the answer. */
async function produce({ job, picture, encoded }: Prepared): Promise<Uint8Array> {
  const { work } = job;
  const signal = cancels.get(job.id)?.signal;
  const file = job.picture?.file ?? "picture";
  switch (work.kind) {
    case "segment":
      return segment(encoded!, file, work, signal);
    case "brush": {
      const { names, modelVersion, fromName, toName } = work;
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
      const embedding = encoded?.picture ?? picture;
      const vectors = await model.embedTexts(work.texts, signal);
      return json({
        ...(embedding ? { file, embedding: [...(await model.embedPicture(embedding))] } : {}),
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
  if (message.kind === "work") {
    for (const { id } of message.jobs) cancels.set(id, new AbortController());
  }
  last = last
    .then(() => (message.kind === "start" ? load(message) : runBatch(message.jobs)))
    .catch((error: unknown) => {
      if (message.kind === "start") fail(undefined, error);
      // Whatever a step did not foresee: its jobs are told, and the process goes on.
      else for (const { id } of message.jobs) fail(id, error);
    });
});
// Ctrl-C reaches the whole process group; the server ends its engines when their work is done.
process.on("SIGINT", () => {});
process.on("SIGTERM", () => {});
process.on("disconnect", () => process.exit());
