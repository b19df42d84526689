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
import { makeFolders } from "../atomic.node.js";
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
  const secret = url?.username || url?.password;
  if (!url || !/^https?:$/.test(url.protocol) || secret || url.search || url.hash) {
    throw new HubError(
      `Hub endpoint ${JSON.stringify(secret ? "(with a password)" : endpoint)}: not a plain ` +
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
    offline: options.offline ?? isTrue(env.HF_HUB_OFFLINE || env.TRANSFORMERS_OFFLINE),
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
      `Hub model ${id}: offline mode is on (by option, HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE) and ` +
        `revision ${revision} is not complete in the cache ${settings.cacheDir}. ${byHand(job)}`,
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
    if (missing)
      throw new HubError(`Hub model ${job.id}: ${index} names ${missing}, which is missing`);
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
    exchange(job, url, { timeoutMs: settings.headTimeoutMs }, async (_response, chunks) => {
      const parts: Uint8Array[] = [];
      let length = 0;
      for await (const chunk of chunks) {
        length += chunk.length;
        if (length > MAX_TEXT_BYTES) {
          throw new HubError(
            `Hub model ${id}: the server's file list is longer than ${MAX_TEXT_BYTES} bytes; ` +
              "check HF_ENDPOINT",
          );
        }
        parts.push(chunk);
      }
      return parseListing(Buffer.concat(parts).toString("utf8"), id);
    }),
  );
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

  const head: Exchange = {
    method: "HEAD",
    timeoutMs: job.settings.headTimeoutMs,
    stopAtLink: true,
  };
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
      await makeFolders(dirname(blob));
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
  await makeFolders(dirname(target));
  const temporary = `${target}.${randomBytes(6).toString("hex")}.tmp`;
  try {
    await symlink(relative(dirname(target), blob), temporary)
      .catch(() => link(blob, temporary))
      .catch(() => copyFile(blob, temporary));
    await rename(temporary, target).catch(async (error) => {
      // Windows refuses where another process has just made the file and reads it.
      if ((await fileSize(target)) === undefined) throw error;
    });
  } finally {
    await rm(temporary, { force: true });
  }
}

async function writeReference(job: Job, commit: string): Promise<void> {
  if (job.revision === commit) return;
  const path = join(job.folder, "refs", ...job.revision.split("/"));
  if ((await readFile(path, "utf8").catch(() => "")) === commit) return;
  await makeFolders(dirname(path));
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
    const age = Math.abs(Date.now() - info.mtimeMs); // clocks of other machines differ
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
    onWarning?.(
      `Hub file ${job.id}/${file.name}: another download of it is running; waiting for it`,
    );
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
    else
      claimed = await rename(partial.path, mine).then(
        () => true,
        () => false,
      );
  }

  const handle = await open(mine, claimed ? "r+" : "wx");
  let bad = false;
  let whole = false;
  try {
    await receive(job, file, handle, progress);
    await handle.datasync();
    whole = true;
  } catch (error) {
    bad = error instanceof BadDownload;
    throw error;
  } finally {
    await handle.close();
    if (bad) await rm(mine, { force: true });
    else if (!whole)
      await rename(mine, join(dirname(blob), partialName(etag, "free"))).catch(() => {});
  }
  await rename(mine, blob).catch(async (error) => {
    // Another process may have taken this file for abandoned and finished it.
    if ((await fileSize(blob)) !== file.size) throw error;
    await rm(mine, { force: true });
  });
}

