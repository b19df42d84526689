// The one table of operations: for each its meaning, shape rule, ONNX lowering and gradient rule.
// To add an operation: add its attributes, its row, and a function in build.ts.

import * as g from "./build.js";
import type { Dim } from "./dim.js";
import {
  addDims,
  broadcastShapes,
  multiplyDims,
  productOf,
  sameDim,
  sameShape,
  staticDim,
} from "./dim.js";
import type { Emitter } from "./onnx.js";
import type { DType, Node, Tensor } from "./tensor.js";

/** Attributes of each operation; the keys are the closed list of operations. */
export interface Attributes {
  // Sources
  input: { name: string; dtype: DType; shape: readonly Dim[] };
  parameter: { name: string; shape: readonly number[] };
  constant: { dtype: DType; shape: readonly number[]; data: Float32Array | Int32Array };
  range: { count: Dim };
  // Element by element, with broadcasting
  add: Empty;
  subtract: Empty;
  multiply: Empty;
  divide: Empty;
  minimum: Empty;
  equal: Empty;
  where: Empty;
  negate: Empty;
  exp: Empty;
  log: Empty;
  sqrt: Empty;
  erf: Empty;
  sigmoid: Empty;
  relu: Empty;
  gelu: Empty;
  cast: { to: DType };
  // Reductions
  reduceSum: { axes: readonly number[]; keep: boolean };
  reduceMax: { axes: readonly number[]; keep: boolean };
  argMax: { axis: number };
  // Shape
  reshape: { shape: readonly Dim[] };
  transpose: { order: readonly number[] };
  concat: { axis: number };
  slice: { axis: number; start: Dim; end: Dim };
  expand: { shape: readonly Dim[] };
  // Rows
  gather: Empty;
  scatterAdd: { rows: Dim };
  // Linear algebra
  matmul: Empty;
  gemm: { transA: boolean; transB: boolean };
  softmax: { axis: number };
  layerNorm: { eps: number };
  // Training
  straightThrough: Empty;
  stopGradient: Empty;
  // Exported files only
  spaceToDepth: { block: number };
  resizeCubic: { rows: Dim; columns: Dim };
}

type Empty = Record<never, never>;

export type OperationName = keyof Attributes;
export type AttributesOf<Name extends OperationName> = Attributes[Name];

interface OutputType {
  dtype: DType;
  shape: readonly Dim[];
}

export interface Operation<Name extends OperationName> {
  /** What it computes, in one line. */
  meaning: string;
  /** Type of every output, or an error that names the shapes which do not fit. */
  shape(inputs: readonly Tensor[], attributes: AttributesOf<Name>): OutputType[];
  /** ONNX nodes that compute it; returns the names of its outputs. Sources have none. */
  lower(emit: Emitter, inputs: readonly string[], node: Node<Name>): string[];
  /**
   * Gradients of a scalar with respect to the inputs, given those with respect to the outputs
   * (`undefined`: the scalar does not depend on that output). Absent: nothing flows back.
   */
  gradient?(node: Node<Name>, grads: readonly (Tensor | undefined)[]): (Tensor | undefined)[];
}

function fail(what: string, ...tensors: readonly Tensor[]): never {
  throw new Error(`${what}, got ${tensors.map((t) => `[${t.shape.join(", ")}]`).join(" and ")}`);
}

function positiveAxis(axis: number, rank: number): number {
  return axis < 0 ? axis + rank : axis;
}

/** Sums a gradient over the axes along which its tensor was broadcast. */
function unbroadcast(grad: Tensor, shape: readonly Dim[]): Tensor {
  if (sameShape(grad.shape, shape)) return grad;
  const lead = grad.shape.length - shape.length;
  const axes = grad.shape
    .map((_, axis) => axis)
    .filter((axis) => axis < lead || (shape[axis - lead] === 1 && grad.shape[axis] !== 1));
  return g.reshape(g.reduceSum(grad, axes, true), shape);
}

function one<Name extends OperationName>(
  meaning: string,
  onnx: string,
  gradient?: (x: Tensor, y: Tensor, grad: Tensor) => Tensor,
): Operation<Name> {
  return {
    meaning,
    shape: ([x]) => [{ dtype: x!.dtype, shape: x!.shape }],
    lower: (emit, inputs) => emit.node(onnx, inputs),
    ...(gradient && {
      gradient: (node, [grad]) => [gradient(node.inputs[0]!, node.outputs[0]!, grad!)],
    }),
  };
}

