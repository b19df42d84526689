// The training loop: data, step, metrics, evaluation and checkpoints, so that a run that was stopped or
// killed at any moment goes on exactly.

import { join } from "node:path";
import { writeFileAtomic } from "../atomic.node.js";
import { huggingFaceFiles } from "../checkpoint/save.js";
import { saveHuggingFace } from "../checkpoint/save.node.js";
import { isBuffer, MULTI_LABEL_LOGIT_SCALE } from "../checkpoint/shapes.js";
import type { Ranks } from "../distribute/ranks.js";
import { InputError } from "../errors.js";
import { createSession } from "../runtime/session.node.js";
import { logitScaleFactor } from "../segment/affinity.js";
import {
  checkpointFile,
  listCheckpoints,
  modelOf,
  type RunState,
  readCheckpoint,
  type Scores,
  saveCheckpoint,
  weightShapes,
} from "./checkpoint.js";
import { samplesOf, type TrainConfig } from "./config.js";
import type { ShardFault } from "./data/order.js";
import { type Evaluation, type EvaluationSet, evaluate, openEvaluation } from "./evaluation.js";
import { lockFolder } from "./lock.js";
import { entropy, MetricsFile, type StepRecord } from "./metrics.js";
import { modelCard } from "./model-card.js";
import { stepNoise } from "./noise.js";
import { runPage } from "./page.js";
import { anyStops, shareOf, stateForAll } from "./parallel.js";
import { openRun, RUN_FILES, type RunMode } from "./run-folder.js";
import { type Schedule, scheduleOf } from "./schedule.js";
import { isTrainable } from "./start.js";
import { type StepMetrics, TrainingStep } from "./step.js";
import {
  type BatchStream,
  openData,
  type StreamBatch,
  stepBatch,
  type TrainingData,
} from "./stream.js";
import { writeStrip } from "./strip.js";
import { appendEvent, writeEvents } from "./tensorboard.js";

/** A loss this many times that of guessing has exploded; below `MIN_EXPLODED` small batches only wobble. */
const EXPLOSION = 4;
const MIN_EXPLODED = 30;
/** Roll-backs to one checkpoint before the run is given up. */
const MAX_ROLLBACKS = 5;
/** Shards that cannot be read of which the run tells one by one. */
const MAX_FAULTS_TOLD = 10;
/** Milliseconds between two versions of the page. */
const PAGE_EVERY = 20_000;
/** Steps over which the time left is estimated. */
const RECENT = 50;

export interface TrainProgress {
  step: number;
  steps: number;
  record: StepRecord;
  secondsLeft: number;
}

export interface TrainOptions {
  config: TrainConfig;
  /** Holds everything that the run writes. */
  folder: string;
  mode?: RunMode;
  /** Stops after this step of the schedule; default: its last. */
  stopAfter?: number;
  /** Ends the run after the step at hand, with a checkpoint. */
  signal?: AbortSignal;
  onProgress?(progress: TrainProgress): void;
  /** Something worth telling, such as a roll-back. */
  onNotice?(text: string): void;
  /** Where samples come from; default: what the configuration names. */
  data?: TrainingData;
  /** The ranks that train together; rank 0 writes and reports. Default: this process alone. */
  ranks?: Ranks;
}

export interface TrainResult {
  folder: string;
  step: number;
  /** Steps of the whole schedule. */
  steps: number;
  /** False where the signal ended it. */
  finished: boolean;
  resumed: boolean;
  /** Of this process among those that trained together; 0 alone. Rank 0 has all that follows. */
  rank: number;
  last?: StepRecord;
  evaluation?: Scores;
  best?: Scores & { step: number };
  /** Model folders that were written. */
  models: string[];
}

/**
 * Trains, or goes on training, in a folder. The same configuration gives the same weights on the same
 * machine, whatever the number of data threads and however often the run was interrupted.
 *
 * @throws ConfigError, InputError or CheckpointError with the way out
 */
