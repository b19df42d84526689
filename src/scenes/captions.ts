// Captions of composed scenes: true to the picture in nouns, numbers, colours, sizes and places.

import type { Random } from "../random.js";
import type { BackgroundDescription } from "./backgrounds.js";
import type { Style } from "./sources.js";
import { isMass, isPlural, plural, singular } from "./words.js";

/** What a caption may tell of one object. */
export interface Seen {
  readonly noun: string;
  readonly style: Style;
  readonly person: boolean;
  /** Dominant colour, null when none is. */
  readonly colour: string | null;
  /** Drawn as one flat shape. */
  readonly silhouette: boolean;
  /** Centre, as fractions of the picture's side. */
  readonly x: number;
  readonly y: number;
  /** Longest side, as a fraction of the picture's side. */
  readonly extent: number;
  /** Drawn over objects with a smaller number. */
  readonly depth: number;
}

/** Share of captions that only name things, as most short alt texts do. */
const BARE = 0.6;

const NUMBERS = ["no", "one", "two", "three", "four", "five"];

function pick<T>(random: Random, items: readonly T[]): T {
  return items[random.integer(items.length)]!;
}

/** Same nouns together: "two dogs". */
function grouped(objects: readonly Seen[]): Seen[][] {
  const groups = new Map<string, Seen[]>();
  for (const object of objects) {
    const group = groups.get(object.noun);
    if (group === undefined) groups.set(object.noun, [object]);
    else group.push(object);
  }
  return [...groups.values()];
}

/** "A dog, two cats and a tree". */
function list(phrases: readonly string[]): string {
  if (phrases.length === 1) return phrases[0]!;
  return `${phrases.slice(0, -1).join(", ")} and ${phrases.at(-1)}`;
}

function adjectives(random: Random, group: readonly Seen[]): string {
  const words: string[] = [];
  const first = group[0]!;
  if (random.uniform() < 0.3) {
    if (group.every(({ extent }) => extent < 0.3))
      words.push(pick(random, ["small", "little", "tiny"]));
    else if (group.every(({ extent }) => extent > 0.7))
      words.push(pick(random, ["big", "large", "huge"]));
  }
  const { colour, noun } = first;
  const told =
    colour !== null && !first.person && group.every((object) => object.colour === colour);
  // "An orange orange" says nothing, and "a green orange" is no kind of orange.
  if (told && !noun.includes(colour) && random.uniform() < 0.55) words.push(colour);
  return words.join(" ");
}

function nounPhrase(random: Random, group: readonly Seen[], words: string): string {
  const { noun } = group[0]!;
  if (group.length === 1) {
    const phrase = singular(noun, words);
    if (isMass(noun) && random.uniform() < 0.4) return `some ${phrase}`;
    // Alt texts often go without an article.
    if (!isPlural(noun) && random.uniform() < 0.07) return words === "" ? noun : `${words} ${noun}`;
    return phrase;
  }
  const many = words === "" ? plural(noun) : `${words} ${plural(noun)}`;
  if (isMass(noun) || isPlural(noun)) return `some ${many}`;
  return `${random.uniform() < 0.85 ? NUMBERS[group.length]! : "some"} ${many}`;
}

function placeOf({ x, y, extent }: Seen): string | null {
  if (extent > 0.55) return null;
  const column = x < 0.36 ? "left" : x > 0.64 ? "right" : "";
  const row = y < 0.36 ? "top" : y > 0.64 ? "bottom" : "";
  if (column !== "" && row !== "") return `in the ${row} ${column} corner`;
  if (column !== "") return `on the ${column}`;
  if (row !== "") return `at the ${row}`;
  return Math.abs(x - 0.5) < 0.08 && Math.abs(y - 0.5) < 0.08 ? "in the middle" : null;
}

