// What needs a process of its own: cold start of the command line, memory of a loaded model and over
// many pictures, the training step.

import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { GroupViT } from "../src/index.js";
import { Random } from "../src/random.js";
import { createSession } from "../src/runtime/session.node.js";
import { gumbelShapes, wholeGraph } from "../src/train/graphs.js";
import { PUBLISHED_ADAMW } from "../src/train/optimiser.js";
import type { StepOptions } from "../src/train/step.js";
import { TrainingStep } from "../src/train/step.js";
import type { BenchContext } from "./context.js";
import { gigaFlop } from "./flops.js";
import { interleave, median, residentMemory } from "./measure.js";
import { blobs, pictureFile, WORDS } from "./pictures.js";
import { PUBLISHED, randomFloats, randomWeights } from "./published.js";
import type { Row } from "./row.js";
import { timeRow } from "./row.js";

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL("..", import.meta.url));
const ENTRY = join(ROOT, "dist/index.js");
const COMMAND = join(ROOT, "dist/cli/main.js");

/** Starts Node on a few lines that print the milliseconds of each step as a JSON list. */
async function stepsOf(code: string, ...args: string[]): Promise<number[]> {
  const { stdout } = await run(process.execPath, ["--input-type=module", "-e", code, ...args]);
  return JSON.parse(stdout) as number[];
}

const PARTS = ["import the package", "load the checkpoint", "encode (first)", "segment (first)"];
const PARTS_CODE = `
  const times = []; let last = performance.now();
  const lap = () => { times.push(performance.now() - last); last = performance.now(); };
  const [entry, folder, picture, words] = process.argv.slice(1);
  const { GroupViT } = await import(entry); lap();
  const model = await GroupViT.load(folder); lap();
  const encoded = await model.encode(picture); lap();
  await encoded.segment(words); lap();
  console.log(JSON.stringify(times));`;

export async function benchColdStart(context: BenchContext): Promise<Row[]> {
  const group = "cold start of the command line";
  if (!existsSync(COMMAND) || !existsSync(ENTRY)) {
    console.error("bench: dist is missing, cold start left out; run npm run build");
    return [];
  }
  const picture = await pictureFile(context.folder);
  const small = join(ROOT, "test/fixtures/tiny");
  const segment = (model: string, words: string) => () =>
    run(process.execPath, [
      ...[COMMAND, "segment", picture, "--labels", words, "--model", model],
      ...["--out", join(context.folder, "out")],
    ]);
  const bundled = join(ROOT, "models/scenes");
  let serial = 0;
  const cases: Record<string, () => unknown> = {
    "node itself": () => run(process.execPath, ["-e", "0"]),
    "groupvit --help": () => run(process.execPath, [COMMAND, "--help"]),
    "segment, full-size model, 3 known words": segment(context.model, "dog, tree, sky"),
    "segment, full-size model, 3 new words": () =>
      segment(context.model, `dog${++serial}, tree${serial}, sky${serial}`)(),
  };
  if (existsSync(bundled)) cases["segment, bundled model"] = segment(bundled, "dog, tree, sky");
  else if (existsSync(small)) cases["segment, tiny model"] = segment(small, "dog, tree, sky");
  const times = await interleave(cases, Math.min(context.rounds, 7), context.budget);
  const rows = Object.entries(times).map(([name, own]) => timeRow(group, name, own));

  const parts: number[][] = PARTS.map(() => []);
  for (let round = 0; round < (context.quick ? 2 : 5); round++) {
    const entry = pathToFileURL(ENTRY).href;
    const steps = await stepsOf(PARTS_CODE, entry, context.model, picture, WORDS);
    steps.forEach((time, i) => {
      parts[i]!.push(time);
    });
  }
  PARTS.forEach((name, i) => {
    rows.push(timeRow(group, `of full size: ${name}`, parts[i]!));
  });
  return rows;
}

const memoryRow = (name: string, megabytes: number, note?: string): Row => ({
  group: "memory, full-size model, batch 1",
  name,
  unit: "MB",
  median: megabytes,
  ...(note ? { note } : {}),
});

