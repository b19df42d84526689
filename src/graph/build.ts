// Functions that build graphs: one per operation, plus the few compositions that every model needs.

import type { Dim } from "./dim.js";
import { addDims, productOf } from "./dim.js";
import type { Attributes, AttributesOf, OperationName } from "./operations.js";
import { operations } from "./operations.js";
import type { DType, Node, Tensor } from "./tensor.js";

export { symbol } from "./dim.js";

let nextId = 0;

function apply<Name extends OperationName>(
  operation: Name,
  inputs: readonly Tensor[],
  attributes: AttributesOf<Name>,
): readonly Tensor[] {
  const outputs: Tensor[] = [];
  const node: Node<Name> = { operation, inputs, attributes, outputs, id: nextId++ };
  const types = operations[operation].shape(inputs, attributes);
  types.forEach(({ dtype, shape }, index) => {
    outputs.push({ dtype, shape, node: node as Node, index });
  });
  return outputs;
}

function single<Name extends OperationName>(
  operation: Name,
  inputs: readonly Tensor[],
  attributes: AttributesOf<Name>,
): Tensor {
  return apply(operation, inputs, attributes)[0]!;
}

// Sources

/** A tensor fed at every run. */
export function input(name: string, dtype: DType, shape: readonly Dim[]): Tensor {
  return single("input", [], { name, dtype, shape });
}

/** A weight under its checkpoint name. */
export function parameter(name: string, shape: readonly number[]): Tensor {
  return single("parameter", [], { name, shape });
}

/** Numbers known when the graph is built. */
export function constant(data: Float32Array | Int32Array, shape: readonly number[]): Tensor {
  const dtype: DType = data instanceof Int32Array ? "i32" : "f32";
  if (data.length !== shape.reduce((a, b) => a * b, 1)) {
    throw new Error(`constant: ${data.length} numbers do not fill [${shape.join(", ")}]`);
  }
  return single("constant", [], { dtype, shape, data });
}

/** 0, 1, ..., count - 1 as i32. */
export const range = (count: Dim): Tensor => single("range", [], { count });

/** A single number that broadcasts to any shape. */
export function scalar(value: number): Tensor {
  return constant(new Float32Array([value]), []);
}

// Element by element

export const add = (a: Tensor, b: Tensor): Tensor => single("add", [a, b], {});
export const subtract = (a: Tensor, b: Tensor): Tensor => single("subtract", [a, b], {});
export const multiply = (a: Tensor, b: Tensor): Tensor => single("multiply", [a, b], {});
export const divide = (a: Tensor, b: Tensor): Tensor => single("divide", [a, b], {});
export const minimum = (a: Tensor, b: Tensor): Tensor => single("minimum", [a, b], {});
export const equal = (a: Tensor, b: Tensor): Tensor => single("equal", [a, b], {});
export const where = (condition: Tensor, a: Tensor, b: Tensor): Tensor =>
  single("where", [condition, a, b], {});
export const negate = (x: Tensor): Tensor => single("negate", [x], {});
export const exp = (x: Tensor): Tensor => single("exp", [x], {});
export const log = (x: Tensor): Tensor => single("log", [x], {});
export const sqrt = (x: Tensor): Tensor => single("sqrt", [x], {});
export const erf = (x: Tensor): Tensor => single("erf", [x], {});
export const sigmoid = (x: Tensor): Tensor => single("sigmoid", [x], {});
export const relu = (x: Tensor): Tensor => single("relu", [x], {});
export const gelu = (x: Tensor): Tensor => single("gelu", [x], {});
export const cast = (x: Tensor, to: DType): Tensor => single("cast", [x], { to });

/** CLIP's approximation of GELU, x * sigmoid(1.702 x). */
export function quickGelu(x: Tensor): Tensor {
  return multiply(x, sigmoid(multiply(x, scalar(1.702))));
}

// Reductions

export const reduceSum = (x: Tensor, axes: readonly number[], keep: boolean): Tensor =>
  axes.length === 0 ? x : single("reduceSum", [x], { axes, keep });
