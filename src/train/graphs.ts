// The graphs of one training step. A contrastive loss couples the whole batch, and batch norm couples it
// again, so the step has a seam between towers and head: encode (features only), head (losses over the
// whole batch, gradients of every feature), backward (towers again, one micro-batch at a time). When the
// whole batch fits into one pass, the three are one graph.

import * as g from "../graph/build.js";
import type { Seed } from "../graph/gradient.js";
import { backpropagate, gradient } from "../graph/gradient.js";
import type { Tensor } from "../graph/tensor.js";
import type { GroupViTConfig } from "../model/config.js";
import { imageTower, nativeGrid, positionParameter } from "../model/image-tower.js";
import type { Outputs } from "../model/inference.js";
import type { ModelContext } from "../model/layers.js";
import { modelContext } from "../model/layers.js";
import {
  bestSegments,
  cellShares,
  clampedScale,
  contrastiveLoss,
  evenShares,
  groupInformation,
  groupShares,
  likenessCut,
  normalizeRows,
  ownTargets,
  patchLikeness,
  similarities,
} from "../model/losses.js";
import type { Projector } from "../model/projector.js";
import { projectBatch } from "../model/projector.js";
import { textTower } from "../model/text-tower.js";
import { orthogonalised } from "./optimiser.js";

export interface TrainingGraphOptions {
  /** Pictures per step, over which the losses couple. */
  batch: number;
  /** Prompts per caption of the multi-label loss; 0 leaves that loss out. */
  multiLabel: number;
  /** Gumbel noise in the assignments. */
  gumbel: boolean;
  /** Largest drop-path rate; it grows linearly over the blocks. 0: none. */
  dropPath: number;
  assignment: "hard" | "soft";
  /**
   * Targets of both losses. `own`: a text belongs to the picture it was made for (the paper). `shared`: a
   * prompt belongs to every picture of the batch that names its noun, and a caption to every picture that
   * names the same nouns, so that a second dog is no false negative. Default `own`.
   */
  nounTargets?: "own" | "shared";
  /**
   * Beyond the paper: pictures whose groups tell less than `nats` of their patches apart add what is missing,
   * times `weight`, to the loss. Keeps groups alive where few samples and steps would let one take all.
   */
  groupInformation?: { weight: number; nats: number };
  /**
   * Beyond the paper: the share of patches that look alike but are in different last groups (`likenessCut`),
   * times `weight`, is added to the loss. So that ground does not go with what stands before it.
   */
  likeness?: { weight: number };
  /**
   * What the prompts of the multi-label loss are compared with: the picture as a whole (`picture`, the paper),
   * or its segments, of which the best-fitting count (`segments`, beyond the paper). Default `picture`.
   */
  promptsMatch?: "picture" | "segments";
  /**
   * Beyond the paper: a picture is a mosaic of `mosaic` times `mosaic` samples side by side, each with its own
   * texts, which are compared with what the groups hold of its cell; samples beside it are among those it must
   * not fit, so that segments cannot stand for the whole picture. 1, the paper: one sample a picture.
   */
  mosaic?: number;
  /**
   * Beyond the paper: the smallest window of the field of positions that a picture may have, as a share of
   * its side; the same window for all pictures of a step. So that no group is tied to a place. Default 1.
   */
  positionWindow?: number;
}

/** Samples of a picture. */
export function cellsOf({ mosaic = 1 }: Pick<TrainingGraphOptions, "mosaic">): number {
  return mosaic ** 2;
}

/** Names of a graph's inputs and outputs for a parameter. */
export const names = {
  sum: (parameter: string) => `sum:${parameter}`,
  grad: (parameter: string) => `grad:${parameter}`,
  direction: (parameter: string) => `direction:${parameter}`,
  orthogonal: (parameter: string) => `orthogonal:${parameter}`,
};

/** Residual branches of the image tower that drop path acts on. */
export function dropPathBranches(config: GroupViTConfig): number {
  return 2 * config.vision.depths.reduce((a, b) => a + b, 0);
}

/** Rates of those branches, in order: linear over the blocks, two branches a block. */
export function dropPathRates(config: GroupViTConfig, largest: number): number[] {
  const blocks = dropPathBranches(config) / 2;
  return Array.from({ length: blocks * 2 }, (_, i) =>
    blocks > 1 ? (largest * Math.floor(i / 2)) / (blocks - 1) : 0,
  );
}

/** Shape of the gumbel noise of each grouping block, without the batch: [groups, tokens]. */
export function gumbelShapes(config: GroupViTConfig): [number, number][] {
  const { numGroupTokens, numOutputGroups } = config.vision;
  const shapes: [number, number][] = [];
  let tokens = nativeGrid(config.vision) ** 2;
  numGroupTokens.forEach((groups, stage) => {
    if (groups === 0) return;
    shapes.push([numOutputGroups[stage]!, tokens]);
    tokens = numOutputGroups[stage]!;
  });
  return shapes;
}

