// The one small interface behind which every collection of pictures and captions stands: tar shards,
// a folder with captions, or generated scenes.

import { InputError } from "../../errors.js";

/** One picture, still encoded, with its caption. */
export interface RawSample {
  /** Name within its shard; for messages only, never a path to open. */
  readonly key: string;
  /** The encoded picture (JPEG, PNG, WebP, ...). */
  readonly image: Uint8Array;
  readonly caption: string;
  /** Nouns of the caption where the data set brings them; otherwise they are tagged. */
  readonly nouns?: readonly string[];
}

/** Why a sample is left out; the same words count in reports. */
export type SkipReason =
  | "no caption"
  | "no picture"
  | "too large"
  | "too small"
  | "broken picture"
  | "caption too long";

/** A sample that the source itself found unusable. It keeps its place in the order. */
export interface SkippedSample {
  readonly key: string;
  readonly skipped: SkipReason;
}

export type SourceItem = RawSample | SkippedSample;

/** One part of a source that is read from its beginning to its end. */
export interface ShardRef {
  /** What the source opens (a path, an address, a range); unique within the source. */
  readonly name: string;
  /** Samples in it, where the source knows without reading. */
  readonly samples?: number;
}

export interface SourceDescription {
  /** "webdataset", "folder" or "scenes". */
  readonly kind: string;
  /** Where it lies, as the user wrote it. */
  readonly location: string;
  readonly shards: number;
  /** Samples in all, where known without reading. */
  readonly samples?: number;
}

/**
 * A collection of pictures and captions. `open` gives a shard's items in an order that never changes;
 * it throws `InputError` where the shard is missing or breaks off, after the items before the break.
 */
export interface SampleSource {
  describe(): SourceDescription;
  shards(): readonly ShardRef[];
  open(shard: ShardRef, signal?: AbortSignal): AsyncIterable<SourceItem>;
}

/** Bounds on what a stranger's data set may make us hold in memory. */
export const LIMITS = {
  /** Largest encoded picture in bytes. */
  imageBytes: 32 * 2 ** 20,
  /** Longest caption in UTF-8 bytes; CLIP's context needs a few hundred. */
  captionBytes: 16 * 2 ** 10,
  /** Largest JSON entry beside a picture. */
  metadataBytes: 2 ** 20,
  /** Longest line of a caption table. */
  lineBytes: 2 ** 20,
  /** Shards that one brace pattern may name. */
  shards: 1_000_000,
  /** Rows of one caption table. */
  rows: 50_000_000,
} as const;

export function isSkipped(item: SourceItem): item is SkippedSample {
  return "skipped" in item;
}

/** Checks a caption; returns the reason to leave the sample out, or nothing. */
export function captionFault(caption: string): SkipReason | undefined {
  if (caption.trim() === "") return "no caption";
  // Three bytes is the most that one UTF-16 unit can need, so that most captions skip the encoding.
  if (
    caption.length * 3 > LIMITS.captionBytes &&
    new TextEncoder().encode(caption).length > LIMITS.captionBytes
  ) {
    return "caption too long";
  }
  return undefined;
}

/** A source of samples that are already in memory, in shards of `samplesPerShard`. */
export function memorySource(
  samples: readonly SourceItem[],
  samplesPerShard = 1000,
  location = "memory",
): SampleSource {
  const shards: ShardRef[] = [];
  for (let start = 0; start < samples.length; start += samplesPerShard) {
    const end = Math.min(samples.length, start + samplesPerShard);
    shards.push({ name: `${start}-${end}`, samples: end - start });
  }
  return {
    describe: () => ({
      kind: "memory",
      location,
      shards: shards.length,
      samples: samples.length,
    }),
    shards: () => shards,
    async *open(shard, signal) {
      const index = shards.findIndex((known) => known.name === shard.name);
      if (index < 0) throw new InputError(`shard ${shard.name}: not part of ${location}`);
      const start = index * samplesPerShard;
      for (const sample of samples.slice(start, start + samplesPerShard)) {
        signal?.throwIfAborted();
        yield sample;
      }
    },
  };
}
