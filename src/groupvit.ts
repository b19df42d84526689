// The main interface: load a model, encode a picture once, segment it by any words as often as you like.

import { graphWeights } from "./checkpoint/weights.js";
import { ConfigError, InputError } from "./errors.js";
import type { WeightFormat } from "./graph/onnx.js";
import type { DecodeOptions } from "./input/limits.js";
import { toPatches } from "./input/normalize.js";
import type { Picture } from "./input/picture.js";
import type { Processor } from "./input/processor.js";
import { classificationView, readProcessor, segmentationView } from "./input/processor.js";
import type { PromptSet } from "./input/prompts.js";
import { expandPrompts, PROMPT_TEMPLATES } from "./input/prompts.js";
import type { Tokenizer, TokenizerKind } from "./input/tokenizer.js";
import { loadTokenizer } from "./input/tokenizer.js";
import { parseLabels } from "./input/vocabularies.js";
import type { GroupViTConfig } from "./model/config.js";
import type { PositionMode } from "./model/positions.js";
import type { LoadedCheckpoint, ModelSource, OpenOptions, Platform } from "./platform.js";
import type { ImageFeatures } from "./runtime/engine.js";
import { Engine } from "./runtime/engine.js";
import type { Device } from "./runtime/session.js";
import { logitScaleFactor } from "./segment/affinity.js";
import type { Background } from "./segment/decode.js";
import { DEFAULT_TOP_K, decode } from "./segment/decode.js";
import type { AssignmentKind, WindowEncoding } from "./segment/encoding.js";
import type { Explanation } from "./segment/explain.js";
import { explain } from "./segment/explain.js";
import { groupMap } from "./segment/groups.js";
import type { GroupNode } from "./segment/hierarchy.js";
import { hierarchy } from "./segment/hierarchy.js";
import type { PlacedWindow, SegmentLayout, Size } from "./segment/layout.js";
import { layoutPieces, layoutSegments, segmentPieces } from "./segment/layout.js";
import { refineMap } from "./segment/refine.js";
import type { Window } from "./segment/windows.js";
import { cutWindow, slideWindows } from "./segment/windows.js";
import { Words } from "./segment/words.js";
import { chooseLooks, joinLooks, lookAt, type ZoomedWindow } from "./segment/zoom.js";

/** Patches that go through the image tower at once: beyond them a batch is slower than its windows. */
const BATCH_PATCHES = 1024;

export interface LoadOptions extends OpenOptions {
  /**
   * Where to compute. Default: `cpu` in Node, in browsers what their self-test chose. `wasm` gives the same
   * bytes on every machine, in Node and in Chromium; `cpu` is two to four times as fast and rounds as the processor does.
   */
  device?: Device;
  /** Threads within one operation. Default: the engine's choice. */
  threads?: number;
  /** Browsers only: folder or address of the engine's wasm file. Default: beside the script. */
  wasmPath?: string;
  /** Weights in the engine. `int8` is fastest, and moves masks on some pictures. Default `fp32`. */
  dtype?: WeightFormat;
  /** Whose tokenizer. Default: the authors', which trained the model. */
  tokenizer?: TokenizerKind;
  /** Whose interpolation of position embeddings. Default: the authors'. */
  positions?: PositionMode;
}

export interface EncodeOptions extends DecodeOptions {
  /** One window over the whole picture, or overlapping square windows. Default `whole`. */
  mode?: "whole" | "slide";
  /** Short side in pixels at which the picture is encoded. Default: the model's, usually 448. */
  shortSide?: number;
  /** Also encode every window mirrored; scores are averaged. Twice the time. Default false. */
  flip?: boolean;
  /** Factors of `shortSide` at which windows are encoded; scores are averaged. Default `[1]`. */
  scales?: readonly number[];
  /**
   * Look at every connected piece of a segment again from near, in two windows around it (16 pieces at most): all looks
   * name it together, and any label may win there. Each costs as much as the picture; words cost no more. For pictures
   * of one window. Default false.
   */
  zoom?: boolean;
}

