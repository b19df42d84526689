import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { cleanText, composeCharacters } from "./clean-text.js";
import { CODE_PAGES } from "./data/code-pages.js";
import { unescapeClosedHtml, unescapeHtml } from "./html.js";
import { repairEncoding } from "./mojibake.js";

interface Case {
  readonly text: string;
  readonly cleaned: string;
}

// Recorded from the authors' code with ftfy 6.3.1 and Python's html module.
const { cases } = JSON.parse(readFileSync("test/fixtures/tokenizer/cases.json", "utf8")) as {
  cases: Case[];
};

const MILLION = 1_000_000;

describe("cleanText", () => {
  it("cleans all 452 recorded strings as the authors' code does", () => {
    expect(cases).toHaveLength(452);
    for (const { text, cleaned } of cases) expect(cleanText(text)).toBe(cleaned);
  });

  it("leaves no lone surrogate, control character or double space, whatever it is given", () => {
    const pieces = [
      "Ã",
      "©",
      "ƒ",
      "&amp;",
      "&#x",
      ";",
      "<",
      "\ud800",
      "\udc00",
      "\n",
      "\x1b[",
      "1m",
    ];
    const text = fc.oneof(
      fc.string({ unit: "binary" }),
      fc.array(fc.constantFrom(...pieces)).map((parts) => parts.join("")),
    );
    fc.assert(
      fc.property(text, (input) => {
        const cleaned = cleanText(input);
        // A reference of the 2nd pass may be a C1 control or U+FEFF, as in Python.
        // biome-ignore lint/suspicious/noControlCharactersInRegex: they must not be there.
        expect(cleaned).not.toMatch(/[\0-\x1f\x7f]|^ | $| {2}/);
        expect(cleaned).not.toMatch(/\p{Surrogate}/u);
      }),
      { seed: 1, numRuns: 2000 },
    );
  });

  it("changes nothing but case and white space in plain ASCII", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme-ascii" }), (input) => {
        fc.pre(!input.includes("&"));
        expect(cleanText(input)).toBe(input.replace(/ +/g, " ").trim().toLowerCase());
      }),
      { seed: 2 },
    );
  });

  it("treats each line by itself until a line looks like HTML", () => {
    expect(cleanText("cafÃ©\nnaïve")).toBe("café naïve");
    // Python's html.unescape comes twice after ftfy's, so the fourth level survives only after "<".
    expect(cleanText("&amp;amp;amp;lt;")).toBe("<");
    expect(cleanText("<b>\n&amp;amp;amp;lt;")).toBe("<b> &amp;lt;");
  });

  it("needs linear time for hostile strings of a million characters", () => {
    const hostile = [
      `&amp;${"amp;".repeat(MILLION / 4)}`,
      `Ã${"ƒ".repeat(MILLION)}`,
      `a${"\u0301\u0323".repeat(MILLION / 2)}`,
      "Ãƒ".repeat(MILLION / 2),
      "\x1b[".repeat(MILLION / 2),
      "&".repeat(MILLION),
      "Ã©\n".repeat(MILLION / 3),
      `${" ".repeat(MILLION)}x`,
    ];
    for (const text of hostile) {
      const start = performance.now();
      cleanText(text);
      // Measured: 3 s at most. Quadratic time would be hours.
      expect(performance.now() - start).toBeLessThan(30_000);
    }
  }, 120_000);
});

describe("composeCharacters", () => {
  it("is NFC, also where it cuts a text into pieces", () => {
    for (const text of ["e\u0301\u0302", "q\u0307\u0323", "\u1112\u1161\u11ab", "a한\u0301"]) {
      expect(composeCharacters(text)).toBe(text.normalize("NFC"));
      const long = `x${"\u0301".repeat(256)}y${text}`;
      expect(composeCharacters(long)).toBe(long.normalize("NFC"));
    }
  });
});

/** What a text looks like whose UTF-8 bytes were read in a code page. */
function misread(text: string, pageName: string): string {
  const { upper } = CODE_PAGES.find(({ name }) => name === pageName)!;
  const bytes = [...new TextEncoder().encode(text)];
  return bytes
    .map((byte) => (byte < 0x80 ? String.fromCharCode(byte) : upper[byte - 0x80]))
    .join("");
}

