// Whole ways of use: segmenting a picture file, relabelling an encoded picture.

import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import sharp from "sharp";
import { toOnnx } from "../src/graph/onnx.js";
import { EncodedPicture } from "../src/groupvit.js";
import { GroupViT } from "../src/index.js";
import { decodePicture } from "../src/input/decode.node.js";
import { toPatches } from "../src/input/normalize.js";
import type { Picture } from "../src/input/picture.js";
import { segmentationView } from "../src/input/processor.js";
import { imageGraph, textGraph } from "../src/model/inference.js";
import { Random } from "../src/random.js";
import { createSession } from "../src/runtime/session.node.js";
import type { BenchContext } from "./context.js";
import { interleave } from "./measure.js";
import { paddedTextFeeds, separateProjections } from "./naive.js";
import { PUBLISHED, randomWeights } from "./published.js";
import type { Row } from "./row.js";
import { timeRow } from "./row.js";

/** Coloured blobs: smooth enough to compress as photographs do, and cheap to make. */
export function blobs(width: number, height: number, seed: number): Picture {
  const random = new Random(seed);
  const centres = Array.from({ length: 12 }, () => ({
    x: random.uniform() * width,
    y: random.uniform() * height,
    colour: [random.integer(256), random.integer(256), random.integer(256)],
  }));
  const data = new Uint8Array(width * height * 3);
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at += 3) {
      let best = centres[0]!;
      let nearest = Number.POSITIVE_INFINITY;
      for (const centre of centres) {
        const distance = (centre.x - x) ** 2 + (centre.y - y) ** 2;
        if (distance < nearest) {
          nearest = distance;
          best = centre;
        }
      }
      const shade = 1 - ((x * 7 + y * 13) % 32) / 128;
      for (let c = 0; c < 3; c++) data[at + c] = best.colour[c]! * shade;
    }
  }
  return { width, height, data };
}

/** A 640 x 480 JPEG file. */
export async function pictureFile(folder: string): Promise<string> {
  const { width, height, data } = blobs(640, 480, 1);
  const path = join(folder, "picture.jpg");
  const raw = { width, height, channels: 3 } as const;
  await writeFile(path, await sharp(data, { raw }).jpeg({ quality: 90 }).toBuffer());
  return path;
}

/** Pronounceable words that no store has seen, so many tokens long as real ones. */
export function newWords(count: number, random: Random): string[] {
  const syllables = ["ba", "co", "di", "fu", "ga", "lo", "mi", "ne", "po", "ru", "sa", "te"];
  const syllable = () => syllables[random.integer(syllables.length)]!;
  const words = new Set<string>();
  while (words.size < count) {
    words.add(`${syllable()}${syllable()} ${syllable()}${syllable()}${random.integer(1e6)}`);
  }
  return [...words];
}

export const WORDS =
  "person, dog, cat, horse, sheep, cow, tree, grass, sky, road, house, car, bus, train, boat, " +
  "chair, table, bottle, bird, water";

export async function benchSegment(context: BenchContext): Promise<Row[]> {
  const { rounds, budget, model: folder } = context;
  const path = await pictureFile(context.folder);
  const model = await GroupViT.load(folder);
  const int8 = await GroupViT.load(folder, { dtype: "int8" });
  const weights = randomWeights(PUBLISHED);
  const images = await createSession(
    toOnnx(separateProjections(imageGraph(PUBLISHED)), { weights }),
  );
  const texts = await createSession(toOnnx(separateProjections(textGraph(PUBLISHED)), { weights }));
  const encoded = await model.encode(path);
  const words = WORDS.split(", ");
  const prompts = words.map((word) => model.tokenizer.encode(`a photo of a ${word}.`));
  const random = new Random(7);
  const { segmentationMean: mean, segmentationStd: std } = model.processor;
  const { patchSize, hiddenSize } = PUBLISHED.vision;

  const times = await interleave(
    {
      "naive path": async () => {
        const picture = await decodePicture(path);
        const view = segmentationView(picture, model.processor.segmentationShortSide);
        const { patches, rows, columns } = toPatches(view, mean, std, patchSize);
        const count = rows * columns;
        await images.run({
          patches: { shape: [1, count, patches.length / count], data: patches },
          positions: { shape: [1, count, hiddenSize], data: new Float32Array(count * hiddenSize) },
        });
        await texts.run(paddedTextFeeds(prompts, PUBLISHED.text));
        // The same decoding as ours, on embeddings that are there: only the towers differ.
        await new EncodedPicture(model as never, picture, view, encoded.windows).segment(words);
      },
      "20 words it has seen": async () => (await model.encode(path)).segment(words),
      "20 new words": async () => (await model.encode(path)).segment(newWords(20, random)),
      "20 words it has seen, int8": async () => (await int8.encode(path)).segment(words),
      "of it, encode": () => model.encode(path),
      "of it, decode the JPEG": () => decodePicture(path),
      "of it, lay out and decode the words": () =>
        new EncodedPicture(
          model as never,
          encoded.picture,
          segmentationView(encoded.picture, model.processor.segmentationShortSide),
          encoded.windows,
        ).segment(words),
    },
    rounds,
    budget,
  );
  const group = "segment a 640 x 480 JPEG, 448 px short side";
  return Object.entries(times).map(([name, own]) =>
    timeRow(group, name, own, {
      ...(name === "naive path" ? {} : { than: ["naive path", times["naive path"]] as const }),
    }),
  );
}

export async function benchRelabel(context: BenchContext): Promise<Row[]> {
  const { rounds, budget, quick } = context;
  const model = await GroupViT.load(context.model);
  // Relabelling does not depend on the text tower: give it embeddings of any words.
  const picture = blobs(448, 448, 2);
  const encoded = await model.encode(picture);
  const random = new Random(3);
  const sizes = quick ? [1, 20, 100] : [1, 20, 100, 1000, 10000];
  const vocabularies = new Map(sizes.map((size) => [size, newWords(size, random)]));
  const cases: Record<string, () => unknown> = { "encode 448 x 448": () => model.encode(picture) };
  for (const [size, words] of vocabularies) {
    await encoded.segment(words);
    cases[`relabel, ${size} known ${size === 1 ? "word" : "words"}`] = () => encoded.segment(words);
  }
  const times = await interleave(cases, rounds, budget);
  const encode = times["encode 448 x 448"]!;
  return Object.entries(times).map(([name, own]) =>
    timeRow("relabel an encoded 448-px picture", name, own, {
      ...(own === encode ? {} : { than: ["encode 448 x 448", encode] as const }),
    }),
  );
}