export interface SegmentOptions {
  /** Prompt templates around each label: 1, 7 or 80. Default `simple`: "a photo of a {}." */
  prompts?: PromptSet;
  /**
   * `none`: every pixel takes a label. `threshold`: pixels whose best score is low become background.
   * `words`: pixels won by one of `backgroundWords` do. Default `none`, or `words` if those are given.
   */
  background?: Background["kind"];
  /** For `threshold`, 0 to 1. Default: the model's, usually 0.95, the authors' for objects. */
  threshold?: number;
  /** Labels that stand for background, such as "sky, ground"; added to the labels. */
  backgroundWords?: string | readonly string[];
  /** How many labels, nearest to the picture, may win. Default 5, as the authors. Pieces seen with `zoom` take any. */
  topK?: number;
  /**
   * Move the borders between labels to the picture's own edges (Araslanov & Roth, CVPR 2020). Scores stay those of
   * the segments. Default false.
   */
  refine?: boolean;
  /** Also give the winning score of every pixel. */
  pixelScores?: boolean;
  /** Soft maps (the authors), or each patch wholly in its group. */
  assignment?: AssignmentKind;
  signal?: AbortSignal;
}

/** What moves the labels: all options of `segment` but what it returns besides. */
export type ExplainOptions = Omit<SegmentOptions, "pixelScores" | "refine">;

/** A segmented picture at its original size. */
export interface Segmentation {
  width: number;
  height: number;
  labels: string[];
  /** True: map value 0 is background and label i is i + 1. False: label i is i. */
  background: boolean;
  /** `[height, width]`, 16-bit beyond 255 labels. */
  map: Uint8Array | Uint16Array;
  /** Mean winning score of each label over its pixels, 0 to 1; 0 where it has none. */
  scores: Float32Array;
  /** Pixels of each label. */
  areas: Uint32Array;
  /** `[height, width]` winning score of each pixel, if asked for. */
  pixelScores?: Float32Array;
}

/** A label and its share of the picture's meaning; shares of all labels sum to 1. */
export interface Ranked {
  label: string;
  score: number;
}

/** The groups of one grouping block over the picture. */
export interface GroupStage {
  /** How many groups the block has. */
  groups: number;
  /** `[height, width]`: the group of each pixel. */
  map: Uint8Array | Uint16Array;
  /** How its groups merge into the next block's and into the last segments. */
  nodes: GroupNode[];
}

/**
 * A loaded model.
 *
 * @example
 * const model = await GroupViT.load("nvidia/groupvit-gcc-yfcc"); // or a folder, or nothing: the bundled
 * const picture = await model.encode("park.jpg"); // once
 * const { labels, map, scores } = await picture.segment(["dog", "tree", "sky"]); // as often as you like
 */
export class GroupViTBase<Source> {
  readonly config: GroupViTConfig;
  readonly tokenizer: Tokenizer;
  readonly processor: Processor;
  private readonly words: Words;

  private constructor(
    private readonly platform: Platform<Source>,
    readonly engine: Engine,
    checkpoint: LoadedCheckpoint,
    tokenizer: Tokenizer,
    words: Words,
  ) {
    this.config = checkpoint.config;
    this.tokenizer = tokenizer;
    this.processor = readProcessor(
      checkpoint.config.vision,
      checkpoint.files["preprocessor_config.json"],
    );
    this.words = words;
  }

