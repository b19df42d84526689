import { describe, expect, it } from "vitest";
import { interpret } from "../../test/support/interpreter.js";
import { floats, readJson, readTensors } from "../../test/support/segment.js";
import { authorsNames } from "../checkpoint/names.js";
import { isBuffer, parameterShapes } from "../checkpoint/shapes.js";
import * as g from "../graph/build.js";
import { gradient } from "../graph/gradient.js";
import { toOnnx } from "../graph/onnx.js";
import { reachable, type Tensor } from "../graph/tensor.js";
import type { GroupViTConfig } from "../model/config.js";
import { clampedScale, contrastiveLoss, ownTargets, similarities } from "../model/losses.js";
import { windowWeights } from "../model/positions.js";
import { Random } from "../random.js";
import type { Value } from "../runtime/session.js";
import { createSession } from "../runtime/session.node.js";
import { dropPathBranches, dropPathRates, encodeGraph, gumbelShapes } from "./graphs.js";
import { initialWeights } from "./initialise.js";
import type { AdamWOptions } from "./optimiser.js";
import { decays, PUBLISHED_ADAMW } from "./optimiser.js";
import type { StepBatch, StepNoise, StepOptions, TrainingState } from "./step.js";
import { TrainingStep } from "./step.js";

const config: GroupViTConfig = {
  vision: {
    hiddenSize: 16,
    intermediateSize: 32,
    depths: [1, 1, 1],
    numGroupTokens: [6, 3, 0],
    numOutputGroups: [6, 3, 3],
    numAttentionHeads: 2,
    imageSize: 16,
    patchSize: 4,
    numChannels: 3,
    layerNormEps: 1e-5,
    assignEps: 1,
    assignMlpRatio: [0.5, 4],
    hiddenAct: "gelu",
  },
  text: {
    vocabSize: 40,
    hiddenSize: 12,
    intermediateSize: 24,
    numHiddenLayers: 1,
    numAttentionHeads: 2,
    maxPositionEmbeddings: 8,
    layerNormEps: 1e-5,
    hiddenAct: "quick_gelu",
    padTokenId: 1,
    bosTokenId: 0,
    eosTokenId: 39,
  },
  projectionDim: 8,
  projectionIntermediateDim: 16,
  logitScaleInitValue: 2.6592,
};

const MULTI_LABEL = 2;
const TOKENS = 6;

function shapesOf(of: GroupViTConfig): Map<string, readonly number[]> {
  const shapes = new Map<string, readonly number[]>(
    [...parameterShapes(of)].filter(
      ([name]) => !isBuffer(name) || /running_(mean|var)$/.test(name),
    ),
  );
  shapes.set("multi_label_logit_scale", []);
  return shapes;
}

function state(): TrainingState {
  const weights = initialWeights(config, shapesOf(config), 5);
  const random = new Random(6);
  for (const [name, data] of weights) {
    // Away from the start, so that every gradient counts.
    if (!/running_var|logit_scale/.test(name)) {
      weights.set(
        name,
        data.map((x) => x + 0.2 * random.normal()),
      );
    }
  }
  return { weights, first: new Map(), second: new Map(), step: 0 };
}

function makeBatch(
  batch: number,
  { mosaic = 1, positionWindow = 1 }: Partial<StepOptions> = {},
): { data: StepBatch; noise: StepNoise } {
  const random = new Random(batch);
  const pictures = batch / mosaic ** 2;
  const rows = batch * (1 + MULTI_LABEL);
  const normals = (length: number) => Float32Array.from({ length }, () => random.normal());
  const rates = dropPathRates(config, 0.3);
  const dropPath = new Float32Array(rates.length * pictures);
  rates.forEach((rate, branch) => {
    for (let i = 0; i < pictures; i++) {
      dropPath[branch * pictures + i] = random.uniform() < rate ? 0 : 1 / (1 - rate);
    }
  });
  return {
    data: {
      patches: normals(pictures * 16 * 48),
      ids: Int32Array.from({ length: rows * TOKENS }, () => random.integer(40)),
      tokens: TOKENS,
      ends: Int32Array.from({ length: rows }, () => random.integer(TOKENS)),
    },
    noise: {
      gumbel: gumbelShapes(config).map(([groups, tokens]) =>
        Float32Array.from({ length: pictures * groups * tokens }, () => random.gumbel()),
      ),
      dropPath,
      ...(positionWindow < 1
        ? { positionWeights: windowWeights(4, { left: 0.1, top: 0.3, side: 0.6 }) }
        : {}),
    },
  };
}

