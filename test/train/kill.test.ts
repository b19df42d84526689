// A run that is killed again and again ends like one that was never touched.

import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { Random } from "../../src/random.js";
import type { StepRecord } from "../../src/train/metrics.js";
import { type Compiled, compilePackage } from "../support/compile.js";
import { TINY } from "./tiny.js";

const STEPS = 50;
const KILLS = 10;
const folder = mkdtempSync(join(tmpdir(), "killed-"));
let compiled: Compiled;

beforeAll(async () => {
  compiled = await compilePackage();
});
afterAll(() => {
  compiled.remove();
  rmSync(folder, { recursive: true, force: true });
});

const config = (dataWorkers: number) => ({
  ...TINY,
  steps: STEPS,
  dataWorkers,
  evaluation: { every: 20, set: { kind: "shapes" }, pictures: 3, threshold: 0.5 },
  checkpoint: { everySteps: 1, keep: 2 },
});

/** Runs the program; kills it `after` milliseconds after its `steps`-th step. Gives its exit code. */
function trainProcess(
  name: string,
  dataWorkers: number,
  kill?: { steps: number; after: number },
): Promise<number | null> {
  const file = join(folder, `${name}-${dataWorkers}.json`);
  writeFileSync(file, JSON.stringify(config(dataWorkers)));
  const script = join(compiled.folder, "run.mjs");
  writeFileSync(
    script,
    `import { readFileSync } from "node:fs";
import { train } from ${JSON.stringify(compiled.module("train/loop"))};
import { parseTrainConfig } from ${JSON.stringify(compiled.module("train/config"))};
const config = parseTrainConfig(readFileSync(process.argv[2], "utf8"));
process.stdout.write("begin\\n");
await train({ config, folder: process.argv[3], onProgress: () => process.stdout.write("step\\n") });
`,
  );
  const child = spawn(process.execPath, [script, file, join(folder, name)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let lines = 0;
  child.stdout.on("data", (data: Buffer) => {
    const before = lines;
    lines += data.toString().split("\n").length - 1;
    if (kill && before <= kill.steps && lines > kill.steps) {
      setTimeout(() => child.kill("SIGKILL"), kill.after);
    }
  });
  return new Promise((resolve) => child.on("exit", resolve));
}

/** metrics.jsonl without what the clock says. */
function metrics(name: string): Partial<StepRecord>[] {
  return readFileSync(join(folder, name, "metrics.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((line) => {
      const {
        time: _,
        data_seconds: __,
        step_seconds: ___,
        samples_per_second: ____,
        ...rest
      } = JSON.parse(line) as StepRecord;
      return rest;
    });
}

it(`gives the same bytes after ${KILLS} kills, with other data threads`, async () => {
  expect(await trainProcess("untouched", 0)).toBe(0);
  const random = new Random("kills");
  for (let kill = 0; kill < KILLS; kill++) {
    // From before the first step on; a step takes some 20 ms, most of it writing the checkpoint.
    const moment = { steps: random.integer(4), after: random.integer(20) };
    expect(await trainProcess("killed", 1 + (kill % 2), moment)).toBe(null);
  }
  expect(await trainProcess("killed", 2)).toBe(0);

  const lines = metrics("untouched");
  expect(lines.map(({ step }) => step)).toEqual(Array.from({ length: STEPS }, (_, i) => i + 1));
  expect(metrics("killed")).toEqual(lines);
  for (const file of [
    `checkpoints/step-${String(STEPS).padStart(8, "0")}.safetensors`,
    "model/model.safetensors",
    "model/config.json",
    "best/model.safetensors",
    `strip/step-${String(STEPS).padStart(8, "0")}.png`,
  ]) {
    const [one, other] = ["untouched", "killed"].map((name) =>
      readFileSync(join(folder, name, file)),
    );
    expect(one!.equals(other!), file).toBe(true);
  }
}, 300_000);
