// Any source as WebDataset shards: large sequential files that training reads fastest and that can be
// split over ranks.

import { join } from "node:path";
import { InputError } from "../../errors.js";
import { pictureFormat } from "../../input/header.js";
import { claimFolder, writeAtomically } from "./files.js";
import { isSkipped, type RawSample, type SampleSource, type SkipReason } from "./source.js";
import { tarEnd, tarFile } from "./tar.js";

export interface WriteShardsOptions {
  /** Samples in each shard but the last. Default 1000. */
  samplesPerShard?: number;
  signal?: AbortSignal;
  /** Called after each shard. */
  onProgress?: (shards: number, samples: number) => void;
}

export interface WrittenShards {
  /** Paths in order. */
  shards: string[];
  samples: number;
  skipped: Partial<Record<SkipReason, number>>;
}

/** The files of one sample in a shard: picture, caption, and nouns where it brings them. */
export function sampleFiles(key: string, sample: RawSample): Uint8Array[] {
  const encoder = new TextEncoder();
  const files = [
    tarFile(`${key}.${extensionOf(sample.image)}`, sample.image),
    tarFile(`${key}.txt`, encoder.encode(sample.caption)),
  ];
  if (sample.nouns !== undefined) {
    const metadata = JSON.stringify({ caption: sample.caption, nouns: sample.nouns });
    files.push(tarFile(`${key}.json`, encoder.encode(metadata)));
  }
  return files;
}

/** By the signature; what is no known picture keeps its place as `.jpg` and is found out by training. */
function extensionOf(image: Uint8Array): string {
  try {
    const format = pictureFormat("picture", image).toLowerCase();
    return format === "jpeg" ? "jpg" : format;
  } catch {
    return "jpg";
  }
}

/**
 * Writes a source into `folder` as `00000.tar`, `00001.tar`, ... Each shard appears whole or not at all;
 * keys are numbers, so that no name of the source reaches the file system. The same source gives the
 * same bytes.
 *
 * @throws InputError where `samplesPerShard` is no number from 1 to 100,000, a shard cannot be read, or the
 *   folder has other shards
 */
export async function writeShards(
  source: SampleSource,
  folder: string,
  options: WriteShardsOptions = {},
): Promise<WrittenShards> {
  const { samplesPerShard = 1000, signal, onProgress } = options;
  if (!Number.isInteger(samplesPerShard) || samplesPerShard < 1 || samplesPerShard > 100_000) {
    throw new InputError(`samplesPerShard ${samplesPerShard}: give a number from 1 to 100000`);
  }
  const { location, samples: all } = source.describe();
  await claimFolder(folder, "shards.json", { source: location, samples: all, samplesPerShard });
  const written: WrittenShards = { shards: [], samples: 0, skipped: {} };
  const samples = usableSamples(source, written.skipped, signal);
  let next = await samples.next();
  while (!next.done) {
    const number = written.shards.length;
    const path = join(folder, `${String(number).padStart(5, "0")}.tar`);
    await writeAtomically(path, async (file) => {
      for (let i = 0; i < samplesPerShard && !next.done; i++) {
        signal?.throwIfAborted();
        const key = String(number * samplesPerShard + i).padStart(9, "0");
        for (const bytes of sampleFiles(key, next.value)) await file.writeFile(bytes);
        written.samples++;
        next = await samples.next();
      }
      await file.writeFile(tarEnd());
    });
    written.shards.push(path);
    onProgress?.(written.shards.length, written.samples);
  }
  return written;
}

async function* usableSamples(
  source: SampleSource,
  skipped: WrittenShards["skipped"],
  signal?: AbortSignal,
): AsyncGenerator<RawSample, undefined> {
  for (const shard of source.shards()) {
    for await (const item of source.open(shard, signal)) {
      if (isSkipped(item)) skipped[item.skipped] = (skipped[item.skipped] ?? 0) + 1;
      else yield item;
    }
  }
  return undefined;
}
