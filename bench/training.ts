// The training step, gradients and optimiser apart: of the published configuration, and of the recipe of
// the bundled model.

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { createSession } from "../src/runtime/session.node.js";
import { parseTrainConfig, type TrainConfig } from "../src/train/config.js";
import { wholeGraph } from "../src/train/graphs.js";
import { stepNoise } from "../src/train/noise.js";
import { startState } from "../src/train/start.js";
import type { StepBatch } from "../src/train/step.js";
import { TrainingStep } from "../src/train/step.js";
import type { BenchContext } from "./context.js";
import { ROOT } from "./dist.js";
import { gigaFlop } from "./flops.js";
import { WORDS } from "./material.js";
import { interleave, median, ratio, residentMemory } from "./measure.js";
import { naiveAdamW } from "./naive.js";
import { randomFloats } from "./published.js";
import type { Row } from "./row.js";
import { memoryRow, NAIVE, timeRow } from "./row.js";
import { roofSession } from "./towers.js";

/** Tokens of the longest caption or prompt of a batch. */
const TOKENS = 16;
/** Learning rate: the numbers do not matter. */
const RATE = 1e-4;

/** Bytes that AdamW moves for a parameter: gradient twice, then weight and both moments there and back. */
const ADAMW_BYTES = 32;
const COPIED = 1 << 24;

/** A recipe of `configs`, with its data where they lie. */
export async function recipe(name: string): Promise<TrainConfig> {
  return parseTrainConfig(await readFile(join(ROOT, "configs", `${name}.json`), "utf8"));
}

/** Any pictures and texts; texts are padded to `length`. */
function anyBatch(config: TrainConfig, length: number): StepBatch {
  const { batch, multiLabel, model } = config;
  const { imageSize, numChannels } = model.vision;
  const texts = batch * (1 + multiLabel);
  const word = (i: number) => WORDS[i % WORDS.length]!;
  const prompts = (i: number) => Array.from({ length: multiLabel }, (_, k) => word(i + k));
  return {
    patches: randomFloats("train", batch * imageSize ** 2 * numChannels, 2),
    ids: Int32Array.from({ length: texts * length }, (_, i) => 1 + ((i * 37) % 40000)),
    tokens: length,
    ends: new Int32Array(texts).fill(TOKENS - 1),
    nouns: Array.from({ length: batch }, (_, i) => ({ all: prompts(i), prompts: prompts(i) })),
  };
}

async function openStep(config: TrainConfig): Promise<TrainingStep> {
  const state = await startState(config);
  // As in a run that is under way; at its start most rows of the word table would be passed over.
  for (const second of state.second.values()) second.fill(1e-8);
  const options = { ...config, microBatch: config.batch, trainable: undefined };
  return TrainingStep.create(config.model, options, state, createSession, {
    threads: config.threads,
  });
}

export async function benchTraining({ rounds, budget }: BenchContext): Promise<Row[]> {
  const config = { ...(await recipe("published-gcc-yfcc")), batch: 8 };
  const step = await openStep(config);
  const { state, parameters } = step;
  const noise = stepNoise(config.model, config, config.batch, config.seed, 0);
  const [batch, padded] = [TOKENS, config.model.text.maxPositionEmbeddings].map((length) =>
    anyBatch(config, length),
  ) as [StepBatch, StepBatch];
  const { grads } = await step.gradients(batch, noise);
  await step.apply(grads, RATE);
  const memory = residentMemory();

  const roof = await roofSession();
  const [from, to] = [new Float32Array(COPIED), new Float32Array(COPIED)];
  let weights = 0;
  for (const grad of grads.values()) weights += grad.length;
  const naiveOptimiser = () => {
    for (const [name, shape] of parameters) {
      const [parameter, first, second] = [state.weights, state.first, state.second].map(
        (map) => map.get(name)!,
      ) as [Float32Array, Float32Array, Float32Array];
      const slot = { name, shape, parameter, grad: grads.get(name)!, first, second };
      naiveAdamW(slot, state.step, RATE, config.optimiser);
    }
  };
  const times = await interleave(
    {
      roof: roof.run,
      copy: () => to.set(from),
      gradients: () => step.gradients(batch, noise),
      optimiser: () => step.apply(grads, RATE),
      naiveGradients: () => step.gradients(padded, noise),
      naiveOptimiser,
    },
    Math.min(rounds, 5),
    budget,
  );
  const { gradients, optimiser, naiveGradients } = times;
  const whole = sum(gradients, optimiser);
  const naive = sum(naiveGradients, times.naiveOptimiser);
  const gflop = gigaFlop(wholeGraph(config.model, config.batch, config), { tokens: TOKENS });
  const group = `training step, published configuration, batch ${config.batch}`;
  // Copying moves eight bytes a number.
  const ofRoof = ((ADAMW_BYTES * weights) / (8 * COPIED)) * ratio(times.copy, optimiser);
  return [
    timeRow(group, "whole step", whole, {
      naive: naive,
      note: perSecond(config.batch, whole),
    }),
    timeRow(group, "gradients", gradients, {
      gflop,
      roof: { times: times.roof, gflop: roof.gflop },
      naive: naiveGradients,
    }),
    timeRow(group, "optimiser (AdamW)", optimiser, {
      ofRoof,
      naive: times.naiveOptimiser,
      note: "its roof is copying memory",
    }),
    timeRow(group, `${NAIVE}: whole step`, naive),
    timeRow(group, `${NAIVE}: gradients, texts padded to 77 tokens`, naiveGradients),
    timeRow(group, `${NAIVE}: optimiser, one pass an operation`, times.naiveOptimiser),
    memoryRow(group, "resident memory", memory.now, `peak ${memory.peak.toFixed(0)} MB`),
  ];
}

export async function benchScenesTraining({ rounds, budget }: BenchContext): Promise<Row[]> {
  const config = await recipe("scenes");
  const step = await openStep(config);
  const noise = stepNoise(config.model, config, config.batch, config.seed, 0);
  const batch = anyBatch(config, TOKENS);
  const { grads } = await step.gradients(batch, noise);
  const roof = await roofSession();
  const times = await interleave(
    {
      roof: roof.run,
      gradients: () => step.gradients(batch, noise),
      optimiser: () => step.apply(grads, RATE),
    },
    Math.min(rounds, 5),
    budget,
  );
  const whole = sum(times.gradients, times.optimiser);
  const gflop = gigaFlop(wholeGraph(config.model, config.batch, config), { tokens: TOKENS });
  const group = `training step, recipe of the bundled model, batch ${config.batch}`;
  const { matrices } = config.optimiser;
  return [
    timeRow(group, "whole step", whole, { note: perSecond(config.batch, whole) }),
    timeRow(group, "gradients", times.gradients, {
      gflop,
      roof: { times: times.roof, gflop: roof.gflop },
    }),
    timeRow(
      group,
      `optimiser (${matrices === "muon" ? "Muon and AdamW" : "AdamW"})`,
      times.optimiser,
    ),
  ];
}

/** Times of two parts, round by round. */
function sum(a: readonly number[], b: readonly number[]): number[] {
  return a.map((time, round) => time + b[round]!);
}

function perSecond(batch: number, times: readonly number[]): string {
  return `${((batch / median(times)) * 1000).toFixed(1)} samples/s`;
}
