// Cut-outs as pixels: rasterised once from their sources, kept with smaller copies of themselves in a
// few large files, and read back into shared memory so that every worker can compose from them.

import { createHash } from "node:crypto";
import {
  closeSync,
  existsSync,
  fstatSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { makeFolder } from "../atomic.node.js";
import { InputError } from "../errors.js";
import { fnv1a } from "../random.js";
import { classIndex } from "./classes.js";
import { readResource } from "./rcc.js";
import type {
  Attribution,
  BackgroundSource,
  Body,
  PhotographSource,
  Source,
  Sources,
  Split,
  Style,
} from "./sources.js";

/** Longest side in pixels of the largest copy. */
const COLOUR_SIDE = 160;
const PLAIN_SIDE = 128;
const BACKGROUND_SIDE = 384;
const PHOTOGRAPH_SIDE = 192;
/** Entries of one file of the cache. */
const CHUNK = 2000;
/** Raised whenever what the files hold changes, so that old caches are not read. */
const FORMAT = 7;

/**
 * What the bytes of a pixel mean: `rgba` is premultiplied colour and coverage; `plain` is two
 * coverages, that of the drawn line and that of everything the line encloses; `rgb` is opaque.
 */
export type PixelKind = "rgba" | "plain" | "rgb";

/** One smaller copy. Pixels are surrounded by a border of one transparent pixel. */
export interface Level {
  /** Size without the border. */
  readonly width: number;
  readonly height: number;
  /** Of the first byte (the border's), within the entry's chunk. */
  readonly offset: number;
}

/** A rasterised cut-out, background, or photograph with its own ground. */
export interface Cutout {
  readonly id: string;
  readonly set: string;
  readonly style: Style | "background" | "photograph";
  readonly split: Split;
  /** What it shows; empty for a background without a name. */
  readonly noun: string;
  /** Index in `CLASS_NAMES`; 0 for nouns beyond the 158. */
  readonly classIndex: number;
  readonly person: boolean;
  readonly kind: PixelKind;
  readonly chunk: number;
  /** Largest first, each half the size of the one before. */
  readonly levels: readonly Level[];
  /** Hash of the picture reduced to 16 x 16 RGBA: equal for equal drawings, whatever their name. */
  readonly contentHash: string;
}

/** Everything a worker needs; structured cloning shares the pixels instead of copying them. */
export interface Cutouts {
  readonly entries: readonly Cutout[];
  readonly chunks: readonly SharedArrayBuffer[];
}

/** How many cut-outs of one noun are kept: [coloured, one-coloured]. */
const LIMITS = { class: [150, 200], other: [30, 20] } as const;

/** Takes turns among the collections, so that no style dominates a noun. */
function spread(sources: Source[], limit: number): Source[] {
  const bySet = new Map<string, Source[]>();
  for (const source of sources) {
    const family = source.set.split("-")[0]!;
    const list = bySet.get(family);
    if (list === undefined) bySet.set(family, [source]);
    else list.push(source);
  }
  const queues = [...bySet]
    .sort(([a], [b]) => fnv1a(a) - fnv1a(b))
    .map(([, list]) => list.sort((a, b) => fnv1a(a.id) - fnv1a(b.id)));
  const taken: Source[] = [];
  for (let turn = 0; taken.length < limit && queues.some((queue) => turn < queue.length); turn++) {
    for (const queue of queues) {
      if (turn < queue.length && taken.length < limit) taken.push(queue[turn]!);
    }
  }
  return taken;
}

/** Bounds and balances: all held-out ones, and per noun a limited number from many collections. */
export function selectSources(all: readonly Source[]): Source[] {
  const byNoun = new Map<string, Source[]>();
  const selected: Source[] = [];
  for (const source of all) {
    if (source.split === "held-out") {
      if (classIndex(source.noun) > 0) selected.push(source);
      continue;
    }
    const list = byNoun.get(source.noun);
    if (list === undefined) byNoun.set(source.noun, [source]);
    else list.push(source);
  }
  for (const [noun, list] of byNoun) {
    const known = classIndex(noun) > 0;
    const families = new Set(list.map((source) => source.set.split("-")[0]));
    // A noun that one or two icon collections alone use is more often jargon than a thing.
    const trusted = list.some((source) => source.style !== "icon" || source.set === "game-icons");
    if (!known && !trusted && families.size < 3) continue;
    const [coloured, plain] = known ? LIMITS.class : LIMITS.other;
    selected.push(
      ...spread(
        list.filter((source) => source.colour),
        coloured,
      ),
    );
    selected.push(
      ...spread(
        list.filter((source) => !source.colour),
        plain,
      ),
    );
  }
  return selected.sort((a, b) => (a.id < b.id ? -1 : 1));
}

interface Raster {
  width: number;
  height: number;
  /** RGBA, not premultiplied. */
  data: Buffer;
}

/** What sharp can open: a path, or bytes. */
function inputOf(body: Body): string | Buffer {
  if ("svg" in body) return Buffer.from(body.svg);
  return "file" in body ? body.file : readResource(body.archive, body.path);
}

async function decode(body: Body, side: number): Promise<Raster> {
  const input = inputOf(body);
  // Without a view box only the page grows with the density, not what is drawn on it.
  let density = "file" in body ? (body.dpi ?? 72) : 72;
  const name = "file" in body ? body.file : "path" in body ? body.path : "";
  const scalable =
    "svg" in body ||
    (name.endsWith(".svg") &&
      /viewBox=/.test(typeof input === "string" ? readFileSync(input, "utf8") : String(input)));
  if (scalable) {
    const { width, height } = await sharp(input).metadata();
    density = Math.min(4800, Math.max(1, (72 * side * 1.15) / Math.max(width, height, 1)));
  }
  const { data, info } = await sharp(input, { density, limitInputPixels: 40e6 })
    .toColourspace("srgb")
    .ensureAlpha()
    .raw()
    .toBuffer({ resolveWithObject: true });
  if ("file" in body && body.paper) clearPaper(data, info.width, info.height);
  return { width: info.width, height: info.height, data };
}

/** Makes the white around a drawing transparent: whatever almost white pixels join to the border. */
function clearPaper(data: Uint8Array, width: number, height: number): void {
  const ink = new Uint8Array(width * height);
  for (let i = 0; i < ink.length; i++) {
    const darkest = Math.min(data[4 * i]!, data[4 * i + 1]!, data[4 * i + 2]!);
    ink[i] = darkest < 232 ? 255 : 0;
  }
  const filled = fillEnclosed(ink, width, height);
  for (let i = 0; i < ink.length; i++) data[4 * i + 3] = filled[i]!;
}

/** Crops to what is visible and shrinks to `side`; null where next to nothing is visible. */
async function trim(raster: Raster, side: number): Promise<Raster | null> {
  const { width, height, data } = raster;
  let [left, top, right, bottom] = [width, height, -1, -1];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (data[(y * width + x) * 4 + 3]! < 16) continue;
      if (x < left) left = x;
      if (x > right) right = x;
      if (y < top) top = y;
      if (y > bottom) bottom = y;
    }
  }
  const [boxWidth, boxHeight] = [right - left + 1, bottom - top + 1];
  if (boxWidth < 8 || boxHeight < 8) return null;
  const cropped = sharp(data, { raw: { width, height, channels: 4 } }).extract({
    left,
    top,
    width: boxWidth,
    height: boxHeight,
  });
  if (Math.max(boxWidth, boxHeight) > side) cropped.resize(side, side, { fit: "inside" });
  const { data: pixels, info } = await cropped.raw().toBuffer({ resolveWithObject: true });
  return { width: info.width, height: info.height, data: pixels };
}

