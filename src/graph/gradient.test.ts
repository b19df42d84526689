import { describe, expect, it } from "vitest";
import { interpret } from "../../test/support/interpreter.js";
import * as g from "./build.js";
import { backpropagate, gradient } from "./gradient.js";
import type { Tensor } from "./tensor.js";

const x = g.input("x", "f32", [2]);
const y = g.input("y", "f32", [2]);
const feeds = { x: { shape: [2], data: [3, -2] }, y: { shape: [2], data: [0.5, 4] } };
const sum = (t: Tensor) => g.reduceSum(t, [0], false);
const values = (...tensors: Tensor[]) =>
  interpret(tensors, feeds).map(({ data }) => Array.from(data));

describe("gradient", () => {
  it("names the operation that has no rule", () => {
    const grid = g.input("grid", "f32", [1, 1, 2, 2]);
    const loss = g.reduceSum(g.resizeCubic(grid, 3, 3), [0, 1, 2, 3], false);
    expect(() => gradient(loss, [grid])).toThrow('operation "resizeCubic" has no gradient rule');
  });

  it("needs no rule where nothing is asked for", () => {
    const shifted = g.subtract(x, g.reduceMax(y, [0], true));
    expect(values(...gradient(sum(shifted), [x]))).toEqual([[1, 1]]);
  });

  it("stops where it is told to", () => {
    const loss = sum(g.multiply(x, g.stopGradient(x)));
    expect(values(...gradient(loss, [x]))).toEqual([[3, -2]]);
  });

  it("gives zeros to what the loss does not depend on", () => {
    expect(values(...gradient(sum(x), [y, x]))).toEqual([
      [0, 0],
      [1, 1],
    ]);
  });

  it("asks for a scalar", () => {
    expect(() => gradient(x, [x])).toThrow("the loss must be a scalar, not [2]");
  });

  it("sums over all uses of a shared expression", () => {
    const shared = g.multiply(x, y);
    const loss = sum(g.add(g.multiply(shared, shared), g.add(shared, x)));
    // d/dx = 2 x y y + y + 1
    const expected = [2 * 3 * 0.25 + 0.5 + 1, 2 * -2 * 16 + 4 + 1];
    expect(values(...gradient(loss, [x]))).toEqual([expected]);
  });

  it("counts one tensor used twice by one operation twice", () => {
    expect(values(...gradient(sum(g.add(x, x)), [x]))).toEqual([[2, 2]]);
    expect(values(...gradient(sum(g.multiply(x, x)), [x]))).toEqual([[6, -4]]);
  });

  it("gives the gradient of a tensor between inputs and loss too", () => {
    const middle = g.multiply(x, y);
    const loss = sum(g.multiply(middle, middle));
    expect(values(...gradient(loss, [middle, x]))).toEqual([
      [3, -16],
      [1.5, -64],
    ]);
  });

  it("sums several seeds, also on one tensor", () => {
    const seeds = [
      { tensor: g.multiply(x, y), grad: g.constant(Float32Array.of(1, 2), [2]) },
      { tensor: x, grad: g.constant(Float32Array.of(10, 20), [2]) },
      { tensor: x, grad: g.constant(Float32Array.of(100, 200), [2]) },
    ];
    expect(values(...backpropagate(seeds, [x]))).toEqual([[110.5, 228]]);
  });

  it("says when a seed does not have its tensor's shape", () => {
    expect(() => backpropagate([{ tensor: x, grad: g.scalar(1) }], [x])).toThrow(
      "gradient of input has shape [], its tensor [2]",
    );
  });

  it("differentiates graphs thousands of operations deep", () => {
    let deep: Tensor = x;
    for (let i = 0; i < 5000; i++) deep = g.add(deep, y);
    expect(values(...gradient(sum(deep), [x, y]))).toEqual([
      [1, 1],
      [5000, 5000],
    ]);
  });
});
