import { describe, expect, it } from "vitest";
import {
  authorsSegmentation,
  protocolChanges,
  protocolFields,
  STANDARD_PROTOCOLS,
  withQuality,
} from "./protocol.js";
import type { Quality } from "./quality.js";

describe("the standard protocols", () => {
  it.each([
    ["voc", 20, 0.95],
    ["context", 59, 0.35],
    ["coco-object", 80, 0.95],
  ] as const)("of %s has the authors' settings", (name, classes, threshold) => {
    const { protocol } = STANDARD_PROTOCOLS[name];
    expect(protocol.words).toHaveLength(classes);
    expect(protocol.background).toEqual({ kind: "threshold", threshold });
    expect(Object.fromEntries(protocolFields(protocol))).toMatchObject({
      "short side": "448 px",
      mode: "slide 448/224",
      prompts: "simple",
      "top k": "5",
    });
  });

  it("ask for the authors' names, not for the data set's", () => {
    const { words } = STANDARD_PROTOCOLS.voc.protocol;
    for (const renamed of ["table", "plant", "monitor"]) expect(words).toContain(renamed);
    expect(words).not.toContain("dining table");
  });

  it("bring the published classes of VOC, whose mean is the published number", () => {
    const { value, classes = [] } = STANDARD_PROTOCOLS.voc.published[0]!;
    expect(classes).toHaveLength(21);
    const mean = classes.reduce((sum, iou) => sum + iou, 0) / classes.length;
    expect(mean.toFixed(1)).toBe(value.toFixed(1));
  });
});

describe("changes of a protocol", () => {
  const standard = authorsSegmentation(["cat", "dog"], { kind: "threshold", threshold: 0.95 });

  it("name a quality with what it changes; balanced changes nothing", () => {
    const changes = (quality: Quality) => protocolChanges(standard, withQuality(standard, quality));
    expect(changes("balanced")).toEqual([]);
    // Pieces are those of one window: not of the authors' slide.
    expect(changes("best")).toEqual(["quality: balanced -> best", "refine: off -> on"]);
    const whole = { ...standard, mode: "whole" } as const;
    expect(protocolChanges(whole, withQuality(whole, "best"))).toEqual([
      "quality: balanced -> best",
      "zoom: off -> on",
      "refine: off -> on",
    ]);
    expect(changes("fast")).toEqual([
      "quality: balanced -> fast",
      "short side: 448 px -> 336 px",
      "mode: slide 448/224 -> slide 336/168",
    ]);
  });

  it("are none for the same", () => {
    expect(protocolChanges(standard, { ...standard })).toEqual([]);
  });

  it("name every field with both values", () => {
    const changed = {
      ...standard,
      background: { kind: "none" } as const,
      shortSide: 224,
      words: ["cat", "hound"],
      flip: true,
    };
    expect(protocolChanges(standard, changed)).toEqual([
      "background: threshold -> none",
      "threshold: 0.95 -> -",
      "short side: 448 px -> 224 px",
      "mode: slide 448/224 -> slide 224/112",
      "flip: off -> on",
      "word 2: dog -> hound",
    ]);
  });
});
