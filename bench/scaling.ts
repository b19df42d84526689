// Data-parallel training: what a second rank gains, and what the ranks' exchange costs. Steps are those of the
// scenes recipe, on shapes, which need no downloads.

import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import type { StepRecord } from "../src/train/metrics.js";
import type { BenchContext } from "./context.js";
import { COMMAND, isBuilt } from "./dist.js";
import { median } from "./measure.js";
import type { Row } from "./row.js";
import { timeRow } from "./row.js";
import { recipe } from "./training.js";

/** Steps in which the engine's memory and the data threads settle. */
const WARM_UP = 3;
/** Enough to see that it runs; shares of such small steps say nothing of the recipe. */
const QUICK_BATCH = 16;

const run = promisify(execFile);

/** Steps of a run after the first few. */
async function steps(
  name: string,
  launcher: readonly string[],
  config: string,
  { folder }: BenchContext,
): Promise<StepRecord[]> {
  const out = join(folder, name);
  const [program, ...args] = [...launcher, process.execPath, COMMAND, "train", config, "-o", out];
  await run(program!, [...args, "--threads", "1"], { maxBuffer: 1 << 24 });
  const lines = (await readFile(join(out, "metrics.jsonl"), "utf8")).trim().split("\n");
  return lines.slice(WARM_UP).map((line) => JSON.parse(line) as StepRecord);
}

export async function benchScaling(context: BenchContext): Promise<Row[]> {
  if (!isBuilt("scaling")) return [];
  try {
    await run("mpirun", ["--version"]);
  } catch {
    console.error("bench: mpirun is missing, scaling left out; apt-get install openmpi-bin");
    return [];
  }
  const { batch: whole, ...config } = await recipe("scenes");
  const batch = context.quick ? QUICK_BATCH : whole;
  const file = join(context.folder, "scaling.json");
  await writeFile(
    file,
    JSON.stringify({
      ...config,
      batch,
      microBatch: batch / 2,
      data: { kind: "shapes" },
      steps: WARM_UP + (context.quick ? 5 : 20),
      evaluation: undefined,
      schedule: { kind: "constant" },
    }),
  );
  const alone = await steps("one-rank", [], file, context);
  const launcher = ["mpirun", "--allow-run-as-root", "--oversubscribe", "--bind-to", "core"];
  const together = await steps("two-ranks", [...launcher, "-n", "2"], file, context);
  const times = (records: readonly StepRecord[]) => records.map((each) => 1000 * each.step_seconds);
  const waiting = together.map((each) => (each.exchange_seconds ?? 0) / each.step_seconds);
  const efficiency = median(times(alone)) / median(times(together)) / 2;
  const percent = (share: number) => `${(100 * share).toFixed(0)} %`;
  const group = `training step, scenes recipe, batch ${batch}, 1 thread a rank`;
  return [
    timeRow(group, "1 rank", times(alone)),
    timeRow(group, "2 ranks", times(together), {
      note: `efficiency ${percent(efficiency)}; ${percent(median(waiting))} of the step waiting for the other`,
    }),
  ];
}
