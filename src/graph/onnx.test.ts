import * as ort from "onnxruntime-node";
import { describe, expect, it } from "vitest";
import { interpret, type Numbers } from "../../test/support/interpreter.js";
import { toFloat32 } from "../checkpoint/dtypes.js";
import { Random } from "../random.js";
import type { Value } from "../runtime/session.js";
import { createSession } from "../runtime/session.node.js";
import * as g from "./build.js";
import { multiplyDims } from "./dim.js";
import type { OnnxOptions } from "./onnx.js";
import { toOnnx } from "./onnx.js";
import { Message } from "./protobuf.js";
import type { Tensor } from "./tensor.js";

async function run(
  outputs: Record<string, Tensor>,
  feeds: Record<string, Value>,
  options?: OnnxOptions,
): Promise<Record<string, Value>> {
  const session = await createSession(toOnnx(outputs, options), { threads: 1 });
  try {
    return await session.run(feeds);
  } finally {
    await session.release();
  }
}

const vector = (...numbers: number[]): Value => ({
  shape: [numbers.length],
  data: Float32Array.from(numbers),
});
const normals = (seed: number, length: number, scale = 1) => {
  const random = new Random(seed);
  return Float32Array.from({ length }, () => scale * random.normal());
};
const x = g.input("x", "f32", [2]);

describe("names", () => {
  it("of inputs, outputs and symbolic sizes are those of the graph", async () => {
    const a = g.input("left side", "f32", [g.symbol("batch"), 3]);
    const bytes = toOnnx({ "sum/total": g.reduceSum(a, [1], false), doubled: g.add(a, a) });
    const session = await ort.InferenceSession.create(bytes);
    expect(session.inputNames).toEqual(["left side"]);
    expect(session.outputNames).toEqual(["sum/total", "doubled"]);
    const [input] = session.inputMetadata;
    expect(input).toMatchObject({ name: "left side", type: "float32", shape: ["batch", 3] });
    await session.release();
  });

  it("may look like those the writer makes up", async () => {
    const [t0, t1] = [g.input("t0", "f32", [2]), g.input("t1", "f32", [2])];
    const y = g.multiply(g.add(t0, t1), g.scalar(2));
    const result = await run({ t2: g.add(t0, t1), t3: y }, { t0: vector(1, 2), t1: vector(3, 4) });
    expect(Array.from(result.t2!.data)).toEqual([4, 6]);
    expect(Array.from(result.t3!.data)).toEqual([8, 12]);
  });

  it("may stand for an input as it came, and twice for one tensor", async () => {
    const y = g.add(x, x);
    const stopped = g.stopGradient(y);
    const result = await run({ same: x, y, again: y, stopped }, { x: vector(1, 2) });
    expect(Array.from(result.same!.data)).toEqual([1, 2]);
    for (const name of ["y", "again", "stopped"]) {
      expect(Array.from(result[name]!.data)).toEqual([2, 4]);
    }
  });

  it("may stand for a constant, and for what depends on weights alone", async () => {
    const weight = g.parameter("w", [2]);
    const result = await run(
      { c: g.constant(Float32Array.of(5, 6), [2]), w: g.add(weight, g.scalar(1)), y: g.exp(x) },
      { x: vector(0, 0) },
      { weights: new Map([["w", Float32Array.of(1, 2)]]) },
    );
    expect(Array.from(result.c!.data)).toEqual([5, 6]);
    expect(Array.from(result.w!.data)).toEqual([2, 3]);
  });

  it("and values are written from parts of larger arrays", async () => {
    const floats = new Float32Array([9, 1, 2, 9]).subarray(1, 3);
    const integers = new Int32Array([9, 1, 0, 9]).subarray(1, 3);
    const y = g.gather(g.constant(floats, [2]), g.constant(integers, [2]));
    const result = await run({ y: g.add(y, x) }, { x: vector(10, 20) });
    expect(Array.from(result.y!.data)).toEqual([12, 21]);
  });
});