/** Fills the partial file from where it ends and verifies it. */
async function receive(
  job: Job,
  file: HubFile,
  handle: FileHandle,
  progress: (loaded: number) => void,
): Promise<void> {
  const subject = `Hub file ${job.id}/${file.name}`;
  let hashes = startHashes(file);
  let offset = 0;
  const restart = () => {
    hashes = startHashes(file);
    offset = 0;
  };
  const add = async (chunk: Uint8Array, stored: boolean) => {
    for (const hash of hashes) hash.update(chunk);
    for (let i = stored ? chunk.length : 0; i < chunk.length; ) {
      i += (await handle.write(chunk, i, chunk.length - i, offset + i)).bytesWritten;
    }
    offset += chunk.length;
  };

  const leftover = (await handle.stat()).size;
  const buffer = new Uint8Array(1 << 20);
  while (offset < leftover) {
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, offset);
    if (bytesRead === 0) break;
    await add(buffer.subarray(0, bytesRead), true);
    job.options.signal?.throwIfAborted();
  }

  let reported = 0;
  const fetchRest = async () => {
    if (offset === file.size) return;
    const how = { timeoutMs: job.settings.bodyTimeoutMs, from: offset };
    await exchange(job, file.url, how, async (response, chunks) => {
      const { headers, status } = response;
      if (status === 206) {
        const range = `bytes ${offset}-${file.size - 1}/${file.size}`;
        if (headers.get("content-range") !== range) {
          throw new BadDownload(
            `${subject}: asked for "${range}", the server sends ${quoted(headers.get("content-range"))}; ` +
              "try again or set HF_ENDPOINT to another mirror",
          );
        }
      } else {
        restart(); // all of it comes, asked for or not
      }
      const length = headers.has("content-encoding") ? null : headers.get("content-length");
      if (length !== null && Number(length) !== file.size - offset) {
        throw new BadDownload(
          `${subject}: the server sends ${quoted(length)} bytes where ${file.size - offset} were ` +
            "announced; try again or set HF_ENDPOINT to another mirror",
        );
      }
      for await (const chunk of chunks) {
        if (offset + chunk.length > file.size) {
          throw new BadDownload(
            `${subject}: the server sends more than the ${file.size} bytes announced; try again or ` +
              "set HF_ENDPOINT to another mirror",
          );
        }
        await add(chunk, false);
        if (performance.now() - reported >= PROGRESS_INTERVAL_MS) {
          progress(offset);
          reported = performance.now();
        }
      }
      if (offset < file.size) {
        throw new Unreachable(`${file.name} broke off after ${offset} of ${file.size} bytes`, {
          retryable: true,
        });
      }
    });
  };
  await retrying(job, fetchRest, () => offset);
  if (leftover > 0 && !matches(hashes, file)) {
    // What an earlier run left may have been damaged since (power loss): it does not condemn the server.
    restart();
    await retrying(job, fetchRest, () => offset);
  }
  if (hashes.length > 0 && !matches(hashes, file)) {
    throw new BadDownload(
      `${subject}: the checksum is not the ${file.etag} that the server announced; the download was ` +
        "deleted: try again or set HF_ENDPOINT to another mirror",
    );
  }
}

/** The hashes one of which must equal the ETag; none where the ETag is no checksum. */
function startHashes(file: HubFile): Hash[] {
  if (/^[0-9a-f]{64}$/.test(file.etag!)) return [createHash("sha256")];
  // git's name of the file, or its plain SHA-1 with some mirrors
  if (/^[0-9a-f]{40}$/.test(file.etag!)) {
    return [createHash("sha1").update(`blob ${file.size}\0`), createHash("sha1")];
  }
  return [];
}

function matches(hashes: Hash[], file: HubFile): boolean {
  return hashes.some((hash) => hash.copy().digest("hex") === file.etag);
}

// ---------------------------------------------------------------------------------------------------
// What the cache has

/** The snapshot folder of the revision if everything that a model cannot do without is there. */
async function cachedSnapshot(job: Job): Promise<string | undefined> {
  let commit = job.revision;
  if (!COMMIT.test(commit)) {
    const path = join(job.folder, "refs", ...job.revision.split("/"));
    commit = (await readFile(path, "utf8").catch(() => "")).trim();
    if (!COMMIT.test(commit)) return undefined;
  }
  const snapshot = join(job.folder, "snapshots", commit);
  const has = async (name: string) => (await fileSize(join(snapshot, name))) !== undefined;
  if (!(await has("config.json"))) return undefined;
  for (const name of WEIGHT_FILES) {
    if (!(await has(name))) continue;
    if (!name.endsWith(".index.json")) return snapshot;
    const text = await readFile(join(snapshot, name), "utf8");
    const shards = shardNames(text, name);
    const present = await Promise.all(shards.map(has));
    if (present.every(Boolean)) return snapshot;
  }
  return undefined;
}

async function fileSize(path: string): Promise<number | undefined> {
  const info = await stat(path).catch(() => undefined);
  return info?.isFile() ? info.size : undefined;
}

// ---------------------------------------------------------------------------------------------------
// The network

/** The server or the way to it failed; the same request may succeed later. */
class Unreachable extends Error {
  /** Whether it is worth trying again at once: not where there is no connection in the first place. */
  readonly retryable: boolean;
  /** How long the server asks to wait. */
  readonly waitMs: number;

  constructor(message: string, how: { retryable: boolean; waitMs?: number; cause?: unknown }) {
    super(message, { cause: how.cause });
    this.retryable = how.retryable;
    this.waitMs = how.waitMs ?? 0;
  }
}

/** What was received is not what was announced: nothing of it may be kept. */
class BadDownload extends HubError {}

