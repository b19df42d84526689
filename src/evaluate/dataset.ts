// What the evaluation measures on: pictures with true masks, or with one true class each.

export const DATASET_NAMES = [
  "voc",
  "context",
  "coco-object",
  "scenes",
  "folder",
  "imagenet",
] as const;

export type DatasetName = (typeof DATASET_NAMES)[number];

/** A picture and its true mask, as files. */
export interface MaskedSample {
  /** Unique within the set; results are kept and saved under it. */
  readonly name: string;
  readonly picture: string;
  /** Indexed, grey or RGB PNG. */
  readonly mask: string;
  /** Part of the set that is also reported by itself, such as "photo". */
  readonly tier?: string;
}

/** How the pixels of mask files become class values. */
export interface MaskCoding {
  /** `values`: palette indices or grey values. `colours`: RGB of the PASCAL VOC palette stands for its index. */
  readonly kind: "values" | "colours";
  /** Class value of each stored value, 256 of them; 255 is not counted. Default: as stored. */
  readonly table?: readonly number[];
}

/** Pictures with masks. */
export interface SegmentationSet {
  readonly kind: "segmentation";
  readonly name: string;
  readonly root: string;
  /** List that the samples come from, such as "val". */
  readonly split: string;
  /** Classes as the set names them, without background. */
  readonly classes: readonly string[];
  /** True: mask value 0 is background and class i is i + 1. False: class i is i. */
  readonly background: boolean;
  readonly coding: MaskCoding;
  readonly samples: readonly MaskedSample[];
  /** Samples of the set that these are some of. */
  readonly whole?: number;
}

/** A picture of one class. */
export interface LabelledSample {
  readonly name: string;
  /** A file, or a file within a tar shard: `offset` and `length` of its bytes. */
  readonly picture:
    | string
    | { readonly shard: string; readonly offset: number; readonly length: number };
  /** Index in `classes`. */
  readonly label: number;
  readonly tier?: string;
}

/** Pictures with one class each. */
export interface ClassificationSet {
  readonly kind: "classification";
  readonly name: string;
  readonly root: string;
  readonly split: string;
  readonly classes: readonly string[];
  readonly samples: readonly LabelledSample[];
  /** Samples of the set that these are some of. */
  readonly whole?: number;
}
