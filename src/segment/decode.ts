// Words to label map: the authors' zero-shot decoding on a picture whose segments are laid out.

import { InputError } from "../errors.js";
import { type Affinity, affinity } from "./affinity.js";
import type { LaidWindow, SegmentLayout } from "./layout.js";

/** Most labels: maps are 16-bit. */
const MAX_LABELS = 65535;
/** The authors keep the 5 labels nearest to the whole picture. */
export const DEFAULT_TOP_K = 5;

/** Which pixels become background. */
export type Background =
  /** None: every pixel takes a label. */
  | { readonly kind: "none" }
  /**
   * Segments whose best score is below min(threshold, the window's largest score). The authors: 0.95
   * on Pascal VOC and COCO, 0.35 on Pascal Context.
   */
  | { readonly kind: "threshold"; readonly threshold: number }
  /** Pixels that one of these labels (by number) wins, such as "sky" or "ground". */
  | { readonly kind: "words"; readonly labels: readonly number[] };

export interface DecodeOptions {
  /** Factor on cosine similarities: `logitScaleFactor(parameter)`. */
  readonly logitScale: number;
  /** How many labels, nearest to the window's image embedding, may win; `Infinity` for all. */
  readonly topK?: number;
  readonly background: Background;
  /** Also return each pixel's winning score. */
  readonly scores?: boolean;
}

/** A decoded picture at its original size. */
export interface Decoded {
  readonly width: number;
  readonly height: number;
  /** True: value 0 is the background and label i has value i + 1. False: label i has value i. */
  readonly background: boolean;
  /** `[height, width]`; 16-bit from 256 labels on. */
  readonly map: Uint8Array | Uint16Array;
  /** Pixels per value of the map. */
  readonly areas: Uint32Array;
  /** Mean winning score per value of the map, in [0, 1]; 0 where the area is 0. */
  readonly meanScores: Float32Array;
  /**
   * `[height, width]`: the winning score of each pixel, in [0, 1]. For the background of `threshold` it
   * is the share of it in the interpolation: 1 away from borders.
   */
  readonly scores?: Float32Array;
}

/**
 * Gives every pixel the label of the best score (paper, section 3.3): per window, segment scores as
 * {@link affinity} defines them, averaged over the windows that cover a pixel, resized to the original
 * picture (bilinear); the arg max wins, the lowest value among equals.
 *
 * The authors take a soft-max of the resized scores before the arg max, which changes no order; in
 * 32-bit floats it makes scores below about 1e-8 equal, so that class 0 wins there. Here the best label
 * still wins. Where a layout has pieces that were looked at twice, both looks name them.
 *
 * @param labelEmbeds `[labels, dim]`, rows L2-normalised, see `labelEmbedding`.
 * @throws InputError for sizes that do not fit, more than 65,535 labels, options out of range.
 */
export function decode(
  layout: SegmentLayout,
  labelEmbeds: Float32Array,
  options: DecodeOptions,
): Decoded {
  const dim = layout.windows[0].imageEmbed.length;
  const labels = labelEmbeds.length / dim;
  if (labels > MAX_LABELS) {
    throw new InputError(`labels: ${labels} are too many; give at most ${MAX_LABELS}`);
  }
  const { background } = options;
  checkBackground(background, labels);

  const table = scoreTable(layout, labelEmbeds, options);
  const painter = paint(layout, table, labels, options);
  for (let value = 0; value < painter.areas.length; value++) {
    if (painter.areas[value] > 0) painter.meanScores[value] /= painter.areas[value];
  }
  return {
    width: layout.width,
    height: layout.height,
    background: background.kind !== "none",
    map: painter.map,
    areas: painter.areas,
    meanScores: Float32Array.from(painter.meanScores),
    scores: painter.scores,
  };
}

function checkBackground(background: Background, labels: number): void {
  if (background.kind === "threshold") {
    const { threshold } = background;
    if (!(threshold >= 0 && threshold <= 1)) {
      throw new InputError(`background threshold: ${threshold} is not in 0 to 1`);
    }
  } else if (background.kind === "words") {
    for (const label of background.labels) {
      if (!Number.isInteger(label) || label < 0 || label >= labels) {
        throw new InputError(
          `background words: there is no label ${label}; labels count 0 to ${labels - 1}`,
        );
      }
    }
  }
}

/** Scores of every segment of every window, for the columns that can be other than 0. */
interface ScoreTable {
  /** Columns of a row: the background of `threshold` first, then labels in ascending order. */
  columns: number;
  /** `[columns]`: the value that a column paints. */
  values: Uint16Array;
  /** Per window `[segments, columns]`. */
  windows: Float64Array[];
}

