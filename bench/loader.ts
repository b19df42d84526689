// The training loader: samples a second, from JPEG files in tar shards, and drawn scenes.

import { existsSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { Random } from "../src/random.js";
import type { TrainConfig } from "../src/train/config.js";
import { writeShards } from "../src/train/data/shard.js";
import { memorySource, type RawSample } from "../src/train/data/source.js";
import type { BatchStream } from "../src/train/stream.js";
import type { BenchContext } from "./context.js";
import { built, isBuilt, ROOT } from "./dist.js";
import { blobs, jpeg, WORDS } from "./material.js";
import { takeTurns } from "./measure.js";
import type { Row } from "./row.js";
import { NAIVE, rateRow } from "./row.js";
import { recipe } from "./training.js";

type Streams = typeof import("../src/train/stream.js");
type Batches = typeof import("../src/train/data/batches.js");
type WebDataset = typeof import("../src/train/data/webdataset.js");
type Prompts = typeof import("../src/input/prompts.js");

const BATCH = 32;
/** Samples of the shards, and how many have a picture of their own: decoding does not mind repetition. */
const SAMPLES = 256;
const DISTINCT = 32;

/** Batches that are timed, after some for which the threads are not yet warm. */
interface Lengths {
  warmUp: number;
  timed: number;
}

/** Milliseconds a sample, and those that a core spent on it. */
async function timeStream(
  stream: BatchStream,
  { warmUp, timed }: Lengths,
): Promise<{ each: number; core: number }> {
  for (let i = 0; i < warmUp; i++) await stream.next();
  const [began, cpu] = [performance.now(), process.cpuUsage()];
  for (let i = 0; i < timed; i++) await stream.next();
  const { user, system } = process.cpuUsage(cpu);
  const samples = timed * BATCH;
  return { each: (performance.now() - began) / samples, core: (user + system) / 1000 / samples };
}

/** One row for each way to open a stream; the first is the naive path. */
async function compare(
  group: string,
  ways: Record<string, () => BatchStream>,
  lengths: Lengths,
  { rounds, budget }: BenchContext,
): Promise<Row[]> {
  const cores: Record<string, number> = {};
  const cases: Record<string, () => Promise<number>> = {};
  for (const [name, open] of Object.entries(ways)) {
    cases[name] = async () => {
      const stream = open();
      try {
        const { each, core } = await timeStream(stream, lengths);
        cores[name] = core;
        return each;
      } finally {
        await stream.close();
      }
    };
  }
  const times = await takeTurns(cases, Math.min(rounds, 5), budget);
  const [naive] = Object.values(times);
  return Object.entries(times).map(([name, own]) =>
    rateRow(group, name, "samples/s", own, {
      naive: own === naive ? undefined : naive,
      note: `${cores[name]!.toFixed(1)} ms of a core a sample`,
    }),
  );
}

/** 512 x 384 pixels, as data sets of the web are commonly stored; captions of a few words. */
async function writeSamples(folder: string): Promise<void> {
  const random = new Random(17);
  const pictures = await Promise.all(
    Array.from({ length: DISTINCT }, (_, i) => jpeg(blobs(512, 384, i))),
  );
  const word = () => WORDS[random.integer(WORDS.length)]!;
  const samples = Array.from(
    { length: SAMPLES },
    (_, i): RawSample => ({
      key: String(i),
      image: pictures[i % DISTINCT]!,
      caption: `a photo of a ${word()} beside an old ${word()} and a ${word()} in the morning`,
    }),
  );
  await writeShards(memorySource(samples), folder, { samplesPerShard: 64 });
}

const threads = (count: number) => `${count} ${count === 1 ? "thread" : "threads"}`;
const threadCounts = () => [...new Set([1, availableParallelism()])];

export async function benchLoader(context: BenchContext): Promise<Row[]> {
  if (!isBuilt("the loader")) return [];
  const folder = join(context.folder, "shards");
  await writeSamples(folder);
  const { openData } = await built<Streams>("train/stream");
  const published = await recipe("published-gcc-yfcc");
  const config = (dataWorkers: number): TrainConfig => {
    if (published.data.kind !== "webdataset") throw new Error("the published data are shards");
    const data = { ...published.data, shards: folder, shuffleBuffer: 64 };
    return { ...published, data, batch: BATCH, dataWorkers };
  };
  const ways: Record<string, () => BatchStream> = {
    [`${NAIVE}: one sample after another`]: await oneByOne(folder, published),
  };
  for (const count of threadCounts()) {
    const data = await openData(config(count));
    ways[threads(count)] = () => data.open();
  }
  return compare(
    "training loader: JPEG files from tar, to 224 px",
    ways,
    { warmUp: 2, timed: 4 },
    context,
  );
}

/** The same samples in the engine's thread, none ahead. */
async function oneByOne(folder: string, config: TrainConfig): Promise<() => BatchStream> {
  const { batches } = await built<Batches>("train/data/batches");
  const { webdataset } = await built<WebDataset>("train/data/webdataset");
  const { PROMPT_TEMPLATES } = await built<Prompts>("input/prompts");
  return () => {
    const loader = batches({
      source: webdataset(folder),
      seed: config.seed,
      shuffleBuffer: 64,
      batchSize: BATCH,
      size: config.model.vision.imageSize,
      layout: { patch: config.model.vision.patchSize },
      templates: PROMPT_TEMPLATES[config.prompts],
      promptsPerCaption: config.multiLabel,
      workers: 0,
      prefetch: 1,
    });
    return {
      next: async () => (await loader.next()).value,
      close: async () => {
        await loader.return(undefined);
      },
    };
  };
}

/** Scenes of full difficulty; only where their cut-outs are. */
export async function benchScenesLoader(context: BenchContext): Promise<Row[]> {
  const cutouts = join(ROOT, ".cache/scenes/cutouts");
  if (!existsSync(join(cutouts, "cutouts.json"))) {
    console.error("bench: .cache/scenes is missing, drawing scenes left out; see CONTRIBUTING.md");
    return [];
  }
  if (!isBuilt("drawing scenes")) return [];
  const { openData } = await built<Streams>("train/stream");
  const scenes = await recipe("scenes");
  if (scenes.data.kind !== "scenes") throw new Error("the bundled model's data are scenes");
  const data = { ...scenes.data, cutouts };
  const config = { ...scenes, data, batch: BATCH };
  const training = await openData(config);
  const ways: Record<string, () => BatchStream> = {};
  for (const count of [0, ...threadCounts()]) {
    const name = count === 0 ? `${NAIVE}: in the engine's thread` : threads(count);
    ways[name] = () => {
      // Looked at when a stream is opened; the cut-outs are read once.
      config.dataWorkers = count;
      return training.open({ index: data.difficulty.rampScenes });
    };
  }
  return compare(
    "training loader: scenes drawn on the fly, 128 px",
    ways,
    { warmUp: 8, timed: 20 },
    context,
  );
}
