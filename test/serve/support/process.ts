// `groupvit serve` as a process of its own, as its users start it, and what it takes of memory.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { join } from "node:path";
import { afterAll } from "vitest";
import { compilePackage } from "../../support/compile.js";
import { temporaryFolder } from "../../support/temporary.js";
import { MODEL } from "./server.js";

// Made and removed once for a test file.
const compiled = await compilePackage();
const root = await temporaryFolder();
const children = new Set<ChildProcess>();
afterAll(() => {
  // Whatever a test did: no process stays.
  for (const child of children) child.kill("SIGKILL");
  compiled.remove();
});

/** The command line, compiled. */
export const MAIN = compiled.module("cli/main");

/** A folder of its own, removed after the test file. */
export const ownFolder = () => mkdtemp(join(root, "own-"));

export interface ServeOptions {
  args?: readonly string[];
  env?: Record<string, string>;
  /** Caches and the state folder go here; default: a folder of its own. */
  folder?: string;
  processes?: number;
}

/** A server that runs. */
export interface Serving {
  readonly child: ChildProcess;
  readonly url: string;
  readonly port: number;
  /** What it wrote on stderr so far. */
  log(): string;
  /** Process ids of its engines. */
  engines(): number[];
  /** Resident memory of all its processes, MB. */
  resident(): number;
  /** Largest resident memory so far of those of its processes that live, added up, MB. */
  peak(): number;
  /** Asks it to stop, and gives its exit code, or the signal that ended it. */
  stop(signal?: NodeJS.Signals): Promise<number | NodeJS.Signals | null>;
}

async function spawnServe(options: ServeOptions): Promise<ChildProcess> {
  const folder = options.folder ?? (await ownFolder());
  const processes = String(options.processes ?? 1);
  const args = ["serve", "--port", "0", "--model", MODEL, "--processes", processes];
  args.push("--log-level", "warn", ...(options.args ?? []));
  const child = spawn(process.execPath, [MAIN, ...args], {
    cwd: folder,
    env: {
      PATH: process.env.PATH ?? "",
      HOME: root,
      GROUPVIT_CACHE: folder,
      ...options.env,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  children.add(child);
  child.once("exit", () => children.delete(child));
  return child;
}

/** Starts a server and waits until it takes requests. */
export async function serve(options: ServeOptions = {}): Promise<Serving> {
  const child = await spawnServe(options);
  const output = collect(child);
  const url = await new Promise<string>((resolve, reject) => {
    child.stdout?.on("data", () => {
      const found = /serves on (\S+)/.exec(output.stdout)?.[1];
      if (found) resolve(found);
    });
    child.once("exit", (code, signal) =>
      reject(new Error(`the server ended (${code ?? signal}):\n${output.stderr}`)),
    );
  });
  const pid = child.pid ?? 0;
  return {
    child,
    url,
    port: Number(new URL(url).port),
    log: () => output.stderr,
    engines: () => childrenOf(pid),
    resident: () => memory(pid, "VmRSS"),
    peak: () => memory(pid, "VmHWM"),
    async stop(signal = "SIGTERM") {
      if (child.exitCode === null && child.signalCode === null) {
        const ended = once(child, "exit");
        child.kill(signal);
        await ended;
      }
      return child.exitCode ?? child.signalCode;
    },
  };
}

/** Runs a server that is expected to end by itself. */
export async function serveToEnd(options: ServeOptions): Promise<{ code: unknown; log: string }> {
  const child = await spawnServe(options);
  const output = collect(child);
  const [code, signal] = await once(child, "close");
  return { code: code ?? signal, log: output.stderr };
}

function collect(child: ChildProcess): { stdout: string; stderr: string } {
  const output = { stdout: "", stderr: "" };
  child.stdout?.setEncoding("utf8").on("data", (text) => {
    output.stdout += text;
  });
  child.stderr?.setEncoding("utf8").on("data", (text) => {
    output.stderr += text;
  });
  return output;
}

function childrenOf(pid: number): number[] {
  return proc(`${pid}/task/${pid}/children`).split(" ").filter(Boolean).map(Number);
}

/** A line of the status of a process and its children, added up, MB. */
function memory(pid: number, field: "VmRSS" | "VmHWM"): number {
  const kilobytes = [pid, ...childrenOf(pid)].map((id) =>
    Number(new RegExp(`${field}:\\s*(\\d+) kB`).exec(proc(`${id}/status`))?.[1] ?? 0),
  );
  return (kilobytes.reduce((sum, one) => sum + one, 0) * 1024) / 1e6;
}

/** A file of /proc; empty where the process is gone. */
function proc(path: string): string {
  try {
    return readFileSync(`/proc/${path}`, "utf8");
  } catch {
    return "";
  }
}
