// Looks through a data set before days are spent on it: what is there against what should be.

import { createHash } from "node:crypto";
import { InputError, PictureError } from "../../errors.js";
import { decodePicture } from "../../input/decode.node.js";
import { fnv1a } from "../../random.js";
import type { ShardFault } from "./order.js";
import { sizeFault } from "./prepare.js";
import { isSkipped, type SampleSource, type SkipReason, type SourceDescription } from "./source.js";

export interface ExpectedData {
  shards?: number;
  samples?: number;
}

export interface CheckOptions {
  /** Decodes every picture; otherwise only headers are read. Default false. */
  decode?: boolean;
  /** Pictures with a shorter side count as too small. Default 32. */
  minSide?: number;
  signal?: AbortSignal;
  /** Called after each shard. */
  onProgress?: (shards: number, samples: number) => void;
}

export interface DataReport {
  source: SourceDescription;
  /** Shards that could be read to their end. */
  shards: number;
  /** Usable samples. */
  samples: number;
  skipped: Partial<Record<SkipReason, number>>;
  shardFaults: ShardFault[];
  /** Of usable captions, in words; undefined without any. */
  captionWords: { shortest: number; median: number; longest: number } | undefined;
  /** Samples whose picture's bytes came before, from another file; and whose caption came before. */
  duplicatePictures: number;
  duplicateCaptions: number;
  /** Samples after which duplicates were no longer looked for, to bound memory; undefined if never. */
  duplicatesCheckedUpTo: number | undefined;
  /** One sentence for each way in which the data falls short; empty where all is as expected. */
  problems: string[];
}

/** Samples whose digests are kept: about 1 GB. */
const MAX_DIGESTS = 8_000_000;
/** Captions longer than this many words count as this long. */
const MAX_WORDS = 1000;

/** Reads the whole source once, and reports. Differences to `expected` stand in `problems`. */
export async function checkData(
  source: SampleSource,
  expected: ExpectedData = {},
  options: CheckOptions = {},
): Promise<DataReport> {
  const { decode = false, minSide = 32, signal, onProgress } = options;
  const limits = { minSide, maxPixels: 50_000_000 };
  const skipped: DataReport["skipped"] = {};
  const shardFaults: ShardFault[] = [];
  const words = new Array<number>(MAX_WORDS + 1).fill(0);
  /** Digests of pictures, and of the place where each was first. */
  const pictures = new Map<string, number>();
  // A table may give one picture several captions, as COCO does: that is no repetition.
  const isFolder = source.describe().kind === "folder";
  const captions = new Set<string>();
  let [shards, samples, duplicatePictures, duplicateCaptions] = [0, 0, 0, 0];
  let duplicatesCheckedUpTo: number | undefined;
  const all = source.shards();
  for (const shard of all) {
    try {
      for await (const item of source.open(shard, signal)) {
        signal?.throwIfAborted();
        const fault = isSkipped(item)
          ? item.skipped
          : (sizeFault(item.image, limits) ??
            (decode && (await isBroken(item.image)) ? "broken picture" : undefined));
        if (isSkipped(item) || fault !== undefined) {
          skipped[fault!] = (skipped[fault!] ?? 0) + 1;
          continue;
        }
        samples++;
        words[Math.min(MAX_WORDS, item.caption.trim().split(/\s+/).length)]!++;
        if (pictures.size >= MAX_DIGESTS) {
          duplicatesCheckedUpTo ??= samples - 1;
          continue;
        }
        const place = fnv1a(isFolder ? item.key : `${shard.name}/${item.key}`);
        const picture = digest(item.image);
        const first = pictures.get(picture);
        if (first === undefined) pictures.set(picture, place);
        else if (first !== place) duplicatePictures++;
        const caption = digest(item.caption.trim().toLowerCase());
        if (captions.has(caption)) duplicateCaptions++;
        captions.add(caption);
      }
      shards++;
    } catch (error) {
      signal?.throwIfAborted();
      if (!(error instanceof InputError)) throw error;
      shardFaults.push({ shard: shard.name, reason: error.message });
    }
    onProgress?.(shards + shardFaults.length, samples);
  }
  const report: DataReport = {
    source: source.describe(),
    shards,
    samples,
    skipped,
    shardFaults,
    captionWords: samples === 0 ? undefined : wordStatistics(words, samples),
    duplicatePictures,
    duplicateCaptions,
    duplicatesCheckedUpTo,
    problems: [],
  };
  report.problems = problemsOf(report, expected);
  return report;
}

async function isBroken(image: Uint8Array): Promise<boolean> {
  try {
    await decodePicture(image, { maxPixels: 50_000_000 });
    return false;
  } catch (error) {
    if (error instanceof PictureError) return true;
    throw error;
  }
}

/** 96 bits. */
function digest(value: Uint8Array | string): string {
  return createHash("sha1").update(value).digest("base64").slice(0, 16);
}

function wordStatistics(words: readonly number[], samples: number): DataReport["captionWords"] {
  let seen = 0;
  const median = words.findIndex((count) => {
    seen += count;
    return seen * 2 >= samples;
  });
  return {
    shortest: words.findIndex((count) => count > 0),
    median,
    longest: words.findLastIndex((count) => count > 0),
  };
}

function problemsOf(report: DataReport, expected: ExpectedData): string[] {
  const problems: string[] = [];
  if (expected.shards !== undefined && report.shards !== expected.shards) {
    problems.push(`${report.shards} readable shards instead of ${expected.shards}`);
  }
  if (expected.samples !== undefined && report.samples !== expected.samples) {
    problems.push(`${report.samples} usable samples instead of ${expected.samples}`);
  }
  // The reasons name their shards.
  for (const { reason } of report.shardFaults) problems.push(reason);
  for (const [reason, count] of Object.entries(report.skipped)) {
    problems.push(`${count} samples left out: ${reason}`);
  }
  if (report.duplicatePictures > 0) problems.push(`${report.duplicatePictures} repeated pictures`);
  return problems;
}
