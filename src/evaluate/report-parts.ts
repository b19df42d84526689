// What the report page and the terminal table have in common (numbers as text, what may be compared
// with what), and the drawings of the page.

import { cleanLabel, shorten } from "../output/label-text.js";
import type { Published } from "./protocol.js";
import type { EvaluationResult, ReliabilityBin } from "./result.js";

/** What stands where nothing was measured. */
export const NOTHING = "–";

/** A share from 0 to 1 in percent without its sign, "52.3"; "–" where nothing was measured. */
export function percentNumber(share: number | null): string {
  if (share === null || !Number.isFinite(share)) return NOTHING;
  return share > 0 && share < 0.0005 ? "<0.1" : (100 * share).toFixed(1);
}

/** A share from 0 to 1 as "52.3 %", its space unbreakable. */
export function percentText(share: number | null): string {
  const number = percentNumber(share);
  return number === NOTHING ? NOTHING : `${number}\u00a0%`;
}

/** "1,234,567". */
export function count(value: number): string {
  return Number.isFinite(value) ? value.toLocaleString("en-US") : NOTHING;
}

/** A noun with its number: "1 picture", "1,449 pictures". */
export function counted(value: number, noun: string): string {
  return `${count(value)} ${noun}${value === 1 ? "" : "s"}`;
}

/** Pictures per second with three digits. */
export function rate(value: number): string {
  if (!(Number.isFinite(value) && value > 0)) return NOTHING;
  return value >= 100 ? count(Math.round(value)) : String(Number(value.toPrecision(3)));
}

/** The beginning of a hash, enough to tell checkpoints apart. */
export function shortHash(sha256: string): string {
  return sha256.slice(0, 12);
}

/** The one number of a result: its name, and its value from 0 to 1. */
export function mainMetric(result: EvaluationResult): {
  metric: Published["metric"];
  name: string;
  value: number;
} {
  return result.task === "segmentation"
    ? { metric: "mIoU", name: "mIoU", value: result.mIoU }
    : { metric: "top1", name: "top-1", value: result.top1 };
}

/** A published number beside ours. */
export interface Comparison {
  readonly published: Published;
  /** What the published number belongs to. */
  readonly remark: string;
  /** Ours less theirs in points of percent; null where the two do not measure the same. */
  readonly difference: number | null;
}

/** Every published number, and a sentence on whether ours may be held against them. */
export function comparisons(result: EvaluationResult): { rows: Comparison[]; sentence: string } {
  const { published, model, changes } = result;
  const { metric, value } = mainMetric(result);
  const rows = published.map((entry) => {
    const differing = [
      ...(entry.model === model.name ? [] : ["another checkpoint"]),
      ...(changes.length === 0 ? [] : ["standard protocol"]),
      ...(entry.metric === metric ? [] : ["another measure"]),
    ];
    return {
      published: entry,
      remark: differing.length === 0 ? "same name, same protocol" : differing.join(", "),
      difference:
        differing.length === 0 && Number.isFinite(value) ? 100 * value - entry.value : null,
    };
  });
  return { rows, sentence: comparisonSentence(result) };
}

/** What was published of each class for the checkpoint of the same name, in percent. */
export function publishedClasses({
  published,
  model,
  classes,
}: EvaluationResult): readonly number[] | undefined {
  const own = published.find((entry) => entry.model === model.name)?.classes;
  return own?.length === classes.length ? own : undefined;
}

function comparisonSentence({ published, model, changes }: EvaluationResult): string {
  if (published.length === 0) return "No published numbers are known for this data set.";
  const known = published.some((entry) => entry.model === model.name);
  const others = "The published numbers belong to other checkpoints than the one measured here";
  const departs = "were measured with the standard protocol, from which this measurement departs";
  if (changes.length > 0) {
    return known
      ? `The published numbers ${departs}: they cannot be compared directly.`
      : `${others}, and ${departs}: they cannot be compared directly.`;
  }
  return known
    ? "Only the number published for the checkpoint of the same name can be compared directly."
    : `${others}: they show what the method reaches, not what this model should.`;
}

/** A difference in points with its sign, "+0.4"; "–" where there is none. */
export function signed(points: number | null): string {
  if (points === null) return NOTHING;
  const text = points.toFixed(1);
  if (Number(text) === 0) return "0.0";
  return points > 0 ? `+${text}` : text.replace("-", "−");
}

/** A class whose pixels were taken for another. */
export interface ConfusedPair {
  readonly truth: number;
  readonly predicted: number;
  readonly pixels: number;
  /** Of the true class's pixels, 0 to 1. */
  readonly share: number;
}

