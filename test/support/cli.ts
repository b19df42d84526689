// The compiled command line as a child process, and a model with random weights for it. Importing
// this compiles src into dist; scripts/build.mjs does nothing where dist is current.

import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll } from "vitest";
// @ts-expect-error: a plain script
import { build } from "../../scripts/build.mjs";
import { fromFloat32 } from "../../src/checkpoint/dtypes.js";
import type { Model } from "../../src/checkpoint/save.js";
import { saveHuggingFace } from "../../src/checkpoint/save.node.js";
import { parameterShapes } from "../../src/checkpoint/shapes.js";
import type { TensorMap } from "../../src/checkpoint/tensors.js";
import type { GroupViTConfig } from "../../src/model/config.js";
import { Random } from "../../src/random.js";

// Once for a test file: what is edited meanwhile is for the next run.
beforeAll(async () => {
  await build();
}, 300_000);

/** The compiled command line. */
export const CLI = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));

/** Small towers with CLIP's whole vocabulary, so that any word can be asked for. */
const CONFIG: GroupViTConfig = {
  vision: {
    hiddenSize: 32,
    intermediateSize: 64,
    depths: [1, 1, 1],
    numGroupTokens: [12, 6, 0],
    numOutputGroups: [12, 6, 6],
    numAttentionHeads: 2,
    imageSize: 64,
    patchSize: 16,
    numChannels: 3,
    layerNormEps: 1e-5,
    assignEps: 1,
    assignMlpRatio: [0.5, 4],
    hiddenAct: "gelu",
  },
  text: {
    vocabSize: 49_408,
    hiddenSize: 16,
    intermediateSize: 32,
    numHiddenLayers: 1,
    numAttentionHeads: 2,
    maxPositionEmbeddings: 77,
    layerNormEps: 1e-5,
    hiddenAct: "quick_gelu",
    padTokenId: 1,
    bosTokenId: 49_406,
    eosTokenId: 49_407,
  },
  projectionDim: 24,
  projectionIntermediateDim: 48,
  logitScaleInitValue: 2.6592,
};

/** A model whose weights are random, but the same at every call, and far enough from zero for groups
 * and words to differ. */
export function randomModel(): Model {
  const tensors: TensorMap = new Map();
  for (const [name, shape] of parameterShapes(CONFIG)) {
    if (/position_ids|num_batches_tracked/.test(name)) continue;
    const random = new Random(name);
    const size = shape.reduce((a, b) => a * b, 1);
    const inputs = /embedding|group_token/.test(name) ? 1 : size / shape[0]!;
    const isScale = /(norm|\.1)[^.]*\.weight$|running_var$/.test(name) && shape.length === 1;
    const data = Float32Array.from({ length: size }, () =>
      shape.length === 0
        ? 4
        : isScale
          ? 1
          : shape.length === 1
            ? 0
            : random.normal() / inputs ** 0.5,
    );
    tensors.set(name, fromFloat32(data, shape));
  }
  return { config: CONFIG, tensors };
}

export async function saveRandomModel(folder: string): Promise<string> {
  await saveHuggingFace(folder, randomModel());
  return folder;
}

export interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

export interface RunOptions {
  cwd: string;
  env?: Record<string, string>;
  stdin?: Uint8Array;
  /** Called with the process when it has started. */
  started?(child: ChildProcess): void;
}

/** Caches are in the working folder, and nothing is asked of the real Hub. */
export function cliEnvironment(cwd: string): Record<string, string> {
  return {
    PATH: process.env.PATH ?? "",
    HOME: cwd,
    GROUPVIT_CACHE: join(cwd, ".cache-groupvit"),
    HF_HOME: join(cwd, ".cache-hf"),
    HF_ENDPOINT: "http://127.0.0.1:9",
  };
}

/** Runs `groupvit` to its end; caches are in the working folder, and nothing is asked of the real Hub. */
export async function groupvit(args: readonly string[], options: RunOptions): Promise<Ended> {
  const child = spawn(process.execPath, [CLI, ...args], {
    cwd: options.cwd,
    env: { ...cliEnvironment(options.cwd), ...options.env },
  });
  options.started?.(child);
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text) => {
    stdout += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text) => {
    stderr += text;
  });
  child.stdin.on("error", () => {}); // a process that ends at once reads nothing
  child.stdin.end(options.stdin);
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", resolve);
  });
  return { code, stdout, stderr };
}