export async function train(options: TrainOptions): Promise<TrainResult> {
  const { ranks } = options;
  const prepared = ranks ? await ranks.together(() => prepare(options)) : await prepare(options);
  const { config, folder, mode = "auto", onNotice = () => {} } = options;
  let resumed = false;
  let unlock = async (): Promise<void> => {};
  const open = async () => {
    unlock = await lockFolder(folder);
    const opened = await openRun(folder, config, mode, prepared.schedule.steps, onNotice);
    ({ resumed } = opened);
    return opened.state;
  };
  try {
    const state = ranks ? await stateForAll(ranks, open) : await open();
    const run = new Run(options, prepared, state, await createSteps(options, state));
    try {
      return { ...(await run.train()), resumed };
    } finally {
      await run.close();
    }
  } finally {
    await unlock();
  }
}

/** A step for each turn of `mosaics`, equal ones shared; all change the same state. */
async function createSteps(options: TrainOptions, state: RunState): Promise<TrainingStep[]> {
  const steps = new Map<number, TrainingStep>();
  const { mosaics } = options.config;
  for (const side of new Set(mosaics)) steps.set(side, await createStep(options, side, state));
  return mosaics.map((side) => steps.get(side)!);
}

function createStep(
  { config, ranks }: TrainOptions,
  mosaic: number,
  state: RunState,
): Promise<TrainingStep> {
  const { multiLabel, nounTargets, gumbel, dropPath } = config;
  const { batch, microBatch } = samplesOf(config, mosaic);
  const { assignment, groupInformation, likeness, promptsMatch, positionWindow } = config;
  const { optimiser, device, threads } = config;
  const trainable = (name: string) => isTrainable(config.trainable, name);
  return TrainingStep.create(
    config.model,
    {
      batch,
      microBatch,
      ranks,
      multiLabel,
      nounTargets,
      gumbel,
      dropPath,
      assignment,
      groupInformation,
      likeness,
      promptsMatch,
      mosaic,
      positionWindow,
      optimiser,
      trainable,
      visualStatistics: mosaic === Math.min(...config.mosaics),
    },
    state,
    createSession,
    { device, threads },
  );
}

interface Prepared {
  data: TrainingData;
  schedule: Schedule;
  stopAfter: number;
  /** Where this rank evaluates. */
  set: EvaluationSet | undefined;
}

/** What needs no state: data, schedule and evaluation set. */
async function prepare({
  config,
  data: given,
  ranks,
  ...options
}: TrainOptions): Promise<Prepared> {
  for (const side of config.mosaics) shareOf(samplesOf(config, side).batch, ranks, side ** 2);
  const data = given ?? (await openData(config, ranks));
  const schedule = scheduleOf(config, data.samples);
  const { stopAfter = schedule.steps } = options;
  if (!Number.isInteger(stopAfter) || stopAfter < 1 || stopAfter > schedule.steps) {
    throw new InputError(
      `steps ${stopAfter}: give a number from 1 to the schedule's ${schedule.steps}, or raise steps in ` +
        "the configuration",
    );
  }
  const { evaluation, model } = config;
  const set =
    evaluation && writes(ranks)
      ? await openEvaluation(evaluation, model.vision.imageSize)
      : undefined;
  return { data, schedule, stopAfter, set };
}

/** Whether this process writes the folder and evaluates. */
function writes(ranks: Ranks | undefined): boolean {
  return ranks === undefined || ranks.rank === 0;
}

class Run {
  private readonly data: TrainingData;
  private readonly schedule: Schedule;
  private readonly set: EvaluationSet | undefined;
  private readonly stopAfter: number;
  private readonly config: TrainConfig;
  private readonly folder: string;
  private readonly notice: (text: string) => void;
  private readonly shapes: Map<string, number[]>;
  private readonly writes: boolean;
  private result?: StepMetrics;
  private metrics!: MetricsFile;
  private stream?: BatchStream;
  private lastCheckpoint = performance.now();
  private lastPage = Number.NEGATIVE_INFINITY;
  private rollbacks = 0;
  private readonly faulty = new Set<string>();
  private evaluation?: Evaluation & { step: number };

