// Kind `tokenizer`: token ids of both tokenizers, cleaned texts, and texts of token ids.

import { cleanText } from "../../src/input/clean-text.js";
import { loadTokenizer, type Tokenizer, type TokenizerFiles } from "../../src/input/tokenizer.js";
import type { Fixture } from "./fixture.js";
import type { Report } from "./report.js";

interface Case {
  text: string;
  /** The authors' ids, without padding. */
  ids: number[];
  cleaned?: string;
  /** Only where they differ from `ids`. */
  ids_hf_fast?: number[];
}

interface Cases {
  context_length?: number;
  sot?: number;
  eot?: number;
  cases?: Case[];
  decode?: { ids: number[]; text: string }[];
}

/** Share of the authors' ids that must agree. */
const AUTHORS_SHARE = 0.99;

export async function runTokenizer(fixture: Fixture, report: Report): Promise<void> {
  const reference = fixture.json<Cases>("cases.json");
  if (!reference) {
    report.note("cases.json is not there");
    return;
  }
  const files: TokenizerFiles = Object.fromEntries(
    ["tokenizer.json", "vocab.json", "merges.txt"].flatMap((name) => {
      const bytes = fixture.bytes(name);
      return bytes ? [[name, new TextDecoder().decode(bytes)]] : [];
    }),
  );
  const contextLength = reference.context_length;
  const authors = loadTokenizer({ kind: "authors", files, contextLength });
  const huggingFace = loadTokenizer({ kind: "huggingface", files, contextLength });
  if (reference.sot !== undefined) {
    report.same("start token", authors.startToken === reference.sot, `${authors.startToken}`);
  }
  if (reference.eot !== undefined) {
    report.same("end token", authors.endToken === reference.eot, `${authors.endToken}`);
  }

  const cases = reference.cases ?? [];
  const wrong = cases.flatMap(({ text, ids }) => {
    const actual = encode(authors, text);
    return actual === ids.join() ? [] : [{ text, actual, ids }];
  });
  const allowed = Math.floor((1 - AUTHORS_SHARE) * cases.length + 1e-9);
  if (cases.length > 0) {
    const found = `${wrong.length} of ${cases.length} strings`;
    report.add("authors' ids", wrong.length <= allowed, found, `<= ${allowed}`);
  }
  for (const { text, actual, ids } of wrong) {
    const name = `authors ${quote(text)}`;
    if (wrong.length <= allowed) report.note(`${name}: ${actual} differs from ${ids}, within 1 %`);
    else report.add(name, false, actual, ids.join());
  }

  let agreed = 0;
  for (const { text, ids, ids_hf_fast: own } of cases) {
    const actual = encode(huggingFace, text);
    const expected = (own ?? ids).join();
    if (actual === expected) agreed++;
    else report.add(`Hugging Face ${quote(text)}`, false, actual, expected);
  }
  if (agreed > 0) report.same("Hugging Face ids", true, `${agreed} of ${cases.length} strings`);

  const cleaned = cases.filter((entry) => entry.cleaned !== undefined);
  const unclean = cleaned.filter(({ text, cleaned: expected }) => cleanText(text) !== expected);
  if (cleaned.length > 0) {
    const most = Math.floor((1 - AUTHORS_SHARE) * cleaned.length + 1e-9);
    const found = `${unclean.length} of ${cleaned.length} strings`;
    report.add("cleaned texts", unclean.length <= most, found, `<= ${most}`);
  }
  for (const { text, cleaned: expected } of unclean) {
    report.note(`cleaned ${quote(text)}: ${quote(cleanText(text))}, not ${quote(expected ?? "")}`);
  }

  const decoded = (reference.decode ?? []).filter(({ ids, text }) => {
    const actual = attempt(() => authors.decode(ids));
    if (actual !== text) report.add(`decode [${ids}]`, false, quote(actual), quote(text));
    return actual === text;
  });
  if (decoded.length > 0) {
    report.same("decoded ids", true, `${decoded.length} of ${reference.decode?.length} lists`);
  }
}

function encode(tokenizer: Tokenizer, text: string): string {
  return attempt(() => tokenizer.encode(text).join());
}

function attempt(make: () => string): string {
  try {
    return make();
  } catch (error) {
    return `error: ${(error as Error).message}`;
  }
}

function quote(text: string): string {
  const shown = JSON.stringify(text);
  return shown.length > 60 ? `${shown.slice(0, 57)}..."` : shown;
}
