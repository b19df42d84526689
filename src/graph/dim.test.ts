import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { evaluateDim } from "../../test/support/interpreter.js";
import type { Dim } from "./dim.js";
import {
  addDims,
  broadcastShapes,
  multiplyDims,
  productOf,
  sameDim,
  sameShape,
  staticDim,
  symbol,
} from "./dim.js";

const NAMES = ["batch", "tokens", "patches"];

/** Random polynomials, built by sums and products. */
const dims: fc.Arbitrary<Dim> = fc.letrec<{ dim: Dim }>((tie) => ({
  dim: fc.oneof(
    { maxDepth: 3 },
    fc.integer({ min: -3, max: 5 }),
    fc.constantFrom(...NAMES).map(symbol),
    fc.tuple(tie("dim"), tie("dim")).map(([a, b]) => addDims(a, b)),
    fc.tuple(tie("dim"), tie("dim")).map(([a, b]) => multiplyDims(a, b)),
  ),
})).dim;

const sizes = { batch: 3, tokens: 7, patches: 11 };
/** Plus 0: JavaScript's -1 * 0 is -0. */
const value = (dim: Dim) => evaluateDim(dim, sizes) + 0;

describe("dimensions", () => {
  it("add and multiply as the numbers they stand for", () => {
    fc.assert(
      fc.property(dims, dims, (a, b) => {
        expect(value(addDims(a, b))).toBe(value(a) + value(b) + 0);
        expect(value(multiplyDims(a, b))).toBe(value(a) * value(b) + 0);
      }),
      { seed: 1, numRuns: 300 },
    );
  });

  it("are the same however they are put together", () => {
    fc.assert(
      fc.property(dims, dims, dims, (a, b, c) => {
        expect(sameDim(addDims(a, b), addDims(b, a))).toBe(true);
        expect(sameDim(multiplyDims(a, b), multiplyDims(b, a))).toBe(true);
        expect(
          sameDim(multiplyDims(a, addDims(b, c)), addDims(multiplyDims(a, b), multiplyDims(a, c))),
        ).toBe(true);
        expect(value(addDims(a, multiplyDims(a, -1)))).toBe(0);
        expect(typeof addDims(a, multiplyDims(a, -1))).toBe("number");
        expect(value(multiplyDims(a, 0))).toBe(0);
        expect(sameDim(productOf([a, b, 1]), multiplyDims(a, b))).toBe(true);
      }),
      { seed: 2, numRuns: 300 },
    );
  });

  it("are printed as polynomials", () => {
    const [batch, tokens] = [symbol("batch"), symbol("tokens")];
    expect(String(multiplyDims(tokens, batch))).toBe("batch*tokens");
    expect(String(addDims(multiplyDims(batch, 2), 64))).toBe("2*batch+64");
  });

  it("broadcast as NumPy does, and say which shapes do not", () => {
    const batch = symbol("batch");
    expect(sameShape(broadcastShapes([batch, 1, 3], [4, 1], "add"), [batch, 4, 3])).toBe(true);
    expect(() => broadcastShapes([batch, 2], [3, 2], "add")).toThrow(
      "add: shapes [batch, 2] and [3, 2] do not broadcast",
    );
    expect(() => staticDim(batch, "the width")).toThrow(
      'the width must be a fixed size, not "batch"',
    );
  });
});
