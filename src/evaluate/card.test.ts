import { describe, expect, it } from "vitest";
import { cardWithResults } from "./card.js";
import type { ClassificationResult } from "./result.js";

const result: ClassificationResult = {
  format: "groupvit-evaluation/1",
  task: "classification",
  dataset: { name: "scenes-single", split: "single", pictures: 4, sha256: "0123456789abcdef" },
  model: { name: "m", sha256: "0", dtype: "fp32" },
  protocol: { task: "classification", words: ["cat", "dog"], prompts: "simple" },
  changes: [],
  published: [],
  picturesPerSecond: 1,
  top1: 0.25,
  top5: 1,
  classes: [
    { name: "cat", pictures: 4, top1: 0.25 },
    { name: "dog", pictures: 0, top1: null },
  ],
  tiers: [{ name: "a|b", pictures: 4, top1: 0.25 }],
};
const card = "# Model\n\nWords.\n\n## Limits\n\n- Many.\n";

describe("results in a model card", () => {
  it("stand before the limits, and are replaced when measured again", () => {
    const once = cardWithResults(card, [result], "groupvit eval scenes");
    expect(once).toContain("**25.0 % zero-shot accuracy** over 2 classes, 100.0 %");
    expect(once).toContain("| a/b | 4 | 25.0 |");
    expect(once.indexOf("## Evaluation")).toBeLessThan(once.indexOf("## Limits"));
    const twice = cardWithResults(once, [{ ...result, top1: 0.5 }], "groupvit eval scenes");
    expect(twice).toContain("**50.0 %");
    expect(twice).not.toContain("**25.0 %");
    expect(cardWithResults(twice, [result], "groupvit eval scenes")).toBe(once);
  });

  it("leave the rest of the card as it is, and begin one where there is none", () => {
    const section = /<!-- groupvit eval: begin -->[\s\S]*<!-- groupvit eval: end -->\n?/;
    const once = cardWithResults(card, [result], "c");
    expect(once.replace(section, "").replace(/\n+/g, "\n")).toBe(card.replace(/\n+/g, "\n"));
    expect(cardWithResults("", [result], "c")).toMatch(/^\s*<!-- groupvit eval: begin -->/);
  });
});
