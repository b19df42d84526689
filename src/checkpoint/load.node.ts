// Checkpoints from disk: a Hugging Face folder or a single file, whole or in shards, safetensors or
// PyTorch, in Hugging Face's or the authors' layout.

import { type FileHandle, open, readdir, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { CheckpointError } from "../errors.js";
import { modelFrom, readWeights, type StoredWeights } from "./load.js";
import { quote } from "./quote.js";
import type { Model } from "./save.js";
import type { TensorMap } from "./tensors.js";

export interface Checkpoint extends Model {
  /** Texts of the tokenizer's and the image processor's files beside the weights, by name. */
  files: Record<string, string>;
  /** The file that held the weights, or the index of its shards. */
  source: string;
}

/** Weights in a folder, the preferred first. */
const WEIGHT_FILES = [
  "model.safetensors",
  "model.safetensors.index.json",
  "pytorch_model.bin",
  "pytorch_model.bin.index.json",
];

const SIDE_FILES = [
  "tokenizer.json",
  "tokenizer_config.json",
  "vocab.json",
  "merges.txt",
  "special_tokens_map.json",
  "added_tokens.json",
  "preprocessor_config.json",
];

/** One array holds a file: larger ones are no GroupViT model (0.2 GB; 0.7 GB with optimiser state). */
const MAX_WEIGHT_BYTES = 2 ** 32 - 1;
const MAX_TEXT_BYTES = 64 << 20;
const MAX_SHARDS = 1000;

/**
 * Opens a checkpoint.
 *
 * The configuration comes from `config.json` beside the weights, else from the configuration stored in
 * the authors' file, else from the tensors' shapes.
 *
 * @param path a folder, or a `.safetensors`, `.bin`, `.pth` or `.index.json` file
 * @throws CheckpointError when the weights are missing, damaged or do not fit the configuration
 * @throws ConfigError when `config.json` has a wrong field
 */
export async function loadCheckpoint(path: string): Promise<Checkpoint> {
  const source = await findWeights(path);
  const folder = dirname(source);
  const stored = source.endsWith(".index.json")
    ? { tensors: await readShards(source), config: undefined }
    : await readWeightFile(source);

  const configText = await readTextIfPresent(join(folder, "config.json"));
  const model = modelFrom(stored, configText);
  const files: Record<string, string> = {};
  for (const name of SIDE_FILES) {
    const text = await readTextIfPresent(join(folder, name));
    if (text !== undefined) files[name] = text;
  }
  return { ...model, files, source };
}

async function findWeights(path: string): Promise<string> {
  const found = await stat(path).catch((error: unknown) => {
    throw new CheckpointError(
      `Checkpoint ${quote(path)} cannot be opened (${errorCode(error)}); give the path of a model ` +
        "folder or of a .safetensors, .bin or .pth file",
    );
  });
  if (!found.isDirectory()) return path;
  const names = await readdir(path);
  const usual = WEIGHT_FILES.find((name) => names.includes(name));
  if (usual !== undefined) return join(path, usual);
  const others = names.filter((name) => /\.(safetensors|bin|pth|pt)$/.test(name)).sort();
  if (others.length === 1) return join(path, others[0]!);
  throw new CheckpointError(
    others.length === 0
      ? `Folder ${quote(path)} holds no weights; it needs model.safetensors, pytorch_model.bin or a .pth`
      : `Folder ${quote(path)} holds several checkpoints (${others.slice(0, 5).join(", ")}); ` +
          "give the path of one of them",
  );
}

async function readWeightFile(path: string): Promise<StoredWeights> {
  const bytes = await readBytes(path, MAX_WEIGHT_BYTES);
  try {
    return await readWeights(bytes);
  } catch (error) {
    if (error instanceof CheckpointError) error.message = `${basename(path)}: ${error.message}`;
    throw error;
  }
}

/** Reads the shards that an index (`weight_map`: tensor to file) lists. */
async function readShards(index: string): Promise<TensorMap> {
  let map: unknown;
  try {
    const parsed = JSON.parse(await readText(index)) as { weight_map?: unknown } | null;
    map = parsed?.weight_map;
  } catch (error) {
    if (error instanceof CheckpointError) throw error;
  }
  if (typeof map !== "object" || map === null || Array.isArray(map)) {
    throw new CheckpointError(
      `Index ${quote(index)} has no weight_map of tensor names; download it again`,
    );
  }
  const byShard = new Map<string, string[]>();
  for (const [name, shard] of Object.entries(map)) {
    if (typeof shard !== "string" || !/^[\w-][\w.-]*$/.test(shard) || shard.endsWith(".json")) {
      throw new CheckpointError(
        `Index ${quote(index)} puts tensor ${quote(name)} into ${quote(String(shard))}, which is no ` +
          "file in its folder; download it again",
      );
    }
    const names = byShard.get(shard);
    if (names === undefined) byShard.set(shard, [name]);
    else names.push(name);
  }
  if (byShard.size > MAX_SHARDS) {
    throw new CheckpointError(
      `Index ${quote(index)} lists ${byShard.size} files, more than ${MAX_SHARDS}; it is damaged`,
    );
  }
  const tensors: TensorMap = new Map();
  for (const [shard, names] of byShard) {
    const { tensors: part } = await readWeightFile(join(dirname(index), shard));
    for (const name of names) {
      const tensor = part.get(name);
      if (tensor === undefined) {
        throw new CheckpointError(
          `Tensor ${quote(name)} is not in ${quote(shard)}, where the index puts it; ` +
            "download both again",
        );
      }
      tensors.set(name, tensor);
    }
  }
  return tensors;
}

async function readText(path: string): Promise<string> {
  return new TextDecoder().decode(await readBytes(path, MAX_TEXT_BYTES));
}

async function readTextIfPresent(path: string): Promise<string | undefined> {
  const exists = await stat(path).then(
    (found) => found.isFile(),
    () => false,
  );
  return exists ? readText(path) : undefined;
}

/** The whole file in one array, read once. */
async function readBytes(path: string, limit: number): Promise<Uint8Array> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, "r");
    const { size } = await file.stat();
    if (size > limit) {
      throw new CheckpointError(
        `File ${quote(path)} has ${size} bytes, more than the ${limit} that are read; ` +
          "give a checkpoint of a GroupViT model",
      );
    }
    const bytes = new Uint8Array(size);
    let offset = 0;
    while (offset < size) {
      const length = Math.min(size - offset, 1 << 30);
      const { bytesRead } = await file.read(bytes, offset, length, offset);
      if (bytesRead === 0) throw new CheckpointError(`File ${quote(path)} shrank while being read`);
      offset += bytesRead;
    }
    return bytes;
  } catch (error) {
    if (error instanceof CheckpointError) throw error;
    throw new CheckpointError(
      `File ${quote(path)} cannot be read (${errorCode(error)}); check the path and its permissions`,
    );
  } finally {
    await file?.close();
  }
}

function errorCode(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : String(error);
}
