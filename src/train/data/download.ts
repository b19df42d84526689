// Turns a list of addresses and captions into WebDataset shards: politely, within bounds, and so that a
// run that was killed goes on where it stood.

import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { type FileHandle, open, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import sharp from "sharp";
import { ConfigError, PictureError } from "../../errors.js";
import { decodePicture } from "../../input/decode.node.js";
import { type ListLayout, type ListRow, readList } from "./download-list.js";
import {
  DownloadError,
  type DownloadFailure,
  type FetchLimits,
  fetchPicture,
} from "./fetch-picture.js";
import { claimFolder, writeAtomically, writeFully } from "./files.js";
import { sizeFault } from "./prepare.js";
import { sampleFiles } from "./shard.js";
import { captionFault } from "./source.js";
import { tarEnd } from "./tar.js";

export interface DownloadOptions {
  layout: ListLayout;
  /** Rows of the list that make one shard. Default 10,000. */
  rowsPerShard?: number;
  /** Downloads at a time. Default 32. */
  concurrency?: number;
  /** Downloads at a time from one host. Default 2. */
  perHost?: number;
  /** Milliseconds between two starts at one host. Default 100. */
  hostDelay?: number;
  /** Milliseconds for one picture. Default 15,000. */
  timeout?: number;
  /** Most bytes of one picture. Default 20 MiB. */
  maxBytes?: number;
  /** Default 5. */
  maxRedirects?: number;
  /** Shrinks the shorter side to this and stores JPEG; `false` stores what came. Default 256. */
  shortSide?: number | false;
  /** Pictures with a shorter side are left out. Default 32. */
  minSide?: number;
  userAgent?: string;
  /** `host:port` that may be private, for a mirror in the own network and for tests. */
  allowHosts?: readonly string[];
  signal?: AbortSignal;
  /** Called after each row, with the statistics so far. */
  onProgress?: (statistics: DownloadStatistics) => void;
}

export interface DownloadStatistics {
  rows: number;
  downloaded: number;
  failures: Partial<Record<DownloadFailure, number>>;
}

type Settings = Required<Omit<DownloadOptions, "signal" | "onProgress">>;

const MAX_PIXELS = 100_000_000;
const USER_AGENT = "Mozilla/5.0 (compatible; groupvit-dataset/0.1; image-caption research)";

/**
 * Downloads a list into `folder`: `00000.tar` with its `00000.json` (statistics) for each part of the
 * list. A shard appears whole or not at all; what of a part has been fetched or has failed stands in a
 * ledger beside it, so that a run that was stopped or killed fetches nothing twice. The politeness
 * bounds count the hosts of the list; a redirect to another host is followed at once.
 *
 * @returns statistics of all shards, those of earlier runs included
 * @throws ConfigError for a wrong setting, or where the folder holds another list's shards
 * @throws InputError where the list cannot be read
 */
export async function downloadShards(
  list: string,
  folder: string,
  options: DownloadOptions,
): Promise<DownloadStatistics> {
  const { signal, onProgress } = options;
  const settings = checkedSettings(options);
  const { layout, rowsPerShard, shortSide } = settings;
  await claimFolder(folder, "download.json", { layout, rowsPerShard, shortSide });
  const total: DownloadStatistics = { rows: 0, downloaded: 0, failures: {} };
  let number = 0;
  for await (const rows of partsOf(
    readList(list, settings.layout, signal),
    settings.rowsPerShard,
  )) {
    const shard = join(folder, String(number).padStart(5, "0"));
    const digest = createHash("sha256").update(JSON.stringify(rows)).digest("hex");
    const done = await finishedShard(shard, digest);
    if (done) addStatistics(total, done);
    else await downloadPart(shard, number, rows, digest, settings, total, signal, onProgress);
    number++;
  }
  return total;
}

function checkedSettings(options: DownloadOptions): Settings {
  const settings: Settings = {
    layout: options.layout,
    rowsPerShard: options.rowsPerShard ?? 10_000,
    concurrency: options.concurrency ?? 32,
    perHost: options.perHost ?? 2,
    hostDelay: options.hostDelay ?? 100,
    timeout: options.timeout ?? 15_000,
    maxBytes: options.maxBytes ?? 20 * 2 ** 20,
    maxRedirects: options.maxRedirects ?? 5,
    shortSide: options.shortSide ?? 256,
    minSide: options.minSide ?? 32,
    userAgent: options.userAgent ?? USER_AGENT,
    allowHosts: options.allowHosts ?? [],
  };
  const check = (name: keyof Settings, low: number, high: number): void => {
    const value = settings[name];
    if (!Number.isInteger(value) || (value as number) < low || (value as number) > high) {
      throw new ConfigError(
        `download ${name} ${value}: give a whole number from ${low} to ${high}`,
      );
    }
  };
  check("rowsPerShard", 1, 100_000);
  check("concurrency", 1, 1024);
  check("perHost", 1, 1024);
  check("hostDelay", 0, 3_600_000);
  check("timeout", 1, 3_600_000);
  check("maxBytes", 1, 2 ** 30);
  check("maxRedirects", 0, 20);
  check("minSide", 1, 65_536);
  if (settings.shortSide !== false) check("shortSide", 16, 4096);
  return settings;
}

async function* partsOf(rows: AsyncIterable<ListRow>, count: number): AsyncGenerator<ListRow[]> {
  let part: ListRow[] = [];
  for await (const row of rows) {
    part.push(row);
    if (part.length === count) {
      yield part;
      part = [];
    }
  }
  if (part.length > 0) yield part;
}

function addStatistics(total: DownloadStatistics, part: DownloadStatistics): void {
  total.rows += part.rows;
  total.downloaded += part.downloaded;
  for (const [reason, count] of Object.entries(part.failures) as [DownloadFailure, number][]) {
    total.failures[reason] = (total.failures[reason] ?? 0) + count;
  }
}

async function finishedShard(
  shard: string,
  digest: string,
): Promise<DownloadStatistics | undefined> {
  if (!existsSync(`${shard}.tar`) || !existsSync(`${shard}.json`)) return undefined;
  const stored = JSON.parse(await readFile(`${shard}.json`, "utf8")) as DownloadStatistics & {
    list: string;
  };
  if (stored.list !== digest) {
    throw new ConfigError(`${shard}.tar: it was made from another list; use a new folder`);
  }
  // Left behind where a run ended between its last two steps.
  await rm(`${shard}.ledger`, { force: true });
  return stored;
}

/** One line of the ledger: a row that was stored (the archive's length after it) or that failed. */
type LedgerLine = { row: number; end: number } | { row: number; failure: DownloadFailure };

/** The archive and ledger of a part that is being downloaded. */
interface PartFiles {
  archive: FileHandle;
  ledger: FileHandle;
  end: number;
  done: Map<number, DownloadFailure | undefined>;
}

/** Opens a part's files, cutting off what a killed run left half-written. */
async function openPart(shard: string, digest: string): Promise<PartFiles> {
  const [archivePath, ledgerPath] = [`${shard}.tar.partial`, `${shard}.ledger`];
  const done: PartFiles["done"] = new Map();
  let end = 0;
  const kept: string[] = [JSON.stringify({ list: digest })];
  const archive = await open(archivePath, existsSync(archivePath) ? "r+" : "w+");
  const { size } = await archive.stat();
  if (existsSync(ledgerPath)) {
    const [head, ...lines] = (await readFile(ledgerPath, "utf8")).split("\n");
    if (head !== kept[0]) {
      await archive.close();
      throw new ConfigError(`${ledgerPath}: it belongs to another list; use a new folder`);
    }
    for (const text of lines) {
      let line: LedgerLine;
      try {
        line = JSON.parse(text) as LedgerLine;
      } catch {
        // The last line of a killed run: its row is fetched again.
        break;
      }
      if ("failure" in line) {
        done.set(line.row, line.failure);
      } else {
        // After a power cut the ledger may be ahead of the archive.
        if (line.end > size) break;
        done.set(line.row, undefined);
        end = line.end;
      }
      kept.push(text);
    }
  }
  await archive.truncate(end);
  await writeAtomically(ledgerPath, (file) => file.writeFile(`${kept.join("\n")}\n`));
  return { archive, ledger: await open(ledgerPath, "a"), end, done };
}

async function downloadPart(
  shard: string,
  number: number,
  rows: readonly ListRow[],
  digest: string,
  settings: Settings,
  total: DownloadStatistics,
  signal?: AbortSignal,
  onProgress?: (statistics: DownloadStatistics) => void,
): Promise<void> {
  const part = await openPart(shard, digest);
  const statistics: DownloadStatistics = { rows: 0, downloaded: 0, failures: {} };
  const count = (failure: DownloadFailure | undefined): void => {
    const one: DownloadStatistics =
      failure === undefined
        ? { rows: 1, downloaded: 1, failures: {} }
        : { rows: 1, downloaded: 0, failures: { [failure]: 1 } };
    addStatistics(statistics, one);
    addStatistics(total, one);
  };
  try {
    for (const failure of part.done.values()) count(failure);
    // One write after the other: archive first, then the ledger that vouches for it.
    let writing: Promise<void> = Promise.resolve();
    const store = (row: number, result: Uint8Array | DownloadFailure): Promise<void> => {
      writing = writing.then(async () => {
        let line: LedgerLine;
        if (typeof result === "string") {
          line = { row, failure: result };
        } else {
          const key = `${String(number).padStart(5, "0")}${String(row).padStart(5, "0")}`;
          const sample = { key, image: result, caption: rows[row]!.caption };
          for (const bytes of sampleFiles(key, sample)) {
            await writeFully(part.archive, bytes, part.end);
            part.end += bytes.length;
          }
          line = { row, end: part.end };
        }
        await part.ledger.appendFile(`${JSON.stringify(line)}\n`);
        count(typeof result === "string" ? result : undefined);
        onProgress?.(structuredClone(total));
      });
      return writing;
    };
    const pending = rows.map((_, row) => row).filter((row) => !part.done.has(row));
    await eachPolitely(
      pending,
      (row) => hostOf(rows[row]!.url),
      settings,
      signal,
      async (row) => store(row, await downloadRow(rows[row]!, settings, signal)),
    );
    await writeFully(part.archive, tarEnd(), part.end);
    await part.archive.sync();
  } finally {
    await part.archive.close();
    await part.ledger.close();
  }
  // Statistics first: a shard counts as finished when both are there.
  const stored = `${JSON.stringify({ ...statistics, list: digest })}\n`;
  await writeAtomically(`${shard}.json`, (file) => file.writeFile(stored));
  await rename(`${shard}.tar.partial`, `${shard}.tar`);
  await rm(`${shard}.ledger`);
}

function hostOf(url: string): string {
  return URL.canParse(url) ? new URL(url).host : "";
}

async function downloadRow(
  row: ListRow,
  settings: Settings,
  signal?: AbortSignal,
): Promise<Uint8Array | DownloadFailure> {
  if (captionFault(row.caption) !== undefined) return "no caption";
  try {
    const limits: FetchLimits = settings;
    const image = await fetchPicture(row.url, limits, signal);
    const fault = sizeFault(image, { minSide: settings.minSide, maxPixels: MAX_PIXELS });
    if (fault !== undefined) return fault as "too large" | "too small" | "broken picture";
    return await storedPicture(image, settings.shortSide);
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof DownloadError) return error.reason;
    if (error instanceof PictureError) return "broken picture";
    throw error;
  }
}

