// What a benchmark reports, and how rows are made from times.

import type { Times } from "./measure.js";
import { median, quantile, ratio } from "./measure.js";

/** Names the rows that others are compared with; see `naive.ts`. */
export const NAIVE = "naive path";

/** One line of the table. */
export interface Row {
  group: string;
  name: string;
  unit: "ms" | "MB" | "pictures/s" | "samples/s";
  median: number;
  /** Shortest time. */
  min?: number;
  /** From the first to the third quartile. */
  spread?: number;
  rounds?: number;
  /** Multiplications and additions of its matrix products, 10^9. */
  gflop?: number;
  /** Its speed as a share of the roof measured in the same rounds. */
  ofRoof?: number;
  /** How many times better than the naive path: faster, or smaller in memory. */
  gain?: number;
  note?: string;
}

/** What the machine can do at best: a case's times and its products. */
export interface Roof {
  times: Times;
  gflop: number;
}

interface Extra {
  gflop?: number;
  roof?: Roof;
  /** Share of a roof that is not one of products. */
  ofRoof?: number;
  /** Times of the naive path, in the same rounds. */
  naive?: Times;
  note?: string;
}

export function timeRow(
  group: string,
  name: string,
  times: Times,
  { gflop, roof, ofRoof, naive, note }: Extra = {},
): Row {
  const share = gflop && roof ? (gflop / roof.gflop) * ratio(roof.times, times) : ofRoof;
  return {
    group,
    name,
    unit: "ms",
    median: median(times),
    min: Math.min(...times),
    spread: spread(times),
    rounds: times.length,
    ...(gflop ? { gflop } : {}),
    ...(share === undefined ? {} : { ofRoof: share }),
    ...(naive ? { gain: ratio(naive, times) } : {}),
    ...(note ? { note } : {}),
  };
}

/** @param times milliseconds for each picture or sample */
export function rateRow(
  group: string,
  name: string,
  unit: "pictures/s" | "samples/s",
  times: Times,
  { naive, note }: Pick<Extra, "naive" | "note"> = {},
): Row {
  const rates = times.map((time) => 1000 / time);
  return {
    group,
    name,
    unit,
    median: median(rates),
    spread: spread(rates),
    rounds: times.length,
    ...(naive ? { gain: ratio(naive, times) } : {}),
    ...(note ? { note } : {}),
  };
}

export function memoryRow(group: string, name: string, megabytes: number, note?: string): Row {
  return { group, name, unit: "MB", median: megabytes, ...(note ? { note } : {}) };
}

/**
 * Sets peaks of memory beside the naive path's, which are measured in processes of their own: "224 px, peak"
 * and "fp32, peak" beside "224 px, peak, naive path" and "peak, naive path" of the same group.
 */
export function comparePeaks(rows: readonly Row[]): void {
  const memory = rows.filter(({ unit }) => unit === "MB");
  for (const naive of memory) {
    if (!naive.name.endsWith(`, ${NAIVE}`)) continue;
    const name = naive.name.slice(0, -NAIVE.length - 2);
    for (const row of memory) {
      if (row.group === naive.group && row.name.endsWith(name))
        row.gain = naive.median / row.median;
    }
  }
}

function spread(values: Times): number {
  return quantile(values, 0.75) - quantile(values, 0.25);
}