async function hashContent(raster: Raster): Promise<string> {
  const tiny = await sharp(raster.data, {
    raw: { width: raster.width, height: raster.height, channels: 4 },
  })
    .resize(16, 16, { fit: "fill" })
    .raw()
    .toBuffer();
  // Colour under a transparent pixel is not seen.
  for (let i = 0; i < tiny.length; i += 4) if (tiny[i + 3] === 0) tiny.fill(0, i, i + 3);
  return createHash("sha1").update(tiny).digest("hex").slice(0, 20);
}

/**
 * Coverage of everything that cannot be reached from outside without crossing a line:
 * an outline drawing becomes a filled shape.
 */
export function fillEnclosed(alpha: Uint8Array, width: number, height: number): Uint8Array {
  const outside = new Uint8Array(width * height);
  const stack = new Int32Array(width * height);
  let depth = 0;
  const visit = (index: number) => {
    if (outside[index] === 0 && alpha[index]! < 96) {
      outside[index] = 1;
      stack[depth++] = index;
    }
  };
  for (let x = 0; x < width; x++) {
    visit(x);
    visit((height - 1) * width + x);
  }
  for (let y = 0; y < height; y++) {
    visit(y * width);
    visit(y * width + width - 1);
  }
  while (depth > 0) {
    const index = stack[--depth]!;
    const x = index % width;
    if (x > 0) visit(index - 1);
    if (x < width - 1) visit(index + 1);
    if (index >= width) visit(index - width);
    if (index < width * (height - 1)) visit(index + width);
  }
  const filled = new Uint8Array(width * height);
  for (let i = 0; i < filled.length; i++) filled[i] = outside[i] === 1 ? alpha[i]! : 255;
  return filled;
}

