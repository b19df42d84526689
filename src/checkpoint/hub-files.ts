// What this package knows of a Hugging Face Hub repository wherever it runs: which ids are valid, and
// which of a repository's files a GroupViT needs. Everything that comes from the server is checked here.

import { HubError } from "../errors.js";

/** Files beside the weights that are read where they exist; only config.json is indispensable. */
const SMALL_FILES = [
  "config.json",
  "preprocessor_config.json",
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "vocab.json",
  "merges.txt",
];

/** Names under which weights are stored, best first; an index names the shards it is made of. */
export const WEIGHT_FILES = [
  "model.safetensors",
  "model.safetensors.index.json",
  "pytorch_model.bin",
  "pytorch_model.bin.index.json",
];

const MAX_SHARDS = 1000;
const MAX_LISTED = 100_000;
const MAX_NAME = 4096;

/** A full commit hash, as the Hub names revisions. */
export const COMMIT = /^[0-9a-f]{40}$/;

/**
 * Whether `text` has the form `organisation/name` of a Hub model id: two parts of at most 96 of
 * `A-Z a-z 0-9 _ . -`, neither beginning nor ending with `.` or `-`, no `--` or `..`, no `.git` at the
 * end. A path may look the same: ask the file system first.
 *
 * @example isHubId("nvidia/groupvit-gcc-yfcc") // true
 */
export function isHubId(text: string): boolean {
  const parts = text.split("/");
  return (
    parts.length === 2 &&
    parts.every((part) => /^\w(?:[\w.-]{0,94}\w)?$/.test(part)) &&
    !/--|\.\.|\.git$/.test(text)
  );
}

/** A repository at one commit. */
export interface Listing {
  readonly commit: string;
  readonly files: ReadonlySet<string>;
}

/** Reads the answer of `/api/models/:id/revision/:revision`. */
export function parseListing(text: string, id: string): Listing {
  const { sha, siblings } = parseObject(text);
  const wrong = (what: string) =>
    new HubError(`Hub model ${id}: the server's file list is not one (${what}); check HF_ENDPOINT`);
  if (typeof sha !== "string" || !COMMIT.test(sha)) throw wrong('"sha" is no commit');
  if (!Array.isArray(siblings)) throw wrong('"siblings" is no list');
  if (siblings.length > MAX_LISTED) throw wrong(`more than ${MAX_LISTED} files`);
  const files = new Set<string>();
  for (const [i, sibling] of siblings.entries()) {
    const name = (sibling as { rfilename?: unknown } | null)?.rfilename;
    if (typeof name !== "string" || name === "" || name.length > MAX_NAME) {
      throw wrong(`file ${i + 1} has no "rfilename" of 1 to ${MAX_NAME} characters`);
    }
    files.add(name);
  }
  for (const file of files) {
    const unsafe = file.split(/[/\\]/).some((part) => part === "" || part === "." || part === "..");
    if (unsafe || file.includes("\0") || /^[a-z]:/i.test(file)) {
      throw new HubError(
        `Hub model ${id}: the server lists the file ${JSON.stringify(file)}, which would lie outside ` +
          "the model's folder; do not use this model",
      );
    }
  }
  return { commit: sha, files };
}

/** The files to fetch, in order (weights last), and whether the last one is an index of shards. */
export function chooseFiles(
  files: ReadonlySet<string>,
  id: string,
): { names: string[]; index: string | undefined } {
  const weights = WEIGHT_FILES.find((name) => files.has(name));
  if (!files.has("config.json") || weights === undefined) {
    const missing = files.has("config.json") ? WEIGHT_FILES.join(", ") : "config.json";
    throw new HubError(
      `Hub model ${id}: it has no ${missing}, so it is no GroupViT in the Hugging Face layout; ` +
        "give the id of another model or a checkpoint file",
    );
  }
  const names = [...SMALL_FILES.filter((name) => files.has(name)), weights];
  return { names, index: weights.endsWith(".index.json") ? weights : undefined };
}

/** The shards that a `*.index.json` names: plain file names, each once, in order of appearance. */
export function shardNames(text: string, index: string): string[] {
  const { weight_map: map } = parseObject(text);
  const names: unknown[] = isObject(map) ? Object.values(map) : [null];
  if (!names.every((name) => typeof name === "string")) {
    throw new HubError(
      `${index}: not an index of weight shards ("weight_map" names no files); fetch it again`,
    );
  }
  const extension = index.replace(".index.json", "").replace(/^[^.]*/, "");
  const shards = [...new Set(names)];
  if (shards.length === 0 || shards.length > MAX_SHARDS) {
    throw new HubError(`${index}: it names ${shards.length} shards, not 1 to ${MAX_SHARDS}`);
  }
  for (const shard of shards) {
    if (!/^\w[\w.-]{0,250}$/.test(shard) || !shard.endsWith(extension)) {
      throw new HubError(
        `${index}: it names the shard ${JSON.stringify(shard.slice(0, 300))}, which is no plain name of ` +
          `a ${extension} file; do not use this model`,
      );
    }
  }
  return shards;
}

/** The object that a JSON text holds; empty where it holds none. */
function parseObject(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : {};
  } catch {
    return {};
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