/** Gradients that are zero in theory (test/fixtures/tiny-train/report.json lists them). */
const ZERO_BUT_ROUNDING =
  /(k_proj|assign\.q_proj|mlp_inter\.fc2|group_projector\.1\.fc2|final_layer_norm|vision_model\.layernorm|projection\.0)\.bias$/;

const options = (batch: number, more: Partial<StepOptions> = {}): StepOptions => ({
  batch,
  microBatch: batch,
  multiLabel: MULTI_LABEL,
  gumbel: true,
  dropPath: 0.3,
  assignment: "hard",
  optimiser: PUBLISHED_ADAMW,
  ...more,
});

async function withStep<T>(
  stepOptions: StepOptions,
  from: TrainingState,
  work: (step: TrainingStep) => Promise<T>,
): Promise<T> {
  const step = await TrainingStep.create(config, stepOptions, from, createSession, { threads: 1 });
  try {
    return await work(step);
  } finally {
    await step.release();
  }
}

async function runGraph(
  outputs: Record<string, Tensor>,
  weights: ReadonlyMap<string, Float32Array>,
  feeds: Record<string, Value>,
): Promise<Record<string, Value>> {
  const all = { ...feeds };
  for (const { operation, attributes } of reachable(Object.values(outputs))) {
    if (operation !== "parameter") continue;
    const { name, shape } = attributes as { name: string; shape: number[] };
    all[name] = { shape, data: weights.get(name)! };
  }
  const session = await createSession(toOnnx(outputs), { threads: 1 });
  try {
    return await session.run(all);
  } finally {
    await session.release();
  }
}

/** Largest difference over the largest value, or over `floor` where the values are nearly zero. */
function relativeError(actual: Float32Array, expected: Float32Array, floor = 1e-3): number {
  let error = 0;
  let scale = floor;
  for (let i = 0; i < expected.length; i++) {
    error = Math.max(error, Math.abs(actual[i]! - expected[i]!));
    scale = Math.max(scale, Math.abs(expected[i]!));
  }
  return error / scale;
}

