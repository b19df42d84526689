// What to look for in a picture: the class lists of the published evaluations, and a user's own labels.

import { InputError } from "../errors.js";
import { IMAGENET_CLASSES } from "./data/imagenet.js";

export type VocabularyName = "voc" | "context" | "coco" | "imagenet";

/** A list of labels and how the authors evaluated with it. */
export interface Vocabulary {
  readonly name: VocabularyName;
  /** In the order of the data set's ids, without the background. */
  readonly labels: readonly string[];
  /** Whether the data set has a background class, its id 0. */
  readonly background: boolean;
  /** The authors' background threshold, 0 to 1. */
  readonly threshold?: number;
}

const list = (text: string): readonly string[] => text.split(", ");

/**
 * The class lists with the names that the authors' evaluation uses, some renamed ("dining table" is
 * "table" and "tv monitor" is "monitor" in `voc` and `context`).
 */
export const VOCABULARIES: Readonly<Record<VocabularyName, Vocabulary>> = {
  voc: {
    name: "voc",
    labels: list(
      "aeroplane, bicycle, bird, boat, bottle, bus, car, cat, chair, cow, table, dog, horse, motorbike, person, plant, sheep, sofa, train, monitor",
    ),
    background: true,
    threshold: 0.95,
  },
  context: {
    name: "context",
    labels: list(
      "airplane, bag, bed, bedclothes, bench, bicycle, bird, boat, book, bottle, building, bus, cabinet, car, cat, ceiling, chair, cloth, computer, cow, cup, curtain, dog, door, fence, floor, flower, food, grass, ground, horse, keyboard, light, motorbike, mountain, mouse, person, plate, platform, plant, road, rock, sheep, shelves, sidewalk, sign, sky, snow, sofa, table, track, train, tree, truck, monitor, wall, water, window, wood",
    ),
    background: true,
    threshold: 0.35,
  },
  coco: {
    name: "coco",
    labels: list(
      "person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, stop sign, parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, backpack, umbrella, handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, skateboard, surfboard, tennis racket, bottle, wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange, broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed, dining table, toilet, tv, laptop, mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink, refrigerator, book, clock, vase, scissors, teddy bear, hair drier, toothbrush",
    ),
    background: true,
    threshold: 0.95,
  },
  imagenet: { name: "imagenet", labels: list(IMAGENET_CLASSES), background: false },
};

const MAX_LABELS = 100_000;
const MAX_LABEL_LENGTH = 1_000;

/** One label: its synonyms trimmed, with single spaces, joined by ", ". */
function tidyLabel(text: string, position: number): string {
  if (text.length > MAX_LABEL_LENGTH) {
    throw new InputError(
      `Label ${position} has ${text.length} characters: at most ${MAX_LABEL_LENGTH} are allowed.`,
    );
  }
  if (text.includes("\0")) {
    throw new InputError(
      `Label ${position}, ${JSON.stringify(text.slice(0, 80))}, holds a NUL byte: is this a text?`,
    );
  }
  const synonyms = text.split(",").map((synonym) => synonym.replace(/\s+/g, " ").trim());
  if (synonyms.includes("")) {
    throw new InputError(
      `Label ${position}, ${JSON.stringify(text.slice(0, 80))}, is empty or has an empty synonym: remove the separator too many.`,
    );
  }
  return synonyms.join(", ");
}

/**
 * Reads labels. The rule: in a text without a semicolon, commas part labels (`"dog, tree, sky"`); in a
 * text with one, semicolons part labels and commas their synonyms (`"sofa, couch; dog"`, and
 * `"sofa, couch;"` for one label); in an array every item is one label and commas part its synonyms.
 * Order is kept; white space is trimmed; upper and lower case do not make labels different.
 * @returns labels with their synonyms joined by ", ", ready for `expandPrompts`
 * @throws InputError on an empty list or label, a label given twice, one of more than 1,000 characters
 * or with a NUL byte, and on more than 100,000 labels
 *
 * @example
 * parseLabels("sofa,couch; dog"); // ["sofa, couch", "dog"]
 */
export function parseLabels(source: string | readonly string[]): string[] {
  let parts: readonly string[];
  if (typeof source === "string") {
    const separator = source.includes(";") ? ";" : ",";
    const text = separator === ";" ? source.trimEnd().replace(/;$/, "") : source;
    parts = text.trim() === "" ? [] : text.split(separator, MAX_LABELS + 1);
  } else {
    parts = source;
  }
  if (parts.length === 0) {
    throw new InputError('The list of labels is empty: give at least one, as in "dog, tree, sky".');
  }
  if (parts.length > MAX_LABELS) {
    throw new InputError(`There are more than ${MAX_LABELS} labels: split the list.`);
  }
  const labels: string[] = [];
  const positions = new Map<string, number>();
  for (const [i, part] of parts.entries()) {
    const label = tidyLabel(part, i + 1);
    const key = label.toLowerCase();
    const first = positions.get(key);
    if (first !== undefined) {
      throw new InputError(
        `Label ${JSON.stringify(label.slice(0, 80))} is given twice, as number ${first} and ${i + 1}: remove one.`,
      );
    }
    positions.set(key, i + 1);
    labels.push(label);
  }
  return labels;
}

/**
 * Reads the text of a labels file: one label a line, commas between synonyms. Blank lines and lines
 * that begin with `#` are skipped; a byte-order mark and Windows line ends are accepted.
 * @throws InputError as `parseLabels` does
 */
export function readLabelsFile(text: string): string[] {
  const lines = text.replace(/^\ufeff/, "").split(/\r\n|\r|\n/);
  return parseLabels(lines.filter((line) => line.trim() !== "" && !line.trim().startsWith("#")));
}
