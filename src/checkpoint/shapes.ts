// Every tensor of a GroupViT checkpoint in Hugging Face's layout, derived from the configuration, and
// the check that given weights are exactly those.

import { CheckpointError } from "../errors.js";
import type { GroupViTConfig, VisionConfig } from "../model/config.js";
import { quote } from "./quote.js";
import type { TensorMap } from "./tensors.js";

/** The second logit scale of the authors' multi-label loss: optional, unknown to Hugging Face. */
export const MULTI_LABEL_LOGIT_SCALE = "multi_label_logit_scale";

/**
 * Names and shapes of all entries of a Hugging Face GroupViT checkpoint, in its own order: parameters
 * and buffers (batch norm statistics, `position_ids`).
 *
 * @example parameterShapes(config).get("logit_scale") // []
 */
export function parameterShapes(config: GroupViTConfig): Map<string, number[]> {
  const { vision, text, projectionDim, projectionIntermediateDim } = config;
  const shapes = new Map<string, number[]>();
  shapes.set("logit_scale", []);

  shapes.set(POSITION_IDS, [1, text.maxPositionEmbeddings]);
  shapes.set("text_model.embeddings.token_embedding.weight", [text.vocabSize, text.hiddenSize]);
  shapes.set("text_model.embeddings.position_embedding.weight", [
    text.maxPositionEmbeddings,
    text.hiddenSize,
  ]);
  for (let layer = 0; layer < text.numHiddenLayers; layer++) {
    const prefix = `text_model.encoder.layers.${layer}`;
    addBlock(shapes, prefix, text.hiddenSize, text.intermediateSize);
  }
  addNorm(shapes, "text_model.final_layer_norm", text.hiddenSize);

  const patches = Math.floor(vision.imageSize / vision.patchSize) ** 2;
  const embeddings = "vision_model.embeddings";
  shapes.set(`${embeddings}.position_embeddings`, [1, patches, vision.hiddenSize]);
  shapes.set(`${embeddings}.patch_embeddings.projection.weight`, [
    vision.hiddenSize,
    vision.numChannels,
    vision.patchSize,
    vision.patchSize,
  ]);
  shapes.set(`${embeddings}.patch_embeddings.projection.bias`, [vision.hiddenSize]);
  addNorm(shapes, `${embeddings}.layernorm`, vision.hiddenSize);
  for (let stage = 0; stage < vision.depths.length; stage++) addStage(shapes, vision, stage);
  addNorm(shapes, "vision_model.layernorm", vision.hiddenSize);

  addProjector(shapes, "visual_projection", [
    vision.hiddenSize,
    projectionIntermediateDim,
    projectionDim,
  ]);
  addProjector(shapes, "text_projection", [
    text.hiddenSize,
    projectionIntermediateDim,
    projectionDim,
  ]);
  return shapes;
}

/** Whether the stage adds a projection of the previous stage's group tokens to its own. */
export function hasGroupProjector(vision: VisionConfig, stage: number): boolean {
  return stage > 0 && vision.numGroupTokens[stage - 1]! > 0 && vision.numGroupTokens[stage]! > 0;
}

/** Whether the entry is a buffer: state that no gradient changes. */
export function isBuffer(name: string): boolean {
  return (
    name === POSITION_IDS ||
    name.endsWith(".running_mean") ||
    name.endsWith(".running_var") ||
    name.endsWith(".num_batches_tracked")
  );
}

/** The positions 0, 1, 2, ... that older Hugging Face checkpoints store; nothing is lost without them. */
export const POSITION_IDS = "text_model.embeddings.position_ids";

/**
 * Checks that the tensors (Hugging Face names) are exactly those of the configuration.
 * `position_ids` and `num_batches_tracked` may be absent, `multi_label_logit_scale` may be present.
 *
 * @throws CheckpointError naming the first missing, unexpected or mis-shaped tensor
 */
export function checkWeights(config: GroupViTConfig, tensors: TensorMap): void {
  const shapes = parameterShapes(config);
  const missing: string[] = [];
  for (const [name, shape] of shapes) {
    const tensor = tensors.get(name);
    if (tensor === undefined) {
      if (name !== POSITION_IDS && !name.endsWith(".num_batches_tracked")) missing.push(name);
    } else if (!sameShape(shape, tensor.shape)) {
      throw new CheckpointError(
        `Tensor ${quote(name)} has shape [${tensor.shape.join(", ")}], but the configuration asks for ` +
          `[${shape.join(", ")}]; use the config.json that belongs to these weights`,
      );
    }
  }
  if (missing.length > 0) {
    throw new CheckpointError(
      `Tensor ${quote(missing[0]!)} is missing${andMore(missing)}; the checkpoint is not a complete ` +
        "GroupViT model: use the config.json that belongs to these weights, or save the whole model",
    );
  }
  const unexpected: string[] = [];
  for (const [name, tensor] of tensors) {
    if (name === MULTI_LABEL_LOGIT_SCALE && tensor.shape.length === 0) continue;
    if (!shapes.has(name)) unexpected.push(name);
  }
  if (unexpected.length > 0) {
    throw new CheckpointError(
      `Tensor ${quote(unexpected[0]!)} has no place in the configured model${andMore(unexpected)}; ` +
        "use the config.json that belongs to these weights",
    );
  }
}