/** Photographs have far more colours than drawings of the same size. */
export function countColours(raster: Raster): number {
  const seen = new Uint8Array(32768);
  let count = 0;
  for (let i = 0; i < raster.data.length; i += 4) {
    if (raster.data[i + 3]! < 200) continue;
    const key =
      ((raster.data[i]! >> 3) << 10) |
      ((raster.data[i + 1]! >> 3) << 5) |
      (raster.data[i + 2]! >> 3);
    if (seen[key] === 0) {
      seen[key] = 1;
      count++;
    }
  }
  return count;
}

/** Halves a picture by averaging squares of four pixels; edges that lack a partner count double. */
function halve(pixels: Uint8Array, width: number, height: number, channels: number): Uint8Array {
  const [w, h] = [(width + 1) >> 1, (height + 1) >> 1];
  const half = new Uint8Array(w * h * channels);
  for (let y = 0; y < h; y++) {
    const row0 = 2 * y * width;
    const row1 = Math.min(2 * y + 1, height - 1) * width;
    for (let x = 0; x < w; x++) {
      const x0 = 2 * x;
      const x1 = Math.min(x0 + 1, width - 1);
      for (let c = 0; c < channels; c++) {
        half[(y * w + x) * channels + c] =
          (pixels[(row0 + x0) * channels + c]! +
            pixels[(row0 + x1) * channels + c]! +
            pixels[(row1 + x0) * channels + c]! +
            pixels[(row1 + x1) * channels + c]! +
            2) >>
          2;
      }
    }
  }
  return half;
}

/** Bytes of a pixel. */
export const CHANNELS: Record<PixelKind, number> = { rgba: 4, plain: 2, rgb: 3 };

interface Packed {
  entry: Omit<Cutout, "chunk" | "levels"> & {
    levels: { width: number; height: number; size: number }[];
  };
  parts: Uint8Array[];
}

function pack(
  pixels: Uint8Array,
  width: number,
  height: number,
  entry: Omit<Packed["entry"], "levels">,
): Packed {
  const channels = CHANNELS[entry.kind];
  const packed: Packed = { entry: { ...entry, levels: [] }, parts: [] };
  let [level, w, h] = [pixels, width, height];
  for (;;) {
    const bordered = new Uint8Array((w + 2) * (h + 2) * channels);
    for (let y = 0; y < h; y++) {
      bordered.set(
        level.subarray(y * w * channels, (y + 1) * w * channels),
        ((y + 1) * (w + 2) + 1) * channels,
      );
    }
    packed.parts.push(bordered);
    packed.entry.levels.push({ width: w, height: h, size: bordered.length });
    if (Math.max(w, h) <= 12) return packed;
    level = halve(level, w, h, channels);
    w = (w + 1) >> 1;
    h = (h + 1) >> 1;
  }
}

