// The graphs of exported files: they take pixels and token ids as other programs have them, and work out
// patches, positions, masks and scores inside.

import * as g from "../graph/build.js";
import type { Dim } from "../graph/dim.js";
import { productOf, symbol } from "../graph/dim.js";
import type { Tensor } from "../graph/tensor.js";
import type { GroupViTConfig } from "./config.js";
import { nativeGrid, positionParameter } from "./image-tower.js";
import type { Outputs } from "./inference.js";
import { imageOutputs } from "./inference.js";
import { modelContext } from "./layers.js";
import { clampedScale, normalizeRows } from "./losses.js";
import { project } from "./projector.js";
import { textTower } from "./text-tower.js";

/** How many labels, nearest to the picture, may win a segment: as the authors. */
const TOP_LABELS = 5;

/**
 * Pictures to segments, for any batch and size.
 *
 * Input: `pixel_values` f32 [batch, channels, height, width], normalised. Outputs: `image_embeds`
 * [batch, dim] and `segment_embeds` [batch, segments, dim], both L2-normalised, and `assignment_0`,
 * `assignment_1`, ... [batch, groups, tokens], soft; the tokens of the first are patches in rows.
 * Positions of other than the native size are interpolated as the authors do.
 */
export function exportedImageGraph(config: GroupViTConfig): Outputs {
  const { patchSize, numChannels, hiddenSize } = config.vision;
  const batch = symbol("batch");
  const pixels = g.input("pixel_values", "f32", [
    batch,
    numChannels,
    symbol("height"),
    symbol("width"),
  ]);
  const cells = g.spaceToDepth(pixels, patchSize); // [batch, patch * patch * channels, rows, columns]
  const [, inside, rows, columns] = cells.shape as [Dim, Dim, Dim, Dim];
  const count = productOf([rows, columns]);
  const patches = g.reshape(g.transpose(cells, [0, 2, 3, 1]), [batch, count, inside]);

  const ctx = modelContext();
  const side = nativeGrid(config.vision);
  const table = g.reshape(positionParameter(ctx, config.vision), [1, side, side, hiddenSize]);
  const resized = g.resizeCubic(g.transpose(table, [0, 3, 1, 2]), rows, columns);
  const positions = g.reshape(g.transpose(resized, [0, 2, 3, 1]), [1, count, hiddenSize]);

  const { image_features, segment_features, ...assignments } = imageOutputs(
    ctx,
    config,
    patches,
    positions,
  );
  const segments = segment_features!.shape;
  const segmentRows = g.reshape(segment_features!, [
    productOf(segments.slice(0, 2)),
    config.projectionDim,
  ]);
  return {
    image_embeds: normalizeRows(image_features!),
    segment_embeds: g.reshape(normalizeRows(segmentRows), segments),
    ...assignments,
  };
}

/**
 * Prompts to vectors, for any number of prompts of any length.
 *
 * Input: `input_ids` i64 [texts, tokens], each from the start token to the end-of-text token (the largest
 * id), padded after it by anything up to that id. Output: `text_embeds` [texts, dim], L2-normalised.
 */
export function exportedTextGraph(config: GroupViTConfig): Outputs {
  const [texts, tokens] = [symbol("texts"), symbol("tokens")];
  const ids = g.cast(g.input("input_ids", "i64", [texts, tokens]), "i32");
  const positions = g.range(tokens);
  const row = g.reshape(positions, [1, 1, tokens, 1]);
  const column = g.reshape(positions, [1, 1, 1, tokens]);
  const seen = g.equal(g.minimum(row, column), column); // column <= row
  const mask = g.where(seen, g.scalar(0), g.scalar(Number.NEGATIVE_INFINITY));
  const numbered = g.reshape(g.range(productOf([texts, tokens])), [texts, tokens]);
  const ends = g.add(g.slice(numbered, 1, 0, 1), g.argMax(ids, 1)); // [texts, 1]

  const ctx = modelContext();
  const end = g.reshape(ends, [texts]);
  const { pooled } = textTower(ctx, config.text, ids, positions, mask, end);
  return { text_embeds: normalizeRows(project(ctx, "text_projection", pooled, config)) };
}

/**
 * Scores of pictures and segments against texts, from the embeddings that the towers give.
 *
 * Outputs: `logits_per_image` [batch, texts] and `segment_logits` [batch, segments, texts], cosine
 * similarity times the logit scale (at most 100), and `segment_scores` [batch, segments, texts], the
 * authors' affinity: softmax over all texts times softmax over the five nearest to the picture, 0 for the
 * others.
 */
export function matcherOutputs(image: Tensor, segments: Tensor, texts: Tensor): Outputs {
  const [batch, perImage, dim] = segments.shape as [Dim, Dim, Dim];
  const labels = texts.shape[0]!;
  const scale = clampedScale(modelContext().parameter("logit_scale", []));
  const similarity = (rows: Tensor) =>
    g.multiply(g.gemm(rows, texts, { transA: false, transB: true }), scale);

  const imageLogits = similarity(image); // [batch, texts]
  const segmentRows = g.reshape(segments, [productOf([batch, perImage]), dim]);
  const shape = [batch, perImage, labels];
  const segmentLogits = g.reshape(similarity(segmentRows), shape);

  // The nearest labels one after the other; each that is found is struck out.
  const none = g.scalar(Number.NEGATIVE_INFINITY);
  const index = g.reshape(g.range(labels), [1, labels]);
  let rest = imageLogits;
  for (let i = 0; i < TOP_LABELS; i++) {
    rest = g.where(g.equal(g.argMax(rest, 1), index), none, rest);
  }
  const nearest = g.reshape(g.equal(rest, none), [batch, 1, labels]);
  const kept = g.softmax(g.where(nearest, segmentLogits, none), -1);
  return {
    logits_per_image: imageLogits,
    segment_logits: segmentLogits,
    segment_scores: g.multiply(g.softmax(segmentLogits, -1), kept),
  };
}

/** `matcherOutputs` by itself; inputs `image_embeds`, `segment_embeds`, `text_embeds`. */
export function exportedMatcherGraph(config: GroupViTConfig): Outputs {
  const [batch, dim] = [symbol("batch"), config.projectionDim];
  return matcherOutputs(
    g.input("image_embeds", "f32", [batch, dim]),
    g.input("segment_embeds", "f32", [batch, symbol("segments"), dim]),
    g.input("text_embeds", "f32", [symbol("texts"), dim]),
  );
}

/** Everything in one graph: inputs `pixel_values` and `input_ids`, all outputs of the three parts. */
export function exportedGraph(config: GroupViTConfig): Outputs {
  const image = exportedImageGraph(config);
  const text = exportedTextGraph(config);
  const scores = matcherOutputs(image.image_embeds!, image.segment_embeds!, text.text_embeds!);
  return { ...image, ...text, ...scores };
}