/** Runs `run` again while the network is at fault and either bytes arrive or few attempts have failed. */
async function retrying<T>(
  job: Job,
  run: () => Promise<T>,
  received: () => number = () => 0,
): Promise<T> {
  const start = received();
  let before = start;
  let fruitless = 0;
  for (let attempt = 1; ; attempt++) {
    try {
      return await run();
    } catch (error) {
      job.options.signal?.throwIfAborted();
      if (!(error instanceof Unreachable)) throw error;
      fruitless = received() > before ? 1 : fruitless + 1;
      before = received();
      const givesUp =
        !(error.retryable || before > start) ||
        fruitless === MAX_FRUITLESS_ATTEMPTS ||
        attempt === MAX_ATTEMPTS ||
        error.waitMs > MAX_RETRY_AFTER_MS;
      if (givesUp) throw error;
      const backOff = Math.min(FIRST_PAUSE_MS * 2 ** (fruitless - 1), MAX_PAUSE_MS);
      // Scattered, so that many processes that failed together do not return together.
      await pause(Math.max(error.waitMs, backOff * (0.75 + Math.random() / 4)), job.options.signal);
    }
  }
}

async function pause(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  await sleep(milliseconds, undefined, { signal }).catch((error) => {
    signal?.throwIfAborted();
    throw error;
  });
}

interface Exchange {
  readonly method?: "GET" | "HEAD";
  /** How long the server may be silent. */
  readonly timeoutMs: number;
  /** First byte wanted. */
  readonly from?: number;
  /** Whether a redirect that carries the checksum is itself the answer. */
  readonly stopAtLink?: boolean;
}

/** One request with its redirects; `read` gets the successful answer, whose body ends with it. */
async function exchange<T>(
  job: Job,
  address: string,
  how: Exchange,
  read: (response: Response, chunks: AsyncIterable<Uint8Array>) => Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  const silence = setTimeout(() => {
    // A file goes on where it stopped; file lists and heads fail fast, for there may be a copy in the cache.
    const text = `${new URL(address).origin} was silent for ${how.timeoutMs / 1000} s`;
    controller.abort(new Unreachable(text, { retryable: how.from !== undefined }));
  }, how.timeoutMs);
  const { signal } = job.options;
  const stop = () => controller.abort(signal?.reason);
  signal?.addEventListener("abort", stop, { once: true });
  try {
    signal?.throwIfAborted();
    const response = await follow(job, new URL(address), how, controller.signal);
    return await read(response, chunksOf(response, silence));
  } finally {
    clearTimeout(silence);
    signal?.removeEventListener("abort", stop);
    controller.abort(); // lets go of what was not read
  }
}

async function* chunksOf(response: Response, silence: NodeJS.Timeout): AsyncGenerator<Uint8Array> {
  const reader = response.body?.getReader();
  while (reader) {
    const part = await reader.read().catch((error) => {
      throw asUnreachable(error, response.url);
    });
    if (part.done) return;
    silence.refresh();
    yield part.value;
  }
}

/** Redirects are followed here, because the token must not reach another host. */
async function follow(job: Job, first: URL, how: Exchange, signal: AbortSignal): Promise<Response> {
  let url = first;
  let trusted = true;
  for (let hop = 0; hop <= MAX_REDIRECTS; hop++) {
    trusted &&= url.origin === first.origin;
    const headers: Record<string, string> = {
      "user-agent": "groupvit",
      // Sizes and ranges are those of the file itself.
      "accept-encoding": "identity",
    };
    if (trusted && job.settings.token) headers.authorization = `Bearer ${job.settings.token}`;
    if (how.from) headers.range = `bytes=${how.from}-`;
    const response = await fetch(url, {
      method: how.method ?? "GET",
      headers,
      redirect: "manual",
      signal,
    }).catch((error) => {
      throw asUnreachable(error, url.href);
    });
    if (![301, 302, 303, 307, 308].includes(response.status)) {
      if (response.ok) return response;
      throw refusal(job, url, trusted, response);
    }
    if (how.stopAtLink && response.headers.has("x-linked-etag")) return response;
    await response.body?.cancel();
    const location = response.headers.get("location") ?? "";
    const next = URL.canParse(location, url) ? new URL(location, url) : undefined;
    const secure =
      next?.protocol === "https:" || (next?.protocol === "http:" && url.protocol === "http:");
    if (!next || !secure || next.username || next.password) {
      throw new HubError(
        `Hub model ${job.id}: ${url.origin} redirects to ${quoted(location)}, ` +
          "which is not safe to follow; check HF_ENDPOINT",
      );
    }
    url = next;
  }
  throw new HubError(
    `Hub model ${job.id}: more than ${MAX_REDIRECTS} redirects from ${first.origin}; check HF_ENDPOINT`,
  );
}