/**
 * Numbers per sample that the head reads: the pooled segments, or, where prompts match segments or samples are
 * cells, each segment of the picture followed by its share of the sample.
 */
export function imageFeatureWidth(config: GroupViTConfig, options: TrainingGraphOptions): number {
  const { hiddenSize } = config.vision;
  return hasShares(options) ? segmentCount(config) * (hiddenSize + 1) : hiddenSize;
}

/** Groups of the last grouping block. */
function segmentCount(config: GroupViTConfig): number {
  const { numGroupTokens, numOutputGroups } = config.vision;
  return numOutputGroups[numGroupTokens.findLastIndex((groups) => groups > 0)]!;
}

function matchesSegments({ promptsMatch, multiLabel }: TrainingGraphOptions): boolean {
  return promptsMatch === "segments" && multiLabel > 0;
}

function hasShares(options: TrainingGraphOptions): boolean {
  return matchesSegments(options) || cellsOf(options) > 1;
}

type Context = ReturnType<typeof modelContext>;

/** The image tower over `samples`, with its inputs: [samples, feature width], and group usage. */
function encodeImages(
  config: GroupViTConfig,
  samples: number,
  options: TrainingGraphOptions,
): { ctx: Context; features: Tensor; usage: Outputs; missing: Seed[] } {
  const { hiddenSize } = config.vision;
  const images = samples / cellsOf(options);
  const usage: Outputs = {};
  const assignments: Tensor[] = [];
  const weights: Tensor[] = [];
  const branches = dropPathBranches(config);
  const drop =
    options.dropPath > 0 ? g.input("drop_path", "f32", [branches, images, 1, 1]) : undefined;
  let branch = 0;
  const hooks: Omit<ModelContext, "parameter"> = {
    assignment: options.assignment,
    tap(name, tensor) {
      if (/^group\d+\.soft$/.test(name)) assignments.push(tensor);
      if (/^group\d+\.weights$/.test(name)) weights.push(tensor);
      const index = /^group(\d+)\.hard$/.exec(name)?.[1];
      if (index === undefined) return;
      // Share of tokens that chose each group: collapse shows here first.
      const tokens = (tensor.shape[0] as number) * (tensor.shape[2] as number);
      const chosen = g.reduceSum(tensor, [0, 2], false);
      usage[`usage_${index}`] = g.multiply(chosen, g.scalar(1 / tokens)); // [groups]
    },
  };
  if (options.gumbel) {
    hooks.gumbelNoise = (index, like) => g.input(`gumbel_${index}`, "f32", like.shape);
  }
  if (drop) {
    hooks.dropPath = (x) => {
      const factor = g.slice(drop, 0, branch, branch + 1);
      branch++;
      return g.multiply(x, g.reshape(factor, [images, 1, 1]));
    };
  }
  const ctx = modelContext(hooks);
  const patches = patchesOf(config, samples, options);
  const tower = imageTower(ctx, config.vision, patches, positionsOf(ctx, config, options));
  const missing: Seed[] = [];
  // Each picture's share of the batch's loss, whatever the cut.
  const share = (weight: number) =>
    g.multiply(
      g.constant(new Float32Array(images).fill(1), [images]),
      g.scalar((weight * cellsOf(options)) / options.batch),
    );
  if (options.groupInformation && assignments.length > 0) {
    const { weight, nats } = options.groupInformation;
    const information = groupInformation(assignments); // [images]
    usage.group_information = g.reduceMean(information, 0, true); // [1]
    const lacking = g.subtract(g.scalar(nats), g.minimum(information, g.scalar(nats)));
    missing.push({ tensor: lacking, grad: share(weight) });
  }
  if (options.likeness && assignments.length > 0) {
    const cut = likenessCut(assignments, patchLikeness(patches, config.vision.numChannels));
    usage.likeness_cut = g.reduceMean(cut, 0, true); // [1]
    missing.push({ tensor: cut, grad: share(options.likeness.weight) });
  }
  if (!hasShares(options)) return { ctx, features: tower.pooled, usage, missing };
  const cells = cellsOf(options);
  // Whose loss goes through cells needs the assignments that made the segments.
  const shares =
    cells > 1 ? evenShares(cellShares(weights, options.mosaic!)) : groupShares(assignments);
  const count = segmentCount(config);
  const segments = g.reshape(tower.lastHiddenState, [images, 1, count, hiddenSize]);
  const features = g.concat(
    [
      g.reshape(g.expand(segments, [images, cells, count, hiddenSize]), [
        samples,
        count,
        hiddenSize,
      ]),
      g.reshape(shares, [samples, count, 1]),
    ],
    2,
  );
  const width = imageFeatureWidth(config, options);
  return { ctx, features: g.reshape(features, [samples, width]), usage, missing };
}

