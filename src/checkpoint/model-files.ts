// A model whose files are already in memory or in `File` objects: what browsers download or are given.

import { CheckpointError } from "../errors.js";
import type { LoadedCheckpoint, ModelFiles } from "../platform.js";
import { shardNames, WEIGHT_FILES } from "./hub-files.js";
import { modelFrom, readWeights, type StoredWeights } from "./load.js";
import { quote } from "./quote.js";
import type { TensorMap } from "./tensors.js";

/**
 * Opens a model from its files: weights (`model.safetensors`, `pytorch_model.bin`, one of them in shards,
 * or any single `.safetensors`, `.bin`, `.pth`), and `config.json`, tokenizer and processor files where
 * there are any.
 *
 * @throws CheckpointError when the weights are missing, damaged or do not fit the configuration
 * @throws ConfigError when `config.json` has a wrong field
 */
export async function openFiles(
  files: ModelFiles,
  source = "the given files",
): Promise<LoadedCheckpoint> {
  const name = weightName(Object.keys(files));
  const stored = name.endsWith(".index.json")
    ? await readShards(files, name)
    : await readOne(files, name);
  const texts: Record<string, string> = {};
  for (const [file, content] of Object.entries(files)) {
    if (/\.(json|txt)$/.test(file) && !file.endsWith(".index.json")) {
      texts[file] = await textOf(content);
    }
  }
  const { config, tensors } = modelFrom(stored, texts["config.json"]);
  delete texts["config.json"];
  return { config, tensors, files: texts, source };
}

function weightName(names: readonly string[]): string {
  const usual = WEIGHT_FILES.find((name) => names.includes(name));
  if (usual !== undefined) return usual;
  const others = names.filter((name) => /\.(safetensors|bin|pth|pt)$/.test(name));
  if (others.length === 1) return others[0]!;
  throw new CheckpointError(
    `Files ${quote(names.slice(0, 10).join(", "))} hold ${others.length} sets of weights; ` +
      "give one model.safetensors, pytorch_model.bin or .pth",
  );
}

async function readOne(files: ModelFiles, name: string): Promise<StoredWeights> {
  const content = files[name];
  if (content === undefined) {
    throw new CheckpointError(`File ${quote(name)} is missing; give all shards of the weights`);
  }
  try {
    return await readWeights(await bytesOf(content));
  } catch (error) {
    if (error instanceof CheckpointError) error.message = `${name}: ${error.message}`;
    throw error;
  }
}

async function readShards(files: ModelFiles, index: string): Promise<StoredWeights> {
  const tensors: TensorMap = new Map();
  for (const shard of shardNames(await textOf(files[index]!), index)) {
    for (const [name, tensor] of (await readOne(files, shard)).tensors) tensors.set(name, tensor);
  }
  return { tensors };
}

async function bytesOf(content: Uint8Array | Blob | string): Promise<Uint8Array> {
  if (typeof content === "string") return new TextEncoder().encode(content);
  return content instanceof Uint8Array ? content : new Uint8Array(await content.arrayBuffer());
}

async function textOf(content: Uint8Array | Blob | string): Promise<string> {
  return typeof content === "string" ? content : new TextDecoder().decode(await bytesOf(content));
}
