// An evaluation as the command prints it: how it was measured, the table of classes, the totals and
// what was published; plain text of at most 100 columns.

import { cleanLabel, shorten } from "../output/label-text.js";
import { textColumns } from "../output/table.js";
import { protocolFields } from "./protocol.js";
import {
  comparisons,
  count,
  counted,
  mainMetric,
  percentNumber,
  percentText,
  publishedClasses,
  rate,
  shortHash,
  signed,
} from "./report-parts.js";
import type { EvaluationResult } from "./result.js";

const WIDTH = 100;
const BAR = 40;
/** Departures from the protocol that are printed; the result holds all of them. */
const PRINTED_CHANGES = 20;
/** Of more classes only those are printed that there is something to say of; the result holds all of them. */
const PRINTED_CLASSES = 100;

/** Lines that end in a newline each; without escape sequences, whatever names the result holds. */
export function resultText(result: EvaluationResult): string {
  const blocks = [
    headLines(result),
    changeLines(result.changes),
    classLines(result),
    tierLines(result),
    totalLines(result),
    publishedLines(result),
  ].filter((lines) => lines.length > 0);
  return `${blocks.map((lines) => lines.join("\n")).join("\n\n")}\n`;
}

function headLines({ dataset, model, protocol }: EvaluationResult): string[] {
  const title = `${cleanLabel(dataset.name)} ${cleanLabel(dataset.split)}`;
  const hashed = (sha256: string) => `(sha256 ${cleanLabel(shortHash(sha256))})`;
  const fields = protocolFields(protocol).map(([key, value]) => `${key} ${cleanLabel(value)}`);
  return [
    `data      ${cut(title, 50)}, ${counted(dataset.pictures, "picture")} ${hashed(dataset.sha256)}`,
    `model     ${cut(cleanLabel(model.name), 60)} ${hashed(model.sha256)}`,
    ...wrap(fields, "protocol  ", ","),
  ];
}

/** Items after a head, each but the last with its ending, over as many lines as they take. */
function wrap(items: readonly string[], head: string, ending: string): string[] {
  const lines: string[] = [];
  let line = head;
  for (const [i, item] of items.entries()) {
    const text = i < items.length - 1 ? item + ending : item;
    const next = i === 0 ? line + text : `${line} ${text}`;
    if (i === 0 || textColumns(next) <= WIDTH) {
      line = next;
    } else {
      lines.push(line);
      line = " ".repeat(head.length) + text;
    }
  }
  return [...lines, cut(line, WIDTH)];
}

function changeLines(changes: readonly string[]): string[] {
  if (changes.length === 0) return [];
  const rest = changes.length - PRINTED_CHANGES;
  return [
    "NOT the standard protocol; standard -> here:",
    ...changes.slice(0, PRINTED_CHANGES).map((change) => cut(`  ${cleanLabel(change)}`, WIDTH)),
    ...(rest > 0 ? [`  and ${counted(rest, "more change")}`] : []),
  ];
}

function classLines(result: EvaluationResult): string[] {
  if (result.task === "segmentation") {
    const theirs = publishedClasses(result);
    return classTable(
      ["class", "IoU %", "acc %", ...(theirs ? ["published IoU %"] : [])],
      result.classes.map(({ name, iou, accuracy }, i) => ({
        cells: [
          name,
          percentNumber(iou),
          percentNumber(accuracy),
          ...(theirs ? [theirs[i]!.toFixed(1)] : []),
        ],
        bar: iou,
      })),
    );
  }
  return classTable(
    ["class", "pictures", "top-1 %"],
    result.classes.map(({ name, pictures, top1 }) => ({
      cells: [name, count(pictures), percentNumber(top1)],
      bar: top1,
    })),
  );
}

function classTable(heads: readonly string[], rows: readonly Row[]): string[] {
  const shown = rows.length <= PRINTED_CLASSES ? rows : rows.filter(({ bar }) => bar !== null);
  const rest = rows.length - shown.length;
  const note = `and ${count(rest)} ${rest === 1 ? "class" : "classes"} that did not occur`;
  return [...table(heads, shown), ...(rest > 0 ? [note] : [])];
}

function tierLines(result: EvaluationResult): string[] {
  return table(
    ["part", "pictures", `${mainMetric(result).name} %`],
    result.tiers.map((tier) => {
      const value = "mIoU" in tier ? tier.mIoU : tier.top1;
      const measured = tier.pictures > 0 ? value : null;
      return { cells: [tier.name, count(tier.pictures), percentNumber(measured)], bar: measured };
    }),
  );
}

function totalLines(result: EvaluationResult): string[] {
  const { name, value } = mainMetric(result);
  const percent = (share: number) => percentText(share).replace("\u00a0", " ");
  const totals: [string, string][] = [[name, percent(value)]];
  if (result.task === "segmentation") {
    totals.push(["pixel accuracy", percent(result.pixelAccuracy)]);
    totals.push(["mean accuracy", percent(result.meanAccuracy)]);
  } else {
    totals.push(["top-5", percent(result.top5)]);
  }
  totals.push(["pictures per second", rate(result.picturesPerSecond)]);
  return totals.map(([label, text]) => `${label.padEnd(19)}  ${text.padStart(7)}`);
}

function publishedLines(result: EvaluationResult): string[] {
  const { rows, sentence } = comparisons(result);
  const lines = table(
    ["published", mainMetric(result).name, "difference"],
    rows.map(({ published, remark, difference }) => ({
      cells: [published.model, published.value.toFixed(1), signed(difference)],
      rest: remark,
    })),
  );
  return [...lines, ...wrap(sentence.split(" "), "", "")];
}

interface Row {
  /** A name and the numbers after it. */
  readonly cells: readonly string[];
  /** Length of a bar after them, 0 to 1. */
  readonly bar?: number | null;
  readonly rest?: string;
}

/** Names to the left, numbers to the right of their columns. */
function table(heads: readonly string[], rows: readonly Row[]): string[] {
  if (rows.length === 0) return [];
  const [first = "", ...others] = heads;
  const numbers = others.map((head, i) =>
    Math.max(textColumns(head), ...rows.map(({ cells }) => textColumns(cells[i + 1] ?? ""))),
  );
  const names = rows.map(({ cells: [name = ""] }) => cut(cleanLabel(name), 34));
  const column = names.reduce((most, name) => Math.max(most, textColumns(name)), first.length);
  const line = (name: string, cells: readonly string[], rest: string) => {
    const padded = cells.map(
      (cell, i) => `  ${" ".repeat(numbers[i]! - textColumns(cell))}${cell}`,
    );
    const space = " ".repeat(column - textColumns(name));
    return cut(`${name}${space}${padded.join("")}  ${rest}`.trimEnd(), WIDTH);
  };
  return [
    line(first, others, ""),
    ...rows.map(({ cells, bar, rest }, i) =>
      line(names[i]!, cells.slice(1), rest ?? blocks(bar ?? 0)),
    ),
  ];
}

/** A bar in eighths of a column. */
function blocks(share: number): string {
  if (!Number.isFinite(share)) return "";
  const eighths = Math.round(Math.max(0, Math.min(1, share)) * BAR * 8);
  const rest = eighths % 8;
  return "█".repeat(eighths >> 3) + (rest > 0 ? "▏▎▍▌▋▊▉"[rest - 1]! : "");
}

function cut(text: string, columns: number): string {
  return shorten(text, columns, textColumns);
}
