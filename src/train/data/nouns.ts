// The nouns of a caption, and the prompts made of them for the multi-label contrastive loss (paper,
// section 3.3): K nouns a caption, each in a random template.

import model from "wink-eng-lite-web-model";
import winkNLP from "wink-nlp";
import type { Random } from "../../random.js";

/** Longest run of nouns that counts as one name; longer runs are lists of words. */
const MAX_NAME_WORDS = 3;
const MAX_NOUNS = 64;
const MAX_NOUN_LENGTH = 60;

/**
 * Names that a tagger breaks because their first or last word is (or looks like) an adjective. Plain
 * runs of nouns such as "fire truck" need no entry. In the singular, but for names that have none.
 */
const COMPOUND_NAMES = new Set([
  "golden retriever",
  "polar bear",
  "brown bear",
  "black bear",
  "grizzly bear",
  "red panda",
  "giant panda",
  "red fox",
  "arctic fox",
  "bald eagle",
  "great white shark",
  "german shepherd",
  "siberian husky",
  "french bulldog",
  "hot dog",
  "french fries",
  "hot air balloon",
  "swiss army knife",
  "traffic light",
  "stop sign",
  "parking meter",
  "potted plant",
  "stuffed animal",
  "electric guitar",
  "acoustic guitar",
  "wooden spoon",
  "bell pepper",
  "sweet potato",
  "ice cream",
  "solar panel",
  "high heels",
  "mobile phone",
  "digital clock",
  "dining table",
  "washing machine",
  "sewing machine",
  "swimming pool",
  "shopping cart",
  "cutting board",
  "fishing rod",
  "bus stop",
  "sleeping bag",
  "running shoe",
  "rolling pin",
]);

let tagger: ReturnType<typeof winkNLP> | undefined;

/**
 * The nouns of an English caption in the order of the text: lower-cased, without repetitions, names of
 * several words kept whole. Determiners, adjectives, numbers and signs are left out.
 *
 * @example nounsOf("A red fire truck beside a golden retriever") // ["fire truck", "golden retriever"]
 */
export function nounsOf(caption: string): string[] {
  // Loading takes 50 ms and is only needed where a caption comes without nouns.
  tagger ??= winkNLP(model, ["sbd", "pos"]);
  const { words, tags } = joinLetters(taggedWords(tagger, caption));
  const nouns = new Set<string>();
  const isNoun = (i: number): boolean =>
    (tags[i] === "NOUN" || tags[i] === "PROPN") && /\p{L}{2}/u.test(words[i]!);
  let i = 0;
  while (i < words.length && nouns.size < MAX_NOUNS) {
    const compound = compoundAt(words, i);
    if (compound > 0) {
      nouns.add(words.slice(i, i + compound).join(" "));
      i += compound;
      continue;
    }
    if (!isNoun(i)) {
      i++;
      continue;
    }
    let end = i + 1;
    while (end < words.length && isNoun(end) && compoundAt(words, end) === 0) end++;
    if (end - i <= MAX_NAME_WORDS) nouns.add(words.slice(i, end).join(" "));
    else for (const name of namesInRun(words.slice(i, end), tags.slice(i, end))) nouns.add(name);
    i = end;
  }
  return [...nouns].filter((noun) => noun.length <= MAX_NOUN_LENGTH);
}

interface TaggedWords {
  words: string[];
  tags: string[];
  /** White space before each word. */
  spaces: string[];
}

function taggedWords({ readDoc, its }: ReturnType<typeof winkNLP>, caption: string): TaggedWords {
  const tokens = readDoc(caption).tokens();
  return {
    words: tokens.out(its.value).map((word) => String(word).toLowerCase()),
    tags: tokens.out(its.pos).map(String),
    spaces: tokens.out(its.precedingSpaces).map(String),
  };
}

/** Makes one word of "t-shirt", which the tagger breaks at the hyphen. */
function joinLetters({ words, tags, spaces }: TaggedWords): Pick<TaggedWords, "words" | "tags"> {
  const joined: Pick<TaggedWords, "words" | "tags"> = { words: [], tags: [] };
  for (let i = 0; i < words.length; i++) {
    const isJoined =
      /^\p{L}$/u.test(words[i]!) &&
      words[i + 1] === "-" &&
      spaces[i + 1] === "" &&
      spaces[i + 2] === "";
    joined.words.push(isJoined ? `${words[i]}-${words[i + 2]}` : words[i]!);
    joined.tags.push(isJoined ? tags[i + 2]! : tags[i]!);
    if (isJoined) i += 2;
  }
  return joined;
}

/** Of a run too long to be one name: proper names between common nouns as they are, all else word by word. */
function namesInRun(words: readonly string[], tags: readonly string[]): string[] {
  const names: string[] = [];
  for (let start = 0; start < words.length; ) {
    let end = start + 1;
    while (end < words.length && tags[end] === tags[start]) end++;
    const part = words.slice(start, end);
    if (tags[start] === "PROPN" && part.length <= MAX_NAME_WORDS) names.push(part.join(" "));
    else names.push(...part);
    start = end;
  }
  return names;
}

/** Words of the longest compound name, in the singular or plural, that begins at `start`, or 0. */
function compoundAt(words: readonly string[], start: number): number {
  for (let count = 3; count >= 2; count--) {
    const name = words.slice(start, start + count).join(" ");
    const forms = [
      name,
      name.replace(/s$/, ""),
      name.replace(/es$/, ""),
      name.replace(/ies$/, "y"),
    ];
    if (forms.some((form) => COMPOUND_NAMES.has(form))) return count;
  }
  return 0;
}

/** Cleans nouns that a data set brings: trimmed, lower-cased, without repetitions, bounded. */
export function cleanNouns(nouns: readonly string[]): string[] {
  const clean = nouns
    .slice(0, MAX_NOUNS)
    .map((noun) => noun.trim().toLowerCase())
    .filter((noun) => noun !== "" && noun.length <= MAX_NOUN_LENGTH);
  return [...new Set(clean)];
}

/** Which nouns a sample's prompts are about. */
export interface SampleNouns {
  /** All nouns of the caption; the caption itself where it has none. */
  all: string[];
  /** The noun of each prompt. */
  prompts: string[];
}

/**
 * `count` prompts from the nouns: drawn without repetition while they last, then over again; a caption
 * without nouns stands for all its prompts itself.
 *
 * @param templates with `{}` where the noun goes
 */
export function samplePrompts(
  nouns: readonly string[],
  caption: string,
  count: number,
  templates: readonly string[],
  random: Random,
): { texts: string[]; nouns: SampleNouns } {
  if (nouns.length === 0) {
    const texts = Array.from({ length: count }, () => caption);
    return { texts, nouns: { all: [caption], prompts: texts } };
  }
  const texts: string[] = [];
  const chosen: string[] = [];
  let left: string[] = [];
  while (texts.length < count) {
    if (left.length === 0) left = [...nouns];
    const [noun] = left.splice(random.integer(left.length), 1);
    const template = templates[random.integer(templates.length)]!;
    // A function, since "$&" in a noun would mean something in a replacement string.
    texts.push(template.replace("{}", () => noun!));
    chosen.push(noun!);
  }
  return { texts, nouns: { all: [...nouns], prompts: chosen } };
}
