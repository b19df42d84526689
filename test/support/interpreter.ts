// The oracle of the graph's tests: every operation of the table in float64, one entry at a time.

import type { Dim } from "../../src/graph/dim.js";
import type { AttributesOf, OperationName } from "../../src/graph/operations.js";
import type { Node, Tensor } from "../../src/graph/tensor.js";
import { reachable } from "../../src/graph/tensor.js";

/** Numbers of any type (booleans as 0 and 1) and their shape. */
export interface Numbers {
  readonly shape: readonly number[];
  readonly data: ArrayLike<number>;
}

type Rule<Name extends OperationName> = (
  inputs: readonly Numbers[],
  attributes: AttributesOf<Name>,
  size: (dim: Dim) => number,
) => Numbers[];

export const count = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

/** Calls back with the index vector of every entry, in row-major order. The vector is reused. */
function eachIndex(shape: readonly number[], visit: (index: number[], flat: number) => void): void {
  const index = shape.map(() => 0);
  const total = count(shape);
  for (let flat = 0; flat < total; flat++) {
    visit(index, flat);
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      if (++index[axis]! < shape[axis]!) break;
      index[axis] = 0;
    }
  }
}

function make(shape: readonly number[], value: (index: number[]) => number): Numbers {
  const data = new Float64Array(count(shape));
  eachIndex(shape, (index, flat) => {
    data[flat] = value(index);
  });
  return { shape, data };
}

/** The entry at an index, right-aligned and broadcast along axes of size 1. */
function at({ shape, data }: Numbers, index: readonly number[]): number {
  const lead = index.length - shape.length;
  let flat = 0;
  shape.forEach((dim, axis) => {
    flat = flat * dim + (dim === 1 ? 0 : index[lead + axis]!);
  });
  return data[flat]!;
}

function broadcast(...shapes: readonly (readonly number[])[]): number[] {
  const rank = Math.max(...shapes.map((shape) => shape.length));
  return Array.from({ length: rank }, (_, axis) => {
    const dims = shapes.map((shape) => shape[axis - rank + shape.length] ?? 1);
    return dims.find((dim) => dim !== 1) ?? 1;
  });
}

const elementwise =
  (f: (...values: number[]) => number) =>
  (inputs: readonly Numbers[]): Numbers[] => [
    make(broadcast(...inputs.map((input) => input.shape)), (index) =>
      f(...inputs.map((input) => at(input, index))),
    ),
  ];

/** Error function to float64 accuracy: a series of positive terms. */
export function erf(x: number): number {
  if (Math.abs(x) > 6) return Math.sign(x);
  let term = x;
  let sum = x;
  for (let n = 1; Math.abs(term) > 1e-18 * Math.abs(sum); n++) {
    term *= (2 * x * x) / (2 * n + 1);
    sum += term;
  }
  return ((2 / Math.sqrt(Math.PI)) * sum) / Math.exp(x * x);
}

function replace(index: readonly number[], axis: number, value: number): number[] {
  const copy = [...index];
  copy[axis] = value;
  return copy;
}

function reduce(
  x: Numbers,
  axes: readonly number[],
  keep: boolean,
  start: number,
  f: (a: number, b: number) => number,
): Numbers[] {
  const dropped = axes.map((axis) => (axis < 0 ? axis + x.shape.length : axis));
  const kept = x.shape.map((dim, axis) => (dropped.includes(axis) ? 1 : dim));
  const data = new Float64Array(count(kept)).fill(start);
  eachIndex(x.shape, (index, flat) => {
    let to = 0;
    kept.forEach((dim, axis) => {
      to = to * dim + (dim === 1 ? 0 : index[axis]!);
    });
    data[to] = f(data[to]!, x.data[flat]!);
  });
  return [{ shape: keep ? kept : x.shape.filter((_, axis) => !dropped.includes(axis)), data }];
}