  /** Loads a model; used by the entry points' `GroupViT.load`. */
  static async open<Source>(
    platform: Platform<Source>,
    model: ModelSource | undefined,
    options: LoadOptions,
  ): Promise<GroupViTBase<Source>> {
    const checkpoint = await platform.openCheckpoint(model, options);
    const { config } = checkpoint;
    const weights = graphWeights(checkpoint.tensors);
    const tokenizer = loadTokenizer({
      kind: options.tokenizer,
      files: checkpoint.files,
      contextLength: config.text.maxPositionEmbeddings,
    });
    if (tokenizer.vocabSize > config.text.vocabSize) {
      throw new ConfigError(
        `${checkpoint.source}: the model reads ${config.text.vocabSize} tokens, its tokenizer has ` +
          `${tokenizer.vocabSize}; put the model's own tokenizer.json beside its weights`,
      );
    }
    const store = platform.openWordStore
      ? await platform.openWordStore(
          await wordKey(
            weights,
            tokenizer,
            `${options.device ?? "cpu"} ${options.dtype ?? "fp32"}`,
          ),
          config.projectionDim,
        )
      : undefined;
    const engine = new Engine(config, weights, platform.createSession, {
      device: options.device,
      threads: options.threads,
      wasmPath: options.wasmPath,
      format: options.dtype,
      positions: options.positions,
    });
    const words = new Words(engine, tokenizer, store);
    return new GroupViTBase(platform, engine, checkpoint, tokenizer, words);
  }

  /**
   * Encodes a picture, once for any number of vocabularies.
   *
   * @param source a path, URL, bytes, stream, or decoded `Picture`
   * @throws PictureError if it cannot be read or is too large
   */
  async encode(source: Source, options: EncodeOptions = {}): Promise<EncodedPicture> {
    const picture = await this.platform.decodePicture(source, options);
    const { shortSide = this.processor.segmentationShortSide, mode = "whole", signal } = options;
    const { flip = false, scales = [1], zoom = false } = options;
    const { patchSize } = this.config.vision;
    this.checkShortSide(shortSide);
    if (zoom && (mode === "slide" || flip || scales.length !== 1 || scales[0] !== 1)) {
      throw new InputError('zoom: it takes one window; leave mode "slide", flip and scales out');
    }
    const view = segmentationView(picture, shortSide);
    const crop = mode === "slide" ? shortSide : Math.max(view.width, view.height);
    const stride = mode === "slide" ? Math.max(1, Math.floor(shortSide / 2)) : crop;
    const windows = slideWindows(view.width, view.height, crop, stride);
    const placed: PlacedWindow[] = [];
    for (const scale of checkedScales(scales, shortSide, patchSize)) {
      const scaled = scale === 1 ? view : segmentationView(picture, Math.round(shortSide * scale));
      const parts = scaledWindows(windows, view, scaled);
      const { x0, y0, x1, y1 } = parts[0]!;
      const patches = Math.floor((x1 - x0) / patchSize) * Math.floor((y1 - y0) / patchSize);
      const batch = Math.max(1, Math.floor(BATCH_PATCHES / patches));
      for (let start = 0; start < windows.length; start += batch) {
        for (const mirrored of flip ? [false, true] : [false]) {
          signal?.throwIfAborted();
          const part = parts.slice(start, start + batch);
          const crops = part.map((window) => cutWindow(scaled, window));
          const encodings = await this.encodeWindows(crops, mirrored);
          // What was encoded finer or coarser lies where the window lies.
          for (const [i, encoding] of encodings.entries()) {
            placed.push({ window: windows[start + i]!, encoding });
          }
        }
      }
    }
    const zoomed = zoom ? await this.zoom(picture, view, placed[0]!, shortSide, signal) : undefined;
    return new EncodedPicture(this, picture, view, placed, zoomed);
  }

  /** Encodes the surroundings of a picture's pieces. */
  private async zoom(
    picture: Picture,
    view: Size,
    { encoding }: PlacedWindow,
    shortSide: number,
    signal: AbortSignal | undefined,
  ): Promise<ZoomedWindow> {
    const pieces = segmentPieces(encoding, view);
    const looks = chooseLooks(pieces, view, picture);
    const images: Float32Array[] = [];
    const batch = Math.max(
      1,
      Math.floor(BATCH_PATCHES / (shortSide / this.config.vision.patchSize) ** 2),
    );
    for (let start = 0; start < looks.length; start += batch) {
      signal?.throwIfAborted();
      const part = looks.slice(start, start + batch);
      const crops = part.map((look) => lookAt(picture, look, shortSide));
      for (const { imageEmbed } of await this.encodeWindows(crops, false)) images.push(imageEmbed);
    }
    return joinLooks(encoding, pieces, looks, images);
  }