  constructor(
    private readonly options: TrainOptions,
    { data, schedule, set, stopAfter }: Prepared,
    private readonly state: RunState,
    /** Taken in turns. */
    private readonly steps: readonly TrainingStep[],
  ) {
    this.data = data;
    this.schedule = schedule;
    this.set = set;
    this.stopAfter = stopAfter;
    this.config = options.config;
    this.folder = options.folder;
    this.writes = writes(options.ranks);
    this.notice = options.onNotice ?? (() => {});
    this.shapes = weightShapes(this.config.model, this.config.multiLabel);
  }

  async train(): Promise<Omit<TrainResult, "resumed">> {
    const { state } = this;
    if (this.writes) {
      this.metrics = await MetricsFile.open(this.path("metrics"), state.step);
      await writeEvents(this.path("events"), this.metrics.records);
    }
    try {
      this.stream = this.data.open(state.position, state.batches);
      while (state.step < this.stopAfter && !(await this.isStopped())) await this.oneStep();
    } catch (error) {
      // Or the page would say for ever that the run goes on.
      const reason = error instanceof Error ? error.message : String(error);
      if (this.writes) await this.writePage(`failed: ${reason}`).catch(() => {});
      throw error;
    }

    const { folder, schedule } = this;
    const finished = state.step >= this.stopAfter;
    const rank = this.options.ranks?.rank ?? 0;
    const result = { folder, step: state.step, steps: schedule.steps, finished, rank };
    return this.writes
      ? { ...result, ...(await this.finish(finished)) }
      : { ...result, models: [] };
  }

  private async finish(
    finished: boolean,
  ): Promise<Pick<TrainResult, "last" | "evaluation" | "best" | "models">> {
    const { state } = this;
    if ((await listCheckpoints(this.path("checkpoints")))[0] !== state.step)
      await this.checkpoint();
    const models = finished ? await this.writeModels() : [];
    await this.writePage(state.step < this.schedule.steps ? "stopped" : "done");
    const last = this.metrics.records.at(-1);
    if (last?.skipped_by_reason) {
      const reasons = Object.entries(last.skipped_by_reason).map(([why, n]) => `${n} ${why}`);
      this.notice(`samples left out: ${reasons.join(", ")}`);
    }
    return {
      ...(last ? { last } : {}),
      ...(this.evaluation ? { evaluation: scoresOf(this.evaluation) } : {}),
      ...(state.best ? { best: state.best } : {}),
      models,
    };
  }

  async close(): Promise<void> {
    await this.stream?.close();
    await this.metrics?.close();
    for (const step of new Set(this.steps)) await step.release();
  }

  /** Whether this run, on whichever rank, was asked to stop. */
  private async isStopped(): Promise<boolean> {
    const { ranks, signal } = this.options;
    const stop = signal?.aborted ?? false;
    return ranks ? anyStops(ranks, stop, this.result) : stop;
  }

  private path(name: keyof typeof RUN_FILES): string {
    return join(this.folder, RUN_FILES[name]);
  }

