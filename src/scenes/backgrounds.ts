// What stands behind the objects: plain colours, gradients, noise, patterns, landscapes, photographs.

import type { Random } from "../random.js";
import { type Canvas, colourMap, paintPhoto, type Texture } from "./paint.js";
import { COLOURS, colourIndex, NO_COLOUR } from "./words.js";

type Colour = [number, number, number];

/** What a caption may say of a background. */
export interface BackgroundDescription {
  /** Phrases that fit behind the objects, e.g. "on a red background", "on the grass". */
  readonly phrase: string;
  /** Nouns that a prompt may ask for, e.g. "grass", "sky". */
  readonly nouns: readonly string[];
  /** True for photographs. */
  readonly photo: boolean;
}

const NOTHING: BackgroundDescription = { phrase: "", nouns: [], photo: false };

/** A colour from hue, saturation and value (each 0..1), as 0..255. */
export function fromHsv(hue: number, saturation: number, value: number): Colour {
  const channel = (n: number) => {
    const k = (n + hue * 6) % 6;
    return 255 * value * (1 - saturation * Math.max(0, Math.min(k, 4 - k, 1)));
  };
  return [channel(5), channel(3), channel(1)];
}

/** Any colour: vivid, pale, dark or grey in turn. */
export function anyColour(random: Random): Colour {
  const kind = random.uniform();
  const hue = random.uniform();
  if (kind < 0.12) return fromHsv(hue, 0.05 * random.uniform(), 0.9 + 0.1 * random.uniform());
  if (kind < 0.2) return fromHsv(hue, random.uniform(), 0.2 * random.uniform());
  if (kind < 0.3) return fromHsv(hue, 0.1 * random.uniform(), random.uniform());
  if (kind < 0.5) return fromHsv(hue, 0.15 + 0.3 * random.uniform(), 0.8 + 0.2 * random.uniform());
  return fromHsv(hue, 0.45 + 0.55 * random.uniform(), 0.35 + 0.65 * random.uniform());
}

const LATTICE = 64;
/** Uniform noise that repeats every 64 cells in both directions; a constant of the module. */
const lattice = (() => {
  const values = new Float32Array(LATTICE * LATTICE);
  let state = 12345;
  for (let i = 0; i < values.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    values[i] = (state >>> 8) / 16777216;
  }
  return values;
})();

/** Adds one octave of smooth noise, `weight` times 0..1, to `field` (size x size). */
function addNoise(
  field: Float32Array,
  size: number,
  frequencyX: number,
  frequencyY: number,
  shiftX: number,
  shiftY: number,
  weight: number,
): void {
  for (let y = 0; y < size; y++) {
    const v = shiftY + (y / size) * frequencyY;
    const v0 = Math.floor(v);
    let fv = v - v0;
    fv = fv * fv * (3 - 2 * fv);
    const row0 = (v0 & 63) * LATTICE;
    const row1 = ((v0 + 1) & 63) * LATTICE;
    for (let x = 0; x < size; x++) {
      const u = shiftX + (x / size) * frequencyX;
      const u0 = Math.floor(u);
      let fu = u - u0;
      fu = fu * fu * (3 - 2 * fu);
      const c0 = u0 & 63;
      const c1 = (u0 + 1) & 63;
      const top = lattice[row0 + c0]! * (1 - fu) + lattice[row0 + c1]! * fu;
      const bottom = lattice[row1 + c0]! * (1 - fu) + lattice[row1 + c1]! * fu;
      field[y * size + x] = field[y * size + x]! + weight * (top * (1 - fv) + bottom * fv);
    }
  }
}

/** Fractal noise, about 0..1. */
function noiseField(random: Random, size: number, frequency: number, octaves: number, stretch = 1) {
  const field = new Float32Array(size * size);
  let weight = 0.5;
  for (let octave = 0; octave < octaves; octave++) {
    const f = frequency * 2 ** octave;
    const [shiftX, shiftY] = [random.uniform() * 64, random.uniform() * 64];
    addNoise(field, size, f * stretch, f, shiftX, shiftY, weight / (1 - 0.5 ** octaves));
    weight /= 2;
  }
  return field;
}