  /**
   * Encodes pictures with one window each; those whose resized views are of one size go through the
   * image tower together. Sums within the engine round otherwise than in `encode`: numbers differ from
   * its in the last bits, and a pixel between two groups may change sides.
   *
   * @param shortSide as in `EncodeOptions`
   * @returns the encoded pictures in the order given
   */
  async encodeMany(
    pictures: readonly Picture[],
    { shortSide = this.processor.segmentationShortSide }: Pick<EncodeOptions, "shortSide"> = {},
  ): Promise<EncodedPicture[]> {
    this.checkShortSide(shortSide);
    const { patchSize } = this.config.vision;
    const views = pictures.map((picture) => segmentationView(picture, shortSide));
    const sizes = new Map<string, number[]>();
    for (const [i, { width, height }] of views.entries()) {
      const key = `${width} x ${height}`;
      sizes.set(key, [...(sizes.get(key) ?? []), i]);
    }
    const encoded = new Array<EncodedPicture>(pictures.length);
    for (const members of sizes.values()) {
      const { width, height } = views[members[0]!]!;
      const patches = Math.floor(width / patchSize) * Math.floor(height / patchSize);
      const batch = Math.max(1, Math.floor(BATCH_PATCHES / patches));
      for (let start = 0; start < members.length; start += batch) {
        const part = members.slice(start, start + batch);
        const encodings = await this.encodeWindows(
          part.map((i) => views[i]!),
          false,
        );
        for (const [position, i] of part.entries()) {
          const window = { x0: 0, y0: 0, x1: width, y1: height };
          const placed = [{ window, encoding: encodings[position]! }];
          encoded[i] = new EncodedPicture(this, pictures[i]!, views[i]!, placed);
        }
      }
    }
    return encoded;
  }

  /** Embeddings of texts as they are, [dim] each, L2-normalised. */
  async embedTexts(texts: readonly string[], signal?: AbortSignal): Promise<Float32Array[]> {
    return (await this.words.prompts(texts, signal)).map(normalized);
  }

  /** Label embeddings [labels, dim], each from all of its prompts. */
  embedLabels(labels: readonly string[], prompts: PromptSet, signal?: AbortSignal) {
    const templates = PROMPT_TEMPLATES[prompts];
    if (!templates) {
      throw new InputError(`prompts: "${prompts}" is unknown; use simple, subset or full`);
    }
    return this.words.labels(
      labels.map((label) => expandPrompts(label, templates)),
      signal,
    );
  }

  /** The picture's embedding as the checkpoint's image processor prepares it, [dim], L2-normalised. */
  async embedPicture(picture: Picture): Promise<Float32Array> {
    const view = classificationView(picture, this.processor);
    const { mean, std } = this.processor;
    const { patches, rows, columns } = toPatches(view, mean, std, this.config.vision.patchSize);
    const { image } = await this.engine.encodeImages(patches, 1, rows, columns);
    return normalized(image);
  }

  /** Factor on cosine similarities. */
  get logitScale(): number {
    return logitScaleFactor(this.engine.logitScale);
  }

  /** Frees the engine's memory. */
  release(): Promise<void> {
    return this.engine.release();
  }

  private checkShortSide(shortSide: number): void {
    const { patchSize } = this.config.vision;
    if (!Number.isInteger(shortSide) || shortSide < patchSize || shortSide > 4096) {
      throw new InputError(`shortSide: ${shortSide} is out of range; give ${patchSize} to 4096`);
    }
  }

  /** Windows of one size through the image tower together. */
  private async encodeWindows(
    crops: readonly Picture[],
    mirrored: boolean,
  ): Promise<WindowEncoding[]> {
    const { segmentationMean: mean, segmentationStd: std } = this.processor;
    const all = crops.map((crop) =>
      toPatches(mirrored ? mirror(crop) : crop, mean, std, this.config.vision.patchSize),
    );
    const { rows, columns } = all[0]!;
    const size = all[0]!.patches.length;
    const patches = crops.length === 1 ? all[0]!.patches : new Float32Array(size * crops.length);
    if (crops.length > 1) {
      for (const [i, one] of all.entries()) patches.set(one.patches, i * size);
    }
    const features = await this.engine.encodeImages(patches, crops.length, rows, columns);
    return crops.map((_, i) => {
      const encoding = windowEncoding(features, i, crops.length, rows, columns);
      return mirrored ? mirrorBack(encoding) : encoding;
    });
  }
}

