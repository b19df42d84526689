// Repairs UTF-8 that somebody read in another encoding ("cafÃ©"), by the rules of ftfy 6.3.1 (R. Speer,
// Apache-2.0): a list of unlikely neighbours says that a text is broken, and the first encoding in
// which it becomes valid UTF-8 mends it.

import { CODE_PAGES } from "./data/code-pages.js";

/** Bounds the repair of one text, so that hostile input cannot make it quadratic. */
export interface Budget {
  /** Code units that may still be looked at. */
  left: number;
}

// The characters that misread UTF-8 consists of, by the role that they have in ordinary text.
const ROLES: Record<string, string> = {
  // Anywhere: no-break space, soft hyphen, dashes, ellipsis, apostrophe.
  o: "\u00a0\u00ad·´–—―…’",
  // C1 control characters.
  c: "\u0080-\u009f",
  // Hardly ever meant.
  b: "¦¤¨¬¯¸ƒˆˇ˘˛˜†‡‰⌐◊\ufffdªº",
  l: "¶§",
  // Currencies.
  m: "¢£¥₧€",
  // Before a word, and after it.
  s: "¡«¿©΄΅‘‚“„•‹\uf8ff",
  e: "®»˝”›™",
  // Numbers and mathematics.
  n: "²³¹±¼½¾×µ÷⁄∂∆∏∑√∞∩∫≈≠≡≤≥№",
  // Faces drawn with letters.
  k: "Ò-ÖÙ-Üò-öø-üŐŌŪŲ°",
  U: "\u00c0-\u00d1ØÜÝĂĀĄĆČĎĐĘĚĒĖĞĢİĪĶĹĽŁĻŃŇŅŒŘŚŞŠŢŤŮŰŸŹŻŽҐ",
  u: "ß\u00e0-\u00f1ăąāćčďđęěēėğģįīķĺľłļœŕśşšťüźżžґﬁﬂ",
  // Letters of other scripts, capital and small.
  G: "ÞΑ-ΩΆΈΉΊΌΎΏΪΫЁ-Я",
  g: "α-ωάέήίΰа-џ",
  // Box drawing.
  x: "│┌┐┘├┤┬┼═-╬▀▄█▌▐░▒▓",
};

/** A character class of several roles and single characters. */
function anyOf(roles: string, characters = ""): string {
  return `[${[...roles].map((role) => ROLES[role]).join("")}${characters}]`;
}

const SPACE =
  "[\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]";
const ARABIC = `[ØÙ]${anyOf("ombns", "ŸŠ®°µ»")}`;

// Every line is a sequence that hardly occurs in intended text.
const UNLIKELY = new RegExp(
  [
    anyOf("c"),
    anyOf("buUxsemnl") + anyOf("b"),
    `[a-zA-Z]${anyOf("gG")}${anyOf("b")}`,
    anyOf("b") + anyOf("uUxsemnl"),
    anyOf("ugxemn") + anyOf("U"),
    anyOf("xemn") + anyOf("u"),
    anyOf("uxe") + anyOf("m"),
    SPACE + anyOf("U") + anyOf("m"),
    anyOf("Ux") + anyOf("nl"),
    anyOf("uUxme") + anyOf("s") + anyOf("n"),
    anyOf("uUmnxl") + anyOf("e") + anyOf("s"),
    anyOf("mnx") + anyOf("s"),
    `[a-z]${anyOf("U")}${anyOf("sm")}`,
    anyOf("x") + anyOf("k"),
    anyOf("uUmnsel") + anyOf("x"),
    anyOf("x") + anyOf("e"),
    `${anyOf("uU")}${anyOf("se")}[\\p{L}\\p{N}_]`,
    "[Œœ][^A-Za-z]",
    `${anyOf("U")}°`,
    // Pairs of windows-1252.
    `[ÂÃÎÐ]${anyOf("se", "€œŠš¢£Ÿž\\xa0\\xad®©°·»–—´")}`,
    "×[²³]",
    ARABIC + ARABIC,
    "à[²µ¹¼½¾]",
    // MacRoman.
    "√[±∂†≠®™´≤≥¥µø]",
    "≈[°¢]",
    "‚Ä[ìîïòôúùû†°¢π]",
    "‚[âó][àä°ê]",
    // Windows-1251.
    "вЂ",
    `[ВГРС]${anyOf("cbsem", "°µ")}[ВГРС]`,
    "ГўВЂВ[^\\n][A-Za-z ]",
    // "à", "á" and the no-break space in windows-1252, also where that has become a plain space.
    "Ã[\\xa0¡]",
    `[a-z]${SPACE}?[ÃÂ] `,
    "^[ÃÂ] ",
    `${anyOf("e", "a-z.,?!")}Â${anyOf("se", " ")}`,
    // Windows-1253 and windows-1257.
    "β€[™\\xa0Ά\\xad®°]",
    `[ΒΓΞΟ]${anyOf("cbsem", "°")}[ΒΓΞΟ]`,
    "ā€",
  ].join("|"),
  "u",
);

