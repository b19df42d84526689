// groupvit worker: labels what `groupvit label --queue` leaves to it; any number of them, on any machine.

import { availableParallelism } from "node:os";
import { Command } from "commander";
import { wholeNumber } from "../options.js";
import { interruption, note } from "../terminal.js";
import { queueOption } from "./queue.js";

interface Options {
  queue: string;
  processes?: number;
}

/** Between lines that tell how much is done. */
const TOLD_MS = 30_000;

export function workerCommand(): Command {
  return new Command("worker")
    .description("Label what `groupvit label --queue` gives to all workers, until Ctrl-C.")
    .addOption(queueOption())
    .option(
      "--processes <n>",
      "engines on this machine (default: one per core)",
      wholeNumber(1, 256),
    )
    .addHelpText(
      "after",
      `
Pictures, models and the --to folder must lie at the same paths as where groupvit label runs, as on a shared
folder. A worker may be ended and started at any time. On Ctrl-C it finishes the chunks at hand.

Example:
  groupvit worker --queue redis://queue:6379`,
    )
    .action(run);
}

async function run({ queue, processes = availableParallelism() }: Options): Promise<void> {
  const { runWorker } = await import("../../label/queue.js");
  const { labelPool } = await import("../../label/run.js");
  const pool = labelPool(processes);
  let pictures = 0;
  let told = performance.now();
  try {
    await runWorker(queue, pool, {
      signal: interruption.signal,
      note,
      onReady: (address) => note(`worker: waiting for work of ${address}; Ctrl-C ends it`),
      onDone({ chunk }) {
        pictures += chunk.pictures.length;
        if (performance.now() - told < TOLD_MS) return;
        told = performance.now();
        note(`worker: ${pictures} pictures done`);
      },
    });
  } finally {
    pool.close();
  }
  note(`worker: ended after ${pictures} pictures`);
}
