// Training augmentation as DeiT does it with timm: random resized crop, flip, RandAugment or colour
// jitter, normalising, random erasing. Everything random comes from the generator that is passed in.

import { z } from "zod";
import { ConfigError } from "../../errors.js";
import { IMAGENET_MEAN, IMAGENET_STD, normalize } from "../../input/normalize.js";
import type { Picture } from "../../input/picture.js";
import { resizePil } from "../../input/resize.js";
import type { Random } from "../../random.js";
import {
  affine,
  autoContrast,
  brightness,
  contrast,
  cropPicture,
  equalize,
  flipHorizontally,
  invert,
  posterize,
  rotation,
  saturation,
  sharpness,
  solarize,
  solarizeAdd,
} from "./picture-ops.js";

const unit = z.number().min(0).max(1);
const positive = z.number().positive();
const range = (value: z.ZodNumber) =>
  z.tuple([value, value]).refine(([low, high]) => low <= high, "the lower end comes first");

export const augmentSchema = z.strictObject({
  /** Share of the picture's area that the crop takes; `false` squares the middle instead. */
  crop: z
    .union([
      z.strictObject({ scale: range(positive.max(1)), ratio: range(positive) }),
      z.literal(false),
    ])
    .default({ scale: [0.08, 1], ratio: [3 / 4, 4 / 3] }),
  /** Probability of mirroring. */
  flip: unit.default(0.5),
  /**
   * Brightness, contrast and saturation change by factors from 1 - jitter to 1 + jitter. Off by
   * default, because timm leaves it out wherever RandAugment is on, and so did the published run.
   */
  colorJitter: unit.default(0),
  /** timm's `rand-m9-mstd0.5-inc1`: two operations, each with probability 0.5. */
  randAugment: z
    .union([
      z.strictObject({
        magnitude: z.number().min(0).max(10).default(9),
        magnitudeStd: z.number().min(0).max(10).default(0.5),
        operations: z.int().min(1).max(15).default(2),
        probability: unit.default(0.5),
      }),
      z.literal(false),
    ])
    .default({ magnitude: 9, magnitudeStd: 0.5, operations: 2, probability: 0.5 }),
  /** Probability that a rectangle is overwritten with normal noise (timm's pixel mode). */
  erasing: unit.default(0.25),
});

/** Settings of the augmentation; what is left out takes DeiT's value. */
export type AugmentConfig = z.input<typeof augmentSchema>;
export type ResolvedAugmentConfig = z.output<typeof augmentSchema>;

/** No randomness at all: the middle square, resized and normalised. */
export const NO_AUGMENTATION: AugmentConfig = {
  crop: false,
  flip: 0,
  colorJitter: 0,
  randAugment: false,
  erasing: 0,
};

/** Fills in defaults. @throws ConfigError naming the field that is wrong */
export function augmentConfig(config: AugmentConfig = {}): ResolvedAugmentConfig {
  const result = augmentSchema.safeParse(config);
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  throw new ConfigError(
    `augmentation ${issue.path.join(".") || "settings"}: ${issue.message}; correct the field`,
  );
}

/**
 * One training picture from a decoded one.
 *
 * @param size side of the result in pixels
 * @returns normalised with ImageNet's mean and deviation, [3, size, size]
 */
export function augment(
  picture: Picture,
  size: number,
  config: ResolvedAugmentConfig,
  random: Random,
): Float32Array {
  let current = resizePil(randomCrop(picture, config.crop, random), size, size, "bicubic");
  if (random.uniform() < config.flip) current = flipHorizontally(current);
  if (config.colorJitter > 0) current = colorJitter(current, config.colorJitter, random);
  if (config.randAugment !== false) current = randAugment(current, config.randAugment, random);
  const pixels = normalize(current, IMAGENET_MEAN, IMAGENET_STD); // [3, size, size]
  if (random.uniform() < config.erasing) eraseRectangle(pixels, size, random);
  return pixels;
}

function between(low: number, high: number, random: Random): number {
  return low + (high - low) * random.uniform();
}

/** A rectangle in pixels. */
export interface CropBox {
  left: number;
  top: number;
  width: number;
  height: number;
}

/**
 * The crop of torchvision's RandomResizedCrop: ten tries to fit a rectangle of random area and
 * log-uniform ratio, then the largest middle part within the ratios.
 */
export function randomCropBox(
  width: number,
  height: number,
  scale: readonly [number, number],
  ratio: readonly [number, number],
  random: Random,
): CropBox {
  const area = width * height;
  for (let attempt = 0; attempt < 10; attempt++) {
    const target = area * between(scale[0], scale[1], random);
    const aspect = Math.exp(between(Math.log(ratio[0]), Math.log(ratio[1]), random));
    const w = Math.round(Math.sqrt(target * aspect));
    const h = Math.round(Math.sqrt(target / aspect));
    if (w >= 1 && h >= 1 && w <= width && h <= height) {
      const top = random.integer(height - h + 1);
      return { left: random.integer(width - w + 1), top, width: w, height: h };
    }
  }
  return middleBox(width, height, ratio);
}

/** The largest rectangle in the middle whose ratio lies within `ratio`. */
function middleBox(width: number, height: number, ratio: readonly [number, number]): CropBox {
  const aspect = width / height;
  const w = aspect > ratio[1] ? Math.max(1, Math.round(height * ratio[1])) : width;
  const h = aspect < ratio[0] ? Math.max(1, Math.round(width / ratio[0])) : height;
  return {
    left: Math.floor((width - w) / 2),
    top: Math.floor((height - h) / 2),
    width: w,
    height: h,
  };
}

