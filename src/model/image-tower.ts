// The image tower (paper, section 3.1): patches in, segments and their assignments out.

import * as g from "../graph/build.js";
import type { Dim } from "../graph/dim.js";
import { addDims } from "../graph/dim.js";
import type { Tensor } from "../graph/tensor.js";
import type { VisionConfig } from "./config.js";
import { groupingBlock } from "./grouping-block.js";
import type { ModelContext } from "./layers.js";
import { layerNorm, mixerMlp, transformerBlock } from "./layers.js";

export interface ImageTowerOutput {
  /** Last segments after the final LayerNorm [batch, segments, width]. */
  lastHiddenState: Tensor;
  /** Their mean [batch, width]. */
  pooled: Tensor;
  /** Soft assignment of each grouping block [batch, groups, tokens]. */
  assignments: Tensor[];
}

/** Side of the native patch grid. */
export function nativeGrid(config: VisionConfig): number {
  return Math.floor(config.imageSize / config.patchSize);
}

/** The stored position embeddings [1, native patches, width]. */
export function positionParameter(ctx: ModelContext, config: VisionConfig): Tensor {
  return ctx.parameter("vision_model.embeddings.position_embeddings", [
    1,
    nativeGrid(config) ** 2,
    config.hiddenSize,
  ]);
}

/**
 * @param patches normalised pixels [batch, patches, patchSize * patchSize * channels], each patch in
 *   row, column, channel order
 * @param positions position embeddings of the grid, [1, patches, width]
 */
export function imageTower(
  ctx: ModelContext,
  config: VisionConfig,
  patches: Tensor,
  positions: Tensor,
): ImageTowerOutput {
  const { hiddenSize, layerNormEps: eps } = config;
  const prefix = "vision_model";
  let tokens = patchEmbedding(ctx, config, patches);
  tokens = layerNorm(ctx, `${prefix}.embeddings.layernorm`, tokens, eps);
  tokens = g.add(tokens, positions); // [batch, patches, width]
  ctx.tap?.("vision.embeddings", tokens);

  const batch: Dim = patches.shape[0]!;
  const assignments: Tensor[] = [];
  let previousGroups: Tensor | undefined;

  config.depths.forEach((depth, stage) => {
    const name = `${prefix}.encoder.stages.${stage}`;
    const groupCount = config.numGroupTokens[stage]!;
    const segmentCount = tokens.shape[1]!;
    if (groupCount > 0) {
      const learnt = ctx.parameter(`${name}.group_token`, [1, groupCount, hiddenSize]);
      let groups = g.expand(learnt, [batch, groupCount, hiddenSize]);
      if (previousGroups) {
        const projector = `${name}.group_projector`;
        const normed = layerNorm(ctx, `${projector}.0`, previousGroups, eps);
        const half = Math.floor(hiddenSize / 2);
        const act = config.hiddenAct;
        groups = g.add(groups, mixerMlp(ctx, `${projector}.1`, normed, half, groupCount, act));
      }
      tokens = g.concat([tokens, groups], 1); // [batch, segments + groups, width]
    }
    for (let layer = 0; layer < depth; layer++) {
      tokens = transformerBlock(ctx, `${name}.layers.${layer}`, tokens, {
        heads: config.numAttentionHeads,
        intermediate: config.intermediateSize,
        activation: config.hiddenAct,
        eps,
      });
      ctx.tap?.(`vision.stage${stage}.layer${layer}`, tokens);
    }
    if (groupCount > 0) {
      const segments = g.slice(tokens, 1, 0, segmentCount);
      const groups = g.slice(tokens, 1, segmentCount, addDims(segmentCount, groupCount));
      const grouping = groupingBlock(
        ctx,
        `${name}.downsample`,
        assignments.length,
        segments,
        groups,
        config.numOutputGroups[stage]!,
        config,
      );
      assignments.push(grouping.assignment);
      tokens = grouping.segments;
      previousGroups = groups;
    } else {
      previousGroups = undefined;
    }
    ctx.tap?.(`vision.stage${stage}.out`, tokens);
  });

  const lastHiddenState = layerNorm(ctx, `${prefix}.layernorm`, tokens, eps);
  ctx.tap?.("vision.last_hidden_state", lastHiddenState);
  const pooled = g.reduceMean(lastHiddenState, 1, false); // [batch, width]
  ctx.tap?.("vision.pooler_output", pooled);
  return { lastHiddenState, pooled, assignments };
}

/** The patch convolution as a matrix product: its stride equals its kernel. */
function patchEmbedding(ctx: ModelContext, config: VisionConfig, patches: Tensor): Tensor {
  const { hiddenSize, patchSize, numChannels } = config;
  const name = "vision_model.embeddings.patch_embeddings.projection";
  const kernel = ctx.parameter(`${name}.weight`, [hiddenSize, numChannels, patchSize, patchSize]);
  const rows = g.transpose(kernel, [0, 2, 3, 1]); // [width, row, column, channel]
  const weight = g.reshape(rows, [hiddenSize, patchSize * patchSize * numChannels]);
  return g.linear(patches, weight, ctx.parameter(`${name}.bias`, [hiddenSize]));
}
