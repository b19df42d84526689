// The two losses of training (paper, section 3.3): image-caption contrast, and contrast with prompts
// made from the nouns of each caption. Both look at the whole global batch at once.

import * as g from "../graph/build.js";
import type { Tensor } from "../graph/tensor.js";

/** The authors clamp both logit scales here. */
export const LARGEST_LOGIT_SCALE = 100;

/** Rows of [n, dim] divided by their Euclidean length. */
export function normalizeRows(rows: Tensor): Tensor {
  const squares = g.reduceSum(g.multiply(rows, rows), [1], true);
  // Far below any real length; keeps a row of zeros finite.
  return g.divide(rows, g.sqrt(g.add(squares, g.scalar(1e-24))));
}

/** exp(parameter), at most 100. */
export function clampedScale(parameter: Tensor): Tensor {
  return g.minimum(g.exp(parameter), g.scalar(LARGEST_LOGIT_SCALE));
}

/** Logarithm of the softmax over the last axis of [rows, classes]. */
function logSoftmax(logits: Tensor): Tensor {
  const shifted = g.subtract(logits, g.stopGradient(g.reduceMax(logits, [1], true)));
  return g.subtract(shifted, g.log(g.reduceSum(g.exp(shifted), [1], true)));
}

/** Mean cross-entropy of [rows, classes] logits against target distributions of the same shape. */
export function crossEntropy(logits: Tensor, targets: Tensor): Tensor {
  const rows = logits.shape[0] as number;
  const perEntry = g.multiply(logSoftmax(logits), targets);
  return g.multiply(g.reduceSum(perEntry, [0, 1], false), g.scalar(-1 / rows));
}

/**
 * How far each picture's last groups tell its patches apart, beyond the paper: the mutual information, in
 * nats, of patch and group under the soft assignments of all stages, one after the other. 0 where every patch
 * is assigned alike (one group takes all, or all are as likely), ln(groups) where equal parts are certain.
 * No stage can add to what the one before it has told apart, so the last speaks for all.
 *
 * @param assignments of each grouping block [batch, groups, tokens], sums over groups 1
 * @returns [batch]
 */
export function groupInformation(assignments: readonly Tensor[]): Tensor {
  const composed = compose(assignments);
  const patches = composed.shape[2] as number;
  const uncertainty = g.multiply(
    g.reduceSum(entropyTerms(composed), [1, 2], false),
    g.scalar(1 / patches),
  );
  return g.subtract(g.reduceSum(entropyTerms(shares(composed)), [1], false), uncertainty);
}

/**
 * Share of the picture in each of its last groups, under the assignments of all stages.
 *
 * @param assignments of each grouping block [batch, groups, tokens], sums over groups 1
 * @returns [batch, groups], sums over groups 1
 */
export function groupShares(assignments: readonly Tensor[]): Tensor {
  return shares(compose(assignments));
}

/**
 * The same of each cell of a mosaic: `side` times `side` equal squares.
 *
 * @param assignments of each grouping block [batch, groups, tokens], sums over groups 1; the first one's
 *   tokens are the patches of a square grid, row by row
 * @returns [batch, side * side, groups], cells row by row
 */
export function cellShares(assignments: readonly Tensor[], side: number): Tensor {
  const composed = compose(assignments);
  const [batch, groups, patches] = composed.shape as [number, number, number];
  const inner = Math.sqrt(patches) / side;
  const cells = g.reshape(composed, [batch, groups, side, inner, side, inner]);
  const sums = g.reduceSum(cells, [3, 5], false); // [batch, groups, side, side]
  const rows = g.reshape(sums, [batch, groups, side * side]);
  return g.multiply(g.transpose(rows, [0, 2, 1]), g.scalar(1 / inner ** 2));
}

/** Share at which a segment of a cell has half the weight that it can have. */
const HALF_WEIGHT = 0.2;

