// The names of the authors' checkpoints and Hugging Face's, derived from the configuration, and the
// translation of weights between both layouts.

import { CheckpointError } from "../errors.js";
import type { GroupViTConfig } from "../model/config.js";
import { quote } from "./quote.js";
import {
  checkWeights,
  hasGroupProjector,
  MULTI_LABEL_LOGIT_SCALE,
  parameterShapes,
} from "./shapes.js";
import type { StoredTensor, TensorMap } from "./tensors.js";

/**
 * The entries of an authors' checkpoint, in its order, each with its Hugging Face names: one, or three
 * (query, key and value, whose rows the authors stack), or none.
 */
export function authorsNames({ vision, text }: GroupViTConfig): Map<string, string[]> {
  const names = new Map<string, string[]>();
  const pair = (authors: string, huggingFace: string): void => {
    for (const part of ["weight", "bias"]) {
      names.set(`${authors}.${part}`, [`${huggingFace}.${part}`]);
    }
  };
  /** @param suffix "." or "_": PyTorch's own attention names its stacked weight `in_proj_weight`. */
  const stacked = (authors: string, suffix: string, huggingFace: string): void => {
    for (const part of ["weight", "bias"]) {
      const parts = ["q_proj", "k_proj", "v_proj"].map((name) => `${huggingFace}.${name}.${part}`);
      names.set(`${authors}${suffix}${part}`, parts);
    }
  };
  const mlp = (authors: string, huggingFace: string): void => {
    pair(`${authors}.fc1`, `${huggingFace}.fc1`);
    pair(`${authors}.fc2`, `${huggingFace}.fc2`);
  };

  names.set("logit_scale", ["logit_scale"]);
  names.set(MULTI_LABEL_LOGIT_SCALE, []);
  names.set("img_encoder.pos_embed", ["vision_model.embeddings.position_embeddings"]);
  pair("img_encoder.patch_embed.proj", "vision_model.embeddings.patch_embeddings.projection");
  pair("img_encoder.patch_embed.norm", "vision_model.embeddings.layernorm");
  for (const [stage, depth] of vision.depths.entries()) {
    const authors = `img_encoder.layers.${stage}`;
    const huggingFace = `vision_model.encoder.stages.${stage}`;
    const groups = vision.numGroupTokens[stage]! > 0;
    if (groups) names.set(`${authors}.group_token`, [`${huggingFace}.group_token`]);
    for (let block = 0; block < depth; block++) {
      const from = `${authors}.blocks.${block}`;
      const to = `${huggingFace}.layers.${block}`;
      pair(`${from}.norm1`, `${to}.layer_norm1`);
      stacked(`${from}.attn.qkv`, ".", `${to}.self_attn`);
      pair(`${from}.attn.proj`, `${to}.self_attn.out_proj`);
      pair(`${from}.norm2`, `${to}.layer_norm2`);
      mlp(`${from}.mlp`, `${to}.mlp`);
    }
    if (!groups) continue;
    const from = `${authors}.downsample`;
    const to = `${huggingFace}.downsample`;
    pair(`${from}.norm_tokens`, `${to}.norm_tokens`);
    mlp(`${from}.mlp_inter`, `${to}.mlp_inter`);
    pair(`${from}.norm_post_tokens`, `${to}.norm_post_tokens`);
    pair(`${from}.norm_x`, `${to}.norm_x`);
    pair(`${from}.pre_assign_attn.norm_post`, `${to}.pre_assign_attn.norm_post`);
    for (const part of ["q_proj", "k_proj", "v_proj"]) {
      pair(`${from}.pre_assign_attn.attn.${part}`, `${to}.pre_assign_attn.attn.${part}`);
    }
    pair(`${from}.pre_assign_attn.attn.proj`, `${to}.pre_assign_attn.attn.out_proj`);
    pair(`${from}.pre_assign_attn.norm2`, `${to}.pre_assign_attn.norm2`);
    mlp(`${from}.pre_assign_attn.mlp`, `${to}.pre_assign_attn.mlp`);
    for (const part of ["q_proj", "k_proj", "v_proj", "proj"]) {
      pair(`${from}.assign.${part}`, `${to}.assign.${part}`);
    }
    pair(`${from}.norm_new_x`, `${to}.norm_new_x`);
    mlp(`${from}.mlp_channels`, `${to}.mlp_channels`);
    if (hasGroupProjector(vision, stage)) {
      pair(`${authors}.group_projector.0`, `${huggingFace}.group_projector.0`);
      mlp(`${authors}.group_projector.1`, `${huggingFace}.group_projector.1`);
    }
  }
  pair("img_encoder.norm", "vision_model.layernorm");

  names.set("text_encoder.positional_embedding", [
    "text_model.embeddings.position_embedding.weight",
  ]);
  for (let layer = 0; layer < text.numHiddenLayers; layer++) {
    const from = `text_encoder.transformer.resblocks.${layer}`;
    const to = `text_model.encoder.layers.${layer}`;
    stacked(`${from}.attn.in_proj`, "_", `${to}.self_attn`);
    pair(`${from}.attn.out_proj`, `${to}.self_attn.out_proj`);
    pair(`${from}.ln_1`, `${to}.layer_norm1`);
    pair(`${from}.mlp.c_fc`, `${to}.mlp.fc1`);
    pair(`${from}.mlp.c_proj`, `${to}.mlp.fc2`);
    pair(`${from}.ln_2`, `${to}.layer_norm2`);
  }
  pair("text_encoder.ln_final", "text_model.final_layer_norm");
  names.set("text_encoder.token_embedding.weight", [
    "text_model.embeddings.token_embedding.weight",
  ]);

  for (const [authors, huggingFace] of [
    ["img_projector", "visual_projection"],
    ["text_projector", "text_projection"],
  ] as const) {
    pair(`${authors}.linear_hidden.0`, `${huggingFace}.0`);
    pair(`${authors}.linear_hidden.1`, `${huggingFace}.1`);
    for (const part of ["running_mean", "running_var", "num_batches_tracked"]) {
      names.set(`${authors}.linear_hidden.1.${part}`, [`${huggingFace}.1.${part}`]);
    }
    pair(`${authors}.linear_out`, `${huggingFace}.3`);
  }
  return names;
}