/** Stamps with more distinct colours (5 bits a channel) than this are photographs. */
const PHOTO_COLOURS = 212;

async function rasterise(source: Source): Promise<Packed | null> {
  const side = source.colour ? COLOUR_SIDE : PLAIN_SIDE;
  const raster = await trim(await decode(source.body, side), side);
  if (raster === null) return null;
  const { width, height, data } = raster;
  const count = width * height;
  let covered = 0;
  for (let i = 0; i < count; i++) covered += data[i * 4 + 3]! > 127 ? 1 : 0;
  // An opaque rectangle is a picture with its own background, no cut-out.
  if (covered < 0.02 * count || covered > 0.985 * count) return null;
  const contentHash = await hashContent(raster);
  const style =
    source.style === "photo" && countColours(raster) < PHOTO_COLOURS ? "drawing" : source.style;
  const entry = {
    id: source.id,
    set: source.set,
    style,
    split: source.split,
    noun: source.noun,
    classIndex: classIndex(source.noun),
    person: source.person,
    contentHash,
  };
  if (source.colour) {
    const pixels = new Uint8Array(count * 4);
    for (let i = 0; i < count * 4; i += 4) {
      const alpha = data[i + 3]!;
      pixels[i] = (data[i]! * alpha + 127) / 255;
      pixels[i + 1] = (data[i + 1]! * alpha + 127) / 255;
      pixels[i + 2] = (data[i + 2]! * alpha + 127) / 255;
      pixels[i + 3] = alpha;
    }
    return pack(pixels, width, height, { ...entry, kind: "rgba" });
  }
  const alpha = new Uint8Array(count);
  for (let i = 0; i < count; i++) alpha[i] = data[i * 4 + 3]!;
  const filled = fillEnclosed(alpha, width, height);
  const pixels = new Uint8Array(count * 2);
  for (let i = 0; i < count; i++) {
    pixels[2 * i] = alpha[i]!;
    pixels[2 * i + 1] = filled[i]!;
  }
  return pack(pixels, width, height, { ...entry, kind: "plain" });
}

async function rasteriseBackground(source: BackgroundSource): Promise<Packed> {
  const { data, info } = await sharp(source.file)
    .resize(BACKGROUND_SIDE, BACKGROUND_SIDE, { fit: "outside" })
    .flatten({ background: "#fff" })
    .toColourspace("srgb")
    .raw()
    .toBuffer({ resolveWithObject: true });
  return pack(new Uint8Array(data), info.width, info.height, {
    id: source.id,
    set: source.set,
    style: "background",
    split: source.split,
    noun: source.noun ?? "",
    classIndex: 0,
    person: false,
    kind: "rgb",
    contentHash: createHash("sha1").update(data).digest("hex").slice(0, 20),
  });
}

/** The sheet of small photographs that was read last. */
let sheet: { file: string; pixels: Promise<Buffer> } | undefined;
/** Side of a photograph in a sheet. */
const SHEET_SIDE = 32;