describe("the training step", () => {
  it.each<Partial<StepOptions>>([
    { assignment: "hard" },
    { assignment: "soft" },
    { assignment: "hard", groupInformation: { nats: 3, weight: 2 }, likeness: { weight: 2 } },
    { assignment: "soft", promptsMatch: "segments" },
    { assignment: "soft", promptsMatch: "segments", mosaic: 2, positionWindow: 0.5 },
  ])(
    "gives the same however the batch of 64 is cut (%j)",
    async (kind) => {
      const { data, noise } = makeBatch(64, kind);
      const whole = state();
      const expected = await withStep(options(64, kind), whole, (step) =>
        step.gradients(data, noise),
      );
      for (const group of expected.metrics.usage) {
        expect(group.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 5);
      }
      for (const microBatch of kind.assignment === "hard" ? [1, 7, 16] : [kind.mosaic ? 16 : 7]) {
        const parts = state();
        const actual = await withStep(options(64, { ...kind, microBatch }), parts, (step) =>
          step.gradients(data, noise),
        );
        expect(Math.abs(actual.metrics.loss / expected.metrics.loss - 1)).toBeLessThan(1e-5);
        for (const part of ["groupInformation", "likeness"] as const) {
          const field = part === "likeness" ? "likenessCut" : part;
          const [told, wanted] = [actual, expected].map(({ metrics }) => metrics[field]);
          expect(told === undefined).toBe(kind[part] === undefined);
          expect(Math.abs((told ?? 0) - (wanted ?? 0))).toBeLessThan(1e-5);
        }
        expect([...actual.grads.keys()].sort()).toEqual([...expected.grads.keys()].sort());
        // What is zero but for rounding is measured against the largest of all.
        const largest = Math.max(
          ...[...expected.grads.values()].map((grad) =>
            grad.reduce((a, x) => Math.max(a, Math.abs(x)), 0),
          ),
        );
        for (const [name, grad] of expected.grads) {
          // A bias' gradient is a sum over all tokens that nearly cancels: what rounding left of its terms, which differs from
          // processor to processor, stays. It is measured against a twentieth of the largest at least.
          // Those of queries and keys pass a soft-max, whose gradient is a difference of terms that are nearly equal where attention
          // is nearly even, as among the three last segments here: rounding is that of the terms. Those of the assignments sum such
          // terms of up to four losses.
          const attends = /assign\.[qk]_proj\.weight$/.test(name) ? largest / 25 : largest / 50;
          const cancels = /[qk]_proj\.weight$/.test(name) ? attends : largest / 100;
          const least = name.endsWith("bias") ? largest / 20 : cancels;
          const floor = ZERO_BUT_ROUNDING.test(name) ? largest : least;
          const error = relativeError(actual.grads.get(name)!, grad, floor);
          expect(error, name).toBeLessThan(1e-5);
        }
        for (const [name, value] of whole.weights) {
          expect(relativeError(parts.weights.get(name)!, value), name).toBeLessThan(1e-5);
        }
        actual.metrics.usage.forEach((group, i) => {
          expect(relativeError(group, expected.metrics.usage[i]!)).toBeLessThan(1e-5);
        });
      }
    },
    60_000,
  );

  it("moves running statistics by a tenth towards mean and unbiased variance", async () => {
    const { data, noise } = makeBatch(4);
    const before = state();
    const after = state();
    const results = await withStep(options(4), after, async (step) => {
      await step.gradients(data, noise);
      return after.weights;
    });
    // Once more from statistics of 0 and 1: running = (1 - 0.1) * old + 0.1 * batch in both runs.
    const zero = state();
    for (const [name, value] of zero.weights) {
      if (/running/.test(name)) zero.weights.set(name, new Float32Array(value.length).fill(2));
    }
    await withStep(options(4), zero, (step) => step.gradients(data, noise));
    for (const [name, value] of results) {
      if (!/running/.test(name)) continue;
      value.forEach((x, i) => {
        const batch = (x - 0.9 * before.weights.get(name)![i]!) / 0.1;
        expect(zero.weights.get(name)![i]!).toBeCloseTo(0.9 * 2 + 0.1 * batch, 5);
      });
    }
  });

  it("leaves the visual projector's statistics alone where they are another step's", async () => {
    const { data, noise } = makeBatch(4);
    const [before, after] = [state(), state()];
    const still = { ...options(4), visualStatistics: false };
    await withStep(still, after, (step) => step.gradients(data, noise));
    for (const [name, value] of after.weights) {
      if (!/running/.test(name)) continue;
      const same = value.every((x, i) => x === before.weights.get(name)![i]);
      expect(same, name).toBe(name.startsWith("visual"));
    }
  });

  it("updates as AdamW does in float64, clipped and decayed", async () => {
    const names = ["a.weight", "b.bias", "logit_scale", "scale"];
    const { beta1, beta2, eps, weightDecay, clipNorm } = PUBLISHED_ADAMW;
    const { data, noise } = makeBatch(3);
    const current = state();
    const expected = new Map([...current.weights].map(([k, v]) => [k, Float64Array.from(v)]));
    const first = new Map<string, Float64Array>();
    const second = new Map<string, Float64Array>();
    expect(names.map((name, i) => decays(name, [[2, 2], [2], [], [2]][i]!))).toEqual([
      true,
      false,
      true,
      false,
    ]);
    await withStep(options(3), current, async (step) => {
      for (let t = 1; t <= 4; t++) {
        const rate = 1e-2 / t;
        const { grads } = await step.gradients(data, noise);
        // One step without, three with clipping.
        if (t === 1)
          for (const grad of grads.values()) for (let i = 0; i < grad.length; i++) grad[i]! *= 1e-3;
        let squares = 0;
        for (const grad of grads.values()) for (const x of grad) squares += x * x;
        const norm = Math.sqrt(squares);
        if (t > 1) expect(norm).toBeGreaterThan(clipNorm / 100);
        const clip = Math.min(1, clipNorm / (norm + 1e-6));
        const reported = await step.apply(grads, rate);
        expect(reported / norm).toBeCloseTo(1, 5);
        for (const [name, grad] of grads) {
          const weight = expected.get(name)!;
          const m = first.get(name) ?? new Float64Array(grad.length);
          const v = second.get(name) ?? new Float64Array(grad.length);
          first.set(name, m);
          second.set(name, v);
          const shape = step.parameters.get(name)!;
          const decay = decays(name, shape) ? 1 - rate * weightDecay : 1;
          for (let i = 0; i < grad.length; i++) {
            const own = grad[i]! * clip;
            m[i] = beta1 * m[i]! + (1 - beta1) * own;
            v[i] = beta2 * v[i]! + (1 - beta2) * own * own;
            const deviation = Math.sqrt(v[i]! / (1 - beta2 ** t)) + eps;
            weight[i] = weight[i]! * decay - (rate * (m[i]! / (1 - beta1 ** t))) / deviation;
            expect(Math.abs(current.weights.get(name)![i]! - weight[i]!), name).toBeLessThan(2e-6);
          }
        }
      }
    });
    expect(current.step).toBe(4);
  });

  it.each([0, 0.01])("clips gradients at their global norm (clip %s)", async (clipNorm) => {
    const { data, noise } = makeBatch(3);
    const optimiser: AdamWOptions = { ...PUBLISHED_ADAMW, clipNorm };
    const current = state();
    await withStep(options(3, { optimiser }), current, async (step) => {
      const { grads } = await step.gradients(data, noise);
      const norm = await step.apply(grads, 1e-3);
      expect(norm).toBeGreaterThan(0.01);
      const clip = clipNorm === 0 ? 1 : clipNorm / (norm + 1e-6);
      for (const [name, grad] of grads) {
        const moments = grad.map((x) => 0.1 * clip * x);
        expect(relativeError(current.first.get(name)!, moments), name).toBeLessThan(1e-5);
      }
    });
  });

  it("shares targets among pictures with the same nouns, whatever their order", async () => {
    const { data, noise } = makeBatch(3);
    const nouns = (...all: string[]) => ({ all, prompts: [all[0]!, all.at(-1)!] });
    const losses = async (given: StepBatch["nouns"], nounTargets: "own" | "shared") => {
      const { metrics } = await withStep(options(3, { nounTargets }), state(), (step) =>
        step.gradients({ ...data, nouns: given }, noise),
      );
      return metrics;
    };
    const apart = [nouns("cat", "tree"), nouns("dog", "sky"), nouns("cow", "hat")];
    const own = await losses(undefined, "own");
    // Without common nouns the shared targets are the paper's.
    expect((await losses(apart, "shared")).loss).toBeCloseTo(own.loss, 5);
    const alike = [nouns("cat", "tree"), nouns("dog", "sky"), nouns("tree", "cat")];
    const shared = await losses(alike, "shared");
    expect(shared.contrastiveLoss).not.toBeCloseTo(own.contrastiveLoss, 3);
    expect(shared.multiLabelLoss).not.toBeCloseTo(own.multiLabelLoss!, 3);
    // One noun in common is not the same caption.
    const partly = [nouns("cat", "tree"), nouns("dog", "sky"), nouns("tree", "hat")];
    expect((await losses(partly, "shared")).contrastiveLoss).toBeCloseTo(own.contrastiveLoss, 5);
  });

  it("leaves frozen parameters as they are", async () => {
    const { data, noise } = makeBatch(3);
    const [before, after] = [state(), state()];
    const trainable = (name: string) => name.startsWith("vision_model.");
    await withStep(options(3, { trainable }), after, async (step) => {
      expect([...step.parameters.keys()].every(trainable)).toBe(true);
      await step.update(data, noise, 0.01);
    });
    for (const [name, value] of before.weights) {
      if (isBuffer(name)) continue;
      const moved = value.some((x, i) => x !== after.weights.get(name)![i]!);
      expect(moved, name).toBe(trainable(name));
    }
  });

  it("sees the cells of a mosaic as one picture, each by what the groups hold of it", async () => {
    const { data } = makeBatch(8, { mosaic: 2 });
    const common = { gumbel: false, dropPath: 0, assignment: "hard", nounTargets: "own" } as const;
    const cells = options(8, { ...common, mosaic: 2 });
    const pictures = options(2, { ...common, promptsMatch: "segments" });
    const width = config.vision.hiddenSize + 1;
    const { weights } = state();
    const features = async (chosen: StepOptions, samples: number, patches: Float32Array) => {
      const ran = await runGraph(encodeGraph(config, "image", samples, chosen), weights, {
        patches: { shape: [samples, patches.length / samples / 48, 48], data: patches },
      });
      return ran.features!.data as Float32Array;
    };
    const inCells = await features(cells, 8, data.patches);
    // The same, pixel by pixel: each picture of 16 x 16 consists of four samples of 8 x 8.
    const byRows = new Float32Array(2 * 16 * 48);
    const at = (grid: number, y: number, x: number, c: number) =>
      ((grid * (y >> 2) + (x >> 2)) * 16 + 4 * (y & 3) + (x & 3)) * 3 + c;
    for (let i = 0; i < byRows.length; i++) {
      const [picture, y, x, c] = [
        Math.floor(i / 768),
        (i >> 4) % 16,
        i % 16,
        Math.floor(i / 256) % 3,
      ];
      const sample = 4 * picture + 2 * (y >> 3) + (x >> 3);
      byRows[picture * 768 + at(4, y, x, c)] = data.patches[sample * 192 + at(2, y & 7, x & 7, c)]!;
    }
    const inPictures = await features(pictures, 2, byRows);
    const segments = 3;
    // A cell's four patches can only be shared out in these ways, whose weights are evened.
    const ways: number[][] = [];
    for (let one = 0; one <= 4; one++) {
      for (let two = 0; two <= 4 - one; two++) {
        const weights = [one, two, 4 - one - two].map((count) => count / (count + 0.8));
        const sum = weights.reduce((a, b) => a + b);
        ways.push(weights.map((weight) => weight / sum));
      }
    }
    for (let picture = 0; picture < 2; picture++) {
      for (let cell = 0; cell < 4; cell++) {
        const shares: number[] = [];
        for (let segment = 0; segment < segments; segment++) {
          const at = ((4 * picture + cell) * segments + segment) * width;
          const own = inCells.subarray(at, at + width - 1);
          const of = (picture * segments + segment) * width;
          expect(relativeError(own, inPictures.subarray(of, of + width - 1))).toBeLessThan(1e-5);
          shares.push(inCells[at + width - 1]!);
        }
        const distance = (way: number[]) =>
          Math.max(...way.map((weight, i) => Math.abs(weight - shares[i]!)));
        expect(Math.min(...ways.map(distance))).toBeLessThan(1e-6);
      }
    }
  });

  it("says which weight or noise is missing", async () => {
    const broken = state();
    broken.weights.delete("visual_projection.3.weight");
    await expect(withStep(options(2), broken, async () => {})).rejects.toThrow(
      'training needs weight "visual_projection.3.weight" of 128 numbers',
    );
    const { data, noise } = makeBatch(2);
    await withStep(options(2), state(), async (step) => {
      await expect(step.gradients(data, { dropPath: noise.dropPath })).rejects.toThrow(
        "gumbel noise for grouping block 0",
      );
      await expect(step.gradients(data, { gumbel: noise.gumbel })).rejects.toThrow("drop-path");
    });
    await withStep(options(2, { positionWindow: 0.5 }), state(), async (step) => {
      await expect(step.gradients(data, noise)).rejects.toThrow("position weights");
    });
  });
});