const NOT_ASCII = /[^\0-\x7f]/;

/** Whether a text looks like UTF-8 that was read in another encoding. */
export function looksBroken(text: string): boolean {
  return NOT_ASCII.test(text) && UNLIKELY.test(text);
}

/** Byte of every character (BMP) that a code page has; 0 where it has none. */
const ENCODERS = CODE_PAGES.map((page) => {
  const bytes = new Uint8Array(0x10000);
  for (let code = 1; code < 0x80; code++) bytes[code] = code;
  for (let i = 0; i < 128; i++) bytes[page.upper.charCodeAt(i)] = 0x80 + i;
  if (page.lossy) {
    bytes[0xfffd] = 0x1a;
    bytes[0x1a] = 0;
  }
  return bytes;
});

/** The bytes of a text in a code page as a string of U+0000 to U+00ff; null if a character is missing. */
function encode(text: string, encoder: Uint8Array): string | null {
  const parts: string[] = [];
  const chunk = new Uint8Array(Math.min(text.length, 4096));
  let used = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    const byte = encoder[code]!;
    if (byte === 0 && code !== 0) return null;
    if (used === chunk.length) {
      parts.push(String.fromCharCode(...chunk));
      used = 0;
    }
    chunk[used++] = byte;
  }
  parts.push(String.fromCharCode(...chunk.subarray(0, used)));
  return parts.join("");
}

const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

// Bytes (here characters up to U+00ff) that are UTF-8 but for a no-break space turned into a space.
const SPACE_FOR_A0 = new RegExp(
  [
    "[\\xc2\\xc3\\xc5\\xce\\xd0\\xd9] ",
    "[\\xe2\\xe3] [\\x80-\\x84\\x86-\\x9f\\xa1-\\xbf]",
    "[\\xe0-\\xe3][\\x80-\\x84\\x86-\\x9f\\xa1-\\xbf] ",
    "\\xf0 [\\x80-\\xbf]{2}",
    "\\xf0[\\x80-\\xbf] [\\x80-\\xbf]",
    "\\xf0[\\x80-\\xbf]{2} ",
  ].join("|"),
  "g",
);
// " Ã la" is "à la" with its space, but the Portuguese "às" and "àquele" are one word.
const A_GRAVE = /\xc3 (?! |quele|quela|quilo|s )/g;

// UTF-8 and CESU-8 sequences of which a byte is lost: 0x1a, in some places a question mark.
const LOST = "[\\x1a\\x80-\\xbf]";
const LOST_BYTES = new RegExp(
  [
    "[\\xc2-\\xdf]\\x1a",
    "[\\xc2\\xc3]\\?",
    "\\xed[\\xa0-\\xaf][\\x1a?]\\xed[\\xb0-\\xbf][\\x1a?\\x80-\\xbf]",
    "\\xed[\\xa0-\\xaf][\\x1a?\\x80-\\xbf]\\xed[\\xb0-\\xbf][\\x1a?]",
    `[\\xe0-\\xef][\\x1a?]${LOST}`,
    `[\\xe0-\\xef]${LOST}[\\x1a?]`,
    `[\\xf0-\\xf4][\\x1a?]${LOST}{2}`,
    `[\\xf0-\\xf4]${LOST}[\\x1a?]${LOST}`,
    `[\\xf0-\\xf4]${LOST}{2}[\\x1a?]`,
    "\\x1a",
  ].join("|"),
  "g",
);

// CESU-8: a surrogate pair of which each half was written as three bytes.
const SURROGATE_BYTES = /\xed([\xa0-\xaf])([\x80-\xbf])\xed([\xb0-\xbf])([\x80-\xbf])/g;

/** Text of UTF-8 bytes, CESU-8 and Java's two-byte U+0000 included; null where they are invalid. */
function decode(bytes: string): string | null {
  const plain = bytes
    .replaceAll("\xc0\x80", "\0")
    .replace(SURROGATE_BYTES, (_, a: string, b: string, c: string, d: string) => {
      const high = ((a.charCodeAt(0) & 0x0f) << 6) | (b.charCodeAt(0) & 0x3f);
      const low = ((c.charCodeAt(0) & 0x0f) << 6) | (d.charCodeAt(0) & 0x3f);
      const code = 0x10000 + (high << 10) + low;
      return String.fromCharCode(
        0xf0 | (code >> 18),
        0x80 | ((code >> 12) & 0x3f),
        0x80 | ((code >> 6) & 0x3f),
        0x80 | (code & 0x3f),
      );
    });
  const array = new Uint8Array(plain.length);
  for (let i = 0; i < plain.length; i++) array[i] = plain.charCodeAt(i);
  try {
    return UTF8.decode(array);
  } catch {
    return null;
  }
}

