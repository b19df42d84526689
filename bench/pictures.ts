// Whole ways of use: segmenting a picture file, relabelling an encoded picture.

import { EncodedPicture } from "../src/groupvit.js";
import { GroupViT } from "../src/index.js";
import { decodePicture } from "../src/input/decode.node.js";
import { segmentationView } from "../src/input/processor.js";
import type { BenchContext } from "./context.js";
import { blobs, newWords, pictureFile, WORDS, wordCount } from "./material.js";
import { interleave } from "./measure.js";
import { naiveDecode, naiveImageTower, naiveTextTower } from "./naive.js";
import { PUBLISHED, randomWeights } from "./published.js";
import type { Row } from "./row.js";
import { NAIVE, timeRow } from "./row.js";

export async function benchSegment(context: BenchContext): Promise<Row[]> {
  const { rounds, budget, model: folder } = context;
  const path = await pictureFile(context.folder);
  const model = await GroupViT.load(folder);
  const int8 = await GroupViT.load(folder, { dtype: "int8" });
  const weights = randomWeights(PUBLISHED);
  const imageTower = await naiveImageTower(PUBLISHED, weights);
  const textTower = await naiveTextTower(PUBLISHED, weights);
  const shortSide = model.processor.segmentationShortSide;
  const encoded = await model.encode(path);
  const embeds = await model.embedLabels(WORDS, "simple");
  const prompts = () => newWords(20).map((word) => model.tokenizer.encode(`a photo of a ${word}.`));

  const times = await interleave(
    {
      [NAIVE]: async () => {
        await imageTower(segmentationView(await decodePicture(path), shortSide));
        await textTower(prompts());
        naiveDecode(encoded, embeds, model.logitScale);
      },
      "20 words it has seen": async () => (await model.encode(path)).segment(WORDS),
      "20 new words": async () => (await model.encode(path)).segment(newWords(20)),
      "20 words it has seen, int8": async () => (await int8.encode(path)).segment(WORDS),
      "of it, encode": () => model.encode(path),
      "of it, decode the JPEG": () => decodePicture(path),
      "of it, lay out and decode the words": () =>
        new EncodedPicture(
          model as never,
          encoded.picture,
          segmentationView(encoded.picture, shortSide),
          encoded.windows,
        ).segment(WORDS),
    },
    rounds,
    budget,
  );
  return Object.entries(times).map(([name, own]) =>
    timeRow("segment a 640 x 480 JPEG, 448 px short side", name, own, {
      naive: name === NAIVE || name.startsWith("of it") ? undefined : times[NAIVE],
    }),
  );
}

/** Known words on a picture that was encoded before, beside encoding it again. */
export async function benchRelabel({ rounds, budget, model: folder }: BenchContext) {
  const model = await GroupViT.load(folder);
  const picture = blobs(448, 448, 2);
  const encoded = await model.encode(picture);
  const again = `${NAIVE}: encode again`;
  const cases: Record<string, () => unknown> = { [again]: () => model.encode(picture) };
  for (const count of [1, 20, 100]) {
    const words = newWords(count);
    await encoded.segment(words);
    cases[`${wordCount(count)} it has seen`] = () => encoded.segment(words);
  }
  const times = await interleave(cases, rounds, budget);
  return Object.entries(times).map(([name, own]) =>
    timeRow("relabel an encoded 448-px picture", name, own, {
      naive: name === again ? undefined : times[again],
    }),
  );
}
