// Downloads models from the Hugging Face Hub into the cache that huggingface_hub keeps, in the same
// layout, so that Python and this package share one copy.
//
// Own code on the global fetch, because the downloader of @huggingface/hub 2 neither resumes nor verifies
// checksums nor reports progress, fetches every file of a repository, has no offline mode, and lets two
// processes write one partial file.

import { createHash, type Hash, randomBytes } from "node:crypto";
import { readFileSync, readlinkSync } from "node:fs";
import {
  copyFile,
  type FileHandle,
  link,
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from "node:fs/promises";
import { homedir, hostname } from "node:os";
import { dirname, join, relative, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { HubError } from "../errors.js";
import {
  COMMIT,
  chooseFiles,
  isHubId,
  type Listing,
  parseListing,
  shardNames,
  WEIGHT_FILES,
} from "./hub-files.js";

const MAX_MODEL_BYTES = 20e9;
/** Bound of the file list and of every file that is parsed as JSON or text. */
const MAX_TEXT_BYTES = 64e6;
const MAX_REDIRECTS = 8;
/** Attempts in a row that may fail without a new byte, and in all. */
const MAX_FRUITLESS_ATTEMPTS = 5;
const MAX_ATTEMPTS = 100;
const FIRST_PAUSE_MS = 250;
const MAX_PAUSE_MS = 8_000;
const MAX_RETRY_AFTER_MS = 60_000;
const PROGRESS_INTERVAL_MS = 100;
const POLL_MS = 200;
/** A partial file that another process is writing is waited for while it has changed within this time. */
const LIVELY_MS = 15_000;
/** A partial file untouched for this long is abandoned, whoever owns it: longer than any pause here. */
const ABANDONED_MS = 120_000;

/** How far a download is. Sizes are in bytes. */
export interface HubProgress {
  /** The file being fetched, and what of it is on disk. */
  readonly file: string;
  readonly loaded: number;
  readonly total: number;
  /** Its place among all files, from 1, and their number. */
  readonly fileNumber: number;
  readonly files: number;
  /** The same for all files together. */
  readonly allLoaded: number;
  readonly allTotal: number;
}

export interface HubOptions {
  /** Branch, tag or commit; default "main". */
  readonly revision?: string;
  /** Default HF_HUB_CACHE, else HF_HOME/hub, else XDG_CACHE_HOME or ~/.cache + /huggingface/hub. */
  readonly cacheDir?: string;
  /** Default HF_ENDPOINT, else https://huggingface.co. */
  readonly endpoint?: string;
  /**
   * Default HF_TOKEN, else the token file of HF_HOME; neither is read where
   * HF_HUB_DISABLE_IMPLICIT_TOKEN is set. Only ever sent to the endpoint's own origin.
   */
  readonly token?: string;
  /** Use the cache only; default HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE (1, TRUE, YES, ON). */
  readonly offline?: boolean;
  /** Called at the start and end of each file and about ten times a second between. */
  readonly onProgress?: (progress: HubProgress) => void;
  /** Called with a sentence where something deserves notice but does not stop the download. */
  readonly onWarning?: (message: string) => void;
  /** Stops the download; what is on disk is resumed by the next call. */
  readonly signal?: AbortSignal;
}

/** Options with the environment's defaults filled in. */
export interface HubSettings {
  readonly cacheDir: string;
  readonly endpoint: string;
  readonly token: string | undefined;
  readonly offline: boolean;
  /** How long the server may be silent before a file list or head, and within a file. */
  readonly headTimeoutMs: number;
  readonly bodyTimeoutMs: number;
}

/** Reads the environment variables of huggingface_hub; given options win over them. */
export function hubSettings(env: NodeJS.ProcessEnv, options: HubOptions = {}): HubSettings {
  const path = (text: string) =>
    resolve(
      text
        .replace(/^~(?=$|[/\\])/, homedir())
        .replace(/\$(?:(\w+)|\{(\w+)\})/g, (all, bare, braced) => env[bare ?? braced] ?? all),
    );
  const isTrue = (value: string | undefined) => /^(1|true|yes|on)$/i.test(value ?? "");
  const seconds = (value: string | undefined) => (Number(value) > 0 ? Number(value) : 10);

  const home = path(env.HF_HOME || join(env.XDG_CACHE_HOME || "~/.cache", "huggingface"));
  const cacheDir =
    options.cacheDir || env.HF_HUB_CACHE || env.HUGGINGFACE_HUB_CACHE || join(home, "hub");

  const endpoint = (options.endpoint || env.HF_ENDPOINT || "https://huggingface.co").trim();
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined;
  if (!url || !/^https?:$/.test(url.protocol) || url.username || url.search || url.hash) {
    throw new HubError(
      `Hub endpoint ${JSON.stringify(url?.username ? "(with a password)" : endpoint)}: not a plain ` +
        "http(s) address; set HF_ENDPOINT to one such as https://huggingface.co",
    );
  }

  let token = options.token;
  if (token === undefined && !isTrue(env.HF_HUB_DISABLE_IMPLICIT_TOKEN)) {
    token = env.HF_TOKEN || env.HUGGING_FACE_HUB_TOKEN;
    token ||= readTokenFile(env.HF_TOKEN_PATH ? path(env.HF_TOKEN_PATH) : join(home, "token"));
  }
  token = token?.trim() || undefined;
  if (token && !/^[\x21-\x7e]+$/.test(token)) {
    throw new HubError("Hub token: it holds characters that no token has; set HF_TOKEN again");
  }

  return {
    cacheDir: options.cacheDir ? resolve(cacheDir) : path(cacheDir),
    endpoint: url.href.replace(/\/+$/, ""),
    token,
    offline: options.offline ?? (isTrue(env.HF_HUB_OFFLINE) || isTrue(env.TRANSFORMERS_OFFLINE)),
    headTimeoutMs: 1000 * seconds(env.HF_HUB_ETAG_TIMEOUT),
    bodyTimeoutMs: 1000 * seconds(env.HF_HUB_DOWNLOAD_TIMEOUT),
  };
}

function readTokenFile(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}

/**
 * Fetches what a GroupViT needs of a Hub model (config, preprocessor, tokenizer, weights) and returns
 * the snapshot folder in the standard cache: `models--org--name/snapshots/<commit>`. Files that the cache
 * already has are not fetched again; an interrupted download is resumed; every file is checked against
 * its checksum before it appears. Where the Hub cannot be reached, a complete snapshot of the revision in
 * the cache is used instead, with a warning.
 *
 * Fails with a HubError that says what to do; an abort fails with the signal's reason.
 *
 * @example
 * const folder = await downloadModel("nvidia/groupvit-gcc-yfcc");
 */
export async function downloadModel(id: string, options: HubOptions = {}): Promise<string> {
  if (!isHubId(id)) {
    throw new HubError(
      `Hub model ${JSON.stringify(id)}: not a model id; give one such as nvidia/groupvit-gcc-yfcc, ` +
        "or a folder that exists",
    );
  }
  const revision = options.revision ?? "main";
  if (!isRevision(revision)) {
    throw new HubError(
      `Hub revision ${JSON.stringify(revision)}: not the name of a branch, tag or commit`,
    );
  }
  const settings = hubSettings(process.env, options);
  const folder = join(settings.cacheDir, `models--${id.replace("/", "--")}`);
  const job: Job = { id, revision, folder, settings, options };
  options.signal?.throwIfAborted();
  if (settings.offline) {
    const snapshot = await cachedSnapshot(job);
    if (snapshot) return snapshot;
    throw new HubError(
      `Hub model ${id}: offline (HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE is set) and revision ` +
        `${revision} is not complete in the cache ${settings.cacheDir}. ${byHand(job)}`,
    );
  }
  try {
    return await fetchSnapshot(job);
  } catch (error) {
    options.signal?.throwIfAborted();
    if (error instanceof Unreachable) {
      const snapshot = await cachedSnapshot(job);
      if (!snapshot) {
        throw new HubError(`Hub model ${id}: ${error.message}. ${byHand(job)}`, { cause: error });
      }
      options.onWarning?.(`Hub model ${id}: ${error.message}; using the copy in ${snapshot}`);
      return snapshot;
    }
    throw diskError(error, settings.cacheDir) ?? error;
  }
}

/** One call of downloadModel. */
interface Job {
  readonly id: string;
  readonly revision: string;
  /** The model's folder in the cache. */
  readonly folder: string;
  readonly settings: HubSettings;
  readonly options: HubOptions;
}

/** git's rules for names of references, which also keep them inside the folder `refs`. */
function isRevision(revision: string): boolean {
  return (
    revision.length <= 250 &&
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
    !/[\x00-\x20\x7f~^:?*[\\]|@\{|\.\.|\.lock$|[./]$/.test(revision) &&
    revision.split("/").every((part) => part !== "" && !part.startsWith("."))
  );
}

async function fetchSnapshot(job: Job): Promise<string> {
  const listing = await fetchListing(job);
  const snapshot = join(job.folder, "snapshots", listing.commit);
  const { names, index } = chooseFiles(listing.files, job.id);
  const files = await describeFiles(job, listing, names);
  if (index) {
    const file = files[files.length - 1];
    await fetchFile(job, file, () => {});
    const shards = shardNames(await readFile(join(snapshot, index), "utf8"), index);
    const missing = shards.find((shard) => !listing.files.has(shard));
    if (missing) throw new HubError(`Hub model ${job.id}: ${index} names ${missing}, which is missing`);
    files.push(...(await describeFiles(job, listing, shards)));
  }
  const allTotal = files.reduce((sum, file) => sum + file.size, 0);
  if (allTotal > MAX_MODEL_BYTES) {
    throw new HubError(
      `Hub model ${job.id}: ${allTotal} bytes, more than the ${MAX_MODEL_BYTES} allowed; no GroupViT is ` +
        "so large: check the id",
    );
  }
  let done = 0;
  for (const [i, file] of files.entries()) {
    await fetchFile(job, file, (loaded) =>
      job.options.onProgress?.({
        file: file.name,
        loaded,
        total: file.size,
        fileNumber: i + 1,
        files: files.length,
        allLoaded: done + loaded,
        allTotal,
      }),
    );
    done += file.size;
  }
  // Last, so that an interrupted update leaves the older complete snapshot in use.
  await writeReference(job, listing.commit);
  return snapshot;
}

// ---------------------------------------------------------------------------------------------------
// What the server has

async function fetchListing(job: Job): Promise<Listing> {
  const { id, revision, settings } = job;
  const url = `${settings.endpoint}/api/models/${id}/revision/${encodeURIComponent(revision)}`;
  return await retrying(job, async () =>
    exchange(job, url, { timeoutMs: settings.headTimeoutMs }, async (response) =>
      parseListing(await boundedText(response, "the file list"), id),
    ),
  );
}

async function boundedText(response: Response, what: string): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response.body ?? []) {
    length += chunk.length;
    if (length > MAX_TEXT_BYTES) {
      throw new HubError(`Hub: ${what} is longer than ${MAX_TEXT_BYTES} bytes; check HF_ENDPOINT`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

/** One file of a commit. */
interface HubFile {
  readonly name: string;
  readonly url: string;
  /** Where it belongs in the snapshot. */
  readonly target: string;
  readonly size: number;
  /** SHA-256 for files in large-file storage, git's SHA-1 for others; undefined: it is in place. */
  readonly etag: string | undefined;
}

async function describeFiles(job: Job, listing: Listing, names: string[]): Promise<HubFile[]> {
  const files: HubFile[] = [];
  const step = 8; // requests at a time
  for (let i = 0; i < names.length; i += step) {
    const some = names.slice(i, i + step);
    files.push(...(await Promise.all(some.map((name) => describeFile(job, listing.commit, name)))));
  }
  return files;
}

async function describeFile(job: Job, commit: string, name: string): Promise<HubFile> {
  const url = `${job.settings.endpoint}/${job.id}/resolve/${commit}/${encodeURIComponent(name)}`;
  const target = join(job.folder, "snapshots", commit, name);
  // A commit never changes and files appear whole, so what is in place is right.
  const present = await fileSize(target);
  if (present !== undefined) return { name, url, target, size: present, etag: undefined };

  const head: Exchange = { method: "HEAD", timeoutMs: job.settings.headTimeoutMs, stopAtLink: true };
  return await retrying(job, async () =>
    exchange(job, url, head, async ({ headers }) => {
      const etag = (headers.get("x-linked-etag") ?? headers.get("etag") ?? "")
        .replace(/^W\//, "")
        .replace(/^"(.*)"$/, "$1");
      // It becomes a file name.
      if (!/^[\w-]{1,128}$/.test(etag)) {
        throw new HubError(
          `Hub file ${job.id}/${name}: the server gives the ETag ${JSON.stringify(etag.slice(0, 200))}, ` +
            "which is no checksum; check HF_ENDPOINT",
        );
      }
      const sizeText = headers.get("x-linked-size") ?? headers.get("content-length") ?? "";
      const size = /^\d+$/.test(sizeText) ? Number(sizeText) : Number.NaN;
      const limit = /\.(json|txt)$/.test(name) ? MAX_TEXT_BYTES : MAX_MODEL_BYTES;
      if (!(size <= limit)) {
        throw new HubError(
          `Hub file ${job.id}/${name}: the server gives the size ${JSON.stringify(sizeText)}, ` +
            `not 0 to ${limit} bytes; check the id and HF_ENDPOINT`,
        );
      }
      return { name, url, target, size, etag };
    }),
  );
}

// ---------------------------------------------------------------------------------------------------
// Files into the cache

async function fetchFile(
  job: Job,
  file: HubFile,
  progress: (loaded: number) => void,
): Promise<void> {
  progress(0);
  if (file.etag !== undefined && (await fileSize(file.target)) === undefined) {
    const blob = join(job.folder, "blobs", file.etag);
    if ((await fileSize(blob)) !== file.size) {
      await mkdir(dirname(blob), { recursive: true });
      await fetchBlob(job, file, blob, progress);
    }
    await placeBlob(blob, file.target);
  }
  progress(file.size);
}

/**
 * Makes the snapshot's file: a relative symbolic link as huggingface_hub makes it; where the system
 * refuses those, a hard link, or else a copy.
 */
async function placeBlob(blob: string, target: string): Promise<void> {
  await mkdir(dirname(target), { recursive: true });
  const temporary = `${target}.${randomBytes(6).toString("hex")}.tmp`;
  try {
    await symlink(relative(dirname(target), blob), temporary)
      .catch(() => link(blob, temporary))
      .catch(() => copyFile(blob, temporary));
    await rename(temporary, target);
  } finally {
    await rm(temporary, { force: true });
  }
}

async function writeReference(job: Job, commit: string): Promise<void> {
  if (job.revision === commit) return;
  const path = join(job.folder, "refs", ...job.revision.split("/"));
  if ((await readFile(path, "utf8").catch(() => "")) === commit) return;
  await mkdir(dirname(path), { recursive: true });
  // Not in `refs`, where any file counts as a reference.
  const temporary = join(job.folder, `.${randomBytes(6).toString("hex")}.tmp`);
  await writeFile(temporary, commit);
  await rename(temporary, path);
}

// Partial files. Each is written by one process, whose name it bears, so that processes never meet in
// one file; a file whose owner died or let go of it is taken over by renaming it, which only one can
// do. Should an owner be thought dead and still write, it writes the same bytes at the same places.
// Python's own `<etag>.incomplete` is left alone.

const MACHINE = createHash("sha256")
  .update(`${hostname()} ${processNamespace()}`)
  .digest("hex")
  .slice(0, 8);

/** Containers may share a host name and a cache while their process numbers mean different processes. */
function processNamespace(): string {
  try {
    return readlinkSync("/proc/self/ns/pid");
  } catch {
    return "";
  }
}

function partialName(etag: string, owner: string): string {
  return `${etag}.${owner}.${randomBytes(6).toString("hex")}.incomplete`;
}

interface Partial {
  readonly path: string;
  readonly size: number;
  readonly abandoned: boolean;
  readonly lively: boolean;
}

/** Others' and earlier partial files of a blob, largest first. */
async function findPartials(blob: string, etag: string): Promise<Partial[]> {
  const found: Partial[] = [];
  for (const name of await readdir(dirname(blob))) {
    const match = /^([\w-]+)\.(?:free|([0-9a-f]{8})-(\d+))\.[0-9a-f]{12}\.incomplete$/.exec(name);
    if (match?.[1] !== etag) continue;
    const path = join(dirname(blob), name);
    const info = await stat(path).catch(() => undefined);
    if (!info) continue; // renamed meanwhile
    const age = Date.now() - info.mtimeMs;
    const dead = match[2] === MACHINE && !isRunning(Number(match[3]));
    const abandoned = match[2] === undefined || dead || age > ABANDONED_MS;
    found.push({ path, size: info.size, abandoned, lively: !abandoned && age < LIVELY_MS });
  }
  return found.sort((a, b) => b.size - a.size);
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

async function fetchBlob(
  job: Job,
  file: HubFile,
  blob: string,
  progress: (loaded: number) => void,
): Promise<void> {
  const etag = file.etag!;
  const { signal, onWarning } = job.options;
  let partials = await findPartials(blob, etag);
  if (partials.some((partial) => partial.lively)) {
    onWarning?.(`Hub file ${job.id}/${file.name}: another download of it is running; waiting for it`);
    while (partials.some((partial) => partial.lively)) {
      await pause(POLL_MS, signal);
      if ((await fileSize(blob)) === file.size) return;
      partials = await findPartials(blob, etag);
    }
  }

  const mine = join(dirname(blob), partialName(etag, `${MACHINE}-${process.pid}`));
  let claimed = false;
  for (const partial of partials.filter((partial) => partial.abandoned)) {
    if (claimed || partial.size > file.size) await rm(partial.path, { force: true });
    else claimed = await rename(partial.path, mine).then(() => true, () => false);
  }

  const handle = await open(mine, claimed ? "r+" : "wx");
  let keep = true;
  try {
    await receive(job, file, handle, progress);
    await handle.datasync();
  } catch (error) {
    keep = !(error instanceof BadDownload);
    throw error;
  } finally {
    const { size } = await handle.stat();
    await handle.close();
    if (!keep || (size === 0 && file.size > 0)) await rm(mine, { force: true });
  }
}
