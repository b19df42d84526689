// What the ranks of a job exchange while they train one model: gradients of the towers, texts of the batch,
// and the state that a run begins with.

import { FailedTogether, type Ranks } from "../distribute/ranks.js";
import { InputError } from "../errors.js";
import type { RunState } from "./checkpoint.js";
import type { StepMetrics } from "./step.js";
import type { BatchStream, StreamBatch } from "./stream.js";

/** The part of each batch that this rank decodes and encodes. */
export interface Share {
  start: number;
  count: number;
}

/**
 * Equal, consecutive shares.
 *
 * @param samples of a picture, which stays whole
 * @throws InputError where the batch cannot be divided
 */
export function shareOf(batch: number, ranks?: Pick<Ranks, "rank" | "size">, samples = 1): Share {
  if (!ranks) return { start: 0, count: batch };
  const { rank, size } = ranks;
  const pictures = batch / samples;
  if (pictures % size !== 0) {
    throw new InputError(
      `batch ${batch}: ${size} ranks cannot share its ${pictures} pictures equally; start ` +
        `${largestDivisor(pictures, size)} ranks, or set batch to a multiple of ${size * samples}`,
    );
  }
  const count = batch / size;
  return { start: rank * count, count };
}

function largestDivisor(batch: number, most: number): number {
  for (let size = most; ; size--) if (batch % size === 0) return size;
}

const WORD_TABLE = "text_model.embeddings.token_embedding.weight";

/**
 * Adds the gradients of all ranks up, in place and in one message. Of the word table only the rows of words
 * that the batch has are sent: all others are zero.
 *
 * @param ids token ids of the whole batch
 */
export async function sumGradients(
  ranks: Pick<Ranks, "size" | "sum">,
  grads: readonly (readonly [name: string, grad: Float32Array, shape: readonly number[]])[],
  ids: Int32Array,
): Promise<void> {
  const words = Int32Array.from(new Set(ids)).sort();
  const parts = grads.flatMap(([name, grad, shape]) => {
    if (name !== WORD_TABLE) return [grad];
    const width = shape[1]!;
    return Array.from(words, (word) => grad.subarray(word * width, (word + 1) * width));
  });
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const message = new Float32Array(Math.ceil(length / ranks.size) * ranks.size);
  let at = 0;
  for (const part of parts) {
    message.set(part, at);
    at += part.length;
  }
  await ranks.sum(message);
  at = 0;
  for (const part of parts) {
    part.set(message.subarray(at, at + part.length));
    at += part.length;
  }
}

/** A stream of this rank's pictures as one whose texts are those of the whole batch. */
export function withAllTexts(stream: BatchStream, ranks: Pick<Ranks, "gatherJson">): BatchStream {
  return {
    async next() {
      const batch = await stream.next();
      const { captions, prompts, nouns } = batch;
      const all = await ranks.gatherJson({ captions, prompts, nouns });
      return {
        ...batch,
        captions: all.flatMap((part) => part.captions),
        prompts: all.flatMap((part) => part.prompts),
        nouns: all.flatMap((part) => part.nouns),
      } satisfies StreamBatch;
    },
    close: () => stream.close(),
  };
}

const PARTS = ["weights", "first", "second"] as const;
type Shared = Pick<RunState, "step" | "position" | "batches" | "skipped">;

/**
 * Gives every rank the state that rank 0 makes. The moving average and the best evaluation so far stay with
 * rank 0, which alone needs them.
 *
 * @throws FailedTogether where rank 0 cannot make it
 */
export async function stateForAll(ranks: Ranks, make: () => Promise<RunState>): Promise<RunState> {
  let own: RunState | undefined;
  const { shared, sizes } = await ranks.first(async () => {
    own = await make();
    const { step, position, batches, skipped } = own;
    const shared: Shared = { step, position, batches, skipped };
    const sizesOf = (part: Map<string, Float32Array>) =>
      [...part].map(([name, data]): [string, number] => [name, data.length]);
    return { shared, sizes: PARTS.map((part) => sizesOf(own![part])) };
  });
  const state = own ?? emptyState(shared);
  for (const [i, part] of PARTS.entries()) {
    for (const [name, size] of sizes[i]!) {
      const data = state[part].get(name) ?? new Float32Array(size);
      await ranks.broadcast(data);
      state[part].set(name, data);
    }
  }
  return state;
}

function emptyState(shared: Shared): RunState {
  return { ...shared, weights: new Map(), first: new Map(), second: new Map() };
}

/** What a step gave, as each rank tells it. */
interface Told {
  stop: boolean;
  loss: number | null;
  norm: number | null;
}

/** Relative difference between ranks that no rounding explains. */
const APART = 1e-4;

/**
 * Whether a rank was asked to stop; then all do after the same step.
 *
 * @throws FailedTogether where the ranks have come apart: the head is computed on each of them
 */
export async function anyStops(
  ranks: Pick<Ranks, "rank" | "gatherJson">,
  stop: boolean,
  last: StepMetrics | undefined,
): Promise<boolean> {
  // JSON has no number for what is not finite.
  const finite = (value = 0) => (Number.isFinite(value) ? value : null);
  const own = { stop, loss: finite(last?.loss), norm: finite(last?.gradientNorm) };
  const all = await ranks.gatherJson<Told>(own);
  const [first] = all;
  for (const [rank, { loss, norm }] of all.entries()) {
    if (near(loss, first!.loss) && near(norm, first!.norm)) continue;
    throw new FailedTogether(
      `rank ${rank} has loss ${loss} and gradient norm ${norm}, rank 0 ${first!.loss} and ${first!.norm}: ` +
        "the machines do not compute alike; give all the same version, data and configuration",
      ranks.rank === 0,
    );
  }
  return all.some((told) => told.stop);
}

function near(a: number | null, b: number | null): boolean {
  if (a === null || b === null) return a === b;
  return Math.abs(a - b) <= APART * Math.max(Math.abs(a), Math.abs(b));
}