describe("drop path", () => {
  it("grows linearly over the blocks, two branches a block", () => {
    expect(dropPathBranches(config)).toBe(6);
    expect(dropPathRates(config, 0.3)).toEqual([0, 0, 0.15, 0.15, 0.3, 0.3]);
    const single = { ...config, vision: { ...config.vision, depths: [1] } };
    expect(dropPathRates(single, 0.3)).toEqual([0, 0]);
  });
});

describe("weight decay", () => {
  it("falls on what the authors' optimiser decays", () => {
    const tiny = readJson<{ no_decay_nvlabs_names: string[]; decay_nvlabs_names: string[] }>(
      "tiny-train/report.json",
    );
    const model = readTensors("tiny/model.safetensors");
    expect(floats(model, "logit_scale").length).toBe(1);
    const reference: GroupViTConfig = {
      ...config,
      vision: { ...config.vision, depths: [2, 1, 1], numGroupTokens: [16, 4, 0] },
      text: { ...config.text, numHiddenLayers: 2 },
    };
    const translated = authorsNames(reference);
    const check = (authors: string, expected: boolean) => {
      const names = authors === "multi_label_logit_scale" ? [authors] : translated.get(authors);
      expect(names, authors).toBeDefined();
      for (const name of names!) {
        const shape = name === "multi_label_logit_scale" ? [] : model.get(name)!.shape;
        expect(decays(name, shape), name).toBe(expected);
      }
    };
    for (const name of tiny.no_decay_nvlabs_names) check(name, false);
    for (const name of tiny.decay_nvlabs_names) check(name, true);
  });
});

