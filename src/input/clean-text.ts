// Cleans a text as the authors' tokenizer does before it splits it: ftfy 6.3.1's repairs, HTML
// references, white space, lower case. Hugging Face's tokenizer has none of this but the last two.

import { unescapeClosedHtml, unescapeHtml } from "./html.js";
import { type Budget, repairEncoding, replaceC1Controls } from "./mojibake.js";

/** Longest piece that is repaired as a whole (ftfy's `max_decode_length`). */
const SEGMENT_LENGTH = 1_000_000;
/**
 * Repairs are repeated until nothing changes, which hostile text ("&amp;amp;amp;...") can draw out:
 * each text may be looked at for this many code units in all, and at least `MIN_PASSES` times.
 */
const REPAIR_BUDGET = 1 << 22;
const MIN_PASSES = 16;

const LIGATURES = /[ĲĳŉǄ-ǌǱ-ǳﬀ-ﬆ]/g;
const WIDE_FORMS = /[\u3000\uff01-\uffef]/g;
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is removed.
const TERMINAL_ESCAPES = /\x1b\[[\p{Nd};]*[a-zA-Z]/gu;
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is removed.
const CONTROLS = /[\0-\x08\x0b\x0e-\x1f\x7f\u206a-\u206f\ufeff\ufff9-\ufffc]/g;
const LONE_SURROGATES = /\p{Surrogate}/gu;

/** Combining marks in a row beyond which normalisation, quadratic in them, is done piecewise. */
const MAX_MARKS = 256;
const MANY_MARKS = new RegExp(`(?<!\\p{M})\\p{M}{${MAX_MARKS},}`, "u");
const MARK_PIECES = new RegExp(`\\p{M}{1,${MAX_MARKS}}|\\P{M}+(?:\\p{M}{1,${MAX_MARKS}})?`, "gu");

/** Unicode normal form C, in linear time: a run of more than 256 combining marks is cut up. */
export function composeCharacters(text: string): string {
  if (!MANY_MARKS.test(text)) return text.normalize("NFC");
  return text.replace(MARK_PIECES, (piece) => piece.normalize("NFC"));
}

function replaceLigature(ligature: string): string {
  return ligature === "ﬅ" ? "ſt" : ligature.normalize("NFKC");
}

/** One line, repaired until nothing changes. */
function fixSegment(segment: string, isHtml: boolean, budget: Budget): string {
  let text = segment;
  while (budget.left > 0) {
    const before = text;
    budget.left -= text.length;
    if (!isHtml) text = unescapeClosedHtml(text);
    text = repairEncoding(text, budget);
    text = replaceC1Controls(text)
      .replace(LIGATURES, replaceLigature)
      .replace(WIDE_FORMS, (form) => (form === "\u3000" ? " " : form.normalize("NFKC")))
      .replace(/[\u201c-\u201f]/g, '"')
      .replace(/[\u02bc\u2018-\u201b]/g, "'")
      .replace(/\r\n|[\r\u2028\u2029\x85]/g, "\n")
      .replace(LONE_SURROGATES, "\ufffd")
      .replace(TERMINAL_ESCAPES, "")
      .replace(CONTROLS, "");
    text = composeCharacters(text);
    if (text === before) break;
  }
  return text;
}

/** Whether there is nothing to repair: most prompts and lines. */
function isPlain(text: string): boolean {
  return /^[ -~\n]*$/.test(text) && !text.includes("&");
}

/** The repairs of ftfy 6.3.1's `fix_text` with its default settings, line by line. */
function fixText(text: string): string {
  const budget: Budget = { left: Math.max(REPAIR_BUDGET, MIN_PASSES * text.length) };
  const fixed: string[] = [];
  // From the first "<" on the text counts as HTML, whose references are intended.
  let isHtml = false;
  for (let at = 0; at < text.length; ) {
    const lineEnd = text.indexOf("\n", at) + 1 || text.length;
    const end = Math.min(lineEnd, at + SEGMENT_LENGTH);
    const segment = text.slice(at, end);
    isHtml ||= segment.includes("<");
    fixed.push(isPlain(segment) ? segment : fixSegment(segment, isHtml, budget));
    at = end;
  }
  return fixed.join("");
}

/** White space to single spaces, none at the ends. */
function collapseSpaces(text: string): string {
  return text.replace(/\p{White_Space}+/gu, " ").replace(/^ | $/g, "");
}

/**
 * Cleans a text as the authors' tokenizer does: repairs it (curly quotes, misread encodings, ligatures,
 * full-width forms, control characters, NFC), replaces HTML references twice, collapses white space and
 * lowers the case. Takes linear time; lone surrogates become U+FFFD.
 *
 * @example
 * cleanText("  Don\u2019t  &amp;amp; CAFÃ©"); // "don't & café"
 */
export function cleanText(text: string): string {
  const repaired = isPlain(text) ? text : unescapeHtml(unescapeHtml(fixText(text)));
  return collapseSpaces(repaired).toLowerCase();
}
