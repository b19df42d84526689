// Constant folding: what depends on weights alone (packed queries, keys and values; batch norm at
// inference) is computed once, when the file is written.

import type { Node } from "./tensor.js";

/** A folded value: numbers and their fixed shape. */
export interface Folded {
  readonly data: Float32Array;
  readonly shape: readonly number[];
}

type Binary = (a: number, b: number) => number;

const BINARY: Partial<Record<string, Binary>> = {
  add: (a, b) => a + b,
  subtract: (a, b) => a - b,
  multiply: (a, b) => a * b,
  divide: (a, b) => a / b,
  minimum: (a, b) => Math.min(a, b),
};

const UNARY: Partial<Record<string, (x: number) => number>> = {
  sqrt: Math.sqrt,
  exp: Math.exp,
};

const count = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

function strides(shape: readonly number[], broadcastTo: readonly number[]): number[] {
  const lead = broadcastTo.length - shape.length;
  let step = 1;
  const result = new Array<number>(broadcastTo.length).fill(0);
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    result[lead + axis] = shape[axis] === 1 ? 0 : step;
    step *= shape[axis]!;
  }
  return result;
}

/** Reads `source` through `steps` (one per axis of `shape`) in row-major order. */
function gatherStrided(
  source: Float32Array,
  shape: readonly number[],
  steps: readonly number[],
): Float32Array {
  const out = new Float32Array(count(shape));
  const index = new Array<number>(shape.length).fill(0);
  let offset = 0;
  for (let i = 0; i < out.length; i++) {
    out[i] = source[offset]!;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      offset += steps[axis]!;
      if (++index[axis]! < shape[axis]!) break;
      offset -= steps[axis]! * shape[axis]!;
      index[axis] = 0;
    }
  }
  return out;
}

/** Computes a node whose inputs are all folded, or `undefined` if it is left to the engine. */
export function fold(node: Node, inputs: readonly Folded[]): Folded | undefined {
  const shape = node.outputs[0]!.shape;
  if (shape.some((dim) => typeof dim !== "number")) return undefined;
  const fixed = shape as readonly number[];
  const binary = BINARY[node.operation];
  if (binary) {
    const a = gatherStrided(inputs[0]!.data, fixed, strides(inputs[0]!.shape, fixed));
    const b = gatherStrided(inputs[1]!.data, fixed, strides(inputs[1]!.shape, fixed));
    for (let i = 0; i < a.length; i++) a[i] = binary(a[i]!, b[i]!);
    return { data: a, shape: fixed };
  }
  const unary = UNARY[node.operation];
  if (unary) return { data: inputs[0]!.data.map(unary), shape: fixed };
  if (node.operation === "reshape") return { data: inputs[0]!.data, shape: fixed };
  if (node.operation === "transpose") {
    const { order } = node.attributes as { order: readonly number[] };
    const from = strides(inputs[0]!.shape, inputs[0]!.shape);
    return {
      data: gatherStrided(
        inputs[0]!.data,
        fixed,
        order.map((axis) => from[axis]!),
      ),
      shape: fixed,
    };
  }
  if (node.operation === "concat" && (node.attributes as { axis: number }).axis === 0) {
    const data = new Float32Array(count(fixed));
    let offset = 0;
    for (const part of inputs) {
      data.set(part.data, offset);
      offset += part.data.length;
    }
    return { data, shape: fixed };
  }
  return undefined;
}
