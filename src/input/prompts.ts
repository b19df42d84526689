// Prompt templates around class names: the sets of the authors' evaluations and CLIP's 80.

import { InputError } from "../errors.js";

/** `simple` 1 template (segmentation), `subset` 7, `full` 80 (ImageNet). */
export type PromptSet = "simple" | "subset" | "full";

const SUBSET: readonly string[] = [
  "itap of a {}.",
  "a bad photo of a {}.",
  "a origami {}.",
  "a photo of the large {}.",
  "a {} in a video game.",
  "art of the {}.",
  "a photo of the small {}.",
];

// CLIP's templates for ImageNet (Radford et al. 2021), in the published order.
const FULL: readonly string[] = [
  "a bad photo of a {}.",
  "a photo of many {}.",
  "a sculpture of a {}.",
  "a photo of the hard to see {}.",
  "a low resolution photo of the {}.",
  "a rendering of a {}.",
  "graffiti of a {}.",
  "a bad photo of the {}.",
  "a cropped photo of the {}.",
  "a tattoo of a {}.",
  "the embroidered {}.",
  "a photo of a hard to see {}.",
  "a bright photo of a {}.",
  "a photo of a clean {}.",
  "a photo of a dirty {}.",
  "a dark photo of the {}.",
  "a drawing of a {}.",
  "a photo of my {}.",
  "the plastic {}.",
  "a photo of the cool {}.",
  "a close-up photo of a {}.",
  "a black and white photo of the {}.",
  "a painting of the {}.",
  "a painting of a {}.",
  "a pixelated photo of the {}.",
  "a sculpture of the {}.",
  "a bright photo of the {}.",
  "a cropped photo of a {}.",
  "a plastic {}.",
  "a photo of the dirty {}.",
  "a jpeg corrupted photo of a {}.",
  "a blurry photo of the {}.",
  "a photo of the {}.",
  "a good photo of the {}.",
  "a rendering of the {}.",
  "a {} in a video game.",
  "a photo of one {}.",
  "a doodle of a {}.",
  "a close-up photo of the {}.",
  "a photo of a {}.",
  "the origami {}.",
  "the {} in a video game.",
  "a sketch of a {}.",
  "a doodle of the {}.",
  "a origami {}.",
  "a low resolution photo of a {}.",
  "the toy {}.",
  "a rendition of the {}.",
  "a photo of the clean {}.",
  "a photo of a large {}.",
  "a rendition of a {}.",
  "a photo of a nice {}.",
  "a photo of a weird {}.",
  "a blurry photo of a {}.",
  "a cartoon {}.",
  "art of a {}.",
  "a sketch of the {}.",
  "a embroidered {}.",
  "a pixelated photo of a {}.",
  "itap of the {}.",
  "a jpeg corrupted photo of the {}.",
  "a good photo of a {}.",
  "a plushie {}.",
  "a photo of the nice {}.",
  "a photo of the small {}.",
  "a photo of the weird {}.",
  "the cartoon {}.",
  "art of the {}.",
  "a drawing of the {}.",
  "a photo of the large {}.",
  "a black and white photo of a {}.",
  "the plushie {}.",
  "a dark photo of a {}.",
  "itap of a {}.",
  "graffiti of the {}.",
  "a toy {}.",
  "itap of my {}.",
  "a photo of a cool {}.",
  "a photo of a small {}.",
  "a tattoo of the {}.",
];

/** The named template sets; `{}` stands for the name. */
export const PROMPT_TEMPLATES: Readonly<Record<PromptSet, readonly string[]>> = {
  simple: ["a photo of a {}."],
  subset: SUBSET,
  full: FULL,
};

/**
 * Every prompt of a label: each of its synonyms, parted by commas, in each template. The templates'
 * articles stay as they are, as in training ("a origami umbrella.").
 * @throws InputError on an empty synonym, no template, or one without exactly one `{}`
 *
 * @example
 * expandPrompts("sofa, couch", PROMPT_TEMPLATES.simple);
 * // ["a photo of a sofa.", "a photo of a couch."]
 */
export function expandPrompts(label: string, templates: readonly string[]): string[] {
  if (templates.length === 0) {
    throw new InputError(
      'The list of prompt templates is empty: give at least one, as in "a {}.".',
    );
  }
  const parts = templates.map((template) => template.split("{}"));
  const broken = parts.findIndex((part) => part.length !== 2);
  if (broken >= 0) {
    throw new InputError(
      `Prompt template ${JSON.stringify(templates[broken])}: it must hold "{}" once, where the name goes.`,
    );
  }
  return label.split(",").flatMap((part) => {
    const synonym = part.trim();
    if (synonym === "") {
      throw new InputError(
        `Label ${JSON.stringify(label.slice(0, 80))} has an empty name: write names between the commas.`,
      );
    }
    return parts.map(([before, after]) => `${before}${synonym}${after}`);
  });
}
