// What differs between Node and browsers, as one value that the entry points pass in.

import type { StoredTensor } from "./checkpoint/tensors.js";
import type { DecodeOptions } from "./input/limits.js";
import type { Picture } from "./input/picture.js";
import type { GroupViTConfig } from "./model/config.js";
import type { CreateSession } from "./runtime/session.js";
import type { WordStore } from "./segment/words.js";

/** A checkpoint in memory, weights under Hugging Face's names. */
export interface LoadedCheckpoint {
  config: GroupViTConfig;
  tensors: ReadonlyMap<string, StoredTensor>;
  /** Texts of tokenizer and processor files by name. */
  files: Readonly<Record<string, string>>;
  /** Where it came from, for messages. */
  source: string;
}

/** Files of a model by name (`config.json`, `model.safetensors`, ...): bytes, texts, or `File` objects. */
export type ModelFiles = Readonly<Record<string, Uint8Array | Blob | string>>;

/** A model by name (a folder, a file, an address or a Hub id, as the platform has them), or its files. */
export type ModelSource = string | ModelFiles;

export interface OpenOptions {
  /** Hub revision: branch, tag or commit. Default `main`. */
  revision?: string;
  /** Folder of the Hub cache. Default: where Hugging Face's libraries keep theirs. */
  cacheDir?: string;
  /** Bytes so far and in all, while files are downloaded. */
  onProgress?(progress: { file: string; loaded: number; total: number }): void;
  /** Something worth telling that is no error, such as a cached model used without network. */
  onWarning?(message: string): void;
  signal?: AbortSignal;
}

export interface Platform<Source> {
  createSession: CreateSession;
  decodePicture(source: Source, options?: DecodeOptions): Promise<Picture>;
  /** Opens a model folder, a checkpoint file, a Hub id, files, or the bundled model if none is named. */
  openCheckpoint(model: ModelSource | undefined, options: OpenOptions): Promise<LoadedCheckpoint>;
  /** Where prompt embeddings outlive the process; absent where nothing does. */
  openWordStore?(key: string, dim: number): Promise<WordStore>;
}
