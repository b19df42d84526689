import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { InputError } from "../errors.js";
import { expandPrompts, PROMPT_TEMPLATES } from "./prompts.js";

describe("PROMPT_TEMPLATES", () => {
  it("are those of the reference", () => {
    const { templates } = JSON.parse(readFileSync("test/fixtures/seg/report.json", "utf8")) as {
      templates: Record<string, string[]>;
    };
    expect(PROMPT_TEMPLATES.simple).toEqual(templates.simple);
    expect(PROMPT_TEMPLATES.subset).toEqual(templates.subset);
  });

  it("number 1, 7 and 80, all different", () => {
    const counts = Object.values(PROMPT_TEMPLATES).map((templates) => new Set(templates).size);
    expect(counts).toEqual([1, 7, 80]);
  });
});

describe("expandPrompts", () => {
  it("puts every synonym in every template", () => {
    expect(expandPrompts("sofa , couch", ["a {}.", "the {}."])).toEqual([
      "a sofa.",
      "the sofa.",
      "a couch.",
      "the couch.",
    ]);
  });

  it("keeps the articles of the templates and takes names literally", () => {
    expect(expandPrompts("origami $& {}", ["a {}"])).toEqual(["a origami $& {}"]);
  });

  it("refuses empty names and templates without one place for the name", () => {
    expect(() => expandPrompts("", ["a {}"])).toThrow(InputError);
    expect(() => expandPrompts("dog,,cat", ["a {}"])).toThrow(/"dog,,cat"/);
    expect(() => expandPrompts("dog", [])).toThrow(InputError);
    expect(() => expandPrompts("dog", ["a {}", "a photo"])).toThrow(/"a photo"/);
    expect(() => expandPrompts("dog", ["{} {}"])).toThrow(InputError);
  });
});
