// Why a pixel carries its label: the scores behind `decode`, region by region, with what it throws away.

import type { Affinity } from "./affinity.js";
import { affinity } from "./affinity.js";
import type { Background } from "./decode.js";
import type { SegmentLayout } from "./layout.js";

/** Pixels that lie in the same segment of every window that covers them. */
export interface ExplainedRegion {
  /** Its segments, one of each window that covers it; just one for a picture encoded as a whole. */
  readonly segments: readonly { readonly window: number; readonly segment: number }[];
  /** Pixels of the picture whose nearest region it is. */
  readonly pixels: number;
  /** Number of the label that wins; -1 where the background of `threshold` does. */
  readonly winner: number;
  /** Number of the label with the best score, whether or not it passes the threshold. */
  readonly best: number;
  /** Number of the label with the second best score, -1 if only one may win. */
  readonly second: number;
  /** The best score minus the second, 0 to 1. */
  readonly margin: number;
  /**
   * With background `threshold`: what the best score must reach, min(threshold, the largest score of the
   * window), and by how much it does (below 0: background). Means over the region's windows.
   */
  readonly threshold?: number;
  readonly thresholdMargin?: number;
}

/** What decided every region of a picture; plain data that can be sent between threads. */
export interface Explanation {
  /** Pixels of the original picture. */
  readonly width: number;
  readonly height: number;
  /** The labels, then the background words. */
  readonly labels: readonly string[];
  /** Number of the first background word; `labels.length` if there is none. */
  readonly firstBackground: number;
  readonly regions: readonly ExplainedRegion[];
  /**
   * `[height, width]`: the region of each pixel; on a border between regions the nearest one. Borders
   * blend the scores of up to four regions, so that there a neighbour's label may win.
   */
  readonly map: Uint16Array | Uint32Array;
  /** `[regions, labels]`: cosine similarity of segment and label, -1 to 1; mean over the windows. */
  readonly similarities: Float32Array;
  /** `[regions, labels]`: what competes, 0 to 1 (see `affinity`); mean over the windows. */
  readonly scores: Float64Array;
  /** `[regions, labels]`: 1 where the label is among the `topK` nearest to (one of) the windows. */
  readonly kept: Uint8Array;
}

/**
 * Explains what `decode` does with the same arguments.
 *
 * @param labelEmbeds `[labels, dim]`, rows L2-normalised
 * @throws InputError as `affinity` does
 */
export function explain(
  layout: SegmentLayout,
  labelEmbeds: Float32Array,
  logitScale: number,
  topK: number,
  background: Background,
): Omit<Explanation, "labels" | "firstBackground"> {
  const windows = layout.windows.map((window) => affinity(window, labelEmbeds, logitScale, topK));
  const labels = labelEmbeds.length / layout.windows[0].imageEmbed.length;
  const map = nearestRegions(layout);
  const count = layout.regionPixels.length;
  const pixels = new Uint32Array(count);
  for (let i = 0; i < map.length; i++) pixels[map[i]]++;

  const similarities = new Float32Array(count * labels);
  const scores = new Float64Array(count * labels);
  const kept = new Uint8Array(count * labels);
  const thresholds =
    background.kind === "threshold"
      ? windows.map((window) => Math.min(background.threshold, largest(window.scores)))
      : undefined;
  const regions = Array.from(pixels, (size, region): ExplainedRegion => {
    const [start, end] = [layout.memberStarts[region], layout.memberStarts[region + 1]];
    const row = region * labels;
    const members = Array.from({ length: end - start }, (_, i) => ({
      window: layout.memberWindows[start + i],
      segment: layout.memberSegments[start + i],
    }));
    for (const { window, segment } of members) {
      add(windows[window], segment, labels, row, { similarities, scores, kept });
    }
    for (let i = row; i < row + labels; i++) {
      similarities[i] /= members.length * logitScale;
      if (members.length > 1) scores[i] /= members.length;
    }
    const { best, second } = bestTwo(
      scores.subarray(row, row + labels),
      (i) => kept[row + i] === 1,
    );
    const most = scores[row + best];
    const decided = {
      segments: members,
      pixels: size,
      winner: best,
      best,
      second,
      margin: second < 0 ? most : most - scores[row + second],
    };
    if (!thresholds) return decided;
    const bests = members.map(({ window, segment }) => bestScore(windows[window], segment));
    const below = members.filter(({ window }, i) => bests[i] < thresholds[window]).length;
    const threshold = mean(members.map(({ window }) => thresholds[window]));
    // The background's score is the share of windows below their threshold; it wins ties.
    const winner = below / members.length >= most ? -1 : best;
    return { ...decided, winner, threshold, thresholdMargin: mean(bests) - threshold };
  });
  return { width: layout.width, height: layout.height, regions, map, similarities, scores, kept };
}

/** Adds a segment of a window to the row of its region. */
function add(
  { logits, scores, topLabels }: Affinity,
  segment: number,
  labels: number,
  row: number,
  to: Pick<Explanation, "similarities" | "scores" | "kept">,
): void {
  for (let i = 0; i < labels; i++) to.similarities[row + i] += logits[segment * labels + i];
  for (let i = 0; i < topLabels.length; i++) {
    to.scores[row + topLabels[i]] += scores[segment * topLabels.length + i];
    to.kept[row + topLabels[i]] = 1;
  }
}

/** Places of the two largest of the values that may win, the lower place among equals. */
function bestTwo(
  values: Float64Array,
  mayWin: (i: number) => boolean,
): { best: number; second: number } {
  let [best, second] = [-1, -1];
  for (let i = 0; i < values.length; i++) {
    if (!mayWin(i)) continue;
    if (best < 0 || values[i] > values[best]) [best, second] = [i, best];
    else if (second < 0 || values[i] > values[second]) second = i;
  }
  return { best, second };
}

function bestScore({ scores, topLabels }: Affinity, segment: number): number {
  const start = segment * topLabels.length;
  return largest(scores.subarray(start, start + topLabels.length));
}

function largest(values: Float64Array): number {
  let most = 0;
  for (const value of values) most = Math.max(most, value);
  return most;
}

function mean(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0) / values.length;
}

/** `[height, width]`: the region of each pixel, on borders the one with the largest part in the blend. */
function nearestRegions(layout: SegmentLayout): Uint16Array | Uint32Array {
  const { width, height, rowRuns, regionMap, borderPixels, borderStarts, neighbourhoods } = layout;
  const size = width * height;
  const map = regionMap instanceof Uint16Array ? new Uint16Array(size) : new Uint32Array(size);
  for (let run = 0; run + 1 < rowRuns.length; run++) {
    const from = rowRuns[run] * width;
    map.set(regionMap.subarray(run * width, (run + 1) * width), from);
    for (let y = rowRuns[run] + 1; y < rowRuns[run + 1]; y++) {
      map.copyWithin(y * width, from, from + width);
    }
  }
  for (let n = 0; n + 1 < borderStarts.length; n++) {
    for (let i = borderStarts[n]; i < borderStarts[n + 1]; i++) {
      const pixel = borderPixels[i];
      const right = layout.xs.fraction[pixel % width] > 0.5 ? 1 : 0;
      const below = layout.ys.fraction[Math.floor(pixel / width)] > 0.5 ? 2 : 0;
      map[pixel] = neighbourhoods[4 * n + below + right];
    }
  }
  return map;
}
