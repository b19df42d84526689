// What the rest of the package knows of the engine: sessions that run ONNX bytes.

/** Where a session computes. */
export type Device = "cpu" | "webgpu" | "cuda" | "wasm";

/** A tensor that enters or leaves a session. */
export interface Value {
  readonly shape: readonly number[];
  readonly data: Float32Array | Int32Array;
}

export interface SessionOptions {
  /** Default: `cpu` in Node, `wasm` in browsers. */
  device?: Device;
  /** Threads within one operation; default: one per physical core. */
  threads?: number;
  /** Keep memory from run to run, for graphs of small activations. Default: given back after each. */
  keepMemory?: boolean;
  /** Browsers only: folder or address of the engine's wasm file. Default: beside the script. */
  wasmPath?: string;
}

/** Weights that ONNX bytes name but do not hold; emptied when the session has them. */
export type ExternalData = Map<string, Uint8Array>;

/** A graph that is ready to run. */
export interface Session {
  readonly device: Device;
  /** Runs the graph; gives the named outputs, or all. */
  run(
    feeds: Readonly<Record<string, Value>>,
    outputs?: readonly string[],
  ): Promise<Record<string, Value>>;
  /** Frees the engine's memory; the session cannot be used after it. */
  release(): Promise<void>;
}

/** Makes sessions; one per environment (`session.node.ts`, `session.web.ts`). */
export type CreateSession = (
  onnx: Uint8Array,
  options?: SessionOptions,
  external?: ExternalData,
) => Promise<Session>;

/** The float data of an output, or an error that names it. */
export function floats(values: Readonly<Record<string, Value>>, name: string): Float32Array {
  const data = values[name]?.data;
  if (!(data instanceof Float32Array)) throw new Error(`the graph gave no float output "${name}"`);
  return data;
}
