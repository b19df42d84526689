// Checkpoints in memory: the bytes of a weight file to a model, in the browser as in Node.

import type { GroupViTConfig } from "../model/config.js";
import { parseConfig } from "./config-file.js";
import { fromFloat32, isFloat, toFloat32 } from "./dtypes.js";
import { inferConfig } from "./infer.js";
import { isAuthorsLayout, toHuggingFace } from "./names.js";
import { readSafetensors } from "./safetensors.js";
import type { Model } from "./save.js";
import { checkWeights, POSITION_IDS } from "./shapes.js";
import type { TensorMap } from "./tensors.js";
import { isTorch, readTorch } from "./torch.js";

export interface StoredWeights {
  /** Under the authors' or Hugging Face's names, in the types of the file. */
  tensors: TensorMap;
  /** The configuration that the authors' files hold, as plain data. */
  config?: unknown;
}

/**
 * Reads a weight file: safetensors or PyTorch, told apart by the first bytes.
 *
 * @throws CheckpointError when the file is damaged or hostile
 * @example
 * const bytes = new Uint8Array(await (await fetch(url)).arrayBuffer());
 * const { config, tensors } = modelFrom(await readWeights(bytes), configText);
 */
export async function readWeights(bytes: Uint8Array): Promise<StoredWeights> {
  if (!isTorch(bytes)) return { tensors: readSafetensors(bytes).tensors };
  const file = await readTorch(bytes);
  return { tensors: detach(file.tensors, bytes), config: file.config };
}

/**
 * The model that the weights hold. Its configuration comes from the text of `config.json`, else from the
 * configuration stored with the weights, else from their shapes.
 *
 * @throws ConfigError when the configuration has a wrong field or cannot be found
 * @throws CheckpointError when the weights are not exactly those of the configuration
 */
export function modelFrom(stored: StoredWeights, configText?: string): Model {
  const config = configText === undefined ? storedConfig(stored) : parseConfig(configText);
  let { tensors } = stored;
  if (isAuthorsLayout(tensors)) tensors = toHuggingFace(tensors, config);
  else checkWeights(config, tensors);
  return { config, tensors: toSinglePrecision(tensors) };
}

/** Copies the weights where they are only a part of the file, so that the rest can be freed. */
function detach(tensors: TensorMap, file: Uint8Array): TensorMap {
  let used = 0;
  for (const tensor of tensors.values()) used += tensor.bytes.byteLength;
  if (2 * used >= file.byteLength) return tensors;
  return new Map(
    [...tensors].map(([name, tensor]) => [
      name,
      { ...tensor, bytes: new Uint8Array(tensor.bytes) },
    ]),
  );
}

function storedConfig({ tensors, config }: StoredWeights): GroupViTConfig {
  const root = record(config);
  if (root.vision_config !== undefined) return parseConfig(config);
  const { img_encoder: vision, text_encoder: text } = record(root.model);
  return inferConfig(tensors, {
    vision: commonNumber(record(vision).num_heads),
    text: commonNumber(record(text).num_heads),
  });
}

/** The authors give the number of heads per stage. */
function commonNumber(value: unknown): number | undefined {
  const list = Array.isArray(value) ? value : [value];
  const first: unknown = list[0];
  return typeof first === "number" && list.every((item) => item === first) ? first : undefined;
}

function record(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}

function toSinglePrecision(tensors: TensorMap): TensorMap {
  const out: TensorMap = new Map();
  for (const [name, tensor] of tensors) {
    if (name === POSITION_IDS) continue;
    const keep = tensor.dtype === "F32" || !isFloat(tensor.dtype);
    out.set(name, keep ? tensor : fromFloat32(toFloat32(tensor), tensor.shape));
  }
  return out;
}
