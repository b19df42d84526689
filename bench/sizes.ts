// How time and memory grow with the size of the picture, encoded whole.

import { GroupViT } from "../src/index.js";
import { imageGraph } from "../src/model/inference.js";
import type { BenchContext } from "./context.js";
import { gigaFlop } from "./flops.js";
import { blobs, WORDS } from "./material.js";
import { added, elapsed, interleave, median } from "./measure.js";
import { naiveImageTower } from "./naive.js";
import { PUBLISHED, randomWeights } from "./published.js";
import type { Row } from "./row.js";
import { memoryRow, NAIVE, timeRow } from "./row.js";
import { roofSession } from "./towers.js";

/** Longest short side for which the naive path fits into memory. */
const NAIVE_SIDE = 1024;

/** One size, in a process that has seen no larger one. */
export async function benchPictureSize(
  { rounds, budget, model: folder }: BenchContext,
  side: number,
): Promise<Row[]> {
  const group = "picture size: encoded whole, in one window";
  const model = await GroupViT.load(folder);
  const picture = blobs(side, side, 4);
  const patches = Math.floor(side / PUBLISHED.vision.patchSize) ** 2;
  const warmUp = blobs(32, 32, 4);
  let encoded = await model.encode(warmUp, { shortSide: 32 });
  const ours = async () => {
    encoded = await model.encode(picture, { shortSide: side });
  };
  const first = await added(ours);
  const segment = await elapsed(() => encoded.segment(WORDS));

  const roof = await roofSession();
  const gflop = gigaFlop(imageGraph(PUBLISHED), { batch: 1, patches });
  const name = `${side} px`;
  const note = `${patches} patches; 20 words then take ${segment.toFixed(0)} ms`;
  const memory = `${name}, memory that encoding adds`;
  if (side > NAIVE_SIDE) {
    // It takes half a minute: once must do.
    const best = median((await interleave({ roof: roof.run }, rounds, budget)).roof);
    const extra = { gflop, roof: { times: [best], gflop: roof.gflop } };
    const { numAttentionHeads, numGroupTokens } = PUBLISHED.vision;
    const logits = (numAttentionHeads * (patches + numGroupTokens[0]!) ** 2 * 4) / 1e9;
    return [
      timeRow(group, name, [first.time], { ...extra, note }),
      memoryRow(group, memory, first.memory, {
        note: `no ${NAIVE}: the logits of one layer would take ${logits.toFixed(1)} GB`,
      }),
    ];
  }
  const tower = await naiveImageTower(PUBLISHED, randomWeights(PUBLISHED));
  await tower(warmUp);
  const naive = await added(() => tower(picture));
  const times = await interleave(
    { roof: roof.run, naive: () => tower(picture), ours },
    rounds,
    budget,
  );
  const extra = { gflop, roof: { times: times.roof, gflop: roof.gflop } };
  return [
    timeRow(group, name, times.ours, { ...extra, naive: times.naive, note }),
    timeRow(group, `${name}, ${NAIVE}`, times.naive, extra),
    memoryRow(group, memory, first.memory, { naive: naive.memory }),
    memoryRow(group, `${memory}, ${NAIVE}`, naive.memory),
  ];
}
