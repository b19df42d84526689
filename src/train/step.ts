// One exact training step: encode, head and backward on the engine, then the optimiser; or all towers in one pass
// when the whole batch fits. The numbers do not depend on how the batch is cut (DESIGN: whole batch).

import type { Ranks } from "../distribute/ranks.js";
import { toOnnx } from "../graph/onnx.js";
import type { Tensor } from "../graph/tensor.js";
import { reachable } from "../graph/tensor.js";
import type { GroupViTConfig } from "../model/config.js";
import { nativeGrid } from "../model/image-tower.js";
import type { Outputs } from "../model/inference.js";
import { causalMask } from "../runtime/engine.js";
import type { CreateSession, Session, SessionOptions, Value } from "../runtime/session.js";
import { floats } from "../runtime/session.js";
import type { Tower, TrainingGraphOptions } from "./graphs.js";
import {
  backwardGraph,
  cellsOf,
  dropPathBranches,
  encodeGraph,
  gumbelShapes,
  headGraph,
  imageFeatureWidth,
  names,
  orthogonalGraph,
  wholeGraph,
} from "./graphs.js";
import type { OptimiserOptions, Slot } from "./optimiser.js";
import {
  adamW,
  clipFactor,
  globalNorm,
  isOrthogonalised,
  muon,
  muonDirection,
} from "./optimiser.js";
import { type Share, shareOf, sumGradients } from "./parallel.js";

const BATCH_NORM_MOMENTUM = 0.1;
const PROJECTORS = ["visual_projection", "text_projection"] as const;

export interface StepOptions extends TrainingGraphOptions {
  /** Samples per pass through the towers; the whole batch in one pass if it is not smaller. */
  microBatch: number;
  /** The ranks that share each batch; each has the pixels of its share, and the texts of all. */
  ranks?: Pick<Ranks, "rank" | "size" | "gather" | "sum">;
  optimiser: OptimiserOptions;
  /** Parameters that are updated; default: all. */
  trainable?(name: string): boolean;
  /**
   * Whether the visual projector's running statistics follow these batches. Cells of mosaics vary more than whole
   * pictures do, and inference projects whole pictures. Default true.
   */
  visualStatistics?: boolean;
}

/** What one step learns from. */
export interface StepBatch {
  /**
   * Normalised patches [share, patches of a sample, patch * patch * channels]; the share is the batch without
   * ranks, a sample a picture or a cell of a mosaic.
   */
  patches: Float32Array;
  /** Token ids [batch * (1 + multiLabel), tokens], per picture its caption, then its prompts. */
  ids: Int32Array;
  /** Length of the longest prompt. */
  tokens: number;
  /** Position of the end-of-text token in each row of `ids`. */
  ends: Int32Array;
  /** For `nounTargets: "shared"`: all nouns of each sample, and the noun of each of its prompts. */
  nouns?: readonly { all: readonly string[]; prompts: readonly string[] }[];
}

/** Random numbers of one step, made outside so that they can be repeated. */
export interface StepNoise {
  /** Per grouping block [pictures of the share, groups, tokens]; present if gumbel noise is on. */
  gumbel?: Float32Array[];
  /** [branches, pictures of the batch] factors, 0 or 1 / (1 - rate); present if drop path is on. */
  dropPath?: Float32Array;
  /** [patches, patches], of `windowWeights`; present if `positionWindow` is less than 1. */
  positionWeights?: Float32Array;
}

export interface StepMetrics {
  /** Sum of the parts. */
  loss: number;
  contrastiveLoss: number;
  multiLabelLoss?: number;
  /** Global norm before clipping. */
  gradientNorm: number;
  /** Share of tokens per group, for each grouping block. */
  usage: Float32Array[];
  /** Seconds in which this rank's engine waited for the other ranks; with ranks only. */
  exchangeSeconds?: number;
  /** Nats of the batch's patches that its last groups tell apart; where `groupInformation` asks for it. */
  groupInformation?: number;
  /** Share of patches that look alike but are in different last groups; where `likeness` asks for it. */
  likenessCut?: number;
}

/** Everything that a step changes. */
export interface TrainingState {
  /** Parameters and running statistics by checkpoint name. */
  weights: Map<string, Float32Array>;
  first: Map<string, Float32Array>;
  second: Map<string, Float32Array>;
  /** Updates made so far. */
  step: number;
}

