// Training batches from a source of pictures and captions: the end of the path source, order, workers.

import { availableParallelism } from "node:os";
import { ConfigError, InputError } from "../../errors.js";
import type { loadTokenizer } from "../../input/tokenizer.js";
import { type AugmentConfig, augmentConfig } from "./augment.js";
import type { SampleNouns } from "./nouns.js";
import { type DataPosition, type OrderOptions, orderedSamples, type ShardFault } from "./order.js";
import type { PrepareConfig } from "./prepare.js";
import type { SampleSource, SkipReason } from "./source.js";
import { prepareInOrder } from "./workers.js";

export interface BatchConfig extends OrderOptions {
  source: SampleSource;
  /** Pictures a batch (of this rank); several are taken in turns. */
  batchSize: number | readonly number[];
  /** Side of the pictures in pixels. */
  size: number;
  /**
   * How pixels lie in a batch. It is data rather than a function because patches are cut in the
   * workers. `{ patch: 16 }` orders them as `toPatches` does.
   */
  layout?: "pixels" | { readonly patch: number };
  /** Defaults to DeiT's augmentation. */
  augment?: AugmentConfig;
  /** Prompt templates with `{}` where the noun goes. */
  templates: readonly string[];
  /** K of the multi-label contrastive loss. Default 3. */
  promptsPerCaption?: number;
  /** Defaults to the authors' tokenizer with a context of 77. */
  tokenizer?: Parameters<typeof loadTokenizer>[0];
  /** Pictures with a shorter side are left out. Default 32. */
  minSide?: number;
  /** Pictures with more pixels are left out. Default 50 million. */
  maxPixels?: number;
  /** Threads that prepare; 0 works in this one. It changes nothing in the result. Default: half the cores. */
  workers?: number;
  /** Samples in flight; bounds memory (600 kB each at 224 px). Default: the batch, 256 at most. */
  prefetch?: number;
  signal?: AbortSignal;
}

/** What was left out since the loader was started. */
export interface LoaderReport {
  /** Samples that went into batches. */
  samples: number;
  skipped: Partial<Record<SkipReason, number>>;
  /** The first hundred shards that are missing or break off. */
  shardFaults: ShardFault[];
}

/** Names a sample of a batch. */
export interface SampleInfo {
  key: string;
  epoch: number;
  /** Place in the rank's epoch. */
  index: number;
}

export interface TrainingBatch {
  /** [batch, 3, size, size], or [batch, patches, patch * patch * 3]; ImageNet-normalised. */
  pixels: Float32Array;
  /** Shape of `pixels`. */
  shape: number[];
  /** Token ids of each caption, start and end of text included, unpadded: [batch][length]. */
  captions: number[][];
  /** Token ids of each caption's K prompts: [batch][K][length]. */
  prompts: number[][][];
  /** Which nouns the prompts are about. */
  nouns: SampleNouns[];
  samples: SampleInfo[];
  /** Give it to `batches` to go on after this batch. */
  position: DataPosition;
  /** Live: it goes on counting. */
  report: LoaderReport;
}

const MAX_FAULTS = 100;

/** Settings with the sizes of batches as a list, and the shape of one sample. */
export function checkedConfig(config: BatchConfig): {
  prepare: PrepareConfig;
  sizes: readonly number[];
  shape: number[];
} {
  const { batchSize, size, layout = "pixels", promptsPerCaption = 3 } = config;
  const sizes = typeof batchSize === "number" ? [batchSize] : batchSize;
  const whole = (name: string, value: number, low: number, high: number): void => {
    if (!Number.isInteger(value) || value < low || value > high) {
      throw new ConfigError(`data ${name} ${value}: give a whole number from ${low} to ${high}`);
    }
  };
  for (const count of sizes) whole("batchSize", count, 1, 65_536);
  whole("size", size, 8, 4096);
  whole("promptsPerCaption", promptsPerCaption, 0, 64);
  whole("workers", config.workers ?? 0, 0, 256);
  whole("prefetch", config.prefetch ?? 1, 1, 65_536);
  whole("minSide", config.minSide ?? 1, 1, 65_536);
  if (config.templates.length === 0 || config.templates.some((text) => !text.includes("{}"))) {
    throw new ConfigError('data templates: each needs "{}" where the noun goes');
  }
  const patch = layout === "pixels" ? 0 : layout.patch;
  if (patch !== 0) {
    whole("layout.patch", patch, 1, size);
    if (size % patch !== 0) {
      throw new ConfigError(`data layout.patch ${patch}: it must divide the size ${size}`);
    }
  }
  return {
    sizes,
    shape: patch === 0 ? [3, size, size] : [(size / patch) ** 2, patch * patch * 3],
    prepare: {
      size,
      augment: augmentConfig(config.augment),
      patch,
      promptsPerCaption,
      templates: [...config.templates],
      tokenizer: config.tokenizer,
      minSide: config.minSide ?? 32,
      maxPixels: config.maxPixels ?? 50_000_000,
    },
  };
}