const repair = (text: string) => repairEncoding(text, { left: 1e6 });

describe("repairEncoding", () => {
  it.each([
    ["latin-1", "Überall schöne Mädchen und Füße"],
    ["windows-1252", "“Съешь ещё” — этих мягких французских булок, là-bas"],
    ["windows-1251", "дороге Из-под #футбол"],
    ["windows-1250", "Liège, avenue de l'Hôpital"],
    ["windows-1253", "it’s — or isn’t"],
    ["windows-1254", "İstanbul’da güneşli"],
    ["windows-1257", "it’s “Rīga”"],
    ["iso-8859-2", "Mám dost třetího tisíciletí"],
    ["macroman", "gâteaux pour un régime équilibré"],
    ["cp437", "#правильноепитание"],
  ])("mends text that was read as %s", (page, sentence) => {
    expect(repair(misread(sentence, page))).toBe(sentence);
  });

  it("mends text that was misread twice", () => {
    const twice = misread(misread("Él no está — aquí", "windows-1252"), "windows-1252");
    expect(repair(twice)).toBe("Él no está — aquí");
  });

  it.each([
    ["C1 controls meant as windows-1252", "so\u0085 \u0093quoted\u0094", "so… “quoted”"],
    ["parts of a text", "Ã©tÃ© à l’Ã©cole – été", "été à l’école – été"],
    ["a no-break space that became a space", "voilÃ le travail", "voilà le travail"],
    ["one that ended a word of its own", "Ã la rÃ©flexion", "à la réflexion"],
    ["Portuguese, where it is part of the word", "atenÃ§Ã£o Ã s crianÃ§as", "atenção às crianças"],
    ["a lost byte", "â€œ quoted â€\ufffd", "“ quoted \ufffd"],
    ["a surrogate pair in CESU-8", "Hi í\u00a0½í¸\u008d", "Hi 😍"],
    ["Java's zero byte", "a\u00c0\u0080b Ã©", "a\0b é"],
  ])("mends %s", (_, broken, mended) => {
    expect(repair(broken)).toBe(mended);
  });

  // Real words and faces that only look like misread text.
  it.each([
    "Charlotte Brontë…”",
    "AHÅ™, the new sofa",
    "MARQUÉ…",
    "SÓ…",
    "4288×…",
    "a radius of 10 Å—",
    "NESTLÉ®",
    "5×£35",
    "( o¬ô )",
    "∆°",
    "C O N C L U S Ã O",
    "ВІКІ",
    "ПоздравЂаво",
    "HÅØYA ER BLÅØYD",
    "L’épisode",
    "日本語のテキスト",
  ])("leaves %s alone", (text) => {
    expect(repair(text)).toBe(text);
  });

  it("stops when its budget is spent", () => {
    const budget = { left: 100 };
    repairEncoding(`Ã${"ƒ".repeat(60)}`, budget);
    expect(budget.left).toBeLessThanOrEqual(0);
    expect(budget.left).toBeGreaterThan(-100);
  });
});

describe("HTML references", () => {
  it.each([
    ["&lt;&LT;&ltx", "<<<x"],
    ["&notit; &notin;", "¬it; ∉"],
    ["&NotEqualTilde;", "≂̸"],
    ["&#8212;&#x2014;&#X2014", "———"],
    ["&#0;&#xD800;&#x110000;&#99999999999999999999;", "\ufffd\ufffd\ufffd\ufffd"],
    ["&#128;&#x81;&#13;", "€\u0081\r"],
    ["a&#1;b&#xfffe;c&#x1fffff;", "abc\ufffd"],
    ["&unknown; & &; &#; &#x;", "&unknown; & &; &#; &#x;"],
  ])("unescapeHtml(%j)", (text, expected) => {
    expect(unescapeHtml(text)).toBe(expected);
  });

  it.each([
    ["this&not that &amp", "this&not that &amp"],
    ["P&EACUTE;REZ &NTILDE; &nTILDE;", "PÉREZ Ñ &nTILDE;"],
    ["STRA&SZLIG;E", "STRASSE"],
    ["&#39;&#x;", "'&#x;"],
  ])("unescapeClosedHtml(%j)", (text, expected) => {
    expect(unescapeClosedHtml(text)).toBe(expected);
  });
});
