// The 158 everyday nouns that evaluation knows, and the rules that find them in names and descriptions.

import { InputError } from "../errors.js";
import { CLASS_RULE_LINES } from "./data/classes.js";

/** One noun and how to recognise it. */
export interface ClassRule {
  /** Canonical noun, e.g. `fire truck`. */
  readonly name: string;
  /** Emoji annotations (lower case, no apostrophes) that show it. */
  readonly emoji: ReadonlySet<string>;
  /** Where a description names it. */
  readonly pattern: RegExp;
  /** What makes such a match false; null when nothing does. */
  readonly excluded: RegExp | null;
}

/** Lower case, no apostrophes, accents or punctuation, single spaces. */
export function plainText(text: string): string {
  return text
    .toLowerCase()
    .normalize("NFD")
    .replace(/[\u0300-\u036f'’]/g, "")
    .replace(/[^a-z0-9]+/g, " ")
    .trim();
}

/**
 * Reads lines of `class|emoji names|pattern|excluded`.
 * @throws InputError on a line without four fields or with a broken regular expression.
 */
export function parseClassRules(text: string): ClassRule[] {
  const rules: ClassRule[] = [];
  for (const line of text.split("\n")) {
    if (line.trim() === "") continue;
    // The pattern itself may contain "|", always inside parentheses: only others separate fields.
    const fields: string[] = [""];
    let depth = 0;
    for (let i = 0; i < line.length; i++) {
      const char = line[i]!;
      if (char === "(") depth++;
      if (char === ")") depth--;
      if (char === "|" && depth === 0 && fields.length < 4) fields.push("");
      else fields[fields.length - 1] += char;
    }
    if (fields.length !== 4) {
      throw new InputError(`class rule "${line}" has ${fields.length} fields; it needs 4`);
    }
    const [name, emoji, pattern, excluded] = fields as [string, string, string, string];
    try {
      rules.push({
        name,
        emoji: new Set(emoji.split(",").map(plainText).filter(Boolean)),
        pattern: new RegExp(pattern, "gi"),
        excluded: excluded === "" ? null : new RegExp(excluded, "i"),
      });
    } catch (error) {
      throw new InputError(
        `class rule "${name}" has a broken pattern: ${(error as Error).message}`,
      );
    }
  }
  return rules;
}

/** The rules of `data/classes.ts`; a mask's value i + 1 means entry i. */
export const CLASS_RULES: readonly ClassRule[] = parseClassRules(CLASS_RULE_LINES);

/** Names in mask order: index 0 is the background, index i + 1 the i-th rule. */
export const CLASS_NAMES: readonly string[] = [
  "background",
  ...CLASS_RULES.map((rule) => rule.name),
];

const INDEX_BY_NAME = new Map(CLASS_NAMES.map((name, index) => [name, index]));

/** Index of a canonical class name in `CLASS_NAMES`, 0 for any other noun. */
export function classIndex(noun: string): number {
  return INDEX_BY_NAME.get(noun) ?? 0;
}

/** The class of an emoji annotation such as "dog face", or null. */
export function classOfEmoji(label: string): string | null {
  const plain = plainText(label);
  return CLASS_RULES.find((rule) => rule.emoji.has(plain))?.name ?? null;
}

/**
 * The class that a text names, or null. With `atEnd` the match has to close the text, so that
 * "dog" is found in "guide dog" but not in "dog leash". The longest match wins ("police car").
 */
export function classOfText(text: string, atEnd = false): string | null {
  if (INDEX_BY_NAME.has(text) && text !== "background") return text;
  let best: string | null = null;
  let bestLength = 0;
  for (const rule of CLASS_RULES) {
    if (rule.excluded?.test(text)) continue;
    for (const match of text.matchAll(rule.pattern)) {
      if (atEnd && match.index + match[0].length !== text.length) continue;
      // Of equals the later rule wins: "glasses" are no glass.
      if (match[0].length >= bestLength) {
        best = rule.name;
        bestLength = match[0].length;
      }
    }
  }
  return best;
}