function randomCrop(
  picture: Picture,
  crop: ResolvedAugmentConfig["crop"],
  random: Random,
): Picture {
  const { width, height } = picture;
  const box =
    crop === false
      ? middleBox(width, height, [1, 1])
      : randomCropBox(width, height, crop.scale, crop.ratio, random);
  return cropPicture(picture, box.left, box.top, box.width, box.height);
}

/** Brightness, contrast and saturation in random order (torchvision's ColorJitter without hue). */
function colorJitter(picture: Picture, amount: number, random: Random): Picture {
  const operations = [brightness, contrast, saturation];
  let current = picture;
  while (operations.length > 0) {
    const [operation] = operations.splice(random.integer(operations.length), 1);
    current = operation!(current, between(1 - amount, 1 + amount, random));
  }
  return current;
}

/** ImageNet's mean colour in bytes: what affine operations fill with. */
const FILL: readonly [number, number, number] = [
  Math.round(255 * IMAGENET_MEAN[0]),
  Math.round(255 * IMAGENET_MEAN[1]),
  Math.round(255 * IMAGENET_MEAN[2]),
];

/** An operation at a strength of 0..10; `sign` is 1 or -1 for those that go both ways. */
type AugmentOperation = (picture: Picture, strength: number, sign: number) => Picture;

const enhanceFactor = (strength: number, sign: number): number =>
  Math.max(0.1, 1 + sign * (strength / 10) * 0.9);

/** timm's operations with increasing severity (`inc1`), in its order, with its magnitudes. */
export const RAND_AUGMENT_OPERATIONS: Readonly<Record<string, AugmentOperation>> = {
  AutoContrast: autoContrast,
  Equalize: equalize,
  Invert: invert,
  Rotate: (picture, strength, sign) =>
    affine(picture, rotation(picture.width, picture.height, sign * (strength / 10) * 30), FILL),
  PosterizeIncreasing: (picture, strength) =>
    posterize(picture, 4 - Math.trunc((strength / 10) * 4)),
  SolarizeIncreasing: (picture, strength) =>
    solarize(picture, 256 - Math.min(256, Math.trunc((strength / 10) * 256))),
  SolarizeAdd: (picture, strength) =>
    solarizeAdd(picture, Math.min(128, Math.trunc((strength / 10) * 110))),
  ColorIncreasing: (picture, strength, sign) => saturation(picture, enhanceFactor(strength, sign)),
  ContrastIncreasing: (picture, strength, sign) => contrast(picture, enhanceFactor(strength, sign)),
  BrightnessIncreasing: (picture, strength, sign) =>
    brightness(picture, enhanceFactor(strength, sign)),
  SharpnessIncreasing: (picture, strength, sign) =>
    sharpness(picture, enhanceFactor(strength, sign)),
  ShearX: (picture, strength, sign) =>
    affine(picture, [1, sign * (strength / 10) * 0.3, 0, 0, 1, 0], FILL),
  ShearY: (picture, strength, sign) =>
    affine(picture, [1, 0, 0, sign * (strength / 10) * 0.3, 1, 0], FILL),
  TranslateXRel: (picture, strength, sign) =>
    affine(picture, [1, 0, sign * (strength / 10) * 0.45 * picture.width, 0, 1, 0], FILL),
  TranslateYRel: (picture, strength, sign) =>
    affine(picture, [1, 0, 0, 0, 1, sign * (strength / 10) * 0.45 * picture.height], FILL),
};

const OPERATIONS = Object.values(RAND_AUGMENT_OPERATIONS);

function randAugment(
  picture: Picture,
  config: Exclude<ResolvedAugmentConfig["randAugment"], false>,
  random: Random,
): Picture {
  let current = picture;
  for (let i = 0; i < config.operations; i++) {
    const operation = OPERATIONS[random.integer(OPERATIONS.length)]!;
    if (random.uniform() >= config.probability) continue;
    const strength = config.magnitude + config.magnitudeStd * random.normal();
    const sign = random.uniform() < 0.5 ? -1 : 1;
    current = operation(current, Math.max(0, Math.min(10, strength)), sign);
  }
  return current;
}

/**
 * Overwrites one rectangle of [3, size, size] with standard normal noise: area 2 % to a third,
 * log-uniform ratio 0.3 to 1/0.3, ten tries (timm's RandomErasing, mode "pixel").
 */
function eraseRectangle(pixels: Float32Array, size: number, random: Random): void {
  for (let attempt = 0; attempt < 10; attempt++) {
    const target = size * size * between(0.02, 1 / 3, random);
    const aspect = Math.exp(between(Math.log(0.3), -Math.log(0.3), random));
    const height = Math.round(Math.sqrt(target * aspect));
    const width = Math.round(Math.sqrt(target / aspect));
    if (width >= size || height >= size) continue;
    const top = random.integer(size - height + 1);
    const left = random.integer(size - width + 1);
    for (let channel = 0; channel < 3; channel++) {
      for (let y = top; y < top + height; y++) {
        const start = (channel * size + y) * size + left;
        for (let i = start; i < start + width; i++) pixels[i] = random.normal();
      }
    }
    return;
  }
}
