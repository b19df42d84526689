import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { textColumns } from "../output/table.js";
import { authorsSegmentation } from "./protocol.js";
import type { ClassificationResult, SegmentationResult } from "./result.js";
import { resultText } from "./terminal-table.js";

const SEGMENTATION: SegmentationResult = {
  format: "groupvit-evaluation/1",
  task: "segmentation",
  dataset: { name: "pets", split: "val", pictures: 1449, sha256: "e".repeat(64) },
  model: { name: "nvidia/groupvit-gcc-yfcc", sha256: "0123456789abcdef".repeat(4), dtype: "fp32" },
  protocol: authorsSegmentation(["cat", "fish"], { kind: "threshold", threshold: 0.95 }),
  changes: [],
  published: [
    { model: "nvidia/groupvit-gcc-yfcc", metric: "mIoU", value: 52.3 },
    { model: "nvidia/groupvit-gcc-redcaps", metric: "mIoU", value: 50.8 },
  ],
  picturesPerSecond: 3.1278,
  mIoU: 0.5269,
  pixelAccuracy: 0.79,
  meanAccuracy: 0.76,
  classes: [
    { name: "background", iou: 1, accuracy: 1, pixels: 100 },
    { name: "cat", iou: 0.0531, accuracy: 0.88, pixels: 200 },
    { name: "fish", iou: null, accuracy: null, pixels: 0 },
  ],
  confusion: [],
  tiers: [
    { name: "photo", pictures: 1400, mIoU: 0.25 },
    { name: "none", pictures: 0, mIoU: Number.NaN },
  ],
  sizes: [],
  reliability: [],
  pictures: [],
};

const CLASSIFICATION: ClassificationResult = {
  format: "groupvit-evaluation/1",
  task: "classification",
  dataset: { name: "birds", split: "test", pictures: 70, sha256: "d".repeat(64) },
  model: { name: "models/own", sha256: "f".repeat(64), dtype: "fp32" },
  protocol: { task: "classification", words: ["robin", "owl"], prompts: "simple" },
  changes: ["prompts: full -> simple"],
  published: [{ model: "nvidia/groupvit-gcc-yfcc", metric: "top1", value: 43.7 }],
  picturesPerSecond: 188.4,
  top1: 0.125,
  top5: 0.5,
  classes: [
    { name: "robin", pictures: 1234, top1: 0.125 },
    { name: "owl", pictures: 0, top1: null },
  ],
  tiers: [],
};

const bar = (columns: number) => "█".repeat(columns);

