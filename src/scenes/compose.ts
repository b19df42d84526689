// Scenes: cut-outs over a background with a caption, exact masks and everything made from one seed.

import { InputError } from "../errors.js";
import type { Picture } from "../input/picture.js";
import { fnv1a, Random } from "../random.js";
import {
  anyColour,
  type BackgroundPhoto,
  clutter,
  fromHsv,
  paintBackground,
} from "./backgrounds.js";
import { caption, type Seen } from "./captions.js";
import { CHANNELS, type Cutout, type Cutouts } from "./cutouts.js";
import {
  type Canvas,
  colourMap,
  paintColour,
  paintFlat,
  paintPhoto,
  place,
  type Texture,
} from "./paint.js";
import type { Style } from "./sources.js";
import { COLOURS, colourIndex, NO_COLOUR } from "./words.js";

export interface SceneObject {
  readonly noun: string;
  /** Index in `CLASS_NAMES`; 0 for nouns beyond the 158. */
  readonly classIndex: number;
  /** Visible part in pixels: left, top, width, height. */
  readonly box: readonly [number, number, number, number];
  readonly style: Style;
  readonly colour: string | null;
}

export interface Scene {
  readonly picture: Picture;
  readonly caption: string;
  /** What a prompt may ask for: the objects' nouns without repetition, then the background's. */
  readonly nouns: readonly string[];
  /**
   * `height * width` class indices (`CLASS_NAMES`), row-major; other nouns count as background. 255 in a
   * photograph: where its thing is, nobody has said.
   */
  readonly mask: Uint8Array;
  /** The objects that are named, rearmost first. */
  readonly objects: readonly SceneObject[];
}

export interface SceneOptions {
  /** Side of the square picture in pixels, 32 to 512. */
  readonly size: number;
  /**
   * 0: one large object of a known class as it was drawn, mostly before a plain ground; 1: up to four of
   * any noun, small, overlapping, distorted and recoloured.
   */
  readonly difficulty: number;
  /**
   * Share of the scenes whose objects are distorted and recoloured and whose picture is degraded, 0 to 1;
   * `difficulty` where it is left out. 0 (for evaluation) keeps objects upright and in their own colours.
   */
  readonly distorted?: number;
  /** Share of the pictures that are photographs of one thing before its own ground, 0 (if left out) to 1. */
  readonly photographs?: number;
}

/** Cut-outs of one noun and one pixel kind, by collection. */
interface Pool {
  readonly sets: readonly (readonly Cutout[])[];
  /** Running totals of the collections' weights. */
  readonly totals: Float64Array;
}

interface NounEntry {
  readonly noun: string;
  readonly coloured: Pool | null;
  readonly plain: Pool | null;
  readonly photos: Pool | null;
}

/** Cut-outs arranged for drawing nouns, styles and collections evenly. */
export interface Catalogue {
  /** The classes of the 158 that occur, then other nouns. */
  readonly known: readonly NounEntry[];
  readonly others: readonly NounEntry[];
  readonly otherTotals: Float64Array;
  readonly backgrounds: readonly BackgroundPhoto[];
  /** By noun. */
  readonly photographs: readonly (readonly Cutout[])[];
  readonly photographTotals: Float64Array;
  readonly chunks: readonly Uint8Array[];
}

function runningTotals(weights: number[]): Float64Array {
  const totals = new Float64Array(weights.length);
  let sum = 0;
  for (let i = 0; i < weights.length; i++) {
    sum += weights[i]!;
    totals[i] = sum;
  }
  return totals;
}

function drawIndex(random: Random, totals: Float64Array): number {
  const at = random.uniform() * totals[totals.length - 1]!;
  let [low, high] = [0, totals.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (totals[middle]! > at) high = middle;
    else low = middle + 1;
  }
  return low;
}

function makePool(cutouts: Cutout[]): Pool | null {
  if (cutouts.length === 0) return null;
  const bySet = new Map<string, Cutout[]>();
  for (const cutout of cutouts) {
    const list = bySet.get(cutout.set);
    if (list === undefined) bySet.set(cutout.set, [cutout]);
    else list.push(cutout);
  }
  const sets = [...bySet.values()];
  return { sets, totals: runningTotals(sets.map((set) => Math.sqrt(set.length))) };
}

