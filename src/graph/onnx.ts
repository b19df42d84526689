// Turns a graph into the bytes of an ONNX file (opset 20; standard operations only, unless asked
// otherwise).

import { float32ToFloat16 } from "../half.js";
import type { Attention } from "./attention.js";
import { findAttentions } from "./attention.js";
import type { Dim } from "./dim.js";
import { SymbolicDim, sameDim } from "./dim.js";
import type { Folded } from "./fold.js";
import { fold } from "./fold.js";
import { operations } from "./operations.js";
import { Message } from "./protobuf.js";
import type { DType, Node, Tensor } from "./tensor.js";
import { reachable } from "./tensor.js";

const OPSET = 20;
const IR_VERSION = 9;
const ONNX_TYPE = { f32: 1, u8: 2, i8: 3, i32: 6, i64: 7, bool: 9, f16: 10 } as const;
type OnnxType = keyof typeof ONNX_TYPE;

/** How weights are stored: full precision, half precision (computed in full), or 8-bit products. */
export type WeightFormat = "fp32" | "fp16" | "int8";

export interface OnnxOptions {
  /** Weights by parameter name, stored in the file. Without them every parameter becomes an input. */
  weights?: ReadonlyMap<string, Float32Array>;
  /** Default `fp32`. */
  format?: WeightFormat;
  /** Use ONNX Runtime's own operation for attention: for its CPU provider only. Default: standard. */
  fuseAttention?: boolean;
  /**
   * Takes the large stored tensors by name; the file then only names them. The engine reads them from
   * here, which spares two copies of all weights.
   */
  external?: Map<string, Uint8Array>;
  /** Name written into the file. */
  name?: string;
  /** Free text key-value pairs written into the file. */
  metadata?: Readonly<Record<string, string>>;
}

/** ONNX Runtime's own operations. */
const RUNTIME_DOMAIN = "com.microsoft";
/** Stored tensors from this size on may be kept outside the file. */
const EXTERNAL_BYTES = 4096;

type AttributeValue = number | string | readonly number[] | { float: number };

interface OnnxNode {
  type: string;
  inputs: string[];
  outputs: string[];
  attributes: Record<string, AttributeValue>;
  /** Default: ONNX's own. */
  domain?: string;
}

/** What lowering rules (operations.ts) write through. */
export interface Emitter {
  readonly int64: number;
  /** Adds an ONNX node; returns the names of its outputs. */
  node(
    type: string,
    inputs: readonly string[],
    attributes?: Record<string, AttributeValue>,
    outputs?: number,
  ): string[];
  /** A stored int64 vector. */
  integers(values: readonly number[]): string;
  /** A stored float scalar. */
  number(value: number): string;
  /** An int64 vector of dimensions, computed at run time where they are symbolic. */
  sizes(dims: readonly Dim[]): string;
  /** As `sizes`, with ONNX's shorthands 0 (same as the input) and -1 (what is left) where they do. */
  reshapeTarget(from: readonly Dim[], to: readonly Dim[]): string;
  /** ONNX's number of a type. */
  type(dtype: DType): number;
  /** Whether anything uses output `index` of the node. */
  used(node: Node, index: number): boolean;
  /** A matrix product in the file's weight format; it names its right side itself. */
  gemm(inputs: readonly string[], node: Node<"gemm">): string[];
}

class Writer implements Emitter {
  readonly int64 = ONNX_TYPE.i64;
  readonly nodes: OnnxNode[] = [];
  readonly initializers: Message[] = [];
  private readonly names = new Map<Tensor, string>();
  private readonly folded = new Map<Tensor, Folded>();
  private readonly symbols = new Map<string, { name: string; axis: number }>();
  private readonly stored = new Map<string, string>();
  private readonly usedOutputs = new Set<Tensor>();
  private next = 0;

