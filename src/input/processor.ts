// How pictures become model input: the segmentation view (the authors' resizing) and the classification
// view (what `preprocessor_config.json` says).

import { ConfigError } from "../errors.js";
import type { VisionConfig } from "../model/config.js";
import type { Rgb } from "./limits.js";
import { CLIP_MEAN, CLIP_STD, IMAGENET_MEAN, IMAGENET_STD } from "./normalize.js";
import type { Picture } from "./picture.js";
import type { PilFilter } from "./resize.js";
import { resizeOpenCv, shortestEdgeCenterCrop, shortSide } from "./resize.js";

export interface Processor {
  /** Short side of the segmentation view in pixels (the authors: 448, twice the native side). */
  segmentationShortSide: number;
  /** Scores below it are background unless a threshold is given (the authors, for objects: 0.95). */
  segmentationThreshold: number;
  /** Normalisation of the segmentation view: always ImageNet's, as the authors train and evaluate. */
  segmentationMean: Rgb;
  segmentationStd: Rgb;
  /** Shortest edge and centre crop of the classification view in pixels. */
  shortestEdge: number;
  crop: number;
  filter: PilFilter;
  mean: Rgb;
  std: Rgb;
}

/**
 * Reads `preprocessor_config.json`; without the file, what the published checkpoints have. Two keys
 * are ours: `segmentation_short_side` in pixels and `segmentation_threshold`, 0 to 1.
 *
 * @throws ConfigError naming a field that is out of range
 */
export function readProcessor(vision: VisionConfig, text?: string): Processor {
  let json: Record<string, unknown> = {};
  if (text !== undefined) {
    try {
      json = JSON.parse(text) as Record<string, unknown>;
    } catch (error) {
      throw new ConfigError(`preprocessor_config.json is not JSON: ${(error as Error).message}`);
    }
    if (typeof json !== "object" || json === null || Array.isArray(json)) {
      throw new ConfigError("preprocessor_config.json must hold an object");
    }
  }
  const size = json.size as { shortest_edge?: unknown; height?: unknown } | number | undefined;
  const crop = json.crop_size as { height?: unknown } | number | undefined;
  const edge = typeof size === "object" ? (size.shortest_edge ?? size.height) : size;
  const shortestEdge = pixels("size", edge, vision.imageSize);
  return {
    segmentationShortSide: pixels("segmentation_short_side", json.segmentation_short_side, 448),
    segmentationThreshold: share("segmentation_threshold", json.segmentation_threshold, 0.95),
    segmentationMean: IMAGENET_MEAN,
    segmentationStd: IMAGENET_STD,
    shortestEdge,
    crop: pixels("crop_size", typeof crop === "object" ? crop.height : crop, shortestEdge),
    filter: json.resample === 2 ? "bilinear" : "bicubic",
    mean: colours("image_mean", json.image_mean, text === undefined ? IMAGENET_MEAN : CLIP_MEAN),
    std: colours("image_std", json.image_std, text === undefined ? IMAGENET_STD : CLIP_STD),
  };
}

function pixels(field: string, value: unknown, standard: number): number {
  if (value === undefined) return standard;
  if (typeof value !== "number" || !Number.isInteger(value) || value < 1 || value > 8192) {
    throw new ConfigError(
      `preprocessor_config.json: ${field} is ${JSON.stringify(value)}; give pixels from 1 to 8192`,
    );
  }
  return value;
}

function share(field: string, value: unknown, standard: number): number {
  if (value === undefined) return standard;
  if (typeof value !== "number" || !(value >= 0 && value <= 1)) {
    throw new ConfigError(
      `preprocessor_config.json: ${field} is ${JSON.stringify(value)}; give a number from 0 to 1`,
    );
  }
  return value;
}

function colours(field: string, value: unknown, standard: Rgb): Rgb {
  if (value === undefined) return standard;
  const numbers = Array.isArray(value) ? (value as unknown[]) : [];
  const fits = numbers.length === 3 && numbers.every((x) => typeof x === "number" && x > 0);
  if (!fits) {
    throw new ConfigError(
      `preprocessor_config.json: ${field} is ${JSON.stringify(value)}; give three positive numbers`,
    );
  }
  return numbers as unknown as Rgb;
}

/** The picture resized for segmentation: short side as given, long side at most 2048 / 448 times it. */
export function segmentationView(picture: Picture, target: number): Picture {
  const longCap = Math.round((target * 2048) / 448);
  const { width, height } = shortSide(picture.width, picture.height, target, longCap);
  return resizeOpenCv(picture, width, height);
}

/** The picture resized and cropped as the checkpoint's image processor does it. */
export function classificationView(picture: Picture, processor: Processor): Picture {
  return shortestEdgeCenterCrop(picture, processor.shortestEdge, processor.crop, processor.filter);
}
