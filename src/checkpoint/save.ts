// Checkpoints as files in memory: Hugging Face's layout and the authors', for any place to put them.

import { CheckpointError } from "../errors.js";
import type { GroupViTConfig } from "../model/config.js";
import { configToJson } from "./config-file.js";
import { fromFloat32, isFloat, toFloat32 } from "./dtypes.js";
import { toAuthors } from "./names.js";
import { quote } from "./quote.js";
import { safetensorsChunks } from "./safetensors.js";
import { checkWeights, MULTI_LABEL_LOGIT_SCALE, POSITION_IDS } from "./shapes.js";
import type { StoredTensor, TensorMap } from "./tensors.js";
import { type TorchValue, torchChunks } from "./torch.js";

/** A model: its configuration and its weights under Hugging Face's names. */
export interface Model {
  config: GroupViTConfig;
  /** Loaded models have F32 weights, the batch norms' counters (I64), and `multi_label_logit_scale`
   * where the file has it. */
  tensors: TensorMap;
}

export interface HuggingFaceOptions {
  /** Type of the weights; F16 halves the file. Default F32. */
  dtype?: "F32" | "F16";
  /** Texts of further files by name: the tokenizer's, and `preprocessor_config.json` where it differs. */
  files?: Readonly<Record<string, string>>;
}

/**
 * The files of a Hugging Face model folder by name, each as pieces to be written in order.
 * `multi_label_logit_scale` and `position_ids` are left out, as current Hugging Face models do.
 *
 * @throws CheckpointError when the weights do not fit the configuration, or a value does not fit F16
 */
export function huggingFaceFiles(
  { config, tensors }: Model,
  { dtype = "F32", files = {} }: HuggingFaceOptions = {},
): Map<string, Uint8Array[]> {
  checkWeights(config, tensors);
  const weights: TensorMap = new Map();
  for (const [name, tensor] of tensors) {
    if (name === MULTI_LABEL_LOGIT_SCALE || name === POSITION_IDS) continue;
    // The logit scale stays F32: half precision would shift every logit by up to 0.2 %.
    const type = tensor.shape.length === 0 ? "F32" : dtype;
    weights.set(name, isFloat(tensor.dtype) ? convert(name, tensor, type) : tensor);
  }
  const texts: Record<string, string> = {
    "config.json": json({
      ...configToJson(config),
      torch_dtype: dtype === "F16" ? "float16" : "float32",
    }),
    "preprocessor_config.json": json(preprocessorConfig(config)),
    ...files,
  };
  const out = new Map([["model.safetensors", safetensorsChunks(weights)]]);
  const encoder = new TextEncoder();
  for (const [name, text] of Object.entries(texts)) out.set(name, [encoder.encode(text)]);
  return out;
}

/**
 * The pieces of an authors' `.pth`: `{ model, config }`, the configuration as Hugging Face writes it, so
 * that reading it back needs no other file.
 *
 * @throws CheckpointError when the weights do not fit the configuration
 */
export function authorsFile({ config, tensors }: Model): Uint8Array[] {
  return torchChunks(
    new Map<string, TorchValue>([
      ["model", toAuthors(tensors, config)],
      ["config", torchValue(configToJson(config))],
    ]),
  );
}

function torchValue(value: unknown): TorchValue {
  if (Array.isArray(value)) return value.map(torchValue);
  if (typeof value === "object" && value !== null) {
    return new Map(Object.entries(value).map(([key, item]) => [key, torchValue(item)]));
  }
  return value as string | number | boolean | null;
}

function convert(name: string, tensor: StoredTensor, dtype: "F32" | "F16"): StoredTensor {
  if (tensor.dtype === dtype) return tensor;
  const values = toFloat32(tensor);
  if (dtype === "F16") {
    for (const value of values) {
      // 65,520 is the least number that half precision rounds to infinity.
      if (Math.abs(value) >= 65_520 && Number.isFinite(value)) {
        throw new CheckpointError(
          `Tensor ${quote(name)} has the value ${value}, beyond half precision; save as F32`,
        );
      }
    }
  }
  return fromFloat32(values, tensor.shape, dtype);
}

/** How pictures are prepared for a model trained as the authors do: ImageNet's mean and deviation. */
function preprocessorConfig({ vision }: GroupViTConfig): Record<string, unknown> {
  return {
    image_processor_type: "CLIPImageProcessor",
    do_resize: true,
    size: { shortest_edge: vision.imageSize },
    resample: 3,
    do_center_crop: true,
    crop_size: { height: vision.imageSize, width: vision.imageSize },
    do_rescale: true,
    rescale_factor: 1 / 255,
    do_normalize: true,
    image_mean: [0.485, 0.456, 0.406],
    image_std: [0.229, 0.224, 0.225],
    do_convert_rgb: true,
  };
}

function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