/** Arranges loaded cut-outs; cheap enough to be done by every worker. */
export function makeCatalogue(cutouts: Cutouts): Catalogue {
  const chunks = cutouts.chunks.map((chunk) => new Uint8Array(chunk));
  const byNoun = new Map<string, Cutout[]>();
  const backgrounds: BackgroundPhoto[] = [];
  const byPhotograph = new Map<string, Cutout[]>();
  for (const cutout of cutouts.entries) {
    if (cutout.style === "background") {
      // The second copy (192 px) is fine enough for scenes and faster to read.
      backgrounds.push({ texture: textureOf(chunks, cutout, 1), noun: cutout.noun });
      continue;
    }
    const nouns = cutout.style === "photograph" ? byPhotograph : byNoun;
    const list = nouns.get(cutout.noun);
    if (list === undefined) nouns.set(cutout.noun, [cutout]);
    else list.push(cutout);
  }
  const photographs = [...byPhotograph.values()];
  const known: NounEntry[] = [];
  const others: NounEntry[] = [];
  const weights: number[] = [];
  for (const [noun, list] of [...byNoun].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const entry = {
      noun,
      coloured: makePool(list.filter(({ kind, style }) => kind === "rgba" && style !== "photo")),
      plain: makePool(list.filter(({ kind }) => kind === "plain")),
      photos: makePool(list.filter(({ style }) => style === "photo")),
    };
    if (list[0]!.classIndex > 0) known.push(entry);
    else {
      others.push(entry);
      weights.push(Math.sqrt(list.length));
    }
  }
  return {
    known,
    others,
    otherTotals: runningTotals(weights),
    backgrounds,
    photographs,
    photographTotals: runningTotals(photographs.map((list) => Math.sqrt(list.length))),
    chunks,
  };
}

function textureOf(chunks: readonly Uint8Array[], cutout: Cutout, level: number): Texture {
  const { width, height, offset } = cutout.levels[Math.min(level, cutout.levels.length - 1)]!;
  const length = (width + 2) * (height + 2) * CHANNELS[cutout.kind];
  return { pixels: chunks[cutout.chunk]!.subarray(offset, offset + length), width, height };
}

function drawCutout(random: Random, entry: NounEntry, difficulty: number): Cutout {
  const photo = entry.photos !== null && random.uniform() < (entry.coloured === null ? 0.7 : 0.3);
  let pool = photo ? entry.photos : entry.coloured;
  // One-coloured icons are three quarters of all drawings and differ most: shapes are learnt from them.
  const plain = 0.3 + 0.2 * difficulty;
  if (!photo && entry.plain !== null && (pool === null || random.uniform() < plain))
    pool = entry.plain;
  pool ??= entry.plain ?? entry.photos!;
  const set = pool.sets[drawIndex(random, pool.totals)]!;
  return set[random.integer(set.length)]!;
}

type Colour = [number, number, number];

/** A colour of a coloured cut-out of the same noun, so that plain icons often look natural. */
function naturalColour(random: Random, catalogue: Catalogue, entry: NounEntry): Colour {
  const pool = entry.photos !== null && random.uniform() < 0.5 ? entry.photos : entry.coloured;
  if (pool === null) return anyColour(random);
  const set = pool.sets[drawIndex(random, pool.totals)]!;
  const { pixels, width, height } = textureOf(
    catalogue.chunks,
    set[random.integer(set.length)]!,
    2,
  );
  for (let tries = 0; tries < 8; tries++) {
    const i = 4 * ((1 + random.integer(height)) * (width + 2) + 1 + random.integer(width));
    const alpha = pixels[i + 3]!;
    if (alpha > 200) {
      return [
        (pixels[i]! * 255) / alpha,
        (pixels[i + 1]! * 255) / alpha,
        (pixels[i + 2]! * 255) / alpha,
      ];
    }
  }
  return anyColour(random);
}

function distance(one: Colour, two: Colour): number {
  return Math.abs(one[0] - two[0]) + Math.abs(one[1] - two[1]) + Math.abs(one[2] - two[2]);
}