/** Keys' cubic kernel with a = -0.75. */
function cubic(distance: number): number {
  const d = Math.abs(distance);
  const a = -0.75;
  if (d <= 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
  if (d < 2) return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a;
  return 0;
}

const RULES: { [Name in OperationName]: Rule<Name> } = {
  input: () => {
    throw new Error("an input was not fed");
  },
  parameter: () => {
    throw new Error("a parameter was not fed");
  },
  constant: (_, { shape, data }) => [{ shape, data }],
  range: (_, { count }, size) => [make([size(count)], ([i]) => i!)],

  add: elementwise((a, b) => a + b),
  subtract: elementwise((a, b) => a - b),
  multiply: elementwise((a, b) => a * b),
  divide: elementwise((a, b) => a / b),
  minimum: elementwise(Math.min),
  equal: elementwise((a, b) => (a === b ? 1 : 0)),
  where: elementwise((condition, a, b) => (condition ? a : b)),
  negate: elementwise((x) => -x),
  exp: elementwise(Math.exp),
  log: elementwise(Math.log),
  sqrt: elementwise(Math.sqrt),
  erf: elementwise(erf),
  sigmoid: elementwise((x) => 1 / (1 + Math.exp(-x))),
  relu: elementwise((x) => Math.max(x, 0)),
  gelu: elementwise((x) => (x * (1 + erf(x * Math.SQRT1_2))) / 2),
  cast: ([x], { to }) => elementwise((v) => (to === "f32" ? v : Math.trunc(v)))([x!]),

  reduceSum: ([x], { axes, keep }) => reduce(x!, axes, keep, 0, (a, b) => a + b),
  reduceMax: ([x], { axes, keep }) => reduce(x!, axes, keep, -Infinity, Math.max),
  argMax: ([x], { axis }) => {
    const along = axis < 0 ? axis + x!.shape.length : axis;
    return [
      make(replace(x!.shape, along, 1), (index) => {
        let best = 0;
        for (let i = 1; i < x!.shape[along]!; i++) {
          if (at(x!, replace(index, along, i)) > at(x!, replace(index, along, best))) best = i;
        }
        return best;
      }),
    ];
  },

  reshape: ([x], { shape }, size) => [{ shape: shape.map(size), data: x!.data }],
  transpose: ([x], { order }) => [
    make(
      order.map((axis) => x!.shape[axis]!),
      (index) => {
        const from: number[] = [];
        order.forEach((axis, position) => {
          from[axis] = index[position]!;
        });
        return at(x!, from);
      },
    ),
  ],
  concat: (inputs, { axis }) => {
    const total = inputs.reduce((sum, { shape }) => sum + shape[axis]!, 0);
    return [
      make(replace(inputs[0]!.shape, axis, total), (index) => {
        let offset = index[axis]!;
        const part = inputs.find(({ shape }) => {
          if (offset < shape[axis]!) return true;
          offset -= shape[axis]!;
          return false;
        })!;
        return at(part, replace(index, axis, offset));
      }),
    ];
  },
  slice: ([x], { axis, start, end }, size) => [
    make(replace(x!.shape, axis, size(end) - size(start)), (index) =>
      at(x!, replace(index, axis, index[axis]! + size(start))),
    ),
  ],
  expand: ([x], { shape }, size) => [make(shape.map(size), (index) => at(x!, index))],

  gather: ([x, indices]) => {
    const lead = indices!.shape.length;
    return [
      make([...indices!.shape, ...x!.shape.slice(1)], (index) =>
        at(x!, [at(indices!, index.slice(0, lead)), ...index.slice(lead)]),
      ),
    ];
  },
  scatterAdd: ([indices, updates], { rows }, size) => {
    const rest = updates!.shape.slice(1);
    const data = new Float64Array(size(rows) * count(rest));
    eachIndex(updates!.shape, (index, flat) => {
      data[indices!.data[index[0]!]! * count(rest) + (flat % count(rest))]! += updates!.data[flat]!;
    });
    return [{ shape: [size(rows), ...rest], data }];
  },

  matmul: ([a, b]) => {
    const rank = a!.shape.length;
    return [
      make([...a!.shape.slice(0, -1), b!.shape[rank - 1]!], (index) => {
        let sum = 0;
        for (let k = 0; k < a!.shape[rank - 1]!; k++) {
          sum += at(a!, replace(index, rank - 1, k)) * at(b!, replace(index, rank - 2, k));
        }
        return sum;
      }),
    ];
  },
  gemm: ([a, b, bias], { transA, transB }) => {
    const [m, inner] = transA ? [a!.shape[1]!, a!.shape[0]!] : [a!.shape[0]!, a!.shape[1]!];
    const n = b!.shape[transB ? 0 : 1]!;
    return [
      make([m, n], ([row, column]) => {
        let sum = bias ? bias.data[column!]! : 0;
        for (let k = 0; k < inner; k++) {
          sum +=
            at(a!, transA ? [k, row!] : [row!, k]) * at(b!, transB ? [column!, k] : [k, column!]);
        }
        return sum;
      }),
    ];
  },
  softmax: ([x], { axis }) => {
    const along = axis < 0 ? axis + x!.shape.length : axis;
    const [most] = reduce(x!, [along], true, -Infinity, Math.max);
    const [powers] = elementwise((v, max) => Math.exp(v - max))([x!, most!]);
    const [total] = reduce(powers!, [along], true, 0, (a, b) => a + b);
    return elementwise((a, b) => a / b)([powers!, total!]);
  },
  layerNorm: ([x, scale, bias], { eps }) => {
    const last = x!.shape.length - 1;
    const average = (v: Numbers) =>
      elementwise((sum) => sum / x!.shape[last]!)(reduce(v, [last], true, 0, (a, b) => a + b))[0]!;
    const mean = average(x!);
    const centred = elementwise((a, b) => a - b)([x!, mean])[0]!;
    const variance = average(elementwise((v) => v * v)([centred])[0]!);
    const inverse = elementwise((v) => 1 / Math.sqrt(v + eps))([variance])[0]!;
    const y = elementwise((c, i, s, b) => c * i * s + b)([centred, inverse, scale!, bias!])[0]!;
    return [y, mean, inverse];
  },

  straightThrough: ([hard]) => [hard!],
  stopGradient: ([x]) => [x!],

  spaceToDepth: ([x], { block }) => {
    const [batch, channels, height, width] = x!.shape as [number, number, number, number];
    const [rows, columns] = [Math.floor(height / block), Math.floor(width / block)];
    return [
      make([batch, block * block * channels, rows, columns], (index) => {
        const [image, depth, row, column] = index as [number, number, number, number];
        const inside = Math.floor(depth / channels);
        return at(x!, [
          image,
          depth % channels,
          row * block + Math.floor(inside / block),
          column * block + (inside % block),
        ]);
      }),
    ];
  },
  resizeCubic: ([x], { rows, columns }, size) => {
    const [, , height, width] = x!.shape as [number, number, number, number];
    const taps = (position: number, from: number, to: number): [number, number][] => {
      const centre = ((position + 0.5) * from) / to - 0.5;
      return [-1, 0, 1, 2].map((step) => {
        const place = Math.floor(centre) + step;
        return [Math.min(Math.max(place, 0), from - 1), cubic(centre - place)];
      });
    };
    return [
      make([...x!.shape.slice(0, 2), size(rows), size(columns)], (index) => {
        const [image, channel, row, column] = index as [number, number, number, number];
        let sum = 0;
        for (const [y, wy] of taps(row, height, size(rows))) {
          for (const [x0, wx] of taps(column, width, size(columns))) {
            sum += wy * wx * at(x!, [image, channel, y, x0]);
          }
        }
        return sum;
      }),
    ];
  },
};

/** Operations that the interpreter knows: all of them. */
export const interpreted = Object.keys(RULES) as OperationName[];

/** Learns what the symbols of a shape stand for, where one dimension tells. */
function learn(shape: readonly Dim[], actual: readonly number[], symbols: Map<string, number>) {
  shape.forEach((dim, axis) => {
    const name = String(dim);
    if (typeof dim !== "number" && /^[A-Za-z]\w*$/.test(name) && !symbols.has(name)) {
      symbols.set(name, actual[axis]!);
    }
  });
}

function evaluate(dim: Dim, symbols: ReadonlyMap<string, number>): number {
  if (typeof dim === "number") return dim;
  let sum = 0;
  for (const [monomial, factor] of dim.terms) {
    sum += (monomial === "" ? [] : monomial.split("*")).reduce((product, name) => {
      const value = symbols.get(name);
      if (value === undefined) throw new Error(`nothing fed defines the size "${name}"`);
      return product * value;
    }, factor);
  }
  return sum;
}

/**
 * Values of the given tensors in float64.
 *
 * @param feeds inputs and parameters by name
 */
export function interpret(
  outputs: readonly Tensor[],
  feeds: Readonly<Record<string, Numbers>>,
): Numbers[] {
  const values = new Map<Tensor, Numbers>();
  const symbols = new Map<string, number>();
  for (const node of reachable(outputs)) {
    const inputs = node.inputs.map((tensor) => values.get(tensor)!);
    const name = (node.attributes as { name?: string }).name;
    const fed = name === undefined ? undefined : feeds[name];
    const rule = RULES[node.operation] as Rule<OperationName>;
    const results = fed
      ? [fed]
      : rule(inputs, node.attributes as Node["attributes"], (dim) => evaluate(dim, symbols));
    node.outputs.forEach((tensor, i) => {
      const result = results[i]!;
      learn(tensor.shape, result.shape, symbols);
      const expected = tensor.shape.map((dim) => evaluate(dim, symbols));
      if (String(expected) !== String(result.shape)) {
        throw new Error(`${node.operation}: the table says [${expected}], it is [${result.shape}]`);
      }
      values.set(tensor, result);
    });
  }
  return outputs.map((tensor) => values.get(tensor)!);
}

/** Value of a polynomial of dimensions, for tests of their arithmetic. */
export function evaluateDim(dim: Dim, sizes: Readonly<Record<string, number>>): number {
  return evaluate(dim, new Map(Object.entries(sizes)));
}