  constructor(
    private readonly format: WeightFormat,
    order: readonly Node[],
    outputs: readonly Tensor[],
    private readonly external?: Map<string, Uint8Array>,
  ) {
    for (const node of order) for (const input of node.inputs) this.usedOutputs.add(input);
    for (const output of outputs) this.usedOutputs.add(output);
  }

  fresh(): string {
    // Not a name that an input, a parameter or an output could have.
    return `%${this.next++}`;
  }

  node(
    type: string,
    inputs: readonly string[],
    attributes: Record<string, AttributeValue> = {},
    outputs = 1,
  ): string[] {
    const names = Array.from({ length: outputs }, () => this.fresh());
    this.nodes.push({ type, inputs: [...inputs], outputs: names, attributes });
    return names;
  }

  type(dtype: DType): number {
    return ONNX_TYPE[dtype];
  }

  used(node: Node, index: number): boolean {
    return this.usedOutputs.has(node.outputs[index]!);
  }

  store(
    type: OnnxType,
    shape: readonly number[],
    bytes: Uint8Array,
    name: string = this.fresh(),
  ): string {
    const message = new Message();
    for (const dim of shape) message.integer(1, dim);
    message.integer(2, ONNX_TYPE[type]).string(8, name);
    if (this.external && bytes.length >= EXTERNAL_BYTES) {
      for (const [key, value] of [
        ["location", name],
        ["offset", "0"],
        ["length", String(bytes.length)],
      ] as const) {
        message.message(13, new Message().string(1, key).string(2, value));
      }
      message.integer(14, 1); // the data are external
      this.external.set(name, bytes);
    } else {
      message.bytes(9, bytes);
    }
    this.initializers.push(message);
    return name;
  }

  private storeOnce(key: string, store: () => string): string {
    let name = this.stored.get(key);
    if (name === undefined) {
      name = store();
      this.stored.set(key, name);
    }
    return name;
  }

  integers(values: readonly number[]): string {
    return this.storeOnce(`i64 ${values.join(",")}`, () => {
      const data = BigInt64Array.from(values, BigInt);
      return this.store("i64", [values.length], new Uint8Array(data.buffer));
    });
  }

  number(value: number): string {
    return this.storeOnce(`f32 ${value}`, () =>
      this.store("f32", [], new Uint8Array(new Float32Array([value]).buffer)),
    );
  }

  /** Remembers where a symbol's value can be read. */
  private learnSymbols(tensor: Tensor, name: string): void {
    tensor.shape.forEach((dim, axis) => {
      if (!(dim instanceof SymbolicDim) || dim.terms.size !== 1) return;
      const [monomial, factor] = [...dim.terms][0]!;
      if (factor === 1 && !monomial.includes("*") && !this.symbols.has(monomial)) {
        this.symbols.set(monomial, { name, axis });
      }
    });
  }

  private symbolValue(symbol: string): string {
    return this.storeOnce(`symbol ${symbol}`, () => {
      const source = this.symbols.get(symbol);
      if (!source) throw new Error(`no input of the graph defines the size "${symbol}"`);
      return this.node("Shape", [source.name], { start: source.axis, end: source.axis + 1 })[0]!;
    });
  }

  private size(dim: Dim): string {
    if (typeof dim === "number") return this.integers([dim]);
    return this.storeOnce(`dim ${dim}`, () => {
      const terms = [...dim.terms].map(([monomial, factor]) => {
        const factors = monomial === "" ? [] : monomial.split("*").map((s) => this.symbolValue(s));
        if (factor !== 1 || factors.length === 0) factors.push(this.integers([factor]));
        return factors.reduce((a, b) => this.node("Mul", [a, b])[0]!);
      });
      return terms.reduce((a, b) => this.node("Add", [a, b])[0]!);
    });
  }

