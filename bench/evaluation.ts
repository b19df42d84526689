// Throughput of an evaluation: pictures a second, and how much of the processor is at work.

import { mkdir, writeFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import type { SegmentationProtocol } from "../src/evaluate/protocol.js";
import { encodeLabelPng, labelPalette } from "../src/parts.js";
import type { BenchContext } from "./context.js";
import { built, isBuilt } from "./dist.js";
import { BLOBS, blobs, jpeg, WORDS } from "./material.js";
import { processorSeconds, takeTurns } from "./measure.js";
import type { Row } from "./row.js";
import { NAIVE, rateRow } from "./row.js";

type Run = typeof import("../src/evaluate/run.js");
type Measure = typeof import("../src/evaluate/measure.js");
type Open = typeof import("../src/evaluate/datasets/open.js");
type Package = typeof import("../src/index.js");

/** Pictures of the size of PASCAL VOC's, with a class for each blob. */
async function writeSet(root: string, count: number): Promise<void> {
  for (const folder of ["images", "masks"]) await mkdir(join(root, folder), { recursive: true });
  await writeFile(join(root, "classes.txt"), ["background", ...WORDS].join("\n"));
  const palette = labelPalette(BLOBS, true);
  for (let i = 0; i < count; i++) {
    const { blob, ...picture } = blobs(500, 375, i);
    await writeFile(join(root, "images", `${i}.jpg`), await jpeg(picture));
    await writeFile(
      join(root, "masks", `${i}.png`),
      encodeLabelPng({ ...picture, map: blob }, palette),
    );
  }
}

/** Notes time and use of the processor from the first picture to the last: starting up is left out. */
class Meter {
  private began = 0;
  private before?: number;
  each = 0;
  busy?: number;

  picture(done: number, total: number): void {
    if (done === 1) {
      this.began = performance.now();
      this.before = processorSeconds();
    } else if (done === total) {
      const time = performance.now() - this.began;
      const after = processorSeconds();
      this.each = time / (total - 1);
      if (after !== undefined && this.before !== undefined) {
        this.busy = (after - this.before) / (time / 1000) / availableParallelism();
      }
    }
  }
}

export async function benchEvaluation(context: BenchContext): Promise<Row[]> {
  if (!isBuilt("evaluation")) return [];
  const count = context.quick ? 60 : 500;
  const root = join(context.folder, "set");
  await writeSet(root, count);
  const { evaluateSet, modelFacts, standardProtocol } = await built<Run>("evaluate/run");
  const { measureMask } = await built<Measure>("evaluate/measure");
  const { openDataset } = await built<Open>("evaluate/datasets/open");
  const { GroupViT } = await built<Package>("index");
  const set = await openDataset("folder", root);
  const facts = await modelFacts(undefined);
  const protocol = standardProtocol(set, facts).protocol as SegmentationProtocol;
  const cores = availableParallelism();
  const model = await GroupViT.load(undefined, { threads: cores });

  const busy: Record<string, number | undefined> = {};
  const cases: Record<string, () => Promise<number>> = {};
  const add = (name: string, evaluate: (meter: Meter) => Promise<unknown>) => {
    cases[name] = async () => {
      const meter = new Meter();
      await evaluate(meter);
      busy[name] = meter.busy;
      return meter.each;
    };
  };
  const naive = `${NAIVE}: one picture after another, ${cores} threads`;
  add(naive, async (meter) => {
    for (const [i, sample] of set.samples.entries()) {
      await measureMask(model, sample, protocol, set);
      meter.picture(i + 1, count);
    }
  });
  for (const processes of new Set([1, cores])) {
    add(`${processes} ${processes === 1 ? "process" : "processes"}`, (meter) =>
      evaluateSet({
        set,
        model: facts,
        processes,
        out: join(context.folder, `evaluation-${processes}`),
        fresh: true,
        onProgress: (done, total) => meter.picture(done, total),
      }),
    );
  }
  const times = await takeTurns(cases, Math.min(context.rounds, 5), context.budget);
  const group = `evaluation of ${count} pictures of 500 x 375, bundled model`;
  return Object.entries(times).map(([name, own]) =>
    rateRow(group, name, "pictures/s", own, {
      naive: name === naive ? undefined : times[naive],
      note: busy[name] === undefined ? undefined : `${(100 * busy[name]).toFixed(0)} % of the CPU`,
    }),
  );
}
