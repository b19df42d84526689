import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { count, interpret, interpreted, type Numbers } from "../../test/support/interpreter.js";
import { Random } from "../random.js";
import type { Value } from "../runtime/session.js";
import { createSession } from "../runtime/session.node.js";
import * as g from "./build.js";
import type { Dim } from "./dim.js";
import { multiplyDims } from "./dim.js";
import { gradient } from "./gradient.js";
import { toOnnx } from "./onnx.js";
import type { OperationName } from "./operations.js";
import { operations } from "./operations.js";
import type { DType, Tensor } from "./tensor.js";
import { reachable } from "./tensor.js";

interface Argument {
  /** Numbers are fixed; names may become symbols. */
  dims: readonly (number | string)[];
  dtype?: DType;
  value?(random: Random): number;
}

interface Case {
  inputs: Argument[];
  build(inputs: Tensor[], dim: (name: string) => Dim): Tensor[];
  /** No central differences: the gradient is not that of the value, or there is none. */
  forwardOnly?: boolean;
}

const normal = (random: Random) => random.normal();
const positive = (random: Random) => 0.3 + 2 * random.uniform();
/** At least 0.05 from zero: far from kinks for central differences. */
const offZero = (random: Random) => {
  const value = random.normal();
  return value + 0.05 * Math.sign(value);
};

const MN = ["m", "n"] as const;
const unary = (f: (x: Tensor) => Tensor, value = normal): Case => ({
  inputs: [{ dims: ["b", ...MN], value }],
  build: ([x]) => [f(x!)],
});
const binary = (f: (a: Tensor, b: Tensor) => Tensor, value = normal): Case[] =>
  (
    [
      [MN, MN],
      [["b", ...MN], MN],
      [["n"], ["b", "m", 1]],
      [
        ["b", 1, "n"],
        ["m", 1],
      ],
      [[], MN],
      [
        [1, 1],
        ["b", "m", "n"],
      ],
    ] as (number | string)[][][]
  ).map(([left, right]) => ({
    inputs: [
      { dims: left!, value: normal },
      { dims: right!, value },
    ],
    build: ([a, b]) => [f(a!, b!)],
  }));

const gemms: Case[] = [false, true].flatMap((transA) =>
  [false, true].flatMap((transB) =>
    [false, true].map((bias): Case => {
      const inputs: Argument[] = [
        { dims: transA ? ["k", "m"] : ["m", "k"] },
        { dims: transB ? ["n", "k"] : ["k", "n"] },
        ...(bias ? [{ dims: ["n"] }] : []),
      ];
      return { inputs, build: ([a, b, c]) => [g.gemm(a!, b!, { transA, transB }, c)] };
    }),
  ),
);

const bit = (random: Random) => random.integer(2);

