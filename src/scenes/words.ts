// English as captions need it: articles, plurals, and the names of colours.

/** Nouns that are plural as they stand: "a pair of scissors", "scissors". */
const PLURAL_ONLY = new Set(
  `scissors,glasses,pants,cherries,grapes,jeans,shorts,goggles,binoculars,sunglasses,stairs,
  headphones,french fries,fries,pliers,tongs,rocks,clothes,clinking glasses,eyeglasses,bleachers,
  briefs,bones,teeth,chains,bellows,shears,hops,brass knuckles`.split(/,\s*/),
);
/** Of these, the ones that come as pairs. */
const PAIRS = new Set(
  "scissors,glasses,pants,jeans,shorts,goggles,binoculars,sunglasses,pliers,shears".split(","),
);

/** Nouns without a plural and without an article: "some bread". */
const MASS = new Set(
  `bread cheese broccoli corn candy grass sand sea snow water wood bark sky bacon rice butter milk
  honey meat popcorn soap sushi spaghetti beer wine wheat tea soup salt sugar luggage baggage
  chocolate custard tofu curry furniture lavender thyme ginger tape glue jewelry meadow bamboo
  confetti cannabis ice tobacco hay cotton lace`.split(/\s+/),
);

const IRREGULAR: Readonly<Record<string, string>> = {
  mouse: "mice",
  "computer mouse": "computer mice",
  sheep: "sheep",
  deer: "deer",
  fish: "fish",
  moose: "moose",
  bison: "bison",
  knife: "knives",
  leaf: "leaves",
  loaf: "loaves",
  wolf: "wolves",
  shelf: "shelves",
  bookshelf: "bookshelves",
  scarf: "scarves",
  goose: "geese",
  mongoose: "mongooses",
  tooth: "teeth",
  foot: "feet",
  man: "men",
  woman: "women",
  snowman: "snowmen",
  person: "people",
  child: "children",
  ox: "oxen",
  cactus: "cacti",
  aircraft: "aircraft",
  dice: "dice",
  squid: "squid",
  salmon: "salmon",
  kiwi: "kiwis",
  potato: "potatoes",
  tomato: "tomatoes",
  mango: "mangoes",
  volcano: "volcanoes",
  buffalo: "buffaloes",
};

/** "a" or "an", by sound where the spelling misleads. */
export function article(words: string): "a" | "an" {
  if (/^(hour|honest|heir|x ?ray|mri|fm|lp)/.test(words)) return "an";
  if (/^(uni(?!n)|use|uter|uk|ufo|usb|euro|ewe|one\b|once)/.test(words)) return "a";
  return /^[aeiou]/.test(words) ? "an" : "a";
}

/** True where the noun takes neither "a" nor another "s". */
export function isPlural(noun: string): boolean {
  return PLURAL_ONLY.has(noun);
}

/** True where the noun is not counted: "bread", "cheese". */
export function isMass(noun: string): boolean {
  return MASS.has(noun);
}

/** One of it, with article and adjectives: "a small red car", "a red pair of scissors", "bread". */
export function singular(noun: string, adjectives = ""): string {
  const words = adjectives === "" ? "" : `${adjectives} `;
  if (PAIRS.has(noun)) return `${article(`${words}pair`)} ${words}pair of ${noun}`;
  if (isPlural(noun) || isMass(noun)) return `${words}${noun}`;
  return `${article(words + noun)} ${words}${noun}`;
}

/** The plural of a noun phrase; its last word changes ("fire trucks"), except before "of". */
export function plural(noun: string): string {
  if (isPlural(noun) || isMass(noun)) return noun;
  const irregular = IRREGULAR[noun];
  if (irregular !== undefined) return irregular;
  const of = noun.indexOf(" of ");
  if (of > 0) return `${plural(noun.slice(0, of))}${noun.slice(of)}`;
  const space = noun.lastIndexOf(" ");
  if (space > 0) return `${noun.slice(0, space + 1)}${plural(noun.slice(space + 1))}`;
  if (/man$/.test(noun) && noun !== "human") return noun.replace(/man$/, "men");
  if (/(s|x|z|ch|sh)$/.test(noun)) return `${noun}es`;
  if (/[^aeiou]y$/.test(noun)) return noun.replace(/y$/, "ies");
  return `${noun}s`;
}

/** The colours that captions name. */
export const COLOURS = [
  "black",
  "white",
  "grey",
  "red",
  "orange",
  "yellow",
  "green",
  "blue",
  "purple",
  "pink",
  "brown",
] as const;
/** Index of what is between two names: no caption mentions it. */
export const NO_COLOUR = COLOURS.length;

const [BLACK, WHITE, GREY, RED, ORANGE, YELLOW, GREEN, BLUE, PURPLE, PINK, BROWN] = [
  0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10,
];

/**
 * Index in `COLOURS` of an sRGB colour (0..255), or `NO_COLOUR` between two names. The borders are
 * drawn narrowly, so that a caption's colour word is one that nobody would dispute.
 */
export function colourIndex(red: number, green: number, blue: number): number {
  const max = Math.max(red, green, blue);
  const min = Math.min(red, green, blue);
  const range = max - min;
  if (max < 52) return BLACK;
  const saturation = range / max;
  if (saturation < 0.13 || range < 14) {
    if (max > 222) return WHITE;
    if (max < 70) return BLACK;
    return max > 205 || max < 84 ? NO_COLOUR : GREY;
  }
  if (saturation < 0.25) return NO_COLOUR;
  let hue: number;
  if (max === red) hue = ((green - blue) / range) * 60;
  else if (max === green) hue = 120 + ((blue - red) / range) * 60;
  else hue = 240 + ((red - green) / range) * 60;
  if (hue < 0) hue += 360;
  if (hue < 13 || hue >= 346) {
    if (saturation > 0.55) return max > 110 ? RED : BROWN;
    return max > 200 ? PINK : NO_COLOUR;
  }
  if (hue < 40) {
    if (max < 175) return BROWN;
    return saturation > 0.6 && max > 200 && hue > 16 ? ORANGE : NO_COLOUR;
  }
  if (hue < 46) return max < 150 ? BROWN : NO_COLOUR;
  if (hue < 66) return max > 170 && saturation > 0.4 ? YELLOW : NO_COLOUR;
  if (hue < 75) return NO_COLOUR;
  if (hue < 160) return GREEN;
  if (hue < 190) return NO_COLOUR;
  if (hue < 252) return BLUE;
  if (hue < 292) return PURPLE;
  if (hue < 304) return NO_COLOUR;
  return max > 160 ? PINK : PURPLE;
}
