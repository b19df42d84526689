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
 * Symmetric contrastive loss between n images and their n * k texts (k = 1: captions; k > 1: the
 * multi-label loss, whose image-to-text targets spread 1 / k over the image's own k prompts).
 *
 * @param images L2-normalised [n, dim]
 * @param texts L2-normalised [n * k, dim], the k texts of an image one after the other
 * @param scale factor of the cosine similarities, a scalar
 */
export function contrastiveLoss(images: Tensor, texts: Tensor, scale: Tensor): Tensor {
  const [n, dim] = images.shape as [number, number];
  const rows = texts.shape[0] as number;
  const k = rows / n;
  if (!Number.isInteger(k) || texts.shape[1] !== dim) {
    throw new Error(`contrastiveLoss: ${n} images of width ${dim} do not pair with ${rows} texts`);
  }
  const similarity = g.gemm(images, texts, { transA: false, transB: true }); // [n, n * k]
  const logits = g.multiply(similarity, scale);
  const own = new Float32Array(n * rows);
  for (let image = 0; image < n; image++) {
    own.fill(1, image * rows + image * k, image * rows + (image + 1) * k);
  }
  const ownText = g.constant(own, [n, rows]);
  const imageToText = crossEntropy(logits, g.multiply(ownText, g.scalar(1 / k)));
  const textToImage = crossEntropy(g.transpose(logits, [1, 0]), g.transpose(ownText, [1, 0]));
  return g.multiply(g.add(imageToText, textToImage), g.scalar(0.5));
}