/** A picture that went through the image tower; made by `GroupViT.encode`. */
export class EncodedPicture {
  private readonly layouts = new Map<AssignmentKind, SegmentLayout>();
  private imageEmbedding?: Promise<Float32Array>;

  constructor(
    private readonly model: GroupViTBase<never>,
    /** The decoded picture at its original size. */
    readonly picture: Picture,
    private readonly view: Size,
    /** What the image tower gave, per window. */
    readonly windows: readonly PlacedWindow[],
    /** Its pieces from near, where it was encoded with `zoom`. */
    readonly zoomed?: ZoomedWindow,
  ) {}

  get width(): number {
    return this.picture.width;
  }

  get height(): number {
    return this.picture.height;
  }

  /**
   * Gives every pixel the word that fits best (paper, section 3.3).
   *
   * @param labels words, or text such as "dog, tree, sky"; synonyms of one label: "sofa, couch; dog"
   * @throws InputError for empty, repeated or too many labels, options out of range
   */
  async segment(
    labels: string | readonly string[],
    options: SegmentOptions = {},
  ): Promise<Segmentation> {
    const { assignment = "soft", topK, pixelScores = false } = options;
    const { own, background, embeddings } = await this.ask(labels, options);
    const decoded = decode(this.layout(assignment), embeddings, {
      logitScale: this.model.logitScale,
      topK,
      background,
      scores: pixelScores,
    });
    const first = decoded.background ? 1 : 0;
    const map = options.refine ? refineMap(this.picture, decoded.map) : decoded.map;
    const areas = options.refine ? countValues(map, decoded.areas.length) : decoded.areas;
    return {
      width: decoded.width,
      height: decoded.height,
      labels: own,
      background: decoded.background,
      map,
      scores: decoded.meanScores.slice(first, first + own.length),
      areas: areas.slice(first, first + own.length),
      ...(decoded.scores ? { pixelScores: decoded.scores } : {}),
    };
  }

  /**
   * Says why `segment` with the same labels and options gives every pixel its label: the similarity of
   * every segment to every label, which labels were left out, and by how much the winner leads.
   *
   * @throws InputError as `segment` does, and for pictures encoded with `zoom`
   * @example
   * const { labels, regions, map } = await picture.explain("dog, tree, sky");
   * const region = regions[map[y * picture.width + x]]; // of the pixel at x, y
   * labels[region.winner]; // "dog", ahead of labels[region.second] by region.margin
   */
  async explain(
    labels: string | readonly string[],
    options: ExplainOptions = {},
  ): Promise<Explanation> {
    if (this.zoomed) {
      throw new InputError(
        "explain: encode the picture without zoom; two looks have no one similarity",
      );
    }
    const { assignment = "soft", topK = DEFAULT_TOP_K } = options;
    const { own, all, background, embeddings } = await this.ask(labels, options);
    const layout = this.layout(assignment);
    return {
      labels: all,
      firstBackground: own.length,
      ...explain(layout, embeddings, this.model.logitScale, topK, background),
    };
  }

