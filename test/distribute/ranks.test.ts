// Several ranks under a real mpirun train what one process trains, and end together.

import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { TrainConfigInput } from "../../src/train/config.js";
import { shapesAt } from "../../src/train/shapes.js";
import { type Compiled, compilePackage } from "../support/compile.js";
import {
  checkpointPath,
  hasCheckpoint,
  type Job,
  losses,
  mpirun,
  rankProcesses,
  records,
  startJob,
  until,
  weightsOf,
} from "../support/mpi.js";
import { TINY } from "../train/tiny.js";

const root = mkdtempSync(join(tmpdir(), "ranks-"));
const LIMIT = 300_000;
let compiled: Compiled;
let main: string;

beforeAll(async () => {
  compiled = await compilePackage();
  main = compiled.module("cli/main");
});
afterAll(() => {
  compiled.remove();
  rmSync(root, { recursive: true, force: true });
});

const at = (name: string) => join(root, name);

function trainArgs(name: string, input: Partial<TrainConfigInput>): string[] {
  const config = at(`${name}.json`);
  writeFileSync(config, JSON.stringify({ ...TINY, ...input }));
  return [main, "train", config, "--out", at(name)];
}

/** Trains to the end as so many ranks, 1 without mpirun, and gives the output. */
async function trained(
  name: string,
  ranks: number,
  input: Partial<TrainConfigInput> = {},
): Promise<string> {
  const args = trainArgs(name, input);
  const job = ranks === 1 ? startJob(process.execPath, args) : mpirun(ranks, args);
  expect(await job.ended, job.output()).toBe(0);
  return job.output();
}

const lastStep = (name: string) => readFileSync(checkpointPath(at(name), TINY.steps));

/** Largest difference between two checkpoints' tensors, each in relation to the largest value of its layer. */
function largestDifference(one: string, other: string): number {
  const expected = weightsOf(at(one), TINY.steps);
  const actual = weightsOf(at(other), TINY.steps);
  const layer = (name: string) => name.replace(/\.(weight|bias)$/, "");
  const scales = new Map<string, number>();
  for (const [name, data] of expected) {
    const most = data.reduce((largest, x) => Math.max(largest, Math.abs(x)), 0);
    scales.set(layer(name), Math.max(most, scales.get(layer(name)) ?? 0));
  }
  let largest = 0;
  for (const [name, data] of expected) {
    if (WITHOUT_GRADIENT.test(name)) continue;
    const scale = scales.get(layer(name))!;
    for (const [i, x] of data.entries()) {
      largest = Math.max(largest, Math.abs(x - actual.get(name)![i]!) / scale);
    }
  }
  return largest;
}

/** A bias that changes no output: its gradient is rounding, which AdamW brings nearer to the size of a step. */
const WITHOUT_GRADIENT = /mlp_inter\.fc2\.bias$/;
/** Large enough that AdamW does not blow other gradients' rounding up as well. */
const EPS = 1e-3;

/** Largest relative difference between the losses of two runs. */
function lossesApart(one: string, other: string): number {
  const [expected, actual] = [losses(at(one)), losses(at(other))];
  expect(expected).toHaveLength(TINY.steps);
  expect(actual).toHaveLength(TINY.steps);
  return Math.max(...expected.map((loss, step) => Math.abs(actual[step]! / loss - 1)));
}

/** What is measured of the groups, which is summed over the ranks. */
const groupMetrics = (name: string) =>
  records(at(name)).map((record) => [record.group_information, record.group_entropy]);

