// Resident memory: of a loaded model, step by step, and over many pictures.

import { loadCheckpoint } from "../src/checkpoint/load.node.js";
import { graphWeights } from "../src/checkpoint/weights.js";
import { GroupViT } from "../src/index.js";
import { segmentationView } from "../src/input/processor.js";
import { loadTokenizer } from "../src/input/tokenizer.js";
import { Random } from "../src/random.js";
import type { BenchContext } from "./context.js";
import { blobs, WORDS } from "./material.js";
import { residentMemory } from "./measure.js";
import { naiveImageTower, naiveTextTower } from "./naive.js";
import { PUBLISHED } from "./published.js";
import type { Row } from "./row.js";
import { memoryRow, NAIVE } from "./row.js";

const GROUP = "memory, full-size model, batch 1";

/** Resident memory of this process, which does nothing else, step by step. */
export async function benchMemory(context: BenchContext, dtype: "fp32" | "int8"): Promise<Row[]> {
  const rows: Row[] = [];
  const note = (step: string) => {
    const { now, peak } = residentMemory();
    const soFar = `peak so far ${peak.toFixed(0)} MB`;
    rows.push(memoryRow(GROUP, `${dtype}, ${step}`, now, soFar));
  };
  note("package imported");
  const model = await GroupViT.load(context.model, { dtype });
  note("checkpoint loaded");
  const encoded = await model.encode(blobs(640, 480, 1));
  note("448-px picture encoded");
  await encoded.segment(WORDS);
  note("20 words segmented");
  for (let i = 0; i < 5; i++) await (await model.encode(blobs(640, 480, i))).segment(WORDS);
  note("5 pictures more");
  rows.push(memoryRow(GROUP, `${dtype}, peak`, residentMemory().peak));
  return rows;
}

/** The same with the weights inside the files that the engine reads. */
export async function benchNaiveMemory({ model: folder }: BenchContext): Promise<Row[]> {
  const weights = graphWeights((await loadCheckpoint(folder)).tensors);
  const imageTower = await naiveImageTower(PUBLISHED, weights);
  const textTower = await naiveTextTower(PUBLISHED, weights);
  const tokenizer = loadTokenizer();
  const prompts = WORDS.map((word) => tokenizer.encode(`a photo of a ${word}.`));
  for (let i = 0; i < 6; i++) {
    await imageTower(segmentationView(blobs(640, 480, i), 448));
    await textTower(prompts);
  }
  return [memoryRow(GROUP, `peak, ${NAIVE}`, residentMemory().peak)];
}

/** Pictures of ever new sizes through one model: memory must settle. */
export async function benchManyPictures(context: BenchContext): Promise<Row[]> {
  const count = context.quick ? 200 : 1000;
  const marks = [0.1, 0.25, 0.5, 1].map((share) => share * count);
  const model = await GroupViT.load(context.model);
  const random = new Random(11);
  const rows: Row[] = [];
  const group = `memory over ${count} pictures of ever new sizes, 224 px short side`;
  let largestEarly = 0;
  let largestLate = 0;
  for (let i = 1; i <= count; i++) {
    const picture = blobs(200 + random.integer(400), 200 + random.integer(400), i);
    await (await model.encode(picture, { shortSide: 224 })).segment(WORDS);
    const { now } = residentMemory();
    if (i <= count / 2) largestEarly = Math.max(largestEarly, now);
    else largestLate = Math.max(largestLate, now);
    if (marks.includes(i)) rows.push(memoryRow(group, `after ${i}`, now));
  }
  const growth = largestLate - largestEarly;
  rows.push(
    memoryRow(group, "peak", residentMemory().peak),
    memoryRow(group, "largest of the second half less largest of the first", growth),
  );
  return rows;
}