function andMore(names: string[]): string {
  return names.length > 1 ? ` (and ${names.length - 1} more)` : "";
}

function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((size, i) => size === b[i]);
}

type Shapes = Map<string, number[]>;

function addLinear(shapes: Shapes, prefix: string, inputs: number, outputs: number): void {
  shapes.set(`${prefix}.weight`, [outputs, inputs]);
  shapes.set(`${prefix}.bias`, [outputs]);
}

function addNorm(shapes: Shapes, prefix: string, size: number): void {
  shapes.set(`${prefix}.weight`, [size]);
  shapes.set(`${prefix}.bias`, [size]);
}

function addMlp(shapes: Shapes, prefix: string, sizes: [number, number, number]): void {
  addLinear(shapes, `${prefix}.fc1`, sizes[0], sizes[1]);
  addLinear(shapes, `${prefix}.fc2`, sizes[1], sizes[2]);
}

function addAttention(shapes: Shapes, prefix: string, size: number): void {
  for (const part of ["k_proj", "v_proj", "q_proj", "out_proj"]) {
    addLinear(shapes, `${prefix}.${part}`, size, size);
  }
}

function addBlock(shapes: Shapes, prefix: string, size: number, hidden: number): void {
  addAttention(shapes, `${prefix}.self_attn`, size);
  addNorm(shapes, `${prefix}.layer_norm1`, size);
  addMlp(shapes, `${prefix}.mlp`, [size, hidden, size]);
  addNorm(shapes, `${prefix}.layer_norm2`, size);
}

function addStage(shapes: Shapes, vision: VisionConfig, stage: number): void {
  const size = vision.hiddenSize;
  const tokens = vision.numGroupTokens[stage]!;
  const prefix = `vision_model.encoder.stages.${stage}`;
  if (tokens > 0) shapes.set(`${prefix}.group_token`, [1, tokens, size]);
  for (let layer = 0; layer < vision.depths[stage]!; layer++) {
    addBlock(shapes, `${prefix}.layers.${layer}`, size, vision.intermediateSize);
  }
  if (tokens === 0) return;
  const [tokenMixing, channelMixing] = vision.assignMlpRatio.map((r) => Math.trunc(r * size));
  const group = `${prefix}.downsample`;
  addNorm(shapes, `${group}.norm_tokens`, size);
  addMlp(shapes, `${group}.mlp_inter`, [tokens, tokenMixing!, vision.numOutputGroups[stage]!]);
  addNorm(shapes, `${group}.norm_post_tokens`, size);
  addNorm(shapes, `${group}.norm_x`, size);
  addAttention(shapes, `${group}.pre_assign_attn.attn`, size);
  addNorm(shapes, `${group}.pre_assign_attn.norm2`, size);
  addMlp(shapes, `${group}.pre_assign_attn.mlp`, [size, vision.intermediateSize, size]);
  addNorm(shapes, `${group}.pre_assign_attn.norm_post`, size);
  for (const part of ["q_proj", "k_proj", "v_proj", "proj"]) {
    addLinear(shapes, `${group}.assign.${part}`, size, size);
  }
  addNorm(shapes, `${group}.norm_new_x`, size);
  addMlp(shapes, `${group}.mlp_channels`, [size, channelMixing!, size]);
  if (hasGroupProjector(vision, stage)) {
    addNorm(shapes, `${prefix}.group_projector.0`, size);
    const mixer = [vision.numGroupTokens[stage - 1]!, Math.floor(size / 2), tokens] as const;
    addMlp(shapes, `${prefix}.group_projector.1`, [...mixer]);
  }
}

function addProjector(shapes: Shapes, prefix: string, sizes: [number, number, number]): void {
  addLinear(shapes, `${prefix}.0`, sizes[0], sizes[1]);
  addNorm(shapes, `${prefix}.1`, sizes[1]);
  shapes.set(`${prefix}.1.running_mean`, [sizes[1]]);
  shapes.set(`${prefix}.1.running_var`, [sizes[1]]);
  shapes.set(`${prefix}.1.num_batches_tracked`, []);
  addLinear(shapes, `${prefix}.3`, sizes[1], sizes[2]);
}
