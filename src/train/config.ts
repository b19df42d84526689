// The configuration file of a training run: every field checked, what is left out filled in with the
// published run's values (GroupViT-S, paper section 4.1).

import { z } from "zod";
import { configToJson, parseConfig } from "../checkpoint/config-file.js";
import { ConfigError } from "../errors.js";
import type { GroupViTConfig } from "../model/config.js";
import { augmentConfig } from "./data/augment.js";

const whole = (low: number, high: number) =>
  z.int(`give a whole number from ${low} to ${high}`).min(low).max(high);
const size = whole(1, 1 << 24);
const activation = z.enum(["gelu", "quick_gelu", "relu"]);
const fraction = z.number().min(0).max(1);
const steps = whole(1, 1e9);

const vision = z.strictObject({
  hiddenSize: size.default(384),
  intermediateSize: size.default(1536),
  depths: z.array(whole(0, 1024)).min(1).default([6, 3, 3]),
  numGroupTokens: z.array(whole(0, 4096)).min(1).default([64, 8, 0]),
  numOutputGroups: z.array(whole(0, 4096)).min(1).default([64, 8, 8]),
  numAttentionHeads: size.default(6),
  imageSize: whole(8, 4096).default(224),
  patchSize: whole(1, 4096).default(16),
  numChannels: z.literal(3).default(3),
  layerNormEps: z.number().positive().default(1e-5),
  assignEps: z.number().min(0).default(1),
  assignMlpRatio: z.tuple([z.number(), z.number()]).default([0.5, 4]),
  hiddenAct: activation.default("gelu"),
});

const text = z.strictObject({
  /** CLIP's vocabulary, which the tokenizer gives. */
  vocabSize: z.literal(49_408).default(49_408),
  hiddenSize: size.default(256),
  intermediateSize: size.default(1024),
  numHiddenLayers: size.default(12),
  numAttentionHeads: size.default(4),
  maxPositionEmbeddings: whole(3, 65_536).default(77),
  layerNormEps: z.number().positive().default(1e-5),
  hiddenAct: activation.default("quick_gelu"),
  padTokenId: size.default(1),
  bosTokenId: size.default(49_406),
  eosTokenId: size.default(49_407),
});

const model = z.strictObject({
  vision: vision.prefault({}),
  text: text.prefault({}),
  projectionDim: size.default(256),
  projectionIntermediateDim: size.default(4096),
  logitScaleInitValue: z.number().min(-100).max(100).default(2.6592),
});

/** Fields of `augment.ts`, which checks them; `false` leaves pictures as they are. */
const augment = z.union([z.literal(false), z.record(z.string(), z.unknown())]);

const data = z.discriminatedUnion("kind", [
  z.strictObject({
    kind: z.literal("webdataset"),
    /** Files, folders, `{00000..00331}` or `*` patterns, http(s) addresses. */
    shards: z.union([z.string().min(1), z.array(z.string().min(1)).min(1)]),
    /** Samples in all, where `epochs` counts them; shards do not tell. */
    samples: steps.optional(),
    shuffleBuffer: whole(1, 1_000_000).default(1000),
    augment: augment.default({}),
    /** For the model card. */
    licence: z.string().optional(),
  }),
  z.strictObject({
    kind: z.literal("folder"),
    folder: z.string().min(1),
    /** CSV, TSV, JSON lines, Parquet or COCO captions; without it a `.txt` stands beside each picture. */
    captions: z.string().min(1).optional(),
    shuffleBuffer: whole(1, 1_000_000).default(1000),
    augment: augment.default({}),
    licence: z.string().optional(),
  }),
  z.strictObject({
    kind: z.literal("scenes"),
    /** Folder that `groupvit data scenes` fills with cut-outs. */
    cutouts: z.string().min(1).default(".cache/scenes/cutouts"),
    /**
     * Difficulty of scene n: uniform in [0, min(1, n / rampScenes)], at most `max`; from single large
     * objects to crowded scenes.
     */
    difficulty: z
      .strictObject({ max: fraction.default(0.9), rampScenes: whole(0, 1e9).default(150_000) })
      .prefault({}),
    /** Scenes that count as one epoch. */
    samples: steps.optional(),
    augment: augment.default(false),
  }),
  z.strictObject({
    kind: z.literal("shapes"),
    /** Pictures that count as one epoch. */
    samples: steps.optional(),
    augment: augment.default(false),
  }),
]);

