// Vocabularies by name: the published ones, and those that clients store.

import { join } from "node:path";
import * as z from "zod";
import { parseLabels, VOCABULARIES } from "../index.js";
import { ApiError } from "./errors.js";
import { checkLabels } from "./labels.js";
import type { VocabularyRequest, VocabularyResponse } from "./schema.js";
import { Store } from "./store.js";

const MAX_VOCABULARIES = 1000;

const record = z.object({
  labels: z.array(z.string()),
  background: z.enum(["none", "threshold", "words"]),
  background_words: z.array(z.string()).optional(),
  threshold: z.number().optional(),
});

export class Vocabularies {
  private constructor(private readonly store: Store<z.infer<typeof record>>) {}

  static async open(folder: string): Promise<Vocabularies> {
    const path = join(folder, "vocabularies.json");
    return new Vocabularies(await Store.open(path, record, MAX_VOCABULARIES));
  }

  list(): VocabularyResponse[] {
    const builtIn = Object.keys(VOCABULARIES).map((name) => this.find(name));
    const stored = this.store.all().map(([name, value]) => ({ name, ...value, built_in: false }));
    return [...builtIn, ...stored.sort((a, b) => (a.name < b.name ? -1 : 1))];
  }

  /** @throws ApiError 404 */
  find(name: string): VocabularyResponse {
    const preset = Object.values(VOCABULARIES).find((one) => one.name === name);
    if (preset) {
      const { labels, background, threshold } = preset;
      const kind = background ? "threshold" : "none";
      // ImageNet has two words twice, each for two classes; asked for once, either class is meant.
      return { name, labels: [...new Set(labels)], background: kind, threshold, built_in: true };
    }
    const stored = this.store.get(name);
    if (stored) return { name, ...stored, built_in: false };
    throw new ApiError(
      404,
      "unknown_vocabulary",
      `no vocabulary "${name}"; GET /v1/vocabularies lists them, POST stores one`,
    );
  }

  /** Stores a vocabulary; one of the same name is replaced. */
  async set(request: VocabularyRequest): Promise<VocabularyResponse> {
    const { name } = request;
    this.refuseBuiltIn(name);
    const labels = checkLabels(request.labels, "simple");
    const words = request.background_words && checkLabels(request.background_words, "simple");
    const kind =
      request.background ??
      (words ? "words" : request.threshold === undefined ? "none" : "threshold");
    if ((kind === "words") !== (words !== undefined)) {
      throw new ApiError(
        400,
        "invalid",
        'background_words: they go with background "words"; give both or neither',
      );
    }
    if (kind !== "threshold" && request.threshold !== undefined) {
      throw new ApiError(
        400,
        "invalid",
        'threshold: it has a meaning only with background "threshold"; leave it out',
      );
    }
    if (words) parseLabels([...labels, ...words]);
    const { threshold } = request;
    await this.store.set(name, {
      labels,
      background: kind,
      ...(words ? { background_words: words } : {}),
      ...(threshold === undefined ? {} : { threshold }),
    });
    return this.find(name);
  }

  async delete(name: string): Promise<void> {
    this.refuseBuiltIn(name);
    this.find(name);
    await this.store.delete(name);
  }

  private refuseBuiltIn(name: string): void {
    if (Object.hasOwn(VOCABULARIES, name)) {
      throw new ApiError(409, "built_in", `"${name}" is built in; choose another name`);
    }
  }
}