/** Fills rows `from` to `to` with the blend of two colours by a field of 0..1. */
function blend(
  canvas: Canvas,
  field: Float32Array,
  low: Colour,
  high: Colour,
  from = 0,
  to = canvas.size,
): void {
  const { size, pixels } = canvas;
  for (let p = from * size; p < to * size; p++) {
    const t = field[p]!;
    pixels[3 * p] = low[0] + (high[0] - low[0]) * t;
    pixels[3 * p + 1] = low[1] + (high[1] - low[1]) * t;
    pixels[3 * p + 2] = low[2] + (high[2] - low[2]) * t;
  }
}

function near(random: Random, colour: Colour, spread: number): Colour {
  const shift = () => (random.uniform() - 0.5) * 2 * spread;
  const common = shift();
  return [
    colour[0] + common + shift() / 3,
    colour[1] + common + shift() / 3,
    colour[2] + common + shift() / 3,
  ];
}

function solid(random: Random, canvas: Canvas): BackgroundDescription {
  const colour = random.uniform() < 0.2 ? ([255, 255, 255] as Colour) : anyColour(random);
  const { pixels } = canvas;
  for (let i = 0; i < pixels.length; i += 3) {
    pixels[i] = colour[0];
    pixels[i + 1] = colour[1];
    pixels[i + 2] = colour[2];
  }
  const index = colourIndex(...colour);
  if (index === NO_COLOUR) return NOTHING;
  const name = COLOURS[index]!;
  return {
    phrase: `on a${name === "orange" ? "n" : ""} ${name} background`,
    nouns: [],
    photo: false,
  };
}

function gradient(random: Random, canvas: Canvas): BackgroundDescription {
  const { size } = canvas;
  const field = new Float32Array(size * size);
  const [low, high] = [anyColour(random), anyColour(random)];
  if (random.uniform() < 0.6) {
    const angle = random.uniform() * 2 * Math.PI;
    const [dx, dy] = [Math.cos(angle) / size, Math.sin(angle) / size];
    const start = -Math.min(0, dx * size) - Math.min(0, dy * size);
    const scale = 1 / (Math.abs(dx) * size + Math.abs(dy) * size);
    for (let y = 0; y < size; y++) {
      for (let x = 0; x < size; x++) field[y * size + x] = (start + x * dx + y * dy) * scale;
    }
  } else {
    const [cx, cy] = [random.uniform() * size, random.uniform() * size];
    const reach = (0.5 + random.uniform()) * size;
    for (let y = 0; y < size; y++) {
      for (let x = 0; x < size; x++) {
        field[y * size + x] = Math.min(1, Math.hypot(x - cx, y - cy) / reach);
      }
    }
  }
  blend(canvas, field, low, high);
  return NOTHING;
}

function texture(random: Random, canvas: Canvas): BackgroundDescription {
  const stretch = random.uniform() < 0.3 ? (random.uniform() < 0.5 ? 0.15 : 6) : 1;
  const octaves = 1 + random.integer(3);
  const field = noiseField(random, canvas.size, 2 + random.uniform() ** 2 * 14, octaves, stretch);
  const low = anyColour(random);
  const high = random.uniform() < 0.5 ? near(random, low, 70) : anyColour(random);
  if (random.uniform() < 0.25) {
    // Hard edges: camouflage, marble.
    for (let i = 0; i < field.length; i++)
      field[i] = Math.min(1, Math.max(0, (field[i]! - 0.5) * 8 + 0.5));
  }
  blend(canvas, field, low, high);
  return NOTHING;
}

function pattern(random: Random, canvas: Canvas): BackgroundDescription {
  const { size } = canvas;
  const field = new Float32Array(size * size);
  const kind = random.integer(4);
  const period = size * (0.06 + 0.25 * random.uniform());
  const angle = kind === 3 ? 0 : random.uniform() * Math.PI;
  const [cos, sin] = [Math.cos(angle) / period, Math.sin(angle) / period];
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      const u = x * cos + y * sin;
      const v = y * cos - x * sin;
      let t: number;
      if (kind === 0) t = u - Math.floor(u) < 0.5 ? 1 : 0;
      else if (kind === 1) t = (Math.floor(u) + Math.floor(v)) & 1;
      else if (kind === 2) {
        t = (u - Math.floor(u) - 0.5) ** 2 + (v - Math.floor(v) - 0.5) ** 2 < 0.09 ? 1 : 0;
      } else {
        // Bricks: rows of half the height, every other one shifted.
        const row = Math.floor(v * 2);
        const along = u + (row & 1) * 0.5;
        t = v * 2 - row < 0.14 || along - Math.floor(along) < 0.07 ? 1 : 0;
      }
      field[y * size + x] = t;
    }
  }
  const low = anyColour(random);
  blend(canvas, field, low, random.uniform() < 0.5 ? near(random, low, 60) : anyColour(random));
  const phrases = [
    "on a striped background",
    "on a checkered background",
    "on a dotted background",
    "",
  ];
  return { phrase: phrases[kind]!, nouns: [], photo: false };
}