function scoreTable(
  layout: SegmentLayout,
  labelEmbeds: Float32Array,
  { logitScale, topK = DEFAULT_TOP_K, background }: DecodeOptions,
): ScoreTable {
  const affinities = layout.windows.map((window) => {
    const { topLabels, scores } = affinity(window, labelEmbeds, logitScale, topK);
    return { topLabels, scores, close: closeScores(window, labelEmbeds, logitScale) };
  });
  const union = new Set<number>();
  for (const { topLabels, close } of affinities) {
    for (const label of close?.topLabels ?? topLabels) union.add(label);
  }
  const labels = Int32Array.from(union).sort();

  const first = background.kind === "threshold" ? 1 : 0;
  const columns = first + labels.length;
  const columnOf = new Map<number, number>();
  const values = new Uint16Array(columns);
  for (let i = 0; i < labels.length; i++) {
    columnOf.set(labels[i], first + i);
    values[first + i] = labels[i] + (background.kind === "none" ? 0 : 1);
  }
  if (background.kind === "words") {
    for (const label of background.labels) {
      const column = columnOf.get(label);
      if (column !== undefined) values[column] = 0;
    }
  }

  const windows = affinities.map(({ topLabels, scores, close }) => {
    const k = topLabels.length;
    const segments = scores.length / k;
    const rows = new Float64Array(segments * columns); // [segments, columns]
    const fill = (
      from: Pick<Affinity, "topLabels" | "scores">,
      takes: (segment: number) => boolean,
    ) => {
      for (const [i, label] of from.topLabels.entries()) {
        const column = columnOf.get(label) ?? 0;
        for (let segment = 0; segment < segments; segment++) {
          if (!takes(segment)) continue;
          rows[segment * columns + column] = from.scores[segment * from.topLabels.length + i];
        }
      }
    };
    fill({ topLabels, scores }, (segment) => !close?.seen[segment]);
    if (close) fill(close, (segment) => close.seen[segment] === 1);
    if (background.kind === "threshold") {
      let most = 0;
      for (let i = 0; i < scores.length; i++) most = Math.max(most, scores[i]);
      const threshold = Math.min(background.threshold, most);
      for (let segment = 0; segment < segments; segment++) {
        let best = 0;
        for (let i = 0; i < k; i++) best = Math.max(best, scores[segment * k + i]);
        rows[segment * columns] = best < threshold ? 1 : 0;
      }
    }
    return rows;
  });
  return { columns, values, windows };
}

/**
 * Scores of pieces that were looked at twice: any label may win there, since the labels nearest to the whole
 * picture were chosen without knowing what the second look shows. What is background, the first look says.
 */
function closeScores(
  { closeEmbeds, seen, imageEmbed }: LaidWindow,
  labelEmbeds: Float32Array,
  logitScale: number,
): (Pick<Affinity, "topLabels" | "scores"> & { seen: Uint8Array }) | undefined {
  if (!closeEmbeds || !seen?.includes(1)) return undefined;
  const window = { segmentEmbeds: closeEmbeds, imageEmbed };
  const { topLabels, scores } = affinity(window, labelEmbeds, logitScale, Number.POSITIVE_INFINITY);
  return { topLabels, scores, seen };
}

/** Writes the scores of a region into `row`: the mean over the windows that cover it. */
function regionRow(
  layout: SegmentLayout,
  table: ScoreTable,
  region: number,
  row: Float64Array,
): void {
  const { columns } = table;
  const start = layout.memberStarts[region];
  const end = layout.memberStarts[region + 1];
  row.fill(0);
  for (let member = start; member < end; member++) {
    const scores = table.windows[layout.memberWindows[member]];
    const from = layout.memberSegments[member] * columns;
    for (let column = 0; column < columns; column++) row[column] += scores[from + column];
  }
  const windows = end - start;
  if (windows > 1) for (let column = 0; column < columns; column++) row[column] /= windows;
}

function bestColumn(row: Float64Array): number {
  let best = 0;
  for (let column = 1; column < row.length; column++) if (row[column] > row[best]) best = column;
  return best;
}

interface Painted {
  map: Uint8Array | Uint16Array;
  areas: Uint32Array;
  /** Sums of winning scores until `decode` divides them. */
  meanScores: Float64Array;
  scores?: Float32Array;
}