interface Program {
  session: Session;
  inputs: string[];
  parameters: Map<string, readonly number[]>;
}

type Feeds = Record<string, Value>;

/** Runs training steps; owns the engine's sessions, changes the arrays of `state` in place. */
export class TrainingStep {
  private constructor(
    readonly config: GroupViTConfig,
    readonly options: StepOptions,
    readonly state: TrainingState,
    private readonly programs: ReadonlyMap<string, Program>,
    /** Trainable parameters and their shapes. */
    readonly parameters: ReadonlyMap<string, readonly number[]>,
  ) {
    this.share = shareOf(options.batch, options.ranks);
  }

  private readonly share: Share;
  /** Seconds of waiting for other ranks in the step at hand. */
  private waited = 0;

  /**
   * Builds the graphs and loads them into the engine.
   *
   * @throws Error if a weight is missing; the message names it
   */
  static async create(
    config: GroupViTConfig,
    options: StepOptions,
    state: TrainingState,
    createSession: CreateSession,
    sessionOptions: SessionOptions = {},
  ): Promise<TrainingStep> {
    const programs = new Map<string, Program>();
    const add = async (key: string, outputs: Outputs) => {
      if (!programs.has(key))
        programs.set(
          key,
          await compile(outputs, createSession, { keepMemory: true, ...sessionOptions }),
        );
    };
    const perImage = 1 + options.multiLabel;
    if (inOnePass(options)) {
      await add("whole", wholeGraph(config, options.batch, options));
    } else {
      const { count: own } = shareOf(options.batch, options.ranks);
      for (const count of new Set(cut(own, options.microBatch).map((part) => part.count))) {
        for (const tower of ["image", "text"] as const) {
          const size = tower === "image" ? count : count * perImage;
          await add(`encode ${tower} ${count}`, encodeGraph(config, tower, size, options));
          await add(`backward ${tower} ${count}`, backwardGraph(config, tower, size, options));
        }
      }
      await add("head", headGraph(config, options.batch, options));
    }
    const shapes = new Map<string, readonly number[]>();
    for (const program of programs.values()) {
      for (const [name, shape] of program.parameters) {
        if (options.trainable?.(name) ?? true) shapes.set(name, shape);
      }
    }
    for (const [name, shape] of shapes) {
      const size = shape.reduce((a, b) => a * b, 1);
      if (state.weights.get(name)?.length !== size) {
        throw new Error(`training needs weight "${name}" of ${size} numbers`);
      }
      if (!state.first.has(name)) state.first.set(name, new Float32Array(size));
      if (isOrthogonalised(name, shape, options.optimiser)) continue;
      if (!state.second.has(name)) state.second.set(name, new Float32Array(size));
    }
    const matrices = new Map(
      [...shapes].filter(([name, shape]) => isOrthogonalised(name, shape, options.optimiser)),
    );
    if (matrices.size > 0) await add("orthogonal", orthogonalGraph(matrices));
    return new TrainingStep(config, options, state, programs, shapes);
  }

  /** Losses and parameter gradients of a batch; changes nothing but batch norm's running statistics. */
  async gradients(
    batch: StepBatch,
    noise: StepNoise = {},
  ): Promise<{ metrics: Omit<StepMetrics, "gradientNorm">; grads: Map<string, Float32Array> }> {
    this.waited = 0;
    const results = inOnePass(this.options)
      ? await this.run("whole", {
          ...this.imageFeeds(batch, noise, 0, this.options.batch),
          ...this.textFeeds(batch, 0, this.options.batch),
          ...this.targetFeeds(batch),
        })
      : await this.inParts(batch, noise);
    this.updateRunningStatistics(results);
    const grads = new Map<string, Float32Array>();
    for (const name of this.parameters.keys()) grads.set(name, floats(results, names.grad(name)));
    const usage: Float32Array[] = [];
    while (results[`usage_${usage.length}`]) usage.push(floats(results, `usage_${usage.length}`));
    const scalar = (name: string) => floats(results, name)[0]!;
    return {
      grads,
      metrics: {
        loss: scalar("loss"),
        contrastiveLoss: scalar("contrastive_loss"),
        ...(results.multi_label_loss ? { multiLabelLoss: scalar("multi_label_loss") } : {}),
        ...(results.group_information ? { groupInformation: scalar("group_information") } : {}),
        ...(results.likeness_cut ? { likenessCut: scalar("likeness_cut") } : {}),
        ...(this.options.ranks ? { exchangeSeconds: this.waited } : {}),
        usage,
      },
    };
  }