/** Mean colour of the canvas around a point. */
function meanAround(canvas: Canvas, x: number, y: number, reach: number): Colour {
  const { size, pixels } = canvas;
  const mean: Colour = [0, 0, 0];
  for (let j = -1; j <= 1; j++) {
    for (let i = -1; i <= 1; i++) {
      const px = Math.min(size - 1, Math.max(0, Math.round(x + i * reach)));
      const py = Math.min(size - 1, Math.max(0, Math.round(y + j * reach)));
      const p = 3 * (py * size + px);
      mean[0] += pixels[p]! / 9;
      mean[1] += pixels[p + 1]! / 9;
      mean[2] += pixels[p + 2]! / 9;
    }
  }
  return mean;
}

const UNCHANGED = colourMap(0, 1, 1, 0);

interface Drawn {
  readonly entry: NounEntry;
  readonly cutout: Cutout;
  readonly silhouette: boolean;
  readonly x: number;
  readonly y: number;
  readonly extent: number;
}

/** A colour that stands out against another one. */
function contrasting(random: Random, against: Colour, propose: () => Colour): Colour {
  for (let tries = 0; tries < 5; tries++) {
    const colour = propose();
    if (distance(colour, against) > 130) return colour;
  }
  const light = against[0] + against[1] + against[2] < 380;
  return light ? fromHsv(random.uniform(), 0.1, 0.98) : fromHsv(random.uniform(), 0.4, 0.12);
}

function drawObject(
  random: Random,
  catalogue: Catalogue,
  canvas: Canvas,
  entry: NounEntry,
  cutout: Cutout,
  x: number,
  y: number,
  extent: number,
  { difficulty, faithful }: { difficulty: number; faithful: boolean },
  owner: number,
): Drawn {
  const { size } = canvas;
  const base = cutout.levels[0]!;
  const scale = (extent * size) / Math.max(base.width, base.height);
  // Out-of-focus objects are read from a smaller copy.
  const blur = !faithful && random.uniform() < 0.08 ? 1 : 0;
  const level = Math.max(0, Math.floor(Math.log2(1 / scale) + 0.35)) + blur;
  const texture = textureOf(catalogue.chunks, cutout, level);
  const aspect = faithful ? 1 : 1 + (random.uniform() - 0.5) * 0.3;
  const turn = random.uniform();
  const angle =
    faithful || turn < 0.3
      ? 0
      : turn < 0.94 || difficulty < 0.2
        ? (random.uniform() - 0.5) * 0.7
        : random.uniform() * 2 * Math.PI;
  const flip = random.uniform() < 0.5 ? -1 : 1;
  // One placement for every copy: the level's own scale follows from its width.
  const spot = (copy: Texture, dx = 0, dy = 0) =>
    place(
      size,
      copy,
      x + dx,
      y + dy,
      ((flip * scale * base.width) / copy.width) * aspect,
      (scale * base.height) / copy.height / aspect,
      angle,
    );
  const channels = CHANNELS[cutout.kind];
  const shape = cutout.kind === "rgba" ? 3 : 1;
  if (!faithful && random.uniform() < 0.15) {
    const soft = textureOf(catalogue.chunks, cutout, level + 1 + random.integer(2));
    const shift = size * extent * 0.06;
    const { affine, bounds } = spot(
      soft,
      shift * (random.uniform() * 2 - 1),
      shift * random.uniform(),
    );
    const opacity = 0.25 + 0.35 * random.uniform();
    paintFlat(canvas, soft, channels, shape, affine, bounds, [0, 0, 0], 0, 255, opacity, 0);
  }
  if (!faithful && random.uniform() < 0.22) {
    // A rim like a sticker's or a comic's: whatever a coarse copy touches at all.
    const coarse = textureOf(catalogue.chunks, cutout, level + 2);
    const { affine, bounds } = spot(coarse);
    const kind = random.uniform();
    const rim: Colour =
      kind < 0.4 ? [250, 250, 250] : kind < 0.75 ? [20, 20, 20] : anyColour(random);
    paintFlat(canvas, coarse, channels, shape, affine, bounds, rim, 24, 80, 1, 0);
  }
  const { affine, bounds } = spot(texture);
  const under = meanAround(canvas, x, y, size * extent * 0.3);
  let silhouette = false;
  if (faithful && cutout.kind === "rgba") {
    paintColour(canvas, texture, affine, bounds, UNCHANGED, owner);
  } else if (cutout.kind === "rgba") {
    const kind = random.uniform();
    if (kind < 0.05) {
      silhouette = true;
      const colour = contrasting(random, under, () => anyColour(random));
      paintFlat(canvas, texture, channels, 3, affine, bounds, colour, 0, 255, 1, owner);
    } else {
      const photo = cutout.style === "photo";
      const hue =
        kind < (photo ? 0.15 : 0.35)
          ? random.uniform() * 2 * Math.PI
          : (random.uniform() - 0.5) * (photo ? 0.2 : 0.45);
      const saturation = random.uniform() < 0.12 ? 0 : 0.6 + 0.8 * random.uniform();
      const contrast = 0.7 + 0.5 * random.uniform();
      const map = colourMap(hue, saturation, contrast, (random.uniform() - 0.5) * 70);
      paintColour(canvas, texture, affine, bounds, map, owner);
    }
  } else {
    const propose = () =>
      random.uniform() < 0.45 ? naturalColour(random, catalogue, entry) : anyColour(random);
    const kind = random.uniform();
    if (kind < 0.5) {
      const inside = contrasting(random, under, propose);
      paintFlat(canvas, texture, channels, 1, affine, bounds, inside, 0, 255, 1, owner);
      const line = contrasting(random, inside, () =>
        random.uniform() < 0.5 ? fromHsv(random.uniform(), 0.4, 0.2 * random.uniform()) : propose(),
      );
      paintFlat(canvas, texture, channels, 0, affine, bounds, line, 0, 255, 1, 0);
    } else {
      silhouette = kind > 0.82;
      const dark = () => fromHsv(random.uniform(), 0.5, 0.15 * random.uniform());
      const colour = contrasting(random, under, random.uniform() < 0.35 ? dark : propose);
      const channel = silhouette ? 1 : 0;
      paintFlat(canvas, texture, channels, channel, affine, bounds, colour, 0, 255, 1, owner);
    }
  }
  return { entry, cutout, silhouette, x: x / size, y: y / size, extent };
}