function paint(
  layout: SegmentLayout,
  table: ScoreTable,
  labels: number,
  options: DecodeOptions,
): Painted {
  const { width, rowRuns, regionMap, regionPixels } = layout;
  const { columns, values } = table;
  const pixels = layout.width * layout.height;
  const map = labels > 255 ? new Uint16Array(pixels) : new Uint8Array(pixels);
  const areas = new Uint32Array(labels + (options.background.kind === "none" ? 0 : 1));
  const meanScores = new Float64Array(areas.length);
  const scores = options.scores ? new Float32Array(pixels) : undefined;

  // Inside regions: one look-up a pixel. Border pixels get 0 here, then their own value below.
  const regions = regionPixels.length;
  const regionValues = new Uint16Array(regions + 1);
  const regionScores = new Float32Array(regions + 1);
  const row = new Float64Array(columns);
  for (let region = 0; region < regions; region++) {
    regionRow(layout, table, region, row);
    const best = bestColumn(row);
    regionValues[region] = values[best];
    regionScores[region] = row[best];
    areas[values[best]] += regionPixels[region];
    meanScores[values[best]] += regionPixels[region] * row[best];
  }
  for (let run = 0; run + 1 < rowRuns.length; run++) {
    const from = run * width;
    const to = rowRuns[run] * width;
    for (let x = 0; x < width; x++) map[to + x] = regionValues[regionMap[from + x]];
    if (scores) {
      for (let x = 0; x < width; x++) scores[to + x] = regionScores[regionMap[from + x]];
    }
    for (let y = rowRuns[run] + 1; y < rowRuns[run + 1]; y++) {
      map.copyWithin(y * width, to, to + width);
      scores?.copyWithin(y * width, to, to + width);
    }
  }

  paintBorders(layout, table, { map, areas, meanScores, scores });
  return { map, areas, meanScores, scores };
}

/** Interpolates the scores of border pixels, for the columns that can win between their regions. */
function paintBorders(layout: SegmentLayout, table: ScoreTable, painted: Painted): void {
  const { width, xs, ys, borderPixels, borderStarts, neighbourhoods } = layout;
  const { columns, values } = table;
  const { map, areas, meanScores, scores } = painted;
  const rows = [0, 1, 2, 3].map(() => new Float64Array(columns));
  const candidates = new Int32Array(columns);
  const corners = new Float64Array(4 * columns); // [candidates, 4]

  for (let n = 0; n + 1 < borderStarts.length; n++) {
    for (let corner = 0; corner < 4; corner++) {
      regionRow(layout, table, neighbourhoods[4 * n + corner], rows[corner]);
    }
    const count = undominated(rows, candidates);
    for (let c = 0; c < count; c++) {
      for (let corner = 0; corner < 4; corner++) {
        corners[4 * c + corner] = rows[corner][candidates[c]];
      }
    }
    for (let i = borderStarts[n]; i < borderStarts[n + 1]; i++) {
      const pixel = borderPixels[i];
      const y = Math.floor(pixel / width);
      const x = pixel - y * width;
      const right = xs.fraction[x];
      const below = ys.fraction[y];
      const left = 1 - right;
      const above = 1 - below;
      let best = 0;
      let bestScore = -1;
      for (let c = 0; c < count; c++) {
        const score =
          above * (left * corners[4 * c] + right * corners[4 * c + 1]) +
          below * (left * corners[4 * c + 2] + right * corners[4 * c + 3]);
        if (score > bestScore) {
          bestScore = score;
          best = c;
        }
      }
      const value = values[candidates[best]];
      map[pixel] = value;
      areas[value]++;
      meanScores[value] += bestScore;
      if (scores) scores[pixel] = bestScore;
    }
  }
}

/**
 * Finds the columns that can be the arg max somewhere between four rows of scores: all but those that
 * a row's best column, or the column with the highest lowest score, beats everywhere.
 *
 * @param candidates receives the columns in ascending order. @returns how many there are.
 */
function undominated(rows: readonly Float64Array[], candidates: Int32Array): number {
  const [a, b, c, d] = rows;
  const columns = a.length;
  let most = -1;
  let steady = 0;
  for (let column = 0; column < columns; column++) {
    const least = Math.min(a[column], b[column], c[column], d[column]);
    if (least > most) {
      most = least;
      steady = column;
    }
  }
  const rivals = [...new Set([...rows.map(bestColumn), steady])];
  let count = 0;
  for (let column = 0; column < columns; column++) {
    let beaten = false;
    for (let i = 0; i < rivals.length && !beaten; i++) {
      const rival = rivals[i];
      if (rival === column) continue;
      // Rounding of the interpolation (a few 1e-16) must not turn the order: a lower column may be
      // equal, because it also wins a tie; a higher one must lead by more than the rounding.
      beaten =
        rival < column
          ? a[rival] >= a[column] &&
            b[rival] >= b[column] &&
            c[rival] >= c[column] &&
            d[rival] >= d[column]
          : leads(a[rival], a[column]) &&
            leads(b[rival], b[column]) &&
            leads(c[rival], c[column]) &&
            leads(d[rival], d[column]);
    }
    if (!beaten) candidates[count++] = column;
  }
  return count;
}

function leads(rival: number, score: number): boolean {
  return rival > score * (1 + 1e-12);
}
