// Word embeddings: each prompt goes through the text tower once per model, in memory and, where there is
// a store, on disk.

import type { Tokenizer } from "../input/tokenizer.js";
import type { Engine } from "../runtime/engine.js";
import { labelEmbedding } from "./affinity.js";

/** Keeps prompt embeddings beyond the process. */
export interface WordStore {
  get(prompt: string): Float32Array | undefined;
  put(entries: readonly (readonly [string, Float32Array])[]): Promise<void>;
}

/** Embeddings kept in memory: 64 MB of numbers, whatever their width. */
const MEMORY_NUMBERS = 16_777_216;
/** Prompts between two looks at the abort signal and two writes to the store. */
const PART = 1024;

/** Embeds prompts and labels with one model, remembering what it has seen. */
export class Words {
  private readonly memory = new Map<string, Float32Array>();

  constructor(
    private readonly engine: Engine,
    private readonly tokenizer: Tokenizer,
    private readonly store?: WordStore,
  ) {}

  /** Embeddings of prompts as they are, [dim] each, not normalised. */
  async prompts(prompts: readonly string[], signal?: AbortSignal): Promise<Float32Array[]> {
    const found = new Map<string, Float32Array>();
    const missing = new Set<string>();
    for (const prompt of prompts) {
      const known = this.memory.get(prompt) ?? this.store?.get(prompt);
      if (known) found.set(prompt, known);
      else missing.add(prompt);
    }
    const unknown = [...missing];
    for (let start = 0; start < unknown.length; start += PART) {
      const part = unknown.slice(start, start + PART);
      const ids = part.map((prompt) => this.tokenizer.encode(prompt));
      const features = await this.engine.encodeTexts(ids, signal);
      const entries = part.map((prompt, i) => [prompt, features[i]!] as const);
      for (const [prompt, feature] of entries) found.set(prompt, feature);
      await this.store?.put(entries);
    }
    const limit = MEMORY_NUMBERS / this.engine.config.projectionDim;
    for (const [prompt, feature] of found) {
      if (this.memory.size >= limit) this.memory.clear();
      this.memory.set(prompt, feature);
    }
    return prompts.map((prompt) => found.get(prompt)!);
  }

  /**
   * One embedding per label from all of its prompts (see `labelEmbedding`).
   *
   * @param promptsOf the prompts of each label, at least one
   * @returns [labels, dim], rows L2-normalised
   */
  async labels(
    promptsOf: readonly (readonly string[])[],
    signal?: AbortSignal,
  ): Promise<Float32Array> {
    const dim = this.engine.config.projectionDim;
    const embeddings = new Float32Array(promptsOf.length * dim);
    const all = await this.prompts(promptsOf.flat(), signal);
    let offset = 0;
    promptsOf.forEach((prompts, label) => {
      const own = all.slice(offset, offset + prompts.length);
      embeddings.set(labelEmbedding(own), label * dim);
      offset += prompts.length;
    });
    return embeddings;
  }
}