/** The pairs with the largest share of a true class, largest first; pixels decide ties. */
export function confusedPairs(
  confusion: readonly (readonly number[])[],
  limit: number,
): ConfusedPair[] {
  const pairs: ConfusedPair[] = [];
  for (const [truth, row] of confusion.entries()) {
    const total = sum(row);
    for (const [predicted, pixels] of row.entries()) {
      if (truth !== predicted && pixels > 0) {
        pairs.push({ truth, predicted, pixels, share: pixels / total });
      }
    }
  }
  return pairs.sort((a, b) => b.share - a.share || b.pixels - a.pixels).slice(0, limit);
}

/** What the bins say together; all are NaN without pixels. */
export interface Calibration {
  /** Expected calibration error: |accuracy - mean score| of the bins, weighted by pixels. */
  readonly error: number;
  readonly meanScore: number;
  readonly accuracy: number;
}

export function calibration(bins: readonly ReliabilityBin[]): Calibration {
  const filled = bins.filter(({ pixels }) => pixels > 0);
  const total = sum(filled.map(({ pixels }) => pixels));
  const mean = (value: (bin: ReliabilityBin) => number) =>
    sum(filled.map((bin) => value(bin) * bin.pixels)) / total;
  return {
    error: mean(({ accuracy, meanScore }) => Math.abs(accuracy - meanScore)),
    meanScore: mean(({ meanScore }) => meanScore),
    accuracy: mean(({ accuracy }) => accuracy),
  };
}

export function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/** Text for HTML, attributes included. */
export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);
}

/** A name from outside for HTML: one visible line, at most 200 characters. */
export function nameHtml(name: string): string {
  return escapeHtml(cleanLabel(name));
}

/** Up to here each cell of the confusion matrix has room for its number. */
const NUMBERED_CLASSES = 24;

/** Whether the cells of a matrix of so many classes hold their numbers. */
export function isNumbered(classes: number): boolean {
  return classes <= NUMBERED_CLASSES;
}

/** Shares below it are not written into their cell. */
const WRITTEN_SHARE = 0.01;
/** Shares below it are not drawn: they would not be seen. */
const DRAWN_SHARE = 0.0005;
/** Width of a letter over its size, on the safe side. */
const LETTER = 0.64;

/**
 * The confusion matrix, each row over its true pixels, as an SVG drawing: what was right in one
 * colour, what was wrong in another. Opacity is the root of the share, so that small ones show.
 */
export function heatMap(
  names: readonly string[],
  confusion: readonly (readonly number[])[],
): string {
  const size = names.length;
  const numbered = isNumbered(size);
  const cell = numbered ? Math.max(38, Math.min(72, 320 / size)) : size <= 50 ? 17 : 10;
  const font = Math.min(12.5, cell * 0.9);
  const labels = names.map((name) => shorten(cleanLabel(name), 18, () => 1));
  const text = Math.max(...labels.map((label) => label.length)) * font * LETTER;
  // Slanted names reach to the right of the last column, upright ones take their full height.
  const left = text + 8;
  const top = (numbered ? text * 0.71 : text) + 14;
  const width = Math.ceil(left + size * cell + (numbered ? text * 0.71 : 2));
  const height = Math.ceil(top + size * cell + 2);
  const rows = confusion.map((row, y) => heatRow(row, y, names, { left, top, cell, numbered }));
  const heads = labels.map((label, i) => {
    const middle = (i + 0.5) * cell;
    const faint = sum(confusion[i] ?? []) === 0 ? ' class="faint"' : "";
    const x = round(left + middle + (numbered ? 0 : font * 0.35));
    const turn = `transform="translate(${x} ${round(top - 6)}) rotate(${numbered ? -45 : -90})"`;
    return (
      `<text${faint} x="${round(left - 5)}" y="${round(top + middle)}" dy="0.35em" ` +
      `text-anchor="end">${escapeHtml(label)}</text><text ${turn}>${escapeHtml(label)}</text>`
    );
  });
  const smallest = Math.round(width * (numbered ? 0.72 : 0.92));
  return (
    `<svg class="heat" viewBox="0 0 ${width} ${height}" font-size="${round(font)}" role="img" ` +
    `aria-label="Confusion matrix of ${size} classes; the largest confusions are listed below" ` +
    `style="max-width:${width}px;min-width:${smallest}px">` +
    `<rect class="frame" x="${round(left)}" y="${round(top)}" width="${round(size * cell)}" ` +
    `height="${round(size * cell)}"/>${heads.join("")}${rows.join("")}</svg>`
  );
}