/** Ways to use each operation. The type asks for every operation of the table. */
const CASES: Record<OperationName, Case[]> = {
  input: [{ inputs: [{ dims: MN }], build: ([x]) => [g.add(x!, x!)] }],
  parameter: [
    {
      inputs: [{ dims: [3] }],
      build: ([x]) => [g.add(x!, g.multiply(g.parameter("weight", [3]), g.scalar(2)))],
      forwardOnly: true,
    },
  ],
  constant: [
    {
      inputs: [{ dims: ["m", 2] }],
      build: ([x]) => [g.add(x!, g.constant(Float32Array.of(1.5, -2.25), [2]))],
    },
  ],
  range: [
    {
      inputs: [{ dims: ["m", "n"] }],
      build: ([x], dim) => [g.add(x!, g.cast(g.range(dim("n")), "f32"))],
      forwardOnly: true,
    },
    { inputs: [{ dims: ["m"] }], build: ([x]) => [x!, g.range(5)], forwardOnly: true },
  ],
  add: binary(g.add),
  subtract: binary(g.subtract),
  multiply: binary(g.multiply),
  divide: binary(g.divide, positive),
  minimum: binary(g.minimum),
  equal: [
    {
      inputs: [
        { dims: ["m", "n"], dtype: "i32", value: bit },
        { dims: ["n"], dtype: "i32", value: bit },
      ],
      build: ([a, b]) => [g.cast(g.equal(a!, b!), "f32")],
      forwardOnly: true,
    },
  ],
  where: [
    {
      inputs: [
        { dims: ["m", 1], dtype: "i32", value: bit },
        { dims: ["m", "n"] },
        { dims: ["b", 1, "n"] },
      ],
      build: ([c, a, b]) => [g.where(g.equal(c!, g.constant(Int32Array.of(1), [1])), a!, b!)],
    },
  ],
  negate: [unary(g.negate)],
  exp: [unary(g.exp)],
  log: [unary(g.log, positive)],
  sqrt: [unary(g.sqrt, positive)],
  erf: [unary(g.erf)],
  sigmoid: [unary(g.sigmoid), unary(g.quickGelu)],
  relu: [unary(g.relu, offZero)],
  gelu: [unary(g.gelu)],
  cast: [
    {
      inputs: [{ dims: MN, value: (random) => 10 * random.normal() }],
      build: ([x]) => [g.cast(x!, "i32")],
      forwardOnly: true,
    },
  ],
  reduceSum: [
    ...[[0], [1], [2], [0, 2], [0, 1, 2], [-1]].flatMap((axes) =>
      [true, false].map((keep): Case => unary((x) => g.reduceSum(x, axes, keep))),
    ),
    unary((x) => g.reduceMean(x, 1, false)),
    unary((x) => g.reduceMean(x, 2, true)),
  ],
  reduceMax: [[0], [-1], [1, 2]].flatMap((axes) =>
    [true, false].map(
      (keep): Case => ({ ...unary((x) => g.reduceMax(x, axes, keep)), forwardOnly: true }),
    ),
  ),
  argMax: [
    ...[0, 1, -1].map((axis): Case => ({ ...unary((x) => g.argMax(x, axis)), forwardOnly: true })),
    // Ties: the first of equals.
    { ...unary((x) => g.argMax(x, 1), bit), forwardOnly: true },
    {
      inputs: [{ dims: ["b", 4, "n"], value: bit }],
      build: ([x]) => [g.oneHotMax(x!, 1)],
      forwardOnly: true,
    },
  ],
  reshape: [
    {
      inputs: [{ dims: ["b", ...MN, 6] }],
      build: ([x], dim) => [
        g.multiply(
          g.reshape(g.reshape(x!, [multiplyDims(dim("b"), dim("m")), dim("n"), 6]), [
            dim("b"),
            multiplyDims(dim("m"), dim("n")),
            2,
            3,
          ]),
          g.scalar(1),
        ),
      ],
    },
    {
      inputs: [{ dims: ["b", "m", 4] }],
      build: ([x], dim) => [g.reshape(g.exp(x!), [2, dim("m"), 2, dim("b")])],
    },
  ],
  transpose: [
    [2, 0, 1],
    [0, 2, 1],
    [1, 2, 0],
  ].map((order) => unary((x) => g.transpose(x, order))),
  concat: [0, 1].map((axis) => ({
    inputs: [
      { dims: axis === 0 ? ["b", "n"] : ["m", "b"] },
      { dims: MN },
      { dims: axis === 0 ? [2, "n"] : ["m", 2] },
    ],
    build: (inputs) => [g.concat(inputs, axis)],
  })),
  slice: [
    {
      inputs: [{ dims: ["b", 5, "n"] }],
      build: ([x]) => [g.slice(x!, 1, 0, 2), g.slice(x!, 1, 1, 4), g.slice(x!, 1, 2, 5)],
    },
    {
      inputs: [{ dims: ["b", "m"] }, { dims: ["b", "n"] }],
      build: ([a, b], dim) => {
        const both = g.concat([a!, b!], 1);
        return [
          g.slice(both, 1, 0, dim("m")),
          g.slice(both, 1, dim("m"), g.addDims(dim("m"), dim("n"))),
        ];
      },
    },
  ],
  expand: [
    {
      inputs: [{ dims: [1, "n"] }],
      build: ([x], dim) => [g.expand(x!, [dim("n"), 3, dim("n")])],
    },
    { inputs: [{ dims: [] }], build: ([x]) => [g.expand(x!, [2, 3])] },
  ],
  gather: [
    {
      inputs: [
        { dims: [3, "n"] },
        { dims: ["b", "m"], dtype: "i32", value: (random) => random.integer(3) },
      ],
      build: ([x, indices]) => [g.gather(x!, indices!)],
    },
    {
      inputs: [
        { dims: ["m", 2, 2] },
        { dims: ["b"], dtype: "i32", value: () => 0 }, // one row, many times
      ],
      build: ([x, indices]) => [g.gather(x!, indices!)],
    },
  ],
  scatterAdd: [
    {
      inputs: [
        { dims: ["b"], dtype: "i32", value: (random) => random.integer(2) },
        { dims: ["b", "n"] },
      ],
      build: ([indices, updates]) => [g.scatterAdd(indices!, updates!, 4)],
    },
    {
      inputs: [{ dims: ["b"], dtype: "i32", value: () => 0 }, { dims: ["b", "m", 2] }],
      build: ([indices, updates], dim) => [g.scatterAdd(indices!, updates!, dim("m"))],
    },
  ],
  matmul: [
    {
      inputs: [{ dims: ["m", "k"] }, { dims: ["k", "n"] }],
      build: ([a, b]) => [g.matmul(a!, b!)],
    },
    {
      inputs: [{ dims: ["b", 2, "m", "k"] }, { dims: ["b", 2, "n", "k"] }],
      build: ([a, b]) => [g.matmul(a!, g.swapLast(b!))],
    },
  ],
  gemm: [
    ...gemms,
    {
      inputs: [{ dims: ["b", "m", 5] }, { dims: [3, 5] }, { dims: [3] }],
      build: ([x, weight, bias]) => [g.linear(x!, weight!, bias!)],
    },
    {
      inputs: [{ dims: ["m", 5] }, { dims: [3, 5] }],
      build: ([x, weight]) => [g.linear(x!, weight!)],
    },
  ],
  softmax: [0, 1, -1].map((axis) => unary((x) => g.softmax(x, axis))),
  layerNorm: [
    {
      inputs: [{ dims: ["b", "m", 7] }, { dims: [7] }, { dims: [7] }],
      build: ([x, scale, bias]) => [g.layerNorm(x!, scale!, bias!, 1e-5)],
    },
    {
      inputs: [{ dims: ["m", 5] }, { dims: [5] }, { dims: [5] }],
      build: ([x, scale, bias]) => {
        const y = g.layerNorm(x!, scale!, bias!, 0.1);
        return [y, ...y.node.outputs.slice(1)];
      },
      forwardOnly: true, // mean and deviation are for the gradient rule alone
    },
  ],
  straightThrough: [
    {
      inputs: [{ dims: MN }, { dims: MN }],
      build: ([hard, soft]) => [g.straightThrough(g.exp(hard!), soft!)],
      forwardOnly: true, // "gives the value of one input and the gradient of the other"
    },
  ],
  stopGradient: [
    {
      inputs: [{ dims: MN }],
      build: ([x]) => [g.stopGradient(g.exp(x!))],
      forwardOnly: true,
    },
  ],
  spaceToDepth: [
    {
      inputs: [{ dims: ["b", "c", 4, 6] }],
      build: ([x]) => [g.spaceToDepth(x!, 2)],
      forwardOnly: true,
    },
    {
      inputs: [{ dims: [1, 3, 6, 3] }],
      build: ([x]) => [g.spaceToDepth(x!, 3)],
      forwardOnly: true,
    },
    {
      inputs: [{ dims: [2, 3, 5, 7] }],
      build: ([x]) => [g.spaceToDepth(x!, 2)],
      forwardOnly: true,
    },
  ],
  resizeCubic: [
    [4, 3, 7, 5],
    [7, 6, 3, 4],
    [3, 3, 3, 3],
    [2, 5, 9, 1],
  ].map(([height, width, rows, columns]) => ({
    inputs: [{ dims: [1, "c", height!, width!] }],
    build: ([x]) => [g.resizeCubic(x!, rows!, columns!)],
    forwardOnly: true,
  })),
};

