// The text tower (paper, section 3.2): token ids in, one vector per prompt out.

import * as g from "../graph/build.js";
import { productOf } from "../graph/dim.js";
import type { Tensor } from "../graph/tensor.js";
import type { TextConfig } from "./config.js";
import type { ModelContext } from "./layers.js";
import { layerNorm, transformerBlock } from "./layers.js";

export interface TextTowerOutput {
  /** [batch, tokens, width], after the final LayerNorm. */
  lastHiddenState: Tensor;
  /** The end-of-text token's vector [batch, width]. */
  pooled: Tensor;
}

/**
 * @param ids i32 [batch, tokens]
 * @param positions i32 [tokens]: 0, 1, 2, ...
 * @param mask added to attention logits, [1 or batch, 1, tokens, tokens]: causal (and padding)
 * @param ends i32 [batch]: where each prompt's end-of-text token stands in the flattened ids
 */
export function textTower(
  ctx: ModelContext,
  config: TextConfig,
  ids: Tensor,
  positions: Tensor,
  mask: Tensor,
  ends: Tensor,
): TextTowerOutput {
  const { hiddenSize, layerNormEps: eps } = config;
  const embeddings = "text_model.embeddings";
  const words = ctx.parameter(`${embeddings}.token_embedding.weight`, [
    config.vocabSize,
    hiddenSize,
  ]);
  const places = ctx.parameter(`${embeddings}.position_embedding.weight`, [
    config.maxPositionEmbeddings,
    hiddenSize,
  ]);
  let tokens = g.add(g.gather(words, ids), g.gather(places, positions)); // [batch, tokens, width]
  ctx.tap?.("text.embeddings", tokens);
  for (let layer = 0; layer < config.numHiddenLayers; layer++) {
    tokens = transformerBlock(ctx, `text_model.encoder.layers.${layer}`, tokens, {
      heads: config.numAttentionHeads,
      intermediate: config.intermediateSize,
      activation: config.hiddenAct,
      eps,
      mask,
    });
    ctx.tap?.(`text.layer${layer}`, tokens);
  }
  const lastHiddenState = layerNorm(ctx, "text_model.final_layer_norm", tokens, eps);
  ctx.tap?.("text.last_hidden_state", lastHiddenState);
  const [batch, length] = ids.shape as [Tensor["shape"][0], Tensor["shape"][0]];
  const rows = g.reshape(lastHiddenState, [productOf([batch, length]), hiddenSize]);
  const pooled = g.gather(rows, ends); // [batch, width]
  ctx.tap?.("text.pooler_output", pooled);
  return { lastHiddenState, pooled };
}
