// How a number was measured: everything that moves it, as one value that is printed, stored beside the
// result and compared.

import type { PromptSet } from "../input/prompts.js";
import { VOCABULARIES } from "../input/vocabularies.js";
import { type Quality, qualityRefines, qualityShortSide, qualityZooms } from "./quality.js";

/** Which pixels take no class. */
export type ProtocolBackground =
  | { readonly kind: "none" }
  /** Those whose best score is below min(threshold, largest score). */
  | { readonly kind: "threshold"; readonly threshold: number };

/** Segmentation: words in, label map out, compared with true masks. */
export interface SegmentationProtocol {
  readonly task: "segmentation";
  /** What the model is asked for, one word list a class, in the order of the set's classes. */
  readonly words: readonly string[];
  readonly prompts: PromptSet;
  readonly background: ProtocolBackground;
  /** Short side in pixels at which pictures are encoded. */
  readonly shortSide: number;
  /** `slide`: square windows of `shortSide`, half of it apart, scores averaged. */
  readonly mode: "whole" | "slide";
  /** Words nearest to the picture that may win. */
  readonly topK: number;
  /** Soft assignment maps (the authors), or each patch wholly in its group. */
  readonly assignment: "soft" | "hard";
  /** Encoded mirrored as well, scores averaged. */
  readonly flip: boolean;
  /** Pieces of segments are looked at again from near; absent for not. */
  readonly zoom?: true;
  /** Borders are fitted to the picture's own edges; absent for not. */
  readonly refine?: true;
  /** The preset that the values above were taken from; absent for `balanced`, which changes none. */
  readonly quality?: Exclude<Quality, "balanced">;
}

/** Classification: the word nearest to the whole picture. */
export interface ClassificationProtocol {
  readonly task: "classification";
  readonly words: readonly string[];
  readonly prompts: PromptSet;
}

export type Protocol = SegmentationProtocol | ClassificationProtocol;

/** Published zero-shot results of one checkpoint, in percent (paper, table 4 and the model card). */
export interface Published {
  readonly model: string;
  readonly metric: "mIoU" | "top1";
  readonly value: number;
  /** IoU of each class, background first, where that was published as well. */
  readonly classes?: readonly number[];
}

/** What the authors measured with: their names of the classes, thresholds, prompts, window and stride. */
export interface StandardProtocol<Kind extends Protocol = Protocol> {
  readonly name: string;
  readonly protocol: Kind;
  readonly published: readonly Published[];
}

const GCC_YFCC = "nvidia/groupvit-gcc-yfcc";
const GCC_REDCAPS = "nvidia/groupvit-gcc-redcaps";

/** The author's own table of VOC for the first checkpoint (https://github.com/NVlabs/GroupViT/issues/32). */
const VOC_CLASS_IOU = [
  80.63, 38.08, 31.41, 51.6, 32.7, 63.46, 78.83, 65.07, 79.22, 18.75, 73.4, 31.63, 76.42, 59.41,
  55.31, 43.96, 40.92, 66.57, 31.52, 49.47, 29.74,
];

function published(
  metric: Published["metric"],
  yfcc: number,
  redcaps: number,
  yfccClasses?: readonly number[],
): readonly Published[] {
  return [
    {
      model: GCC_YFCC,
      metric,
      value: yfcc,
      ...(yfccClasses === undefined ? {} : { classes: yfccClasses }),
    },
    { model: GCC_REDCAPS, metric, value: redcaps },
  ];
}

/** The authors' settings for a list of words; the threshold is the data set's own. */
export function authorsSegmentation(
  words: readonly string[],
  background: ProtocolBackground,
): SegmentationProtocol {
  return {
    task: "segmentation",
    words,
    prompts: "simple",
    background,
    shortSide: 448,
    mode: "slide",
    topK: 5,
    assignment: "soft",
    flip: false,
  };
}

/** A protocol with what a quality changes of it. */
export function withQuality(
  protocol: SegmentationProtocol,
  quality: Quality | undefined,
): SegmentationProtocol {
  if (quality === undefined || quality === "balanced") return protocol;
  return {
    ...protocol,
    shortSide: qualityShortSide(quality, protocol.shortSide),
    ...(qualityZooms(quality, protocol.mode) && !protocol.flip ? { zoom: true } : {}),
    ...(qualityRefines(quality) ? { refine: true } : {}),
    quality,
  };
}

function authors(name: "voc" | "context" | "coco", results: readonly Published[]) {
  const { labels, threshold = 0.95 } = VOCABULARIES[name];
  return {
    protocol: authorsSegmentation(labels, { kind: "threshold", threshold }),
    published: results,
  };
}

/** The protocols of the published results, by data set. */
export const STANDARD_PROTOCOLS = {
  voc: { name: "voc", ...authors("voc", published("mIoU", 52.3, 50.8, VOC_CLASS_IOU)) },
  context: { name: "context", ...authors("context", published("mIoU", 22.4, 23.7)) },
  "coco-object": { name: "coco-object", ...authors("coco", published("mIoU", 24.3, 27.5)) },
  imagenet: {
    name: "imagenet",
    protocol: {
      task: "classification",
      words: VOCABULARIES.imagenet.labels,
      prompts: "full",
    },
    published: published("top1", 43.7, 51.6),
  },
} as const satisfies Record<string, StandardProtocol>;

/**
 * Where two protocols differ, one line a field, such as `threshold: 0.95 -> 0.5`; empty if they measure
 * the same.
 */
export function protocolChanges(from: Protocol, to: Protocol): string[] {
  const [old, now] = [fields(from), fields(to)];
  const changes: string[] = [];
  for (const key of new Set([...Object.keys(old), ...Object.keys(now)])) {
    if (key === "words") continue;
    if (old[key] !== now[key]) changes.push(`${key}: ${old[key] ?? "-"} -> ${now[key] ?? "-"}`);
  }
  return [...changes, ...wordChanges(from.words, to.words)];
}

function wordChanges(from: readonly string[], to: readonly string[]): string[] {
  if (from.length !== to.length) return [`words: ${from.length} -> ${to.length}`];
  return from.flatMap((word, i) => (word === to[i] ? [] : [`word ${i + 1}: ${word} -> ${to[i]}`]));
}

/** A protocol's fields as short texts, in the order in which they are shown. */
export function protocolFields(protocol: Protocol): [string, string][] {
  return Object.entries(fields(protocol));
}

function fields(protocol: Protocol): Record<string, string> {
  const common = {
    task: protocol.task,
    words: `${protocol.words.length}`,
    prompts: protocol.prompts,
  };
  if (protocol.task === "classification") return common;
  const { background, shortSide, mode, topK, assignment, flip, zoom, refine, quality } = protocol;
  return {
    ...common,
    quality: quality ?? "balanced",
    background: background.kind,
    ...(background.kind === "threshold" ? { threshold: `${background.threshold}` } : {}),
    "short side": `${shortSide} px`,
    mode: mode === "slide" ? `slide ${shortSide}/${Math.floor(shortSide / 2)}` : mode,
    "top k": `${topK}`,
    assignment,
    flip: flip ? "on" : "off",
    zoom: zoom ? "on" : "off",
    refine: refine ? "on" : "off",
  };
}
