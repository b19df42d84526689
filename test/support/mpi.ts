// Jobs of several ranks through a real mpirun.

import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { toFloat32 } from "../../src/checkpoint/dtypes.js";
import { readSafetensors } from "../../src/checkpoint/safetensors.js";
import type { StepRecord } from "../../src/train/metrics.js";

/** What Open MPI needs to run several ranks on few cores, as root too. */
const OPTIONS = ["--allow-run-as-root", "--oversubscribe", "--bind-to", "none"];

export interface Job {
  child: ChildProcess;
  /** stdout and stderr so far. */
  output(): string;
  /** Exit code of mpirun, or 128 and the signal's number where it was killed. */
  ended: Promise<number>;
}

/** Starts a program; `started` gets its output from all ranks. */
export function startJob(
  command: string,
  args: readonly string[],
  env: Record<string, string> = {},
): Job {
  const child = spawn(command, args, { env: { ...process.env, ...env } });
  let text = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (part: string) => {
      text += part;
    });
  }
  const ended = new Promise<number>((resolve, reject) => {
    child.on("error", (error: NodeJS.ErrnoException) =>
      reject(
        error.code === "ENOENT"
          ? new Error(`${command} is not installed: apt-get install openmpi-bin iproute2`)
          : error,
      ),
    );
    child.on("close", (code) => resolve(code ?? 128));
  });
  return { child, output: () => text, ended };
}

/** Starts `node args` as so many ranks on this machine. */
export function mpirun(
  ranks: number,
  args: readonly string[],
  { env, options = [] }: { env?: Record<string, string>; options?: readonly string[] } = {},
): Job {
  const all = [...OPTIONS, ...options, "-n", String(ranks), process.execPath, ...args];
  return startJob("mpirun", all, env);
}

/** Process numbers of the ranks that mpirun has started here, by rank. */
export function rankProcesses({ child }: Job): number[] {
  const found: number[] = [];
  const tasks = `/proc/${child.pid}/task`;
  for (const task of readdirSync(tasks)) {
    const children = readFileSync(join(tasks, task, "children"), "utf8").trim();
    for (const pid of children.split(" ").filter(Boolean)) {
      const rank = /OMPI_COMM_WORLD_RANK=(\d+)/.exec(readFileSync(`/proc/${pid}/environ`, "utf8"));
      if (rank) found[Number(rank[1])] = Number(pid);
    }
  }
  return found;
}

/** Waits until it holds; fails where the job ends before. */
export async function until(job: Job, holds: () => boolean): Promise<void> {
  let over = false;
  job.ended.then(() => {
    over = true;
  });
  while (!holds()) {
    if (over) throw new Error(`the job ended early:\n${job.output()}`);
    await sleep(50);
  }
}

export function checkpointPath(folder: string, step: number): string {
  return join(folder, "checkpoints", `step-${String(step).padStart(8, "0")}.safetensors`);
}

export function hasCheckpoint(folder: string, step: number): boolean {
  return existsSync(checkpointPath(folder, step));
}

/** What a run recorded, step by step. */
export function records(folder: string): StepRecord[] {
  const lines = readFileSync(join(folder, "metrics.jsonl"), "utf8").trim().split("\n");
  return lines.map((line) => JSON.parse(line) as StepRecord);
}

/** The losses of a run, step by step. */
export function losses(folder: string): number[] {
  return records(folder).map(({ loss }) => loss);
}

/** Weights of a checkpoint by name. */
export function weightsOf(folder: string, step: number): Map<string, Float32Array> {
  const { tensors } = readSafetensors(readFileSync(checkpointPath(folder, step)));
  const weights = [...tensors].filter(([name]) => name.startsWith("weights/"));
  return new Map(weights.map(([name, tensor]) => [name, toFloat32(tensor).slice()]));
}