function two<Name extends OperationName>(
  meaning: string,
  onnx: string,
  gradient: (a: Tensor, b: Tensor, grad: Tensor, y: Tensor) => [Tensor, Tensor],
): Operation<Name> {
  return {
    meaning,
    shape: ([a, b]) => {
      if (a!.dtype !== b!.dtype) throw new Error(`${onnx}: mixes ${a!.dtype} and ${b!.dtype}`);
      return [{ dtype: a!.dtype, shape: broadcastShapes(a!.shape, b!.shape, onnx) }];
    },
    lower: (emit, inputs) => emit.node(onnx, inputs),
    gradient: (node, [grad]) => {
      const [a, b] = node.inputs as [Tensor, Tensor];
      const [da, db] = gradient(a, b, grad!, node.outputs[0]!);
      return [unbroadcast(da, a.shape), unbroadcast(db, b.shape)];
    },
  };
}

function reducedShape(x: Tensor, axes: readonly number[], keep: boolean): Dim[] {
  const dropped = new Set(axes.map((axis) => positiveAxis(axis, x.shape.length)));
  return x.shape.flatMap((dim, axis) => (dropped.has(axis) ? (keep ? [1] : []) : [dim]));
}

const TWO_OVER_SQRT_PI = 2 / Math.sqrt(Math.PI);
const INVERSE_SQRT_2 = Math.SQRT1_2;
const LOG_TWO_OVER_SQRT_PI = Math.log(TWO_OVER_SQRT_PI);