const NOISE = (() => {
  const random = new Random(77);
  const values = new Float32Array(1 << 16);
  for (let i = 0; i < values.length; i++) values[i] = random.normal();
  return values;
})();

/** What cameras and files do to a picture: noise, blur, coarse colour. */
function degrade(random: Random, canvas: Canvas): void {
  const { size, pixels } = canvas;
  if (random.uniform() < 0.12) {
    // Horizontal, then vertical: [1 2 1] / 4.
    for (const step of [3, 3 * size]) {
      const last = step === 3 ? 3 : 3 * size;
      let carry = new Float32Array(last);
      if (step === 3) {
        for (let y = 0; y < size; y++) {
          const row = y * size * 3;
          carry.set(pixels.subarray(row, row + 3));
          for (let i = row; i < row + size * 3 - 3; i++) {
            const c = i % 3;
            const before = carry[c]!;
            carry[c] = pixels[i]!;
            pixels[i] = (before + 2 * pixels[i]! + pixels[i + 3]!) / 4;
          }
        }
      } else {
        carry = pixels.slice(0, last);
        for (let i = 0; i < pixels.length - last; i++) {
          const c = i % last;
          const before = carry[c]!;
          carry[c] = pixels[i]!;
          pixels[i] = (before + 2 * pixels[i]! + pixels[i + step]!) / 4;
        }
      }
    }
  }
  if (random.uniform() < 0.2) {
    // Colour at half resolution, as most JPEG files keep it.
    for (let y = 0; y + 1 < size; y += 2) {
      for (let x = 0; x + 1 < size; x += 2) {
        const a = 3 * (y * size + x);
        const b = a + 3 * size;
        const mean = (c: number) =>
          (pixels[a + c]! + pixels[a + 3 + c]! + pixels[b + c]! + pixels[b + 3 + c]!) / 4;
        const [red, green, blue] = [mean(0), mean(1), mean(2)];
        const luma = 0.299 * red + 0.587 * green + 0.114 * blue;
        for (const i of [a, a + 3, b, b + 3]) {
          const own = 0.299 * pixels[i]! + 0.587 * pixels[i + 1]! + 0.114 * pixels[i + 2]! - luma;
          pixels[i] = red + own;
          pixels[i + 1] = green + own;
          pixels[i + 2] = blue + own;
        }
      }
    }
  }
  if (random.uniform() < 0.4) {
    const strength = 14 * random.uniform() ** 2;
    const grey = random.uniform() < 0.5;
    let at = random.integer(NOISE.length);
    for (let i = 0; i < pixels.length; i += 3) {
      const first = NOISE[at++ & 65535]! * strength;
      pixels[i] = pixels[i]! + first;
      pixels[i + 1] = pixels[i + 1]! + (grey ? first : NOISE[at++ & 65535]! * strength);
      pixels[i + 2] = pixels[i + 2]! + (grey ? first : NOISE[at++ & 65535]! * strength);
    }
  }
}

