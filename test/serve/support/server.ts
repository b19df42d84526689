// A real server for tests: the compiled package in this process, its engines in processes of their own.

import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll } from "vitest";
import type { ServeOptions } from "../../../src/serve/options.js";
import type { RunningServer } from "../../../src/serve/server.js";
import { type Compiled, compilePackage } from "../../support/compile.js";
import { temporaryFolder } from "../../support/temporary.js";

export const MODEL = fileURLToPath(new URL("../../../models/scenes", import.meta.url));
export const SAMPLE = fileURLToPath(new URL("../../../examples/sample.jpg", import.meta.url));

let compiled: Promise<Compiled> | undefined;
const scratch = await temporaryFolder();
const started: RunningServer[] = [];
afterAll(async () => {
  await Promise.all(started.map((server) => server.close()));
  (await compiled)?.remove();
});

/** The package, compiled once for a test file. */
export function compiledPackage(): Promise<Compiled> {
  compiled ??= compilePackage();
  return compiled;
}

/** Starts a server on a free port with the bundled model, one engine and a state folder of its own. */
export async function startTestServer(options: ServeOptions = {}): Promise<RunningServer> {
  const state = join(scratch, String(started.length));
  process.env.GROUPVIT_CACHE ??= state;
  const { module } = await compiledPackage();
  const { startServer } = (await import(
    /* @vite-ignore */ module("serve/server")
  )) as typeof import("../../../src/serve/server.js");
  const server = await startServer({
    port: 0,
    model: MODEL,
    processes: 1,
    logLevel: "silent",
    state,
    ...options,
  });
  started.push(server);
  return server;
}

/** The compiled command line; waits for its end. */
export async function runCli(
  args: readonly string[],
  cwd: string,
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const child = await spawnCli(args, cwd);
  let [stdout, stderr] = ["", ""];
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  const [code] = (await once(child, "close")) as [number | null];
  return { code, stdout, stderr };
}

/** The same, for tests that speak to it while it runs. */
export async function spawnCli(
  args: readonly string[],
  cwd: string,
  env: NodeJS.ProcessEnv = {},
): Promise<ChildProcessWithoutNullStreams> {
  const { module } = await compiledPackage();
  const cache = { GROUPVIT_CACHE: join(cwd, "cache") };
  return spawn(process.execPath, [module("cli/main"), ...args], {
    cwd,
    env: { ...process.env, ...cache, ...env },
  });
}