  private async oneStep(): Promise<void> {
    const { config, state } = this;
    const started = performance.now();
    const { batch, number } = await this.nextBatch();
    this.tellFaults(batch.shardFaults ?? []);
    const dataReady = performance.now();
    const input = stepBatch(batch);
    const step = this.steps[number % this.steps.length]!;
    const { batch: size } = step.options;
    const share = shareOf(size, this.options.ranks);
    const noise = stepNoise(config.model, step.options, size, config.seed, state.step, share);
    const rate = this.schedule.rate(state.step);
    const result = await step.update(input, noise, rate);
    const ended = performance.now();
    const fault = lossFault(result, step.options);
    this.result = result;
    if (fault !== undefined) return this.handleBadLoss(fault);

    this.updateAverage();
    state.position = batch.position;
    if (!this.writes) return;
    const record = this.record(result, rate, batch, input.tokens, {
      samples: size,
      data: (dataReady - started) / 1000,
      step: (ended - dataReady) / 1000,
    });
    if (this.evaluationIsDue()) Object.assign(record, await this.evaluateNow());
    await this.metrics.append(record);
    await appendEvent(this.path("events"), record);
    if (this.checkpointIsDue()) await this.checkpoint();
    if (performance.now() - this.lastPage > PAGE_EVERY) await this.writePage("running");
    this.options.onProgress?.({
      step: state.step,
      steps: this.stopAfter,
      record,
      secondsLeft: this.secondsLeft(),
    });
  }

  /** The next batch that is not to be skipped. */
  private async nextBatch(): Promise<{ batch: StreamBatch; number: number }> {
    for (;;) {
      const batch = await this.stream!.next();
      const number = this.state.batches++;
      if (!this.state.skipped.includes(number)) return { batch, number };
    }
  }

  /** Tells of each shard that cannot be read once, and of no more than a screen can hold. */
  private tellFaults(faults: readonly ShardFault[]): void {
    for (const { shard, reason } of faults) {
      if (this.faulty.has(shard)) continue;
      this.faulty.add(shard);
      if (this.faulty.size <= MAX_FAULTS_TOLD) this.notice(`passed over: ${reason}`);
      else if (this.faulty.size === MAX_FAULTS_TOLD + 1) {
        this.notice("more shards cannot be read; groupvit data check lists them all");
      }
    }
  }

  private record(
    result: StepMetrics,
    lr: number,
    batch: StreamBatch,
    tokens: number,
    cost: { samples: number; data: number; step: number },
  ): StepRecord {
    const scale = (name: string) => logitScaleFactor(this.state.weights.get(name)![0]!);
    const multiLabel = result.multiLabelLoss !== undefined;
    const skipped = Object.values(batch.skipped ?? {});
    return {
      step: this.state.step,
      loss: result.loss,
      contrastive_loss: result.contrastiveLoss,
      ...(multiLabel ? { multi_label_loss: result.multiLabelLoss } : {}),
      lr,
      gradient_norm: result.gradientNorm,
      logit_scale: scale("logit_scale"),
      ...(multiLabel ? { multi_label_logit_scale: scale(MULTI_LABEL_LOGIT_SCALE) } : {}),
      group_entropy: result.usage.map(entropy),
      ...(result.groupInformation === undefined
        ? {}
        : { group_information: result.groupInformation }),
      ...(result.likenessCut === undefined ? {} : { likeness_cut: result.likenessCut }),
      tokens,
      skipped_samples: skipped.reduce((sum, n) => sum + n, 0),
      ...(skipped.length === 0 ? {} : { skipped_by_reason: batch.skipped }),
      samples_per_second: cost.samples / (cost.data + cost.step),
      data_seconds: cost.data,
      step_seconds: cost.step,
      ...(result.exchangeSeconds === undefined ? {} : { exchange_seconds: result.exchangeSeconds }),
      time: Date.now() / 1000,
    };
  }

  /**
   * Exponential average of the weights and of batch norm's statistics, which must fit them; young averages
   * follow faster, or they would keep the start.
   */
  private updateAverage(): void {
    const { ema, weights, step } = this.state;
    if (!ema) return;
    const decay = Math.min(this.config.ema!, (1 + step) / (10 + step));
    for (const [name, now] of weights) {
      const average = ema.get(name)!;
      for (let i = 0; i < now.length; i++) average[i]! += (1 - decay) * (now[i]! - average[i]!);
    }
  }

  /** Goes back to the last checkpoint, unless the run is to stop. */
  private async handleBadLoss(fault: string): Promise<void> {
    const { ranks } = this.options;
    const restore = () => this.restore(fault);
    Object.assign(this.state, ranks ? await stateForAll(ranks, restore) : await restore());
    await this.stream!.close();
    this.stream = this.data.open(this.state.position, this.state.batches);
  }