/** A length of training in one of two units. */
const span = z.union([
  z.strictObject({ steps: whole(0, 1e9) }),
  z.strictObject({ epochs: z.number().min(0).max(1e6) }),
]);

const warmUp = z.strictObject({
  length: span,
  /** Learning rate of the first step. */
  from: z.number().min(0).default(0),
});

const schedule = z.discriminatedUnion("kind", [
  z.strictObject({
    kind: z.literal("cosine"),
    end: z.number().min(0).default(4e-5),
    warmUp: warmUp.optional(),
  }),
  z.strictObject({
    kind: z.literal("constant"),
    /** Last share of the run, over which the rate falls linearly to `end`. */
    coolDown: fraction.default(0),
    end: z.number().min(0).default(0),
    warmUp: warmUp.optional(),
  }),
]);

const optimiser = z.strictObject({
  learningRate: z.number().positive(),
  /** The batch for which all learning rates are given; they grow linearly with the batch. */
  baseBatch: size.optional(),
  weightDecay: z.number().min(0).default(0.05),
  beta1: z.number().min(0).max(0.999999).default(0.9),
  beta2: z.number().min(0).max(0.999999).default(0.999),
  eps: z.number().positive().default(1e-8),
  /** Largest global gradient norm; 0 leaves gradients as they are. */
  clipNorm: z.number().min(0).default(5),
  /** How weight matrices inside the towers and projectors are updated; `adamw` as published. */
  matrices: z.enum(["adamw", "muon"]).default("adamw"),
});

const evaluation = z.strictObject({
  /** Steps between evaluations; the last step is always evaluated. */
  every: steps,
  set: z.discriminatedUnion("kind", [
    /** PASCAL VOC layout with `classes.txt` and `single.csv`, as `groupvit data scenes-evaluation` writes. */
    z.strictObject({ kind: z.literal("voc"), folder: z.string().min(1) }),
    z.strictObject({ kind: z.literal("shapes") }),
  ]),
  /** Pictures of each of the two tests, spread evenly over the set; all if it has fewer. */
  pictures: whole(1, 1e6).default(100),
  /** Side at which pictures are segmented; default: the model's native side. */
  shortSide: whole(8, 4096).optional(),
  /** Pixels whose best score is below this become background. */
  threshold: fraction.default(0.95),
});

