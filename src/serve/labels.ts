// Labels of a request: within bounds, and with the background that the request or its vocabulary asks for.

import { InputError, parseLabels } from "../index.js";
import { PROMPT_TEMPLATES, type PromptSet } from "../input/prompts.js";
import type { MaskOptions } from "./jobs.js";
import { MAX_LABEL_LENGTH, MAX_LABELS, MAX_PROMPTS, type VocabularyResponse } from "./schema.js";

/**
 * Reads labels as `parseLabels` does, with a service's bounds.
 * @throws InputError naming what is too much
 */
export function checkLabels(source: string | readonly string[], prompts: PromptSet): string[] {
  const labels = parseLabels(source);
  if (labels.length > MAX_LABELS) {
    throw new InputError(`labels: ${labels.length} of them; give ${MAX_LABELS} at most`);
  }
  const long = labels.findIndex((label) => label.length > MAX_LABEL_LENGTH);
  if (long >= 0) {
    throw new InputError(
      `labels: number ${long + 1} has ${labels[long]!.length} characters; ` +
        `give ${MAX_LABEL_LENGTH} at most`,
    );
  }
  const control = labels.findIndex((label) => /\p{Cc}/u.test(label));
  if (control >= 0) {
    throw new InputError(`labels: number ${control + 1} holds a control character; take it out`);
  }
  const broken = labels.findIndex((label) => /\p{Surrogate}/u.test(label));
  if (broken >= 0) {
    throw new InputError(`labels: number ${broken + 1} holds half of a character; take it out`);
  }
  const synonyms = labels.reduce((sum, label) => sum + label.split(",").length, 0);
  const needed = synonyms * PROMPT_TEMPLATES[prompts].length;
  if (needed > MAX_PROMPTS) {
    throw new InputError(
      `labels: with their synonyms and templates they make ${needed} prompts; ` +
        `give fewer (${MAX_PROMPTS} at most), or prompts "simple"`,
    );
  }
  return labels;
}

export interface LabelFields {
  labels?: string | string[];
  vocabulary?: string;
  prompts?: PromptSet;
  background?: "none" | "threshold" | "words";
  background_words?: string | string[];
  threshold?: number;
}

/** The labels that a request names, and what it says about background; the vocabulary says the rest. */
export function chooseLabels(
  fields: LabelFields,
  find: (name: string) => VocabularyResponse,
): { labels: string[]; options: MaskOptions } | undefined {
  const { prompts } = fields;
  if (fields.labels !== undefined && fields.vocabulary !== undefined) {
    throw new InputError("labels: the request names a vocabulary as well; give only one of them");
  }
  const stored = fields.vocabulary === undefined ? undefined : find(fields.vocabulary);
  const source = fields.labels ?? stored?.labels;
  if (source === undefined) return undefined;
  const labels = checkLabels(source, prompts ?? "simple");
  const own = fields.background_words;
  const background =
    fields.background ??
    (own !== undefined
      ? "words"
      : fields.threshold !== undefined
        ? "threshold"
        : (stored?.background ?? "none"));
  if (background !== "threshold" && fields.threshold !== undefined) {
    throw new InputError('threshold: it has a meaning only with background "threshold"; set that');
  }
  if (background !== "words" && own !== undefined) {
    throw new InputError('background_words: they have a meaning only with background "words"');
  }
  if (background === "threshold") {
    const threshold = fields.threshold ?? stored?.threshold;
    return { labels, options: { prompts, background, threshold } };
  }
  if (background === "none") return { labels, options: { prompts, background } };
  const words = own ?? stored?.background_words;
  if (words === undefined) {
    throw new InputError('background "words": it needs background_words, such as "sky, ground"');
  }
  const backgroundWords = checkLabels(words, prompts ?? "simple");
  checkLabels([...labels, ...backgroundWords], prompts ?? "simple");
  return { labels, options: { prompts, background, backgroundWords } };
}
