// Batches for the training loop, whatever they come from: shards, folders, or drawn on the fly.

import type { Ranks } from "../distribute/ranks.js";
import { InputError } from "../errors.js";
import { PROMPT_TEMPLATES } from "../input/prompts.js";
import { loadCutouts, readAttributions } from "../scenes/cutouts.js";
import type { TrainConfig } from "./config.js";
import { augmentConfig, NO_AUGMENTATION } from "./data/augment.js";
import { batches } from "./data/batches.js";
import { pictureFolder } from "./data/folder.js";
import type { SampleNouns } from "./data/nouns.js";
import type { DataPosition } from "./data/order.js";
import { sharedBatches } from "./data/shared-batches.js";
import type { SampleSource } from "./data/source.js";
import { webdataset } from "./data/webdataset.js";
import type { DrawConfig } from "./draw.js";
import { drawnStream } from "./drawn-stream.js";
import { shareOf, withAllTexts } from "./parallel.js";
import type { StepBatch } from "./step.js";

/** Where a stream stands after a batch: plain JSON, meaningful to the same kind of stream only. */
export type StreamPosition = unknown;

export interface StreamBatch {
  /** Normalised [share, patches, patch * patch * 3]; valid until the next batch is asked for. */
  patches: Float32Array;
  /** Token ids, start and end included: [batch][length] and [batch][K][length]. */
  captions: number[][];
  prompts: number[][][];
  nouns: SampleNouns[];
  position: StreamPosition;
  /** Samples left out so far, by reason. */
  skipped?: Readonly<Record<string, number>>;
}

/** Batches without end, prepared ahead; the same for any number of threads. */
export interface BatchStream {
  next(): Promise<StreamBatch>;
  close(): Promise<void>;
}

/** Who made what the pictures show. */
export interface DataCredit {
  title: string;
  author: string;
  licence: string;
  url: string;
}

/** The data of a run. */
export interface TrainingData {
  /** One sentence for page and model card. */
  description: string;
  licence: string;
  credits: readonly DataCredit[];
  /** Samples of an epoch, where known. */
  samples: number | undefined;
  /** Batches from the beginning, or after a position. */
  open(position?: StreamPosition): BatchStream;
}

/**
 * Opens the data of a configuration. With ranks, each makes the pictures of its share of every batch, and
 * the batches are those of one process.
 *
 * @throws InputError or ConfigError where they are missing or a setting is wrong
 */
export async function openData(config: TrainConfig, ranks?: Ranks): Promise<TrainingData> {
  const { data } = config;
  const all = (stream: BatchStream) => (ranks ? withAllTexts(stream, ranks) : stream);
  if (data.kind === "scenes" || data.kind === "shapes") {
    const drawn = drawnData(config, ranks);
    return { ...drawn, open: (position) => all(drawn.open(position)) };
  }
  const source: SampleSource =
    data.kind === "webdataset"
      ? webdataset(data.shards)
      : await pictureFolder(data.folder, data.captions);
  const { location, samples } = source.describe();
  return {
    description: `Pictures and captions from ${location} (${data.kind}).`,
    licence: data.licence ?? "as the data set states; not recorded in the configuration",
    credits: [],
    samples: data.kind === "webdataset" ? data.samples : samples,
    open: (position) => all(loaderStream(config, source, position, ranks)),
  };
}

function drawnData(config: TrainConfig, ranks: Ranks | undefined): TrainingData {
  const { data, model } = config;
  if (data.kind !== "scenes" && data.kind !== "shapes")
    throw new Error(`${data.kind} is not drawn`);
  const draw: DrawConfig = {
    source:
      data.kind === "scenes"
        ? {
            kind: "scenes",
            cutouts: loadCutouts(data.cutouts, "train"),
            difficulty: data.difficulty,
          }
        : { kind: "shapes" },
    seed: config.seed,
    size: model.vision.imageSize,
    patch: model.vision.patchSize,
    augment: data.augment === false ? false : augmentConfig(data.augment),
    templates: PROMPT_TEMPLATES[config.prompts],
    promptsPerCaption: config.multiLabel,
    textTokens: config.textTokens ?? model.text.maxPositionEmbeddings,
  };
  const scenes = data.kind === "scenes";
  return {
    description: scenes
      ? "Captioned scenes composed on the fly from drawings and photographs (the training side of the split)."
      : "Captioned pictures of coloured shapes, drawn on the fly.",
    licence: scenes ? "those of the drawings, listed below" : "none needed: drawn by this program",
    credits: scenes ? readAttributions(data.cutouts) : [],
    samples: data.samples,
    open: (position) =>
      drawnStream(draw, {
        batch: config.batch,
        share: shareOf(config.batch, ranks),
        workers: config.dataWorkers,
        start: indexOf(position),
      }),
  };
}

function indexOf(position: StreamPosition): number {
  if (position === undefined) return 0;
  const index = (position as { index?: unknown } | null)?.index;
  if (typeof index === "number" && Number.isSafeInteger(index) && index >= 0) return index;
  throw new InputError(
    `data position ${JSON.stringify(position)}: it is no number of a sample; resume from another checkpoint`,
  );
}

/** Batches of a source through the loader, one ahead. */
function loaderStream(
  config: TrainConfig,
  source: SampleSource,
  position: StreamPosition | undefined,
  ranks: Ranks | undefined,
): BatchStream {
  const { data, model } = config;
  if (data.kind !== "webdataset" && data.kind !== "folder") throw new Error("nothing to load");
  const load = ranks ? sharedBatches(shareOf(config.batch, ranks), ranks.exchange()) : batches;
  const loader = load(
    {
      source,
      seed: config.seed,
      shuffleBuffer: data.shuffleBuffer,
      batchSize: config.batch,
      size: model.vision.imageSize,
      layout: { patch: model.vision.patchSize },
      augment: data.augment === false ? NO_AUGMENTATION : data.augment,
      templates: PROMPT_TEMPLATES[config.prompts],
      promptsPerCaption: config.multiLabel,
      tokenizer: {
        kind: "authors",
        contextLength: config.textTokens ?? model.text.maxPositionEmbeddings,
      },
      workers: config.dataWorkers,
    },
    position as DataPosition | undefined,
  );
  const ask = () => {
    const next = loader.next();
    // It may fail before anybody waits for it.
    next.catch(() => {});
    return next;
  };
  let ahead: ReturnType<typeof ask> | undefined;
  return {
    async next() {
      const result = await (ahead ?? ask());
      if (result.done) throw new Error("the loader ended");
      ahead = ask();
      const { pixels, captions, prompts, nouns, position: after, report } = result.value;
      return {
        patches: pixels,
        captions,
        prompts,
        nouns,
        position: after,
        skipped: { ...report.skipped },
      };
    },
    async close() {
      await ahead?.catch(() => {});
      await loader.return(undefined);
    },
  };
}

/** Token ids padded to the longest of the batch, of each picture its caption, then its prompts. */
export function stepBatch({ patches, captions, prompts, nouns }: StreamBatch): StepBatch {
  const rows = captions.flatMap((caption, i) => [caption, ...prompts[i]!]);
  const tokens = rows.reduce((longest, row) => Math.max(longest, row.length), 0);
  const ids = new Int32Array(rows.length * tokens); // [batch * (1 + K), tokens]
  const ends = new Int32Array(rows.length);
  for (const [i, row] of rows.entries()) {
    ids.set(row, i * tokens);
    ends[i] = row.length - 1;
  }
  return { patches, ids, tokens, ends, nouns };
}
