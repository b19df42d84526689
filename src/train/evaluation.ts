// What a run is judged by while it goes on: mIoU on pictures with masks and zero-shot accuracy on
// pictures of single objects, both through the public interface.

import type { Model } from "../checkpoint/save.js";
import { addPixels, classIoU, createConfusion, meanIoU } from "../evaluate/confusion.js";
import { readMask } from "../evaluate/datasets/masks.js";
import { openDataset, scenesSingles } from "../evaluate/datasets/open.js";
import { GroupViTBase } from "../groupvit.js";
import type { PictureSource } from "../input/decode.node.js";
import type { Picture } from "../input/picture.js";
import type { Platform } from "../platform.js";
import { nodePlatform } from "../platform.node.js";
import type { Scores } from "./checkpoint.js";
import type { TrainConfig } from "./config.js";
import { SHAPE_NAMES, shapesAt } from "./shapes.js";

/** A picture with its mask: 0 background, else class number from 1; 255 is not counted. */
export interface MaskedPicture {
  picture: PictureSource;
  mask(): Promise<Uint8Array>;
}

export interface EvaluationSet {
  /** Without the background. */
  classes: readonly string[];
  scenes: readonly MaskedPicture[];
  singles: readonly { picture: PictureSource; label: string }[];
}

type EvaluationConfig = NonNullable<TrainConfig["evaluation"]>;

/**
 * The set of a configuration, reduced to `pictures` of each kind, evenly spread.
 *
 * @throws InputError where its files are missing or do not have the layout
 */
export async function openEvaluation(
  config: EvaluationConfig,
  imageSize: number,
): Promise<EvaluationSet> {
  const { set, pictures } = config;
  if (set.kind === "shapes") return shapesSet(imageSize, pictures);
  const whole = await vocSet(set.folder);
  return {
    ...whole,
    scenes: spread(whole.scenes, pictures),
    singles: spread(whole.singles, pictures),
  };
}

/** At most `count` items, evenly spread over the list. */
function spread<Item>(items: readonly Item[], count: number): Item[] {
  if (items.length <= count) return [...items];
  return Array.from({ length: count }, (_, i) => items[Math.floor((i * items.length) / count)]!);
}

/** Shapes from a seed that no training run has: seeds of runs are numbers. */
function shapesSet(size: number, pictures: number): EvaluationSet {
  const numbers = Array.from({ length: pictures }, (_, i) => i);
  return {
    classes: SHAPE_NAMES,
    scenes: numbers.map((i) => {
      const { picture, mask } = shapesAt(i, { seed: "evaluation", size, most: 2 });
      return { picture, mask: async () => mask };
    }),
    singles: numbers.map((i) => {
      const { picture, nouns } = shapesAt(i, { seed: "single", size, most: 1 });
      return { picture, label: nouns[0]! };
    }),
  };
}

async function vocSet(folder: string): Promise<EvaluationSet> {
  const whole = await openDataset("scenes", folder);
  const { classes, samples } = await scenesSingles(folder);
  return {
    classes: whole.classes,
    scenes: whole.samples.map((sample) => ({
      picture: sample.picture,
      mask: async () => (await readMask(whole, sample)).map,
    })),
    singles: samples.map(({ picture, label }) => ({
      picture: picture as string,
      label: classes[label]!,
    })),
  };
}

/** One picture of the strip: what the model makes of it now. */
export interface StripCell {
  picture: Picture;
  /** Values as in masks. */
  predicted: Uint8Array | Uint16Array;
  truth: Uint8Array;
}

export interface Evaluation extends Scores {
  /** Intersection over union by class, background first; NaN where neither is. */
  classIoU: { name: string; iou: number }[];
  strip: StripCell[];
}

/** Pictures of the strip. */
const STRIP = 8;

/**
 * Evaluates a model that is in memory.
 *
 * @throws InputError where a picture and its mask differ in size
 */
export async function evaluate(
  model: Model,
  set: EvaluationSet,
  config: EvaluationConfig,
  threads?: number,
  signal?: AbortSignal,
): Promise<Evaluation> {
  const platform: Platform<PictureSource> = {
    createSession: nodePlatform.createSession,
    decodePicture: nodePlatform.decodePicture,
    openCheckpoint: async () => ({ ...model, files: {}, source: "the model in training" }),
  };
  const loaded = await GroupViTBase.open(platform, undefined, { threads });
  try {
    const shortSide = config.shortSide ?? model.config.vision.imageSize;
    const confusion = createConfusion(set.classes.length + 1);
    const strip: StripCell[] = [];
    const shown = new Set(spread(set.scenes, STRIP));
    for (const scene of set.scenes) {
      signal?.throwIfAborted();
      const encoded = await loaded.encode(scene.picture, { shortSide });
      const { map } = await encoded.segment(set.classes, {
        background: "threshold",
        threshold: config.threshold,
      });
      const truth = await scene.mask();
      addPixels(confusion, truth, map);
      if (shown.has(scene)) strip.push({ picture: encoded.picture, predicted: map, truth });
    }
    let right = 0;
    for (const { picture, label } of set.singles) {
      signal?.throwIfAborted();
      const encoded = await loaded.encode(picture, { shortSide });
      const [first] = await encoded.classify(set.classes, { prompts: "simple" });
      if (first!.label === label) right++;
    }
    const names = ["background", ...set.classes];
    return {
      miou: meanIoU(confusion),
      accuracy: right / Math.max(1, set.singles.length),
      classIoU: classIoU(confusion).map((iou, i) => ({ name: names[i]!, iou })),
      strip,
    };
  } finally {
    await loaded.release();
  }
}
