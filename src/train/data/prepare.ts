// What is done to one sample, in a worker or in place: decode, augment, cut into patches, find nouns,
// tokenise. Its randomness depends on the sample's seed alone.

import { PictureError } from "../../errors.js";
import { decodePicture } from "../../input/decode.node.js";
import { headerSize, pictureFormat } from "../../input/header.js";
import { patchesFromPixels } from "../../input/normalize.js";
import { loadTokenizer } from "../../input/tokenizer.js";
import { Random } from "../../random.js";
import { augment, type ResolvedAugmentConfig } from "./augment.js";
import { cleanNouns, nounsOf, type SampleNouns, samplePrompts } from "./nouns.js";
import type { RawSample, SkipReason } from "./source.js";

/** Everything a worker needs to know; it can be sent to one. */
export interface PrepareConfig {
  size: number;
  augment: ResolvedAugmentConfig;
  /** Side of a patch, or 0 for whole pictures. */
  patch: number;
  promptsPerCaption: number;
  templates: readonly string[];
  tokenizer: Parameters<typeof loadTokenizer>[0];
  /** Pictures with a shorter side than this are left out. */
  minSide: number;
  maxPixels: number;
}

export interface PreparedSample {
  /** [3, size, size], or [patches, patch * patch * 3] where patches are asked for. */
  pixels: Float32Array;
  /** Token ids from start to end of text, unpadded. */
  caption: number[];
  /** One list of ids for each prompt. */
  prompts: number[][];
  nouns: SampleNouns;
}

export type Prepared = PreparedSample | { skipped: SkipReason };

export type Prepare = (sample: RawSample, seed: string) => Promise<Prepared>;

/** Makes the function that prepares samples; loading the tokenizer is its only lasting cost. */
export function preparer(config: PrepareConfig): Prepare {
  const tokenizer = loadTokenizer(config.tokenizer);
  const { size, patch } = config;

  return async (sample, seed) => {
    const fault = sizeFault(sample.image, config);
    if (fault !== undefined) return { skipped: fault };
    let pixels: Float32Array;
    try {
      const picture = await decodePicture(sample.image, { maxPixels: config.maxPixels });
      // Headers of some formats tell no size, hence again.
      if (Math.min(picture.width, picture.height) < config.minSide) return { skipped: "too small" };
      pixels = augment(picture, size, config.augment, new Random(`${seed}/augment`)); // [3, size, size]
    } catch (error) {
      if (!(error instanceof PictureError)) throw error;
      return { skipped: "broken picture" };
    }
    if (patch > 0) {
      pixels = patchesFromPixels(pixels, [1, 3, size, size], patch).patches; // [patches, patch * patch * 3]
    }
    const prompted = samplePrompts(
      sample.nouns ? cleanNouns(sample.nouns) : nounsOf(sample.caption),
      sample.caption,
      config.promptsPerCaption,
      config.templates,
      new Random(`${seed}/prompts`),
    );
    return {
      pixels,
      caption: tokenizer.encode(sample.caption),
      prompts: prompted.texts.map((prompt) => tokenizer.encode(prompt)),
      nouns: prompted.nouns,
    };
  };
}

/** What the picture's header already tells against it. */
export function sizeFault(
  image: Uint8Array,
  limits: { minSide: number; maxPixels: number },
): SkipReason | undefined {
  try {
    const size = headerSize(image, pictureFormat("picture", image));
    if (size === undefined) return undefined;
    if (size.width * size.height > limits.maxPixels) return "too large";
    return Math.min(size.width, size.height) < limits.minSide ? "too small" : undefined;
  } catch (error) {
    if (error instanceof PictureError) return "broken picture";
    throw error;
  }
}