describe("weights", () => {
  const y = g.add(x, g.parameter("layer.weight", [2]));

  it("are inputs without values", async () => {
    const result = await run({ y }, { x: vector(1, 2), "layer.weight": vector(3, 4) });
    expect(Array.from(result.y!.data)).toEqual([4, 6]);
  });

  it("that are missing or of another size are named", () => {
    expect(() => toOnnx({ y }, { weights: new Map() })).toThrow(
      'weight "layer.weight" needs 2 numbers, has none',
    );
    const weights = new Map([["layer.weight", new Float32Array(3)]]);
    expect(() => toOnnx({ y }, { weights })).toThrow(
      'weight "layer.weight" needs 2 numbers, has 3',
    );
  });

  it("are folded to the values that the engine would compute", async () => {
    const [w, v] = [g.parameter("w", [3, 4]), g.parameter("v", [2, 4])];
    const positive = g.exp(g.multiply(w, g.scalar(0.5)));
    const folded = {
      add: g.add(w, g.slice(v, 0, 0, 1)),
      subtract: g.subtract(w, g.parameter("b", [3, 1])),
      divide: g.divide(w, positive),
      minimum: g.minimum(w, g.parameter("b", [3, 1])),
      sqrt: g.sqrt(positive),
      reshape: g.reshape(w, [2, 6]),
      transpose: g.transpose(g.reshape(w, [3, 2, 2]), [2, 0, 1]),
      rows: g.concat([w, v], 0),
      columns: g.concat([w, w], 1),
      kernel: g.linear(
        g.input("z", "f32", [1, 4]),
        g.multiply(w, g.scalar(3)),
        g.parameter("c", [3]),
      ),
    };
    const weights = new Map([
      ["w", normals(1, 12)],
      ["v", normals(2, 8)],
      ["b", normals(3, 3)],
      ["c", normals(4, 3)],
    ]);
    const z: Value = { shape: [1, 4], data: normals(5, 4) };
    const feeds: Record<string, Numbers> = {
      w: { shape: [3, 4], data: weights.get("w")! },
      v: { shape: [2, 4], data: weights.get("v")! },
      b: { shape: [3, 1], data: weights.get("b")! },
      c: { shape: [3], data: weights.get("c")! },
      z,
    };
    const expected = interpret(Object.values(folded), feeds);
    const actual = await run(folded, { z }, { weights });
    Object.keys(folded).forEach((name, i) => {
      expect(actual[name]!.shape, name).toEqual(expected[i]!.shape);
      for (let k = 0; k < expected[i]!.data.length; k++) {
        expect(actual[name]!.data[k], `${name} ${k}`).toBeCloseTo(expected[i]!.data[k]!, 5);
      }
    });
  });
});

describe("half precision", () => {
  /** What the engine reads back from weights stored in half precision. */
  async function roundTrip(values: Float32Array): Promise<Float32Array> {
    const y = g.multiply(g.parameter("w", [values.length]), g.input("one", "f32", []));
    const result = await run(
      { y },
      { one: { shape: [], data: Float32Array.of(1) } },
      { weights: new Map([["w", values]]), format: "fp16" },
    );
    return result.y!.data as Float32Array;
  }
  const allHalves = () => {
    const bits = Uint16Array.from({ length: 65536 }, (_, i) => i);
    const bytes = new Uint8Array(bits.buffer);
    return toFloat32({ dtype: "F16", shape: [65536], bytes });
  };

  it("keeps every number that it can hold", async () => {
    const halves = allHalves().filter(Number.isFinite);
    expect(halves.length).toBe(2 * 31 * 1024);
    expect(Array.from(await roundTrip(halves))).toEqual(Array.from(halves));
  });

  it("rounds to the nearest, ties to even", async () => {
    const ascending = allHalves()
      .subarray(0, 0x7c00) // positive and finite
      .slice();
    // Halfway between neighbours, and the float32 just below and above it.
    const middles = ascending.subarray(0, -1).map((low, i) => (low + ascending[i + 1]!) / 2);
    const step = (value: number, by: number) => {
      const bits = new Int32Array(new Float32Array([value]).buffer);
      bits[0]! += by;
      return new Float32Array(bits.buffer)[0]!;
    };
    const rounded = await roundTrip(middles);
    const below = await roundTrip(middles.map((value) => step(value, -1)));
    const above = await roundTrip(middles.map((value) => step(value, 1)));
    const wrong = { ties: 0, below: 0, above: 0 };
    middles.forEach((_, i) => {
      if (rounded[i] !== ascending[i % 2 === 0 ? i : i + 1]) wrong.ties++;
      if (below[i] !== ascending[i]) wrong.below++;
      if (above[i] !== ascending[i + 1]) wrong.above++;
    });
    expect(wrong).toEqual({ ties: 0, below: 0, above: 0 });
  });

  it("keeps signs, infinities and what is no number; too large is infinite", async () => {
    const [zero, infinite, no, large, edge, tiny] = await roundTrip(
      Float32Array.of(-0, -Infinity, NaN, 65520, 65519.996, 2 ** -26),
    );
    expect(zero).toBe(-0);
    expect(infinite).toBe(-Infinity);
    expect(no).toBeNaN();
    expect(large).toBe(Infinity);
    expect(edge).toBe(65504);
    expect(tiny).toBe(0);
  });
});