describe("losses", () => {
  it.each([
    [1, 1],
    [4, 1],
    [3, 2],
    [5, 3],
  ])("of %s images with %s texts each equal the formula", (n, k) => {
    const dim = 6;
    const random = new Random(n * 10 + k);
    const unit = (rows: number) => {
      const data = Float64Array.from({ length: rows * dim }, () => random.normal());
      for (let row = 0; row < rows; row++) {
        const own = data.subarray(row * dim, (row + 1) * dim);
        const length = Math.hypot(...own);
        for (let i = 0; i < dim; i++) own[i]! /= length;
      }
      return data;
    };
    const [images, texts, scale] = [unit(n), unit(n * k), 7.5];
    const logit = (i: number, j: number) => {
      let dot = 0;
      for (let d = 0; d < dim; d++) dot += images[i * dim + d]! * texts[j * dim + d]!;
      return dot * scale;
    };
    const logSum = (values: number[]) => Math.log(values.reduce((a, x) => a + Math.exp(x), 0));
    const range = (length: number) => Array.from({ length }, (_, i) => i);
    let toText = 0;
    let toImage = 0;
    for (const i of range(n)) {
      const all = logSum(range(n * k).map((j) => logit(i, j)));
      for (const own of range(k)) toText += (all - logit(i, i * k + own)) / (n * k);
    }
    for (const j of range(n * k)) {
      const own = Math.floor(j / k);
      toImage += (logSum(range(n).map((i) => logit(i, j))) - logit(own, j)) / (n * k);
    }
    const logits = similarities(
      g.input("images", "f32", [n, dim]),
      g.input("texts", "f32", [n * k, dim]),
      g.input("scale", "f32", []),
    );
    const loss = contrastiveLoss(logits, ownTargets(n, k));
    const [value] = interpret([loss], {
      images: { shape: [n, dim], data: images },
      texts: { shape: [n * k, dim], data: texts },
      scale: { shape: [], data: [scale] },
    });
    expect(value!.data[0]!).toBeCloseTo((toText + toImage) / 2, 6);
  });

  it.each([
    [Math.log(1 / 0.07), 1 / 0.07, 1 / 0.07],
    [Math.log(100) - 1e-3, 100 * Math.exp(-1e-3), 100 * Math.exp(-1e-3)],
    [Math.log(100) + 1e-3, 100, 0],
    [50, 100, 0],
  ])("clamp the scale e^%s to %s with slope %s", (parameter, scale, slope) => {
    const p = g.input("p", "f32", []);
    const y = clampedScale(p);
    const [value, grad] = interpret([y, ...gradient(y, [p])], {
      p: { shape: [], data: [parameter] },
    });
    expect(value!.data[0]!).toBeCloseTo(scale, 6);
    expect(grad!.data[0]!).toBeCloseTo(slope, 6);
  });
});

