// Batches for the training loop, whatever they come from: shards, folders, or drawn on the fly.

import type { Ranks } from "../distribute/ranks.js";
import { InputError } from "../errors.js";
import { PROMPT_TEMPLATES } from "../input/prompts.js";
import { loadCutouts, readAttributions } from "../scenes/cutouts.js";
import { type TrainConfig, turnsFrom } from "./config.js";
import { augmentConfig, NO_AUGMENTATION } from "./data/augment.js";
import { batches } from "./data/batches.js";
import { pictureFolder } from "./data/folder.js";
import type { SampleNouns } from "./data/nouns.js";
import type { DataPosition, ShardFault } from "./data/order.js";
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
  /** Normalised [share, patches of a sample, patch * patch * 3]; valid until the next batch is asked for. */
  patches: Float32Array;
  /** Token ids, start and end included: [batch][length] and [batch][K][length]. */
  captions: number[][];
  prompts: number[][][];
  nouns: SampleNouns[];
  position: StreamPosition;
  /** Samples left out so far, by reason. */
  skipped?: Readonly<Record<string, number>>;
  /** Shards that could not be read so far; it goes on growing. */
  shardFaults?: readonly ShardFault[];
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
  /** Batches from the beginning, or after a position; `number` of the first one, which decides its mosaic. */
  open(position?: StreamPosition, number?: number): BatchStream;
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
    return { ...drawn, open: (position, number) => all(drawn.open(position, number)) };
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
    open: (position, number = 0) => all(loaderStream(config, source, position, number, ranks)),
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
            distorted: data.distorted,
            photographs: data.photographs,
          }
        : { kind: "shapes" },
    seed: config.seed,
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
    open: (position, number = 0) =>
      drawnStream(draw, {
        batches: turnsFrom(config, number).map(({ batch, size }) => ({
          batch,
          size,
          share: shareOf(batch, ranks),
        })),
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

/** Batches of a source through the loader, one ahead; the cells of mosaics are made smaller here. */
function loaderStream(
  config: TrainConfig,
  source: SampleSource,
  position: StreamPosition | undefined,
  number: number,
  ranks: Ranks | undefined,
): BatchStream {
  const { data, model } = config;
  if (data.kind !== "webdataset" && data.kind !== "folder") throw new Error("nothing to load");
  const turns = turnsFrom(config, number);
  const sizes = turns.map(({ batch }) => batch);
  const load = ranks
    ? sharedBatches(
        sizes.map((batch) => shareOf(batch, ranks)),
        ranks.exchange(),
      )
    : batches;
  const loader = load(
    {
      source,
      seed: config.seed,
      shuffleBuffer: data.shuffleBuffer,
      batchSize: sizes,
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
  let taken = 0;
  return {
    async next() {
      const result = await (ahead ?? ask());
      if (result.done) throw new Error("the loader ended");
      ahead = ask();
      const { pixels, captions, prompts, nouns, position: after, report } = result.value;
      const { imageSize, patchSize } = model.vision;
      const { size } = turns[taken++ % turns.length]!;
      return {
        patches: shrinkPatches(pixels, patchSize, imageSize / patchSize, imageSize / size),
        captions,
        prompts,
        nouns,
        position: after,
        skipped: { ...report.skipped },
        shardFaults: report.shardFaults,
      };
    },
    async close() {
      await ahead?.catch(() => {});
      await loader.return(undefined);
    },
  };
}

/**
 * Pictures made smaller by averaging squares of `factor` pixels.
 *
 * @param patches [pictures, grid * grid, patch * patch * 3]
 * @returns [pictures, (grid / factor) ** 2, patch * patch * 3]
 */
export function shrinkPatches(
  patches: Float32Array,
  patch: number,
  grid: number,
  factor: number,
): Float32Array {
  if (factor === 1) return patches;
  const [side, inner] = [grid * patch, grid / factor];
  const small = new Float32Array(patches.length / factor ** 2);
  const pictures = patches.length / (side * side * 3);
  /** Where the red of a pixel lies. */
  const place = (picture: number, cells: number, y: number, x: number): number => {
    const cell = (picture * cells + Math.floor(y / patch)) * cells + Math.floor(x / patch);
    return (cell * patch * patch + (y % patch) * patch + (x % patch)) * 3;
  };
  for (let picture = 0; picture < pictures; picture++) {
    for (let y = 0; y < side; y++) {
      for (let x = 0; x < side; x++) {
        const from = place(picture, grid, y, x);
        const to = place(picture, inner, Math.floor(y / factor), Math.floor(x / factor));
        for (let channel = 0; channel < 3; channel++) {
          small[to + channel]! += patches[from + channel]! / factor ** 2;
        }
      }
    }
  }
  return small;
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