export const reduceMax = (x: Tensor, axes: readonly number[], keep: boolean): Tensor =>
  single("reduceMax", [x], { axes, keep });
export const argMax = (x: Tensor, axis: number): Tensor => single("argMax", [x], { axis });

/** Mean over one axis of fixed or run-time size. */
export function reduceMean(x: Tensor, axis: number, keep: boolean): Tensor {
  const size = x.shape[axis]!;
  if (typeof size === "number") {
    return multiply(reduceSum(x, [axis], keep), scalar(1 / size));
  }
  const count = reduceSum(expand(scalar(1), x.shape), [axis], keep);
  return divide(reduceSum(x, [axis], keep), count);
}

// Shape

export const reshape = (x: Tensor, shape: readonly Dim[]): Tensor =>
  single("reshape", [x], { shape });
export const transpose = (x: Tensor, order: readonly number[]): Tensor =>
  single("transpose", [x], { order });
export const concat = (tensors: readonly Tensor[], axis: number): Tensor =>
  tensors.length === 1 ? tensors[0]! : single("concat", tensors, { axis });
export const slice = (x: Tensor, axis: number, start: Dim, end: Dim): Tensor =>
  single("slice", [x], { axis, start, end });
export const expand = (x: Tensor, shape: readonly Dim[]): Tensor =>
  single("expand", [x], { shape });

/** Swaps the last two axes. */
export function swapLast(x: Tensor): Tensor {
  const order = x.shape.map((_, axis) => axis);
  const rank = order.length;
  [order[rank - 1], order[rank - 2]] = [rank - 2, rank - 1];
  return transpose(x, order);
}

// Rows

export const gather = (x: Tensor, indices: Tensor): Tensor => single("gather", [x, indices], {});
export const scatterAdd = (indices: Tensor, updates: Tensor, rows: Dim): Tensor =>
  single("scatterAdd", [indices, updates], { rows });

// Linear algebra

export const matmul = (a: Tensor, b: Tensor): Tensor => single("matmul", [a, b], {});

export function gemm(a: Tensor, b: Tensor, transposes: Attributes["gemm"], bias?: Tensor): Tensor {
  return single("gemm", bias ? [a, b, bias] : [a, b], transposes);
}

/** x [..., in] times weight [out, in] transposed, plus bias [out]: PyTorch's linear layer. */
export function linear(x: Tensor, weight: Tensor, bias?: Tensor): Tensor {
  const leading = x.shape.slice(0, -1);
  const rows = reshape(x, [productOf(leading), x.shape[x.shape.length - 1]!]);
  const product = gemm(rows, weight, { transA: false, transB: true }, bias); // [rows, out]
  return leading.length === 1 ? product : reshape(product, [...leading, weight.shape[0]!]);
}

export const softmax = (x: Tensor, axis: number): Tensor => single("softmax", [x], { axis });

export function layerNorm(x: Tensor, scale: Tensor, bias: Tensor, eps: number): Tensor {
  return single("layerNorm", [x, scale, bias], { eps });
}

/** One-hot of the largest entry along an axis, the first of equals; no gradient. */
export function oneHotMax(x: Tensor, axis: number): Tensor {
  const size = x.shape[axis]!;
  if (typeof size !== "number") throw new Error(`oneHotMax: axis ${axis} must have a fixed size`);
  const shape = x.shape.map((_, i) => (i === axis ? size : 1));
  const index = constant(
    Int32Array.from({ length: size }, (_, i) => i),
    shape,
  );
  return cast(equal(argMax(x, axis), index), "f32");
}

// Training

export const straightThrough = (hard: Tensor, soft: Tensor): Tensor =>
  single("straightThrough", [hard, soft], {});
export const stopGradient = (x: Tensor): Tensor => single("stopGradient", [x], {});

// Exported files only

export const spaceToDepth = (x: Tensor, block: number): Tensor =>
  single("spaceToDepth", [x], { block });
export const resizeCubic = (x: Tensor, rows: Dim, columns: Dim): Tensor =>
  single("resizeCubic", [x], { rows, columns });

/** Sum of dimensions, for shapes of concatenations. */
export { addDims };
