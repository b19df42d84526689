// What a benchmark reports, and how rows are made from times.

import type { Times } from "./measure.js";
import { median, quantile, ratio } from "./measure.js";

/** One line of the table. */
export interface Row {
  group: string;
  name: string;
  unit: "ms" | "MB" | "GF/s";
  median: number;
  min?: number;
  /** From the first to the third quartile. */
  spread?: number;
  rounds?: number;
  /** Multiplications and additions of its matrix products, 10^9. */
  gflop?: number;
  /** Their speed as a share of the sgemm roof measured in the same rounds. */
  ofRoof?: number;
  /** Another row of the group, and how many times faster this one is. */
  faster?: { than: string; times: number };
  note?: string;
}

/** A case's times with its products, for a group that also timed the roof. */
export interface Roof {
  times: Times;
  gflop: number;
}

export function timeRow(
  group: string,
  name: string,
  times: Times,
  extra: {
    gflop?: number;
    roof?: Roof;
    than?: readonly [name: string, times: Times];
    note?: string;
  } = {},
): Row {
  const { gflop, roof, than, note } = extra;
  return {
    group,
    name,
    unit: "ms",
    median: median(times),
    min: Math.min(...times),
    spread: quantile(times, 0.75) - quantile(times, 0.25),
    rounds: times.length,
    ...(gflop ? { gflop } : {}),
    ...(gflop && roof ? { ofRoof: (gflop / roof.gflop) * ratio(roof.times, times) } : {}),
    ...(than ? { faster: { than: than[0], times: ratio(than[1], times) } } : {}),
    ...(note ? { note } : {}),
  };
}