  sizes(dims: readonly Dim[]): string {
    if (dims.every((dim) => typeof dim === "number")) return this.integers(dims as number[]);
    if (dims.length === 1) return this.size(dims[0]!);
    return this.storeOnce(`sizes ${dims.join(",")}`, () => {
      const parts = dims.map((dim) => this.size(dim));
      return this.node("Concat", parts, { axis: 0 })[0]!;
    });
  }

  reshapeTarget(from: readonly Dim[], to: readonly Dim[]): string {
    if (to.every((dim) => typeof dim === "number")) return this.integers(to as number[]);
    const short = to.map((dim, i) =>
      typeof dim === "number" ? dim : from[i] !== undefined && sameDim(from[i]!, dim) ? 0 : -1,
    );
    return short.filter((dim) => dim === -1).length <= 1 ? this.integers(short) : this.sizes(to);
  }

  gemm(inputs: readonly string[], node: Node<"gemm">): string[] {
    const { transA, transB } = node.attributes;
    const right = node.inputs[1]!;
    const weight = this.folded.get(right);
    if (weight && this.format === "int8" && !transA) {
      return this.gemmInt8(inputs, quantize(weight, transB));
    }
    if (weight && transB) {
      // Stored the way the engine packs it: a transposed weight is packed again at every run.
      const straight = this.storeFloats(transposed(weight));
      return this.node("Gemm", [inputs[0]!, straight, ...inputs.slice(2)], {
        transA: transA ? 1 : 0,
      });
    }
    const product = this.node("Gemm", [inputs[0]!, this.nameOf(right)], {
      transA: transA ? 1 : 0,
      transB: transB ? 1 : 0,
    });
    // Added afterwards: a bias inside the product costs a pass over the output before it as well.
    return inputs[2] ? this.node("Add", [product[0]!, inputs[2]]) : product;
  }

  private gemmInt8(inputs: readonly string[], weight: ReturnType<typeof quantize>): string[] {
    const { data, scales, shape } = weight;
    const right = this.store("i8", shape, new Uint8Array(data.buffer));
    const scale = this.store("f32", [shape[1]!], new Uint8Array(scales.buffer));
    const [left, leftScale, leftZero] = this.node("DynamicQuantizeLinear", [inputs[0]!], {}, 3);
    const [product] = this.node("MatMulInteger", [left!, right, leftZero!]);
    const [float] = this.node("Cast", [product!], { to: ONNX_TYPE.f32 });
    const [step] = this.node("Mul", [leftScale!, scale]);
    const scaled = this.node("Mul", [float!, step!]);
    return inputs[2] ? this.node("Add", [scaled[0]!, inputs[2]]) : scaled;
  }

  /** The name under which ONNX nodes read a tensor; stores folded values on first use. */
  nameOf(tensor: Tensor): string {
    const known = this.names.get(tensor);
    if (known !== undefined) return known;
    const value = this.folded.get(tensor);
    if (!value) throw new Error(`tensor of ${tensor.node.operation} was never computed`);
    const name = this.storeFloats(value);
    this.names.set(tensor, name);
    return name;
  }

  private storeFloats({ data, shape }: Folded): string {
    if (this.format === "fp16" && data.length > 1) {
      const half = this.store("f16", shape, new Uint8Array(float32ToFloat16(data).buffer));
      return this.node("Cast", [half], { to: ONNX_TYPE.f32 })[0]!;
    }
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    return this.store("f32", shape, bytes);
  }

  setFolded(tensor: Tensor, value: Folded): void {
    this.folded.set(tensor, value);
  }

  setName(tensor: Tensor, name: string): void {
    this.names.set(tensor, name);
    this.learnSymbols(tensor, name);
  }