/** What a failed fetch or read means. */
function asUnreachable(error: unknown, address: string): unknown {
  if (!(error instanceof TypeError)) return error; // aborted: the reason
  const cause = error.cause as (Error & { code?: string }) | undefined;
  const code = cause?.code ?? cause?.message ?? error.message;
  // A connection that breaks is worth another; one that cannot be made fails fast.
  const retryable = ["ECONNRESET", "EPIPE", "UND_ERR_SOCKET"].includes(code);
  return new Unreachable(
    `${retryable ? "lost the connection to" : "cannot reach"} ${new URL(address).origin} (${code})`,
    { retryable, cause: error },
  );
}

/** What an answer other than 2xx and redirects means. */
function refusal(job: Job, url: URL, trusted: boolean, { status, headers }: Response): Error {
  const { id, revision, settings } = job;
  // Links to the storage host expire: the next attempt gets a new one.
  if (status === 408 || status === 429 || status >= 500 || !trusted) {
    const waitMs = retryAfter(headers.get("retry-after"));
    const wish = waitMs > 0 ? ` and asks to wait ${Math.ceil(waitMs / 1000)} s` : "";
    return new Unreachable(`${url.origin} answers ${status}${wish}`, { retryable: true, waitMs });
  }
  const page = `${settings.endpoint}/${id}`;
  const code = headers.get("x-error-code");
  if (code === "GatedRepo") {
    return new HubError(
      `Hub model ${id}: access is gated: accept the conditions at ${page}, then set HF_TOKEN to a ` +
        "token of that account",
    );
  }
  if (code === "RevisionNotFound") {
    return new HubError(
      `Hub model ${id}: it has no revision ${JSON.stringify(revision)}; its branches are listed at ` +
        `${page}/tree/main`,
    );
  }
  if (code === "EntryNotFound") {
    return new HubError(
      `Hub model ${id}: the file ${quoted(url.pathname.split("/").pop()!)} is listed but missing; ` +
        "try again",
    );
  }
  if (status === 404 || code === "RepoNotFound") {
    return new HubError(
      `Hub model ${id}: no such model at ${settings.endpoint}, or it is private: check the spelling; ` +
        `for a private model set HF_TOKEN${settings.token ? " to a token that may read it" : ""}`,
    );
  }
  if (status === 401 || status === 403) {
    return new HubError(
      settings.token
        ? `Hub model ${id}: ${settings.endpoint} refuses the token (${status}): set HF_TOKEN to one that ` +
            "may read this model, or unset it"
        : `Hub model ${id}: ${settings.endpoint} asks for a token (${status}): set HF_TOKEN`,
    );
  }
  return new HubError(`Hub model ${id}: ${url.origin} answers ${status}; check HF_ENDPOINT`);
}

/** The header Retry-After, seconds or a date, in milliseconds from now. */
function retryAfter(value: string | null): number {
  if (value === null) return 0;
  const milliseconds = /^\d+$/.test(value) ? 1000 * Number(value) : Date.parse(value) - Date.now();
  return Math.max(0, milliseconds || 0);
}

// ---------------------------------------------------------------------------------------------------
// Words for the user

/** A value from the server, for a message: escaped and short. */
function quoted(value: string | null): string {
  return JSON.stringify(value === null ? null : value.slice(0, 200));
}

function byHand(job: Job): string {
  const { id, revision, settings } = job;
  return (
    "Without a network: on another machine download config.json, preprocessor_config.json, the " +
    "tokenizer files and model.safetensors (or pytorch_model.bin) from " +
    `${settings.endpoint}/${id}/tree/${revision} into one folder and give that folder instead of the id, ` +
    `or copy that machine's cache folder models--${id.replace("/", "--")} into ${settings.cacheDir}; ` +
    "or set HF_ENDPOINT to a mirror that can be reached" +
    (process.env.HTTPS_PROXY || process.env.https_proxy
      ? ". Node heeds HTTPS_PROXY from version 22.21 on, and only with NODE_USE_ENV_PROXY=1"
      : "")
  );
}

/** The HubError for a failure of the file system, if `error` is one. */
function diskError(error: unknown, cacheDir: string): HubError | undefined {
  const { code, syscall, path } = (error ?? {}) as NodeJS.ErrnoException;
  if (!(error instanceof Error) || code === undefined || syscall === undefined) return undefined;
  const reason = ["ENOSPC", "EDQUOT", "EFBIG"].includes(code)
    ? `no space left (${code}): free some, then run again to resume`
    : `cannot ${syscall} ${path ?? "a file"} (${code})`;
  return new HubError(
    `Hub cache ${cacheDir}: ${reason}; another folder may be given by HF_HUB_CACHE`,
    { cause: error },
  );
}
