// Hugging Face's `config.json` to and from a configuration.

import { ConfigError } from "../errors.js";
import type { Activation, GroupViTConfig, TextConfig, VisionConfig } from "../model/config.js";

const ACTIVATIONS: readonly Activation[] = ["gelu", "quick_gelu", "relu"];
/** Far beyond any usable model, and small enough that no product of two sizes is unsafe. */
const MAX_SIZE = 1 << 24;
export const MAX_STAGES = 64;
const MAX_BLOCKS = 1024;

/**
 * The configuration in a Hugging Face `config.json`. Absent fields have the defaults of Hugging Face's
 * `GroupViTConfig`, fields that do not change the result (dropout, initialisers) are ignored.
 *
 * @param json the file's text, or the object it holds
 * @throws ConfigError naming the field that is wrong
 */
export function parseConfig(json: unknown): GroupViTConfig {
  let value = json;
  if (typeof json === "string") {
    try {
      value = JSON.parse(json);
    } catch {
      throw new ConfigError("config.json is not valid JSON; download or write it again");
    }
  }
  const root = new Fields(value, "");
  const modelType = root.value("model_type");
  if (modelType !== undefined && modelType !== "groupvit") {
    throw new ConfigError(
      `config.json: model_type is ${show(modelType)}, not "groupvit"; this is another kind of model`,
    );
  }
  return {
    vision: parseVision(root.fields("vision_config")),
    text: parseText(root.fields("text_config")),
    projectionDim: root.size("projection_dim", 256),
    projectionIntermediateDim: root.size("projection_intermediate_dim", 4096),
    logitScaleInitValue: root.number("logit_scale_init_value", 2.6592, -100, 100),
  };
}

/** The object to store as `config.json`: complete, as Hugging Face's `GroupViTModel` reads it. */
export function configToJson(config: GroupViTConfig): Record<string, unknown> {
  const { vision, text } = config;
  return {
    architectures: ["GroupViTModel"],
    model_type: "groupvit",
    projection_dim: config.projectionDim,
    projection_intermediate_dim: config.projectionIntermediateDim,
    logit_scale_init_value: config.logitScaleInitValue,
    vision_config: {
      model_type: "groupvit_vision_model",
      hidden_size: vision.hiddenSize,
      intermediate_size: vision.intermediateSize,
      depths: [...vision.depths],
      num_hidden_layers: vision.depths.reduce((sum, depth) => sum + depth, 0),
      num_group_tokens: [...vision.numGroupTokens],
      num_output_groups: [...vision.numOutputGroups],
      num_attention_heads: vision.numAttentionHeads,
      image_size: vision.imageSize,
      patch_size: vision.patchSize,
      num_channels: vision.numChannels,
      hidden_act: vision.hiddenAct,
      layer_norm_eps: vision.layerNormEps,
      assign_eps: vision.assignEps,
      assign_mlp_ratio: [...vision.assignMlpRatio],
    },
    text_config: {
      model_type: "groupvit_text_model",
      vocab_size: text.vocabSize,
      hidden_size: text.hiddenSize,
      intermediate_size: text.intermediateSize,
      num_hidden_layers: text.numHiddenLayers,
      num_attention_heads: text.numAttentionHeads,
      max_position_embeddings: text.maxPositionEmbeddings,
      layer_norm_eps: text.layerNormEps,
      hidden_act: text.hiddenAct,
      pad_token_id: text.padTokenId,
      bos_token_id: text.bosTokenId,
      eos_token_id: text.eosTokenId,
    },
  };
}

function parseVision(fields: Fields): VisionConfig {
  const hiddenSize = fields.size("hidden_size", 384);
  const imageSize = fields.size("image_size", 224, 65_536);
  const patchSize = fields.size("patch_size", 16, 65_536);
  if (patchSize > imageSize) {
    throw fields.wrong("patch_size", patchSize, `be at most the image_size ${imageSize}`);
  }
  const depths = fields.sizes("depths", [6, 3, 3], MAX_BLOCKS);
  if (depths.reduce((sum, depth) => sum + depth, 0) > MAX_BLOCKS) {
    throw fields.wrong("depths", depths, `sum to at most ${MAX_BLOCKS}`);
  }
  const numGroupTokens = fields.sizes("num_group_tokens", [64, 8, 0]);
  const numOutputGroups = fields.sizes("num_output_groups", [64, 8, 8]);
  for (const [field, list] of [
    ["num_group_tokens", numGroupTokens],
    ["num_output_groups", numOutputGroups],
  ] as const) {
    if (list.length !== depths.length) {
      throw fields.wrong(field, list, `have one entry per stage, ${depths.length} as depths has`);
    }
  }
  for (const [stage, tokens] of numGroupTokens.entries()) {
    if (tokens === 0) continue;
    if (numOutputGroups[stage] === 0) {
      throw fields.wrong("num_output_groups", numOutputGroups, `be positive at stage ${stage}`);
    }
    // Hugging Face sizes the group projector by the previous stage's output groups, the authors by its
    // group tokens, and both feed it the group tokens: only equal numbers run.
    if (stage > 0 && numOutputGroups[stage - 1] !== numGroupTokens[stage - 1]) {
      throw fields.wrong(
        "num_output_groups",
        numOutputGroups,
        `equal num_group_tokens ${show(numGroupTokens)} at stage ${stage - 1}, because stage ${stage} ` +
          "takes over that stage's group tokens",
      );
    }
  }
  const ratios = fields.value("assign_mlp_ratio") ?? [0.5, 4];
  if (!Array.isArray(ratios) || ratios.length !== 2 || !ratios.every(isRatio(hiddenSize))) {
    throw fields.wrong("assign_mlp_ratio", ratios, "be two numbers that leave hidden units");
  }
  return {
    hiddenSize,
    intermediateSize: fields.size("intermediate_size", 1536),
    depths,
    numGroupTokens,
    numOutputGroups,
    numAttentionHeads: fields.heads(6, hiddenSize),
    imageSize,
    patchSize,
    numChannels: fields.size("num_channels", 3, 1024),
    layerNormEps: fields.number("layer_norm_eps", 1e-5, 0, 1),
    assignEps: fields.number("assign_eps", 1, 0, 1e6),
    assignMlpRatio: [ratios[0], ratios[1]],
    hiddenAct: fields.activation("gelu"),
  };
}