/** How many objects, and the range of their longest side. */
const EXTENTS: readonly [number, number][] = [
  [0.35, 0.95],
  [0.25, 0.65],
  [0.2, 0.52],
  [0.15, 0.45],
];

function drawCount(random: Random, difficulty: number): number {
  const at = random.uniform();
  const single = 1 - 0.95 * difficulty;
  if (at < single) return 1;
  const rest = (at - single) / (1 - single);
  return rest < 0.45 ? 2 : rest < 0.78 ? 3 : 4;
}

/**
 * A photograph: the whole canvas, or a part of it before some other ground, cropped, turned a little,
 * mirrored and in other light.
 */
function composePhotograph(random: Random, catalogue: Catalogue, canvas: Canvas): Scene {
  const { size } = canvas;
  const list = catalogue.photographs[drawIndex(random, catalogue.photographTotals)]!;
  const cutout = list[random.integer(list.length)]!;
  const inset = random.uniform() < 0.5;
  if (inset) paintBackground(random, canvas, catalogue.backgrounds, random.uniform());
  const extent = inset ? 0.4 + 0.5 * random.uniform() : 1;
  const at = () => size * (extent / 2 + (1 - extent) * random.uniform());
  const [x, y] = [at(), at()];
  const { width, height } = cutout.levels[0]!;
  const shorter = Math.min(width, height);
  // Of a longer side, the middle.
  const scale = ((extent * size) / shorter) * (1 + 0.35 * random.uniform());
  const level = Math.max(0, Math.floor(Math.log2(1 / scale) + 0.35));
  const texture = textureOf(catalogue.chunks, cutout, level);
  const aspect = 1 + (random.uniform() - 0.5) * 0.2;
  const flip = random.uniform() < 0.5 ? -1 : 1;
  const angle = random.uniform() < 0.5 ? 0 : (random.uniform() - 0.5) * 0.4;
  const { affine } = place(
    size,
    texture,
    x,
    y,
    ((flip * scale * width) / texture.width) * aspect,
    (scale * height) / texture.height / aspect,
    angle,
  );
  const saturation = random.uniform() < 0.12 ? 0 : 0.6 + 0.8 * random.uniform();
  const map = colourMap(
    (random.uniform() - 0.5) * 0.3,
    saturation,
    0.7 + 0.5 * random.uniform(),
    (random.uniform() - 0.5) * 60,
  );
  const frame = inset ? { x, y, half: (extent * size) / 2 } : undefined;
  paintPhoto(canvas, texture, affine, map, frame);
  const { noun, classIndex } = cutout;
  const background = { phrase: "", nouns: [], photo: true };
  const seen = { noun, person: false, colour: null, silhouette: false, extent, depth: 0 };
  const text = caption(random, [{ ...seen, style: "photo", x: x / size, y: y / size }], background);
  degrade(random, canvas);
  const box = [x - (extent * size) / 2, y - (extent * size) / 2, extent * size, extent * size].map(
    Math.round,
  ) as [number, number, number, number];
  return {
    picture: pictureOf(canvas),
    caption: text,
    nouns: [noun],
    mask: new Uint8Array(size * size).fill(255),
    objects: [{ noun, classIndex, box, style: "photo", colour: null }],
  };
}

function pictureOf({ size, pixels }: Canvas): Picture {
  const data = new Uint8ClampedArray(pixels.length);
  data.set(pixels);
  return { width: size, height: size, data: new Uint8Array(data.buffer) };
}

