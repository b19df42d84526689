// Samples that are drawn rather than read: scenes and shapes, each made from a seed and its number alone.

import { IMAGENET_MEAN, IMAGENET_STD, patchesFromPixels, toPatches } from "../input/normalize.js";
import type { Picture } from "../input/picture.js";
import { loadTokenizer } from "../input/tokenizer.js";
import { Random } from "../random.js";
import { makeCatalogue, sceneAt } from "../scenes/compose.js";
import type { Cutouts } from "../scenes/cutouts.js";
import { augment, type ResolvedAugmentConfig } from "./data/augment.js";
import { cleanNouns, type SampleNouns, samplePrompts } from "./data/nouns.js";
import { shapesAt } from "./shapes.js";

/** Everything that drawing needs; it can be sent to a thread, which shares the cut-outs' pixels. */
export interface DrawConfig {
  source:
    | {
        kind: "scenes";
        cutouts: Cutouts;
        difficulty: { max: number; rampScenes: number };
        distorted?: number;
        photographs: number;
      }
    | { kind: "shapes" };
  seed: number;
  /** Side of a patch in pixels. */
  patch: number;
  /** `false` leaves pictures as they are drawn. */
  augment: ResolvedAugmentConfig | false;
  templates: readonly string[];
  promptsPerCaption: number;
  /** Longest caption or prompt in tokens. */
  textTokens: number;
}

interface DrawnSample {
  /** Normalised [patches, patch * patch * 3]. */
  patches: Float32Array;
  /** Token ids of the caption, and of each prompt. */
  caption: number[];
  prompts: number[][];
  nouns: SampleNouns;
}

/** Shapes in one picture; with more, they are too small for coarse patches. */
const MOST_SHAPES = 2;

/** Makes the function that draws sample `index`, `size` pixels a side. */
export function drawer(config: DrawConfig): (index: number, size: number) => DrawnSample {
  const { seed } = config;
  const tokenizer = loadTokenizer({ kind: "authors", contextLength: config.textTokens });
  const draw = pictureDrawer(config);
  return (index, size) => {
    const { picture, caption, nouns } = draw(index, size);
    const random = new Random(`${seed}/${index}/prompts`);
    const prompted = samplePrompts(
      cleanNouns(nouns),
      caption,
      config.promptsPerCaption,
      config.templates,
      random,
    );
    return {
      patches: patchesOf(picture, config, new Random(`${seed}/${index}/augment`), size),
      caption: tokenizer.encode(caption),
      prompts: prompted.texts.map((prompt) => tokenizer.encode(prompt)),
      nouns: prompted.nouns,
    };
  };
}

type Drawing = { picture: Picture; caption: string; nouns: readonly string[] };

function pictureDrawer({ source, seed }: DrawConfig): (index: number, size: number) => Drawing {
  if (source.kind === "shapes")
    return (index, size) => shapesAt(index, { seed, size, most: MOST_SHAPES });
  const catalogue = makeCatalogue(source.cutouts);
  const { distorted, photographs } = source;
  const { max, rampScenes } = source.difficulty;
  return (index, size) => {
    const ramp = rampScenes === 0 ? 1 : Math.min(1, index / rampScenes);
    const uniform = new Random(`${seed}/${index}/difficulty`).uniform();
    const difficulty = Math.min(max, uniform * ramp);
    return sceneAt(seed, index, catalogue, { size, difficulty, distorted, photographs });
  };
}

function patchesOf(
  picture: Picture,
  { augment: how, patch }: DrawConfig,
  random: Random,
  size: number,
): Float32Array {
  if (how === false) {
    return toPatches(picture, IMAGENET_MEAN, IMAGENET_STD, patch).patches;
  }
  const pixels = augment(picture, size, how, random); // [3, size, size]
  return patchesFromPixels(pixels, [1, 3, size, size], patch).patches;
}