function parseText(fields: Fields): TextConfig {
  const hiddenSize = fields.size("hidden_size", 256);
  return {
    vocabSize: fields.size("vocab_size", 49_408),
    hiddenSize,
    intermediateSize: fields.size("intermediate_size", 1024),
    numHiddenLayers: fields.size("num_hidden_layers", 12, MAX_BLOCKS),
    numAttentionHeads: fields.heads(4, hiddenSize),
    maxPositionEmbeddings: fields.size("max_position_embeddings", 77, 1 << 20),
    layerNormEps: fields.number("layer_norm_eps", 1e-5, 0, 1),
    hiddenAct: fields.activation("quick_gelu"),
    padTokenId: fields.tokenId("pad_token_id", 1),
    bosTokenId: fields.tokenId("bos_token_id", 49_406),
    eosTokenId: fields.tokenId("eos_token_id", 49_407),
  };
}

function isRatio(hiddenSize: number): (value: unknown) => boolean {
  return (value) => typeof value === "number" && value * hiddenSize >= 1 && value <= 1024;
}

/** Checked access to the fields of a JSON object; `path` names it in errors. */
class Fields {
  private readonly object: Record<string, unknown>;

  constructor(
    value: unknown,
    private readonly path: string,
  ) {
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      const where = path === "" ? "it" : path.slice(0, -1);
      throw new ConfigError(`config.json: ${where} is ${show(value)}; it must be an object`);
    }
    this.object = value as Record<string, unknown>;
  }

  value(field: string): unknown {
    const value = Object.hasOwn(this.object, field) ? this.object[field] : undefined;
    return value === null ? undefined : value;
  }

  /** A nested object. Old files hold it as `<field>_dict`, which Hugging Face prefers. */
  fields(field: string): Fields {
    const value = this.value(`${field}_dict`) ?? this.value(field) ?? {};
    return new Fields(value, `${this.path}${field}.`);
  }

  size(field: string, fallback: number, max = MAX_SIZE): number {
    const value = this.value(field) ?? fallback;
    if (!isWhole(value, 1, max))
      throw this.wrong(field, value, `be a whole number from 1 to ${max}`);
    return value;
  }

  /** A list with one whole number >= 0 per stage. */
  sizes(field: string, fallback: number[], max = MAX_SIZE): number[] {
    const value = this.value(field) ?? fallback;
    if (!Array.isArray(value) || value.length === 0 || value.length > MAX_STAGES) {
      throw this.wrong(field, value, `be a list of 1 to ${MAX_STAGES} whole numbers`);
    }
    for (const item of value) {
      if (!isWhole(item, 0, max)) {
        throw this.wrong(field, value, `be a list of whole numbers from 0 to ${max}`);
      }
    }
    return [...value];
  }

  heads(fallback: number, hiddenSize: number): number {
    const heads = this.size("num_attention_heads", fallback, hiddenSize);
    if (hiddenSize % heads !== 0) {
      throw this.wrong("num_attention_heads", heads, `divide the hidden_size ${hiddenSize}`);
    }
    return heads;
  }

  number(field: string, fallback: number, min: number, max: number): number {
    const value = this.value(field) ?? fallback;
    if (typeof value !== "number" || !(value >= min && value <= max)) {
      throw this.wrong(field, value, `be a number from ${min} to ${max}`);
    }
    return value;
  }

  tokenId(field: string, fallback: number): number {
    const value = this.value(field) ?? fallback;
    if (!isWhole(value, 0, MAX_SIZE)) throw this.wrong(field, value, "be a token's whole number");
    return value;
  }

  activation(fallback: Activation): Activation {
    const value = this.value("hidden_act") ?? fallback;
    const found = ACTIVATIONS.find((activation) => activation === value);
    if (found === undefined) {
      throw this.wrong("hidden_act", value, `be one of ${ACTIVATIONS.join(", ")}`);
    }
    return found;
  }

  wrong(field: string, value: unknown, must: string): ConfigError {
    return new ConfigError(`config.json: ${this.path}${field} is ${show(value)}; it must ${must}`);
  }
}

function isWhole(value: unknown, min: number, max: number): value is number {
  return Number.isInteger(value) && (value as number) >= min && (value as number) <= max;
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 100 ? `${text.slice(0, 100)}...` : text;
}