/**
 * Weights of the segments of a cell: they grow ever less with their shares, so that a thing counts for nearly as
 * much as the wide ground around it, and hardly gains by taking that in.
 *
 * @param shares [batch, cells, groups], sums over groups 1
 * @returns the same shape, sums over groups 1
 */
export function evenShares(shares: Tensor): Tensor {
  const evened = g.divide(shares, g.add(shares, g.scalar(HALF_WEIGHT)));
  return g.divide(evened, g.reduceSum(evened, [2], true));
}

/** Squared distance, in normalised pixels, within which colours count as the same. */
const SAME_COLOUR = 0.0625;
/** The same as a share of the mean squared distance of a picture's patches, added to it. */
const ALIKE = 0.05;
/** Distance, in sides of the picture, over which likeness fades. */
const REACH = 0.3;

/**
 * How alike the patches of a picture look: nearness of the means and deviations of their colours, fading
 * with the distance in the picture. No gradient reaches the patches.
 *
 * @param patches normalised pixels [batch, patches, size * size * channels] of a square grid, each patch in
 *   row, column, channel order
 * @returns [batch, patches, patches], rows sum to 1, a patch itself left out
 */
export function patchLikeness(patches: Tensor, channels: number): Tensor {
  const [, count, inside] = patches.shape as [number, number, number];
  const pixels = inside / channels;
  const mean = Float32Array.from({ length: channels * inside }, (_, i) =>
    (i % inside) % channels === Math.floor(i / inside) ? 1 / pixels : 0,
  );
  const means = g.constant(mean, [channels, inside]);
  const colour = g.linear(patches, means);
  const squares = g.linear(g.multiply(patches, patches), means);
  const variance = g.subtract(squares, g.multiply(colour, colour));
  const deviation = g.sqrt(g.relu(variance));
  const looks = g.concat([colour, deviation], 2); // [batch, patches, 2 * channels]
  const lengths = g.reduceSum(g.multiply(looks, looks), [2], true);
  const products = g.matmul(looks, g.swapLast(looks));
  const distances = g.subtract(
    g.add(lengths, g.swapLast(lengths)),
    g.multiply(products, g.scalar(2)),
  );
  const total = g.reduceSum(distances, [1, 2], true); // [batch, 1, 1]
  const width = g.add(g.multiply(total, g.scalar(ALIKE / count ** 2)), g.scalar(SAME_COLOUR));
  const alike = g.exp(g.divide(g.multiply(distances, g.scalar(-0.5)), width));
  const weights = g.multiply(alike, g.constant(nearness(count), [1, count, count]));
  const totals = g.add(g.reduceSum(weights, [2], true), g.scalar(1e-12));
  return g.stopGradient(g.divide(weights, totals));
}

/** [patches * patches]: 1 where patches would meet, less the farther apart; 0 for a patch and itself. */
function nearness(count: number): Float32Array {
  const side = Math.sqrt(count);
  return Float32Array.from({ length: count * count }, (_, i) => {
    const [one, two] = [Math.floor(i / count), i % count];
    if (one === two) return 0;
    const rows = Math.floor(one / side) - Math.floor(two / side);
    const columns = (one % side) - (two % side);
    return Math.exp(-(rows ** 2 + columns ** 2) / (2 * (REACH * side) ** 2));
  });
}

/**
 * How often patches that look alike are in different last groups, beyond the paper: the mean, over patches and
 * those like them, of the probability that their groups differ. 0 where groups cut nothing that looks alike.
 *
 * @param assignments of each grouping block [batch, groups, tokens], sums over groups 1
 * @param likeness [batch, patches, patches], see {@link patchLikeness}
 * @returns [batch]
 */
export function likenessCut(assignments: readonly Tensor[], likeness: Tensor): Tensor {
  const composed = compose(assignments); // [batch, groups, patches]
  const patches = composed.shape[2] as number;
  const ofAlike = g.matmul(composed, g.swapLast(likeness));
  const together = g.reduceSum(g.multiply(composed, ofAlike), [1, 2], false);
  return g.subtract(g.scalar(1), g.multiply(together, g.scalar(1 / patches)));
}