/** Resident memory of this process, which does nothing else, step by step. */
export async function benchMemory(context: BenchContext, dtype: "fp32" | "int8"): Promise<Row[]> {
  const rows: Row[] = [];
  const note = (step: string) => {
    const { now, peak } = residentMemory();
    rows.push(memoryRow(`${dtype}, ${step}`, now, `peak so far ${peak.toFixed(0)} MB`));
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
  rows.push(memoryRow(`${dtype}, peak`, residentMemory().peak));
  return rows;
}

/** Pictures of ever new sizes through one model: memory must settle. */
export async function benchManyPictures(context: BenchContext): Promise<Row[]> {
  const count = context.quick ? 100 : 1000;
  const marks = [0.1, 0.25, 0.5, 1].map((share) => share * count);
  const model = await GroupViT.load(context.model);
  const random = new Random(11);
  const rows: Row[] = [];
  let largestEarly = 0;
  let largestLate = 0;
  for (let i = 1; i <= count; i++) {
    const picture = blobs(200 + random.integer(400), 200 + random.integer(400), i);
    await (await model.encode(picture, { shortSide: 224 })).segment(WORDS);
    const { now } = residentMemory();
    if (i <= count / 2) largestEarly = Math.max(largestEarly, now);
    else largestLate = Math.max(largestLate, now);
    if (marks.includes(i)) {
      rows.push({
        group: "memory over many pictures",
        name: `after ${i}`,
        unit: "MB",
        median: now,
      });
    }
  }
  const growth = largestLate - largestEarly;
  rows.push({
    group: "memory over many pictures",
    name: "largest of the second half less largest of the first",
    unit: "MB",
    median: growth,
    note: `bound: never above ${Math.max(largestEarly, largestLate).toFixed(0)} MB`,
  });
  return rows;
}

export async function benchTraining({ rounds, budget }: BenchContext): Promise<Row[]> {
  const batch = 8;
  const tokens = 16;
  const options: StepOptions = {
    batch,
    microBatch: batch,
    multiLabel: 3,
    gumbel: true,
    dropPath: 0,
    assignment: "hard",
    optimiser: { ...PUBLISHED_ADAMW },
  };
  const weights = randomWeights(PUBLISHED);
  weights.set("multi_label_logit_scale", Float32Array.of(PUBLISHED.logitScaleInitValue));
  const state = { weights, first: new Map(), second: new Map(), step: 0 };
  const step = await TrainingStep.create(PUBLISHED, options, state, createSession);
  const { imageSize, patchSize, numChannels } = PUBLISHED.vision;
  const texts = batch * (1 + options.multiLabel);
  const data = {
    patches: randomFloats("train", batch * imageSize ** 2 * numChannels, 2),
    ids: Int32Array.from({ length: texts * tokens }, (_, i) => 1 + ((i * 37) % 40000)),
    tokens,
    ends: new Int32Array(texts).fill(tokens - 1),
  };
  const noise = {
    gumbel: gumbelShapes(PUBLISHED).map(([groups, count]) =>
      randomFloats("gumbel", batch * groups * count),
    ),
  };
  const times = await interleave(
    {
      gradients: () => step.gradients(data, noise),
      update: () => step.update(data, noise, 1e-4),
    },
    Math.min(rounds, 5),
    budget,
  );
  const gflop = gigaFlop(wholeGraph(PUBLISHED, batch, options), { tokens });
  const group = `training step, batch ${batch}, ${imageSize} px, patch ${patchSize}, 3 prompts more`;
  const { now, peak } = residentMemory();
  return [
    timeRow(group, "gradients", times.gradients, { gflop }),
    timeRow(group, "update (gradients and AdamW)", times.update, {
      gflop,
      note: `${((batch / median(times.update)) * 1000).toFixed(1)} pictures/s`,
    }),
    {
      group,
      name: "resident memory",
      unit: "MB",
      median: now,
      note: `peak ${peak.toFixed(0)} MB`,
    },
  ];
}
