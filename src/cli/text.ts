// Results as people read them in a terminal.

import type { Segmentation } from "../index.js";
import { oneLine } from "./terminal.js";

/** Whether stdout shows colours. */
export function coloured(): boolean {
  return process.stdout.isTTY === true && !process.env.NO_COLOR && process.env.TERM !== "dumb";
}

/** The heading of a picture's results. */
export function heading(text: string): string {
  return coloured() ? `\x1b[1m${oneLine(text)}\x1b[22m` : oneLine(text);
}

/** Lines such as "mask     out/park.mask.png", for a picture's files. */
export function fileLines(written: Readonly<Record<string, string>>): string {
  const width = Math.max(0, ...Object.keys(written).map((kind) => kind.length));
  return Object.entries(written)
    .map(([kind, path]) => `  ${kind.padEnd(width)}  ${oneLine(path)}\n`)
    .join("");
}

/** A segmented picture: its labels by area, and the files written. */
export async function segmentationText(
  file: string,
  result: Segmentation,
  written: Readonly<Record<string, string>>,
): Promise<string> {
  const { formatTable, labelPalette } = await import("../index.js");
  const first = result.background ? 1 : 0;
  const palette = labelPalette(result.labels.length + first, result.background);
  const pixels = result.width * result.height;
  let rest = pixels;
  const rows = [];
  for (const [i, label] of result.labels.entries()) {
    const area = result.areas[i]!;
    rest -= area;
    if (area === 0) continue;
    const [r, g, b] = palette.subarray((i + first) * 3, (i + first) * 3 + 3);
    rows.push({
      label,
      area: area / pixels,
      score: result.scores[i]!,
      rgb: [r!, g!, b!] as const,
    });
  }
  rows.sort((a, b) => b.area - a.area);
  const width = Math.min(100, Math.max(40, (process.stdout.columns || 80) - 2));
  const table = formatTable(rows, { color: coloured(), width });
  const lines = rows.length > 0 ? table.split("\n") : ["none of the labels"];
  if (rest > 0) lines.push(`background: ${((100 * rest) / pixels).toFixed(1)}%`);
  return `${heading(`${file}  ${result.width} x ${result.height}`)}\n${lines
    .map((line) => `  ${line}\n`)
    .join("")}${fileLines(written)}`;
}