describe("initial weights", () => {
  const large: GroupViTConfig = {
    ...config,
    vision: { ...config.vision, hiddenSize: 64, intermediateSize: 256 },
    text: {
      ...config.text,
      hiddenSize: 64,
      intermediateSize: 256,
      numHiddenLayers: 3,
      vocabSize: 300,
    },
  };
  const shapes = shapesOf(large);
  const weights = initialWeights(large, shapes, 3);

  it("are the same for one seed, whatever the order of names, and differ between seeds", () => {
    const reversed = initialWeights(large, new Map([...shapes].reverse()), 3);
    const other = initialWeights(large, shapes, 4);
    for (const [name, data] of weights) {
      expect(reversed.get(name), name).toEqual(data);
      if (shapes.get(name)!.length > 1) expect(other.get(name), name).not.toEqual(data);
    }
  });

  it.each<[RegExp, number]>([
    [/^vision_model\.encoder\.stages\.0\.layers\.0\.mlp\.fc1\.weight$/, 0.02],
    [/^text_model\.embeddings\.token_embedding\.weight$/, 0.02],
    [/^text_model\.encoder\.layers\.\d\.self_attn\.[qkv]_proj\.weight$/, 64 ** -0.5],
    [/^text_model\.encoder\.layers\.\d\.self_attn\.out_proj\.weight$/, 64 ** -0.5 * 6 ** -0.5],
    [/^text_model\.encoder\.layers\.\d\.mlp\.fc1\.weight$/, 128 ** -0.5],
    [/^text_model\.encoder\.layers\.\d\.mlp\.fc2\.weight$/, 64 ** -0.5 * 6 ** -0.5],
  ])("%s has deviation %s, cut at two", (pattern, deviation) => {
    const chosen = [...weights].filter(([name]) => pattern.test(name));
    expect(chosen.length).toBeGreaterThan(0);
    for (const [name, data] of chosen) {
      let squares = 0;
      let largest = 0;
      for (const x of data) {
        squares += x * x;
        largest = Math.max(largest, Math.abs(x));
      }
      // A normal distribution cut at two deviations keeps 0.8796 of its deviation.
      const ratio = Math.sqrt(squares / data.length) / (0.8796 * deviation);
      expect(Math.abs(ratio - 1), name).toBeLessThan(0.05);
      expect(largest, name).toBeLessThanOrEqual(2 * deviation * 1.000001);
    }
  });

  it("start positions as waves if asked: neighbours alike, far patches not", () => {
    const name = "vision_model.embeddings.position_embeddings";
    const waves = initialWeights(large, shapes, 3, "structured");
    for (const [other, data] of weights) {
      if (other === name || /assign\.[qk]_proj\.weight/.test(other)) continue;
      expect(waves.get(other), other).toEqual(data);
    }
    const row = (patch: number) => waves.get(name)!.subarray(patch * 64, (patch + 1) * 64);
    const cosine = (a: number, b: number) => {
      const dot = row(a).reduce((sum, x, i) => sum + x * row(b)[i]!, 0);
      return dot / (Math.hypot(...row(a)) * Math.hypot(...row(b)));
    };
    // A grid of 4 x 4: right, below, diagonal, far.
    expect(cosine(5, 6)).toBeCloseTo(cosine(5, 9), 6);
    expect(cosine(5, 6)).toBeGreaterThan(cosine(5, 10));
    expect(cosine(5, 10)).toBeGreaterThan(cosine(0, 15));
  });

  it("start norms at one, biases at zero, scales at 1 / 0.07", () => {
    for (const [name, data] of weights) {
      if (name.endsWith("logit_scale")) expect(data[0]!).toBeCloseTo(Math.log(1 / 0.07), 6);
      else if (/bias$|running_mean$/.test(name)) expect(data.every((x) => x === 0)).toBe(true);
      else if (shapes.get(name)!.length === 1) expect(data.every((x) => x === 1)).toBe(true);
    }
  });
});