  /** One update of the state. */
  async update(batch: StepBatch, noise: StepNoise, learningRate: number): Promise<StepMetrics> {
    const { metrics, grads } = await this.gradients(batch, noise);
    const gradientNorm = await this.apply(grads, learningRate);
    return { ...metrics, gradientNorm };
  }

  /** The optimiser with the given gradients; returns their global norm before clipping. */
  async apply(grads: ReadonlyMap<string, Float32Array>, learningRate: number): Promise<number> {
    const { state } = this;
    const { optimiser } = this.options;
    const norm = globalNorm(grads.values());
    const clip = clipFactor(norm, optimiser.clipNorm);
    const step = state.step + 1;
    const matrices: Slot[] = [];
    const feeds: Feeds = {};
    for (const [name, shape] of this.parameters) {
      const parameter = state.weights.get(name)!;
      const slot = {
        name,
        shape,
        parameter,
        grad: grads.get(name)!,
        first: state.first.get(name)!,
      };
      const second = state.second.get(name);
      if (second) {
        adamW({ ...slot, second }, step, learningRate, clip, optimiser);
      } else {
        matrices.push(slot);
        feeds[names.direction(name)] = { shape, data: muonDirection(slot) };
      }
    }
    if (matrices.length > 0) {
      const results = await this.run("orthogonal", feeds);
      for (const slot of matrices) {
        muon(slot, floats(results, names.orthogonal(slot.name)), learningRate, optimiser);
      }
    }
    state.step = step;
    return norm;
  }

  async release(): Promise<void> {
    for (const { session } of this.programs.values()) await session.release();
  }

  private async run(key: string, feeds: Feeds): Promise<Feeds> {
    const program = this.programs.get(key)!;
    const all: Feeds = {};
    for (const [name, shape] of program.parameters) {
      all[name] = { shape, data: this.state.weights.get(name)! };
    }
    for (const name of program.inputs) {
      const value = feeds[name];
      if (!value) throw new Error(`graph "${key}" needs input "${name}"`);
      all[name] = value;
    }
    return program.session.run(all);
  }

  private async wait(exchange: Promise<unknown>): Promise<void> {
    const began = performance.now();
    await exchange;
    this.waited += (performance.now() - began) / 1000;
  }

  /** Encode in parts, head over the whole batch, backward in the same parts. */
  private async inParts(batch: StepBatch, noise: StepNoise): Promise<Feeds> {
    const { config, options } = this;
    const perImage = 1 + options.multiLabel;
    const { ranks } = options;
    const parts = cut(this.share.count, options.microBatch);
    const widths: Record<Tower, number> = {
      image: imageFeatureWidth(config, options),
      text: config.text.hiddenSize,
    };
    const rows: Record<Tower, number> = { image: 1, text: perImage };
    const feedsOf = (tower: Tower, start: number, count: number) =>
      tower === "image"
        ? this.imageFeeds(batch, noise, start, count)
        : this.textFeeds(batch, start, count);

    const features: Record<string, Float32Array> = {};
    const usage: Feeds = {};
    for (const tower of ["image", "text"] as const) {
      const size = rows[tower] * widths[tower];
      const all = new Float32Array(options.batch * size);
      for (const { start, count } of parts) {
        const result = await this.run(`encode ${tower} ${count}`, feedsOf(tower, start, count));
        all.set(floats(result, "features"), (this.share.start + start) * size);
        for (const [name, value] of Object.entries(result)) {
          if (name !== "features") addWeighted(usage, name, value, count / options.batch);
        }
      }
      if (ranks) await this.wait(ranks.gather(all));
      features[tower] = all;
    }
    for (const { data } of ranks ? Object.values(usage) : []) {
      await this.wait(ranks!.sum(data as Float32Array));
    }
    const head = await this.run("head", {
      image_features: { shape: [options.batch, widths.image], data: features.image! },
      text_features: { shape: [options.batch * perImage, widths.text], data: features.text! },
      ...this.targetFeeds(batch),
    });
    const results: Feeds = { ...head, ...usage };
    // The image tower's gradients travel while the text tower's are computed: MPI moves them whenever the
    // engine lets go of this thread, between parts, and its threads and the kernel's buffers at any time.
    const exchanges: Promise<void>[] = [];
    for (const tower of ["image", "text"] as const) {
      const grads = floats(head, `${tower}_grads`);
      let sums: Feeds | undefined;
      for (const { start, count } of parts) {
        const key = `backward ${tower} ${count}`;
        const { parameters } = this.programs.get(key)!;
        const feeds = feedsOf(tower, start, count);
        const size = rows[tower] * widths[tower];
        feeds.feature_grads = {
          shape: [count * rows[tower], widths[tower]],
          data: part(grads, this.share.start + start, count, size),
        };
        for (const [name, shape] of parameters) {
          feeds[names.sum(name)] = sums?.[names.grad(name)] ?? zeros(shape);
        }
        sums = await this.run(key, feeds);
      }
      Object.assign(results, sums);
      if (!ranks || !sums) continue;
      const exchange = sumGradients(ranks, this.trained(sums), batch.ids);
      // It may fail before anybody waits for it.
      exchange.catch(() => {});
      exchanges.push(exchange);
    }
    await this.wait(Promise.all(exchanges));
    return results;
  }

