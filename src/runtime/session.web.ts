// ONNX Runtime Web: WebAssembly or WebGPU in browsers (and their workers), WebAssembly in Node where it is asked for.

import type * as Ort from "onnxruntime-web";
import { InputError } from "../errors.js";
import type { CreateSession, Device, Session, SessionOptions, Value } from "./session.js";

/** Threads beyond these no longer make a picture faster. */
const MAX_THREADS = 4;

/** Sessions of a page share one engine, which does one thing at a time; callers need not know. */
let last: Promise<unknown> = Promise.resolve();
function inTurn<T>(task: () => Promise<T>): Promise<T> {
  const result = last.then(letOthers).then(task);
  last = result.catch(() => {});
  return result;
}

/** The engine blocks its thread: between two runs, messages (an abort among them) are to come through. */
function letOthers(): Promise<void> {
  const { port1, port2 } = new MessageChannel();
  return new Promise((resolve) => {
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(undefined);
  });
}

/** The engine's memory did not suffice. What it computed before is sound; it may not compute again. */
export class OutOfMemoryError extends InputError {}

/** Sessions in browsers. Each device has a build of its own, so that wasm users do not download the larger one. */
export const createSession = sessionsOf((device) =>
  device === "wasm" ? import("onnxruntime-web/wasm") : import("onnxruntime-web/webgpu"),
);

/** @param load imports the build of ONNX Runtime Web that runs here */
export function sessionsOf(
  load: (device: "wasm" | "webgpu") => Promise<typeof Ort>,
): CreateSession {
  return async (onnx, options = {}, external) => {
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
      if (isOutOfMemory(error)) throw outOfMemory(error);
      throw new InputError(
        `device "${device}" cannot be used here (${firstLine(error)}); ` +
          "check that wasmPath leads to onnxruntime-web's .wasm and .mjs files, or use another device",
        { cause: error },
      );
    }
  };
}

/**
 * Threads that the engine gets when asked for so many. Shared memory, and with it threads, exists only in
 * isolated pages (COOP and COEP headers), and always in Node, which says nothing of isolation.
 */
export function engineThreads(asked?: number): number {
  if (globalThis.crossOriginIsolated === false) return 1;
  return asked ?? Math.min(MAX_THREADS, Math.ceil((navigator.hardwareConcurrency || 1) / 2));
}

/** Settings that ONNX Runtime reads once, before its first session. */
function configure(ort: typeof Ort, { threads, wasmPath }: SessionOptions): void {
  const { wasm } = ort.env;
  wasm.numThreads = engineThreads(threads);
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
    try {
      const results = outputs
        ? await session.run(tensors, [...outputs])
        : await session.run(tensors);
      const values: Record<string, Value> = {};
      for (const [name, tensor] of Object.entries(results)) {
        const data = (await tensor.getData()) as Float32Array | Int32Array;
        values[name] = { shape: tensor.dims, data };
        tensor.dispose();
      }
      return values;
    } catch (error) {
      throw isOutOfMemory(error) ? outOfMemory(error) : error;
    }
  }
  return {
    device,
    run: (feeds, outputs) => inTurn(() => run(feeds, outputs)),
    release: () => inTurn(() => session.release()),
  };
}

/** How the engine, its compiler's runtime and the browsers say that there is no memory left. */
function isOutOfMemory(error: unknown): boolean {
  return /bad_alloc|out of memory|\bOOM\b|failed to allocate|could not allocate|allocation failed|out of bounds|Invalid typed array length/i.test(
    String(error),
  );
}

function outOfMemory(cause: unknown): OutOfMemoryError {
  return new OutOfMemoryError(
    `memory: WebAssembly gives the engine no more of it (${firstLine(cause)}); load the model again and ` +
      'encode with a smaller shortSide, load it with dtype "int8" or "fp16", or close other tabs',
    { cause },
  );
}

function firstLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split("\n")[0]!;
}
