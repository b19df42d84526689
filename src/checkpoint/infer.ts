// A configuration read off the tensors of a checkpoint that comes without `config.json`.

import { CheckpointError, ConfigError } from "../errors.js";
import type { GroupViTConfig } from "../model/config.js";
import { configToJson, MAX_STAGES, parseConfig } from "./config-file.js";
import { isAuthorsLayout } from "./names.js";
import { quote } from "./quote.js";
import type { TensorMap } from "./tensors.js";

/** What no tensor's shape tells; without it, a head has 64 channels as in the published models. */
export interface AttentionHeads {
  vision?: number;
  text?: number;
}

/** Names of the tensors whose shapes tell the configuration, in either layout. */
interface Layout {
  stage: string;
  positions: string;
  patches: string;
  block: string;
  textPositions: string;
  textLayer: string;
  textHidden: string;
  tokens: string;
  hidden: string;
  output: string;
}

const HUGGING_FACE: Layout = {
  stage: "vision_model.encoder.stages.",
  positions: "vision_model.embeddings.position_embeddings",
  patches: "vision_model.embeddings.patch_embeddings.projection.weight",
  block: ".layers.",
  textPositions: "text_model.embeddings.position_embedding.weight",
  textLayer: "text_model.encoder.layers.",
  textHidden: ".mlp.fc1.weight",
  tokens: "text_model.embeddings.token_embedding.weight",
  hidden: "visual_projection.0.weight",
  output: "visual_projection.3.weight",
};

const AUTHORS: Layout = {
  stage: "img_encoder.layers.",
  positions: "img_encoder.pos_embed",
  patches: "img_encoder.patch_embed.proj.weight",
  block: ".blocks.",
  textPositions: "text_encoder.positional_embedding",
  textLayer: "text_encoder.transformer.resblocks.",
  textHidden: ".mlp.c_fc.weight",
  tokens: "text_encoder.token_embedding.weight",
  hidden: "img_projector.linear_hidden.0.weight",
  output: "img_projector.linear_out.weight",
};

/**
 * The configuration that the tensors' shapes tell, in the authors' or Hugging Face's layout. What shapes
 * do not tell (epsilons, activations, token ids) is as published.
 *
 * @throws CheckpointError when a tensor that tells a size is missing
 * @throws ConfigError when the shapes contradict each other or leave the attention heads open
 */