/** Assignments one after the other: [batch, last groups, patches]. */
function compose(assignments: readonly Tensor[]): Tensor {
  return assignments.reduce((before, next) => g.matmul(next, before));
}

function shares(composed: Tensor): Tensor {
  return g.multiply(g.reduceSum(composed, [2], false), g.scalar(1 / (composed.shape[2] as number)));
}

/** -p ln p, 0 where p is 0. */
function entropyTerms(p: Tensor): Tensor {
  return g.multiply(g.multiply(p, g.log(g.add(p, g.scalar(1e-9)))), g.scalar(-1));
}

/** Target distributions of a contrastive loss between n images and m texts; rows sum to 1. */
export interface ContrastiveTargets {
  /** [n, m] */
  imageToText: Tensor;
  /** [m, n] */
  textToImage: Tensor;
}

/**
 * The paper's targets: every image's own k texts share its row, every text has its own image.
 *
 * @param n images
 * @param k texts of each image, one after the other
 */
export function ownTargets(n: number, k: number): ContrastiveTargets {
  const own = new Float32Array(n * n * k);
  for (let image = 0; image < n; image++) {
    own.fill(1, image * n * k + image * k, image * n * k + (image + 1) * k);
  }
  const matrix = g.constant(own, [n, n * k]);
  return {
    imageToText: g.multiply(matrix, g.scalar(1 / k)),
    textToImage: g.transpose(matrix, [1, 0]),
  };
}

/**
 * Scaled cosine similarities of rows and texts.
 *
 * @param rows L2-normalised [n, dim]
 * @param texts L2-normalised [m, dim]
 * @param scale factor, a scalar
 * @returns [n, m]
 */
export function similarities(rows: Tensor, texts: Tensor, scale: Tensor): Tensor {
  return g.multiply(g.gemm(rows, texts, { transA: false, transB: true }), scale);
}

/**
 * How well texts fit pictures where they fit best, beyond the paper: the logarithm of the mean, over a
 * picture's patches, of exp(scaled similarity of text and patch's segment). A text that fits one segment alone
 * fits the picture, so segments gain by being of one thing. Segments without patches count for nothing, and
 * none gains by growing: no gradient reaches the shares.
 *
 * @param logits scaled similarities [n * segments, m]
 * @param shares of the picture in each segment [n, segments], sums over segments 1
 * @returns [n, m]
 */
export function bestSegments(logits: Tensor, shares: Tensor): Tensor {
  const [images, segments] = shares.shape as [number, number];
  const texts = logits.shape[1]!;
  // Keeps a segment without patches finite, and far below any other.
  const weight = g.log(g.add(g.stopGradient(shares), g.scalar(1e-20)));
  const weighted = g.add(
    g.reshape(logits, [images, segments, texts]),
    g.reshape(weight, [images, segments, 1]),
  );
  const largest = g.stopGradient(g.reduceMax(weighted, [1], true)); // [n, 1, m]
  const total = g.reduceSum(g.exp(g.subtract(weighted, largest)), [1], true);
  return g.reshape(g.add(g.log(total), largest), [images, texts]);
}

/**
 * Symmetric contrastive loss between n images and m texts: captions (m = n), or the k prompts of each
 * image in the multi-label loss (m = n * k).
 *
 * @param logits scaled similarities [n, m]
 */
export function contrastiveLoss(
  logits: Tensor,
  { imageToText, textToImage }: ContrastiveTargets,
): Tensor {
  const perImage = crossEntropy(logits, imageToText);
  const perText = crossEntropy(g.transpose(logits, [1, 0]), textToImage);
  return g.multiply(g.add(perImage, perText), g.scalar(0.5));
}