  /** The kernel wants queries as [batch, queries, heads * width], gives its result so, and reads keys and
   * values as they are; of the two transposes here the engine drops the one that meets its inverse. */
  lowerAttention(node: Node, { queries, keys, values, heads, width }: Attention): void {
    const all = heads * width;
    const [byToken] = this.node("Transpose", [this.nameOf(queries)], { perm: [0, 2, 1, 3] });
    const [rows] = this.node("Reshape", [byToken!, this.integers([0, 0, all])]);
    const [mixed] = this.node(
      "MultiHeadAttention",
      [rows!, this.nameOf(keys), this.nameOf(values)],
      { num_heads: heads, scale: { float: 1 } },
    );
    this.nodes.at(-1)!.domain = RUNTIME_DOMAIN;
    const [split] = this.node("Reshape", [mixed!, this.integers([0, 0, heads, width])]);
    const [result] = this.node("Transpose", [split!], { perm: [0, 2, 1, 3] });
    this.setName(node.outputs[0]!, result!);
  }

  /** Folds a node, or lowers it to ONNX nodes. */
  lower(node: Node): void {
    const inputs = node.inputs.map((input) => this.folded.get(input));
    if (inputs.length > 0 && inputs.every((value) => value !== undefined)) {
      const value = fold(node, inputs as Folded[]);
      if (value) {
        this.setFolded(node.outputs[0]!, value);
        return;
      }
    }
    const rule = operations[node.operation] as {
      lower(emit: Emitter, inputs: readonly string[], node: Node): string[];
    };
    // A product stores its right side in a layout of its own: do not store it twice.
    const names = node.inputs.map((input, i) =>
      node.operation === "gemm" && i === 1 ? "" : this.nameOf(input),
    );
    const outputs = rule.lower(this, names, node);
    node.outputs.forEach((tensor, i) => {
      if (outputs[i] !== undefined) this.setName(tensor, outputs[i]!);
    });
  }
}

function transposed({ data, shape }: Folded): Folded {
  const [rows, columns] = shape as [number, number];
  const out = new Float32Array(data.length);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      out[column * rows + row] = data[row * columns + column]!;
    }
  }
  return { data: out, shape: [columns, rows] };
}

/**
 * Largest quantised weight. Processors without VNNI (AVX2 alone) add two products of 8 bits in 16, and cut off what does not
 * fit: 2 * 255 * 64 does. With all 8 bits, sums would be wrong there, and differ from machine to machine.
 */
const LARGEST_INT8 = 64;

/** Symmetric 8-bit weights with one scale per output column, laid out [in, out]. */
function quantize(weight: Folded, transposed: boolean) {
  const [first, second] = weight.shape as [number, number];
  const [rows, columns] = transposed ? [second, first] : [first, second];
  const data = new Int8Array(rows * columns);
  const scales = new Float32Array(columns);
  for (let column = 0; column < columns; column++) {
    const at = (row: number) =>
      weight.data[transposed ? column * rows + row : row * columns + column]!;
    let largest = 0;
    for (let row = 0; row < rows; row++) largest = Math.max(largest, Math.abs(at(row)));
    const scale = largest / LARGEST_INT8 || 1;
    scales[column] = scale;
    for (let row = 0; row < rows; row++) data[row * columns + column] = Math.round(at(row) / scale);
  }
  return { data, scales, shape: [rows, columns] };
}

function attributeMessage(name: string, value: AttributeValue): Message {
  const message = new Message().string(1, name);
  if (typeof value === "number") return message.integer(3, value).integer(20, 2);
  if (typeof value === "string") return message.string(4, value).integer(20, 3);
  if ("float" in value) return message.float(2, value.float).integer(20, 1);
  for (const item of value) message.integer(8, item);
  return message.integer(20, 7);
}

function valueInfo(name: string, dtype: DType, shape: readonly Dim[]): Message {
  const dims = new Message();
  for (const dim of shape) {
    const entry = new Message();
    if (typeof dim === "number") entry.integer(1, dim);
    else entry.string(2, String(dim));
    dims.message(1, entry);
  }
  const tensorType = new Message().integer(1, ONNX_TYPE[dtype]).message(2, dims);
  return new Message().string(1, name).message(2, new Message().message(1, tensorType));
}

