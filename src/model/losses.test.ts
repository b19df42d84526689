import { describe, expect, it } from "vitest";
import { interpret } from "../../test/support/interpreter.js";
import * as g from "../graph/build.js";
import { gradient } from "../graph/gradient.js";
import { bestSegments, cellShares, groupInformation, groupShares } from "./losses.js";

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
