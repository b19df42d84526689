// How time and memory grow with the size of the picture, encoded whole.

import { GroupViT } from "../src/index.js";
import { imageGraph } from "../src/model/inference.js";
import type { BenchContext } from "./context.js";
import { gigaFlop } from "./flops.js";
import { blobs, WORDS } from "./material.js";
import { elapsed, interleave, median, residentMemory } from "./measure.js";
import { naiveImageTower } from "./naive.js";
import { PUBLISHED, randomWeights } from "./published.js";
import type { Row } from "./row.js";
import { memoryRow, NAIVE, timeRow } from "./row.js";
import { roofSession } from "./towers.js";

const GROUP = "picture size: encoded whole, in one window";
/** Longest short side for which the naive path fits into memory. */
const NAIVE_SIDE = 1024;

const squarePicture = (side: number) => blobs(side, side, 4);
const peakName = (side: number) => `${side} px, peak memory`;

/** One size, in a process that has seen no larger one. */
export async function benchPictureSize(
  { rounds, budget, model: folder }: BenchContext,
  side: number,
): Promise<Row[]> {
  const model = await GroupViT.load(folder);
  const picture = squarePicture(side);
  let encoded = await model.encode(blobs(32, 32, 4), { shortSide: 32 });
  const encode = async () => {
    encoded = await model.encode(picture, { shortSide: side });
  };
  const first = await elapsed(encode);
  const peak = memoryRow(GROUP, peakName(side), residentMemory().peak);
  await model.embedLabels(WORDS, "simple");
  const segment = await elapsed(() => encoded.segment(WORDS));

  const roof = await roofSession();
  const patches = Math.floor(side / PUBLISHED.vision.patchSize) ** 2;
  const gflop = gigaFlop(imageGraph(PUBLISHED), { batch: 1, patches });
  const note = `${patches} patches; 20 known words then take ${segment.toFixed(0)} ms`;
  if (side > NAIVE_SIDE) {
    // It takes half a minute: once must do.
    const best = median((await interleave({ roof: roof.run }, rounds, budget)).roof);
    const one = { times: [best], gflop: roof.gflop };
    return [timeRow(GROUP, `${side} px`, [first], { gflop, roof: one, note }), peak];
  }
  const tower = await naiveImageTower(PUBLISHED, randomWeights(PUBLISHED));
  const naive = () => tower(picture);
  const times = await interleave({ roof: roof.run, naive, encode }, rounds, budget);
  const extra = { gflop, roof: { times: times.roof, gflop: roof.gflop } };
  return [
    timeRow(GROUP, `${side} px`, times.encode, { ...extra, naive: times.naive, note }),
    timeRow(GROUP, `${side} px, ${NAIVE}`, times.naive, extra),
    peak,
  ];
}

/** Memory of the naive path, in a process of its own. */
export async function benchNaiveSize(side: number): Promise<Row[]> {
  const tower = await naiveImageTower(PUBLISHED, randomWeights(PUBLISHED));
  await tower(squarePicture(side));
  return [memoryRow(GROUP, `${peakName(side)}, ${NAIVE}`, residentMemory().peak)];
}
