import { describe, expect, it } from "vitest";
import { interpret } from "../../test/support/interpreter.js";
import * as g from "../graph/build.js";
import { gradient } from "../graph/gradient.js";
import {
  bestSegments,
  cellShares,
  evenShares,
  groupInformation,
  groupShares,
  likenessCut,
  patchLikeness,
} from "./losses.js";

/** Nats of one picture, from its soft assignments [groups][tokens] of each stage. */
function information(...stages: number[][][]): number {
  return evaluate(groupInformation(stages.map(assignment)))[0]!;
}

function assignment(rows: number[][]) {
  return g.constant(Float32Array.from(rows.flat()), [1, rows.length, rows[0]!.length]);
}

function evaluate(tensor: ReturnType<typeof g.scalar>): Float64Array {
  return Float64Array.from(interpret([tensor], {})[0]!.data);
}

describe("shares of cells", () => {
  it("count the patches of each cell that the last groups hold", () => {
    // 4 x 4 patches; the first stage parts columns, the second joins all but the last.
    const columns = [0, 1, 2, 3].map((group) =>
      Array.from({ length: 16 }, (_, patch) => (patch % 4 === group ? 1 : 0)),
    );
    const joined = [
      [1, 1, 1, 0],
      [0, 0, 0, 1],
    ];
    const stages = [columns, joined].map(assignment);
    expect([...evaluate(cellShares(stages, 2))]).toEqual([1, 0, 0.5, 0.5, 1, 0, 0.5, 0.5]);
    expect([...evaluate(cellShares(stages, 1))]).toEqual([...evaluate(groupShares(stages))]);
    // Each row of patches as one cell row: the four corners of a grid of four are its patches themselves.
    expect([...evaluate(cellShares([assignment(columns)], 4))]).toEqual(
      Array.from({ length: 64 }, (_, i) => ((i >> 2) % 4 === i % 4 ? 1 : 0)),
    );
  });
});

describe("even shares", () => {
  it("weigh a segment of a fifth half, and sum to 1", () => {
    const shares = g.constant(Float32Array.from([0.2, 0.8, 0, 1, 0, 0]), [1, 2, 3]);
    const [thing, ground, ...rest] = evaluate(evenShares(shares));
    expect(thing).toBeCloseTo(0.5 / (0.5 + 0.8), 6);
    expect(ground).toBeCloseTo(0.8 / (0.5 + 0.8), 6);
    expect(rest).toEqual([0, 1, 0, 0]);
  });
});

describe("the likeness of patches", () => {
  const [side, size] = [4, 2];
  /** A square picture of 4 x 4 patches of 2 x 2 pixels: each patch's own colours, one or all four. */
  function picture(colours: (row: number, column: number) => number[][]) {
    const patches = Array.from({ length: side ** 2 }, (_, i) => {
      const own = colours(Math.floor(i / side), i % side);
      return own.length === 1 ? Array.from({ length: size ** 2 }, () => own[0]!) : own;
    });
    return g.constant(Float32Array.from(patches.flat(2)), [1, side ** 2, size ** 2 * 3]);
  }
  const red = [1.5, -1, -1];
  const blue = [-1, -1, 1.5];
  const row = (values: Float64Array, patch: number) => [
    ...values.slice(patch * side ** 2, (patch + 1) * side ** 2),
  ];

  it("is shared among patches of one colour, nearer ones more", () => {
    const likeness = evaluate(
      patchLikeness(
        picture((_, x) => [x < 2 ? red : blue]),
        3,
      ),
    );
    for (let patch = 0; patch < side ** 2; patch++) {
      const own = row(likeness, patch);
      expect(own.reduce((a, b) => a + b)).toBeCloseTo(1, 5);
      expect(own[patch]).toBe(0);
      own.forEach((value, other) => {
        if (other % side < 2 !== patch % side < 2) expect(value).toBeLessThan(1e-6);
        else if (other !== patch) expect(value).toBeGreaterThan(1e-4);
      });
    }
    // Distances of 1 and 2 patches: exp((4 - 1) / (2 (0.3 * 4)^2)).
    expect(likeness[4]! / likeness[8]!).toBeCloseTo(Math.exp(3 / 2.88), 4);
  });

  it("tells a pattern from a plain colour with the same mean", () => {
    const mean = [0.25, -1, 0.25];
    const stripes = [red, blue, red, blue];
    const likeness = evaluate(
      patchLikeness(
        picture((_, x) => (x < 2 ? [mean] : stripes)),
        3,
      ),
    );
    const own = row(likeness, 0);
    expect(own.filter((_, i) => i % side < 2).reduce((a, b) => a + b)).toBeGreaterThan(0.999);
  });

  it("is even where all patches are alike", () => {
    const likeness = evaluate(
      patchLikeness(
        picture(() => [red]),
        3,
      ),
    );
    expect(likeness[1]).toBeCloseTo(likeness[4]!, 6);
    expect(likeness[1]! / likeness[2]!).toBeCloseTo(Math.exp(3 / 2.88), 4);
  });

  const halves = (inLeft: (patch: number) => number) => {
    const left = Array.from({ length: side ** 2 }, (_, patch) => inLeft(patch));
    return assignment([left, left.map((p) => 1 - p)]);
  };

  it("is cut nowhere by groups that follow the colours, often by others", () => {
    const likeness = patchLikeness(
      picture((_, x) => [x < 2 ? red : blue]),
      3,
    );
    const cut = (inLeft: (patch: number) => number) =>
      evaluate(likenessCut([halves(inLeft)], likeness))[0]!;
    expect(cut((patch) => (patch % side < 2 ? 1 : 0))).toBeCloseTo(0, 5);
    expect(cut(() => 1)).toBeCloseTo(0, 5);
    // All as likely: two patches differ half of the time.
    expect(cut(() => 0.5)).toBeCloseTo(0.5, 5);
    expect(cut((patch) => (patch < 8 ? 1 : 0))).toBeGreaterThan(0.3);
  });

  it("draws a patch to the group of those like it", () => {
    const likeness = patchLikeness(
      picture((_, x) => [x < 2 ? red : blue]),
      3,
    );
    const logits = g.input("logits", "f32", [1, 2, 16]);
    const cut = likenessCut([g.softmax(logits, 1)], likeness);
    const [grad] = gradient(g.reduceSum(cut, [0], false), [logits]);
    // Colours are followed, but by the first patch.
    const data = Float64Array.from({ length: 32 }, (_, i) => {
      const left = i % 16 !== 0 && i % 4 < 2;
      return left === i < 16 ? 1 : -1;
    });
    const [out] = interpret([grad!], { logits: { shape: [1, 2, 16], data } });
    expect(out!.data[0]).toBeLessThan(0);
    expect(out!.data[16]).toBeGreaterThan(0);
  });
});