/** Grounds with the colours between which they vary. */
const GROUNDS: [string, Colour, Colour, string][] = [
  ["grass", [40, 100, 20], [130, 180, 60], "on the grass"],
  ["grass", [60, 130, 40], [100, 190, 80], "on a green meadow"],
  ["sand", [190, 160, 100], [240, 215, 160], "on the sand"],
  ["sea", [10, 60, 120], [70, 150, 190], "in front of the sea"],
  ["snow", [205, 215, 230], [255, 255, 255], "in the snow"],
  ["road", [70, 70, 75], [125, 125, 125], "on the road"],
];
const SKIES: [string, Colour, Colour][] = [
  ["under a blue sky", [60, 130, 220], [190, 220, 250]],
  ["under a grey sky", [140, 145, 155], [205, 208, 212]],
  ["at sunset", [220, 90, 60], [250, 190, 110]],
  ["at night", [5, 8, 30], [30, 35, 80]],
];

function landscape(random: Random, canvas: Canvas): BackgroundDescription {
  const { size, pixels } = canvas;
  const [skyPhrase, skyTop, skyLow] =
    SKIES[random.uniform() < 0.55 ? 0 : random.integer(SKIES.length)]!;
  const [ground, groundLow, groundHigh, groundPhrase] = GROUNDS[random.integer(GROUNDS.length)]!;
  const share = random.uniform();
  // A few show only the sky or only the ground.
  const horizon =
    share < 0.12 ? size : share < 0.3 ? 0 : Math.round(size * (0.3 + 0.45 * random.uniform()));
  if (horizon > 0) {
    const clouds = noiseField(random, size, 2 + 3 * random.uniform(), 3, 0.6);
    const cloudy = random.uniform() < 0.5 && skyPhrase !== "at night";
    for (let y = 0; y < horizon; y++) {
      const t = y / horizon;
      for (let x = 0; x < size; x++) {
        const p = y * size + x;
        const cloud = cloudy ? Math.min(1, Math.max(0, (clouds[p]! - 0.5) * 4)) : 0;
        for (let c = 0; c < 3; c++) {
          const clear = skyTop[c]! + (skyLow[c]! - skyTop[c]!) * t;
          pixels[3 * p + c] = clear + (245 - clear) * cloud * 0.8;
        }
      }
    }
  }
  if (horizon < size) {
    const stretch = ground === "sea" || ground === "road" ? 0.25 : 1;
    const field = noiseField(random, size, 8 + 12 * random.uniform(), 3, stretch);
    const night = skyPhrase === "at night" && horizon > 0 ? 0.35 : 1;
    const dim = ([r, g, b]: Colour): Colour => [r * night, g * night, b * night];
    blend(
      canvas,
      field,
      dim(near(random, groundLow, 15)),
      dim(near(random, groundHigh, 15)),
      horizon,
    );
  }
  if (horizon === size) {
    return {
      phrase: skyPhrase === "under a blue sky" ? "in the sky" : skyPhrase,
      nouns: ["sky"],
      photo: false,
    };
  }
  if (horizon === 0) return { phrase: groundPhrase, nouns: [ground], photo: false };
  const both = random.uniform();
  if (both < 0.35) return { phrase: groundPhrase, nouns: [ground], photo: false };
  if (both < 0.55) return { phrase: skyPhrase, nouns: ["sky"], photo: false };
  return { phrase: `${groundPhrase} ${skyPhrase}`, nouns: [ground, "sky"], photo: false };
}

