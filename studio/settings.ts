// What a person sets: the state that undo walks through and a link carries. Never the picture.

import type { SegmentOptions } from "../src/parts.js";

/** What the mask shows: words, or the groups that the model made before it saw any word. */
export type View = "words" | "last" | "first";

export interface Settings {
  /** Words as typed, such as "dog, tree, sky". */
  words: string;
  /** The second vocabulary; compared with the first if `compare`. */
  other: string;
  compare: boolean;
  view: View;
  background: NonNullable<SegmentOptions["background"]>;
  /** 0 to 1, for background "threshold". */
  threshold: number;
  backgroundWords: string;
  topK: number;
  prompts: NonNullable<SegmentOptions["prompts"]>;
  /** One window over the picture, or overlapping ones. */
  mode: "whole" | "slide";
  /** Of the mask, 0 to 1. */
  opacity: number;
}

export const DEFAULTS: Settings = {
  words: "",
  other: "",
  compare: false,
  view: "words",
  background: "none",
  threshold: 0.5,
  backgroundWords: "",
  topK: 5,
  prompts: "simple",
  mode: "whole",
  opacity: 0.6,
};

/** Longest text that a link may bring. */
const MAX_TEXT = 4000;
/** What XML cannot hold, and with it no SVG that is exported; no keyboard has it, but links do. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: those are meant
const UNPRINTABLE = /[\0-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]|\p{Surrogate}/gu;
/** Longest label that `parseLabels` takes. */
const MAX_LABEL = 1000;

/**
 * Labels of a text that may be half typed: the rule of `parseLabels` (commas, or semicolons with commas
 * between synonyms), but empty and repeated ones are left out instead of refused.
 */
export function labelsOf(text: string): string[] {
  const separator = text.includes(";") ? ";" : ",";
  const seen = new Map<string, string>();
  for (const part of text.slice(0, MAX_TEXT).replace(UNPRINTABLE, "").split(separator)) {
    const synonyms = part.split(",").map((word) => word.replace(/\s+/g, " ").trim());
    const label = synonyms
      .filter((word) => word !== "")
      .join(", ")
      .slice(0, MAX_LABEL);
    if (label !== "" && !seen.has(label.toLowerCase())) seen.set(label.toLowerCase(), label);
  }
  return [...seen.values()];
}

/** The text without one of its labels. */
export function withoutLabel(text: string, label: string): string {
  const kept = labelsOf(text).filter((other) => other !== label);
  return kept.some((other) => other.includes(",")) ? `${kept.join("; ")};` : kept.join(", ");
}

/** Options of `segment` and `explain` for these labels: none of them can stand for background too. */
export function segmentOptions(settings: Settings, labels: readonly string[]): SegmentOptions {
  const { background, threshold, topK, prompts } = settings;
  const taken = new Set(labels.map((label) => label.toLowerCase()));
  const backgroundWords = labelsOf(settings.backgroundWords).filter(
    (word) => !taken.has(word.toLowerCase()),
  );
  const common = { topK, prompts };
  if (background === "threshold") return { ...common, background, threshold };
  if (background === "words" && backgroundWords.length > 0) {
    return { ...common, background, backgroundWords };
  }
  return common;
}

/** The part of an address after "#": only what differs from the defaults. */
export function toLink(settings: Settings): string {
  const fields = new URLSearchParams();
  for (const [name, value] of Object.entries(settings)) {
    if (value !== DEFAULTS[name as keyof Settings]) fields.set(name, String(value));
  }
  return fields.toString();
}

/** Settings of a link; what it does not say, or says wrongly, is as it is by default. */
export function fromLink(hash: string): Partial<Settings> {
  const fields = new URLSearchParams(hash.replace(/^#/, ""));
  const found: Partial<Settings> = {};
  const text = (name: "words" | "other" | "backgroundWords") => {
    const value = fields.get(name);
    if (value !== null) found[name] = value.slice(0, MAX_TEXT);
  };
  const number = (name: "threshold" | "opacity" | "topK", least: number, most: number) => {
    const value = Number(fields.get(name) ?? Number.NaN);
    if (value >= least && value <= most) found[name] = value;
  };
  text("words");
  text("other");
  text("backgroundWords");
  number("threshold", 0, 1);
  number("opacity", 0, 1);
  number("topK", 1, 1000);
  if (found.topK !== undefined) found.topK = Math.floor(found.topK);
  found.compare = fields.get("compare") === "true";
  found.view = oneOf(fields.get("view"), ["words", "last", "first"]);
  found.background = oneOf(fields.get("background"), ["none", "threshold", "words"]);
  found.prompts = oneOf(fields.get("prompts"), ["simple", "subset", "full"]);
  found.mode = oneOf(fields.get("mode"), ["whole", "slide"]);
  if (found.mode === "slide") found.view = undefined; // windows have no groups to show
  return Object.fromEntries(Object.entries(found).filter(([, value]) => value !== undefined));
}

function oneOf<T extends string>(value: string | null, choices: readonly T[]): T | undefined {
  return choices.find((choice) => choice === value);
}