/** The input of samples, put together to pictures: [pictures, patches, numbers in a patch]. */
function patchesOf(
  { vision }: GroupViTConfig,
  samples: number,
  { mosaic: side = 1 }: TrainingGraphOptions,
): Tensor {
  const { patchSize, numChannels } = vision;
  const grid = nativeGrid(vision);
  const inside = patchSize ** 2 * numChannels;
  const inner = grid / side;
  const patches = g.input("patches", "f32", [samples, inner ** 2, inside]);
  if (side === 1) return patches;
  const pictures = samples / side ** 2;
  const cells = g.reshape(patches, [pictures, side, side, inner, inner, inside]);
  // Rows of a picture: of its cells, of patches in them; columns likewise.
  const rows = g.transpose(cells, [0, 1, 3, 2, 4, 5]);
  return g.reshape(rows, [pictures, grid ** 2, inside]);
}

/** Position embeddings of the step's window. */
function positionsOf(
  ctx: Context,
  config: GroupViTConfig,
  { positionWindow = 1 }: TrainingGraphOptions,
): Tensor {
  const stored = positionParameter(ctx, config.vision);
  if (positionWindow === 1) return stored;
  const count = nativeGrid(config.vision) ** 2;
  return g.matmul(g.input("position_weights", "f32", [1, count, count]), stored);
}

/** The text tower over `texts` prompts of one length that is known at run time: [texts, width]. */
function encodeTexts(config: GroupViTConfig, texts: number): { ctx: Context; features: Tensor } {
  const tokens = g.symbol("tokens");
  const ctx = modelContext();
  const { pooled } = textTower(
    ctx,
    config.text,
    g.input("ids", "i32", [texts, tokens]),
    g.input("positions", "i32", [tokens]),
    g.input("mask", "f32", [1, 1, tokens, tokens]),
    g.input("ends", "i32", [texts]),
  );
  return { ctx, features: pooled };
}

/**
 * Projectors and losses over the whole batch.
 *
 * @param imageFeatures of samples [n, image feature width]
 * @param textFeatures [n * (1 + multiLabel), text width]: of each image its caption, then its prompts
 */
function lossHead(
  config: GroupViTConfig,
  imageFeatures: Tensor,
  textFeatures: Tensor,
  options: TrainingGraphOptions,
): { ctx: Context; total: Tensor; outputs: Outputs } {
  const ctx = modelContext();
  const n = imageFeatures.shape[0] as number;
  const perImage = 1 + options.multiLabel;
  const dim = config.projectionDim;
  const { hiddenSize } = config.vision;
  const count = segmentCount(config);
  const unpacked = hasShares(options)
    ? g.reshape(imageFeatures, [n, count, hiddenSize + 1])
    : undefined;
  const segments = unpacked && g.slice(unpacked, 2, 0, hiddenSize); // [n, segments, width]
  const shares = unpacked && g.slice(unpacked, 2, hiddenSize, hiddenSize + 1); // [n, segments, 1]
  let pooled = imageFeatures;
  if (segments && shares) {
    pooled =
      cellsOf(options) > 1
        ? g.reduceSum(g.multiply(segments, shares), [1], false)
        : g.reduceMean(segments, 1, false);
  }
  const images = projectBatch(ctx, "visual_projection", pooled, config);
  const texts = projectBatch(ctx, "text_projection", textFeatures, config);
  const imageRows = normalizeRows(images.projected);
  const textRows = g.reshape(normalizeRows(texts.projected), [n, perImage, dim]);
  const captions = g.reshape(g.slice(textRows, 1, 0, 1), [n, dim]);
  const scale = clampedScale(ctx.parameter("logit_scale", []));
  const shared = options.nounTargets === "shared";
  // Pictures with the same nouns are classes of equals: the matrix is symmetric.
  const equals = shared && g.input("caption_targets", "f32", [n, n]);
  const captionTargets = equals ? { imageToText: equals, textToImage: equals } : ownTargets(n, 1);
  const contrastive = contrastiveLoss(similarities(imageRows, captions, scale), captionTargets);
  const outputs: Outputs = { contrastive_loss: contrastive };
  let total = contrastive;
  if (options.multiLabel > 0) {
    const promptCount = n * options.multiLabel;
    const prompts = g.reshape(g.slice(textRows, 1, 1, perImage), [promptCount, dim]);
    const ownScale = clampedScale(ctx.parameter("multi_label_logit_scale", []));
    const targets = shared
      ? {
          imageToText: g.input("image_targets", "f32", [n, promptCount]),
          textToImage: g.input("text_targets", "f32", [promptCount, n]),
        }
      : ownTargets(n, options.multiLabel);
    let logits: Tensor;
    if (segments && shares && matchesSegments(options)) {
      const flat = g.reshape(segments, [n * count, hiddenSize]);
      const rows = normalizeRows(images.also(flat));
      logits = bestSegments(similarities(rows, prompts, ownScale), g.reshape(shares, [n, count]));
    } else {
      logits = similarities(imageRows, prompts, ownScale);
    }
    outputs.multi_label_loss = contrastiveLoss(logits, targets);
    total = g.add(total, outputs.multi_label_loss);
  }
  outputs.loss = total;
  const statistics: [Projector, typeof images.statistics][] = [
    ["visual_projection", images.statistics],
    ["text_projection", texts.statistics],
  ];
  for (const [name, { mean, variance }] of statistics) {
    outputs[`${name}.mean`] = mean;
    outputs[`${name}.variance`] = variance;
  }
  return { ctx, total, outputs };
}

