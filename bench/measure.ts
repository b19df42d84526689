// Timing: the cases of a group take turns, round after round, so that whatever else the machine does
// falls on all of them alike. Ratios are taken within a round, then their median.

import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

/** Times of one case, milliseconds, one per round. */
export type Times = readonly number[];

/** At least so many rounds, however long they take. */
const MIN_ROUNDS = 3;

/** After a run the engine's threads spin for a while: the next case must not pay for them. */
const PAUSE = 50;

/**
 * Runs every case once to warm up, then in turns; each turn is a run that brings its weights back into
 * the caches, and a timed one.
 *
 * @param rounds at most so many
 * @param budget milliseconds after which no further round starts
 */
export async function interleave<Name extends string>(
  cases: Record<Name, () => unknown>,
  rounds: number,
  budget: number,
): Promise<Record<Name, number[]>> {
  const names = Object.keys(cases) as Name[];
  const times = {} as Record<Name, number[]>;
  for (const name of names) times[name] = [];
  for (const name of names) await cases[name]();
  const start = performance.now();
  for (let round = 0; round < rounds; round++) {
    if (round >= MIN_ROUNDS && performance.now() - start > budget) break;
    for (const name of names) {
      await sleep(PAUSE);
      await cases[name]();
      const began = performance.now();
      await cases[name]();
      times[name].push(performance.now() - began);
    }
  }
  return times;
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
  try {
    // A child's `maxRSS` starts at its parent's on Linux; this starts anew.
    const status = readFileSync("/proc/self/status", "utf8");
    const found = /VmHWM:\s*(\d+) kB/.exec(status);
    if (found) return Number(found[1]);
  } catch {
    // Not Linux.
  }
  return process.resourceUsage().maxRSS;
}
