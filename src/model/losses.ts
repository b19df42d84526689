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
  const composed = assignments.reduce((before, next) => g.matmul(next, before)); // [batch, groups, patches]
  const patches = composed.shape[2] as number;
  const shares = g.multiply(g.reduceSum(composed, [2], false), g.scalar(1 / patches)); // [batch, groups]
  const uncertainty = g.multiply(
    g.reduceSum(entropyTerms(composed), [1, 2], false),
    g.scalar(1 / patches),
  );
  return g.subtract(g.reduceSum(entropyTerms(shares), [1], false), uncertainty);
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
 * Symmetric contrastive loss between n images and m texts: captions (m = n), or the k prompts of each
 * image in the multi-label loss (m = n * k).
 *
 * @param images L2-normalised [n, dim]
 * @param texts L2-normalised [m, dim]
 * @param scale factor of the cosine similarities, a scalar
 */
export function contrastiveLoss(
  images: Tensor,
  texts: Tensor,
  scale: Tensor,
  { imageToText, textToImage }: ContrastiveTargets,
): Tensor {
  const similarity = g.gemm(images, texts, { transA: false, transB: true }); // [n, m]
  const logits = g.multiply(similarity, scale);
  const perImage = crossEntropy(logits, imageToText);
  const perText = crossEntropy(g.transpose(logits, [1, 0]), textToImage);
  return g.multiply(g.add(perImage, perText), g.scalar(0.5));
}