describe("result as text", () => {
  it("prints a segmentation", () => {
    expect(resultText(SEGMENTATION).split("\n")).toEqual([
      "data      pets val, 1,449 pictures (sha256 eeeeeeeeeeee)",
      "model     nvidia/groupvit-gcc-yfcc (sha256 0123456789ab)",
      "protocol  task segmentation, words 2, prompts simple, quality balanced, background threshold,",
      "          threshold 0.95, short side 448 px, mode slide 448/224, top k 5, assignment soft, flip off,",
      "          zoom off, refine off",
      "",
      "class       IoU %  acc %",
      `background  100.0  100.0  ${bar(40)}`,
      // 0.0531 of 40 columns are 17 eighths.
      `cat           5.3   88.0  ${bar(2)}▏`,
      "fish            –      –",
      "",
      "part   pictures  mIoU %",
      `photo     1,400    25.0  ${bar(10)}`,
      "none          0       –",
      "",
      "mIoU                  52.7 %",
      "pixel accuracy        79.0 %",
      "mean accuracy         76.0 %",
      "pictures per second     3.13",
      "",
      "published                    mIoU  difference",
      "nvidia/groupvit-gcc-yfcc     52.3        +0.4  same name, same protocol",
      "nvidia/groupvit-gcc-redcaps  50.8           –  another checkpoint",
      "Only the number published for the checkpoint of the same name can be compared directly.",
      "",
    ]);
  });

  it("prints published classes of the same checkpoint", () => {
    const classes = [80.63, 38.08, 31.4];
    const published = SEGMENTATION.published.map((entry, i) =>
      i === 0 ? { ...entry, classes } : entry,
    );
    const lines = resultText({ ...SEGMENTATION, published }).split("\n");
    expect(lines).toContain("class       IoU %  acc %  published IoU %");
    expect(lines).toContain(`cat           5.3   88.0             38.1  ${bar(2)}▏`);
  });

  it("prints a classification under another protocol", () => {
    expect(resultText(CLASSIFICATION).split("\n")).toEqual([
      "data      birds test, 70 pictures (sha256 dddddddddddd)",
      "model     models/own (sha256 ffffffffffff)",
      "protocol  task classification, words 2, prompts simple",
      "",
      "NOT the standard protocol; standard -> here:",
      "  prompts: full -> simple",
      "",
      "class  pictures  top-1 %",
      `robin     1,234     12.5  ${bar(5)}`,
      "owl           0        –",
      "",
      "top-1                 12.5 %",
      "top-5                 50.0 %",
      "pictures per second      188",
      "",
      "published                 top-1  difference",
      "nvidia/groupvit-gcc-yfcc   43.7           –  another checkpoint, standard protocol",
      "The published numbers belong to other checkpoints than the one measured here, and were measured with",
      "the standard protocol, from which this measurement departs: they cannot be compared directly.",
      "",
    ]);
  });

  it("leaves classes without pictures out of a long table, and counts them", () => {
    const absent = (n: number) =>
      Array.from({ length: n }, (_, i) => ({ name: `class ${i}`, pictures: 0, top1: null }));
    const { classes } = CLASSIFICATION;
    const printed = (n: number) =>
      resultText({ ...CLASSIFICATION, classes: [classes[0]!, ...absent(n)] }).split("\n");
    expect(printed(99)).toContain("class 98         0        –");
    const lines = printed(1000);
    expect(lines).toContain(`robin     1,234     12.5  ${bar(5)}`);
    expect(lines).toContain("and 1,000 classes that did not occur");
    expect(lines.filter((line) => line.startsWith("class"))).toHaveLength(1);
  });

  it("counts departures that it does not print", () => {
    const changes = Array.from({ length: 22 }, (_, i) => `word ${i + 1}: a -> b`);
    const lines = resultText({ ...SEGMENTATION, changes }).split("\n");
    expect(lines).toContain("  word 20: a -> b");
    expect(lines).not.toContain("  word 21: a -> b");
    expect(lines).toContain("  and 2 more changes");
  });

  it("writes a dash for totals that were not measured", () => {
    const nothing = { ...SEGMENTATION, mIoU: Number.NaN, picturesPerSecond: 0 };
    const lines = resultText(nothing).split("\n");
    expect(lines).toContain("mIoU                       –");
    expect(lines).toContain("pictures per second        –");
    expect(resultText(nothing)).not.toContain("NaN");
  });

  it("keeps to 100 columns and one line an entry, whatever the names", () => {
    const lines = resultText(SEGMENTATION).split("\n").length;
    const control = /[\p{Cc}\p{Cf}]/u;
    fc.assert(
      fc.property(fc.string({ unit: "binary", minLength: 1, maxLength: 120 }), (name) => {
        const text = resultText({
          ...SEGMENTATION,
          dataset: { name, split: name, pictures: 1449, sha256: name },
          model: { name, sha256: name, dtype: "fp32" },
          classes: SEGMENTATION.classes.map((entry) => ({ ...entry, name })),
          tiers: SEGMENTATION.tiers.map((entry) => ({ ...entry, name })),
          published: SEGMENTATION.published.map((entry) => ({ ...entry, model: name })),
        }).split("\n");
        expect(text.length).toBe(lines);
        for (const line of text) {
          expect(textColumns(line)).toBeLessThanOrEqual(100);
          expect(line).not.toMatch(control);
        }
      }),
      { seed: 1, numRuns: 80 },
    );
  });

  it("aligns names of wide letters", () => {
    const classes = ["猫", "dog"].map((name) => ({ name, iou: 0.5, accuracy: 0.5, pixels: 1 }));
    const lines = resultText({ ...SEGMENTATION, classes }).split("\n");
    expect(lines).toContain(`猫      50.0   50.0  ${bar(20)}`);
    expect(lines).toContain(`dog     50.0   50.0  ${bar(20)}`);
  });
});
