// The grouping block (paper, section 3.1, equations 4 to 7): group tokens attend to the segments, every
// segment is assigned to one group, and each group becomes one larger segment.

import * as g from "../graph/build.js";
import type { Tensor } from "../graph/tensor.js";
import type { VisionConfig } from "./config.js";
import type { ModelContext } from "./layers.js";
import { attention, layerNorm, linear, mixerMlp, mlp, width } from "./layers.js";

export interface Grouping {
  /** The new segments [batch, groups, width]. */
  segments: Tensor;
  /** Soft assignment without noise [batch, groups, tokens]: sums to 1 over the groups. */
  assignment: Tensor;
}

/**
 * @param name checkpoint prefix of the block
 * @param index which grouping block it is, from 0
 * @param tokens segments so far [batch, tokens, width]
 * @param groupTokens [batch, group tokens, width]
 */
export function groupingBlock(
  ctx: ModelContext,
  name: string,
  index: number,
  tokens: Tensor,
  groupTokens: Tensor,
  outputGroups: number,
  config: VisionConfig,
): Grouping {
  const size = width(tokens);
  const eps = config.layerNormEps;
  const [mixHidden, channelHidden] = config.assignMlpRatio.map((ratio) => Math.trunc(ratio * size));
  const act = config.hiddenAct;

  const normedGroups = layerNorm(ctx, `${name}.norm_tokens`, groupTokens, eps);
  const normedTokens = layerNorm(ctx, `${name}.norm_x`, tokens, eps);
  const mixed = mixerMlp(ctx, `${name}.mlp_inter`, normedGroups, mixHidden!, outputGroups, act);
  const projected = layerNorm(ctx, `${name}.norm_post_tokens`, mixed, eps); // [batch, groups, width]

  const attended = crossAttention(ctx, `${name}.pre_assign_attn`, projected, normedTokens, config);
  const { pooled, assignment } = assign(
    ctx,
    `${name}.assign`,
    index,
    attended,
    normedTokens,
    config,
  );

  const merged = g.add(pooled, attended);
  const normed = layerNorm(ctx, `${name}.norm_new_x`, merged, eps);
  const segments = g.add(
    merged,
    mlp(ctx, `${name}.mlp_channels`, normed, channelHidden!, size, act),
  );
  return { segments, assignment };
}

/** Cross-attention of group tokens to segments; queries and keys are not normed again. */
function crossAttention(
  ctx: ModelContext,
  name: string,
  groups: Tensor,
  tokens: Tensor,
  config: VisionConfig,
): Tensor {
  const eps = config.layerNormEps;
  const heads = config.numAttentionHeads;
  const attended = g.add(groups, attention(ctx, `${name}.attn`, groups, heads, { source: tokens }));
  const normed = layerNorm(ctx, `${name}.norm2`, attended, eps);
  const size = width(groups);
  const mixed = g.add(
    attended,
    mlp(ctx, `${name}.mlp`, normed, config.intermediateSize, size, config.hiddenAct),
  );
  return layerNorm(ctx, `${name}.norm_post`, mixed, eps);
}

/** One-head assignment: each token chooses a group, groups average what chose them (equation 5). */
function assign(
  ctx: ModelContext,
  name: string,
  index: number,
  groups: Tensor,
  tokens: Tensor,
  config: VisionConfig,
): { pooled: Tensor; assignment: Tensor } {
  const size = width(tokens);
  const queries = linear(ctx, `${name}.q_proj`, groups, size);
  const keys = linear(ctx, `${name}.k_proj`, tokens, size);
  const values = linear(ctx, `${name}.v_proj`, tokens, size);
  const product = g.matmul(queries, g.swapLast(keys)); // [batch, groups, tokens]
  const logits = g.multiply(product, g.scalar(size ** -0.5));
  ctx.tap?.(`group${index}.logits`, logits);
  const assignment = g.softmax(logits, 1);
  ctx.tap?.(`group${index}.soft`, assignment);

  const chosen = ctx.gumbelNoise
    ? g.softmax(g.add(logits, ctx.gumbelNoise(index, logits)), 1)
    : assignment;
  const hard = g.oneHotMax(chosen, 1);
  ctx.tap?.(`group${index}.hard`, hard);
  const weights = ctx.assignment === "soft" ? chosen : g.straightThrough(hard, chosen);
  ctx.tap?.(`group${index}.weights`, weights);

  const total = g.reduceSum(weights, [2], true); // [batch, groups, 1]
  const shares = g.divide(weights, g.add(total, g.scalar(config.assignEps)));
  const pooled = linear(ctx, `${name}.proj`, g.matmul(shares, values), size);
  return { pooled, assignment };
}