async function rasterisePhotograph(source: PhotographSource): Promise<Packed> {
  const { body } = source;
  let [width, height] = [SHEET_SIDE, SHEET_SIDE];
  let data: Buffer;
  if ("sheet" in body) {
    if (sheet?.file !== body.sheet) {
      sheet = { file: body.sheet, pixels: sharp(body.sheet).removeAlpha().raw().toBuffer() };
    }
    const length = 3 * width * height;
    data = (await sheet.pixels).subarray(body.row * length, (body.row + 1) * length);
  } else {
    const read = await sharp(inputOf(body))
      .resize(PHOTOGRAPH_SIDE, PHOTOGRAPH_SIDE, { fit: "outside", withoutEnlargement: true })
      .flatten({ background: "#fff" })
      .toColourspace("srgb")
      .raw()
      .toBuffer({ resolveWithObject: true });
    data = read.data;
    [width, height] = [read.info.width, read.info.height];
  }
  return pack(new Uint8Array(data), width, height, {
    id: source.id,
    set: source.set,
    style: "photograph",
    split: "train",
    noun: source.noun,
    classIndex: classIndex(source.noun),
    person: false,
    kind: "rgb",
    contentHash: createHash("sha1").update(data).digest("hex").slice(0, 20),
  });
}

function rasteriseAny(source: Source | BackgroundSource | PhotographSource) {
  if ("style" in source) return rasterise(source);
  return "body" in source ? rasterisePhotograph(source) : rasteriseBackground(source);
}

function writeWhole(file: string, data: string | Uint8Array): void {
  const temporary = `${file}.${process.pid}.tmp`;
  writeFileSync(temporary, data);
  renameSync(temporary, file);
}

/** Progress of a build: entries done so far, of how many. */
export type Progress = (done: number, total: number) => void;

async function mapLimited<In, Out>(
  items: readonly In[],
  limit: number,
  task: (item: In) => Promise<Out>,
): Promise<Out[]> {
  const results = new Array<Out>(items.length);
  let next = 0;
  const worker = async () => {
    while (next < items.length) {
      const index = next++;
      results[index] = await task(items[index]!);
    }
  };
  await Promise.all(Array.from({ length: limit }, worker));
  return results;
}

/**
 * Rasterises what is not in the cache yet. Each chunk is written whole, so an interrupted build goes
 * on where it stopped. Training cut-outs that look exactly like a held-out one, and repetitions, are
 * left out. Takes about four minutes for 26,000 cut-outs and 20,000 photographs on two cores.
 */
export async function buildCutouts(
  sources: Sources,
  folder: string,
  options: { signal?: AbortSignal; onProgress?: Progress } = {},
): Promise<void> {
  await makeFolder(folder);
  const selected: (Source | BackgroundSource | PhotographSource)[] = [
    ...sources.backgrounds,
    ...selectSources(sources.cutouts),
    ...sources.photographs,
  ];
  const stems: string[] = [];
  for (let start = 0; start < selected.length; start += CHUNK) {
    options.signal?.throwIfAborted();
    const part = selected.slice(start, start + CHUNK);
    const key = createHash("sha1")
      .update(`${FORMAT}\n${part.map((source) => JSON.stringify(source)).join("\n")}`)
      .digest("hex")
      .slice(0, 16);
    const stem = `cutouts-${key}`;
    stems.push(stem);
    if (!existsSync(join(folder, `${stem}.json`))) {
      const packed = await mapLimited(part, 8, async (source) => {
        options.signal?.throwIfAborted();
        try {
          return await rasteriseAny(source);
        } catch {
          // A drawing that librsvg or libpng refuses is left out, as if the package lacked it.
          options.signal?.throwIfAborted();
          return null;
        }
      });
      const entries: Omit<Cutout, "chunk">[] = [];
      const parts: Uint8Array[] = [];
      let offset = 0;
      for (const item of packed) {
        if (item === null) continue;
        const levels = item.entry.levels.map(({ width, height, size }) => {
          const level = { width, height, offset };
          offset += size;
          return level;
        });
        entries.push({ ...item.entry, levels });
        parts.push(...item.parts);
      }
      writeWhole(join(folder, `${stem}.bin`), Buffer.concat(parts));
      writeWhole(join(folder, `${stem}.json`), JSON.stringify(entries));
    }
    options.onProgress?.(Math.min(start + CHUNK, selected.length), selected.length);
  }
  const entries: Cutout[] = stems.flatMap((stem, chunk) =>
    (JSON.parse(readFileSync(join(folder, `${stem}.json`), "utf8")) as Omit<Cutout, "chunk">[]).map(
      (entry) => ({ ...entry, chunk }),
    ),
  );
  const held = new Set(entries.filter((e) => e.split === "held-out").map((e) => e.contentHash));
  const seen = new Set<string>();
  const kept = entries.filter((entry) => {
    if (entry.split === "held-out") return true;
    const key = `${entry.noun}/${entry.kind}/${entry.contentHash}`;
    if (held.has(entry.contentHash) || seen.has(key)) return false;
    seen.add(key);
    return true;
  });
  const used = new Set(kept.filter((e) => e.split === "train").map((entry) => entry.set));
  const attributions = sources.attributions.filter(({ set }) => used.has(set));
  writeWhole(join(folder, "ATTRIBUTIONS.md"), attributionText(attributions));
  writeWhole(
    join(folder, "cutouts.json"),
    JSON.stringify({
      format: FORMAT,
      stems,
      entries: kept,
      attributions,
    }),
  );
  for (const file of readdirSync(folder)) {
    // What earlier builds left behind.
    if (/^cutouts-[0-9a-f]+\.(bin|json)$/.test(file) && !stems.includes(file.split(".")[0]!)) {
      rmSync(join(folder, file), { force: true });
    }
  }
}