/** Photographs by what they show, and how a caption says so. */
const PHOTO_PHRASES: Readonly<Record<string, string>> = {
  bark: "in front of the bark of a tree",
  cliff: "in front of a cliff",
  stone: "on the stone",
  rocks: "on the rocks",
  sea: "in front of the sea",
  water: "in front of the water",
  sand: "on the sand",
  meadow: "on a green meadow",
  sky: "in front of the sky",
  wood: "on the wood",
};

/** A background photograph and what it shows ("" for nothing with a name). */
export interface BackgroundPhoto {
  readonly texture: Texture;
  readonly noun: string;
}

function photograph(
  random: Random,
  canvas: Canvas,
  photos: readonly BackgroundPhoto[],
): BackgroundDescription {
  const { texture: photo, noun } = photos[random.integer(photos.length)]!;
  const side = Math.min(photo.width, photo.height) * (0.45 + 0.55 * random.uniform());
  const left = random.uniform() * (photo.width - side);
  const top = random.uniform() * (photo.height - side);
  const flip = random.uniform() < 0.5;
  const step = side / canvas.size;
  const recoloured = noun === "" || random.uniform() < 0.2;
  const map = colourMap(
    recoloured ? random.uniform() * 2 * Math.PI : (random.uniform() - 0.5) * 0.2,
    0.6 + 0.7 * random.uniform(),
    0.7 + 0.5 * random.uniform(),
    (random.uniform() - 0.5) * 60,
  );
  paintPhoto(
    canvas,
    photo,
    { a: flip ? -step : step, b: 0, c: flip ? left + side : left, d: 0, e: step, f: top },
    map,
  );
  const phrase = recoloured ? "" : (PHOTO_PHRASES[noun] ?? "");
  return { phrase, nouns: phrase === "" ? [] : [noun], photo: true };
}

/** Shapes without a name that no caption mentions, so that not everything that stands out is named. */
export function clutter(random: Random, canvas: Canvas, count: number): void {
  const { size, pixels } = canvas;
  for (let n = 0; n < count; n++) {
    const [cx, cy] = [random.uniform() * size, random.uniform() * size];
    const rx = size * (0.03 + 0.2 * random.uniform());
    const ry = rx * (0.4 + 1.2 * random.uniform());
    const angle = random.uniform() * Math.PI;
    const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
    const colour = anyColour(random);
    const opacity = 0.4 + 0.6 * random.uniform();
    // 1 is a diamond, 2 an ellipse, large exponents are boxes.
    const power = [1, 2, 2, 8][random.integer(4)]!;
    const reach = Math.max(rx, ry) * 1.5;
    const [top, bottom] = [
      Math.max(0, Math.floor(cy - reach)),
      Math.min(size, Math.ceil(cy + reach)),
    ];
    const [left, right] = [
      Math.max(0, Math.floor(cx - reach)),
      Math.min(size, Math.ceil(cx + reach)),
    ];
    for (let y = top; y < bottom; y++) {
      for (let x = left; x < right; x++) {
        const u = Math.abs((x - cx) * cos + (y - cy) * sin) / rx;
        const v = Math.abs((y - cy) * cos - (x - cx) * sin) / ry;
        const inside = power === 2 ? u * u + v * v : power === 1 ? u + v : Math.max(u, v);
        if (inside > 1) continue;
        const p = 3 * (y * size + x);
        pixels[p] = pixels[p]! + (colour[0] - pixels[p]!) * opacity;
        pixels[p + 1] = pixels[p + 1]! + (colour[1] - pixels[p + 1]!) * opacity;
        pixels[p + 2] = pixels[p + 2]! + (colour[2] - pixels[p + 2]!) * opacity;
      }
    }
  }
}

/** Fills the canvas; the harder the scene, the busier what is behind it. */
export function paintBackground(
  random: Random,
  canvas: Canvas,
  photos: readonly BackgroundPhoto[],
  difficulty: number,
): BackgroundDescription {
  const plain = 0.5 - 0.3 * difficulty;
  const kind = random.uniform();
  if (kind < plain) return solid(random, canvas);
  const rest = (kind - plain) / (1 - plain);
  if (rest < 0.18) return gradient(random, canvas);
  if (rest < 0.4) return texture(random, canvas);
  if (rest < 0.52) return pattern(random, canvas);
  if (rest < 0.78 || photos.length === 0) return landscape(random, canvas);
  return photograph(random, canvas, photos);
}