function gradOutputs(seeds: readonly Seed[], ...contexts: Context[]): Outputs {
  const parameters = contexts.flatMap((ctx) => [...ctx.parameters]);
  const grads = backpropagate(
    seeds,
    parameters.map(([, tensor]) => tensor),
  );
  return Object.fromEntries(parameters.map(([name], i) => [names.grad(name), grads[i]!]));
}

/** Adds each gradient to the sum so far, which is fed as `sum:` inputs. */
function summed(grads: Outputs, contexts: readonly Context[]): Outputs {
  const outputs: Outputs = {};
  for (const ctx of contexts) {
    for (const [name, { shape }] of ctx.parameters) {
      const sum = g.input(names.sum(name), "f32", shape);
      outputs[names.grad(name)] = g.add(sum, grads[names.grad(name)]!);
    }
  }
  return outputs;
}

export type Tower = "image" | "text";

/** Features of one micro-batch: output `features`, and group usage for images. */
export function encodeGraph(
  config: GroupViTConfig,
  tower: Tower,
  count: number,
  options: TrainingGraphOptions,
): Outputs {
  if (tower === "text") return { features: encodeTexts(config, count).features };
  const { features, usage } = encodeImages(config, count, options);
  return { features, ...usage };
}

/** The same micro-batch again, back from `feature_grads`: parameter gradients, added to `sum:` inputs. */
export function backwardGraph(
  config: GroupViTConfig,
  tower: Tower,
  count: number,
  options: TrainingGraphOptions,
): Outputs {
  const { ctx, features, missing } =
    tower === "text"
      ? { ...encodeTexts(config, count), missing: [] }
      : encodeImages(config, count, options);
  const grad = g.input("feature_grads", "f32", features.shape);
  return summed(gradOutputs([{ tensor: features, grad }, ...missing], ctx), [ctx]);
}

/** Losses, batch statistics, gradients of the head's parameters and of every feature. */
export function headGraph(
  config: GroupViTConfig,
  batch: number,
  options: TrainingGraphOptions,
): Outputs {
  const texts = batch * (1 + options.multiLabel);
  const images = g.input("image_features", "f32", [batch, imageFeatureWidth(config, options)]);
  const words = g.input("text_features", "f32", [texts, config.text.hiddenSize]);
  const { ctx, total, outputs } = lossHead(config, images, words, options);
  const [imageGrads, textGrads] = gradient(total, [images, words]);
  return {
    ...outputs,
    ...gradOutputs([{ tensor: total, grad: g.scalar(1) }], ctx),
    image_grads: imageGrads!,
    text_grads: textGrads!,
  };
}

/** Losses and all gradients of a batch that fits into one pass. */
export function wholeGraph(
  config: GroupViTConfig,
  batch: number,
  options: TrainingGraphOptions,
): Outputs {
  const images = encodeImages(config, batch, options);
  const texts = encodeTexts(config, batch * (1 + options.multiLabel));
  const head = lossHead(config, images.features, texts.features, options);
  const seed = { tensor: head.total, grad: g.scalar(1) };
  return {
    ...head.outputs,
    ...images.usage,
    ...gradOutputs([seed, ...images.missing], images.ctx, texts.ctx, head.ctx),
  };
}

/** Muon's matrices, `direction:` inputs, made orthogonal: the same names with `orthogonal:`. */
export function orthogonalGraph(matrices: ReadonlyMap<string, readonly number[]>): Outputs {
  return Object.fromEntries(
    [...matrices].map(([name, shape]) => [
      names.orthogonal(name),
      orthogonalised(g.input(names.direction(name), "f32", shape)),
    ]),
  );
}