/** Whether `buildCutouts` of this version has filled a folder. */
export function isBuilt(folder: string): boolean {
  const file = join(folder, "cutouts.json");
  if (!existsSync(file)) return false;
  return (JSON.parse(readFileSync(file, "utf8")) as { format?: number }).format === FORMAT;
}

function readShared(file: string): SharedArrayBuffer {
  const handle = openSync(file, "r");
  try {
    const shared = new SharedArrayBuffer(fstatSync(handle).size);
    const bytes = new Uint8Array(shared);
    for (let at = 0; at < bytes.length; ) {
      const count = readSync(handle, bytes, at, Math.min(1 << 28, bytes.length - at), at);
      if (count === 0)
        throw new InputError(`${file} is shorter than expected; build the cut-outs again`);
      at += count;
    }
    return shared;
  } finally {
    closeSync(handle);
  }
}

/**
 * Reads one side of the split from a folder that `buildCutouts` filled.
 * @throws InputError where the folder holds no finished build, or one of another version.
 */
export function loadCutouts(folder: string, split: Split): Cutouts {
  const file = join(folder, "cutouts.json");
  if (!existsSync(file)) {
    throw new InputError(`${folder} holds no cut-outs; groupvit data scenes builds them`);
  }
  const index = JSON.parse(readFileSync(file, "utf8")) as {
    format: number;
    stems: string[];
    entries: Cutout[];
  };
  if (index.format !== FORMAT) {
    throw new InputError(
      `${file} has format ${index.format}, not ${FORMAT}; build the cut-outs again`,
    );
  }
  const chunks = index.stems.map((stem) => readShared(join(folder, `${stem}.bin`)));
  return { entries: index.entries.filter((entry) => entry.split === split), chunks };
}

/** Who made what the training cut-outs show, for a model card or an attribution file. */
export function readAttributions(folder: string): Attribution[] {
  const file = join(folder, "cutouts.json");
  if (!existsSync(file)) {
    throw new InputError(`${folder} holds no cut-outs; groupvit data scenes builds them`);
  }
  return (JSON.parse(readFileSync(file, "utf8")) as { attributions: Attribution[] }).attributions;
}

/** The attributions as a Markdown document. */
export function attributionText(attributions: readonly Attribution[]): string {
  const lines = attributions.map(
    ({ set, title, author, url, licence }) =>
      `| ${set} | ${title} | ${author} | ${licence} | ${url} |`,
  );
  return [
    "# Attributions",
    "",
    "Drawings and photographs from which the captioned scenes were composed.",
    "",
    "| collection | title | author | licence | source |",
    "|---|---|---|---|---|",
    ...lines,
    "",
  ].join("\n");
}
