// What the benchmarks work on, made on the spot: pictures, picture files and words.

import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import sharp from "sharp";
import type { Picture } from "../src/input/picture.js";
import { VOCABULARIES } from "../src/input/vocabularies.js";
import { Random } from "../src/random.js";

/** Blobs in a picture. */
export const BLOBS = 12;

/** A picture with the number of the blob that each pixel lies in, [height, width]. */
export interface BlobPicture extends Picture {
  blob: Uint8Array;
}

/** Coloured blobs: smooth enough to compress as photographs do, and cheap to make. */
export function blobs(width: number, height: number, seed: number): BlobPicture {
  const random = new Random(seed);
  const centres = Array.from({ length: BLOBS }, () => ({
    x: random.uniform() * width,
    y: random.uniform() * height,
    colour: [random.integer(256), random.integer(256), random.integer(256)],
  }));
  const data = new Uint8Array(width * height * 3);
  const blob = new Uint8Array(width * height);
  for (let y = 0, pixel = 0; y < height; y++) {
    for (let x = 0; x < width; x++, pixel++) {
      let best = 0;
      let nearest = Number.POSITIVE_INFINITY;
      for (let i = 0; i < BLOBS; i++) {
        const centre = centres[i]!;
        const distance = (centre.x - x) ** 2 + (centre.y - y) ** 2;
        if (distance < nearest) {
          nearest = distance;
          best = i;
        }
      }
      blob[pixel] = best;
      const shade = 1 - ((x * 7 + y * 13) % 32) / 128;
      for (let c = 0; c < 3; c++) data[3 * pixel + c] = centres[best]!.colour[c]! * shade;
    }
  }
  return { width, height, data, blob };
}

/** The bytes of a JPEG file. */
export function jpeg({ width, height, data }: Picture): Promise<Uint8Array> {
  return sharp(data, { raw: { width, height, channels: 3 } })
    .jpeg({ quality: 90 })
    .toBuffer();
}

/** A 640 x 480 JPEG file. */
export async function pictureFile(folder: string): Promise<string> {
  const path = join(folder, "picture.jpg");
  await writeFile(path, await jpeg(blobs(640, 480, 1)));
  return path;
}

const NOUNS = [...new Set(VOCABULARIES.imagenet.labels.filter((name) => /^[a-z]+$/.test(name)))];

/** A prime that leads from one name to a very different one. */
const STRIDE = 7919;
let named = 0;

/** Names of two nouns, such as "zebra kite", that this process has not met before. */
export function newWords(count: number): string[] {
  return Array.from({ length: count }, () => {
    const pair = (named++ * STRIDE) % NOUNS.length ** 2;
    return `${NOUNS[pair % NOUNS.length]} ${NOUNS[Math.floor(pair / NOUNS.length)]}`;
  });
}

export const WORDS: readonly string[] = (
  "person, dog, cat, horse, sheep, cow, tree, grass, sky, road, house, car, bus, train, boat, " +
  "chair, table, bottle, bird, water"
).split(", ");

/** 1 word, 20 words, 10,000 words. */
export function wordCount(count: number): string {
  return `${count.toLocaleString("en")} ${count === 1 ? "word" : "words"}`;
}
