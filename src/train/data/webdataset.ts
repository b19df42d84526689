// WebDataset shards as img2dataset writes them: tar files in which `key.jpg`, `key.txt` and `key.json`
// stand side by side. Shards lie in a folder, behind a brace or star pattern, or on a web server.

import { createReadStream, existsSync, readdirSync, statSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { InputError } from "../../errors.js";
import {
  captionFault,
  LIMITS,
  type SampleSource,
  type ShardRef,
  type SkipReason,
  type SourceItem,
} from "./source.js";
import { readTar, type TarEntry } from "./tar.js";
import { readUrl, type WebStreamOptions } from "./web-stream.js";

const PICTURE_EXTENSIONS = new Set([
  "jpg",
  "jpeg",
  "png",
  "webp",
  "gif",
  "bmp",
  "tif",
  "tiff",
  "avif",
]);

/** Longest pattern: more than any system lets a path have. */
const MAX_PATTERN = 4096;

/**
 * Expands braces as a shell does: `{00000..00099}` (zero-padded), `{0..90..10}`, `{a,b}`, nested ones too;
 * several multiply.
 *
 * @throws InputError where the pattern names more than a million shards, or a range makes no sense
 * @example expandBraces("cc3m-{08..11}.tar") // ["cc3m-08.tar", "cc3m-09.tar", "cc3m-10.tar", "cc3m-11.tar"]
 */
export function expandBraces(pattern: string): string[] {
  if (pattern.length > MAX_PATTERN) {
    throw new InputError(
      `pattern ${pattern.slice(0, 60)}...: it has ${pattern.length} characters; give at most ${MAX_PATTERN}`,
    );
  }
  let expanded = [""];
  let rest = pattern;
  for (let brace = outerBrace(rest); brace; brace = outerBrace(rest)) {
    const alternatives = braceAlternatives(brace.parts, pattern);
    if (expanded.length * alternatives.length > LIMITS.shards) throw tooManyShards(pattern);
    const literal = rest.slice(0, brace.start);
    expanded = expanded.flatMap((head) => alternatives.map((other) => head + literal + other));
    rest = rest.slice(brace.end);
  }
  return expanded.map((head) => head + rest);
}

/** The first closed brace and its parts between commas, those of braces inside it left together. */
function outerBrace(text: string): { start: number; end: number; parts: string[] } | undefined {
  const open: { start: number; commas: number[] }[] = [];
  let found: { start: number; end: number; commas: number[] } | undefined;
  for (let i = 0; i < text.length; i++) {
    if (text[i] === "{") open.push({ start: i, commas: [] });
    else if (text[i] === ",") open.at(-1)?.commas.push(i);
    else if (text[i] === "}") {
      const closed = open.pop();
      // A brace that is never closed is a character, so that one inside it may be the outermost.
      if (closed && (!found || closed.start < found.start)) found = { ...closed, end: i + 1 };
      if (open.length === 0 && found) break;
    }
  }
  if (!found) return undefined;
  const { start, end, commas } = found;
  const cuts = [start, ...commas, end - 1];
  const parts = cuts.slice(1).map((cut, i) => text.slice(cuts[i]! + 1, cut));
  return { start, end, parts };
}

function braceAlternatives(parts: readonly string[], pattern: string): string[] {
  if (parts.length > 1) {
    let count = 0;
    return parts.flatMap((part) => {
      const expanded = expandBraces(part);
      count += expanded.length;
      if (count > LIMITS.shards) throw tooManyShards(pattern);
      return expanded;
    });
  }
  const [body] = parts as [string];
  const range = /^(\d{1,15})\.\.(\d{1,15})(?:\.\.(\d{1,15}))?$/.exec(body);
  if (!range) return expandBraces(body).map((inner) => `{${inner}}`);
  const [first, last] = [range[1]!, range[2]!];
  const step = Number(range[3] ?? 1);
  if (Number(last) < Number(first)) {
    throw new InputError(`pattern ${pattern}: the range {${body}} runs backwards; swap its ends`);
  }
  if (step === 0) {
    throw new InputError(`pattern ${pattern}: the step of {${body}} is 0; give 1 or more`);
  }
  const count = Math.floor((Number(last) - Number(first)) / step) + 1;
  if (count > LIMITS.shards) throw tooManyShards(pattern);
  const padded = [first, last].some((end) => end.length > 1 && end.startsWith("0"));
  const width = padded ? Math.max(first.length, last.length) : 0;
  return Array.from({ length: count }, (_, i) =>
    String(Number(first) + i * step).padStart(width, "0"),
  );
}

function tooManyShards(pattern: string): InputError {
  return new InputError(
    `pattern ${pattern}: it names more than ${LIMITS.shards} shards; narrow its ranges`,
  );
}

/** Files that `*` and `?` in the last part of a path match, sorted by name. */
function expandStars(pattern: string): string[] {
  const name = basename(pattern);
  const folder = dirname(pattern);
  if (/[*?]/.test(folder)) {
    throw new InputError(
      `pattern ${pattern}: stars may stand in the file name only, not in folders`,
    );
  }
  const source = name
    .replace(/[.+^${}()|[\]\\]/g, "\\$&")
    .replace(/\*+/g, ".*")
    .replace(/\?/g, ".");
  const matcher = new RegExp(`^${source}$`);
  if (!existsSync(folder))
    throw new InputError(`pattern ${pattern}: folder ${folder} does not exist`);
  return readdirSync(folder)
    .filter((file) => matcher.test(file))
    .sort()
    .map((file) => join(folder, file));
}

/**
 * The shards that a location names: a `.tar` file, a folder of them, a pattern, or web addresses.
 *
 * @throws InputError for a pattern that makes no sense, or another kind of address
 */
export function resolveShards(location: string): string[] {
  const isWeb = /^https?:\/\//.test(location);
  const scheme = /^(pipe(?=:)|[a-z][a-z0-9+.-]+(?=:\/\/))/i.exec(location)?.[0];
  if (!isWeb && scheme !== undefined) {
    throw new InputError(
      `${location}: shards are read from files and from http(s) addresses, not from ${scheme}:`,
    );
  }
  if (!isWeb && existsSync(location)) {
    if (!statSync(location).isDirectory()) return [location];
    return expandStars(join(location, "*.tar"));
  }
  const expanded = expandBraces(location);
  if (isWeb) return expanded;
  return expanded.flatMap((path) => (/[*?]/.test(basename(path)) ? expandStars(path) : [path]));
}

/**
 * Tar shards as a source. Shards that a brace pattern names need not exist: a missing one fails when
 * it is opened, and the loader reports it and goes on.
 *
 * @param locations files, folders, `{00000..00099}` or `*` patterns, http(s) addresses
 * @throws InputError where nothing is found
 */
export function webdataset(
  locations: string | readonly string[],
  web: Omit<WebStreamOptions, "signal"> = {},
): SampleSource {
  const list = typeof locations === "string" ? [locations] : locations;
  const names = [...new Set(list.flatMap(resolveShards))];
  if (names.length === 0) {
    throw new InputError(
      `${list.join(", ")}: no .tar shards there; give a folder or pattern of shards`,
    );
  }
  const shards: ShardRef[] = names.map((name) => ({ name }));
  const known = new Set(names);
  return {
    describe: () => ({ kind: "webdataset", location: list.join(", "), shards: shards.length }),
    shards: () => shards,
    async *open(shard, signal) {
      if (!known.has(shard.name))
        throw new InputError(`shard ${shard.name}: not part of this source`);
      const stream = /^https?:\/\//.test(shard.name)
        ? readUrl(shard.name, { ...web, signal })
        : readFileStream(shard.name, signal);
      yield* readShard(stream, shard.name);
    },
  };
}

async function* readFileStream(path: string, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
  const stream = createReadStream(resolve(path), { highWaterMark: 2 ** 20, signal });
  try {
    yield* stream as AsyncIterable<Uint8Array>;
  } catch (error) {
    signal?.throwIfAborted();
    const code = (error as NodeJS.ErrnoException).code;
    throw new InputError(
      code === "ENOENT"
        ? `shard ${path}: it does not exist; check the pattern`
        : `shard ${path}: it cannot be read (${code ?? String(error)})`,
    );
  }
}

/** What has been gathered of one sample so far. */
interface OpenSample {
  key: string;
  image?: Uint8Array;
  text?: string;
  metadata?: { caption?: string; nouns?: string[] };
  fault?: SkipReason;
}

/** The samples of one tar stream: neighbouring files with the same name up to the first dot. */
export async function* readShard(
  stream: AsyncIterable<Uint8Array>,
  label: string,
): AsyncGenerator<SourceItem> {
  // A sample is complete when the next begins: where the archive breaks off, the last one is lost,
  // since it may lack its caption only because of the break.
  let open: OpenSample | undefined;
  for await (const entry of readTar(stream, label, (name) =>
    entryLimit(splitName(name).extension),
  )) {
    const { key, extension } = splitName(entry.name);
    if (key === "" || entryLimit(extension) === 0) continue;
    if (open !== undefined && open.key !== key) {
      yield finish(open);
      open = undefined;
    }
    open ??= { key };
    collect(open, extension, entry);
  }
  if (open !== undefined) yield finish(open);
}

/** Key (folders included, as WebDataset does) and lower-cased extension after the first dot. */
function splitName(name: string): { key: string; extension: string } {
  const slash = name.lastIndexOf("/");
  const dot = name.indexOf(".", slash + 1);
  // Names such as ".DS_Store" or "._photo.jpg" (macOS leavings) are no samples.
  if (dot <= slash + 1) return { key: "", extension: "" };
  return { key: name.slice(0, dot), extension: name.slice(dot + 1).toLowerCase() };
}

function entryLimit(extension: string): number {
  if (PICTURE_EXTENSIONS.has(extension)) return LIMITS.imageBytes;
  if (extension === "txt" || extension === "caption") return LIMITS.captionBytes;
  return extension === "json" ? LIMITS.metadataBytes : 0;
}

function collect(sample: OpenSample, extension: string, entry: TarEntry): void {
  if (PICTURE_EXTENSIONS.has(extension)) {
    if (entry.bytes === undefined) sample.fault = "too large";
    else sample.image ??= entry.bytes;
  } else if (extension === "json") {
    sample.metadata = entry.bytes ? parseMetadata(entry.bytes) : undefined;
  } else if (entry.bytes === undefined) {
    sample.fault ??= "caption too long";
  } else {
    sample.text ??= new TextDecoder().decode(entry.bytes);
  }
}

function parseMetadata(bytes: Uint8Array): { caption?: string; nouns?: string[] } {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return {};
  }
  if (typeof value !== "object" || value === null) return {};
  const { caption, nouns } = value as { caption?: unknown; nouns?: unknown };
  return {
    caption: typeof caption === "string" ? caption : undefined,
    nouns:
      Array.isArray(nouns) && nouns.every((noun) => typeof noun === "string")
        ? (nouns as string[])
        : undefined,
  };
}

function finish(sample: OpenSample): SourceItem {
  const { key, image } = sample;
  if (sample.fault !== undefined) return { key, skipped: sample.fault };
  if (image === undefined) return { key, skipped: "no picture" };
  const caption = sample.text ?? sample.metadata?.caption ?? "";
  const fault = captionFault(caption);
  if (fault !== undefined) return { key, skipped: fault };
  const nouns = sample.metadata?.nouns;
  return nouns === undefined ? { key, image, caption } : { key, image, caption, nouns };
}