const canvases = new Map<number, Canvas>();
/** Canvases are used again and again; nothing of them leaves `composeScene`. */
function canvasOf(size: number): Canvas {
  let canvas = canvases.get(size);
  if (canvas === undefined) {
    canvas = {
      size,
      pixels: new Float32Array(size * size * 3),
      owner: new Uint8Array(size * size),
    };
    canvases.set(size, canvas);
  }
  canvas.owner.fill(0);
  return canvas;
}

/**
 * Composes one scene; the same random state gives the same scene everywhere.
 * @throws InputError for a size or difficulty out of range, or a catalogue without any of the 158
 */
export function composeScene(random: Random, catalogue: Catalogue, options: SceneOptions): Scene {
  const { size, difficulty, distorted = difficulty, photographs = 0 } = options;
  if (!Number.isInteger(size) || size < 32 || size > 512) {
    throw new InputError(`scene size ${size} must be a whole number from 32 to 512`);
  }
  if (!(difficulty >= 0 && difficulty <= 1)) {
    throw new InputError(`scene difficulty ${difficulty} must lie between 0 and 1`);
  }
  if (!(distorted >= 0 && distorted <= 1)) {
    throw new InputError(`share of distorted scenes ${distorted} must lie between 0 and 1`);
  }
  if (!(photographs >= 0 && photographs <= 1)) {
    throw new InputError(`share of photographs ${photographs} must lie between 0 and 1`);
  }
  if (catalogue.known.length === 0) {
    throw new InputError(
      "scene catalogue has no cut-out of a known class; build the cut-outs again",
    );
  }
  const canvas = canvasOf(size);
  if (photographs > 0 && catalogue.photographs.length > 0 && random.uniform() < photographs) {
    return composePhotograph(random, catalogue, canvas);
  }
  const faithful = options.distorted === 0 || random.uniform() >= distorted;
  const background = paintBackground(random, canvas, catalogue.backgrounds, difficulty);
  if (random.uniform() < 0.4 * difficulty) clutter(random, canvas, 1 + random.integer(4));
  const count = drawCount(random, difficulty);
  const [low, high] = EXTENTS[count - 1]!;
  const drawn: Drawn[] = [];
  let entry: NounEntry | undefined;
  let cutout: Cutout | undefined;
  for (let n = 0; n < count; n++) {
    // Now and then another of the same kind, or the very same: "two dogs".
    const again = entry !== undefined && random.uniform() < 0.22;
    if (!again || entry === undefined) {
      entry =
        random.uniform() < 1 - 0.5 * difficulty || catalogue.others.length === 0
          ? catalogue.known[random.integer(catalogue.known.length)]!
          : catalogue.others[drawIndex(random, catalogue.otherTotals)]!;
    }
    if (!again || cutout === undefined || random.uniform() < 0.5)
      cutout = drawCutout(random, entry, difficulty);
    const least = low + (1 - difficulty) * (count === 1 ? 0.15 : 0.05);
    let extent = least + (high - least) * random.uniform();
    if (count === 1 && difficulty > 0.3 && random.uniform() < 0.25)
      extent = 0.15 + 0.3 * random.uniform();
    // The place, of several, that covers least of what is already there.
    let best: [number, number] = [size / 2, size / 2];
    let leastOverlap = Number.POSITIVE_INFINITY;
    const margin = extent * (0.5 - 0.12 * difficulty * random.uniform());
    for (let tries = 0; tries < (drawn.length === 0 ? 1 : 7) && leastOverlap > 0; tries++) {
      const range = Math.max(0, 1 - 2 * margin);
      const [px, py] = [margin + range * random.uniform(), margin + range * random.uniform()];
      let overlap = 0;
      for (const other of drawn) {
        const reach = ((extent + other.extent) / 2) * 0.85;
        overlap +=
          Math.max(0, reach - Math.abs(px - other.x)) * Math.max(0, reach - Math.abs(py - other.y));
      }
      if (overlap < leastOverlap) {
        leastOverlap = overlap;
        best = [px * size, py * size];
      }
    }
    drawn.push(
      drawObject(
        random,
        catalogue,
        canvas,
        entry,
        cutout,
        best[0],
        best[1],
        extent,
        { difficulty, faithful },
        n + 1,
      ),
    );
  }
  return finish(random, canvas, drawn, background, !faithful);
}

