// Rows as a text table and as Markdown.

import { createRequire } from "node:module";
import { cpus, totalmem } from "node:os";
import type { Aim } from "./aims.js";
import { NAIVE, type Row } from "./row.js";

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

const HEAD = ["case", "median", "min", "spread", "rounds", "GF/s", "of roof", NAIVE, "note"];

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
    compared(row),
    row.note ?? "",
  ];
}

function compared({ unit, gain }: Row): string {
  if (gain === undefined) return "";
  return unit === "MB" ? `${(100 / gain).toFixed(0)} % of it` : `${number(gain)}x as fast`;
}

/** Rows by group, in their order. */
export function groups(rows: readonly Row[]): Map<string, Row[]> {
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

interface Results {
  machine: Machine;
  quick: boolean;
  aims: readonly Aim[];
  rows: readonly Row[];
}

export function machineText(on: Machine): string {
  return (
    `${on.date}: ${on.cpu}, ${on.cores} logical cores, ${on.memoryGB} GB, ${on.platform}, ` +
    `Node ${on.node}, ONNX Runtime ${on.onnxruntime}`
  );
}

export function markdown({ machine: on, quick, aims, rows }: Results): string {
  const lines = [
    "# Benchmark results",
    "",
    `Written by \`npm run bench\`${quick ? " (`--quick`)" : ""} on ${machineText(on)}. The published ` +
      "configuration with random weights, where nothing else is said. The same numbers as JSON: " +
      "[results.json](results.json).",
    "",
    "![Every case beside the naive path and the roof](results.svg)",
    "",
    "How to read them. The cases of a group take turns, round after round; a comparison is the median",
    "of the ratios within a round, so a slow spell of the machine falls on both sides. Spread is the",
    "distance between the quartiles: where it is large beside the median the machine was busy, and only",
    "the ratios say something. `GF/s` counts matrix products alone, two operations per multiplication",
    "and addition; the roof is one large product with constant weights in the same engine, timed in the",
    "same rounds (for the optimiser: copying memory).",
    "",
    "The naive path uses the same engine and language. It has the graph as an exporter writes it (separate",
    "products for queries, keys and values, plain attention), pads text to 77 tokens, encodes picture and",
    "words anew, makes a score map of every label at full size, and updates weights with one pass an",
    "operation; what it is in a group stands in its row. Each part runs in a process of its own, and peaks of",
    "memory are the process's. Nothing fails when a time is long: times depend on the machine.",
    "",
    "## Aims",
    "",
    "| Aim | Reached | |",
    "| --- | --- | --- |",
    ...aims.map(({ aim, reached, holds }) => `| ${aim} | ${reached} | ${holds ? "yes" : "no"} |`),
  ];
  for (const [group, own] of groups(rows)) {
    lines.push("", `## ${group}`, "", `| ${HEAD.join(" | ")} |`);
    lines.push(`| --- |${" ---: |".repeat(6)} --- | --- |`);
    for (const row of own) lines.push(`| ${cells(row).join(" | ")} |`);
  }
  return `${lines.join("\n")}\n`;
}
