// Character references of HTML ("&amp;", "&#8212;", "&eacute;") back to characters, in the two ways of
// the authors' pipeline: Python's `html.unescape`, and the cautious one of ftfy.

import { HTML_ENTITIES } from "./data/html-entities.js";

/** Text of every named reference; those valid without a semicolon are in `LEGACY_NAMES` too. */
const CHARACTERS = new Map<string, string>();
const LEGACY_NAMES = new Set<string>();

for (const item of HTML_ENTITIES.split(" ")) {
  const [, name, mark, codes] = /^(\w+)([:!])(.+)$/.exec(item)!;
  const points = codes!.split("+").map((code) => Number.parseInt(code, 16));
  CHARACTERS.set(name!, String.fromCodePoint(...points));
  if (mark === "!") LEGACY_NAMES.add(name!);
}

/** What browsers make of the numbers 0x80 to 0x9f: windows-1252. Bytes without a character stay. */
const C1_REFERENCES = "€\u0081‚ƒ„…†‡ˆ‰Š‹Œ\u008dŽ\u008f\u0090‘’“”•–—˜™š›œ\u009džŸ";

function numericReference(body: string): string {
  const hex = body[1] === "x" || body[1] === "X";
  const code = Number.parseInt(hex ? body.slice(2) : body.slice(1), hex ? 16 : 10);
  if (code === 0 || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return "\ufffd";
  if (code >= 0x80 && code <= 0x9f) return C1_REFERENCES[code - 0x80]!;
  if (code === 0x0d) return "\r";
  const forbidden =
    code < 0x09 ||
    code === 0x0b ||
    (code >= 0x0e && code <= 0x1f) ||
    code === 0x7f ||
    (code >= 0xfdd0 && code <= 0xfdef) ||
    (code & 0xfffe) === 0xfffe;
  return forbidden ? "" : String.fromCodePoint(code);
}

function namedReference(body: string): string {
  if (body.endsWith(";")) {
    const whole = CHARACTERS.get(body.slice(0, -1));
    if (whole !== undefined) return whole;
  }
  // The longest beginning that is valid without a semicolon: "&notit;" is "¬it;".
  for (let end = body.length; end > 1; end--) {
    const name = body.slice(0, end);
    if (LEGACY_NAMES.has(name)) return CHARACTERS.get(name)! + body.slice(end);
  }
  return `&${body}`;
}

const REFERENCE = /&(#[0-9]+;?|#[xX][0-9a-fA-F]+;?|[^\t\n\f <&#;]{1,32};?)/g;

/** HTML 5's rules for character references in text, as Python's `html.unescape` has them. */
export function unescapeHtml(text: string): string {
  if (!text.includes("&")) return text;
  return text.replace(REFERENCE, (_, body: string) =>
    body.startsWith("#") ? numericReference(body) : namedReference(body),
  );
}

const CLOSED_REFERENCE = /&(#?[0-9A-Za-z]{1,24});/g;

/**
 * Replaces only references that end in a semicolon, and the lower-case names written in capitals
 * ("P&EACUTE;REZ"), as ftfy 6.3.1 does: "this&not that" stays.
 */
export function unescapeClosedHtml(text: string): string {
  if (!text.includes("&")) return text;
  return text.replace(CLOSED_REFERENCE, (reference: string, body: string) => {
    if (body.startsWith("#")) {
      const character = unescapeHtml(reference);
      return character.includes(";") ? reference : character;
    }
    const character = CHARACTERS.get(body);
    if (character !== undefined) return character;
    const lower = body.toLowerCase();
    const lowerCharacter = CHARACTERS.get(lower);
    const isCapitals =
      lowerCharacter !== undefined &&
      lower.toUpperCase() === body &&
      unescapeHtml(reference) === reference;
    return isCapitals ? lowerCharacter.toUpperCase() : reference;
  });
}