describe("the information of groups", () => {
  it("is ln n where n groups share the patches equally and surely", () => {
    const rows = [0, 1, 2, 3].map((group) =>
      Array.from({ length: 8 }, (_, patch) => (patch % 4 === group ? 1 : 0)),
    );
    expect(information(rows)).toBeCloseTo(Math.log(4), 6);
  });

  it("is 0 where one group takes all, and where all are as likely", () => {
    expect(
      information([
        [1, 1, 1, 1],
        [0, 0, 0, 0],
      ]),
    ).toBeCloseTo(0, 6);
    expect(
      information([
        [0.5, 0.5],
        [0.5, 0.5],
      ]),
    ).toBeCloseTo(0, 6);
  });

  it("is H(group) - H(group | patch) in between", () => {
    // Groups (3/4, 1/4) of a quarter each for two patches: 0.5623 nats less (0 + ln 2) / 2.
    expect(
      information([
        [1, 0.5],
        [0, 0.5],
      ]),
    ).toBeCloseTo(0.5623351446 - Math.log(2) / 2, 6);
  });

  it("counts what all stages together tell apart", () => {
    const first = [
      [1, 0, 0, 0],
      [0, 1, 0, 0],
      [0, 0, 1, 1],
    ];
    const joined = [
      [1, 1, 0],
      [0, 0, 1],
    ];
    expect(information(first)).toBeCloseTo(1.5 * Math.log(2), 6);
    expect(information(first, joined)).toBeCloseTo(Math.log(2), 6);
    expect(information(first, [[1, 1, 1]])).toBeCloseTo(0, 6);
  });

  it("has a gradient that parts patches that begin to differ", () => {
    const logits = g.input("logits", "f32", [1, 2, 2]);
    const [grad] = gradient(g.reduceSum(groupInformation([g.softmax(logits, 1)]), [0], false), [
      logits,
    ]);
    const data = Float64Array.from([0.1, -0.1, -0.1, 0.1]);
    const [out] = interpret([grad!], { logits: { shape: [1, 2, 2], data } });
    expect(Array.from(out!.data, Math.sign)).toEqual([1, -1, -1, 1]);
  });
});

describe("the best segments", () => {
  /** Fit of one picture and one text from its segments' logits and shares, and the logits' gradients. */
  function match(logits: number[], shares: number[]): { value: number; grads: number[] } {
    const input = g.input("logits", "f32", [logits.length, 1]);
    const best = bestSegments(input, g.constant(Float32Array.from(shares), [1, shares.length]));
    const [grad] = gradient(g.reduceSum(best, [0, 1], false), [input]);
    const data = Float64Array.from(logits);
    const [value, grads] = interpret([best, grad!], {
      logits: { shape: [logits.length, 1], data },
    });
    return { value: value!.data[0]!, grads: Array.from(grads!.data) };
  }

  it("are the logarithm of the mean over patches of exp(logit)", () => {
    const expected = Math.log(0.5 * Math.exp(1) + 0.25 * Math.exp(3) + 0.25 * Math.exp(-2));
    expect(match([1, 3, -2], [0.5, 0.25, 0.25]).value).toBeCloseTo(expected, 6);
  });

  it("are the picture's own fit where all segments are alike", () => {
    expect(match([0.7, 0.7], [0.9, 0.1]).value).toBeCloseTo(0.7, 6);
  });

  it("pass nearly all of the gradient to the one that fits, none to one without patches", () => {
    const { grads } = match([12, 2, 12], [0.1, 0.9, 0]);
    expect(grads[0]).toBeGreaterThan(0.99);
    expect(grads[2]).toBeLessThan(1e-15);
    expect(grads.reduce((a, b) => a + b)).toBeCloseTo(1, 6);
  });

  it("are those with patches, even where one without fits far better", () => {
    const { value, grads } = match([20, -20], [0, 1]);
    expect(value).toBeCloseTo(-20, 2);
    expect(grads[0]).toBeLessThan(0.01);
  });

  it("have shares of the picture that stages share out one after the other", () => {
    const first = assignment([
      [1, 1, 0, 0],
      [0, 0, 1, 0.5],
      [0, 0, 0, 0.5],
    ]);
    const second = assignment([
      [1, 0, 1],
      [0, 1, 0],
    ]);
    expect([...evaluate(groupShares([first, second]))]).toEqual([0.625, 0.375]);
  });
});
