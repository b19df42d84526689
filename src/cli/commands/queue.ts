// groupvit queue: what the queue of labelling holds, and whether workers may take from it.

import { Command, Option } from "commander";
import type { OpenQueue, QueueStatus } from "../../label/queue.js";
import { note, print } from "../terminal.js";

interface Options {
  queue: string;
  json?: boolean;
}

export function queueCommand(): Command {
  const command = new Command("queue").description("Look after the queue of groupvit label.");
  const part = (name: string, description: string) =>
    command.command(name).description(description).addOption(queueOption());
  part("status", "Tell what waits, and who works on it.")
    .option("--json", "print a JSON object instead of text")
    .action(status);
  part("pause", "Let workers finish what they have and take nothing more.").action((options) =>
    withQueue(options, async ({ queue }) => {
      await queue.pause();
      await print("paused\n");
    }),
  );
  part("resume", "Let workers go on.").action((options) =>
    withQueue(options, async ({ queue }) => {
      await queue.resume();
      await print("resumed\n");
    }),
  );
  return command;
}

/** The address of Redis, which may hold a password and then had better not stand in a command line. */
export function queueOption(): Option {
  return new Option(
    "--queue <address>",
    "redis://[user:password@]host:port (default: the environment variable GROUPVIT_QUEUE)",
  )
    .env("GROUPVIT_QUEUE")
    .makeOptionMandatory();
}

async function withQueue(
  { queue }: Options,
  work: (open: OpenQueue) => Promise<void>,
): Promise<void> {
  const { openQueue } = await import("../../label/queue.js");
  const open = await openQueue(queue, note);
  try {
    await work(open);
  } finally {
    await open.close();
  }
}

async function status(options: Options): Promise<void> {
  const { queueStatus } = await import("../../label/queue.js");
  await withQueue(options, async (open) => {
    const found = await queueStatus(options.queue, open);
    await print(options.json ? `${JSON.stringify(found)}\n` : statusText(found));
  });
}

function statusText(status: QueueStatus): string {
  const { address, paused, waiting, active, delayed, failed, workers } = status;
  return [
    `${address}: ${paused ? "paused" : "open"}`,
    `  chunks: ${waiting} waiting, ${active} in work, ${delayed} to be tried again, ${failed} failed`,
    `  workers: ${workers.length === 0 ? "none" : workers.join(", ")}`,
    "",
  ].join("\n");
}
