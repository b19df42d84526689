// Rows as a text table, as Markdown, and beside the aims.

import { createRequire } from "node:module";
import { cpus, totalmem } from "node:os";
import type { Row } from "./row.js";

export interface Machine {
  date: string;
  cpu: string;
  cores: number;
  memoryGB: number;
  platform: string;
  node: string;
  onnxruntime: string;
}

export function machine(): Machine {
  const { version } = createRequire(import.meta.url)("onnxruntime-node/package.json") as {
    version: string;
  };
  return {
    date: new Date().toISOString().slice(0, 10),
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    cores: cpus().length,
    memoryGB: Math.round(totalmem() / 2 ** 30),
    platform: `${process.platform} ${process.arch}`,
    node: process.version,
    onnxruntime: version,
  };
}

const HEAD = ["case", "median", "min", "spread", "rounds", "GF/s", "of roof", "compared", "note"];

function number(value: number | undefined, unit = ""): string {
  if (value === undefined) return "";
  const digits = Math.abs(value) < 10 ? 2 : Math.abs(value) < 100 ? 1 : 0;
  return `${value.toFixed(digits)}${unit}`;
}

function cells(row: Row): string[] {
  return [
    row.name,
    number(row.median, ` ${row.unit}`),
    number(row.min),
    number(row.spread),
    row.rounds === undefined ? "" : String(row.rounds),
    row.gflop === undefined ? "" : number((row.gflop / row.median) * 1000),
    row.ofRoof === undefined ? "" : `${(100 * row.ofRoof).toFixed(0)} %`,
    row.faster ? `${number(row.faster.times)}x as fast as ${row.faster.than}` : "",
    row.note ?? "",
  ];
}

function groups(rows: readonly Row[]): Map<string, Row[]> {
  const byGroup = new Map<string, Row[]>();
  for (const row of rows) {
    const own = byGroup.get(row.group);
    if (own) own.push(row);
    else byGroup.set(row.group, [row]);
  }
  return byGroup;
}

/** A table per group, for a terminal. */
export function textTable(rows: readonly Row[]): string {
  const lines: string[] = [];
  for (const [group, own] of groups(rows)) {
    const table = [HEAD, ...own.map(cells)];
    const shown = HEAD.map((_, column) => column).filter((column) =>
      table.slice(1).some((line) => line[column] !== ""),
    );
    const widths = shown.map((column) => Math.max(...table.map((line) => line[column]!.length)));
    lines.push("", group);
    for (const line of table) {
      const padded = shown.map((column, i) =>
        column === 0 || column > 6
          ? line[column]!.padEnd(widths[i]!)
          : line[column]!.padStart(widths[i]!),
      );
      lines.push(`  ${padded.join("  ").trimEnd()}`);
    }
  }
  return lines.join("\n");
}

interface Aim {
  aim: string;
  reached: string;
  holds: boolean;
}

/** The aims that the project set itself, with what was measured. */
export function aims(rows: readonly Row[]): Aim[] {
  const found: Aim[] = [];
  const row = (group: string, name: string) =>
    rows.find((each) => each.group.startsWith(group) && each.name === name);
  for (const [side, batch] of [
    [224, 1],
    [224, 8],
    [448, 1],
    [448, 8],
  ]) {
    const group = `image tower ${side} px, batch ${batch}`;
    const share = row(group, "fp32")?.ofRoof;
    if (share !== undefined) {
      found.push({
        aim: `${group}: at least 85 % of the sgemm roof`,
        reached: `${(100 * share).toFixed(0)} %`,
        holds: share >= 0.85,
      });
    }
    const int8 = row(group, "int8")?.faster?.times;
    if (int8 !== undefined) {
      found.push({
        aim: `${group}: int8 at least 2x fp32`,
        reached: `${int8.toFixed(2)}x`,
        holds: int8 >= 2,
      });
    }
  }
  const segment = row("segment", "20 new words")?.faster?.times;
  if (segment !== undefined) {
    found.push({
      aim: "segment with 20 words: at least 3x the naive path",
      reached: `${segment.toFixed(2)}x with new words`,
      holds: segment >= 3,
    });
  }
  const relabel = row("relabel", "relabel, 20 known words")?.faster?.times;
  if (relabel !== undefined) {
    found.push({
      aim: "relabelling with 20 known words: under 1/20 of encoding",
      reached: `1/${relabel.toFixed(0)}`,
      holds: relabel > 20,
    });
  }
  const peak = row("memory, full-size", "fp32, peak")?.median;
  if (peak !== undefined) {
    found.push({
      aim: "memory of the full-size model at batch 1: under 700 MB",
      reached: `peak ${peak.toFixed(0)} MB`,
      holds: peak < 700,
    });
  }
  return found;
}

export function markdown(rows: readonly Row[], on: Machine, quick: boolean): string {
  const lines = [
    "# Benchmark results",
    "",
    `Written by \`npm run bench\`${quick ? " (`--quick`)" : ""} on ${on.date}: ${on.cpu}, ` +
      `${on.cores} logical cores, ${on.memoryGB} GB, ${on.platform}, Node ${on.node}, ` +
      `ONNX Runtime ${on.onnxruntime}. The published configuration with random weights.`,
    "",
    "How to read them. The cases of a group take turns, round after round; a comparison is the median",
    "of the ratios within a round, so a slow spell of the machine falls on both sides. Spread is the",
    "distance between the quartiles: where it is large beside the median the machine was busy, and only",
    "the ratios say something. `GF/s` counts matrix products alone, two operations per multiplication",
    "and addition; the roof is one large product with constant weights in the same engine, timed in the",
    "same rounds. The naive path has the graph as an exporter writes it (separate products for queries,",
    "keys and values) and pads text to 77 tokens; in `segment` it encodes every word anew.",
    "Nothing fails when a time is long: times depend on the machine.",
    "",
    "## Aims",
    "",
    "| Aim | Reached | |",
    "| --- | --- | --- |",
    ...aims(rows).map(
      ({ aim, reached, holds }) => `| ${aim} | ${reached} | ${holds ? "yes" : "no"} |`,
    ),
  ];
  for (const [group, own] of groups(rows)) {
    lines.push("", `## ${group}`, "", `| ${HEAD.join(" | ")} |`);
    lines.push(`| --- |${" ---: |".repeat(6)} --- | --- |`);
    for (const row of own) lines.push(`| ${cells(row).join(" | ")} |`);
  }
  return `${lines.join("\n")}\n`;
}
