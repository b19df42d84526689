import { describe, expect, it } from "vitest";
import { chooseSetting, type Setting } from "./calibrate.js";

const settings: Setting[] = [
  { prompts: "simple", threshold: 0.5 },
  { prompts: "simple", threshold: 0.9 },
  { prompts: "full", threshold: 0.5 },
];
const standard = settings[1]!;
/** One picture of ten pixels of class 1, `right` of them found. */
const found = (right: number) => [1, 1, right, 1, 0, 10 - right];

describe("the choice of a setting", () => {
  it("takes the best over all pictures and scores it and the standard", () => {
    const table = [
      [found(9), found(7)],
      [found(4), found(4)],
      [found(1), found(10)],
    ];
    const { best, standard: own, tried } = chooseSetting(settings, table, 2, standard);
    // IoU of class 1: found / 20; of class 0, never true: 0.
    expect(best).toEqual({ ...settings[0], mIoU: 16 / 20 / 2 });
    expect(own.mIoU).toBeCloseTo(8 / 20 / 2, 12);
    expect(tried.map(({ mIoU }) => mIoU)).toEqual([0.4, 0.2, 11 / 20 / 2]);
  });

  it("does not flatter itself: each picture is judged by a choice made without it", () => {
    // Each setting shines on one picture and fails on the other two.
    const table = [0, 1, 2].map((setting) =>
      [0, 1, 2].map((picture) => found(setting === picture ? 10 : 0)),
    );
    const { best, crossValidated, folds } = chooseSetting(settings, table, 2, standard);
    expect(folds).toBe(3);
    expect(best.mIoU).toBeGreaterThan(0.15);
    expect(crossValidated).toBe(0);
  });

  it("stays with the standard where the pictures it sees have no counted pixel", () => {
    const table = settings.map((_, setting) => [[], found(setting === 1 ? 6 : 0)]);
    // The second picture is judged by what the first says, which is nothing.
    expect(chooseSetting(settings, table, 2, standard).crossValidated).toBe(6 / 10 / 2);
  });

  it("stays with the standard among equals", () => {
    const table = settings.map(() => [found(5), found(5)]);
    expect(chooseSetting(settings, table, 2, standard).best).toMatchObject(standard);
  });
});
