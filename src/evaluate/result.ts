// What an evaluation found, as it is stored, printed and drawn.

import type { LoadOptions } from "../groupvit.js";
import type { Protocol, Published } from "./protocol.js";

/** Counts over the pixels of one class. */
export interface ClassResult {
  readonly name: string;
  /** Intersection over union, 0 to 1; null where the class neither occurs nor is predicted. */
  readonly iou: number | null;
  /** Share of its pixels that are found; null where it does not occur. */
  readonly accuracy: number | null;
  /** True pixels. */
  readonly pixels: number;
}

export interface PictureResult {
  readonly name: string;
  readonly tier?: string;
  /** Over the classes that occur in its truth or prediction. */
  readonly mIoU: number;
  readonly pixelAccuracy: number;
}

/** Regions (all pixels of one class in one picture) whose share of the picture lies in a range. */
export interface SizeResult {
  /** Share of the picture: from (included) to (excluded, but 1). */
  readonly from: number;
  readonly to: number;
  readonly regions: number;
  /** Mean intersection over union of these regions with what was predicted of their class. */
  readonly iou: number;
}

/** Pixels whose winning score lies in a range; a reliable model is right as often as its score says. */
export interface ReliabilityBin {
  readonly from: number;
  readonly to: number;
  readonly pixels: number;
  readonly meanScore: number;
  readonly accuracy: number;
}

interface Header<Task extends Protocol["task"]> {
  readonly format: "groupvit-evaluation/1";
  readonly task: Task;
  /** `sha256` of the bytes that were measured, pictures with masks or labels, in the order of the set. */
  readonly dataset: {
    readonly name: string;
    readonly split: string;
    readonly pictures: number;
    readonly sha256: string;
  };
  /** `sha256` of the weights' bytes; `dtype` of the numbers that the engine had of them. */
  readonly model: {
    readonly name: string;
    readonly sha256: string;
    readonly dtype: NonNullable<LoadOptions["dtype"]>;
  };
  readonly protocol: Extract<Protocol, { task: Task }>;
  /** Where it departs from the data set's standard: protocol, list, number of pictures, number format. */
  readonly changes: readonly string[];
  /** Of the standard protocol, to compare with; in percent. */
  readonly published: readonly Published[];
  readonly picturesPerSecond: number;
}

export interface SegmentationResult extends Header<"segmentation"> {
  /** Mean over the classes that occur or are predicted, 0 to 1. */
  readonly mIoU: number;
  readonly pixelAccuracy: number;
  /** Mean over the classes that occur. */
  readonly meanAccuracy: number;
  /** Background first, where the set has one. */
  readonly classes: readonly ClassResult[];
  /** [true][predicted] pixels, in the order of `classes`. */
  readonly confusion: readonly (readonly number[])[];
  /** mIoU of each part of the set by itself, where it has parts. */
  readonly tiers: readonly {
    readonly name: string;
    readonly pictures: number;
    readonly mIoU: number;
  }[];
  readonly sizes: readonly SizeResult[];
  readonly reliability: readonly ReliabilityBin[];
  readonly pictures: readonly PictureResult[];
}

export interface ClassificationResult extends Header<"classification"> {
  readonly top1: number;
  readonly top5: number;
  readonly classes: readonly {
    readonly name: string;
    readonly pictures: number;
    /** Share that was recognised; null without pictures. */
    readonly top1: number | null;
  }[];
  readonly tiers: readonly {
    readonly name: string;
    readonly pictures: number;
    readonly top1: number;
  }[];
}

export type EvaluationResult = SegmentationResult | ClassificationResult;
