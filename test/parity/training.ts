// Kind `tiny-train`: losses, gradients, and five steps of AdamW from the weights of a model's fixture.

import { fromFloat32 } from "../../src/checkpoint/dtypes.js";
import { authorsNames } from "../../src/checkpoint/names.js";
import { isBuffer, MULTI_LABEL_LOGIT_SCALE, parameterShapes } from "../../src/checkpoint/shapes.js";
import type { TensorMap } from "../../src/checkpoint/tensors.js";
import { patchesFromPixels } from "../../src/input/normalize.js";
import { endOfText } from "../../src/runtime/engine.js";
import { createSession } from "../../src/runtime/session.node.js";
import { decays, PUBLISHED_ADAMW } from "../../src/train/optimiser.js";
import {
  type StepBatch,
  type StepMetrics,
  type TrainingState,
  TrainingStep,
} from "../../src/train/step.js";
import { type Fixture, isInteger, type Json, numbers, tensor, toleranceRule } from "./fixture.js";
import { argMaxOver } from "./model.js";
import { Report, show } from "./report.js";
import { type Pixels, rowOf, Towers, type Values } from "./towers.js";
import { floatWeights, loadWeights, modelFixture, type Weights } from "./weights.js";

/** Difference of the two best assignment logits from which a hard assignment counts as decided. */
const DECIDED = 0.01;

/** Largest relative difference that rounding makes between single and double precision. */
const PLAUSIBLE_SPREAD = 3e-4;

interface Losses {
  loss?: number;
  multi_label_loss?: number;
  total?: number;
  grad_norm?: number;
}

interface GradientReport {
  losses_f32?: Losses;
  theoretically_zero_grad_params?: string[];
}

interface FinalParameter {
  first4?: number[];
  l2?: number;
  f32_vs_f64_max?: number;
}

interface TrajectoryReport {
  clip_grad: number;
  steps_f32: (Losses & { step: number | string })[];
  steps_f64?: Losses[];
  final_params?: Record<string, FinalParameter>;
}

export async function runTraining(fixture: Fixture, report: Report): Promise<void> {
  const recorded = fixture.json("report.json") ?? {};
  const found = modelFixture(fixture, namesIn(recorded), ["tiny"]);
  if (!found) throw new Error("no folder holds the model: a sibling called tiny is needed");
  const weights = await loadWeights(found);
  report.note(`model: weights of ${found.name}, by ${found.path("config.json")}`);
  const trainer = new Trainer(fixture, weights, {
    ...fixture.manifest.training,
    ...(recorded.training as Json | undefined),
  });

  for (const variant of ["hard", "gumbel"] as const) {
    const entry = recorded[variant] as GradientReport | undefined;
    const grads = fixture.tensors(`grads_${variant}`);
    if (!entry && grads.size === 0) {
      report.note(`${variant}: nothing recorded`);
      continue;
    }
    await report.attempt(variant, () =>
      checkGradients(trainer, variant, entry ?? {}, grads, report),
    );
  }
  const zero = new Set(
    ["hard", "gumbel"].flatMap(
      (key) => (recorded[key] as GradientReport | undefined)?.theoretically_zero_grad_params ?? [],
    ),
  );
  for (const [key, entry] of Object.entries(recorded)) {
    const clip = /^adamw_(.+)$/.exec(key)?.[1];
    if (clip === undefined) continue;
    await report.attempt(key, () =>
      checkTrajectory(trainer, clip, entry as TrajectoryReport, zero, report),
    );
  }
  checkDecay(recorded, weights, report);
}