/**
 * Batches without end; take as many as the schedule asks for. A batch may begin in one epoch and end in
 * the next, so that no sample is lost and ranks with fewer samples never starve the others.
 *
 * The batches depend on the seed, the data and the settings, not on the number of workers.
 *
 * @param position where to go on: the `position` of the last batch that was used
 * @throws ConfigError for a wrong setting or a position of another run
 * @throws InputError where a whole epoch has no usable sample
 *
 * @example
 * for await (const batch of batches({ source: webdataset("cc3m/{00000..00331}.tar"), seed: 1,
 *   batchSize: 32, size: 224, templates: ["a photo of a {}."] })) { ... }
 */
export async function* batches(
  config: BatchConfig,
  position?: DataPosition,
): AsyncGenerator<TrainingBatch> {
  const { prepare, sizes, shape } = checkedConfig(config);
  const { source, signal, seed, rank = 0, worldSize = 1 } = config;
  const report: LoaderReport = { samples: 0, skipped: {}, shardFaults: [] };
  const ordered = orderedSamples(
    source,
    config,
    position,
    (fault) => {
      if (report.shardFaults.length < MAX_FAULTS) report.shardFaults.push(fault);
    },
    signal,
  );
  const prepared = prepareInOrder(
    ordered,
    prepare,
    // The place among all ranks, so that no two samples of an epoch share their randomness.
    (sample) => `${seed}/${sample.epoch}/${sample.index * worldSize + rank}`,
    {
      workers: config.workers ?? Math.max(1, Math.floor(availableParallelism() / 2)),
      prefetch: config.prefetch ?? Math.min(Math.max(...sizes), 256),
      signal,
    },
  );
  const perSample = product(shape);
  let turn = 0;
  let batch = emptyBatch([sizes[turn]!, ...shape], report);
  let epoch = position?.epoch ?? 0;
  // After resuming within an epoch its first part is unknown; only whole epochs can be judged empty.
  let usable = (position?.index ?? 0) > 0 ? 1 : 0;
  for await (const { ordered: sample, prepared: result } of prepared) {
    if (sample.epoch !== epoch) {
      if (usable === 0) {
        throw new InputError(
          `${source.describe().location}: no usable sample in epoch ${epoch} ` +
            `(${JSON.stringify(report.skipped)}); check the data`,
        );
      }
      epoch = sample.epoch;
      usable = 0;
    }
    if ("skipped" in result) {
      report.skipped[result.skipped] = (report.skipped[result.skipped] ?? 0) + 1;
      continue;
    }
    usable++;
    report.samples++;
    batch.pixels.set(result.pixels, batch.samples.length * perSample);
    batch.captions.push(result.caption);
    batch.prompts.push(result.prompts);
    batch.nouns.push(result.nouns);
    batch.samples.push({ key: sample.item.key, epoch: sample.epoch, index: sample.index });
    if (batch.samples.length === sizes[turn]) {
      yield { ...batch, position: sample.position() };
      turn = (turn + 1) % sizes.length;
      batch = emptyBatch([sizes[turn]!, ...shape], report);
    }
  }
}

function product(shape: readonly number[]): number {
  return shape.reduce((total, side) => total * side, 1);
}

export function emptyBatch(shape: number[], report: LoaderReport): Omit<TrainingBatch, "position"> {
  const pixels = new Float32Array(product(shape));
  return { pixels, shape: [...shape], captions: [], prompts: [], nouns: [], samples: [], report };
}
