// The configuration file of a training run: every field checked, what is left out filled in with the
// published run's values (GroupViT-S, paper section 4.1).

import { z } from "zod";
import { configToJson, parseConfig } from "../checkpoint/config-file.js";
import { ConfigError } from "../errors.js";
import type { GroupViTConfig } from "../model/config.js";
import { augmentSchema } from "./data/augment.js";

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

/** `false` leaves pictures as they are. */
const augment = z.union([z.literal(false), augmentSchema]);

const data = z.discriminatedUnion("kind", [
  z.strictObject({
    kind: z.literal("webdataset"),
    /** Files, folders, `{00000..00331}` or `*` patterns, http(s) addresses. */
    shards: z.union([z.string().min(1), z.array(z.string().min(1)).min(1)]),
    /** Samples in all, where `epochs` counts them; shards do not tell. */
    samples: steps.optional(),
    shuffleBuffer: whole(1, 1_000_000).default(1000),
    augment: augment.prefault({}),
    /** For the model card. */
    licence: z.string().optional(),
  }),
  z.strictObject({
    kind: z.literal("folder"),
    folder: z.string().min(1),
    /** CSV, TSV, JSON lines, Parquet or COCO captions; without it a `.txt` stands beside each picture. */
    captions: z.string().min(1).optional(),
    shuffleBuffer: whole(1, 1_000_000).default(1000),
    augment: augment.prefault({}),
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
    /** Share of scenes with distorted, recoloured objects in a degraded picture; the difficulty if left out. */
    distorted: fraction.optional(),
    /** Share of pictures that are photographs of one thing before its own ground. */
    photographs: fraction.default(0),
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
    /** Weight, in the loss, of patches that look alike but are in different groups; beyond the paper. */
    likeness: z.strictObject({ weight: z.number().positive().max(100) }).optional(),
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
      // Some editors put a byte order mark first.
      value = JSON.parse(json.replace(/^\uFEFF/, ""));
    } catch (error) {
      throw new ConfigError(`training config: it is not JSON (${(error as Error).message})`);
    }
  }
  const result = schema.safeParse(value);
  if (!result.success) throw fieldError(value, result.error.issues);
  const config = result.data;
  checkTogether(config);
  return { ...config, model: checkedModel(config.model) };
}

/** The model's own checks, whose messages name fields as `config.json` of a model has them. */
function checkedModel(model: z.output<typeof schema>["model"]): GroupViTConfig {
  try {
    return parseConfig(configToJson(model));
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const message = error.message
      .replace("config.json: ", "training config: model.")
      .replace("vision_config.", "vision.")
      .replace("text_config.", "text.")
      .replace(/[a-z]_[a-z_]*/g, (name) =>
        name.replace(/_(.)/g, (_, c: string) => c.toUpperCase()),
      );
    throw new ConfigError(message);
  }
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

/** The error for the most telling issue: a field that does not exist may explain one that is missing. */
function fieldError(value: unknown, found: readonly z.core.$ZodIssue[]): ConfigError {
  const issues = found.flatMap(inBranch);
  const issue = issues.find(({ code }) => code === "unrecognized_keys") ?? issues[0]!;
  if (issue.code === "unrecognized_keys") return unknownField(issue.path, issue.keys[0]!);
  let current: unknown = value;
  for (const key of issue.path) {
    current = (current as Record<PropertyKey, unknown> | undefined)?.[key];
  }
  const field = issue.path.join(".") || "it";
  const expected = expectedTypes(issue);
  if (current === undefined && expected.length > 0) {
    return new ConfigError(`training config: ${field} is missing; give ${expected.join(" or ")}`);
  }
  const reasons =
    issue.code === "invalid_union" && issue.errors.length > 0
      ? [...new Set(issue.errors.map((errors) => errors[0]?.message))].join("; or ")
      : issue.message;
  return new ConfigError(`training config: ${field} is ${show(current)}: ${reasons}`);
}

function expectedTypes(issue: z.core.$ZodIssue): string[] {
  if (issue.code === "invalid_type") {
    return [`${/^[aeiou]/.test(issue.expected) ? "an" : "a"} ${issue.expected}`];
  }
  return issue.code === "invalid_union" ? issue.errors.flat().flatMap(expectedTypes) : [];
}

/** Of a union that an object was given for, what is wrong with the first form that an object may have. */
function inBranch(issue: z.core.$ZodIssue): z.core.$ZodIssue[] {
  if (issue.code !== "invalid_union") return [issue];
  const branch = issue.errors.find((errors) =>
    errors.every(({ code, path }) => code === "unrecognized_keys" || path.length > 0),
  );
  if (!branch) return [issue];
  return branch.flatMap((inner) => inBranch({ ...inner, path: [...issue.path, ...inner.path] }));
}

function unknownField(path: readonly PropertyKey[], key: string): ConfigError {
  const known = fieldsAt(schema, path);
  const before = path.map((part) => `${String(part)}.`).join("");
  const field = `training config: ${before}${key}`;
  if (known.includes(key)) {
    return new ConfigError(`${field} does not go with the other fields there; remove one of them`);
  }
  const meant = nearest(key, known);
  const advice = meant ? `did you mean ${before}${meant}?` : `those there are ${known.join(", ")}`;
  return new ConfigError(`${field} is no known field; ${advice}`);
}

/** Names of the fields that an object of the schema may have, over all its forms. */
function fieldsAt(node: z.core.$ZodType, path: readonly PropertyKey[]): string[] {
  const { def } = node._zod as { def: z.core.$ZodTypes["_zod"]["def"] };
  switch (def.type) {
    case "optional":
    case "default":
    case "prefault":
      return fieldsAt(def.innerType, path);
    case "union":
      return [...new Set(def.options.flatMap((option) => fieldsAt(option, path)))];
    case "object": {
      const [first, ...rest] = path;
      if (first === undefined) return Object.keys(def.shape);
      const inner = def.shape[String(first)];
      return inner ? fieldsAt(inner, rest) : [];
    }
    default:
      return [];
  }
}

/** The name that differs by a few letters, if there is one. */
function nearest(name: string, names: readonly string[]): string | undefined {
  const plain = (text: string) => text.toLowerCase().replace(/[^a-z0-9]/g, "");
  const distances = names.map((other) => editDistance(plain(name), plain(other)));
  const best = Math.min(...distances);
  return best <= Math.max(1, Math.floor(name.length / 4))
    ? names[distances.indexOf(best)]
    : undefined;
}

/** Letters to insert, delete or replace (Levenshtein). */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (const [i, letter] of [...a.slice(0, 64)].entries()) {
    const next = [i + 1];
    for (let j = 0; j < b.length; j++) {
      next.push(Math.min(next[j]! + 1, row[j + 1]! + 1, row[j]! + (letter === b[j] ? 0 : 1)));
    }
    row = next;
  }
  return row[b.length]!;
}

function show(value: unknown): string {
  // JSON knows no infinity, which is what 1e400 becomes.
  const text = typeof value === "number" ? String(value) : (JSON.stringify(value) ?? "missing");
  return text.length > 100 ? `${text.slice(0, 100)}...` : text;
}

/** Fields that may change when a run is taken up again: they say how far and how, not what is learnt. */
const CHANGEABLE = [
  "name",
  "description",
  "steps",
  "epochs",
  "schedule",
  // What a run is told to lower when its loss breaks.
  "optimiser.learningRate",
  "optimiser.clipNorm",
  "ema",
  "microBatch",
  "evaluation",
  "checkpoint",
  "onBadLoss",
  "export",
  "device",
  "threads",
  "dataWorkers",
];

/**
 * Compares a run's configuration with the one it is resumed with.
 *
 * @returns changeable fields that differ
 * @throws ConfigError for a field that may not change within a run
 */
export function changedFields(before: TrainConfig, after: TrainConfig): string[] {
  const changed = new Set<string>();
  for (const [field, old, now] of differences(before, after)) {
    const free = CHANGEABLE.find((name) => field === name || field.startsWith(`${name}.`));
    if (free === undefined) {
      throw new ConfigError(
        `training config: ${field} was ${show(old)} when the run began and is ${show(now)} now; ` +
          "put it back, or start another run with another --out (or --fresh)",
      );
    }
    changed.add(free);
  }
  return [...changed];
}

/** The innermost fields that differ, and both values; lists count as values. */
function differences(
  before: unknown,
  after: unknown,
  path = "",
): [field: string, before: unknown, after: unknown][] {
  if (!isObject(before) || !isObject(after)) {
    return JSON.stringify(before) === JSON.stringify(after) ? [] : [[path, before, after]];
  }
  const keys = new Set([...Object.keys(before), ...Object.keys(after)]);
  return [...keys].flatMap((key) =>
    differences(before[key], after[key], path === "" ? key : `${path}.${key}`),
  );
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
