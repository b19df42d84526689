import { describe, expect, it } from "vitest";
import { Random } from "../../random.js";
import { cleanNouns, nounsOf, samplePrompts } from "./nouns.js";

describe("nouns of a caption", () => {
  it.each([
    ["A red fire truck parked beside a golden retriever", ["fire truck", "golden retriever"]],
    ["Two dogs running on the beach at sunset", ["dogs", "beach", "sunset"]],
    ["a dog and another dog", ["dog"]],
    ["The Eiffel Tower in Paris, France", ["eiffel tower", "paris", "france"]],
    ["A traffic light over city streets with people", ["traffic light", "city streets", "people"]],
    ["stock photo of dog sleeping 2019", ["stock photo", "dog"]],
    ["polar bears and siberian huskies", ["polar bears", "siberian huskies"]],
    ["a t-shirt and a cutting board", ["t-shirt", "cutting board"]],
    ["New York City skyline at night", ["new york", "city", "skyline", "night"]],
    ["dog cat horse sheep cow", ["dog", "cat", "horse", "sheep", "cow"]],
    ["running fast", []],
    ["", []],
    ["!!! 123 $$$ 😀", []],
  ])("%s", (caption, nouns) => {
    expect(nounsOf(caption)).toEqual(nouns);
  });

  it("cleans the nouns that a data set brings", () => {
    expect(cleanNouns([" Dog ", "dog", "", "x".repeat(1000), "Cat"])).toEqual(["dog", "cat"]);
  });
});

describe("prompts", () => {
  const templates = ["a photo of a {}.", "a drawing of the {}."];

  it("use every noun once before any repeats, and do not interpret them", () => {
    const { texts, nouns: chosen } = samplePrompts(
      ["a$&b", "cat"],
      "caption",
      4,
      templates,
      new Random(1),
    );
    expect(texts.every((text, i) => text.includes(chosen.prompts[i]!))).toBe(true);
    const nouns = texts.map((prompt) => prompt.replace(/^a (photo of a|drawing of the) /, ""));
    expect(nouns.slice(0, 2).sort()).toEqual(["a$&b.", "cat."]);
    expect(nouns.slice(2).sort()).toEqual(["a$&b.", "cat."]);
  });

  it("are the caption itself where it has no nouns", () => {
    expect(samplePrompts([], "running fast", 3, templates, new Random(1)).texts).toEqual([
      "running fast",
      "running fast",
      "running fast",
    ]);
  });

  it("are the same for the same generator state", () => {
    const draw = (seed: number) =>
      samplePrompts(["a", "b", "c", "d"], "", 3, templates, new Random(seed)).texts;
    expect(draw(4)).toEqual(draw(4));
    expect(new Set(Array.from({ length: 20 }, (_, i) => draw(i).join())).size).toBeGreaterThan(10);
  });
});
