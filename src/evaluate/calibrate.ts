// Which background threshold and prompt set serve a model and a vocabulary best, from a handful of
// labelled pictures; cross-validated, so that the promise is for pictures that were not looked at.

import { InputError } from "../errors.js";
import type { GroupViT } from "../index.js";
import type { PromptSet } from "../input/prompts.js";
import { addPixels, addTriples, createConfusion, meanIoU, toTriples } from "./confusion.js";
import type { SegmentationSet } from "./dataset.js";
import { readMask } from "./datasets/masks.js";
import { encodeFor } from "./measure.js";
import type { SegmentationProtocol } from "./protocol.js";

export interface Setting {
  readonly prompts: PromptSet;
  /** Background threshold, 0 to 1. */
  readonly threshold: number;
}

export interface Scored extends Setting {
  /** 0 to 1, over all pictures together. */
  readonly mIoU: number;
}

export interface Calibration {
  readonly pictures: number;
  readonly best: Scored;
  /** What the standard protocol gives on the same pictures. */
  readonly standard: Scored;
  /**
   * mIoU over all pictures, each segmented with the setting chosen without its fold: what to expect of
   * new pictures. The best setting's own number flatters itself.
   */
  readonly crossValidated: number;
  readonly folds: number;
  /** Every setting that was tried. */
  readonly tried: readonly Scored[];
}

const PROMPTS: readonly PromptSet[] = ["simple", "subset", "full"];
/** 0.05 to 0.95, then finer, where confident models part. */
const THRESHOLDS = [...Array.from({ length: 19 }, (_, i) => (i + 1) / 20), 0.97, 0.99, 1];
const FOLDS = 5;

/** Confusion triples of one picture under one setting. */
type Triples = readonly number[];

/**
 * Tries every setting on every picture; pictures are encoded once.
 *
 * @param protocol where everything but threshold and prompts comes from
 * @throws InputError where the masks leave nothing to compare with
 */
export async function calibrate(
  model: GroupViT,
  set: SegmentationSet,
  protocol: SegmentationProtocol,
  options: { signal?: AbortSignal; onProgress?(done: number, total: number): void } = {},
): Promise<Calibration> {
  const classes = set.classes.length + 1;
  const standard: Setting = {
    prompts: protocol.prompts,
    threshold: protocol.background.kind === "threshold" ? protocol.background.threshold : 0,
  };
  const settings = PROMPTS.flatMap((prompts) =>
    [...new Set([...THRESHOLDS, standard.threshold])].map((threshold) => ({ prompts, threshold })),
  );
  const table: Triples[][] = settings.map(() => []); // [settings][pictures]
  for (const [done, sample] of set.samples.entries()) {
    options.signal?.throwIfAborted();
    options.onProgress?.(done, set.samples.length);
    const truth = await readMask(set, sample);
    const encoded = await encodeFor(model, sample.picture, protocol);
    for (const [i, { prompts, threshold }] of settings.entries()) {
      const { map } = await encoded.segment(protocol.words, {
        prompts,
        background: "threshold",
        threshold,
        topK: protocol.topK,
        assignment: protocol.assignment,
      });
      const confusion = createConfusion(classes);
      addPixels(confusion, truth.map, map);
      table[i]!.push(toTriples(confusion));
    }
  }
  if (table[0]!.every((triples) => triples.length === 0)) {
    throw new InputError(
      `${set.root}: no pixel of the ${set.samples.length} masks is counted, all are 255; ` +
        "label some with the values of their classes",
    );
  }
  return chooseSetting(settings, table, classes, standard);
}

/**
 * @param table [settings][pictures]
 * @param standard must be among the settings
 */
export function chooseSetting(
  settings: readonly Setting[],
  table: readonly (readonly Triples[])[],
  classes: number,
  standard: Setting,
): Calibration {
  const pictures = table[0]!.length;
  const all = Array.from({ length: pictures }, (_, i) => i);
  const score = (setting: number, of: readonly number[]) => {
    const confusion = createConfusion(classes);
    for (const picture of of) addTriples(confusion, table[setting]![picture]!);
    return meanIoU(confusion);
  };
  const own = settings.findIndex(
    ({ prompts, threshold }) => prompts === standard.prompts && threshold === standard.threshold,
  );
  const best = (of: readonly number[]) => {
    // Stays where no setting has a score, since none of the pixels is counted.
    let chosen = own;
    const scores = settings.map((_, setting) => score(setting, of));
    for (let i = 0; i < settings.length; i++) {
      const gain = scores[i]! - scores[chosen]!;
      const nearer =
        Math.abs(settings[i]!.threshold - standard.threshold) <
        Math.abs(settings[chosen]!.threshold - standard.threshold);
      // Among equals, what departs least from the standard.
      if (gain > 1e-12 || (gain > -1e-12 && nearer)) chosen = i;
    }
    return chosen;
  };
  const folds = Math.min(FOLDS, pictures);
  const heldOut = createConfusion(classes);
  for (let fold = 0; fold < folds && folds > 1; fold++) {
    const chosen = best(all.filter((i) => i % folds !== fold));
    for (const i of all) if (i % folds === fold) addTriples(heldOut, table[chosen]![i]!);
  }
  const scored = (i: number): Scored => ({ ...settings[i]!, mIoU: score(i, all) });
  return {
    pictures,
    best: scored(best(all)),
    standard: scored(own),
    crossValidated: meanIoU(heldOut),
    folds,
    tried: settings.map((_, i) => scored(i)),
  };
}