it.each([
  [
    "adamw",
    { optimiser: { ...TINY.optimiser, eps: EPS }, groupInformation: { weight: 0.5, nats: 1.5 } },
    [
      [1, 2],
      [1, 4],
      [2, 2],
      [2, 4],
      [4, 2],
    ],
  ],
  [
    "muon",
    { optimiser: { ...TINY.optimiser, eps: EPS, matrices: "muon" } },
    [
      [1, 2],
      [2, 2],
      [4, 2],
    ],
  ],
] as [string, Partial<TrainConfigInput>, [ranks: number, microBatch: number][]][])(
  "with %s 1, 2 and 4 ranks give the same",
  async (kind, input, runs) => {
    const name = (ranks: number, microBatch: number) => `${kind}-${ranks}-${microBatch}`;
    for (const [ranks, microBatch] of runs) {
      await trained(name(ranks, microBatch), ranks, { ...input, microBatch });
    }
    // Where each rank has one part of the batch, sums run in the order of one process: every bit of the
    // checkpoint, moments included, is the same.
    for (const [ranks, microBatch] of runs) {
      if (ranks * microBatch !== TINY.batch) continue;
      const alone = name(1, microBatch);
      expect(lastStep(name(ranks, microBatch)).equals(lastStep(alone)), alone).toBe(true);
      expect(groupMetrics(name(ranks, microBatch))).toEqual(groupMetrics(alone));
    }
    const reference = name(1, 2);
    for (const [ranks, microBatch] of runs.slice(1)) {
      const other = name(ranks, microBatch);
      expect(lossesApart(reference, other), other).toBeLessThan(1e-5);
      expect(largestDifference(reference, other), other).toBeLessThan(1e-5);
    }
  },
  LIMIT,
);

/** Pictures with captions beside them, some of them broken, one without words. */
async function writePictures(folder: string): Promise<void> {
  mkdirSync(folder);
  for (let i = 0; i < 26; i++) {
    const { picture, caption } = shapesAt(i, { seed: 5, size: 40, most: 1 });
    const image = sharp(picture.data, { raw: { width: 40, height: 40, channels: 3 } });
    const bytes = await image.png().toBuffer();
    writeFileSync(join(folder, `${i}.png`), i % 5 === 2 ? bytes.subarray(0, 100) : bytes);
    writeFileSync(join(folder, `${i}.txt`), i === 7 ? "" : caption);
  }
}

it(
  "pictures from a folder are shared in the same order, with threads, broken ones among them",
  async () => {
    const folder = at("pictures");
    await writePictures(folder);
    const data = { kind: "folder" as const, folder, shuffleBuffer: 5 };
    await trained("folder-1", 1, { data, microBatch: 2 });
    await trained("folder-4", 4, { data, dataWorkers: 1 });
    expect(lastStep("folder-4").equals(lastStep("folder-1"))).toBe(true);
    const skipped = (name: string) =>
      readFileSync(join(at(name), "metrics.jsonl"), "utf8").match(/"skipped_samples":\d+/g);
    expect(skipped("folder-4")?.at(-1)).not.toBe('"skipped_samples":0');
    // Steps of 16 samples, four a picture, in turns with steps of four.
    const mosaics = { data, mosaics: [2, 1], batch: 16 };
    await trained("mosaics-1", 1, { ...mosaics, microBatch: 8 });
    await trained("mosaics-2", 2, { ...mosaics, dataWorkers: 1 });
    expect(lastStep("mosaics-2").equals(lastStep("mosaics-1"))).toBe(true);
  },
  LIMIT,
);

/** Mosaics of one and of two samples along a side, in turns: 2, then 8 samples a step, in whole pictures. */
const MOSAICS: Partial<TrainConfigInput> = {
  mosaics: [1, 2],
  batch: 16,
  optimiser: { ...TINY.optimiser, eps: EPS },
};