  /** Stops, or takes the state of the last checkpoint and leaves the batch out, as configured. */
  private async restore(fault: string): Promise<RunState> {
    const { config, state } = this;
    const [good] = await listCheckpoints(this.path("checkpoints"));
    const where = `${fault} at step ${state.step}`;
    if (config.onBadLoss === "stop") {
      throw new InputError(
        `training stopped: ${where}; the last good checkpoint is ${checkpointFile(good!)}. Lower ` +
          'optimiser.learningRate, lengthen the warm-up, or set onBadLoss to "rollback"',
      );
    }
    if (++this.rollbacks > MAX_ROLLBACKS) {
      throw new InputError(
        `training stopped: ${where}, after ${MAX_ROLLBACKS} roll-backs to step ${good}; the data are not ` +
          "at fault: begin again with a lower optimiser.learningRate",
      );
    }
    const bad = state.batches - 1;
    const skipped = [...state.skipped, bad];
    this.notice(`${where}: back to step ${good}, batch ${bad} is left out from now on`);
    const restored = await readCheckpoint(this.path("checkpoints"), good!, this.shapes);
    Object.assign(state, { best: undefined, ...restored, skipped });
    // Kept at once: a run that is killed now must not meet the batch again.
    await this.saveState();
    await this.metrics.rewind(state.step);
    await writeEvents(this.path("events"), this.metrics.records);
    return state;
  }

  private evaluationIsDue(): boolean {
    if (!this.config.evaluation) return false;
    const { step } = this.state;
    return step % this.config.evaluation.every === 0 || step === this.schedule.steps;
  }

  private async evaluateNow(): Promise<Scores> {
    const { state, config } = this;
    const result = await this.evaluateWeights();
    const classes = this.set!.classes.length + 1;
    const strip = this.path("strip");
    if (state.step <= config.evaluation!.every || this.metrics.records.length === 0) {
      await writeStrip(join(strip, "pictures.png"), result.strip, classes, "nothing");
      await writeStrip(join(strip, "truth.png"), result.strip, classes, "truth");
    }
    await writeStrip(join(strip, stripFile(state.step)), result.strip, classes, "predicted");
    const scores = scoresOf(result);
    if (state.best === undefined || scores.miou > state.best.miou) {
      state.best = { step: state.step, ...scores };
      await this.saveModel(this.path("best"), "F32");
    }
    this.lastPage = Number.NEGATIVE_INFINITY;
    return scores;
  }

  private async evaluateWeights(): Promise<Evaluation> {
    const model = modelOf(this.config.model, this.finalWeights(), this.state.step);
    const { evaluation, threads } = this.config;
    const result = await evaluate(model, this.set!, evaluation!, threads);
    this.evaluation = { ...result, step: this.state.step };
    return result;
  }

  /** The averaged weights where the run keeps them. */
  private finalWeights(): Map<string, Float32Array> {
    return this.state.ema ?? this.state.weights;
  }

  private checkpointIsDue(): boolean {
    const { everySteps, everyMinutes } = this.config.checkpoint;
    if (everySteps !== undefined && this.state.step % everySteps === 0) return true;
    return performance.now() - this.lastCheckpoint > everyMinutes * 60_000;
  }

  private async checkpoint(): Promise<void> {
    // Lines of later steps may be lost, those up to the checkpoint may not.
    await this.metrics.sync();
    await this.saveState();
    this.lastCheckpoint = performance.now();
    this.rollbacks = 0;
  }

  private saveState(): Promise<void> {
    const { keep } = this.config.checkpoint;
    return saveCheckpoint(this.path("checkpoints"), this.state, this.shapes, keep);
  }