  /** Gradients that the optimiser will use, with their parameters' names and shapes. */
  private trained(grads: Feeds): [string, Float32Array, readonly number[]][] {
    return [...this.parameters].flatMap(([name, shape]) => {
      const grad = grads[names.grad(name)];
      return grad ? [[name, grad.data as Float32Array, shape] as const] : [];
    }) as [string, Float32Array, readonly number[]][];
  }

  private imageFeeds(batch: StepBatch, noise: StepNoise, start: number, count: number): Feeds {
    const { config, options } = this;
    const { patchSize, numChannels } = config.vision;
    const grid = nativeGrid(config.vision) ** 2;
    const inside = patchSize ** 2 * numChannels;
    const cells = cellsOf(options);
    const [first, pictures] = [start / cells, count / cells];
    const feeds: Feeds = {
      patches: {
        shape: [count, grid / cells, inside],
        data: part(batch.patches, start, count, (grid / cells) * inside),
      },
    };
    if ((options.positionWindow ?? 1) < 1) {
      if (!noise.positionWeights) throw new Error("the step needs position weights");
      feeds.position_weights = { shape: [1, grid, grid], data: noise.positionWeights };
    }
    if (options.gumbel) {
      gumbelShapes(config).forEach(([groups, tokens], index) => {
        const data = noise.gumbel?.[index];
        if (!data) throw new Error(`the step needs gumbel noise for grouping block ${index}`);
        feeds[`gumbel_${index}`] = {
          shape: [pictures, groups, tokens],
          data: part(data, first, pictures, groups * tokens),
        };
      });
    }
    if (options.dropPath > 0) {
      if (!noise.dropPath) throw new Error("the step needs drop-path factors");
      const branches = dropPathBranches(config);
      const data = new Float32Array(branches * pictures);
      for (let branch = 0; branch < branches; branch++) {
        const from = (branch * options.batch + this.share.start) / cells + first;
        data.set(noise.dropPath.subarray(from, from + pictures), branch * pictures);
      }
      feeds.drop_path = { shape: [branches, pictures, 1, 1], data };
    }
    return feeds;
  }

  private textFeeds(batch: StepBatch, start: number, count: number): Feeds {
    const perImage = 1 + this.options.multiLabel;
    const { tokens } = batch;
    const [first, rows] = [(this.share.start + start) * perImage, count * perImage];
    const ends = new Int32Array(rows);
    for (let row = 0; row < rows; row++) ends[row] = row * tokens + batch.ends[first + row]!;
    return {
      ids: {
        shape: [rows, tokens],
        data: batch.ids.subarray(first * tokens, (first + rows) * tokens),
      },
      positions: { shape: [tokens], data: Int32Array.from({ length: tokens }, (_, i) => i) },
      mask: { shape: [1, 1, tokens, tokens], data: causalMask(tokens) },
      ends: { shape: [rows], data: ends },
    };
  }