it.each(["shapes", "folder"])(
  "mosaics of two sizes in turns, of %s: 1, 2 and 4 ranks give the same",
  async (kind) => {
    const folder = at("mosaics-pictures");
    if (kind === "folder") await writePictures(folder);
    const data = kind === "folder" ? { kind, folder, shuffleBuffer: 5 } : { kind: "shapes" };
    const input = { ...MOSAICS, data: data as TrainConfigInput["data"] };
    const name = (ranks: number, microBatch: number) => `mosaics-${kind}-${ranks}-${microBatch}`;
    const runs = [
      [1, 4],
      [1, 8],
      [2, 8],
      [2, 4],
      [4, 4],
    ] as const;
    for (const [ranks, microBatch] of runs) {
      await trained(name(ranks, microBatch), ranks, { ...input, microBatch });
    }
    expect(lastStep(name(2, 8)).equals(lastStep(name(1, 8)))).toBe(true);
    expect(lastStep(name(4, 4)).equals(lastStep(name(1, 4)))).toBe(true);
    for (const [ranks, microBatch] of runs.slice(1)) {
      const other = name(ranks, microBatch);
      expect(lossesApart(name(1, 4), other), other).toBeLessThan(1e-5);
      expect(largestDifference(name(1, 4), other), other).toBeLessThan(1e-5);
    }
  },
  LIMIT,
);

const mpich = spawnSync("mpiexec.mpich", ["-version"]).error === undefined;
if (!mpich)
  process.stderr.write("NOT RUN: ranks of MPICH need mpiexec.mpich (apt-get install mpich)\n");