/** Operations through which nothing flows back, by definition. */
const WITHOUT_GRADIENT: OperationName[] = [
  "input",
  "parameter",
  "constant",
  "range",
  "equal",
  "cast",
  "reduceMax",
  "argMax",
  "stopGradient",
  "spaceToDepth",
  "resizeCubic",
];

const NAMES = Object.keys(operations) as OperationName[];

interface Built {
  inputs: Tensor[];
  outputs: Tensor[];
  feeds: Record<string, Numbers>;
}

/** The case with sizes and values from a seed. */
function build(test: Case, seed: number, symbolic: boolean): Built {
  const random = new Random(seed);
  const sizes = new Map<string, number>();
  for (const name of ["b", "m", "n", "k", "c"]) sizes.set(name, 1 + random.integer(4));
  const dim = (name: string): Dim => (symbolic ? g.symbol(name) : sizes.get(name)!);
  const feeds: Record<string, Numbers> = {};
  const inputs = test.inputs.map(({ dims, dtype = "f32", value = normal }, i) => {
    const shape = dims.map((d) => (typeof d === "number" ? d : sizes.get(d)!));
    const data = Float32Array.from({ length: count(shape) }, () => value(random));
    feeds[`x${i}`] = { shape, data };
    return g.input(
      `x${i}`,
      dtype,
      dims.map((d) => (typeof d === "number" ? d : dim(d))),
    );
  });
  feeds.weight = { shape: [3], data: Float32Array.of(0.5, -1.25, 3) };
  return { inputs, outputs: test.build(inputs, dim), feeds };
}

