// A loaded model: its two graphs on the engine, made when first needed, and plain numbers in and out.

import { InputError } from "../errors.js";
import type { WeightFormat } from "../graph/onnx.js";
import { toOnnx } from "../graph/onnx.js";
import type { GroupViTConfig } from "../model/config.js";
import { nativeGrid } from "../model/image-tower.js";
import { imageGraph, textGraph } from "../model/inference.js";
import type { PositionMode } from "../model/positions.js";
import { interpolatePositions } from "../model/positions.js";
import type { CreateSession, Device, Session, SessionOptions, Value } from "./session.js";
import { floats } from "./session.js";

const POSITIONS = "vision_model.embeddings.position_embeddings";
/** Token rows that go through the text tower at once: bounds its memory. */
const MAX_TEXT_TOKENS = 4096;
/**
 * Prompts are padded to a multiple of so many tokens, and only those of one length go through together: sums over
 * more padding round differently, and what else is asked for must not move a prompt's numbers.
 */
const TEXT_STEP = 8;

export interface EngineOptions extends SessionOptions {
  /** Weights in the engine: `fp32`, `fp16` (half the file, computed in fp32) or `int8`. */
  format?: WeightFormat;
  /** How position embeddings follow other picture sizes; default: the authors' way. */
  positions?: PositionMode;
}

/** What the image tower gives for a batch of equally sized windows. */
export interface ImageFeatures {
  /** [batch, dim], not normalised. */
  image: Float32Array;
  /** [batch, segments, dim], not normalised. */
  segments: Float32Array;
  /** Per grouping block [batch, groups, tokens], soft. */
  assignments: Float32Array[];
  /** Groups of each grouping block. */
  groups: number[];
}

/** Runs the two towers. Weights are handed to the engine's sessions and then forgotten. */
export class Engine {
  private imageSession?: Promise<Session>;
  private textSession?: Promise<Session>;
  private readonly positionTable: Float32Array;
  private readonly positionCache = new Map<string, Float32Array>();
  /** Parameter of the logit scale (a logarithm). */
  readonly logitScale: number;

  /**
   * @param weights by checkpoint name; entries are removed as the sessions take them over
   */
  constructor(
    readonly config: GroupViTConfig,
    private readonly weights: Map<string, Float32Array>,
    private readonly createSession: CreateSession,
    readonly options: EngineOptions = {},
  ) {
    // Views of one file would keep all of it: with memory of its own, a tower's part is freed once its
    // session has it.
    for (const [name, data] of weights) {
      if (data.byteLength < data.buffer.byteLength) weights.set(name, data.slice());
    }
    this.positionTable = weights.get(POSITIONS)!;
    this.logitScale = weights.get("logit_scale")![0]!;
  }

  get device(): Device {
    return this.options.device ?? "cpu";
  }

  /**
   * Encodes windows of one size.
   *
   * @param patches [batch, rows * columns, patch * patch * channels]
   * @param square whether the window is square in pixels (see `interpolatePositions`)
   */
  async encodeImages(
    patches: Float32Array,
    batch: number,
    rows: number,
    columns: number,
    square = true,
  ): Promise<ImageFeatures> {
    const { vision } = this.config;
    const inside = vision.patchSize ** 2 * vision.numChannels;
    this.imageSession ??= this.open(imageGraph(this.config), /^(vision_model|visual_projection)\./);
    const session = await this.imageSession;
    const count = rows * columns;
    const result = await session.run({
      patches: { shape: [batch, count, inside], data: patches },
      positions: {
        shape: [1, count, vision.hiddenSize],
        data: this.positions(rows, columns, square),
      },
    });
    const assignments: Value[] = [];
    while (result[`assignment_${assignments.length}`]) {
      assignments.push(result[`assignment_${assignments.length}`]!);
    }
    return {
      image: floats(result, "image_features"),
      segments: floats(result, "segment_features"),
      assignments: assignments.map(({ data }) => data as Float32Array),
      groups: assignments.map(({ shape }) => shape[1]!),
    };
  }