/**
 * Serialises the graph that computes the named outputs.
 *
 * Inputs keep their names. Parameters are stored when `weights` are given (and everything that depends
 * on weights alone is computed now), else they become inputs under their own names.
 *
 * @throws Error if a weight is missing or has the wrong number of elements.
 */
export function toOnnx(
  outputs: Readonly<Record<string, Tensor>>,
  options: OnnxOptions = {},
): Uint8Array {
  const tensors = Object.values(outputs);
  const order = reachable(tensors);
  const writer = new Writer(options.format ?? "fp32", order, tensors, options.external);
  const { attentions, inner } = findAttentions(options.fuseAttention ? order : [], tensors);
  const graph = new Message();
  const inputs: Message[] = [];

  for (const node of order) {
    const tensor = node.outputs[0]!;
    if (node.operation === "input") {
      const { name } = (node as Node<"input">).attributes;
      inputs.push(valueInfo(name, tensor.dtype, tensor.shape));
      writer.setName(tensor, name);
    } else if (node.operation === "parameter") {
      const { name, shape } = (node as Node<"parameter">).attributes;
      if (!options.weights) {
        inputs.push(valueInfo(name, "f32", shape));
        writer.setName(tensor, name);
        continue;
      }
      const data = options.weights.get(name);
      const size = shape.reduce((a, b) => a * b, 1);
      if (data?.length !== size) {
        throw new Error(`weight "${name}" needs ${size} numbers, has ${data?.length ?? "none"}`);
      }
      writer.setFolded(tensor, { data, shape });
    } else if (node.operation === "constant") {
      const { data, shape, dtype } = (node as Node<"constant">).attributes;
      if (data instanceof Float32Array) writer.setFolded(tensor, { data, shape });
      else {
        const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
        writer.setName(tensor, writer.store(dtype, shape, bytes));
      }
    } else if (attentions.has(node)) {
      writer.lowerAttention(node, attentions.get(node)!);
    } else if (!inner.has(node)) {
      writer.lower(node);
    }
  }

  const renamed = new Map<string, string>();
  const produced = new Set(writer.nodes.flatMap((node) => node.outputs));
  for (const [name, tensor] of Object.entries(outputs)) {
    const inner = writer.nameOf(tensor);
    if (produced.has(inner) && !renamed.has(inner)) {
      renamed.set(inner, name);
    } else {
      // The same tensor under two names, or an input returned as it came.
      writer.nodes.push({ type: "Identity", inputs: [inner], outputs: [name], attributes: {} });
    }
  }
  const rename = (name: string) => renamed.get(name) ?? name;

  for (const node of writer.nodes) {
    const message = new Message();
    for (const name of node.inputs) message.string(1, rename(name));
    for (const name of node.outputs) message.string(2, rename(name));
    message.string(4, node.type);
    for (const [name, value] of Object.entries(node.attributes)) {
      message.message(5, attributeMessage(name, value));
    }
    if (node.domain) message.string(7, node.domain);
    graph.message(1, message);
  }
  graph.string(2, options.name ?? "groupvit");
  for (const initializer of writer.initializers) graph.message(5, initializer);
  for (const message of inputs) graph.message(11, message);
  for (const [name, tensor] of Object.entries(outputs)) {
    graph.message(12, valueInfo(name, tensor.dtype, tensor.shape));
  }

  const model = new Message()
    .integer(1, IR_VERSION)
    .string(2, "groupvit")
    .message(7, graph)
    .message(8, new Message().string(1, "").integer(2, OPSET));
  if (writer.nodes.some((node) => node.domain === RUNTIME_DOMAIN)) {
    model.message(8, new Message().string(1, RUNTIME_DOMAIN).integer(2, 1));
  }
  for (const [key, value] of Object.entries(options.metadata ?? {})) {
    model.message(14, new Message().string(1, key).string(2, value));
  }
  return model.finish();
}