const schema = z
  .strictObject({
    /** Names the run in its page and model card. */
    name: z.string().min(1).max(100),
    description: z.string().max(10_000).default(""),
    seed: whole(0, 2 ** 32 - 1).default(1),
    model: model.prefault({}),
    /** Model folder, checkpoint file or Hub id whose weights training begins with. */
    init: z.string().min(1).optional(),
    /** Weights at the start: as published, or positions as waves and assignments that follow likeness. */
    initialisation: z.enum(["published", "structured"]).default("published"),
    trainable: z.enum(["all", "projectors", "group tokens"]).default("all"),
    data,
    /** Longest caption or prompt in tokens, start and end included; default: what the model reads. */
    textTokens: whole(3, 65_536).optional(),
    /** Templates around the nouns of the multi-label loss. */
    prompts: z.enum(["simple", "subset", "full"]).default("full"),
    /** K prompts per caption; 0 leaves the multi-label loss out. */
    multiLabel: whole(0, 64).default(3),
    /** Whether a text fits only its own picture (the paper) or all that name the same nouns. */
    nounTargets: z.enum(["own", "shared"]).default("own"),
    batch: whole(2, 65_536).default(4096),
    /** Samples per pass; changes memory and time, not the numbers. */
    microBatch: whole(1, 65_536).optional(),
    gumbel: z.boolean().default(true),
    dropPath: z.number().min(0).max(0.9).default(0.1),
    assignment: z.enum(["hard", "soft"]).default("hard"),
    /** What pictures' groups should tell apart at least, in nats, and its weight in the loss; beyond the paper. */
    groupInformation: z
      .strictObject({ nats: z.number().positive().max(10), weight: z.number().positive().max(100) })
      .optional(),
    /** What prompts are compared with: the whole picture (the paper) or the segments that fit best. */
    promptsMatch: z.enum(["picture", "segments"]).default("picture"),
    /**
     * Samples side by side along each side of a picture, one entry a step, over and over; 1: one sample a
     * picture (the paper). Every step has as many pictures; `batch` counts the samples of the largest mosaic.
     */
    mosaics: z.array(whole(1, 64)).min(1).max(64).default([1]),
    /** Smallest window of the field of positions that a step's pictures have; 1: all of it (the paper). */
    positionWindow: z.number().min(0.1).max(1).default(1),
    optimiser,
    schedule,
    steps: steps.optional(),
    epochs: z.number().positive().max(1e6).optional(),
    /** Decay of the exponential moving average of the weights; without it there is none. */
    ema: z.number().min(0).max(0.999999).optional(),
    evaluation: evaluation.optional(),
    checkpoint: z
      .strictObject({
        everySteps: steps.optional(),
        everyMinutes: z.number().positive().max(1e5).default(10),
        keep: whole(1, 1000).default(2),
      })
      .prefault({}),
    onBadLoss: z.enum(["stop", "rollback"]).default("stop"),
    /** Types of the weights in the model folders at the end. */
    export: z
      .array(z.enum(["F32", "F16"]))
      .min(1)
      .default(["F32"]),
    /** Where the engine computes steps. Runs are exact on `cpu` alone: others add up in an order of their own. */
    device: z.enum(["cpu", "webgpu", "cuda"]).default("cpu"),
    /** Threads of the engine; default: its own choice. */
    threads: whole(1, 1024).optional(),
    /** Threads that prepare data; they change nothing in the result. 0 works in the engine's thread. */
    dataWorkers: whole(0, 256).default(1),
  })
  .refine((config) => (config.steps === undefined) !== (config.epochs === undefined), {
    path: ["steps"],
    message: "give either steps or epochs",
  })
  .refine(
    ({ promptsMatch, model }) =>
      promptsMatch === "picture" || model.vision.numGroupTokens.some((tokens) => tokens > 0),
    { path: ["promptsMatch"], message: '"segments" needs a stage with group tokens' },
  )
  .refine(
    ({ mosaics, model }) =>
      mosaics.every((side) => side === 1) ||
      model.vision.numGroupTokens.some((tokens) => tokens > 0),
    { path: ["mosaics"], message: "a mosaic needs a stage with group tokens" },
  );

/** A run's configuration, complete. */
export type TrainConfig = Omit<z.output<typeof schema>, "model"> & { model: GroupViTConfig };
/** What a configuration file may hold. */
export type TrainConfigInput = z.input<typeof schema>;

/**
 * Checks a configuration and fills in the defaults.
 *
 * @param json the file's text, or the object it holds
 * @throws ConfigError naming the field, its value and what is allowed; unknown fields are refused
 */
export function parseTrainConfig(json: unknown): TrainConfig {
  let value = json;
  if (typeof json === "string") {
    try {
      value = JSON.parse(json);
    } catch (error) {
      throw new ConfigError(`training config: it is not JSON (${(error as Error).message})`);
    }
  }
  const result = schema.safeParse(value);
  if (!result.success) throw fieldError(value, result.error.issues[0]!);
  const config = result.data;
  checkTogether(config);
  return { ...config, model: parseConfig(configToJson(config.model)) };
}

/** What no field tells alone. */
function checkTogether(config: z.output<typeof schema>): void {
  const { vision, text } = config.model;
  if (vision.imageSize % vision.patchSize !== 0) {
    throw wrong("model.vision.patchSize", vision.patchSize, `divide imageSize ${vision.imageSize}`);
  }
  if (config.textTokens !== undefined && config.textTokens > text.maxPositionEmbeddings) {
    const most = text.maxPositionEmbeddings;
    throw wrong("textTokens", config.textTokens, `be at most maxPositionEmbeddings ${most}`);
  }
  const patches = vision.imageSize / vision.patchSize;
  for (const side of config.mosaics) {
    if (patches % side !== 0) {
      throw wrong("mosaics", side, `divide the picture's ${patches} patches a side`);
    }
  }
  const largest = Math.max(...config.mosaics);
  if (
    config.data.kind === "scenes" &&
    (vision.imageSize / largest < 32 || vision.imageSize > 512)
  ) {
    const must = "be at most 512 for scenes, and give each sample of a mosaic 32 pixels a side";
    throw wrong("model.vision.imageSize", vision.imageSize, must);
  }
  for (const [field, value] of [
    ["batch", config.batch],
    ["microBatch", config.microBatch ?? config.batch],
  ] as const) {
    if (value % largest ** 2 === 0) continue;
    throw wrong(field, value, `be a multiple of the ${largest ** 2} samples of a mosaic`);
  }
  const smallest = Math.min(...config.mosaics);
  if (samplesOf(config, smallest).batch < 2) {
    const must = `give each step two samples; those with ${smallest} along a side would have one`;
    throw wrong("batch", config.batch, must);
  }
  if (config.data.augment !== false) augmentConfig(config.data.augment);
}

