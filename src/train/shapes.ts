// Captioned pictures of coloured shapes, drawn on the spot: enough to see grouping emerge within
// minutes, without any download.

import type { Picture } from "../input/picture.js";
import { Random } from "../random.js";

/** Half-width and half-height of a shape are 1: inside or not, at a point relative to its centre. */
const SHAPES: Readonly<Record<string, (x: number, y: number) => boolean>> = {
  circle: (x, y) => x * x + y * y <= 1,
  square: (x, y) => Math.max(Math.abs(x), Math.abs(y)) <= 0.9,
  triangle: (x, y) => y >= -0.9 && y <= 0.9 && Math.abs(x) <= (y + 0.9) / 1.8,
  ring: (x, y) => x * x + y * y <= 1 && x * x + y * y >= 0.3,
  cross: (x, y) =>
    Math.min(Math.abs(x), Math.abs(y)) <= 0.3 && Math.max(Math.abs(x), Math.abs(y)) <= 1,
  diamond: (x, y) => Math.abs(x) + Math.abs(y) <= 1,
};

const COLOURS: Readonly<Record<string, readonly [number, number, number]>> = {
  red: [214, 40, 40],
  blue: [40, 80, 205],
  green: [44, 150, 60],
  yellow: [240, 205, 40],
  purple: [130, 50, 160],
  orange: [240, 135, 30],
};

const GROUNDS: Readonly<Record<string, readonly [number, number, number]>> = {
  white: [245, 245, 245],
  gray: [140, 140, 145],
  brown: [96, 66, 44],
  black: [25, 25, 25],
};

/** How often a shape wears the colour of its place in `COLOURS`: things have colours of their own. */
const OWN_COLOUR = 0.8;

/** Nouns that captions name, in the order of mask values from 1. */
export const SHAPE_NAMES: readonly string[] = Object.keys(SHAPES);
const COLOUR_NAMES = Object.keys(COLOURS);
const GROUND_NAMES = Object.keys(GROUNDS);

export interface ShapesPicture {
  picture: Picture;
  caption: string;
  /** The shapes that are named, without repetition. */
  nouns: string[];
  /** `size * size` values: 0 background, else place in `SHAPE_NAMES` plus 1. */
  mask: Uint8Array;
}

export interface ShapesOptions {
  seed: number | string;
  /** Side in pixels. */
  size: number;
  /** Most shapes in a picture, 1 to 3. */
  most: number;
}

/**
 * Picture number `index` of the endless stream that the seed names.
 *
 * @example shapesAt(0, { seed: 1, size: 64, most: 2 }).caption // "a red circle on a white background"
 */
export function shapesAt(index: number, { seed, size, most }: ShapesOptions): ShapesPicture {
  const random = new Random(`${seed}/shapes/${index}`);
  const count = 1 + random.integer(most);
  const ground = GROUND_NAMES[random.integer(GROUND_NAMES.length)]!;
  const data = new Uint8Array(size * size * 3);
  const mask = new Uint8Array(size * size);
  for (let i = 0; i < mask.length; i++) data.set(GROUNDS[ground]!, i * 3);
  const phrases: string[] = [];
  const nouns: string[] = [];
  for (let n = 0; n < count; n++) {
    const value = random.integer(SHAPE_NAMES.length);
    const name = SHAPE_NAMES[value]!;
    const own = random.uniform() < OWN_COLOUR;
    const colour = COLOUR_NAMES[own ? value : random.integer(COLOUR_NAMES.length)]!;
    // Shapes stand side by side, each in a column of its own.
    const column = 1 / count;
    const reach = size * column * (0.28 + 0.17 * random.uniform());
    const cx =
      size * column * (n + 0.5) + (size * column * 0.5 - reach) * (2 * random.uniform() - 1);
    const cy = reach + (size - 2 * reach) * random.uniform();
    paint(data, mask, size, SHAPES[name]!, cx, cy, reach, COLOURS[colour]!, value + 1);
    const article = /^[aeiou]/.test(colour) ? "an" : "a";
    phrases.push(`${article} ${colour} ${name}`);
    if (!nouns.includes(name)) nouns.push(name);
  }
  // A little noise: flat colours alone would make patches equal to the bit.
  for (let i = 0; i < data.length; i++) {
    data[i] = Math.min(255, Math.max(0, data[i]! + random.integer(17) - 8));
  }
  return {
    picture: { width: size, height: size, data },
    caption: `${phrases.join(" and ")} on a ${ground} background`,
    nouns,
    mask,
  };
}

function paint(
  data: Uint8Array,
  mask: Uint8Array,
  size: number,
  inside: (x: number, y: number) => boolean,
  cx: number,
  cy: number,
  reach: number,
  colour: readonly [number, number, number],
  value: number,
): void {
  const last = size - 1;
  for (let y = Math.max(0, Math.floor(cy - reach)); y <= Math.min(last, cy + reach); y++) {
    for (let x = Math.max(0, Math.floor(cx - reach)); x <= Math.min(last, cx + reach); x++) {
      if (!inside((x + 0.5 - cx) / reach, (y + 0.5 - cy) / reach)) continue;
      const p = y * size + x;
      data[3 * p] = colour[0];
      data[3 * p + 1] = colour[1];
      data[3 * p + 2] = colour[2];
      mask[p] = value;
    }
  }
}
