// Which device a browser computes on: WebGPU only where it gives the right numbers, and a sentence on why.

import { InputError } from "../errors.js";
import { createSession, engineThreads } from "../runtime/session.web.js";
import type { BrowserDevice, WorkerLoadOptions } from "./protocol.js";
import { SELF_TEST_TOLERANCE, selfTest } from "./self-test.js";

export interface ChosenDevice {
  device: BrowserDevice;
  threads: number;
  /** A sentence for people. */
  reason: string;
}

/**
 * Chooses where to compute.
 *
 * @throws InputError if WebGPU is asked for and there is none, or it gives wrong numbers
 */
export async function chooseDevice(
  options: Pick<WorkerLoadOptions, "device" | "dtype" | "threads" | "wasmPath">,
): Promise<ChosenDevice> {
  const { device } = options;
  if (device !== "auto" && device !== "wasm" && device !== "webgpu") {
    throw new InputError(`device "${device}" does not run in browsers; use auto, wasm or webgpu`);
  }
  if (device === "wasm") return onWasm("as asked", options.threads);
  const tested = await tryWebGpu(options);
  if (tested.passed) {
    const asked = device === "webgpu" ? ", as asked" : "";
    return { device: "webgpu", threads: 1, reason: `WebGPU${asked}: ${tested.why}.` };
  }
  if (device === "webgpu") {
    throw new InputError(`device "webgpu": ${tested.why}; use device "auto" or "wasm"`);
  }
  return onWasm(tested.why, options.threads);
}

function onWasm(why: string, asked: number | undefined): ChosenDevice {
  const threads = engineThreads(asked);
  const count = threads === 1 ? "one thread" : `${threads} threads`;
  const cause =
    globalThis.crossOriginIsolated || asked === 1
      ? ""
      : ", because the page is not cross-origin isolated (headers COOP and COEP)";
  return { device: "wasm", threads, reason: `WebAssembly (${why}) with ${count}${cause}.` };
}

interface Tested {
  passed: boolean;
  why: string;
}

async function tryWebGpu({
  device,
  dtype,
  wasmPath,
}: Pick<WorkerLoadOptions, "device" | "dtype" | "wasmPath">): Promise<Tested> {
  const no = (why: string): Tested => ({ passed: false, why });
  if (device === "auto" && dtype === "int8") return no("int8 is for processors, not for WebGPU");
  if (!("gpu" in navigator)) return no("this browser has no WebGPU");
  const adapter = await (navigator.gpu as Gpu).requestAdapter().catch(() => null);
  if (!adapter) return no("WebGPU finds no graphics adapter");
  if (device === "auto" && (adapter.isFallbackAdapter || adapter.info?.isFallbackAdapter)) {
    return no("WebGPU would compute in software");
  }
  try {
    const difference = await selfTest(createSession, {
      device: "webgpu",
      threads: 1,
      format: dtype,
      wasmPath,
    });
    const off = difference.toExponential(1);
    return difference <= SELF_TEST_TOLERANCE[dtype]
      ? { passed: true, why: `its self-test agrees within ${off}` }
      : no(
          `WebGPU failed its self-test: off by ${off}, at most ${SELF_TEST_TOLERANCE[dtype]} is right`,
        );
  } catch (error) {
    return no(`WebGPU failed its self-test: ${(error as Error).message.split(";")[0]}`);
  }
}

/** As much of WebGPU as is asked here; TypeScript's DOM library does not have it yet. */
interface Gpu {
  requestAdapter(): Promise<{
    isFallbackAdapter?: boolean;
    info?: { isFallbackAdapter?: boolean };
  } | null>;
}
