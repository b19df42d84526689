// Both towers of a model, run with every intermediate tensor made an output.

import * as g from "../../src/graph/build.js";
import { toOnnx } from "../../src/graph/onnx.js";
import type { Tensor } from "../../src/graph/tensor.js";
import { patchesFromPixels } from "../../src/input/normalize.js";
import { nativeGrid } from "../../src/model/image-tower.js";
import { imageGraph, textGraph } from "../../src/model/inference.js";
import {
  clampedScale,
  contrastiveLoss,
  normalizeRows,
  ownTargets,
  similarities,
} from "../../src/model/losses.js";
import type { PositionMode } from "../../src/model/positions.js";
import { interpolatePositions } from "../../src/model/positions.js";
import { causalMask, Engine, endOfText } from "../../src/runtime/engine.js";
import type { Session, Value } from "../../src/runtime/session.js";
import { createSession } from "../../src/runtime/session.node.js";
import { floatWeights, type Weights } from "./weights.js";

export type Values = Record<string, Value>;

/** Pixels `[batch, channels, height, width]`, normalised. */
export interface Pixels {
  data: Float32Array;
  shape: [number, number, number, number];
}

/** Padded token ids `[batch, tokens]` and, where padding is masked, which of them count. */
export interface Prompts {
  ids: Int32Array;
  shape: [number, number];
  mask?: Int32Array;
}

/** Most negative 32-bit float: what Hugging Face adds to masked attention logits. */
const MASKED = -3.4028234663852886e38;

export class Towers {
  private images?: Promise<Session>;
  private texts?: Promise<Session>;
  private readonly engines = new Map<PositionMode, Engine>();

  constructor(readonly weights: Weights) {}

  /** The engine as users run it, without taps. */
  engine(mode: PositionMode): Engine {
    let engine = this.engines.get(mode);
    if (!engine) {
      const { config } = this.weights;
      engine = new Engine(config, floatWeights(this.weights), createSession, { positions: mode });
      this.engines.set(mode, engine);
    }
    return engine;
  }

  patches({ data, shape }: Pixels) {
    return patchesFromPixels(data, shape, this.weights.config.vision.patchSize);
  }

  positions(rows: number, columns: number, mode: PositionMode, square: boolean): Value {
    const { vision } = this.weights.config;
    const side = nativeGrid(vision);
    const table = floatWeights(this.weights).get("vision_model.embeddings.position_embeddings")!;
    const native = { rows: side, columns: side };
    return {
      shape: [1, rows * columns, vision.hiddenSize],
      data: interpolatePositions(table, native, vision.hiddenSize, rows, columns, mode, square),
    };
  }

  /** Every tensor of the image tower, by the fixtures' names. */
  async image(pixels: Pixels, mode: PositionMode): Promise<Values> {
    const { config } = this.weights;
    this.images ??= open((tap) => imageGraph(config, tap), floatWeights(this.weights));
    const { patches, rows, columns } = this.patches(pixels);
    const { patchSize, numChannels } = config.vision;
    const shape = [pixels.shape[0], rows * columns, patchSize ** 2 * numChannels];
    const positions = this.positions(rows, columns, mode, pixels.shape[2] === pixels.shape[3]);
    const values = await (await this.images).run({ patches: { shape, data: patches }, positions });
    return { ...values, "vision.pos_embed_used": positions };
  }

  /** Every tensor of the text tower, by the fixtures' names. */
  async text({ ids, shape, mask }: Prompts): Promise<Values> {
    const { config } = this.weights;
    this.texts ??= open((tap) => textGraph(config, tap, "each"), floatWeights(this.weights));
    const [batch, tokens] = shape;
    const ends = Int32Array.from(
      { length: batch },
      (_, row) => row * tokens + endOfText(rowOf(ids, row, tokens)),
    );
    return (await this.texts).run({
      ids: { shape, data: ids },
      positions: { shape: [tokens], data: Int32Array.from({ length: tokens }, (_, i) => i) },
      mask: { shape: [batch, 1, tokens, tokens], data: attentionMask(batch, tokens, mask) },
      ends: { shape: [batch], data: ends },
    });
  }

  async release(): Promise<void> {
    for (const session of [this.images, this.texts]) await (await session)?.release();
    for (const engine of this.engines.values()) await engine.release();
  }
}

export function rowOf(ids: Int32Array, row: number, tokens: number): number[] {
  return [...ids.subarray(row * tokens, (row + 1) * tokens)];
}

async function open(
  build: (tap: (name: string, tensor: Tensor) => void) => Record<string, Tensor>,
  weights: ReadonlyMap<string, Float32Array>,
): Promise<Session> {
  const taps: Record<string, Tensor> = {};
  const outputs = build((name, tensor) => {
    taps[name] = tensor;
  });
  return createSession(toOnnx({ ...outputs, ...taps }, { weights }));
}

/** Causal and padding mask `[batch, 1, tokens, tokens]`. */
function attentionMask(batch: number, tokens: number, keep?: Int32Array): Float32Array {
  const causal = causalMask(tokens);
  const mask = new Float32Array(batch * tokens * tokens);
  for (let row = 0; row < batch; row++) {
    const start = row * tokens * tokens;
    mask.set(causal, start);
    if (!keep) continue;
    for (let i = 0; i < tokens * tokens; i++) {
      if (keep[row * tokens + (i % tokens)] === 0) mask[start + i]! += MASKED;
    }
  }
  return mask;
}

/** The contrastive loss of equally many pictures and texts, by the graph that training uses. */
export async function contrastive(
  images: Float32Array,
  texts: Float32Array,
  dim: number,
  logitScale: number,
  clamp: boolean,
): Promise<number> {
  const rows = images.length / dim;
  const parameter = g.input("scale", "f32", []);
  const logits = similarities(
    normalizeRows(g.input("images", "f32", [rows, dim])),
    normalizeRows(g.input("texts", "f32", [rows, dim])),
    clamp ? clampedScale(parameter) : g.exp(parameter),
  );
  const loss = contrastiveLoss(logits, ownTargets(rows, 1));
  const session = await createSession(toOnnx({ loss }));
  const values = await session.run({
    images: { shape: [rows, dim], data: images },
    texts: { shape: [rows, dim], data: texts },
    scale: { shape: [], data: new Float32Array([logitScale]) },
  });
  await session.release();
  return values.loss!.data[0]!;
}
