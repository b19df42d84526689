// What browsers provide: the engine as WebAssembly or on WebGPU, picture decoding, checkpoints over HTTP.

import { chooseFiles, isHubId, parseListing, shardNames } from "./checkpoint/hub-files.js";
import { openFiles } from "./checkpoint/model-files.js";
import { CheckpointError, HubError } from "./errors.js";
import type { PictureSource } from "./input/decode.browser.js";
import { decodePicture } from "./input/decode.browser.js";
import type { LoadedCheckpoint, ModelSource, OpenOptions, Platform } from "./platform.js";
import { createSession } from "./runtime/session.browser.js";

const HUB = "https://huggingface.co";
/** Far beyond any GroupViT, and what one array can hold everywhere. */
const MAX_FILE_BYTES = 2 ** 31 - 1;
const MAX_TEXT_BYTES = 64 << 20;
/** Files that are fetched from a base address; only the weights are indispensable. */
const BASE_FILES = ["config.json", "preprocessor_config.json", "tokenizer.json"];
const TOKENIZER_PAIR = ["vocab.json", "merges.txt"];

async function openCheckpoint(
  model: ModelSource | undefined,
  options: OpenOptions,
): Promise<LoadedCheckpoint> {
  if (model === undefined) {
    throw new CheckpointError(
      "model: none is bundled in browsers; give a Hub id, the address of a model folder, or its files",
    );
  }
  if (typeof model === "object") return openFiles(model);
  if (isHubId(model)) return openHub(model, options);
  return openAddress(model, options);
}

/** A Hugging Face repository, at the commit that the revision stands for now. */
async function openHub(id: string, options: OpenOptions): Promise<LoadedCheckpoint> {
  const revision = encodeURIComponent(options.revision ?? "main");
  const address = `${HUB}/api/models/${id}/revision/${revision}`;
  const listing = await fetchBytes(address, "the list of files", MAX_TEXT_BYTES, options);
  if (!listing) {
    throw new HubError(
      `Hub model ${id}: there is none at revision "${options.revision ?? "main"}"`,
    );
  }
  const { commit, files } = parseListing(new TextDecoder().decode(listing), id);
  const { names, index } = chooseFiles(files, id);
  const base = `${HUB}/${id}/resolve/${commit}/`;
  return openFiles(await fetchAll(base, names, index, options), id);
}

/** A folder on a web server, or a weight file in one. */
async function openAddress(address: string, options: OpenOptions): Promise<LoadedCheckpoint> {
  let url: URL;
  try {
    url = new URL(address, globalThis.document?.baseURI ?? globalThis.location?.href);
  } catch {
    throw new CheckpointError(
      `model "${address}" is neither an address nor a Hub id such as nvidia/groupvit-gcc-yfcc`,
    );
  }
  const weightFile = /\/([^/]+\.(?:safetensors|bin|pth|pt))$/.exec(url.pathname)?.[1];
  if (!weightFile && !url.pathname.endsWith("/")) url.pathname += "/";
  const base = new URL(".", url).href;
  const files: Record<string, Uint8Array> = {};
  const side = await fetchPresent(base, BASE_FILES, options);
  Object.assign(files, side);
  if (!side["tokenizer.json"]) {
    Object.assign(files, await fetchPresent(base, TOKENIZER_PAIR, options));
  }
  const weights = weightFile ?? "model.safetensors";
  const fetched =
    (await fetchBytes(weightFile ? url.href : base + weights, weights, MAX_FILE_BYTES, options)) ??
    (await fetchWeightsOtherwise(base, weightFile, options));
  if (fetched instanceof Uint8Array) files[weights] = fetched;
  else Object.assign(files, fetched);
  return openFiles(files, url.href);
}