/** Samples of a step whose pictures are mosaics of `side` times `side`, and of a pass through the towers. */
export function samplesOf(
  {
    batch,
    microBatch = batch,
    mosaics,
  }: Pick<z.output<typeof schema>, "batch" | "microBatch" | "mosaics">,
  side: number,
): { batch: number; microBatch: number } {
  const share = side ** 2 / Math.max(...mosaics) ** 2;
  return { batch: batch * share, microBatch: microBatch * share };
}

/** What the steps from batch `number` on take in turns: their samples, and the side of each in pixels. */
export function turnsFrom(
  config: Pick<TrainConfig, "batch" | "microBatch" | "mosaics" | "model">,
  number: number,
): { batch: number; size: number }[] {
  const { mosaics, model } = config;
  return mosaics.map((_, turn) => {
    const side = mosaics[(number + turn) % mosaics.length]!;
    return { batch: samplesOf(config, side).batch, size: model.vision.imageSize / side };
  });
}

/** Samples of a step, over all turns. */
export function meanSamples(config: Pick<TrainConfig, "batch" | "microBatch" | "mosaics">): number {
  const { mosaics } = config;
  const total = mosaics.reduce((sum, side) => sum + samplesOf(config, side).batch, 0);
  return total / mosaics.length;
}

function wrong(field: string, value: unknown, must: string): ConfigError {
  return new ConfigError(`training config: ${field} is ${show(value)}; it must ${must}`);
}

function fieldError(value: unknown, issue: z.core.$ZodIssue): ConfigError {
  const field = issue.path.join(".") || "it";
  if (issue.code === "unrecognized_keys") {
    const [key] = issue.keys;
    const full = [...issue.path, key].join(".");
    return new ConfigError(`training config: ${full} is no known field; remove it or correct it`);
  }
  let current: unknown = value;
  for (const key of issue.path) {
    current = (current as Record<PropertyKey, unknown> | undefined)?.[key];
  }
  if (issue.code === "invalid_union" && issue.errors?.[0]?.[0]) {
    const reasons = [...new Set(issue.errors.map((errors) => errors[0]?.message))].join("; or ");
    return new ConfigError(`training config: ${field} is ${show(current)}: ${reasons}`);
  }
  return new ConfigError(`training config: ${field} is ${show(current)}: ${issue.message}`);
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? "missing";
  return text.length > 100 ? `${text.slice(0, 100)}...` : text;
}

/** Fields that may change when a run is taken up again: they say how far and how, not what is learnt. */
const CHANGEABLE = new Set<keyof TrainConfig>([
  "name",
  "description",
  "steps",
  "epochs",
  "schedule",
  "ema",
  "microBatch",
  "evaluation",
  "checkpoint",
  "onBadLoss",
  "export",
  "device",
  "threads",
  "dataWorkers",
]);

/**
 * Compares a run's configuration with the one it is resumed with.
 *
 * @returns changeable fields that differ
 * @throws ConfigError for a field that may not change within a run
 */
export function changedFields(before: TrainConfig, after: TrainConfig): string[] {
  const changed: string[] = [];
  for (const key of new Set([...Object.keys(before), ...Object.keys(after)])) {
    const field = key as keyof TrainConfig;
    const [old, now] = [before[field], after[field]];
    if (canonical(old) === canonical(now)) continue;
    if (!CHANGEABLE.has(field)) {
      throw new ConfigError(
        `training config: ${key} was ${show(old)} when the run began and is ${show(now)} now; ` +
          "put it back, or start another run with another --out (or --fresh)",
      );
    }
    changed.push(key);
  }
  return changed;
}

/** JSON with sorted keys. */
function canonical(value: unknown): string {
  return (
    JSON.stringify(value, (_, item: unknown) =>
      typeof item === "object" && item !== null && !Array.isArray(item)
        ? Object.fromEntries(Object.entries(item).sort(([a], [b]) => (a < b ? -1 : 1)))
        : item,
    ) ?? ""
  );
}
