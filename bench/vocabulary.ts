// How time grows with the number of words: those that the model has seen, and new ones.

import { GroupViTBase } from "../src/groupvit.js";
import { expandPrompts, PROMPT_TEMPLATES } from "../src/input/prompts.js";
import { nodePlatform } from "../src/platform.node.js";
import { affinity } from "../src/segment/affinity.js";
import type { WordStore } from "../src/segment/words.js";
import type { BenchContext } from "./context.js";
import { blobs, newWords, wordCount } from "./material.js";
import { interleave, median } from "./measure.js";
import { naiveDecode, naiveTextTower } from "./naive.js";
import { PUBLISHED, randomFloats, randomWeights } from "./published.js";
import type { Row } from "./row.js";
import { NAIVE, timeRow } from "./row.js";

/** Most labels of a map, which has 16 bits a pixel. */
const MOST_LABELS = 65_535;
const MOST_WORDS = 100_000;

/** Knows the prompts of all words, with made-up embeddings: what they say does not matter to the time. */
function madeUpStore(words: readonly string[]): WordStore {
  const dim = PUBLISHED.projectionDim;
  const numbers = randomFloats("words", words.length * dim);
  const known = new Map<string, Float32Array>();
  words.forEach((word, i) => {
    const [prompt] = expandPrompts(word, PROMPT_TEMPLATES.simple);
    known.set(prompt!, numbers.subarray(i * dim, (i + 1) * dim));
  });
  return { get: (prompt) => known.get(prompt), put: async () => {} };
}

export async function benchKnownWords(context: BenchContext): Promise<Row[]> {
  const { rounds, budget, quick } = context;
  const all = newWords(MOST_WORDS);
  const store = madeUpStore(all);
  const platform = { ...nodePlatform, openWordStore: async () => store };
  const model = await GroupViTBase.open(platform, context.model, {});
  const { logitScale } = model;
  const encoded = await model.encode(blobs(448, 448, 2));
  const group = "vocabulary of known words, 448-px picture";
  const rows: Row[] = [];
  for (const count of [1, 10, 100, 1000, 10_000, MOST_LABELS]) {
    const words = all.slice(0, count);
    const labels = () => model.embedLabels(words, "simple");
    const segment = () => encoded.segment(words);
    const straight = async () => naiveDecode(encoded, await labels(), logitScale);
    const cases: Record<string, () => unknown> = { labels, segment };
    // A score map takes milliseconds a word.
    if (count <= (quick ? 100 : 1000)) {
      cases.straight = straight;
      checkEqual((await segment()).map, await straight());
    }
    const times = await interleave(cases, rounds, budget);
    const naive = times.straight;
    const name = `${wordCount(count)}${count === MOST_LABELS ? ", the most a map holds" : ""}`;
    rows.push(
      timeRow(group, name, times.segment!, {
        naive,
        note: `${median(times.labels!).toFixed(2)} ms of it to look the words up`,
      }),
    );
    if (naive) rows.push(timeRow(group, `${name}, ${NAIVE}`, naive));
  }
  const embeds = await model.embedLabels(all, "simple");
  const { encoding } = encoded.windows[0]!;
  const { scores } = await interleave(
    { scores: () => affinity(encoding, embeds, logitScale, 5) },
    rounds,
    budget,
  );
  const note = `no map: it holds ${MOST_LABELS.toLocaleString("en")} labels at most`;
  rows.push(timeRow(group, `${wordCount(MOST_WORDS)}, scores of the segments`, scores, { note }));
  return rows;
}

function checkEqual(map: ArrayLike<number>, straight: Int32Array): void {
  if (straight.some((label, pixel) => label !== map[pixel])) {
    throw new Error("the naive decoding gives another map");
  }
}

export async function benchNewWords({ rounds, budget, quick, model: folder }: BenchContext) {
  const model = await GroupViTBase.open(nodePlatform, folder, {});
  const naiveTower = await naiveTextTower(PUBLISHED, randomWeights(PUBLISHED));
  const tokens = (word: string) => model.tokenizer.encode(`a photo of a ${word}.`);
  const group = "vocabulary of new words: tokenise, encode, remember";
  const rows: Row[] = [];
  for (const count of [1, 10, 100, 1000]) {
    const cases: Record<string, () => unknown> = {
      ours: () => model.embedLabels(newWords(count), "simple"),
    };
    // Padded, a thousand words take ten seconds.
    if (!quick || count < 1000) {
      cases.naive = () => naiveTower(newWords(count).map((word) => tokens(word)));
    }
    const { ours, naive } = (await interleave(cases, rounds, budget)) as Record<string, number[]>;
    const rate = (count / median(ours!)) * 1000;
    const rest = count === 1000 ? `; 100,000 would take ${(1e5 / rate).toFixed(0)} s` : "";
    rows.push(
      timeRow(group, wordCount(count), ours!, {
        naive,
        note: `${rate.toFixed(0)} words/s${rest}`,
      }),
    );
    if (naive) rows.push(timeRow(group, `${wordCount(count)}, ${NAIVE}`, naive));
  }
  return rows;
}
