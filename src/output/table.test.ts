import fc from "fast-check";
import { expect, test } from "vitest";
import { formatTable, textColumns } from "./table.js";

const blue = [47, 126, 216] as const;

test("the layout, to the character", () => {
  const rows = [
    { label: "golden retriever", area: 0.374, score: 0.91, rgb: blue },
    { label: "sky", area: 0.0001, score: 0.5, rgb: blue },
    { label: "猫", area: 0, score: 0, rgb: blue },
  ];
  expect(formatTable(rows, { color: false, width: 50 })).toBe(
    [
      "label               area  score",
      "golden retriever   37.4%  0.910  ███████████████▌",
      "sky                <0.1%  0.500  ████████▌",
      "猫                  0.0%  0.000",
    ].join("\n"),
  );
});

test("colour only when asked for", () => {
  const rows = [{ label: "\x1b[31mcat\x1b]0;title\x07", area: 0.5, score: 1, rgb: blue }];
  expect(formatTable(rows, { color: false, width: 60 })).not.toContain("\x1b");
  const coloured = formatTable(rows, { color: true, width: 60 });
  expect(coloured.split("\n")[1].startsWith("\x1b[38;2;47;126;216m■\x1b[0m [31mcat]0;title")).toBe(
    true,
  );
});

test("wide, combining and half-width characters are counted as terminals draw them", () => {
  expect(["abc", "猫犬", "e\u0301", "한국", "ｶﾅ", "😀", "Ａ", "…"].map(textColumns)).toEqual([
    3, 4, 1, 4, 2, 2, 2, 1,
  ]);
});

test("no line is wider than asked, and the columns line up", () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.record({
          label: fc.string({ unit: "grapheme", maxLength: 120 }),
          area: fc.double({ min: 0, max: 1, noNaN: true }),
          score: fc.double({ min: 0, max: 1, noNaN: true }),
          rgb: fc.constant(blue),
        }),
        { maxLength: 6 },
      ),
      fc.integer({ min: 40, max: 120 }),
      fc.boolean(),
      (rows, width, color) => {
        const lines = formatTable(rows, { color, width }).split("\n");
        expect(lines.length).toBe(rows.length + 1);
        // biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences are the subject
        const plain = lines.map((line) => line.replace(/\x1b\[[\d;]*m/g, ""));
        for (const line of plain) expect(textColumns(line)).toBeLessThanOrEqual(width);
        const ends = plain
          .slice(1)
          .map((line) => textColumns(line.slice(0, line.lastIndexOf("%"))));
        expect(new Set(ends).size).toBeLessThanOrEqual(1);
      },
    ),
    { seed: 10, numRuns: 200 },
  );
});

test("an impossible width is refused", () => {
  expect(() => formatTable([], { color: false, width: 20 })).toThrow(/width 20/);
});