/** Whether the tensors have the authors' names. */
export function isAuthorsLayout(tensors: TensorMap): boolean {
  for (const name of tensors.keys()) if (name.startsWith("img_encoder.")) return true;
  return false;
}

/**
 * Weights under the authors' names to Hugging Face's names, in Hugging Face's order. Nothing is copied:
 * the parts of stacked tensors are views. `multi_label_logit_scale`, unknown to Hugging Face, is kept.
 *
 * @throws CheckpointError when the weights are not exactly those of the configuration
 */
export function toHuggingFace(authors: TensorMap, config: GroupViTConfig): TensorMap {
  const found: TensorMap = new Map();
  const rest = new Map(authors);
  for (const [name, targets] of authorsNames(config)) {
    const tensor = authors.get(name);
    if (tensor === undefined || targets.length === 0) continue;
    rest.delete(name);
    if (targets.length === 1) found.set(targets[0]!, withoutTrailingOne(name, tensor));
    else for (const [i, part] of splitRows(name, tensor).entries()) found.set(targets[i]!, part);
  }
  const ordered: TensorMap = new Map();
  for (const name of parameterShapes(config).keys()) {
    const tensor = found.get(name);
    if (tensor !== undefined) ordered.set(name, tensor);
  }
  for (const [name, tensor] of rest) ordered.set(name, tensor);
  checkWeights(config, ordered);
  return ordered;
}

/**
 * Weights under Hugging Face's names to the authors' names, in the authors' order. `position_ids` has no
 * place there; `multi_label_logit_scale` is kept where present.
 *
 * @throws CheckpointError when the weights are not exactly those of the configuration
 */
export function toAuthors(huggingFace: TensorMap, config: GroupViTConfig): TensorMap {
  checkWeights(config, huggingFace);
  const authors: TensorMap = new Map();
  for (const [name, sources] of authorsNames(config)) {
    if (sources.length === 3) {
      const parts = sources.map((source) => huggingFace.get(source)!);
      authors.set(name, stackRows(name, parts));
      continue;
    }
    const tensor = huggingFace.get(sources[0] ?? name);
    if (tensor !== undefined) authors.set(name, withTrailingOne(name, tensor));
  }
  return authors;
}

/** The authors' projectors are convolutions of width 1: their weights have a third size of 1. */
function isProjectorWeight(name: string): boolean {
  return /^(img|text)_projector\.linear_(hidden\.0|out)\.weight$/.test(name);
}

function withoutTrailingOne(name: string, tensor: StoredTensor): StoredTensor {
  const { shape } = tensor;
  if (!isProjectorWeight(name) || shape.length !== 3 || shape[2] !== 1) return tensor;
  return { ...tensor, shape: shape.slice(0, 2) };
}

function withTrailingOne(name: string, tensor: StoredTensor): StoredTensor {
  return isProjectorWeight(name) ? { ...tensor, shape: [...tensor.shape, 1] } : tensor;
}

function splitRows(name: string, { dtype, shape, bytes }: StoredTensor): StoredTensor[] {
  const [rows, ...rest] = shape;
  if (rows === undefined || rows % 3 !== 0) {
    throw new CheckpointError(
      `Tensor ${quote(name)} has shape [${shape.join(", ")}], whose rows are not query, key and ` +
        "value; the checkpoint is no GroupViT model",
    );
  }
  const length = bytes.byteLength / 3;
  return [0, 1, 2].map((i) => ({
    dtype,
    shape: [rows / 3, ...rest],
    bytes: bytes.subarray(i * length, (i + 1) * length),
  }));
}

function stackRows(name: string, parts: StoredTensor[]): StoredTensor {
  const { dtype, shape, bytes } = parts[0]!;
  if (parts.some((part) => part.dtype !== dtype)) {
    throw new CheckpointError(
      `Tensor ${quote(name)} cannot be stacked from query, key and value of different types; ` +
        "convert the weights to one type first",
    );
  }
  const stacked = new Uint8Array(3 * bytes.byteLength);
  for (const [i, part] of parts.entries()) stacked.set(part.bytes, i * bytes.byteLength);
  return { dtype, shape: [3 * shape[0]!, ...shape.slice(1)], bytes: stacked };
}