it.skipIf(!mpich)(
  "MPICH's ranks give the same, and a launcher that is not the library's is told",
  async () => {
    await trained("mpich-1", 1, { microBatch: 4 });
    const args = trainArgs("mpich-2", { microBatch: 4 });
    const job = startJob("mpiexec.mpich", ["-n", "2", process.execPath, ...args]);
    expect(await job.ended, job.output()).toBe(0);
    expect(lastStep("mpich-2").equals(lastStep("mpich-1"))).toBe(true);
    const alone = startJob(process.execPath, args, { PMI_SIZE: "2" });
    expect(await alone.ended).toBe(2);
    expect(alone.output()).toMatch(/launcher started 2 ranks, but MPICH's library sees 1/);
  },
  LIMIT,
);

it(
  "a loss that breaks takes all ranks back to the same checkpoint, or stops all with one message",
  async () => {
    const input = {
      optimiser: { learningRate: 1e38, clipNorm: 0 },
      steps: 50,
      onBadLoss: "rollback" as const,
    };
    const job = mpirun(2, trainArgs("exploded", input));
    expect(await job.ended).toBe(2);
    expect(job.output().match(/back to step \d, batch \d+ is left out/g)).toHaveLength(5);
    expect(job.output().match(/after 5 roll-backs/g)).toHaveLength(1);
  },
  LIMIT,
);

describe("what is wrong is said once, with exit code 2", () => {
  it.each([
    ["batch", { batch: 9 }, /batch 9: 2 ranks cannot share its 9 pictures equally; start 1 rank/],
    ["field", { dropPath: 7 }, /dropPath is 7/],
    ["data", { data: { kind: "folder", folder: "/nowhere" } }, /\/nowhere: it does not exist/],
  ] as [string, Partial<TrainConfigInput>, RegExp][])(
    "%s",
    async (name, input, message) => {
      const job = mpirun(2, trainArgs(`wrong-${name}`, input));
      expect(await job.ended).toBe(2);
      expect(job.output()).toMatch(message);
      expect(job.output().match(/^groupvit:/gm)).toHaveLength(1);
    },
    LIMIT,
  );

  it.each([
    ["Open MPI", { OMPI_COMM_WORLD_SIZE: "2" }, "libopenmpi3 openmpi-bin"],
    ["MPICH", { PMI_SIZE: "2" }, "libmpich12 mpich"],
  ])("a missing library of %s", async (_, env, packages) => {
    const script = at("without-mpi.mjs");
    // As on a machine that has neither name of the library.
    writeFileSync(
      script,
      `import koffi from "koffi";
koffi.load = () => { throw new Error("cannot open shared object file"); };
const { openRanks } = await import(${JSON.stringify(compiled.module("distribute/ranks"))});
await openRanks().catch((error) => console.log(error.name, error.message));
`,
    );
    const inside = join(compiled.folder, "without-mpi.mjs");
    writeFileSync(inside, readFileSync(script));
    const job = startJob(process.execPath, [inside], env);
    await job.ended;
    expect(job.output()).toContain(`apt-get install ${packages}`);
    expect(job.output()).toMatch(/^InputError /);
  });
});

it("one process never looks for MPI", async () => {
  const inside = join(compiled.folder, "alone.mjs");
  writeFileSync(
    inside,
    `import { readFileSync } from "node:fs";
import { train } from ${JSON.stringify(compiled.module("train/train"))};
await train(process.argv[2], { out: process.argv[3], steps: 1 });
const maps = readFileSync("/proc/self/maps", "utf8");
console.log(/koffi|libmpi/.test(maps) ? "loaded" : "not loaded", /onnxruntime/.test(maps));
`,
  );
  const job = startJob(process.execPath, [inside, JSON.stringify(TINY), at("alone")]);
  await job.ended;
  expect(job.output()).toBe("not loaded true\n");
}, 60_000);

describe("a job that is cut short", () => {
  const endless = { steps: 100_000, checkpoint: { everySteps: 3 } };
  const start = async (name: string, options: readonly string[] = []): Promise<Job> => {
    const env = { GROUPVIT_RANK_TIMEOUT: "10" };
    const job = mpirun(3, trainArgs(name, { ...endless, batch: 12 }), { env, options });
    await until(job, () => hasCheckpoint(at(name), 3));
    return job;
  };
  /** With another number of ranks, to the end of a shorter schedule. */
  const resumed = async (name: string, ranks: number): Promise<void> => {
    const before = stepsOf(name).at(-1)!;
    const steps = before + 2;
    const output = await trained(name, ranks, { ...endless, batch: 12, steps });
    expect(output).toContain(`${steps} of ${steps} steps`);
    expect(losses(at(name))).toHaveLength(steps);
  };
  const stepsOf = (name: string) =>
    readdirSync(join(at(name), "checkpoints"))
      .flatMap((file) => /^step-(\d+)\.safetensors$/.exec(file)?.[1] ?? [])
      .map(Number)
      .sort((a, b) => a - b);

  it.concurrent(
    "by a rank that hangs names it, ends, and goes on with fewer ranks",
    async () => {
      const job = await start("hangs");
      process.kill(rankProcesses(job)[2]!, "SIGSTOP");
      expect(await job.ended).toBe(75);
      expect(job.output()).toMatch(
        /rank 2 \(.*, process \d+\) has given no sign of life for 1\d s/,
      );
      await resumed("hangs", 2);
    },
    LIMIT,
  );

  it.concurrent(
    "by rank 0 that hangs, likewise",
    async () => {
      const job = await start("first-hangs");
      process.kill(rankProcesses(job)[0]!, "SIGSTOP");
      expect(await job.ended).toBe(75);
      expect(job.output()).toMatch(
        /rank 0 \(.*, process \d+\) has given no sign of life for 1\d s/,
      );
      await resumed("first-hangs", 1);
    },
    LIMIT,
  );

  it(
    "by a rank that is killed ends at once, and goes on with more ranks",
    async () => {
      const job = await start("killed");
      process.kill(rankProcesses(job)[1]!, "SIGKILL");
      expect(await job.ended).not.toBe(0);
      expect(job.output()).toMatch(/rank 1 .*exited on signal 9/);
      await resumed("killed", 4);
    },
    LIMIT,
  );

  it(
    "by SIGTERM to mpirun writes a checkpoint of the step at hand first",
    async () => {
      const job = await start("terminated", ["--mca", "odls_base_sigkill_timeout", "5"]);
      await until(job, () => losses(at("terminated")).length % 3 !== 0);
      job.child.kill("SIGTERM");
      expect(await job.ended).not.toBe(0);
      const [step] = stepsOf("terminated").reverse();
      expect(job.output()).toContain(`checkpoint of step ${step} written`);
      expect(losses(at("terminated"))).toHaveLength(step!);
      await resumed("terminated", 2);
    },
    LIMIT,
  );
});