/** Runs a graph on the engine, fed by name with what it asks for. */
async function runOnnx(
  outputs: readonly Tensor[],
  feeds: Readonly<Record<string, Numbers>>,
): Promise<Numbers[]> {
  const bytes = toOnnx(Object.fromEntries(outputs.map((tensor, i) => [`y${i}`, tensor])), {
    weights: new Map([["weight", feeds.weight!.data as Float32Array]]),
  });
  const fed: Record<string, Value> = {};
  for (const node of reachable(outputs)) {
    if (node.operation !== "input") continue;
    const { name, dtype } = node.attributes as { name: string; dtype: DType };
    const { shape, data } = feeds[name]!;
    fed[name] = {
      shape,
      data: dtype === "i32" ? Int32Array.from(data) : Float32Array.from(data),
    };
  }
  const session = await createSession(bytes, { threads: 1 });
  try {
    const results = await session.run(fed);
    return outputs.map((_, i) => results[`y${i}`]!);
  } finally {
    await session.release();
  }
}

function largestError(actual: Numbers, expected: Numbers): number {
  expect(actual.shape).toEqual(expected.shape);
  const scale = Array.from(expected.data).reduce((most, x) => Math.max(most, Math.abs(x)), 1);
  let most = 0;
  for (let i = 0; i < expected.data.length; i++) {
    const error = Math.abs(actual.data[i]! - expected.data[i]!) / scale;
    if (!(error <= most)) most = error;
  }
  return most;
}

/** A scalar that weighs every entry of every output differently. */
function weighted(outputs: readonly Tensor[], feeds: Record<string, Numbers>): Tensor {
  const random = new Random(77);
  return outputs
    .map((y, i) => {
      const [{ shape }] = interpret([y], feeds) as [Numbers];
      const data = Float32Array.from({ length: count(shape) }, () => random.normal());
      feeds[`w${i}`] = { shape, data };
      return g.reduceSum(
        g.multiply(y, g.input(`w${i}`, "f32", y.shape)),
        y.shape.map((_, axis) => axis),
        false,
      );
    })
    .reduce(g.add);
}