interface HeatLayout {
  readonly left: number;
  readonly top: number;
  readonly cell: number;
  readonly numbered: boolean;
}

function heatRow(
  row: readonly number[],
  y: number,
  names: readonly string[],
  { left, top, cell, numbered }: HeatLayout,
): string {
  const total = sum(row);
  return row
    .map((pixels, x) => {
      const share = pixels / total;
      if (!(share >= DRAWN_SHARE)) return "";
      const [px, py] = [left + x * cell, top + y * cell];
      const what = x === y ? " right" : ` called ${nameHtml(names[x]!)}`;
      const title = `${nameHtml(names[y]!)}${what}: ${escapeHtml(percentText(share))}`;
      const drawn =
        `<path class="${x === y ? "right" : "wrong"}" opacity="${Math.sqrt(share).toFixed(2)}" ` +
        `d="M${round(px)} ${round(py)}h${round(cell)}v${round(cell)}h-${round(cell)}z">` +
        `<title>${title}</title></path>`;
      if (!numbered || share < WRITTEN_SHARE) return drawn;
      return (
        `${drawn}<text class="value" x="${round(px + cell / 2)}" y="${round(py + cell / 2)}" ` +
        `dy="0.35em" text-anchor="middle">${percentNumber(share)}</text>`
      );
    })
    .join("");
}

const DIAGRAM = { width: 400, height: 330, left: 44, right: 12, top: 10, bottom: 42 };
/** Height of the fullest bin's bar, as a share of the diagram's. */
const COUNT_HEIGHT = 0.4;

/** Accuracy over mean score of the bins, the diagonal of a reliable model, pixel counts as bars. */
export function reliabilityDiagram(bins: readonly ReliabilityBin[]): string {
  const { width, height, left, right, top, bottom } = DIAGRAM;
  const filled = bins.filter(({ pixels }) => pixels > 0);
  const most = Math.max(...filled.map(({ pixels }) => pixels));
  const x = (score: number) => round(left + score * (width - left - right));
  const y = (share: number) => round(height - bottom - share * (height - top - bottom));
  const grid = [0, 0.25, 0.5, 0.75, 1].map(
    (at) =>
      `<path class="grid" d="M${x(0)} ${y(at)}H${x(1)}"/>` +
      `<text x="${left - 7}" y="${y(at)}" dy="0.35em" text-anchor="end">${100 * at}</text>` +
      `<text x="${x(at)}" y="${height - bottom + 16}" text-anchor="middle">${100 * at}</text>`,
  );
  const bars = filled.map(({ from, to, pixels }) => {
    const high = y((COUNT_HEIGHT * pixels) / most);
    return `<path class="bin" d="M${x(from)} ${y(0)}V${high}H${x(to)}V${y(0)}z"/>`;
  });
  const gaps = filled.map(
    ({ meanScore, accuracy }) =>
      `<path class="gap" d="M${x(meanScore)} ${y(accuracy)}V${y(meanScore)}"/>`,
  );
  const points = filled.map(({ from, to, pixels, meanScore, accuracy }) => {
    const title =
      `score ${percentNumber(from)} to ${percentText(to)}: mean ${percentText(meanScore)}, ` +
      `right ${percentText(accuracy)}, ${counted(pixels, "pixel")}`;
    return (
      `<circle class="point" cx="${x(meanScore)}" cy="${y(accuracy)}" r="4">` +
      `<title>${escapeHtml(title)}</title></circle>`
    );
  });
  const line = filled.map(({ meanScore, accuracy }) => `${x(meanScore)},${y(accuracy)}`);
  return (
    `<svg class="diagram" viewBox="0 0 ${width} ${height}" role="img" ` +
    `aria-label="Reliability diagram: accuracy over mean score; numbers in the table">` +
    `${grid.join("")}${bars.join("")}` +
    `<path class="diagonal" d="M${x(0)} ${y(0)}L${x(1)} ${y(1)}"/>` +
    `${gaps.join("")}<polyline class="curve" points="${line.join(" ")}"/>${points.join("")}` +
    `<text class="axis" x="${x(0.5)}" y="${height - 6}" text-anchor="middle">mean score, %</text>` +
    `<text class="axis" transform="translate(12 ${y(0.5)}) rotate(-90)" text-anchor="middle">` +
    `right, %</text></svg>`
  );
}

function round(value: number): string {
  return String(Math.round(value * 10) / 10);
}
