// Timing: the cases of a group take turns, round after round, so that whatever else the machine does
// falls on all of them alike. Ratios are taken within a round, then their median. And memory, and the
// share of the processor that was used.

import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

/** Times of one case, milliseconds, one per round. */
export type Times = readonly number[];

/** At least so many rounds, however long they take. */
const MIN_ROUNDS = 3;

/** After a run the engine's threads spin for a while: the next case must not pay for them. */
const PAUSE = 50;

/** What takes longer, in milliseconds, needs no run that brings its weights back into the caches. */
const LONG = 500;

/** Milliseconds that a run takes. */
export async function elapsed(run: () => unknown): Promise<number> {
  const began = performance.now();
  await run();
  return performance.now() - began;
}

/**
 * Asks every case for a number, in turns.
 *
 * @param rounds at most so many
 * @param budget milliseconds after which no further round starts
 */
export async function takeTurns<Name extends string>(
  cases: Record<Name, () => Promise<number>>,
  rounds: number,
  budget: number,
): Promise<Record<Name, number[]>> {
  const names = Object.keys(cases) as Name[];
  const numbers = {} as Record<Name, number[]>;
  for (const name of names) numbers[name] = [];
  const start = performance.now();
  for (let round = 0; round < rounds; round++) {
    if (round >= MIN_ROUNDS && performance.now() - start > budget) break;
    for (const name of names) numbers[name].push(await cases[name]());
  }
  return numbers;
}

/**
 * Runs every case once to warm up, then times them in turns; a turn of a short case is a run that brings
 * its weights back into the caches, and a timed one.
 */
export async function interleave<Name extends string>(
  cases: Record<Name, () => unknown>,
  rounds: number,
  budget: number,
): Promise<Record<Name, number[]>> {
  const turns = {} as Record<Name, () => Promise<number>>;
  for (const name of Object.keys(cases) as Name[]) {
    let last = await elapsed(cases[name]);
    turns[name] = async () => {
      await sleep(PAUSE);
      if (last < LONG) await cases[name]();
      last = await elapsed(cases[name]);
      return last;
    };
  }
  return takeTurns(turns, rounds, budget);
}

/** The value below which the given share of the numbers lies, interpolated. */
export function quantile(values: Times, share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const at = share * (sorted.length - 1);
  const low = sorted[Math.floor(at)]!;
  return low + (sorted[Math.ceil(at)]! - low) * (at % 1);
}

export const median = (values: Times): number => quantile(values, 0.5);

/** How many times longer `a` takes than `b`: the median over rounds of the ratio within a round. */
export function ratio(a: Times, b: Times): number {
  return median(a.map((time, round) => time / b[round]!));
}

/** Resident memory now and its largest so far, MB. */
export function residentMemory(): { now: number; peak: number } {
  return { now: process.memoryUsage.rss() / 1e6, peak: (peakKilobytes() * 1024) / 1e6 };
}

function peakKilobytes(): number {
  // A child's `maxRSS` starts at its parent's on Linux; this starts anew.
  const status = proc("self/status");
  const found = status === undefined ? null : /VmHWM:\s*(\d+) kB/.exec(status);
  return found ? Number(found[1]) : process.resourceUsage().maxRSS;
}

/** Clock ticks a second in which Linux counts. */
const TICKS = 100;

/** Processor time of this process and of its children that live, seconds; undefined where unknown. */
export function processorSeconds(): number | undefined {
  const children = proc(`self/task/${process.pid}/children`);
  if (children === undefined) return undefined;
  let ticks = 0;
  for (const id of ["self", ...children.split(" ").filter(Boolean)]) {
    // The name in brackets may hold spaces; user and system time are fields 14 and 15.
    const fields =
      proc(`${id}/stat`)
        ?.replace(/^.*\) /, "")
        .split(" ") ?? [];
    ticks += Number(fields[11] ?? 0) + Number(fields[12] ?? 0);
  }
  return ticks / TICKS;
}

function proc(path: string): string | undefined {
  try {
    return readFileSync(`/proc/${path}`, "utf8");
  } catch {
    return undefined;
  }
}