  /**
   * Ranks labels for the picture as a whole: softmax over logit scale times cosine similarity.
   *
   * @param prompts templates around the labels; without them labels are taken as they are
   */
  async classify(
    labels: string | readonly string[],
    options: { prompts?: PromptSet; signal?: AbortSignal } = {},
  ): Promise<Ranked[]> {
    const own = parseLabels(labels);
    const dim = this.model.config.projectionDim;
    let embeddings: Float32Array;
    if (options.prompts) {
      embeddings = await this.model.embedLabels(own, options.prompts, options.signal);
    } else {
      embeddings = new Float32Array(own.length * dim);
      const texts = await this.model.embedTexts(own, options.signal);
      for (const [i, text] of texts.entries()) embeddings.set(text, i * dim);
    }
    this.imageEmbedding ??= this.model.embedPicture(this.picture);
    const image = await this.imageEmbedding;
    const logits = own.map((_, label) => {
      let sum = 0;
      for (let i = 0; i < dim; i++) sum += image[i]! * embeddings[label * dim + i]!;
      return sum * this.model.logitScale;
    });
    const largest = Math.max(...logits);
    const powers = logits.map((logit) => Math.exp(logit - largest));
    const total = powers.reduce((a, b) => a + b, 0);
    return own
      .map((label, i) => ({ label, score: powers[i]! / total }))
      .sort((a, b) => b.score - a.score);
  }

  /**
   * The groups of every grouping block, first to last, at the picture's original size.
   *
   * @throws InputError for pictures encoded with `slide`, `flip` or `scales`: windows have groups of their own
   */
  groups(assignment: AssignmentKind = "soft"): GroupStage[] {
    if (this.windows.length > 1) {
      throw new InputError(
        'groups: windows of a picture encoded with mode "slide", flip or scales do not share groups; ' +
          'encode it with mode "whole" alone',
      );
    }
    const { encoding } = this.windows[0]!;
    const nodes = hierarchy(encoding);
    return encoding.groups.map((groups, stage) => ({
      groups,
      map: groupMap(encoding, stage, this.width, this.height, assignment),
      nodes: nodes[stage]!,
    }));
  }

  /** What `segment` and `explain` are asked for: labels with those that stand for background, embedded. */
  private async ask(labels: string | readonly string[], options: ExplainOptions) {
    const own = parseLabels(labels);
    const extra = options.backgroundWords ? parseLabels(options.backgroundWords) : [];
    const background = chooseBackground(
      options,
      own.length,
      extra.length,
      this.model.processor.segmentationThreshold,
    );
    const all = extra.length > 0 ? parseLabels([...own, ...extra]) : own;
    const { prompts = "simple", signal } = options;
    const embeddings = await this.model.embedLabels(all, prompts, signal);
    signal?.throwIfAborted();
    return { own, all, background, embeddings };
  }

  private layout(kind: AssignmentKind): SegmentLayout {
    let layout = this.layouts.get(kind);
    if (!layout) {
      layout = this.zoomed
        ? this.layoutZoomed(this.zoomed, kind)
        : layoutSegments(this.windows, this.view, this.picture, kind);
      this.layouts.set(kind, layout);
    }
    return layout;
  }

  private layoutZoomed(zoomed: ZoomedWindow, kind: AssignmentKind): SegmentLayout {
    if (kind !== "soft") {
      throw new InputError(`assignment "${kind}": pieces seen with zoom are those of soft maps`);
    }
    return layoutPieces(zoomed, this.windows[0]!.encoding.imageEmbed, this.view, this.picture);
  }
}

function countValues(map: Uint8Array | Uint16Array, values: number): Uint32Array {
  const counts = new Uint32Array(values);
  for (const value of map) counts[value]!++;
  return counts;
}

function chooseBackground(
  options: SegmentOptions,
  own: number,
  extra: number,
  standard: number,
): Background {
  const kind = options.background ?? (extra > 0 ? "words" : "none");
  if (kind === "threshold") return { kind, threshold: options.threshold ?? standard };
  if (options.threshold !== undefined) {
    throw new InputError('threshold: it has a meaning only with background "threshold"');
  }
  if (kind === "words") {
    if (extra === 0) {
      throw new InputError('background "words" needs backgroundWords, such as "sky, ground"');
    }
    return { kind, labels: Array.from({ length: extra }, (_, i) => own + i) };
  }
  if (kind !== "none") {
    throw new InputError(`background: "${kind}" is unknown; use none, threshold or words`);
  }
  return { kind };
}

const MAX_SCALES = 16;

