// ONNX Runtime in Node: its native build, or WebAssembly where it is asked for.

import { availableParallelism } from "node:os";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import * as ort from "onnxruntime-node";
import { InputError } from "../errors.js";
import type { CreateSession, Device, Session, Value } from "./session.js";

// From its first session on, ONNX Runtime would name this machine in the user's cache folder and report to its maker
// what is run. It looks at this when that session is made. Who wants to be counted says 0.
process.env.ORT_DISABLE_TELEMETRY ??= "1";

/** Weights, in bytes, below which memory is not worth the two collections: they take longer than a small session. */
const WORTH_COLLECTING = 24 * 2 ** 20;

/** Devices that this build of ONNX Runtime names, with what their provider is called there. */
const PROVIDERS: Partial<Record<Device, string>> = { cpu: "cpu", webgpu: "webgpu", cuda: "cuda" };

export const createSession: CreateSession = async (onnx, options = {}, external) => {
  const device = options.device ?? "cpu";
  if (device === "wasm") {
    const threads = options.threads ?? availableParallelism();
    const { sessionsOf } = await import("./session.web.js");
    const create = sessionsOf(() => import("onnxruntime-web"));
    return create(onnx, { ...options, threads }, external);
  }
  const provider = PROVIDERS[device];
  if (!provider) {
    throw new InputError(`device "${device}" is none; use cpu, wasm, webgpu or cuda`);
  }
  const large = external !== undefined && byteLength(external) >= WORTH_COLLECTING;
  if (large) collectGarbage();
  let session: ort.InferenceSession;
  try {
    session = await ort.InferenceSession.create(onnx, {
      executionProviders: [provider],
      graphOptimizationLevel: "all",
      // Large activations (training): without the arena memory goes back after every run. Small ones
      // scatter over the heap then, and resident memory creeps up: the arena holds it steady.
      enableCpuMemArena: options.keepMemory ?? false,
      logSeverityLevel: 3,
      ...(external?.size
        ? { externalData: Array.from(external, ([path, data]) => ({ path, data })) }
        : {}),
      ...(options.threads ? { intraOpNumThreads: options.threads } : {}),
    });
  } catch (error) {
    if (device === "cpu") throw error;
    throw new InputError(
      `device "${device}" cannot be used here (${(error as Error).message.split("\n")[0]}); ` +
        "run `groupvit doctor` to see what this machine offers",
    );
  }
  external?.clear();
  if (large) collectGarbage();
  return wrap(session, device);
};

function byteLength(external: ReadonlyMap<string, Uint8Array>): number {
  let bytes = 0;
  for (const data of external.values()) bytes += data.byteLength;
  return bytes;
}

/**
 * Frees what the caller has dropped (the checkpoint's file, weights in another layout) before the engine
 * takes as much memory again: V8 would let it lie until long after the session is made.
 */
function collectGarbage(): void {
  setFlagsFromString("--expose-gc");
  (runInNewContext("gc") as () => void)();
}

function wrap(session: ort.InferenceSession, device: Device): Session {
  return {
    device,
    async run(feeds, outputs) {
      const tensors: Record<string, ort.Tensor> = {};
      for (const [name, { data, shape }] of Object.entries(feeds)) {
        tensors[name] =
          data instanceof Float32Array
            ? new ort.Tensor("float32", data, shape)
            : new ort.Tensor("int32", data, shape);
      }
      const results = outputs
        ? await session.run(tensors, [...outputs])
        : await session.run(tensors);
      const values: Record<string, Value> = {};
      for (const [name, tensor] of Object.entries(results)) {
        values[name] = {
          shape: tensor.dims,
          data: tensor.data as Float32Array | Int32Array,
        };
      }
      return values;
    },
    release: () => session.release(),
  };
}
