import { describe, expect, test } from "vitest";
import { decodeYolo, decodeYoloNames, encodeYolo, encodeYoloNames } from "./yolo.js";

const picture = {
  width: 4,
  height: 3,
  map: Uint8Array.of(2, 1, 1, 1, 0, 1, 0, 1, 0, 1, 1, 1),
  labels: ["ring", "dot"],
  background: true,
};

describe("lines", () => {
  test("one for each region, large ones first, holes joined by a cut", () => {
    const { text, iou } = encodeYolo(picture);
    expect(text.split("\n")).toEqual([
      // From (1, 0) around; the hole is reached from (1, 2), in shares of 4 x 3 pixels.
      "0 0.25 0 1 0 1 1 0.25 1 0.25 0.666667 0.5 0.666667 0.75 0.666667 0.75 0.333333 0.5 0.333333 " +
        "0.5 0.666667 0.25 0.666667",
      "1 0 0 0.25 0 0.25 0.333333 0 0.333333",
      "",
    ]);
    expect(iou).toEqual([1, 1]);
    expect(decodeYolo(text, picture).map).toEqual(picture.map);
  });

  test("reads the example of the format's documentation", () => {
    // docs.ultralytics.com/datasets/segment: a polygon of 3 and one of 5 points.
    const text = `0 0.681 0.485 0.670 0.487 0.676 0.487
1 0.504 0.000 0.501 0.004 0.498 0.004 0.493 0.010 0.492 0.0104`;
    const { map } = decodeYolo(text, { width: 1000, height: 1000, labels: ["a", "b"] });
    // Row 485: sides from (681, 485) to (670, 487) and (676, 487), at 678.25 and 679.75.
    const row = (y: number) => [...map.subarray(1000 * y, 1000 * (y + 1))];
    expect([row(485).indexOf(1), row(485).lastIndexOf(1)]).toEqual([678, 679]);
    // Row 486: at 672.75 and 677.25.
    expect([row(486).indexOf(1), row(486).lastIndexOf(1)]).toEqual([673, 676]);
    expect(row(2).includes(2)).toBe(true);
    expect(map.filter((v) => v === 1)).toHaveLength(6);
  });

  test.each([
    ["a class without name", "2 0 0 1 0 1 1", /line 1: class "2" has no name; use 0 to 1/],
    ["a class that is no number", "\n-1 0 0 1 0 1 1", /line 2: class "-1"/],
    ["a box", "0 0.5 0.5 0.1 0.1", /4 coordinates are no polygon/],
    ["half a corner", "0 0 0 1 0 1 1 0", /7 coordinates/],
    ["pixels", "0 0 0 12 0 12 9", /coordinate "12"; give shares/],
    ["hexadecimal", "0 0 0 0x1 0 1 1", /coordinate "0x1"/],
    ["no number", "0 0 0 . 0 1 1", /coordinate "\."/],
  ])("refuses %s", (_, text, message) => {
    expect(() => decodeYolo(text, picture)).toThrow(message);
  });
});

describe("data.yaml", () => {
  test("names in quotes, and what they cannot hold as escapes", () => {
    const names = [
      "dog",
      'say "a\\b"',
      "two\nlines: - #",
      "NUL\0\u0085\u2028",
      "日本 😀",
      "\u{e0001}",
    ];
    expect(encodeYoloNames(names)).toBe(`train: images/train
val: images/val
names:
  0: "dog"
  1: "say \\"a\\\\b\\""
  2: "two\\u000alines: - #"
  3: "NUL\\u0000\\u0085\\u2028"
  4: "日本 😀"
  5: "\\U000e0001"
`);
    expect(decodeYoloNames(encodeYoloNames(names))).toEqual(names);
  });

  test("reads plain and quoted names as people write them", () => {
    const text = `# COCO8-seg
path: coco8-seg
names: # classes
  0: person
  1: traffic light # with a comment

  # in between
  2: 'it''s'
  3: "\\x41\\t"   # A, tab
  4: a#b
download: x.zip
`;
    expect(decodeYoloNames(text)).toEqual(["person", "traffic light", "it's", "A\t", "a#b"]);
    for (const list of ["[a, 'no', 7]", "\n- a\n- no\n- 7 # seven", "{0: a, 1: no, 2: 7}"]) {
      expect(decodeYoloNames(`nc: 3\nnames: ${list}\n`)).toEqual(["a", "no", "7"]);
    }
  });

  test("does not follow aliases of aliases", () => {
    const lines = ["a: &a0 [x, x, x, x, x, x, x, x, x, x]"];
    for (let i = 1; i < 9; i++) {
      lines.push(`b${i}: &a${i} [${`*a${i - 1}, `.repeat(9)}*a${i - 1}]`);
    }
    expect(() => decodeYoloNames(`${lines.join("\n")}\nnames: *a8\n`)).toThrow(/alias/);
  });

  test.each([
    ["no names", "train: a", /no "names:" with a list/],
    ["names that are a text", "names: dog", /no "names:" with a list/],
    ["a number left out", "names:\n  1: a", /of 1 names none has the number 0/],
    ["a number twice", "names:\n  0: a\n  0: b", /line 3 is not YAML \(Map keys must be unique\)/],
    ["no end of quotes", 'names:\n  0: "a', /line 2 is not YAML \(Missing closing/],
    ["a list in a list", "names: [[a]]", /name 0 is .*; give a text/],
    ["an alias of nothing", "names: [*b]", /write the names out/],
    ["an unknown escape", 'names:\n  0: "\\q"', /line 2 is not YAML \(Invalid escape/],
    ["a character beyond Unicode", 'names:\n  0: "\\U00110000"', /Invalid escape/],
    ["half a character", 'names:\n  0: "\\ud800"', /holds half of a character/],
    ["a name twice", "names:\n  0: a\n  1: a", /comes twice/],
  ])("refuses %s", (_, text, message) => {
    expect(() => decodeYoloNames(text)).toThrow(message);
  });

  test("refuses names given twice", () => {
    expect(() => encodeYoloNames(["a", "a"])).toThrow(/label "a" comes twice; rename/);
  });
});