describe("8-bit products", () => {
  it.each([false, true])("stay near full precision (transposed %s)", async (transB) => {
    const [m, k, n] = [5, 64, 32];
    const a = g.input("a", "f32", [m, k]);
    const weight = g.parameter("w", transB ? [n, k] : [k, n]);
    const y = g.gemm(a, weight, { transA: false, transB }, g.parameter("b", [n]));
    const weights = new Map([
      ["w", normals(1, k * n, 0.1)],
      ["b", normals(2, n)],
    ]);
    const feeds = { a: { shape: [m, k], data: normals(3, m * k) } };
    const [exact, coarse] = await Promise.all([
      run({ y }, feeds, { weights }),
      run({ y }, feeds, { weights, format: "int8" }),
    ]);
    // Each factor is off by half a step at most: sum over k of |a| step_w / 2 + |w| step_a / 2 + both.
    const data = feeds.a.data;
    const w = weights.get("w")!;
    const weightAt = (row: number, column: number) =>
      w[transB ? column * k + row : row * n + column]!;
    const stepA = (Math.max(0, ...data) - Math.min(0, ...data)) / 255;
    let largest = 0;
    for (let row = 0; row < m; row++) {
      for (let column = 0; column < n; column++) {
        const own = Array.from({ length: k }, (_, i) => Math.abs(weightAt(i, column)));
        const stepW = Math.max(...own) / 64;
        let bound = 1e-5;
        for (let i = 0; i < k; i++) {
          // The zero point is rounded as well: a whole step for the left side.
          bound += Math.abs(data[row * k + i]!) * (stepW / 2) + (own[i]! + stepW / 2) * stepA;
        }
        const at = row * n + column;
        const error = Math.abs(exact.y!.data[at]! - coarse.y!.data[at]!);
        expect(error).toBeLessThan(bound);
        largest = Math.max(largest, error);
      }
    }
    expect(largest).toBeGreaterThan(0); // it did compute with 8 bits
    expect(largest).toBeLessThan(0.1);
  });
});

describe("sizes", () => {
  it("that are polynomials are computed at run time", async () => {
    const [b, n] = [g.symbol("b"), g.symbol("n")];
    const a = g.input("a", "f32", [b, n]);
    const twice = g.concat([a, a, g.expand(g.scalar(7), [b, 2])], 1); // [b, 2n + 2]
    const rows = multiplyDims(b, g.addDims(g.addDims(n, n), 2));
    const y = g.expand(g.reshape(twice, [rows, 1]), [rows, 3]);
    const result = await run({ y }, { a: { shape: [2, 3], data: normals(1, 6) } });
    expect(result.y!.shape).toEqual([16, 3]);
  });

  it("that no input tells are named", () => {
    const y = g.expand(g.scalar(1), [g.symbol("unknown")]);
    expect(() => toOnnx({ y })).toThrow('no input of the graph defines the size "unknown"');
  });
});

describe("protocol buffers", () => {
  it("write numbers of more than 31 bits and negative ones", () => {
    const hex = (message: Message) => Buffer.from(message.finish()).toString("hex");
    expect(hex(new Message().integer(1, 300))).toBe("08ac02");
    expect(hex(new Message().integer(1, 2 ** 31))).toBe("088080808008");
    expect(hex(new Message().integer(1, 2 ** 53))).toBe("088080808080808010");
    expect(hex(new Message().integer(1, -1))).toBe("08ffffffffffffffffff01");
    expect(hex(new Message().float(1, 1))).toBe("0d0000803f");
    expect(hex(new Message().message(2, new Message().string(1, "ä")))).toBe("12040a02c3a4");
  });

  it("know their size before they are written", () => {
    const inner = new Message().bytes(9, new Uint8Array(200)).integer(1, 5);
    const outer = new Message().message(7, inner).string(2, "name");
    expect(outer.finish().length).toBe(outer.size);
  });
});