async function fetchWeightsOtherwise(
  base: string,
  named: string | undefined,
  options: OpenOptions,
): Promise<Record<string, Uint8Array>> {
  const name = "pytorch_model.bin";
  const bytes = named ? undefined : await fetchBytes(base + name, name, MAX_FILE_BYTES, options);
  if (!bytes) {
    throw new CheckpointError(
      `model: ${base} has no ${named ?? `model.safetensors or ${name}`}; check the address`,
    );
  }
  return { [name]: bytes };
}

/** Files that must be there, and the shards that the last of them may name. */
async function fetchAll(
  base: string,
  names: readonly string[],
  index: string | undefined,
  options: OpenOptions,
): Promise<Record<string, Uint8Array>> {
  const files = await fetchPresent(base, names, options);
  if (index && files[index]) {
    const shards = shardNames(new TextDecoder().decode(files[index]), index);
    Object.assign(files, await fetchPresent(base, shards, options));
  }
  const missing = names.find((name) => !files[name]);
  if (missing) throw new HubError(`${base}${missing}: the server lists it and does not have it`);
  return files;
}

async function fetchPresent(
  base: string,
  names: readonly string[],
  options: OpenOptions,
): Promise<Record<string, Uint8Array>> {
  const files: Record<string, Uint8Array> = {};
  for (const name of names) {
    const limit = /\.(json|txt)$/.test(name) ? MAX_TEXT_BYTES : MAX_FILE_BYTES;
    const bytes = await fetchBytes(base + name, name, limit, options);
    if (bytes) files[name] = bytes;
  }
  return files;
}

/** The bytes at an address, read with progress; nothing if the server has none there. */
async function fetchBytes(
  address: string,
  file: string,
  limit: number,
  { onProgress, signal }: OpenOptions,
): Promise<Uint8Array | undefined> {
  let response: Response;
  try {
    response = await fetch(address, { signal });
  } catch (error) {
    signal?.throwIfAborted();
    throw new HubError(
      `${file}: ${address} cannot be reached (${(error as Error).message}); check the network, and ` +
        "that the server allows requests from this page (CORS)",
      { cause: error },
    );
  }
  // Servers of single-page applications answer with their page where there is no file.
  const page = response.headers.get("content-type")?.startsWith("text/html");
  if (response.status === 404 || (response.ok && page)) return undefined;
  if (!response.ok || !response.body) {
    const gated = response.status === 401 || response.status === 403;
    throw new HubError(
      `${file}: ${address} answers ${response.status}; ` +
        (gated ? "the model does not exist or is not public" : "try again later"),
    );
  }
  // A compressed answer has the length of what is sent, not of what arrives.
  const encoded = response.headers.has("content-encoding");
  const total = encoded ? 0 : Number(response.headers.get("content-length") ?? 0);
  const tooLarge = (size: number) =>
    new HubError(`${file}: ${address} has ${size} bytes or more; at most ${limit} are read`);
  if (total > limit) throw tooLarge(total);
  const parts: Uint8Array[] = [];
  let bytes = total > 0 ? new Uint8Array(total) : undefined;
  let loaded = 0;
  const reader = response.body.getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    const size = loaded + part.value.length;
    if (size > limit) throw tooLarge(size);
    if (bytes && size > bytes.length) {
      parts.push(bytes.subarray(0, loaded));
      bytes = undefined;
    }
    if (bytes) bytes.set(part.value, loaded);
    else parts.push(part.value);
    loaded = size;
    onProgress?.({ file, loaded, total: Math.max(total, loaded) });
  }
  if (total > 0 && loaded < total) {
    throw new HubError(`${file}: ${address} ended after ${loaded} of ${total} bytes; try again`);
  }
  return bytes ?? joined(parts, loaded);
}

function joined(parts: readonly Uint8Array[], size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  let offset = 0;
  for (const part of parts) {
    bytes.set(part, offset);
    offset += part.length;
  }
  return bytes;
}

export const browserPlatform: Platform<PictureSource> = {
  createSession,
  decodePicture,
  openCheckpoint,
};
