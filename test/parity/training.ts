// Kind `tiny-train`: losses, gradients, and five steps of AdamW from the weights of a model's fixture.

import { authorsNames } from "../../src/checkpoint/names.js";
import { isBuffer, MULTI_LABEL_LOGIT_SCALE, parameterShapes } from "../../src/checkpoint/shapes.js";
import type { TensorMap } from "../../src/checkpoint/tensors.js";
import { patchesFromPixels } from "../../src/input/normalize.js";
import { endOfText } from "../../src/runtime/engine.js";
import { createSession } from "../../src/runtime/session.node.js";
import { decays, PUBLISHED_ADAMW } from "../../src/train/optimiser.js";
import { type StepBatch, type TrainingState, TrainingStep } from "../../src/train/step.js";
import { type Fixture, isInteger, type Json, numbers, tensor, toleranceRule } from "./fixture.js";
import type { Report } from "./report.js";
import { rowOf } from "./towers.js";
import { floatWeights, loadWeights, modelFixture, type Weights } from "./weights.js";

interface Losses {
  loss?: number;
  multi_label_loss?: number;
  total?: number;
  grad_norm?: number;
}

interface GradientReport {
  losses_f32?: Losses;
  losses_f64?: Losses;
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
    const [pictures, channels, height, width] = image.shape as [number, number, number, number];
    const tokens = text.shape[text.shape.length - 1]!;
    const ids = Int32Array.from(numbers(text));
    this.pictures = pictures;
    this.multiLabel = ids.length / tokens / pictures - 1;
    this.learningRate = this.number("lr", 1e-3);
    this.steps = this.number("steps", 5);
    this.batch = {
      patches: patchesFromPixels(
        Float32Array.from(numbers(image)),
        [pictures, channels, height, width],
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
    const losses: Losses = {
      loss: metrics.contrastiveLoss,
      multi_label_loss: metrics.multiLabelLoss,
      total: metrics.loss,
    };
    checkLosses(variant, losses, entry.losses_f32 ?? {}, entry.losses_f64 ?? {}, report);
    for (const [name, reference] of expected) {
      const key = `${variant}.grad ${name}`;
      const grad = grads.get(name);
      if (!grad) report.add(key, false, "none", "a gradient");
      else {
        const tolerance = trainer.fixture.tolerance(`grads_${variant}`, name, reference);
        report.close(key, grad, numbers(reference), tolerance);
      }
    }
  } finally {
    await step.release();
  }
}

function checkLosses(
  name: string,
  actual: Losses,
  single: Losses,
  double: Losses,
  report: Report,
): void {
  for (const key of ["loss", "multi_label_loss", "total", "grad_norm"] as const) {
    const [expected, found] = [single[key], actual[key]];
    if (typeof expected !== "number" || found === undefined) continue;
    const spread = typeof double[key] === "number" ? Math.abs(double[key] - expected) : 0;
    report.close(`${name}.${key}`, [found], [expected], toleranceRule(Math.abs(expected), spread));
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
  const state: TrainingState = { ...start, weights: new Map(start.weights) };
  const step = await trainer.create(state, false, entry.clip_grad);
  try {
    const steps = entry.steps_f32.filter(({ step: index }) => typeof index === "number");
    for (const [i, recorded] of steps.entries()) {
      const metrics = await step.update(trainer.batch, {}, trainer.learningRate);
      const losses: Losses = {
        loss: metrics.contrastiveLoss,
        multi_label_loss: metrics.multiLabelLoss,
        total: metrics.loss,
        grad_norm: metrics.gradientNorm,
      };
      checkLosses(`${clip}.step${i}`, losses, recorded, entry.steps_f64?.[i] ?? {}, report);
    }
    // What the reference saved, before one more pass moves the running statistics.
    const final = new Map(state.weights);
    const after = entry.steps_f32.findIndex(({ step: index }) => index === "after");
    if (after >= 0) {
      const { metrics } = await step.gradients(trainer.batch);
      const losses: Losses = {
        loss: metrics.contrastiveLoss,
        multi_label_loss: metrics.multiLabelLoss,
        total: metrics.loss,
      };
      const double = entry.steps_f64?.[after] ?? {};
      checkLosses(`${clip}.after`, losses, entry.steps_f32[after]!, double, report);
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
    if (zero.has(name)) continue;
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
