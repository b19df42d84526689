import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { InputError } from "../errors.js";
import { parseLabels, readLabelsFile, VOCABULARIES } from "./vocabularies.js";

describe("VOCABULARIES", () => {
  it("hold the names of the authors' evaluation", () => {
    const names = JSON.parse(
      readFileSync("test/fixtures/tokenizer/class_names.json", "utf8"),
    ) as Record<string, string[]>;
    expect(["background", ...VOCABULARIES.voc.labels]).toEqual(names.voc);
    expect(["background", ...VOCABULARIES.context.labels]).toEqual(names.context);
    expect(["background", ...VOCABULARIES.coco.labels]).toEqual(names.coco_object);
  });

  it("hold 1,000 ImageNet names in the order of the ids", () => {
    const { labels, background } = VOCABULARIES.imagenet;
    expect(labels).toHaveLength(1000);
    expect(background).toBe(false);
    // Positions of well-known ILSVRC 2012 ids.
    const known = { 0: "tench", 1: "goldfish", 207: "Golden Retriever", 281: "tabby cat" };
    const more = { 340: "zebra", 388: "giant panda", 404: "airliner", 546: "electric guitar" };
    const last = { 817: "sports car", 920: "traffic light", 954: "banana", 999: "toilet paper" };
    for (const [id, name] of Object.entries({ ...known, ...more, ...last })) {
      expect(labels[Number(id)]).toBe(name);
    }
    const repeated = labels.filter((label, id) => labels.indexOf(label) !== id);
    expect(repeated).toEqual(["missile", "sunglasses"]);
    expect(labels.indexOf("missile")).toBe(657);
    expect(labels.lastIndexOf("missile")).toBe(744);
    expect(labels.lastIndexOf("sunglasses")).toBe(837);
  });
});

describe("parseLabels", () => {
  it.each<[string | string[], string[]]>([
    ["dog, tree, sky", ["dog", "tree", "sky"]],
    ["sofa,couch; dog", ["sofa, couch", "dog"]],
    ["sofa, couch;", ["sofa, couch"]],
    [
      ["sofa, couch", " hot   dog "],
      ["sofa, couch", "hot dog"],
    ],
    ["Dog", ["Dog"]],
    ["犬, 😀", ["犬", "😀"]],
  ])("%j", (source, labels) => {
    expect(parseLabels(source)).toEqual(labels);
  });

  it.each<[string | string[], RegExp]>([
    ["", /empty/],
    [" \n", /empty/],
    [[], /empty/],
    [";", /empty/],
    ["dog,,cat", /Label 2, "", is empty/],
    ["dog, cat,", /Label 3/],
    ["dog;;cat", /Label 2/],
    ["sofa,; dog", /empty synonym/],
    [["dog", ""], /Label 2/],
    ["dog, cat, Dog", /"Dog" is given twice, as number 1 and 3/],
    ["a,b; a , b", /given twice/],
    ["do\0g", /Label 1, "do\\u0000g", holds a NUL byte/],
    ["x".repeat(1001), /1001 characters/],
    [Array.from({ length: 100_001 }, (_, i) => `label ${i}`), /more than 100000/],
    ["a,".repeat(1_000_000), /more than 100000/],
  ])("refuses %#", (source, message) => {
    expect(() => parseLabels(source)).toThrow(InputError);
    expect(() => parseLabels(source)).toThrow(message);
  });

  it("accepts 100,000 labels", () => {
    const labels = Array.from({ length: 100_000 }, (_, i) => `label ${i}`);
    expect(parseLabels(labels.join(","))).toEqual(labels);
  });

  it("returns what it reads again unchanged", () => {
    const word = fc.stringMatching(/^[a-z]{1,8}( [a-z]{1,8})?$/);
    const labels = fc.uniqueArray(fc.uniqueArray(word, { minLength: 1, maxLength: 3 }), {
      selector: (synonyms) => synonyms.join(", "),
      minLength: 1,
    });
    fc.assert(
      fc.property(labels, (lists) => {
        const expected = lists.map((synonyms) => synonyms.join(", "));
        expect(parseLabels(expected)).toEqual(expected);
        expect(parseLabels(`${expected.join(" ;")};`)).toEqual(expected);
      }),
      { seed: 5 },
    );
  });
});

describe("readLabelsFile", () => {
  it("skips comments and blank lines, and accepts a byte-order mark and Windows line ends", () => {
    const text = "\ufeff# furniture\r\nsofa, couch\r\n\r\n  # more\r\nC# book; shelf\r\ndog";
    expect(readLabelsFile(text)).toEqual(["sofa, couch", "C# book; shelf", "dog"]);
  });

  it("refuses a file without a label, and one with a label twice", () => {
    expect(() => readLabelsFile("# nothing\n")).toThrow(/empty/);
    expect(() => readLabelsFile("dog\ncat\ndog\n")).toThrow(/given twice, as number 1 and 3/);
  });
});
