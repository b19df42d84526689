// What each part of a training recipe is worth: the same run without it, several seeds, beside the same towers
// untrained. Writes a table of Markdown.
//
//   npm run bench:ablations -- [--config configs/smoke.json] [--steps N] [--seeds 3] [--out docs/ablations.md]

import { mkdtemp, readFile, rm } from "node:fs/promises";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { writeFileAtomic } from "../src/atomic.node.js";
import { loadCheckpoint } from "../src/checkpoint/load.node.js";
import { resolveModel } from "../src/platform.node.js";
import { modelOf } from "../src/train/checkpoint.js";
import { parseTrainConfig, type TrainConfig } from "../src/train/config.js";
import { evaluate, openEvaluation } from "../src/train/evaluation.js";
import { train } from "../src/train/loop.js";
import { startState } from "../src/train/start.js";

/** Background thresholds; of each run the best counts, so that none suffers from the scale of its scores. */
const THRESHOLDS = [0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9];

interface Variant {
  name: string;
  /** The recipe without it; undefined where it does not have it anyway. */
  change(config: TrainConfig): Partial<TrainConfig> | undefined;
  untrained?: true;
}

const VARIANTS: readonly Variant[] = [
  { name: "as configured", change: () => ({}) },
  { name: "untrained", change: () => ({}), untrained: true },
  {
    name: "without grouping: mean of the patches, each patch matched with words",
    change: ({ model }) => ({
      model: {
        ...model,
        vision: {
          ...model.vision,
          depths: [model.vision.depths.reduce((a, b) => a + b, 0)],
          numGroupTokens: [0],
          numOutputGroups: [1],
        },
      },
      groupInformation: undefined,
      promptsMatch: "picture",
      mosaics: [1],
    }),
  },
  {
    name: "soft assignment instead of hard",
    change: ({ assignment }) => (assignment === "hard" ? { assignment: "soft" } : undefined),
  },
  {
    name: "without gumbel noise",
    change: ({ gumbel }) => (gumbel ? { gumbel: false } : undefined),
  },
  {
    name: "without the multi-label loss",
    change: ({ multiLabel }) =>
      multiLabel > 0 ? { multiLabel: 0, promptsMatch: "picture" } : undefined,
  },
  {
    name: "prompts compared with the picture (the paper), not with its segments",
    change: ({ promptsMatch }) =>
      promptsMatch === "segments" ? { promptsMatch: "picture" } : undefined,
  },
  {
    name: "without a bound on group information",
    change: ({ groupInformation }) =>
      groupInformation ? { groupInformation: undefined } : undefined,
  },
  {
    name: "without drawing patches that look alike into one group",
    change: ({ likeness }) => (likeness ? { likeness: undefined } : undefined),
  },
  {
    name: "without mosaics",
    change: ({ mosaics, batch }) =>
      mosaics.some((side) => side > 1)
        ? { mosaics: [1], batch: batch / Math.max(...mosaics) ** 2 }
        : undefined,
  },
];

const { values } = parseArgs({
  options: {
    config: { type: "string", default: "configs/smoke.json" },
    steps: { type: "string" },
    seeds: { type: "string", default: "3" },
    out: { type: "string", default: "docs/ablations.md" },
  },
});

interface Measured {
  miou: number;
  accuracy: number;
  threshold: number;
}

const base = parseTrainConfig(await readFile(values.config, "utf8"));
if (!base.evaluation) throw new Error(`${values.config}: it has no evaluation to compare by`);
const steps = values.steps === undefined ? base.steps : Number(values.steps);
const set = await openEvaluation(base.evaluation, base.model.vision.imageSize);
const folder = await mkdtemp(join(tmpdir(), "groupvit-ablations-"));

async function measure(variant: Variant, change: Partial<TrainConfig>, seed: number) {
  // Drawn in the engine's own thread: the order of samples is the same.
  const config = { ...base, ...change, steps, seed, evaluation: undefined, dataWorkers: 0 };
  const model = variant.untrained
    ? modelOf(config.model, (await startState(config)).weights, 0)
    : await trained(config);
  let best: Measured | undefined;
  for (const threshold of THRESHOLDS) {
    const { miou, accuracy } = await evaluate(model, set, { ...base.evaluation!, threshold });
    if (!best || miou > best.miou) best = { miou, accuracy, threshold };
  }
  return best!;
}

async function trained(config: TrainConfig) {
  const run = await mkdtemp(join(folder, "run-"));
  const { models } = await train({ config, folder: run, mode: "fresh" });
  return loadCheckpoint(await resolveModel(models[0]!));
}

function percent(value: number): string {
  return (100 * value).toFixed(1);
}

const seeds = Array.from({ length: Number(values.seeds) }, (_, i) => base.seed + i);
const rows: string[] = [];
const began = performance.now();
for (const variant of VARIANTS) {
  const change = variant.change(base);
  if (!change) continue;
  const own: Measured[] = [];
  for (const seed of seeds) own.push(await measure(variant, change, seed));
  const list = (pick: (one: Measured) => string) => own.map(pick).join(", ");
  const mean = own.reduce((sum, { miou }) => sum + miou, 0) / own.length;
  const row =
    `| ${variant.name} | ${list(({ miou }) => percent(miou))} | ${percent(mean)} | ` +
    `${list(({ threshold }) => `${threshold}`)} | ${list(({ accuracy }) => percent(accuracy))} |`;
  rows.push(row);
  process.stderr.write(`${row}\n`);
  // After each: a run that is broken off leaves what it has.
  await writeFileAtomic(values.out, report());
}
await rm(folder, { recursive: true });

function report(): string {
  const minutes = Math.round((performance.now() - began) / 60_000);
  return `# Ablations

Written by \`npm run bench:ablations\` on ${new Date().toISOString().slice(0, 10)}: \`${values.config}\`, ${steps} steps, seeds ${seeds.join(", ")}, on
${cpus()[0]?.model.trim()} with ${cpus().length} cores; ${minutes} minutes for all. mIoU and zero-shot accuracy in percent on ${set.scenes.length} pictures that
no run sees. Scores of different recipes differ in scale, so of each run the best of ${THRESHOLDS.length} background thresholds counts.

| recipe | mIoU of each seed | mean | threshold | accuracy |
| --- | --- | ---: | --- | --- |
${rows.join("\n")}
`;
}
