// From records of pictures to the result. Records are added in the order of the set, not in the order in
// which they were measured: sums of floats are the same in every run.

import {
  addTriples,
  type Confusion,
  classAccuracy,
  classIoU,
  createConfusion,
  meanIoU,
  meanOfKnown,
  pixelAccuracy,
  truePixels,
} from "./confusion.js";
import type { ClassificationSet, SegmentationSet } from "./dataset.js";
import { type ClassificationRecord, SCORE_BINS, type SegmentationRecord } from "./measure.js";
import type {
  ClassificationResult,
  PictureResult,
  ReliabilityBin,
  SegmentationResult,
  SizeResult,
} from "./result.js";

/** Shares of the picture between which regions are counted together. */
const SIZE_LIMITS = [0, 0.01, 0.03, 0.1, 0.3, 1];

const known = (value: number) => (Number.isNaN(value) ? null : value);

function valueNames({ classes, background }: SegmentationSet): string[] {
  return background ? ["background", ...classes] : [...classes];
}

type SegmentationSummary = Pick<
  SegmentationResult,
  | "mIoU"
  | "pixelAccuracy"
  | "meanAccuracy"
  | "classes"
  | "confusion"
  | "tiers"
  | "sizes"
  | "reliability"
  | "pictures"
>;

/** @param records one for each sample of the set, in its order */
export function summariseMasks(
  set: SegmentationSet,
  records: readonly SegmentationRecord[],
): SegmentationSummary {
  const names = valueNames(set);
  const whole = createConfusion(names.length);
  const tiers = new Map<string, { pictures: number; confusion: Confusion }>();
  const pictures: PictureResult[] = [];
  const sizes = new SizeCounts();
  records.forEach(({ name, pairs }, i) => {
    const own = createConfusion(names.length);
    addTriples(own, pairs);
    addTriples(whole, pairs);
    sizes.add(own, set.background);
    const { tier } = set.samples[i]!;
    pictures.push({
      name,
      ...(tier === undefined ? {} : { tier }),
      mIoU: meanIoU(own),
      pixelAccuracy: pixelAccuracy(own),
    });
    if (tier === undefined) return;
    const part = tiers.get(tier) ?? { pictures: 0, confusion: createConfusion(names.length) };
    part.pictures++;
    addTriples(part.confusion, pairs);
    tiers.set(tier, part);
  });
  const iou = classIoU(whole);
  const accuracy = classAccuracy(whole);
  const pixels = truePixels(whole);
  return {
    mIoU: meanIoU(whole),
    pixelAccuracy: pixelAccuracy(whole),
    meanAccuracy: meanOfKnown(accuracy),
    classes: names.map((name, i) => ({
      name,
      iou: known(iou[i]!),
      accuracy: known(accuracy[i]!),
      pixels: pixels[i]!,
    })),
    confusion: names.map((_, row) =>
      Array.from(whole.counts.subarray(row * names.length, (row + 1) * names.length)),
    ),
    tiers: [...tiers].map(([name, part]) => ({
      name,
      pictures: part.pictures,
      mIoU: meanIoU(part.confusion),
    })),
    sizes: sizes.result(),
    reliability: reliability(records),
    pictures,
  };
}

/** Regions by their share of the picture. */
class SizeCounts {
  private readonly regions = new Array<number>(SIZE_LIMITS.length - 1).fill(0);
  private readonly iou = new Array<number>(SIZE_LIMITS.length - 1).fill(0);

  /** Adds the regions of one picture; the background is none. */
  add(picture: Confusion, background: boolean): void {
    const pixels = truePixels(picture);
    const all = pixels.reduce((a, b) => a + b, 0);
    const iou = classIoU(picture);
    for (let value = background ? 1 : 0; value < pixels.length; value++) {
      if (pixels[value] === 0) continue;
      const share = pixels[value]! / all;
      const bin = SIZE_LIMITS.findLastIndex((limit) => share >= limit);
      const at = Math.min(bin, this.regions.length - 1);
      this.regions[at]!++;
      this.iou[at]! += iou[value]!;
    }
  }

  result(): SizeResult[] {
    return this.regions.map((regions, i) => ({
      from: SIZE_LIMITS[i]!,
      to: SIZE_LIMITS[i + 1]!,
      regions,
      iou: regions === 0 ? 0 : this.iou[i]! / regions,
    }));
  }
}

function reliability(records: readonly SegmentationRecord[]): ReliabilityBin[] {
  return Array.from({ length: SCORE_BINS }, (_, bin) => {
    let [pixels, scores, right] = [0, 0, 0];
    for (const { bins } of records) {
      pixels += bins[3 * bin]!;
      scores += bins[3 * bin + 1]!;
      right += bins[3 * bin + 2]!;
    }
    return {
      from: bin / SCORE_BINS,
      to: (bin + 1) / SCORE_BINS,
      pixels,
      meanScore: pixels === 0 ? 0 : scores / pixels,
      accuracy: pixels === 0 ? 0 : right / pixels,
    };
  });
}

function groupBy<Item, Key>(items: readonly Item[], keyOf: (item: Item, i: number) => Key) {
  const groups = new Map<Key, Item[]>();
  items.forEach((item, i) => {
    const key = keyOf(item, i);
    const group = groups.get(key);
    if (group) group.push(item);
    else groups.set(key, [item]);
  });
  return groups;
}

type ClassificationSummary = Pick<ClassificationResult, "top1" | "top5" | "classes" | "tiers">;

/** @param records one for each sample of the set, in its order */
export function summariseLabels(
  { classes, samples }: ClassificationSet,
  records: readonly ClassificationRecord[],
): ClassificationSummary {
  const share = (part: readonly ClassificationRecord[], within: number) =>
    part.filter(({ rank }) => rank < within).length / part.length;
  const byLabel = groupBy(records, ({ label }) => label);
  const byTier = groupBy(records, (_, i) => samples[i]!.tier);
  return {
    top1: share(records, 1),
    top5: share(records, 5),
    classes: classes.map((name, label) => {
      const own = byLabel.get(label) ?? [];
      return { name, pictures: own.length, top1: own.length === 0 ? null : share(own, 1) };
    }),
    tiers: [...byTier].flatMap(([name, part]) =>
      name === undefined ? [] : [{ name, pictures: part.length, top1: share(part, 1) }],
    ),
  };
}