/** How the first stands to the second. */
function relation(random: Random, one: Seen, two: Seen): string {
  const [dx, dy] = [two.x - one.x, two.y - one.y];
  const overlap = Math.abs(dx) < 0.2 && Math.abs(dy) < 0.2;
  const choices = ["and", "and", "with"];
  if (overlap) choices.push(one.depth > two.depth ? "in front of" : "behind");
  else {
    choices.push("next to", "near");
    if (Math.abs(dx) > 0.22 && Math.abs(dx) > 1.5 * Math.abs(dy)) {
      choices.push(dx > 0 ? "to the left of" : "to the right of");
    }
    if (Math.abs(dy) > 0.22 && Math.abs(dy) > 1.5 * Math.abs(dx)) {
      choices.push(dy > 0 ? "above" : "below");
    }
  }
  return pick(random, choices);
}

/** What kind of picture it is, where all objects are of one kind; "" says nothing. */
function medium(
  random: Random,
  objects: readonly Seen[],
  background: BackgroundDescription,
): string {
  const style = objects[0]!.style;
  if (objects.some((object) => object.style !== style) || random.uniform() < 0.45) {
    return random.uniform() < 0.12 ? pick(random, ["a picture of ", "an image of "]) : "";
  }
  if (style === "photo") return pick(random, ["a photo of ", "a photo of ", "a photograph of "]);
  // A drawing before a photograph is neither the one nor the other.
  if (background.photo) return "";
  if (objects.every(({ silhouette }) => silhouette)) {
    return pick(random, [
      "a silhouette of ",
      "the silhouette of ",
      "an icon of ",
      "a pictogram of ",
    ]);
  }
  if (style === "icon")
    return pick(random, ["an icon of ", "a drawing of ", "a simple drawing of ", "a symbol of "]);
  if (style === "emoji")
    return pick(random, ["an emoji of ", "a cartoon of ", "a drawing of ", "an illustration of "]);
  return pick(random, ["a drawing of ", "an illustration of ", "a clip art of "]);
}

/** One sentence fragment, lower case, naming every given object. */
export function caption(
  random: Random,
  objects: readonly Seen[],
  background: BackgroundDescription,
): string {
  const groups = grouped(objects);
  // Order is free, so that the first noun is not always the rearmost object.
  for (let i = groups.length - 1; i > 0; i--) {
    const j = random.integer(i + 1);
    [groups[i], groups[j]] = [groups[j]!, groups[i]!];
  }
  if (random.uniform() < BARE) return list(groups.map((group) => nounPhrase(random, group, "")));
  let text = medium(random, objects, background);
  const opening = text === "" && random.uniform() < 0.08;
  const phrases = groups.map((group) => nounPhrase(random, group, adjectives(random, group)));
  const [one, two] = groups;
  if (groups.length === 1) {
    text += phrases[0]!;
    const place = one!.length === 1 && random.uniform() < 0.3 ? placeOf(one![0]!) : null;
    if (place !== null) text += ` ${place}`;
  } else if (groups.length === 2) {
    const single = one!.length === 1 && two!.length === 1;
    const how = single ? relation(random, one![0]!, two![0]!) : pick(random, ["and", "with"]);
    text += `${phrases[0]} ${how} ${phrases[1]}`;
  } else {
    const [first, second] = groups as [Seen[], Seen[], ...Seen[][]];
    if (first.length === 1 && second.length === 1 && random.uniform() < 0.4) {
      const how = relation(random, first[0]!, second[0]!);
      text += `${phrases[0]} ${how} ${phrases[1]}, with ${phrases.slice(2).join(" and ")}`;
    } else {
      text += list(phrases);
    }
  }
  if (background.phrase !== "" && random.uniform() < 0.55) text += ` ${background.phrase}`;
  if (opening) {
    const many = one!.length > 1 || isPlural(one![0]!.noun);
    return groups.length === 1 && !many
      ? `there is ${text}`
      : `this is ${text}`.replace(/^this is (?!an? )/, "");
  }
  return text;
}