/** Folders that a report's `weights` or `model` names. */
function namesIn(recorded: Json): string[] {
  return [recorded.weights, recorded.model].flatMap((value) =>
    typeof value === "string" ? [...value.matchAll(/([\w-]+)\//g)].map((match) => match[1]!) : [],
  );
}

class Trainer {
  readonly batch: StepBatch;
  private readonly pixels: Pixels;
  readonly noise: Float32Array[];
  readonly learningRate: number;
  readonly steps: number;
  private readonly pictures: number;
  private readonly multiLabel: number;

  constructor(
    readonly fixture: Fixture,
    readonly weights: Weights,
    private readonly settings: Json,
  ) {
    const inputs = fixture.tensors("inputs");
    const image = tensor(inputs, "image");
    const text = tensor(inputs, "text");
    this.pixels = {
      data: Float32Array.from(numbers(image)),
      shape: image.shape as Pixels["shape"],
    };
    const [pictures] = this.pixels.shape;
    const tokens = text.shape[text.shape.length - 1]!;
    const ids = Int32Array.from(numbers(text));
    this.pictures = pictures;
    this.multiLabel = ids.length / tokens / pictures - 1;
    this.learningRate = this.number("lr", 1e-3);
    this.steps = this.number("steps", 5);
    this.batch = {
      patches: patchesFromPixels(
        this.pixels.data,
        this.pixels.shape,
        weights.config.vision.patchSize,
      ).patches,
      ids,
      tokens,
      ends: Int32Array.from({ length: ids.length / tokens }, (_, row) =>
        endOfText(rowOf(ids, row, tokens)),
      ),
    };
    const stage = (name: string) => Number(/(\d+)$/.exec(name)?.[1] ?? 0);
    this.noise = [...inputs.keys()]
      .filter((name) => name.startsWith("gumbel_noise"))
      .sort((a, b) => stage(a) - stage(b))
      .map((name) => Float32Array.from(numbers(tensor(inputs, name))));
  }

  start(): TrainingState {
    const weights = floatWeights(this.weights);
    if (this.multiLabel > 0) weights.set(MULTI_LABEL_LOGIT_SCALE, this.multiLabelScale());
    return { weights, first: new Map(), second: new Map(), step: 0 };
  }

  create(state: TrainingState, gumbel: boolean, clipNorm: number): Promise<TrainingStep> {
    const [beta1, beta2] = (this.settings.betas as [number, number] | undefined) ?? [0.9, 0.999];
    return TrainingStep.create(
      this.weights.config,
      {
        batch: this.pictures,
        microBatch: this.pictures,
        multiLabel: this.multiLabel,
        gumbel,
        dropPath: 0,
        assignment: "hard",
        optimiser: {
          beta1,
          beta2,
          eps: this.number("eps", PUBLISHED_ADAMW.eps),
          weightDecay: this.number("weight_decay", PUBLISHED_ADAMW.weightDecay),
          clipNorm,
        },
      },
      state,
      createSession,
    );
  }

  /** Hard assignments of the start weights, without noise, per grouping block. */
  async hardIndices(): Promise<Int32Array[]> {
    const values = await this.assignments(floatWeights(this.weights));
    return Object.keys(values)
      .filter((name) => /^group\d+\.hard$/.test(name))
      .sort((a, b) => Number.parseInt(a.slice(5), 10) - Number.parseInt(b.slice(5), 10))
      .map((name) => Int32Array.from(argMaxOver(values[name]!, 1).data));
  }

  /** The smallest difference between the two best logits of any assignment. */
  async smallestMargin(weights: ReadonlyMap<string, Float32Array>): Promise<number> {
    let smallest = Number.POSITIVE_INFINITY;
    for (const [name, { shape, data }] of Object.entries(await this.assignments(weights))) {
      if (!/^group\d+\.logits$/.test(name)) continue;
      const [batch, groups, tokens] = shape as [number, number, number];
      for (let i = 0; i < batch * tokens; i++) {
        const start = Math.floor(i / tokens) * groups * tokens + (i % tokens);
        let [best, second] = [Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY];
        for (let group = 0; group < groups; group++) {
          const logit = data[start + group * tokens]!;
          if (logit > best) [best, second] = [logit, best];
          else if (logit > second) second = logit;
        }
        smallest = Math.min(smallest, best - second);
      }
    }
    return smallest;
  }

  private async assignments(weights: ReadonlyMap<string, Float32Array>): Promise<Values> {
    const tensors: TensorMap = new Map();
    for (const [name, values] of weights) tensors.set(name, fromFloat32(values, [values.length]));
    const towers = new Towers({ ...this.weights, tensors });
    try {
      return await towers.image(this.pixels, "huggingface");
    } finally {
      await towers.release();
    }
  }

  private number(name: string, standard: number): number {
    const value = this.settings[name];
    return typeof value === "number" ? value : standard;
  }

  /** A number, or a text such as "float32(ln(1/0.07))". */
  private multiLabelScale(): Float32Array {
    const value = this.settings.multi_label_logit_scale ?? "ln(1/0.07)";
    if (typeof value === "number") return new Float32Array([value]);
    const text = String(value).replace(/^float32\((.*)\)$/, "$1");
    const inverse = /^ln\(1\/([\d.]+)\)$/.exec(text)?.[1];
    const number = inverse ? Math.log(1 / Number(inverse)) : Number(text);
    if (Number.isNaN(number))
      throw new Error(`multi_label_logit_scale "${value}" is of no known form`);
    return new Float32Array([number]);
  }
}

async function checkGradients(
  trainer: Trainer,
  variant: "hard" | "gumbel",
  entry: GradientReport,
  expected: TensorMap,
  report: Report,
): Promise<void> {
  const step = await trainer.create(trainer.start(), variant === "gumbel", 0);
  try {
    const { metrics, grads } = await step.gradients(trainer.batch, { gumbel: trainer.noise });
    const losses = lossesOf(metrics);
    for (const [key, value] of Object.entries(entry.losses_f32 ?? {})) {
      const found = losses[key as keyof Losses];
      // The tensor of the same number has a tolerance of its own.
      const twin = expected.get(`@${key}`);
      const tolerance = twin
        ? trainer.fixture.tolerance(`grads_${variant}`, `@${key}`, twin)
        : toleranceRule(Math.abs(value), 0);
      if (found !== undefined) report.close(`${variant}.${key}`, [found], [value], tolerance);
    }
    const hard = variant === "hard" ? await trainer.hardIndices() : [];
    for (const [name, reference] of expected) {
      const key = `${variant}.grad ${name}`;
      const grad = grads.get(name);
      const tolerance = trainer.fixture.tolerance(`grads_${variant}`, name, reference);
      if (name.startsWith("@")) {
        const stage = /^@hard_index_stage(\d+)$/.exec(name)?.[1];
        const loss = losses[name.slice(1) as keyof Losses];
        if (loss !== undefined) report.close(key, [loss], numbers(reference), tolerance);
        else if (stage === undefined) report.note(`${key}: not a known name`);
        else {
          const usage = metrics.usage[Number(stage)] ?? [];
          report.close(`${key} usage`, usage, shares(numbers(reference), usage.length), 1e-6);
          const indices = hard[Number(stage)];
          if (indices) report.equal(key, indices, numbers(reference));
        }
      } else if (!grad) report.add(key, false, "none", "a gradient");
      else report.close(key, grad, numbers(reference), tolerance);
    }
  } finally {
    await step.release();
  }
}

/** How often each group occurs among indices, as a share. */
function shares(indices: ArrayLike<number>, groups: number): number[] {
  const result = new Array<number>(groups).fill(0);
  for (let i = 0; i < indices.length; i++) result[indices[i]!]! += 1 / indices.length;
  return result;
}

function lossesOf(metrics: Omit<StepMetrics, "gradientNorm">): Losses {
  return {
    loss: metrics.contrastiveLoss,
    multi_label_loss: metrics.multiLabelLoss,
    total: metrics.loss,
  };
}

/** Largest difference so far between the reference in single and in double precision. */
interface Spread {
  loss: number;
  norm: number;
}

/**
 * Compares recorded scalars by the manifest's rule. One number's own rounding error can be small by luck,
 * so the largest of the steps so far counts, over all three losses.
 */
function checkLosses(
  name: string,
  actual: Losses,
  single: Losses,
  double: Losses,
  spread: Spread,
  report: Report,
): void {
  const keys = ["loss", "multi_label_loss", "total", "grad_norm"] as const;
  const kindOf = (key: string) => (key === "grad_norm" ? "norm" : "loss");
  for (const key of keys) {
    const [a, b] = [single[key], double[key]];
    if (typeof a !== "number" || typeof b !== "number") continue;
    const difference = Math.abs(a - b);
    // A wrong number must not widen its own tolerance.
    if (difference > PLAUSIBLE_SPREAD * Math.max(1, Math.abs(b))) continue;
    spread[kindOf(key)] = Math.max(spread[kindOf(key)], difference);
  }
  for (const key of keys) {
    const [expected, found] = [single[key], actual[key]];
    if (typeof expected !== "number" || found === undefined) continue;
    const tolerance = toleranceRule(Math.abs(expected), spread[kindOf(key)]);
    report.close(`${name}.${key}`, [found], [expected], tolerance);
  }
}

async function checkTrajectory(
  trainer: Trainer,
  clip: string,
  entry: TrajectoryReport,
  zero: ReadonlySet<string>,
  report: Report,
): Promise<void> {
  const start = trainer.start();
  const copies = [...start.weights].map(([name, data]) => [name, data.slice()] as const);
  const state: TrainingState = { ...start, weights: new Map(copies) };
  const step = await trainer.create(state, false, entry.clip_grad);
  try {
    const steps = entry.steps_f32.filter(({ step: index }) => typeof index === "number");
    const spread: Spread = { loss: 0, norm: 0 };
    for (const [i, recorded] of steps.entries()) {
      const metrics = await step.update(trainer.batch, {}, trainer.learningRate);
      const losses = { ...lossesOf(metrics), grad_norm: metrics.gradientNorm };
      checkLosses(`${clip}.step${i}`, losses, recorded, entry.steps_f64?.[i] ?? {}, spread, report);
    }
    // What the reference saved, before one more pass moves the running statistics.
    const final = new Map([...state.weights].map(([name, data]) => [name, data.slice()]));
    const after = entry.steps_f32.findIndex(({ step: index }) => index === "after");
    if (after >= 0) {
      const stored = trainer.fixture.tensors(`final_state_${clip}`);
      for (const [name, value] of stored) {
        if (!isInteger(value)) state.weights.set(name, Float32Array.from(numbers(value)));
      }
      const losses = lossesOf((await step.gradients(trainer.batch)).metrics);
      const expected = entry.steps_f32[after]!;
      // Weights that differ within their tolerances can tip one hard assignment, and with it the loss.
      const margin =
        stored.size > 0 ? Number.POSITIVE_INFINITY : await trainer.smallestMargin(final);
      // Exact weights make no use of the errors of the steps before.
      const own = stored.size > 0 ? { loss: 0, norm: 0 } : spread;
      const part = new Report();
      checkLosses(`${clip}.after`, losses, expected, entry.steps_f64?.[after] ?? {}, own, part);
      if (part.failed === 0 || margin > DECIDED) report.checks.push(...part.filed(report.fixture));
      else report.note(`${clip}.after: an assignment is ${show(margin)} from a tie`);
    }
    checkFinalState(trainer, clip, start.weights, final, zero, report);
    checkFinalSummary(clip, entry.final_params ?? {}, start.weights, final, zero, report);
  } finally {
    await step.release();
  }
}

function checkFinalState(
  trainer: Trainer,
  clip: string,
  before: ReadonlyMap<string, Float32Array>,
  after: ReadonlyMap<string, Float32Array>,
  zero: ReadonlySet<string>,
  report: Report,
): void {
  const file = `final_state_${clip}`;
  let skipped = 0;
  for (const [name, reference] of trainer.fixture.tensors(file)) {
    // The training state has no integers: the count of batches is the count of steps.
    if (isInteger(reference)) continue;
    const expected = numbers(reference);
    const found = after.get(name);
    if (!found) {
      report.add(`${clip}.final ${name}`, false, "none", "a tensor");
      continue;
    }
    const tolerance = trainer.fixture.tolerance(file, name, reference);
    if (zero.has(name) || tolerance >= largestMove(before.get(name)!, expected)) {
      skipped++;
      continue;
    }
    report.close(`${clip}.final ${name}`, found, expected, tolerance);
  }
  if (skipped > 0) {
    report.note(
      `${file}: ${skipped} tensors whose gradient is zero, or that move by no more than their tolerance`,
    );
  }
}

function largestMove(before: ArrayLike<number>, after: ArrayLike<number>): number {
  let most = 0;
  for (let i = 0; i < after.length; i++) most = Math.max(most, Math.abs(after[i]! - before[i]!));
  return most;
}

/** First values and lengths of final parameters whose tensors are not stored. */
function checkFinalSummary(
  clip: string,
  expected: Record<string, FinalParameter>,
  before: ReadonlyMap<string, Float32Array>,
  after: ReadonlyMap<string, Float32Array>,
  zero: ReadonlySet<string>,
  report: Report,
): void {
  for (const [name, { first4, l2, f32_vs_f64_max: spread = 0 }] of Object.entries(expected)) {
    const values = after.get(name);
    if (zero.has(name) || name.endsWith(".num_batches_tracked")) continue;
    if (!values) {
      report.add(`${clip}.final ${name}`, false, "none", "a parameter");
      continue;
    }
    let absmax = 0;
    let squares = 0;
    for (const value of values) {
      absmax = Math.max(absmax, Math.abs(value));
      squares += value * value;
    }
    const tolerance = toleranceRule(absmax, spread);
    if (tolerance >= largestMove(before.get(name)!, values)) continue;
    if (first4) {
      report.close(
        `${clip}.final ${name} first`,
        values.subarray(0, first4.length),
        first4,
        tolerance,
      );
    }
    if (l2 !== undefined) {
      const lengths = tolerance * Math.sqrt(values.length);
      report.close(`${clip}.final ${name} length`, [Math.sqrt(squares)], [l2], lengths);
    }
  }
}

/** Weight decay must fall on exactly the parameters that the report lists, under the authors' names. */
function checkDecay(recorded: Json, { config }: Weights, report: Report): void {
  const shapes = parameterShapes(config);
  const names = authorsNames(config);
  for (const [key, expected] of [
    ["decay_nvlabs_names", true],
    ["no_decay_nvlabs_names", false],
  ] as const) {
    const listed = recorded[key];
    if (!Array.isArray(listed)) continue;
    const decaying = [...names].filter(([name, [first = name]]) => {
      const shape = shapes.get(first) ?? [];
      return !isBuffer(first) && decays(first, shape) === expected;
    });
    const actual = new Set(decaying.map(([name]) => name));
    const wrong = [
      ...(listed as string[]).filter((name) => !actual.has(name)),
      ...[...actual].filter((name) => !listed.includes(name)),
    ];
    report.same(key, wrong.length === 0, wrong[0] ?? `${listed.length} names`);
  }
}
