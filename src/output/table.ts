// A segmentation as a plain-text table for terminals: label, area, score and a bar for the score.

import { InputError } from "../errors.js";
import { cleanLabel, percent, shorten } from "./label-text.js";

export interface TableRow {
  readonly label: string;
  /** Share of the picture, 0 to 1. */
  readonly area: number;
  /** 0 to 1. */
  readonly score: number;
  /** R, G, B of the label, for the swatch that is drawn when `color` is asked for. */
  readonly rgb: readonly [number, number, number];
}

export interface TableOptions {
  /** Write 24-bit ANSI colours; without it the text has no escape sequence at all. */
  readonly color: boolean;
  /** Columns of the terminal, at least 40; no line is wider. */
  readonly width: number;
}

const MAX_BAR = 24;

/**
 * Lays out the rows as lines, in the given order, with a head and without a newline at the end.
 * Labels are cut to fit; control characters in them are taken out, so that a label cannot steer the
 * terminal.
 * @example
 * formatTable([{ label: "cat", area: 0.374, score: 0.91, rgb: [47, 126, 216] }],
 *   { color: false, width: 40 });
 * // label    area  score
 * // cat     37.4%  0.910  ████████████████▍
 */
export function formatTable(rows: readonly TableRow[], { color, width }: TableOptions): string {
  if (!(width >= 40)) throw new InputError(`Table width ${width}: give at least 40 columns.`);
  const swatch = color ? 2 : 0; // "■ "
  const numbers = 2 + 6 + 2 + 5; // two spaces, area, two spaces, score
  const minimumBar = 2 + 8;
  const labels = rows.map(({ label }) =>
    shorten(cleanLabel(label), width - swatch - numbers - minimumBar, characterWidth),
  );
  const column = Math.max(5, ...labels.map(textColumns));
  const bar = Math.min(MAX_BAR, width - swatch - column - numbers - 2);
  const head = `${" ".repeat(swatch)}${"label".padEnd(column)}    area  score`;
  const lines = [color ? `\x1b[2m${head}\x1b[0m` : head];
  rows.forEach(({ area, score, rgb }, i) => {
    const name = labels[i] + " ".repeat(column - textColumns(labels[i]));
    const values = `${percent(area).padStart(6)}  ${score.toFixed(3)}`;
    const drawn = scoreBar(score, bar);
    const paint = `\x1b[38;2;${rgb.join(";")}m`;
    lines.push(
      color
        ? `${paint}■\x1b[0m ${name}  ${values}  ${paint}${drawn}\x1b[0m`
        : `${name}  ${values}  ${drawn}`.trimEnd(),
    );
  });
  return lines.join("\n");
}

/** A bar in eighths of a column. */
function scoreBar(score: number, columns: number): string {
  const eighths = Math.round(Math.max(0, Math.min(1, score)) * columns * 8);
  const rest = eighths % 8;
  return "█".repeat(eighths >> 3) + (rest > 0 ? "▏▎▍▌▋▊▉"[rest - 1] : "");
}

/** Columns that a text takes in a terminal. */
export function textColumns(text: string): number {
  let columns = 0;
  for (const character of text) columns += characterWidth(character);
  return columns;
}

const ZERO_WIDTH = /^[\p{Mn}\p{Me}\p{Cf}]$/u;
const WIDE =
  /^[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\p{Emoji_Presentation}\u3000-\u303e\uff01-\uff60\uffe0-\uffe6]$/u;
/** Half-width forms: of the scripts above, but one column wide. */
const NARROW = /^[\uff61-\uffdc]$/u;

function characterWidth(character: string): number {
  if (ZERO_WIDTH.test(character)) return 0;
  return WIDE.test(character) && !NARROW.test(character) ? 2 : 1;
}