describe("the table of operations", () => {
  it("is known to the interpreter, and every operation has cases", () => {
    expect(interpreted.sort()).toEqual([...NAMES].sort());
    for (const name of NAMES) {
      const used = CASES[name].every((test) => {
        const { outputs, inputs } = build(test, 1, false);
        const seen = new Set<string>();
        const visit = (tensor: Tensor): void => {
          seen.add(tensor.node.operation);
          tensor.node.inputs.forEach(visit);
        };
        [...outputs, ...inputs].forEach(visit);
        return seen.has(name);
      });
      expect(CASES[name].length > 0 && used, name).toBe(true);
    }
  });

  it("has a gradient rule for all but the declared operations", () => {
    expect(NAMES.filter((name) => !operations[name].gradient)).toEqual(WITHOUT_GRADIENT);
  });

  it("says in one line what each operation means", () => {
    for (const name of NAMES) expect(operations[name].meaning, name).toMatch(/^[^\n]+$/);
  });
});

const each = NAMES.flatMap((name) => CASES[name].map((test, i) => ({ name, i, test })));

describe("lowering to ONNX", () => {
  it.each(each)("$name $i equals the interpreter, sizes fixed or symbolic", async ({ test }) => {
    await fc.assert(
      fc.asyncProperty(fc.integer(), fc.boolean(), async (seed, symbolic) => {
        const { outputs, feeds } = build(test, seed, symbolic);
        const expected = interpret(outputs, feeds);
        const actual = await runOnnx(outputs, feeds);
        actual.forEach((value, i) => {
          expect(largestError(value, expected[i]!)).toBeLessThan(2e-6);
        });
      }),
      {
        seed: 11,
        numRuns: 6,
        examples: [
          [1, false],
          [1, true],
        ],
      },
    );
  });
});

describe("gradient rules", () => {
  const smooth = each.filter(({ test }) => !test.forwardOnly);

  it("are all checked", () => {
    const checked = new Set(smooth.map(({ name }) => name));
    const rules = NAMES.filter((name) => operations[name].gradient);
    // Tested by itself below.
    expect(rules.filter((name) => !checked.has(name))).toEqual(["straightThrough"]);
  });

  it.each(smooth)("$name $i equals central differences", ({ test }) => {
    fc.assert(
      fc.property(fc.integer(), fc.boolean(), (seed, symbolic) => {
        const { inputs, outputs, feeds } = build(test, seed, symbolic);
        const wanted = inputs.filter(({ dtype }) => dtype === "f32");
        const loss = weighted(outputs, feeds);
        // The loss comes along because it reads every input: that defines the symbolic sizes.
        const [, ...grads] = interpret([loss, ...gradient(loss, wanted)], feeds);
        wanted.forEach((tensor, i) => {
          const { name } = tensor.node.attributes as { name: string };
          const { shape, data } = feeds[name]!;
          const step = 1e-5;
          const differences = Float64Array.from(data, (_, entry) => {
            const [up, down] = [step, -step].map((delta) => {
              const moved = Float64Array.from(data);
              moved[entry]! += delta;
              return interpret([loss], { ...feeds, [name]: { shape, data: moved } })[0]!.data[0]!;
            });
            return (up! - down!) / (2 * step);
          });
          expect(largestError(grads[i]!, { shape, data: differences })).toBeLessThan(1e-6);
        });
      }),
      { seed: 12, numRuns: 6 },
    );
  });

  it.each(smooth)(
    "$name $i: the gradient on the engine equals the interpreter",
    async ({ test }) => {
      await fc.assert(
        fc.asyncProperty(fc.integer(), fc.boolean(), async (seed, symbolic) => {
          const { inputs, outputs, feeds } = build(test, seed, symbolic);
          const wanted = inputs.filter(({ dtype }) => dtype === "f32");
          const loss = weighted(outputs, feeds);
          const both = [loss, ...gradient(loss, wanted)];
          const actual = await runOnnx(both, feeds);
          interpret(both, feeds).forEach((expected, i) => {
            expect(largestError(actual[i]!, expected)).toBeLessThan(5e-6);
          });
        }),
        { seed: 13, numRuns: 3 },
      );
    },
  );

  it("straightThrough gives one input forward and its gradient to the other", () => {
    const hard = g.input("hard", "f32", [2, 2]);
    const soft = g.input("soft", "f32", [2, 2]);
    const weights = g.constant(Float32Array.of(1, 2, 3, 4), [2, 2]);
    const y = g.straightThrough(g.multiply(hard, g.scalar(2)), g.multiply(soft, g.scalar(3)));
    const loss = g.reduceSum(g.multiply(y, weights), [0, 1], false);
    const feeds = {
      hard: { shape: [2, 2], data: [1, 0, 0, 1] },
      soft: { shape: [2, 2], data: [0.5, 0.2, 0.1, 0.7] },
    };
    const [value, ...grads] = interpret([loss, ...gradient(loss, [hard, soft])], feeds);
    expect(value!.data[0]).toBe(2 * 1 + 2 * 4);
    expect(Array.from(grads[0]!.data)).toEqual([0, 0, 0, 0]);
    expect(Array.from(grads[1]!.data)).toEqual([3, 6, 9, 12]);
  });

  it("minimum gives the gradient of equal values to its first input", () => {
    const a = g.input("a", "f32", [3]);
    const b = g.input("b", "f32", []);
    const loss = g.reduceSum(g.minimum(a, b), [0], false);
    const grads = interpret(gradient(loss, [a, b]), {
      a: { shape: [3], data: [1, 2, 3] },
      b: { shape: [], data: [2] },
    });
    expect(grads.map(({ data }) => Array.from(data))).toEqual([[1, 1, 0], [1]]);
  });

  it("relu passes nothing back at 0", () => {
    const x = g.input("x", "f32", [3]);
    const [grad] = interpret(gradient(g.reduceSum(g.relu(x), [0], false), [x]), {
      x: { shape: [3], data: [-1, 0, 1] },
    });
    expect(Array.from(grad!.data)).toEqual([0, 0, 1]);
  });
});