  /**
   * Encodes prompts, those of similar length together; each gives the same numbers whatever is beside it.
   *
   * @param prompts token ids with start and end tokens
   * @returns one [dim] per prompt, not normalised
   */
  async encodeTexts(
    prompts: readonly (readonly number[])[],
    signal?: AbortSignal,
  ): Promise<Float32Array[]> {
    const { text } = this.config;
    this.textSession ??= this.open(textGraph(this.config), /^(text_model|text_projection)\./);
    const session = await this.textSession;
    const lengths = prompts.map((prompt) => paddedLength(prompt.length, text));
    const order = prompts.map((_, i) => i).sort((a, b) => lengths[a]! - lengths[b]!);
    const features = new Array<Float32Array>(prompts.length);
    for (let start = 0; start < order.length; ) {
      signal?.throwIfAborted();
      const length = lengths[order[start]!]!;
      const most = Math.max(1, Math.floor(MAX_TEXT_TOKENS / length));
      let end = start + 1;
      while (end < order.length && end - start < most && lengths[order[end]!] === length) end++;
      const part = order.slice(start, end);
      const result = await session.run(
        textFeeds(
          part.map((i) => prompts[i]!),
          length,
        ),
      );
      const rows = floats(result, "text_features");
      const dim = this.config.projectionDim;
      part.forEach((prompt, i) => {
        features[prompt] = rows.slice(i * dim, (i + 1) * dim);
      });
      start = end;
    }
    return features;
  }

  /** Frees the sessions; the engine cannot be used after it. */
  async release(): Promise<void> {
    for (const session of [this.imageSession, this.textSession]) {
      await session?.then(
        (open) => open.release(),
        () => {}, // It never opened: its own caller was told.
      );
    }
  }

  private async open(outputs: ReturnType<typeof imageGraph>, part: RegExp): Promise<Session> {
    const external = new Map<string, Uint8Array>();
    const onnx = toOnnx(outputs, {
      weights: this.weights,
      format: this.options.format,
      // The same kernels in Node and in the browser: the same masks.
      fuseAttention: this.device === "cpu" || this.device === "wasm",
      external,
    });
    // The session copies what it is given: nothing here may hold the weights while it does.
    for (const name of this.weights.keys()) if (part.test(name)) this.weights.delete(name);
    return this.createSession(onnx, { ...this.options, keepMemory: true }, external);
  }

  private positions(rows: number, columns: number, square: boolean): Float32Array {
    const key = `${rows}x${columns} ${square}`;
    let positions = this.positionCache.get(key);
    if (!positions) {
      const side = nativeGrid(this.config.vision);
      positions = interpolatePositions(
        this.positionTable,
        { rows: side, columns: side },
        this.config.vision.hiddenSize,
        rows,
        columns,
        this.options.positions ?? "authors",
        square,
      );
      // Pictures come in few sizes; a stream of many must not fill the memory.
      if (this.positionCache.size >= 16) this.positionCache.clear();
      this.positionCache.set(key, positions);
    }
    return positions;
  }
}

/** Inputs of the text graph for prompts padded to so many tokens. */
export function textFeeds(
  prompts: readonly (readonly number[])[],
  tokens: number,
): Record<string, Value> {
  const ids = new Int32Array(prompts.length * tokens);
  const ends = new Int32Array(prompts.length);
  prompts.forEach((prompt, row) => {
    ids.set(prompt, row * tokens);
    ends[row] = row * tokens + endOfText(prompt);
  });
  return {
    ids: { shape: [prompts.length, tokens], data: ids },
    positions: { shape: [tokens], data: Int32Array.from({ length: tokens }, (_, i) => i) },
    mask: { shape: [1, 1, tokens, tokens], data: causalMask(tokens) },
    ends: { shape: [prompts.length], data: ends },
  };
}

/** Tokens that a prompt of so many is padded to. @throws InputError as `checkTokens` does */
export function paddedLength(tokens: number, config: GroupViTConfig["text"]): number {
  checkTokens(tokens, config);
  return Math.min(config.maxPositionEmbeddings, Math.ceil(tokens / TEXT_STEP) * TEXT_STEP);
}

/** @throws InputError for a prompt of more tokens than the model has positions for */
export function checkTokens(tokens: number, { maxPositionEmbeddings }: GroupViTConfig["text"]) {
  if (tokens > maxPositionEmbeddings) {
    throw new InputError(`a prompt has ${tokens} tokens, the model reads ${maxPositionEmbeddings}`);
  }
}

/** Where the end-of-text token stands: the arg max of the ids, the first of equals. */
export function endOfText(ids: readonly number[]): number {
  let best = 0;
  for (let i = 1; i < ids.length; i++) if (ids[i]! > ids[best]!) best = i;
  return best;
}

/** [tokens, tokens]: minus infinity where a token would see what follows it. */
export function causalMask(tokens: number): Float32Array {
  const mask = new Float32Array(tokens * tokens);
  for (let row = 0; row < tokens; row++) {
    mask.fill(Number.NEGATIVE_INFINITY, row * tokens + row + 1, (row + 1) * tokens);
  }
  return mask;
}