  private async writeModels(): Promise<string[]> {
    if (this.set && this.evaluation?.step !== this.state.step) await this.evaluateWeights();
    const written: string[] = [];
    for (const dtype of this.config.export) {
      const folder = this.path(dtype === "F32" ? "model" : "halfModel");
      await this.saveModel(folder, dtype);
      const { config, data, state, evaluation, metrics } = this;
      let parameters = 0;
      for (const [name, data] of state.weights) if (!isBuffer(name)) parameters += data.length;
      const card = { config, data, state, records: metrics.records, parameters, evaluation };
      await writeFileAtomic(join(folder, "README.md"), modelCard(card));
      written.push(folder);
    }
    return written;
  }

  private async saveModel(folder: string, dtype: "F32" | "F16"): Promise<void> {
    const model = modelOf(this.config.model, this.finalWeights(), this.state.step);
    const side = this.config.evaluation?.shortSide ?? model.config.vision.imageSize;
    const name = "preprocessor_config.json";
    const [text] = huggingFaceFiles(model).get(name)!;
    const processor = JSON.parse(new TextDecoder().decode(text)) as Record<string, unknown>;
    processor.segmentation_short_side = side;
    if (this.config.evaluation) {
      processor.segmentation_threshold = this.config.evaluation.threshold;
    }
    const files = { [name]: `${JSON.stringify(processor, null, 2)}\n` };
    await saveHuggingFace(folder, model, { dtype, files });
  }

  private secondsLeft(): number {
    const recent = this.metrics.records.slice(-RECENT);
    const seconds = recent.reduce((sum, r) => sum + r.data_seconds + r.step_seconds, 0);
    return (seconds / Math.max(1, recent.length)) * (this.stopAfter - this.state.step);
  }

  private async writePage(phase: "running" | "stopped" | "done" | `failed: ${string}`) {
    const { records } = this.metrics;
    const { step, best } = this.state;
    const left =
      phase === "running" ? `, about ${Math.ceil(this.secondsLeft() / 60)} min left` : "";
    const found = best ? ` Best: ${percent(best.miou)} mIoU at step ${best.step}.` : "";
    const evaluated = records.filter((record) => record.miou !== undefined);
    const strip = evaluated.map((record) => ({
      caption: `step ${record.step}, ${percent(record.miou!)} mIoU`,
      src: `${RUN_FILES.strip}/${stripFile(record.step)}`,
    }));
    if (strip.length > 0) {
      strip.unshift({ caption: "pictures", src: `${RUN_FILES.strip}/pictures.png` });
      strip.push({ caption: "true masks", src: `${RUN_FILES.strip}/truth.png` });
    }
    const html = runPage({
      name: this.config.name,
      description: this.config.description,
      status: `Step ${step} of ${this.schedule.steps}${left} (${phase}).${found}`,
      running: phase === "running",
      records,
      strip,
    });
    await writeFileAtomic(this.path("page"), html);
    this.lastPage = performance.now();
  }
}

function stripFile(step: number): string {
  return `step-${String(step).padStart(8, "0")}.png`;
}

function percent(share: number): string {
  return (100 * share).toFixed(1);
}

function scoresOf({ miou, accuracy }: Scores): Scores {
  return { miou, accuracy };
}

/** What is wrong with a step's result, or nothing. */
function lossFault(
  { loss, gradientNorm }: StepMetrics,
  { batch, multiLabel }: Pick<TrainConfig, "batch" | "multiLabel">,
): string | undefined {
  if (!Number.isFinite(loss)) return `the loss became ${loss}`;
  if (!Number.isFinite(gradientNorm)) return `the gradient's norm became ${gradientNorm}`;
  // Guessing costs the logarithm of the number of choices, on either side of each loss.
  const guess = Math.log(batch) + (multiLabel > 0 ? Math.log(batch) + Math.log(multiLabel) / 2 : 0);
  const limit = Math.max(MIN_EXPLODED, EXPLOSION * guess);
  return loss > limit ? `the loss exploded to ${loss.toFixed(1)}` : undefined;
}
