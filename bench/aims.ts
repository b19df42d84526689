// The aims that the project set itself, with what was measured.

import type { Row } from "./row.js";

export interface Aim {
  aim: string;
  reached: string;
  holds: boolean;
}

export function aims(rows: readonly Row[]): Aim[] {
  const row = (group: string, name: string) =>
    rows.find((each) => each.group.startsWith(group) && each.name.startsWith(name));
  const found: Aim[] = [];
  const add = (
    aim: string,
    value: number | undefined,
    holds: (value: number) => boolean,
    text: (value: number) => string,
  ) => {
    if (value !== undefined) found.push({ aim, reached: text(value), holds: holds(value) });
  };
  const times = (value: number) => `${value.toFixed(2)}x`;
  const percent = (value: number) => `${(100 * value).toFixed(0)} %`;

  for (const [side, batch] of [
    [224, 1],
    [224, 8],
    [448, 1],
    [448, 8],
  ]) {
    const group = `image tower ${side} px, batch ${batch}`;
    const [fp32, int8] = [row(group, "fp32"), row(group, "int8")];
    add(
      `${group}: at least 85 % of the sgemm roof`,
      fp32?.ofRoof,
      (value) => value >= 0.85,
      percent,
    );
    const faster = fp32?.gain && int8?.gain && int8.gain / fp32.gain;
    add(`${group}: int8 at least 2x fp32`, faster, (value) => value >= 2, times);
  }
  add(
    "segment with 20 new words: at least 3x the naive path",
    row("segment", "20 new words")?.gain,
    (value) => value >= 3,
    times,
  );
  add(
    "relabelling with 20 known words: under 1/20 of encoding",
    row("relabel", "20 words it has seen")?.gain,
    (value) => value > 20,
    (value) => `1/${value.toFixed(0)}`,
  );
  add(
    "memory of the full-size model at batch 1: under 700 MB",
    row("memory, full-size", "fp32, peak")?.median,
    (value) => value < 700,
    (value) => `peak ${value.toFixed(0)} MB`,
  );
  for (const [recipe, loader] of [
    ["published configuration", "JPEG"],
    ["recipe of the bundled model", "scenes"],
  ] as const) {
    const step = row(`training step, ${recipe}`, "whole step");
    const supply = row(`training loader: ${loader}`, "1 thread")?.median;
    const batch = Number(/batch (\d+)/.exec(step?.group ?? "")?.[1]);
    const need = step && (1000 * batch) / step.median;
    add(
      `training loader, one thread: more samples than the step takes, ${recipe}`,
      need && supply && supply / need,
      (value) => value > 1,
      (value) => `${supply!.toFixed(0)} of ${need!.toFixed(1)} samples/s, ${times(value)}`,
    );
  }
  const published = "training step, published";
  add(
    "training step, published configuration: gradients at no less than 65 % of the sgemm roof",
    row(published, "gradients")?.ofRoof,
    (value) => value >= 0.65,
    percent,
  );
  add(
    "training step, published configuration, batch 8: under 2.2 GB",
    row(published, "resident memory")?.median,
    (value) => value < 2200,
    (value) => `${value.toFixed(0)} MB`,
  );
  const evaluation = rows.filter(({ group }) => group.startsWith("evaluation of"));
  add(
    "evaluation with a process a core: over 90 % of the CPU",
    told(evaluation.at(-1), /(\d+) % of the CPU/, 0.01),
    (value) => value > 0.9,
    percent,
  );
  add(
    "labelling, COCO: at least 90 % of the engine's own rate",
    told(row("labelling of", "labelling, coco"), /(\d+) % of the engine/, 0.01),
    (value) => value >= 0.9,
    percent,
  );
  const busiest = row("groupvit serve", "64 connections");
  add(
    "groupvit serve, 64 connections: at least 90 % of its engines' own rate",
    busiest?.ofRoof,
    (value) => value >= 0.9,
    percent,
  );
  add(
    "groupvit serve, 64 connections: event loop delay p99 under 20 ms",
    told(busiest, /event loop delay p99 (\d+) ms/),
    (value) => value < 20,
    (value) => `${value.toFixed(0)} ms`,
  );
  return found;
}

/** The number that a row's note tells, times `unit`. */
function told(row: Row | undefined, pattern: RegExp, unit = 1): number | undefined {
  const number = pattern.exec(row?.note ?? "")?.[1];
  return number === undefined ? undefined : unit * Number(number);
}
