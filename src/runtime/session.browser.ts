// ONNX Runtime in browsers (and their workers): WebAssembly, or WebGPU where there is an adapter.

import type * as Ort from "onnxruntime-web";
import { InputError } from "../errors.js";
import type { CreateSession, Device, Session, SessionOptions, Value } from "./session.js";

/** Threads beyond these no longer make a picture faster. */
const MAX_THREADS = 4;

/** Sessions of a page share one engine, which does one thing at a time; callers need not know. */
let last: Promise<unknown> = Promise.resolve();
function inTurn<T>(task: () => Promise<T>): Promise<T> {
  const result = last.then(task);
  last = result.catch(() => {});
  return result;
}

export const createSession: CreateSession = async (onnx, options = {}, external) => {
  const device = options.device ?? "wasm";
  if (device !== "wasm" && device !== "webgpu") {
    throw new InputError(`device "${device}" does not run in browsers; use wasm or webgpu`);
  }
  if (device === "webgpu" && !("gpu" in navigator)) {
    throw new InputError('device "webgpu": this browser has no WebGPU; use wasm');
  }
  const ort = await load(device);
  configure(ort, options);
  try {
    const session = await inTurn(() =>
      ort.InferenceSession.create(onnx, {
        executionProviders: [device],
        graphOptimizationLevel: "all",
        logSeverityLevel: 3,
        ...(external?.size
          ? { externalData: Array.from(external, ([path, data]) => ({ path, data })) }
          : {}),
      }),
    );
    external?.clear();
    return wrap(ort, session, device);
  } catch (error) {
    throw new InputError(
      `device "${device}" cannot be used here (${(error as Error).message.split("\n")[0]}); ` +
        "check that wasmPath leads to onnxruntime-web's .wasm and .mjs files, or use another device",
      { cause: error },
    );
  }
};

/** Each device has a build of its own, so that wasm users do not download the larger one. */
function load(device: "wasm" | "webgpu"): Promise<typeof Ort> {
  return device === "wasm" ? import("onnxruntime-web/wasm") : import("onnxruntime-web/webgpu");
}

/** Settings that ONNX Runtime reads once, before its first session. */
function configure(ort: typeof Ort, { threads, wasmPath }: SessionOptions): void {
  const { wasm } = ort.env;
  // Shared memory, and with it threads, exists only in isolated pages (COOP and COEP headers).
  const most = globalThis.crossOriginIsolated
    ? Math.min(MAX_THREADS, Math.ceil((navigator.hardwareConcurrency || 1) / 2))
    : 1;
  wasm.numThreads = globalThis.crossOriginIsolated ? (threads ?? most) : 1;
  if (wasmPath !== undefined) {
    wasm.wasmPaths = /\.wasm([?#]|$)/.test(wasmPath)
      ? { wasm: wasmPath }
      : `${wasmPath.replace(/\/$/, "")}/`;
  }
}

function wrap(ort: typeof Ort, session: Ort.InferenceSession, device: Device): Session {
  async function run(feeds: Readonly<Record<string, Value>>, outputs?: readonly string[]) {
    const tensors: Record<string, Ort.Tensor> = {};
    for (const [name, { data, shape }] of Object.entries(feeds)) {
      tensors[name] =
        data instanceof Float32Array
          ? new ort.Tensor("float32", data, shape)
          : new ort.Tensor("int32", data, shape);
    }
    const results = outputs ? await session.run(tensors, [...outputs]) : await session.run(tensors);
    const values: Record<string, Value> = {};
    for (const [name, tensor] of Object.entries(results)) {
      const data = (await tensor.getData()) as Float32Array | Int32Array;
      values[name] = { shape: tensor.dims, data };
      tensor.dispose();
    }
    return values;
  }
  return {
    device,
    run: (feeds, outputs) => inTurn(() => run(feeds, outputs)),
    release: () => inTurn(() => session.release()),
  };
}