describe("shortcuts", () => {
  const feeds = (shape: readonly number[], seed: number): Numbers => {
    const random = new Random(seed);
    return { shape, data: Float64Array.from({ length: count(shape) }, () => random.normal()) };
  };
  /** Values and gradients of two ways to compute the same, in float64. */
  function expectSame(
    shapes: readonly (readonly number[])[],
    fused: (...x: Tensor[]) => Tensor,
    plain: (...x: Tensor[]) => Tensor,
  ): void {
    const inputs = shapes.map((shape, i) => g.input(`x${i}`, "f32", shape));
    const fed: Record<string, Numbers> = {};
    shapes.forEach((shape, i) => {
      fed[`x${i}`] = feeds(shape, i);
    });
    const both = [fused, plain].map((f) => {
      const y = f(...inputs);
      return interpret([y, ...gradient(weighted([y], fed), inputs)], fed);
    });
    both[0]!.forEach((value, i) => {
      expect(largestError(value, both[1]![i]!)).toBeLessThan(1e-7); // constants are float32
    });
  }
  const square = (x: Tensor) => g.multiply(x, x);

  it("layerNorm is its formula", () => {
    expectSame(
      [[3, 2, 8], [8], [8]],
      (x, scale, bias) => g.layerNorm(x, scale, bias, 0.25),
      (x, scale, bias) => {
        const centred = g.subtract(x, g.reduceMean(x, 2, true));
        const variance = g.reduceMean(square(centred), 2, true);
        const normed = g.divide(centred, g.sqrt(g.add(variance, g.scalar(0.25))));
        return g.add(g.multiply(normed, scale), bias);
      },
    );
  });

  it("gelu is its form with the error function", () => {
    expectSame([[4, 5]], g.gelu, (x) =>
      g.multiply(
        g.multiply(x, g.scalar(0.5)),
        g.add(g.erf(g.multiply(x, g.scalar(Math.SQRT1_2))), g.scalar(1)),
      ),
    );
  });

  it("softmax is e^x over its sum", () => {
    for (const axis of [0, 1]) {
      expectSame(
        [[4, 5]],
        (x) => g.softmax(x, axis),
        (x) => g.divide(g.exp(x), g.reduceSum(g.exp(x), [axis], true)),
      );
    }
  });

  it.each([
    [false, false],
    [false, true],
    [true, false],
    [true, true],
  ])("gemm transposes its sides (%s, %s)", (transA, transB) => {
    const shapes = [transA ? [4, 3] : [3, 4], transB ? [5, 4] : [4, 5], [5]];
    const plain = (a: Tensor, b: Tensor, bias: Tensor) =>
      g.add(g.matmul(transA ? g.swapLast(a) : a, transB ? g.swapLast(b) : b), bias);
    expectSame(shapes, (a, b, bias) => g.gemm(a, b, { transA, transB }, bias), plain);
  });

  it("reduceMean of a run-time size is that of a fixed one", () => {
    const [rows, columns] = [g.symbol("rows"), 3];
    const x = g.input("x0", "f32", [rows, columns]);
    const fixed = g.input("x0", "f32", [4, columns]);
    const fed = { x0: feeds([4, 3], 3) };
    const [a, b] = [x, fixed].map((tensor) => {
      const mean = g.reduceMean(tensor, 0, false);
      const loss = g.reduceSum(square(mean), [0], false);
      return interpret([mean, ...gradient(loss, [tensor])], fed);
    });
    a!.forEach((value, i) => {
      expect(largestError(value, b![i]!)).toBeLessThan(1e-7);
    });
  });

  it("gather of repeated rows sums their gradients", () => {
    const x = g.input("x", "f32", [3, 2]);
    const indices = g.constant(Int32Array.of(2, 0, 2, 2), [4]);
    const weights = g.constant(Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8), [4, 2]);
    const loss = g.reduceSum(g.multiply(g.gather(x, indices), weights), [0, 1], false);
    const [grad] = interpret(gradient(loss, [x]), { x: feeds([3, 2], 1) });
    expect(Array.from(grad!.data)).toEqual([3, 4, 0, 0, 13, 16]);
  });
});