// Where UTF-8 sequences may hide in text that is no consistent encoding: what the bytes of such a
// sequence look like in any of the Latin-1-like code pages.
const STARTS_2 = 1;
const STARTS_3 = 2;
const STARTS_4 = 4;
const CONTINUES = 8;
/** A continuation that does not stand for itself beside misread text, as dashes and quotes do. */
const CONTINUES_ONLY = 16;
const BYTE_ROLES = new Uint8Array(0x2200);

for (const page of CODE_PAGES) {
  if (page.name !== "latin-1" && !page.lossy) continue;
  for (let byte = 0x80; byte <= 0xf3; byte++) {
    const code = page.upper.charCodeAt(byte - 0x80);
    if (byte <= 0xbf) {
      const isPunctuation = /[–—―‘’‚“”„•…]/.test(page.upper[byte - 0x80]!);
      BYTE_ROLES[code]! |= isPunctuation ? CONTINUES : CONTINUES | CONTINUES_ONLY;
    } else if (byte >= 0xc2 && byte <= 0xdf) BYTE_ROLES[code]! |= STARTS_2;
    else if (byte >= 0xe0 && byte <= 0xef) BYTE_ROLES[code]! |= STARTS_3;
    else if (byte === 0xf0 || byte === 0xf3) BYTE_ROLES[code]! |= STARTS_4;
  }
}
BYTE_ROLES[0x20]! |= CONTINUES;

/** Length of the UTF-8-like sequence at a position, 0 if there is none. */
function sequenceLength(text: string, at: number): number {
  const start = BYTE_ROLES[text.charCodeAt(at)] ?? 0;
  const following = start & STARTS_2 ? 1 : start & STARTS_3 ? 2 : start & STARTS_4 ? 3 : 0;
  if (following === 0 || at + following >= text.length) return 0;
  for (let i = 1; i <= following; i++) {
    if (!((BYTE_ROLES[text.charCodeAt(at + i)] ?? 0) & CONTINUES)) return 0;
  }
  return following + 1;
}

/** Repairs each run of UTF-8-like sequences by itself. */
function repairParts(text: string, budget: Budget): string {
  let repaired = "";
  let copied = 0;
  for (let at = 0; at < text.length; at++) {
    // After a continuation this would take a few characters out of a larger muddle.
    const before = at === 0 ? 0 : (BYTE_ROLES[text.charCodeAt(at - 1)] ?? 0);
    if (before & CONTINUES_ONLY) continue;
    let end = at;
    for (let length = sequenceLength(text, at); length > 0; length = sequenceLength(text, end)) {
      end += length;
    }
    if (end === at) continue;
    const part = text.slice(at, end);
    if (part.length < text.length && looksBroken(part)) {
      repaired += text.slice(copied, at) + repairEncoding(part, budget);
      copied = end;
    }
    at = end - 1;
  }
  return repaired + text.slice(copied);
}

/** C1 control characters read as windows-1252, as browsers do. */
export function replaceC1Controls(text: string): string {
  const page = CODE_PAGES.find(({ name }) => name === "windows-1252")!;
  return text.replace(/[\x80-\x9f]/g, (control) => page.upper[control.charCodeAt(0) - 0x80]!);
}

function repairOnce(text: string, budget: Budget): string {
  if (!looksBroken(text)) return text;
  for (const [i, page] of CODE_PAGES.entries()) {
    let bytes = encode(text, ENCODERS[i]!);
    if (bytes === null) continue;
    // In MacRoman an en dash before a space would look like such a sequence.
    if (page.name !== "macroman" && bytes.search(SPACE_FOR_A0) >= 0) {
      bytes = bytes
        .replace(A_GRAVE, "\xc3\xa0 ")
        .replace(SPACE_FOR_A0, (sequence) => sequence.replaceAll(" ", "\xa0"));
    }
    if (page.lossy) bytes = bytes.replace(LOST_BYTES, "\xef\xbf\xbd");
    const decoded = decode(bytes);
    if (decoded !== null) return decoded;
  }
  const parts = repairParts(text, budget);
  return parts === text ? replaceC1Controls(text) : parts;
}

/**
 * Repairs misread UTF-8 until nothing looks broken any more.
 *
 * @example
 * repairEncoding("cafÃ©", { left: 1000 }); // "café"
 */
export function repairEncoding(text: string, budget: Budget): string {
  let current = text;
  while (budget.left > 0) {
    budget.left -= current.length;
    const repaired = repairOnce(current, budget);
    if (repaired === current) break;
    current = repaired;
  }
  return current;
}
