// What a command writes, and how it ends: results on stdout, everything else on stderr, one clear line
// for an error, exit codes 0, 2 (bad input), 130 (Ctrl-C) and 1 (a defect of this program).

import { once } from "node:events";
import { InputError } from "../errors.js";
import { shorten } from "../input/source.js";

/** Fires on the first Ctrl-C or SIGTERM; a second one ends the process at once. */
export const interruption = new AbortController();

let signalCode = 130;

/** Starts to listen for Ctrl-C; the work at hand is finished or undone, then the process ends. */
export function listenForSignals(): void {
  for (const [signal, code] of [
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const) {
    process.once(signal, () => {
      signalCode = code;
      interruption.abort(new Interrupted());
    });
  }
  // `groupvit ... | head` closes our output: nobody is left to write to.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit(0);
    throw error;
  });
}

/** The reason of an abort by the user. */
export class Interrupted extends Error {
  override name = "Interrupted";
  override message = "stopped";
}

/** Writes a result; waits where the reader is slow. */
export async function print(text: string): Promise<void> {
  if (!process.stdout.write(text)) await once(process.stdout, "drain");
}

/** Writes a line on stderr. */
export function note(text: string): void {
  process.stderr.write(`groupvit: ${oneLine(text)}\n`);
}

/** Says what went wrong and gives the exit code. */
export function reportFailure(error: unknown): number {
  if (interruption.signal.aborted) {
    note("stopped; finished files are complete");
    return signalCode;
  }
  if (error instanceof InputError) {
    note(error.message);
    return 2;
  }
  process.stderr.write(
    `groupvit: a defect of this program, please report it: ${
      error instanceof Error ? (error.stack ?? error.message) : String(error)
    }\n`,
  );
  return 1;
}

/** A message in one line without control characters. */
export function oneLine(text: string): string {
  return shorten(text, 1000);
}