/** Decodes a picture, which proves it whole, and gives the bytes to store. */
async function storedPicture(image: Uint8Array, shortSide: number | false): Promise<Uint8Array> {
  const { width, height, data } = await decodePicture(image, { maxPixels: MAX_PIXELS });
  if (shortSide === false || Math.min(width, height) <= shortSide) return image;
  return sharp(data, { raw: { width, height, channels: 3 } })
    .resize(width < height ? { width: shortSide } : { height: shortSide })
    .jpeg({ quality: 92 })
    .toBuffer();
}

/**
 * Runs `work` on every item, with bounds on how many run at all, how many at one host, and how soon
 * after each other at one host. Hosts take turns, so that a list sorted by host is no bottleneck.
 */
async function eachPolitely(
  items: readonly number[],
  hostOfItem: (item: number) => string,
  bounds: Pick<Settings, "concurrency" | "perHost" | "hostDelay">,
  signal: AbortSignal | undefined,
  work: (item: number) => Promise<void>,
): Promise<void> {
  interface Host {
    queue: number[];
    active: number;
    next: number;
  }
  const hosts = new Map<string, Host>();
  for (const item of items) {
    const name = hostOfItem(item);
    const host = hosts.get(name) ?? { queue: [], active: 0, next: 0 };
    host.queue.push(item);
    hosts.set(name, host);
  }
  // Reversed, so that the first item is taken by a cheap pop.
  for (const host of hosts.values()) host.queue.reverse();
  const turns = [...hosts.values()];
  const running = new Set<Promise<void>>();
  let failure: { error: unknown } | undefined;
  while (turns.length > 0 && failure === undefined && !signal?.aborted) {
    const now = performance.now();
    let soonest = Number.POSITIVE_INFINITY;
    let chosen = -1;
    for (let i = 0; i < turns.length && running.size < bounds.concurrency; i++) {
      const host = turns[i]!;
      if (host.active >= bounds.perHost) continue;
      if (host.next <= now) {
        chosen = i;
        break;
      }
      soonest = Math.min(soonest, host.next);
    }
    if (chosen >= 0) {
      const [host] = turns.splice(chosen, 1) as [Host];
      const item = host.queue.pop()!;
      host.active++;
      host.next = now + bounds.hostDelay;
      if (host.queue.length > 0) turns.push(host);
      const task: Promise<void> = work(item)
        .catch((error: unknown) => {
          failure ??= { error };
        })
        .finally(() => {
          host.active--;
          running.delete(task);
        });
      running.add(task);
      continue;
    }
    // Wait until something ends or the next host's delay is over.
    const wait = new AbortController();
    await Promise.race([
      ...running,
      Number.isFinite(soonest) ? sleep(soonest - now, wait.signal) : new Promise<never>(() => {}),
    ]);
    wait.abort();
  }
  await Promise.all(running);
  signal?.throwIfAborted();
  if (failure) throw failure.error;
}

function sleep(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, Math.max(1, milliseconds));
    signal.addEventListener("abort", () => clearTimeout(timer), { once: true });
  });
}
