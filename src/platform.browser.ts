// What browsers provide: the engine as WebAssembly or on WebGPU, picture decoding, checkpoints over HTTP.

import { Downloads } from "./browser/downloads.js";
import { chooseFiles, isHubId, parseListing, shardNames } from "./checkpoint/hub-files.js";
import { openFiles } from "./checkpoint/model-files.js";
import { CheckpointError, HubError, InputError } from "./errors.js";
import type { PictureSource } from "./input/decode.browser.js";
import { decodePicture } from "./input/decode.browser.js";
import type {
  LoadedCheckpoint,
  ModelFiles,
  ModelSource,
  OpenOptions,
  Platform,
} from "./platform.js";
import { createSession } from "./runtime/session.web.js";

const HUB = "https://huggingface.co";
/** Files that are fetched from a base address; only the weights are indispensable. */
const BASE_FILES = ["config.json", "preprocessor_config.json", "tokenizer.json"];
const TOKENIZER_PAIR = ["vocab.json", "merges.txt"];
const WEIGHTS = "model.safetensors";
/** The bundled model's files are known: nothing is asked for that is not there. */
const BUNDLED = { name: "scenes", files: ["config.json", "preprocessor_config.json", WEIGHTS] };

export interface BrowserOpenOptions extends OpenOptions {
  /** What relative addresses are relative to. Default: the page, or the worker's script. */
  base?: string;
  /** Address of the folder that holds the bundled models. */
  models?: string;
  /** Keep what is downloaded in Cache Storage. Default true. */
  cache?: boolean;
}

/** Opens a Hub id, an address or given files; without a model, the bundled one below `models`. */
export async function openCheckpoint(
  model: ModelSource | undefined,
  options: BrowserOpenOptions = {},
): Promise<LoadedCheckpoint> {
  if (typeof model === "object") return openFiles(model);
  const downloads = await Downloads.open(options);
  try {
    if (model === undefined) return await openBundled(downloads, options);
    if (isHubId(model)) return await openHub(model, downloads, options);
    return await openAddress(absolute(model, options.base), downloads);
  } catch (error) {
    if (error instanceof InputError && !(error instanceof HubError)) await downloads.forget();
    throw error;
  }
}

async function openBundled(
  downloads: Downloads,
  { models, base }: BrowserOpenOptions,
): Promise<LoadedCheckpoint> {
  if (models === undefined) {
    throw new CheckpointError(
      "model: none is bundled in browsers; give a Hub id, the address of a model folder, or its files",
    );
  }
  const folder = new URL(`${BUNDLED.name}/`, folderOf(absolute(models, base))).href;
  const files = await getAll(downloads, folder, BUNDLED.files);
  if (!files[WEIGHTS] || !files["config.json"]) {
    throw new CheckpointError(
      `model: the bundled model is not at ${folder}; serve models/ beside the worker, or give the ` +
        "address of its folder as models",
    );
  }
  return openFiles(files, BUNDLED.name);
}

/** A Hugging Face repository, at the commit that the revision stands for now. */
async function openHub(
  id: string,
  downloads: Downloads,
  options: OpenOptions,
): Promise<LoadedCheckpoint> {
  const revision = encodeURIComponent(options.revision ?? "main");
  const address = `${HUB}/api/models/${id}/revision/${revision}`;
  const listing = await downloads.get(address, "files.json");
  if (!listing) {
    throw new HubError(
      `Hub model ${id}: there is none at revision "${options.revision ?? "main"}"`,
    );
  }
  const { commit, files } = parseListing(new TextDecoder().decode(listing), id);
  const { names, index } = chooseFiles(files, id);
  const all = `${HUB}/${id}/resolve/`;
  const base = `${all}${commit}/`;
  const found = await getAll(downloads, base, names, true);
  if (index && found[index]) {
    const shards = shardNames(new TextDecoder().decode(found[index]), index);
    Object.assign(found, await getAll(downloads, base, shards, true));
  }
  const missing = names.find((name) => !found[name]);
  if (missing) throw new HubError(`${base}${missing}: the server lists it and does not have it`);
  const checkpoint = await openFiles(found, id);
  await downloads.forgetOthers(all, base);
  return checkpoint;
}

/** A folder on a web server, or a weight file in one. */
async function openAddress(url: URL, downloads: Downloads): Promise<LoadedCheckpoint> {
  const weightFile = /\/([^/]+\.(?:safetensors|bin|pth|pt))$/.exec(url.pathname)?.[1];
  const folder = weightFile ? new URL(".", url) : folderOf(url);
  const [files, weights] = await Promise.all([
    getSideFiles(downloads, folder.href),
    weightFile
      ? { [weightFile]: await downloads.get(url.href, weightFile) }
      : getAll(downloads, folder.href, [WEIGHTS]),
  ]);
  const found = Object.values(weights).some((bytes) => bytes !== undefined)
    ? weights
    : await getOtherWeights(downloads, folder.href, weightFile);
  return openFiles({ ...files, ...(found as ModelFiles) }, url.href);
}

async function getSideFiles(downloads: Downloads, folder: string): Promise<ModelFiles> {
  const files = await getAll(downloads, folder, BASE_FILES);
  if (files["tokenizer.json"]) return files;
  return { ...files, ...(await getAll(downloads, folder, TOKENIZER_PAIR)) };
}

async function getOtherWeights(
  downloads: Downloads,
  folder: string,
  named: string | undefined,
): Promise<ModelFiles> {
  const name = "pytorch_model.bin";
  const bytes = named ? undefined : await downloads.get(folder + name, name);
  if (!bytes) {
    throw new CheckpointError(
      `model: ${folder} has no ${named ?? `${WEIGHTS} or ${name}`}; check the address`,
    );
  }
  return { [name]: bytes };
}

/** Those of the files that are there, fetched at once. */
async function getAll(
  downloads: Downloads,
  folder: string,
  names: readonly string[],
  fixed = false,
): Promise<Record<string, Uint8Array>> {
  const files: Record<string, Uint8Array> = {};
  await Promise.all(
    names.map(async (name) => {
      const bytes = await downloads.get(folder + name, name, fixed);
      if (bytes) files[name] = bytes;
    }),
  );
  return files;
}

function absolute(address: string, base?: string): URL {
  try {
    return new URL(address, base ?? globalThis.document?.baseURI ?? globalThis.location?.href);
  } catch {
    throw new CheckpointError(
      `model "${address}" is neither an address nor a Hub id such as nvidia/groupvit-gcc-yfcc`,
    );
  }
}

/** The address with a slash at its end. */
function folderOf(address: URL): URL {
  const folder = new URL(address);
  if (!folder.pathname.endsWith("/")) folder.pathname += "/";
  return folder;
}

export const browserPlatform: Platform<PictureSource> = {
  createSession,
  decodePicture,
  openCheckpoint,
};