/** Reads off what is visible, writes the caption, and turns the canvas into a picture. */
function finish(
  random: Random,
  canvas: Canvas,
  drawn: readonly Drawn[],
  background: ReturnType<typeof paintBackground>,
  degraded: boolean,
): Scene {
  const { size, pixels, owner } = canvas;
  const counts = new Int32Array(drawn.length + 1);
  const boxes = new Int32Array((drawn.length + 1) * 4);
  const histogram = new Int32Array((drawn.length + 1) * (NO_COLOUR + 1));
  const mask = new Uint8Array(size * size);
  for (let i = 0; i <= drawn.length; i++) boxes.set([size, size, -1, -1], 4 * i);
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      const p = y * size + x;
      const o = owner[p]!;
      if (o === 0) continue;
      counts[o] = counts[o]! + 1;
      if (x < boxes[4 * o]!) boxes[4 * o] = x;
      if (y < boxes[4 * o + 1]!) boxes[4 * o + 1] = y;
      if (x > boxes[4 * o + 2]!) boxes[4 * o + 2] = x;
      if (y > boxes[4 * o + 3]!) boxes[4 * o + 3] = y;
      mask[p] = drawn[o - 1]!.cutout.classIndex;
      if (((x ^ y) & 1) === 0) {
        const name = colourIndex(pixels[3 * p]!, pixels[3 * p + 1]!, pixels[3 * p + 2]!);
        histogram[o * (NO_COLOUR + 1) + name] = histogram[o * (NO_COLOUR + 1) + name]! + 1;
      }
    }
  }
  const seen: Seen[] = [];
  const objects: SceneObject[] = [];
  for (let n = 0; n < drawn.length; n++) {
    const o = n + 1;
    const { cutout, silhouette } = drawn[n]!;
    const [left, top, right, bottom] = boxes.subarray(4 * o, 4 * o + 4) as unknown as [
      number,
      number,
      number,
      number,
    ];
    // Hardly visible: nobody would name it.
    if (counts[o]! < 0.004 * size * size || counts[o]! < 24) continue;
    let total = 0;
    let colour: string | null = null;
    const row = o * (NO_COLOUR + 1);
    for (let c = 0; c <= NO_COLOUR; c++) total += histogram[row + c]!;
    for (let c = 0; c < NO_COLOUR; c++) {
      if (histogram[row + c]! > 0.62 * total) colour = COLOURS[c]!;
    }
    const box = [left, top, right - left + 1, bottom - top + 1] as const;
    const style = cutout.style as Style;
    objects.push({ noun: cutout.noun, classIndex: cutout.classIndex, box, style, colour });
    seen.push({
      noun: cutout.noun,
      style,
      person: cutout.person,
      colour,
      silhouette,
      x: (left + right + 1) / 2 / size,
      y: (top + bottom + 1) / 2 / size,
      extent: Math.max(box[2], box[3]) / size,
      depth: n,
    });
  }
  if (seen.length === 0) {
    // Everything is hidden or too thin: name the frontmost all the same, the scene must say something.
    const { cutout, x, y, extent, silhouette } = drawn.at(-1)!;
    const style = cutout.style as Style;
    seen.push({
      noun: cutout.noun,
      style,
      person: cutout.person,
      colour: null,
      silhouette,
      x,
      y,
      extent,
      depth: 0,
    });
    objects.push({
      noun: cutout.noun,
      classIndex: cutout.classIndex,
      box: [0, 0, size, size],
      style,
      colour: null,
    });
  }
  const text = caption(random, seen, background);
  if (degraded) degrade(random, canvas);
  return {
    picture: pictureOf(canvas),
    caption: text,
    nouns: [...new Set([...seen.map(({ noun }) => noun), ...background.nouns])],
    mask,
    objects,
  };
}

/** Scene number `index` of the endless stream that `seed` names; any can be made without the others. */
export function sceneAt(
  seed: number | string,
  index: number,
  catalogue: Catalogue,
  options: SceneOptions,
): Scene {
  return composeScene(new Random(fnv1a(`${seed}/${index}`)), catalogue, options);
}
