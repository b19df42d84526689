// The tiny fixture's model with CLIP's full vocabulary, for tests that segment by words.

import { readFileSync } from "node:fs";
import { fromFloat32 } from "../../src/checkpoint/dtypes.js";
import { modelFrom, readWeights } from "../../src/checkpoint/load.js";
import { huggingFaceFiles } from "../../src/checkpoint/save.js";
import { Random } from "../../src/random.js";
import { readJson } from "./segment.js";

const TOKENS = "text_model.embeddings.token_embedding.weight";
const VOCABULARY = 49_408;

/** The files of its folder by name. The added token embeddings are random. */
export async function wordModelFiles(): Promise<Map<string, Uint8Array>> {
  const tiny = readJson<{ text_config: object }>("tiny/config.json");
  const ids = { vocab_size: VOCABULARY, bos_token_id: 49_406, eos_token_id: 49_407 };
  const config = JSON.stringify({ ...tiny, text_config: { ...tiny.text_config, ...ids } });
  const path = new URL("../fixtures/tiny/model.safetensors", import.meta.url);
  const stored = await readWeights(new Uint8Array(readFileSync(path)));
  const width = stored.tensors.get(TOKENS)!.shape[1]!;
  const random = new Random("tokens");
  const values = Float32Array.from({ length: VOCABULARY * width }, () => random.normal());
  stored.tensors.set(TOKENS, fromFloat32(values, [VOCABULARY, width]));
  const files = new Map<string, Uint8Array>();
  for (const [name, parts] of huggingFaceFiles(modelFrom(stored, config))) {
    files.set(name, new Uint8Array(await new Blob(parts as BlobPart[]).arrayBuffer()));
  }
  return files;
}
