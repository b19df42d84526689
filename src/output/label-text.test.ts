import fc from "fast-check";
import { expect, test } from "vitest";
import { cleanLabel, percent, shorten } from "./label-text.js";

test("what steers terminals or hides in text is taken out", () => {
  expect(cleanLabel("\x1b[31mred\x1b[0m")).toBe("[31mred[0m");
  expect(cleanLabel("a\u202egnp.b\u200b")).toBe("agnp.b");
  expect(cleanLabel("  two\n\tlines\u2028here ")).toBe("two lines here");
  expect(cleanLabel("e\u0301")).toBe("é");
  expect(cleanLabel("\ud800")).toBe("(empty)");
  expect(cleanLabel("\0")).toBe("(empty)");
});

test("a label of 1,000 characters is cut to 200, the last an ellipsis", () => {
  const cut = cleanLabel("😀".repeat(1000));
  expect([...cut].length).toBe(200);
  expect(cut.endsWith("😀…")).toBe(true);
});

test("any string becomes one visible line", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 300 }), (text) => {
      const clean = cleanLabel(text);
      expect(clean).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u);
      expect([...clean].length).toBeGreaterThan(0);
      expect([...clean].length).toBeLessThanOrEqual(200);
    }),
    { seed: 9, numRuns: 500 },
  );
});

test("shortening keeps what fits exactly and makes room for the ellipsis otherwise", () => {
  const one = () => 1;
  expect(shorten("abcde", 5, one)).toBe("abcde");
  expect(shorten("abcdef", 5, one)).toBe("abcd…");
  expect(shorten("ab cdef", 4, one)).toBe("ab…");
  expect(shorten("", 0, one)).toBe("");
});

test("percent", () => {
  expect([1, 0.3742, 0.0005, 0.0004, 0].map(percent)).toEqual([
    "100.0%",
    "37.4%",
    "0.1%",
    "<0.1%",
    "0.0%",
  ]);
});