export const operations: { readonly [Name in OperationName]: Operation<Name> } = {
  input: {
    meaning: "a tensor fed at every run",
    shape: (_, { dtype, shape }) => [{ dtype, shape }],
    lower: () => [],
  },
  parameter: {
    meaning: "a weight, stored in the file (inference) or fed (training)",
    shape: (_, { shape }) => [{ dtype: "f32", shape }],
    lower: () => [],
  },
  constant: {
    meaning: "numbers known when the graph is built",
    shape: (_, { dtype, shape }) => [{ dtype, shape }],
    lower: () => [],
  },

  range: {
    meaning: "0, 1, ..., count - 1 as i32",
    shape: (_, { count }) => [{ dtype: "i32", shape: [count] }],
    lower: (emit, _inputs, { attributes: { count } }) => {
      const [end] = emit.node("Squeeze", [emit.sizes([count])]);
      const scalars = [0, 1].map((i) => emit.node("Squeeze", [emit.integers([i])])[0]!);
      const wide = emit.node("Range", [scalars[0]!, end!, scalars[1]!]);
      return emit.node("Cast", wide, { to: emit.type("i32") });
    },
  },

  add: two("a + b", "Add", (_a, _b, grad) => [grad, grad]),
  subtract: two("a - b", "Sub", (_a, _b, grad) => [grad, g.negate(grad)]),
  multiply: two("a * b", "Mul", (a, b, grad) => [g.multiply(grad, b), g.multiply(grad, a)]),
  divide: two("a / b", "Div", (_a, b, grad, y) => {
    const da = g.divide(grad, b);
    return [da, g.negate(g.multiply(da, y))];
  }),
  minimum: two(
    "the smaller of a and b; where they are equal the gradient goes to a",
    "Min",
    (a, _b, grad, y) => {
      const zero = g.scalar(0);
      const takesA = g.equal(a, y);
      return [g.where(takesA, grad, zero), g.where(takesA, zero, grad)];
    },
  ),
  equal: {
    meaning: "whether a equals b",
    shape: ([a, b]) => [{ dtype: "bool", shape: broadcastShapes(a!.shape, b!.shape, "equal") }],
    lower: (emit, inputs) => emit.node("Equal", inputs),
  },
  where: {
    meaning: "a where the condition holds, else b",
    shape: ([condition, a, b]) => {
      const values = broadcastShapes(a!.shape, b!.shape, "where");
      return [{ dtype: a!.dtype, shape: broadcastShapes(condition!.shape, values, "where") }];
    },
    lower: (emit, inputs) => emit.node("Where", inputs),
    gradient: (node, [grad]) => {
      const [condition, a, b] = node.inputs as [Tensor, Tensor, Tensor];
      const zero = g.scalar(0);
      return [
        undefined,
        unbroadcast(g.where(condition, grad!, zero), a.shape),
        unbroadcast(g.where(condition, zero, grad!), b.shape),
      ];
    },
  },
  negate: one("-x", "Neg", (_x, _y, grad) => g.negate(grad)),
  exp: one("e^x", "Exp", (_x, y, grad) => g.multiply(grad, y)),
  log: one("natural logarithm", "Log", (x, _y, grad) => g.divide(grad, x)),
  sqrt: one("square root", "Sqrt", (_x, y, grad) => g.divide(g.multiply(grad, g.scalar(0.5)), y)),
  erf: one("Gauss error function", "Erf", (x, _y, grad) =>
    g.multiply(grad, g.multiply(g.exp(g.negate(g.multiply(x, x))), g.scalar(TWO_OVER_SQRT_PI))),
  ),
  sigmoid: one("1 / (1 + e^-x)", "Sigmoid", (_x, y, grad) =>
    g.multiply(grad, g.multiply(y, g.subtract(g.scalar(1), y))),
  ),
  relu: one("max(x, 0); no gradient at 0", "Relu", (_x, y, grad) =>
    g.where(g.equal(y, g.scalar(0)), g.scalar(0), grad),
  ),
  gelu: one("x * (1 + erf(x / sqrt 2)) / 2, exact", "Gelu", (x, _y, grad) => {
    // With a = x / sqrt 2: (1 + erf(a) + 2 a e^(-a a) / sqrt pi) / 2, constants folded into the power.
    const a = g.multiply(x, g.scalar(INVERSE_SQRT_2));
    const density = g.exp(g.subtract(g.scalar(LOG_TWO_OVER_SQRT_PI), g.multiply(a, a)));
    const twice = g.add(g.add(g.erf(a), g.multiply(a, density)), g.scalar(1));
    return g.multiply(g.multiply(grad, g.scalar(0.5)), twice);
  }),
  cast: {
    meaning: "the same numbers in another type",
    shape: ([x], { to }) => [{ dtype: to, shape: x!.shape }],
    lower: (emit, inputs, node) => emit.node("Cast", inputs, { to: emit.type(node.attributes.to) }),
  },

  reduceSum: {
    meaning: "sum over axes",
    shape: ([x], { axes, keep }) => [{ dtype: x!.dtype, shape: reducedShape(x!, axes, keep) }],
    lower: (emit, [x], { attributes: { axes, keep } }) =>
      emit.node("ReduceSum", [x!, emit.integers(axes)], { keepdims: keep ? 1 : 0 }),
    gradient: (node, [grad]) => {
      const x = node.inputs[0]!;
      const kept = g.reshape(grad!, reducedShape(x, node.attributes.axes, true));
      return [g.expand(kept, x.shape)];
    },
  },
  reduceMax: {
    meaning: "largest over axes; used for its value only",
    shape: ([x], { axes, keep }) => [{ dtype: x!.dtype, shape: reducedShape(x!, axes, keep) }],
    lower: (emit, [x], { attributes: { axes, keep } }) =>
      emit.node("ReduceMax", [x!, emit.integers(axes)], { keepdims: keep ? 1 : 0 }),
  },
  argMax: {
    meaning:
      "index of the largest along an axis, the first of equals; the axis is kept with size 1",
    shape: ([x], { axis }) => [{ dtype: "i32", shape: reducedShape(x!, [axis], true) }],
    lower: (emit, inputs, { attributes: { axis } }) => {
      const index = emit.node("ArgMax", inputs, { axis, keepdims: 1 });
      return emit.node("Cast", index, { to: emit.type("i32") });
    },
  },

  reshape: {
    meaning: "the same numbers in the same order under another shape",
    shape: ([x], { shape }) => {
      if (!sameDim(productOf(x!.shape), productOf(shape))) {
        throw new Error(`reshape: [${x!.shape.join(", ")}] does not fill [${shape.join(", ")}]`);
      }
      return [{ dtype: x!.dtype, shape }];
    },
    lower: (emit, [x], node) =>
      emit.node("Reshape", [x!, emit.reshapeTarget(node.inputs[0]!.shape, node.attributes.shape)]),
    gradient: (node, [grad]) => [g.reshape(grad!, node.inputs[0]!.shape)],
  },
  transpose: {
    meaning: "axes in another order",
    shape: ([x], { order }) => [{ dtype: x!.dtype, shape: order.map((axis) => x!.shape[axis]!) }],
    lower: (emit, inputs, node) =>
      emit.node("Transpose", inputs, { perm: [...node.attributes.order] }),
    gradient: (node, [grad]) => {
      const inverse: number[] = [];
      node.attributes.order.forEach((axis, position) => {
        inverse[axis] = position;
      });
      return [g.transpose(grad!, inverse)];
    },
  },
  concat: {
    meaning: "tensors one after the other along an axis",
    shape: (inputs, { axis }) => {
      const first = inputs[0]!;
      const shape = [...first.shape];
      for (const next of inputs.slice(1)) {
        const fits = next.shape.every((dim, i) => i === axis || sameDim(dim, shape[i]!));
        if (!fits || next.shape.length !== shape.length) fail("concat: shapes differ", first, next);
        shape[axis] = addDims(shape[axis]!, next.shape[axis]!);
      }
      return [{ dtype: first.dtype, shape }];
    },
    lower: (emit, inputs, { attributes: { axis } }) => emit.node("Concat", inputs, { axis }),
    gradient: (node, [grad]) => {
      const { axis } = node.attributes;
      let start: Dim = 0;
      return node.inputs.map((input) => {
        const end: Dim = addDims(start, input.shape[axis]!);
        const part = g.slice(grad!, axis, start, end);
        start = end;
        return part;
      });
    },
  },
  slice: {
    meaning: "the entries from start up to end along an axis",
    shape: ([x], { axis, start, end }) => {
      const shape = [...x!.shape];
      shape[axis] = addDims(end, multiplyDims(start, -1));
      return [{ dtype: x!.dtype, shape }];
    },
    lower: (emit, [x], { attributes: { axis, start, end } }) =>
      emit.node("Slice", [x!, emit.sizes([start]), emit.sizes([end]), emit.integers([axis])]),
    gradient: (node, [grad]) => {
      const x = node.inputs[0]!;
      const { axis, start, end } = node.attributes;
      const gap = (size: Dim): Tensor[] => {
        if (size === 0) return [];
        const shape = [...x.shape];
        shape[axis] = size;
        return [g.expand(g.scalar(0), shape)];
      };
      const after = addDims(x.shape[axis]!, multiplyDims(end, -1));
      return [g.concat([...gap(start), grad!, ...gap(after)], axis)];
    },
  },
  expand: {
    meaning: "repeats along axes of size 1 until it has the shape",
    shape: ([x], { shape }) => {
      if (!sameShape(broadcastShapes(x!.shape, shape, "expand"), shape)) {
        throw new Error(
          `expand: [${x!.shape.join(", ")}] does not expand to [${shape.join(", ")}]`,
        );
      }
      return [{ dtype: x!.dtype, shape }];
    },
    lower: (emit, [x], node) => emit.node("Expand", [x!, emit.sizes(node.attributes.shape)]),
    gradient: (node, [grad]) => [unbroadcast(grad!, node.inputs[0]!.shape)],
  },

  gather: {
    meaning: "rows of x [rows, ...] by index, shape [...indices, ...]",
    shape: ([x, indices]) => [
      { dtype: x!.dtype, shape: [...indices!.shape, ...x!.shape.slice(1)] },
    ],
    lower: (emit, inputs) => emit.node("Gather", inputs, { axis: 0 }),
    gradient: (node, [grad]) => {
      const [x, indices] = node.inputs as [Tensor, Tensor];
      const rest = x.shape.slice(1);
      const flatIndices = g.reshape(indices, [productOf(indices.shape)]);
      const updates = g.reshape(grad!, [productOf(indices.shape), ...rest]);
      return [g.scatterAdd(flatIndices, updates, x.shape[0]!), undefined];
    },
  },
  scatterAdd: {
    meaning: "[rows, ...] of zeros to which each update [n, ...] is added at its index [n]",
    shape: ([, updates], { rows }) => [
      { dtype: updates!.dtype, shape: [rows, ...updates!.shape.slice(1)] },
    ],
    lower: (emit, [indices, updates], node) => {
      const zeros = emit.node("Expand", [emit.number(0), emit.sizes(node.outputs[0]!.shape)]);
      const count = node.inputs[0]!.shape[0]!;
      const wide = emit.node("Cast", [indices!], { to: emit.int64 });
      const pairs = emit.node("Reshape", [wide[0]!, emit.sizes([count, 1])]);
      return emit.node("ScatterND", [zeros[0]!, pairs[0]!, updates!], { reduction: "add" });
    },
    gradient: (node, [grad]) => [undefined, g.gather(grad!, node.inputs[0]!)],
  },

  matmul: {
    meaning: "batched matrix product over the last two axes, leading axes equal",
    shape: ([a, b]) => {
      const rank = a!.shape.length;
      if (b!.shape.length !== rank || !sameDim(a!.shape[rank - 1]!, b!.shape[rank - 2]!)) {
        fail("matmul: inner sizes differ", a!, b!);
      }
      if (!sameShape(a!.shape.slice(0, -2), b!.shape.slice(0, -2))) {
        fail("matmul: leading axes differ", a!, b!);
      }
      return [{ dtype: "f32", shape: [...a!.shape.slice(0, -1), b!.shape[rank - 1]!] }];
    },
    lower: (emit, inputs) => emit.node("MatMul", inputs),
    gradient: (node, [grad]) => {
      const [a, b] = node.inputs as [Tensor, Tensor];
      return [g.matmul(grad!, g.swapLast(b)), g.matmul(g.swapLast(a), grad!)];
    },
  },
  gemm: {
    meaning: "a [m, k] times b [k, n], each optionally transposed, plus an optional bias [n]",
    shape: ([a, b, bias], { transA, transB }) => {
      const [m, k] = transA ? [a!.shape[1]!, a!.shape[0]!] : [a!.shape[0]!, a!.shape[1]!];
      const [l, n] = transB ? [b!.shape[1]!, b!.shape[0]!] : [b!.shape[0]!, b!.shape[1]!];
      if (a!.shape.length !== 2 || b!.shape.length !== 2 || !sameDim(k, l)) {
        fail("gemm: inner sizes differ", a!, b!);
      }
      if (bias && !sameShape(bias.shape, [n])) fail("gemm: bias does not fit", b!, bias);
      return [{ dtype: "f32", shape: [m, n] }];
    },
    lower: (emit, inputs, node) => emit.gemm(inputs, node),
    gradient: (node, [grad]) => {
      const [a, b, bias] = node.inputs as [Tensor, Tensor, Tensor | undefined];
      const { transA, transB } = node.attributes;
      const da = transA
        ? g.gemm(b, grad!, { transA: transB, transB: true })
        : g.gemm(grad!, b, { transA: false, transB: !transB });
      // The product over many rows runs up to twice as fast with the longer side on the left.
      const [rows, columns] = [a.shape[transA ? 0 : 1]!, b.shape[transB ? 0 : 1]!];
      const straight =
        !(typeof rows === "number" && typeof columns === "number") || rows >= columns;
      const product = straight
        ? g.gemm(a, grad!, { transA: !transA, transB: false }) // [k, n]
        : g.gemm(grad!, a, { transA: true, transB: transA }); // [n, k]
      const db = straight === transB ? g.transpose(product, [1, 0]) : product;
      return [da, db, ...(bias ? [g.reduceSum(grad!, [0], false)] : [])];
    },
  },
  softmax: {
    meaning: "e^x divided by its sum along an axis",
    shape: ([x]) => [{ dtype: "f32", shape: x!.shape }],
    lower: (emit, inputs, { attributes: { axis } }) => emit.node("Softmax", inputs, { axis }),
    gradient: (node, [grad]) => {
      const y = node.outputs[0]!;
      const weighted = g.multiply(grad!, y);
      const total = g.reduceSum(weighted, [node.attributes.axis], true);
      return [g.subtract(weighted, g.multiply(y, total))];
    },
  },
  layerNorm: {
    meaning: "normalises the last axis, scales and shifts; also gives mean and inverse deviation",
    shape: ([x, scale, bias]) => {
      const width = x!.shape.slice(-1);
      if (!sameShape(scale!.shape, width) || !sameShape(bias!.shape, width)) {
        fail("layerNorm: scale or bias does not fit", x!, scale!);
      }
      const statistics: OutputType = { dtype: "f32", shape: [...x!.shape.slice(0, -1), 1] };
      return [{ dtype: "f32", shape: x!.shape }, statistics, statistics];
    },
    lower: (emit, inputs, node) =>
      emit.node(
        "LayerNormalization",
        inputs,
        { axis: -1, epsilon: { float: node.attributes.eps } },
        emit.used(node, 1) || emit.used(node, 2) ? 3 : 1,
      ),
    gradient: (node, [grad]) => {
      const [x, scale] = node.inputs as [Tensor, Tensor];
      const [, mean, inverse] = node.outputs as [Tensor, Tensor, Tensor];
      const width = staticDim(x.shape[x.shape.length - 1]!, "layerNorm: the last axis");
      const rows = productOf(x.shape.slice(0, -1));
      const flat = (t: Tensor, columns: number) => g.reshape(t, [rows, columns]);
      const [upstream, deviations] = [flat(grad!, width), flat(inverse, 1)];
      const centred = g.subtract(flat(x, width), flat(mean, 1)); // [rows, width]
      const weighted = g.multiply(upstream, scale);
      const products = g.multiply(upstream, centred);
      // Sums over rows or columns of products are products with vectors: no pass of their own.
      const plain = { transA: false, transB: false };
      const share = g.multiply(g.reshape(scale, [width, 1]), g.scalar(1 / width));
      const projection = g.multiply(
        g.gemm(products, share, plain),
        g.multiply(deviations, deviations),
      ); // [rows, 1]
      const average = g.multiply(g.reduceSum(weighted, [1], true), g.scalar(1 / width));
      const direct = g.subtract(weighted, average);
      const dx = g.multiply(g.subtract(direct, g.multiply(centred, projection)), deviations);
      return [
        g.reshape(dx, x.shape),
        g.reshape(g.gemm(deviations, products, { transA: true, transB: false }), [width]),
        g.reduceSum(upstream, [0], false),
      ];
    },
  },

  straightThrough: {
    meaning: "the first input forward; the gradient goes to the second (paper, equation 7)",
    shape: ([hard, soft]) => {
      if (!sameShape(hard!.shape, soft!.shape))
        fail("straightThrough: shapes differ", hard!, soft!);
      return [{ dtype: "f32", shape: hard!.shape }];
    },
    lower: (_emit, inputs) => [inputs[0]!],
    gradient: (_node, [grad]) => [undefined, grad],
  },
  stopGradient: {
    meaning: "x forward, no gradient back",
    shape: ([x]) => [{ dtype: x!.dtype, shape: x!.shape }],
    lower: (_emit, inputs) => [inputs[0]!],
  },

  spaceToDepth: {
    meaning:
      "[batch, channels, height, width] to [batch, block * block * channels, rows, columns]; what is " +
      "left over at the right and at the bottom is dropped",
    shape: ([x], { block }) => {
      const [batch, channels, height, width] = x!.shape as [Dim, Dim, Dim, Dim];
      const part = (dim: Dim, name: string): Dim =>
        typeof dim === "number" ? Math.floor(dim / block) : g.symbol(name);
      return [
        {
          dtype: x!.dtype,
          shape: [
            batch,
            multiplyDims(channels, block * block),
            part(height, "rows"),
            part(width, "columns"),
          ],
        },
      ];
    },
    lower: (emit, [x], { attributes: { block } }) => {
      const [size] = emit.node("Shape", [x!], { start: 2, end: 4 });
      const [whole] = emit.node("Div", [size!, emit.integers([block])]);
      const [end] = emit.node("Mul", [whole!, emit.integers([block])]);
      const starts = emit.integers([0, 0]);
      const cut = emit.node("Slice", [x!, starts, end!, emit.integers([2, 3])]);
      return emit.node("SpaceToDepth", cut, { blocksize: block });
    },
  },
  resizeCubic: {
    meaning: "[1, channels, h, w] to [1, channels, rows, columns], bicubic a = -0.75, half-pixel",
    shape: ([x], { rows, columns }) => [
      { dtype: "f32", shape: [...x!.shape.slice(0, 2), rows, columns] },
    ],
    lower: (emit, [x], node) =>
      emit.node("Resize", [x!, "", "", emit.sizes(node.outputs[0]!.shape)], {
        mode: "cubic",
        cubic_coeff_a: { float: -0.75 },
        coordinate_transformation_mode: "half_pixel",
      }),
  },
};