function checkedScales(
  scales: readonly number[],
  shortSide: number,
  patchSize: number,
): readonly number[] {
  const fits = (scale: number) => shortSide * scale >= patchSize && shortSide * scale <= 4096;
  if (scales.length < 1 || scales.length > MAX_SCALES || !scales.every(fits)) {
    throw new InputError(
      `scales: [${scales}] times short side ${shortSide} must give 1 to ${MAX_SCALES} sides from ` +
        `${patchSize} to 4096`,
    );
  }
  return scales;
}

/** The same parts of the picture at another size; all windows keep one size. */
function scaledWindows(windows: readonly Window[], from: Size, to: Size): Window[] {
  const [sx, sy] = [to.width / from.width, to.height / from.height];
  return windows.map(({ x0, y0, x1, y1 }) => {
    const width = Math.min(to.width, Math.round((x1 - x0) * sx));
    const height = Math.min(to.height, Math.round((y1 - y0) * sy));
    const left = Math.min(to.width - width, Math.round(x0 * sx));
    const top = Math.min(to.height - height, Math.round(y0 * sy));
    return { x0: left, y0: top, x1: left + width, y1: top + height };
  });
}

/** The picture with left and right exchanged. */
function mirror({ width, height, data }: Picture): Picture {
  const flipped = new Uint8Array(data.length);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const from = 3 * (y * width + x);
      flipped.set(data.subarray(from, from + 3), 3 * (y * width + width - 1 - x));
    }
  }
  return { width, height, data: flipped };
}

/** The encoding of a mirrored window as one of the window itself: patches change places. */
function mirrorBack(encoding: WindowEncoding): WindowEncoding {
  const { columns, assignments } = encoding;
  const [patches, ...rest] = assignments as [Float32Array, ...Float32Array[]]; // [groups, patches]
  const mirrored = new Float32Array(patches.length);
  for (let row = 0; row < patches.length; row += columns) {
    mirrored.set(patches.slice(row, row + columns).reverse(), row);
  }
  return { ...encoding, assignments: [mirrored, ...rest] };
}

function windowEncoding(
  features: ImageFeatures,
  index: number,
  batch: number,
  rows: number,
  columns: number,
): WindowEncoding {
  const part = (data: Float32Array) => {
    const size = data.length / batch;
    return data.slice(index * size, (index + 1) * size);
  };
  const imageEmbed = normalized(part(features.image));
  const dim = imageEmbed.length;
  const segmentEmbeds = part(features.segments);
  for (let start = 0; start < segmentEmbeds.length; start += dim) {
    segmentEmbeds.set(normalized(segmentEmbeds.subarray(start, start + dim)), start);
  }
  const grouped = features.groups.length > 0;
  return {
    rows,
    columns,
    assignments: grouped ? features.assignments.map(part) : [identity(rows * columns)],
    groups: grouped ? features.groups : [rows * columns],
    segmentEmbeds,
    imageEmbed,
  };
}

/** Without grouping blocks every patch is a segment of its own. */
function identity(size: number): Float32Array {
  const matrix = new Float32Array(size * size);
  for (let i = 0; i < size; i++) matrix[i * size + i] = 1;
  return matrix;
}

function normalized(vector: Float32Array): Float32Array {
  let squares = 0;
  for (const x of vector) squares += x * x;
  const norm = Math.sqrt(squares);
  return vector.map((x) => x / norm);
}

/** Names everything that a prompt's embedding depends on: the text tower, its format, the tokenizer. */
async function wordKey(
  weights: ReadonlyMap<string, Float32Array>,
  tokenizer: Tokenizer,
  engine: string,
): Promise<string> {
  const parts: Uint8Array[] = [];
  for (const [name, data] of [...weights].sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (!name.startsWith("text_")) continue;
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    parts.push(new TextEncoder().encode(name), await digest(bytes));
  }
  parts.push(new TextEncoder().encode(`${engine} ${tokenizer.kind} ${tokenizer.vocabSize}`));
  const joined = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    joined.set(part, offset);
    offset += part.length;
  }
  return Array.from(await digest(joined), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function digest(bytes: Uint8Array): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes as Uint8Array<ArrayBuffer>));
}