export function inferConfig(tensors: TensorMap, heads: AttentionHeads = {}): GroupViTConfig {
  const layout = isAuthorsLayout(tensors) ? AUTHORS : HUGGING_FACE;
  const size = (name: string, dimension: number): number => {
    const value = tensors.get(name)?.shape[dimension];
    if (value === undefined) {
      throw new CheckpointError(
        `Tensor ${quote(name)} is missing or has too few dimensions; the checkpoint is no complete ` +
          "GroupViT model",
      );
    }
    return value;
  };

  const hiddenSize = size(layout.patches, 0);
  const patchSize = size(layout.patches, 2);
  const positions = size(layout.positions, 1);
  const side = Math.sqrt(positions);
  if (!Number.isInteger(side)) {
    throw new ConfigError(
      `Tensor ${quote(layout.positions)} has ${positions} positions, which is no square; ` +
        "only square native pictures are supported",
    );
  }
  const stages = countIndices(tensors, layout.stage);
  if (stages > MAX_STAGES) {
    throw new ConfigError(
      `The checkpoint has ${stages} grouping stages, more than ${MAX_STAGES}; it is no GroupViT model`,
    );
  }
  const depths: number[] = [];
  const numGroupTokens: number[] = [];
  const numOutputGroups: number[] = [];
  const ratios: [number, number] = [0.5, 4];
  const hiddenWidths = new Set<number>();
  for (let stage = 0; stage < stages; stage++) {
    const prefix = `${layout.stage}${stage}`;
    const depth = countIndices(tensors, `${prefix}${layout.block}`);
    depths.push(depth);
    if (depth > 0) hiddenWidths.add(size(`${prefix}${layout.block}0.mlp.fc1.weight`, 0));
    if (!tensors.has(`${prefix}.group_token`)) {
      numGroupTokens.push(0);
      numOutputGroups.push(0);
      continue;
    }
    const group = `${prefix}.downsample`;
    numGroupTokens.push(size(`${prefix}.group_token`, 1));
    numOutputGroups.push(size(`${group}.mlp_inter.fc2.weight`, 0));
    hiddenWidths.add(size(`${group}.pre_assign_attn.mlp.fc1.weight`, 0));
    ratios[0] = ratioOf(size(`${group}.mlp_inter.fc1.weight`, 0), hiddenSize);
    ratios[1] = ratioOf(size(`${group}.mlp_channels.fc1.weight`, 0), hiddenSize);
  }
  if (hiddenWidths.size > 1) {
    throw new ConfigError(
      `The image tower's MLPs have the hidden widths ${[...hiddenWidths].join(", ")}; one ` +
        "intermediate_size for all blocks and cross-attentions is supported",
    );
  }
  // The published configuration repeats the last number of groups for the stages after the last
  // grouping block, where it has no effect.
  const lastGrouping = numGroupTokens.findLastIndex((tokens) => tokens > 0);
  if (lastGrouping >= 0) {
    numOutputGroups.fill(numOutputGroups[lastGrouping]!, lastGrouping);
  }

  const textSize = size(layout.tokens, 1);
  const inferred: GroupViTConfig = {
    vision: {
      hiddenSize,
      intermediateSize: [...hiddenWidths][0] ?? 4 * hiddenSize,
      depths,
      numGroupTokens,
      numOutputGroups,
      numAttentionHeads: heads.vision ?? defaultHeads("image", hiddenSize),
      imageSize: side * patchSize,
      patchSize,
      numChannels: size(layout.patches, 1),
      layerNormEps: 1e-5,
      assignEps: 1,
      assignMlpRatio: ratios,
      hiddenAct: "gelu",
    },
    text: {
      vocabSize: size(layout.tokens, 0),
      hiddenSize: textSize,
      intermediateSize: size(`${layout.textLayer}0${layout.textHidden}`, 0),
      numHiddenLayers: countIndices(tensors, layout.textLayer),
      numAttentionHeads: heads.text ?? defaultHeads("text", textSize),
      maxPositionEmbeddings: size(layout.textPositions, 0),
      layerNormEps: 1e-5,
      hiddenAct: "quick_gelu",
      padTokenId: 1,
      bosTokenId: 49_406,
      eosTokenId: 49_407,
    },
    projectionDim: size(layout.output, 0),
    projectionIntermediateDim: size(layout.hidden, 0),
    logitScaleInitValue: 2.6592,
  };
  return parseConfig(configToJson(inferred));
}

/** A ratio that, multiplied and cut to a whole number, gives the width again: 0.29 * 100 gives 28. */
function ratioOf(width: number, hiddenSize: number): number {
  const ratio = width / hiddenSize;
  return Math.trunc(ratio * hiddenSize) === width ? ratio : (width + 0.5) / hiddenSize;
}

function defaultHeads(tower: string, hiddenSize: number): number {
  if (hiddenSize % 64 === 0) return hiddenSize / 64;
  throw new ConfigError(
    `num_attention_heads of the ${tower} tower cannot be read off weights of width ${hiddenSize} ` +
      "(only multiples of 64 have a usual number); put the model's config.json beside the weights",
  );
}

/** How many consecutive indices 0, 1, 2, ... follow the prefix in the tensors' names. */
function countIndices(tensors: TensorMap, prefix: string): number {
  const indices = new Set<string>();
  for (const name of tensors.keys()) {
    if (name.startsWith(prefix)) indices.add(name.slice(prefix.length).split(".", 1)[0]!);
  }
  let count = 0;
  while (indices.has(String(count))) count++;
  return count;
}