describe("shape rules", () => {
  const x = g.input("x", "f32", [2, 3]);
  const y = g.input("y", "f32", [4, 5]);
  const i = g.input("i", "i32", [2, 3]);
  it.each<[string, () => Tensor, RegExp]>([
    ["add", () => g.add(x, y), /Add: shapes \[2, 3\] and \[4, 5\] do not broadcast/],
    ["mixed types", () => g.add(x, i), /Add: mixes f32 and i32/],
    ["reshape", () => g.reshape(x, [4, 2]), /reshape: \[2, 3\] does not fill \[4, 2\]/],
    ["expand", () => g.expand(x, [2, 4]), /expand: .*\[2, 3\].*\[2, 4\]/],
    ["concat", () => g.concat([x, y], 0), /concat: shapes differ, got \[2, 3\] and \[4, 5\]/],
    ["matmul", () => g.matmul(x, y), /matmul: inner sizes differ/],
    [
      "gemm",
      () => g.gemm(x, y, { transA: false, transB: false }),
      /gemm: inner sizes differ, got \[2, 3\] and \[4, 5\]/,
    ],
    [
      "gemm bias",
      () => g.gemm(x, y, { transA: true, transB: true }, x),
      /gemm: inner sizes differ|gemm: bias/,
    ],
    ["layerNorm", () => g.layerNorm(x, y, y, 1e-5), /layerNorm: scale or bias does not fit/],
    ["straightThrough", () => g.straightThrough(x, y), /straightThrough: shapes differ/],
    ["constant", () => g.constant(new Float32Array(5), [2, 3]), /5 numbers do not fill \[2, 3\]/],
    ["oneHotMax", () => g.oneHotMax(g.input("z", "f32", [g.symbol("n")]), 0), /fixed size/],
  ])("%s names the shapes that do not fit", (_, make, message) => {
    expect(make).toThrow(message);
  });
});