  /** Which captions and noun prompts fit which pictures of the batch, as distributions over either. */
  private targetFeeds({ nouns }: StepBatch): Feeds {
    const { batch, multiLabel, nounTargets } = this.options;
    if (nounTargets !== "shared") return {};
    if (nouns?.length !== batch) throw new Error("shared targets need the nouns of every picture");
    const captions = new Float32Array(batch * batch); // [images, captions]
    const keys = nouns.map(({ all }) => JSON.stringify([...all].sort()));
    const sizes = new Map<string, number>();
    for (const key of keys) sizes.set(key, (sizes.get(key) ?? 0) + 1);
    keys.forEach((key, image) => {
      keys.forEach((other, caption) => {
        if (other === key) captions[image * batch + caption] = 1 / sizes.get(key)!;
      });
    });
    const feeds: Feeds = { caption_targets: { shape: [batch, batch], data: captions } };
    if (multiLabel === 0) return feeds;
    const count = batch * multiLabel;
    const perImage = new Float32Array(batch * count); // [images, prompts]
    const perText = new Float32Array(count * batch); // [prompts, images]
    const prompts = nouns.flatMap((one) => one.prompts);
    const totals = new Float32Array(count);
    nouns.forEach(({ all, prompts: own }, image) => {
      const named = new Set([...all, ...own]);
      const fits = prompts.flatMap((noun, prompt) => (named.has(noun) ? [prompt] : []));
      for (const prompt of fits) {
        perImage[image * count + prompt] = 1 / fits.length;
        perText[prompt * batch + image] = 1;
        totals[prompt]!++;
      }
    });
    for (let i = 0; i < perText.length; i++) perText[i]! /= totals[Math.floor(i / batch)]!;
    return {
      ...feeds,
      image_targets: { shape: [batch, count], data: perImage },
      text_targets: { shape: [count, batch], data: perText },
    };
  }

  /** Exponential averages of the batch statistics, as batch norm keeps them for inference. */
  private updateRunningStatistics(results: Feeds): void {
    const { weights } = this.state;
    const texts = this.options.batch * (1 + this.options.multiLabel);
    for (const name of PROJECTORS) {
      if (name === "visual_projection" && this.options.visualStatistics === false) continue;
      const rows = name === "text_projection" ? texts : this.options.batch;
      const update = (kind: string, batchValue: Float32Array, factor: number) => {
        const key = `${name}.1.${kind}`;
        const running = weights.get(key)!;
        const next = new Float32Array(running.length);
        for (let i = 0; i < next.length; i++) {
          next[i] =
            (1 - BATCH_NORM_MOMENTUM) * running[i]! + BATCH_NORM_MOMENTUM * factor * batchValue[i]!;
        }
        weights.set(key, next);
      };
      update("running_mean", floats(results, `${name}.mean`), 1);
      update("running_var", floats(results, `${name}.variance`), rows / (rows - 1));
    }
  }
}

/** Whether a step is one graph; ranks meet between the graphs. */
function inOnePass({ batch, microBatch, ranks }: StepOptions): boolean {
  return ranks === undefined && microBatch >= batch;
}

/** `count` items of `size` numbers. */
function part(data: Float32Array, start: number, count: number, size: number): Float32Array {
  return data.subarray(start * size, (start + count) * size);
}

/** Consecutive parts of at most `size`. */
function cut(total: number, size: number): { start: number; count: number }[] {
  const parts: { start: number; count: number }[] = [];
  for (let start = 0; start < total; start += size) {
    parts.push({ start, count: Math.min(size, total - start) });
  }
  return parts;
}

function zeros(shape: readonly number[]): Value {
  return { shape, data: new Float32Array(shape.reduce((a, b) => a * b, 1)) };
}

function addWeighted(sums: Feeds, name: string, value: Value, weight: number): void {
  const sum = sums[name] ?? zeros(value.shape);
  sums[name] = sum;
  for (let i = 0; i < sum.data.length; i++) sum.data[i]! += value.data[i]! * weight;
}

async function compile(
  outputs: Outputs,
  createSession: CreateSession,
  options: SessionOptions,
): Promise<Program> {
  const inputs: string[] = [];
  const parameters = new Map<string, readonly number[]>();
  for (const node of reachable(Object.values(outputs) as Tensor[])) {
    if (node.operation === "input") inputs.push((node.attributes as { name: string }).name);
    if (node.operation === "parameter") {
      const { name, shape } = node.attributes as { name: string; shape: readonly number[] };
      parameters.set(name, shape);
    }
  }
  return { session: await createSession(toOnnx(outputs), options), inputs, parameters };
}
