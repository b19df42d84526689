// The two graphs of inference: pictures to segments, and prompts to vectors.

import * as g from "../graph/build.js";
import { productOf, symbol } from "../graph/dim.js";
import type { Tensor } from "../graph/tensor.js";
import type { GroupViTConfig } from "./config.js";
import { imageTower } from "./image-tower.js";
import type { ModelContext } from "./layers.js";
import { modelContext } from "./layers.js";
import { project } from "./projector.js";
import { textTower } from "./text-tower.js";

/** Named outputs of a graph. */
export type Outputs = Record<string, Tensor>;

/**
 * The image graph, for any batch and any grid.
 *
 * Inputs: `patches` f32 [batch, patches, patch * patch * channels], `positions` f32
 * [1, patches, width]. Outputs: `image_features` [batch, dim] and `segment_features`
 * [batch, segments, dim], both not normalised, and `assignment_0`, `assignment_1`, ...
 * [batch, groups, tokens], soft. `tap` may name further outputs.
 */
export function imageGraph(config: GroupViTConfig, tap?: ModelContext["tap"]): Outputs {
  const { patchSize, numChannels, hiddenSize } = config.vision;
  const [batch, count] = [symbol("batch"), symbol("patches")];
  const patches = g.input("patches", "f32", [batch, count, patchSize * patchSize * numChannels]);
  const positions = g.input("positions", "f32", [1, count, hiddenSize]);
  return imageOutputs(modelContext({ tap }), config, patches, positions);
}

/** What `imageGraph` gives, from patches and positions that may themselves be computed. */
export function imageOutputs(
  ctx: ModelContext,
  config: GroupViTConfig,
  patches: Tensor,
  positions: Tensor,
): Outputs {
  const { lastHiddenState, pooled, assignments } = imageTower(
    ctx,
    config.vision,
    patches,
    positions,
  );
  const batch = patches.shape[0]!;
  const segments = lastHiddenState.shape[1]!;
  const width = config.vision.hiddenSize;
  // Segments and their mean go through the projector as rows of one product.
  const both = g.concat([g.reshape(pooled, [batch, 1, width]), lastHiddenState], 1);
  const rows = g.reshape(both, [productOf(both.shape.slice(0, 2)), width]);
  const projected = g.reshape(project(ctx, "visual_projection", rows, config), [
    batch,
    g.addDims(segments, 1),
    config.projectionDim,
  ]);
  const first = g.slice(projected, 1, 0, 1);
  const outputs: Outputs = {
    image_features: g.reshape(first, [batch, config.projectionDim]),
    segment_features: g.slice(projected, 1, 1, g.addDims(segments, 1)),
  };
  assignments.forEach((assignment, index) => {
    outputs[`assignment_${index}`] = assignment;
  });
  return outputs;
}

/**
 * The text graph, for any number of prompts of any length.
 *
 * Inputs: `ids` i32 [batch, tokens], `positions` i32 [tokens], `mask` f32
 * [masks, 1, tokens, tokens] with one mask for all or one each, `ends` i32 [batch]. Output:
 * `text_features` [batch, dim], not normalised.
 */
export function textGraph(
  config: GroupViTConfig,
  tap?: ModelContext["tap"],
  masks: "shared" | "each" = "shared",
): Outputs {
  const [batch, tokens] = [symbol("batch"), symbol("tokens")];
  const ids = g.input("ids", "i32", [batch, tokens]);
  const positions = g.input("positions", "i32", [tokens]);
  const mask = g.input("mask", "f32", [masks === "shared" ? 1 : batch, 1, tokens, tokens]);
  const ends = g.input("ends", "i32", [batch]);
  const ctx = modelContext({ tap });
  const { pooled } = textTower(ctx, config.text, ids, positions, mask, ends);
  return { text_features: project(ctx, "text_projection", pooled, config) };
}
