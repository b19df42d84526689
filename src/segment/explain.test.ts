// Explanations against what they explain: `decode` of the same picture.

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Random } from "../random.js";
import { type Background, decode } from "./decode.js";
import type { WindowEncoding } from "./encoding.js";
import { explain } from "./explain.js";
import { layoutSegments } from "./layout.js";
import { slideWindows } from "./windows.js";

const DIM = 4;

function unitVectors(random: Random, count: number, coarse: boolean): Float32Array {
  const values = new Float32Array(count * DIM);
  for (let row = 0; row < values.length; row += DIM) {
    for (let i = 0; i < DIM; i++)
      values[row + i] = coarse ? random.integer(3) - 1 : random.normal();
    const norm = Math.hypot(...values.subarray(row, row + DIM)) || 1;
    for (let i = 0; i < DIM; i++) values[row + i] /= norm;
  }
  return values;
}

/** A random window; coarse numbers make ties common. */
function randomWindow(random: Random, segments: number, coarse: boolean): WindowEncoding {
  const [rows, columns] = [3, 4];
  return {
    rows,
    columns,
    assignments: [Float32Array.from({ length: segments * rows * columns }, () => random.uniform())],
    groups: [segments],
    segmentEmbeds: unitVectors(random, segments, coarse),
    imageEmbed: unitVectors(random, 1, coarse),
  };
}

const backgrounds: fc.Arbitrary<Background> = fc.oneof(
  fc.constant({ kind: "none" } as const),
  fc.record({
    kind: fc.constant("threshold" as const),
    threshold: fc.constantFrom(0, 0.1, 0.35, 0.95, 1),
  }),
  fc.record({ kind: fc.constant("words" as const), labels: fc.constant([0]) }),
);

const picture = fc.record({
  seed: fc.integer(),
  width: fc.integer({ min: 6, max: 30 }),
  height: fc.integer({ min: 6, max: 30 }),
  originalWidth: fc.integer({ min: 1, max: 60 }),
  originalHeight: fc.integer({ min: 1, max: 60 }),
  crop: fc.constantFrom(12, 30),
  segments: fc.integer({ min: 1, max: 5 }),
  labels: fc.integer({ min: 1, max: 9 }),
  topK: fc.constantFrom(1, 3, 5, Number.POSITIVE_INFINITY),
  logitScale: fc.constantFrom(1, 14.3, 100),
  coarse: fc.boolean(),
  background: backgrounds,
});

function both(shape: typeof picture extends fc.Arbitrary<infer T> ? T : never) {
  const random = new Random(shape.seed);
  const size = { width: shape.width, height: shape.height };
  const windows = slideWindows(size.width, size.height, shape.crop, 6).map((window) => ({
    window,
    encoding: randomWindow(random, shape.segments, shape.coarse),
  }));
  const original = { width: shape.originalWidth, height: shape.originalHeight };
  const layout = layoutSegments(windows, size, original);
  const labels = unitVectors(random, shape.labels, shape.coarse);
  const { logitScale, topK, background } = shape;
  return {
    layout,
    windows,
    labels,
    decoded: decode(layout, labels, { logitScale, topK, background, scores: true }),
    why: explain(layout, labels, logitScale, topK, background),
  };
}

describe("explain", () => {
  it("names the winner and the score that decode gives, in every pixel inside a region", () => {
    let [several, below] = [0, 0];
    fc.assert(
      fc.property(picture, (shape) => {
        const { layout, decoded, why } = both(shape);
        const borders = new Set(layout.borderPixels);
        for (let pixel = 0; pixel < decoded.map.length; pixel++) {
          const region = why.regions[why.map[pixel]];
          if (borders.has(pixel)) continue;
          const value =
            shape.background.kind === "none"
              ? region.winner
              : shape.background.kind === "words" && region.winner === 0
                ? 0
                : region.winner + 1;
          expect(decoded.map[pixel]).toBe(value);
          if (region.winner < 0) continue;
          const score = why.scores[why.map[pixel] * shape.labels + region.winner];
          expect(decoded.scores?.[pixel]).toBe(Math.fround(score));
        }
        if (layout.windows.length > 1) several++;
        if (why.regions.some(({ winner }) => winner < 0)) below++;
      }),
      { seed: 20220222, numRuns: 300 },
    );
    expect(several).toBeGreaterThan(80);
    expect(below).toBeGreaterThan(30);
  }, 60_000);

  it("gives border pixels one of the regions that meet there", () => {
    fc.assert(
      fc.property(picture, (shape) => {
        const { layout, why } = both(shape);
        for (let n = 0; n + 1 < layout.borderStarts.length; n++) {
          const around = layout.neighbourhoods.subarray(4 * n, 4 * n + 4);
          for (let i = layout.borderStarts[n]; i < layout.borderStarts[n + 1]; i++) {
            expect(around).toContain(why.map[layout.borderPixels[i]]);
          }
        }
        expect(why.regions.reduce((sum, { pixels }) => sum + pixels, 0)).toBe(why.map.length);
      }),
      { seed: 7, numRuns: 100 },
    );
  }, 60_000);

  it("says how near, who was left out, and by how much the winner leads", () => {
    // One segment; three labels of cosine 1, 0.6 and 0 to it; two labels may win.
    const encoding: WindowEncoding = {
      rows: 1,
      columns: 1,
      assignments: [Float32Array.of(1)],
      groups: [1],
      segmentEmbeds: Float32Array.of(1, 0),
      imageEmbed: Float32Array.of(1, 0),
    };
    const size = { width: 2, height: 1 };
    const window = { x0: 0, y0: 0, x1: 2, y1: 1 };
    const layout = layoutSegments([{ window, encoding }], size, size);
    const labels = Float32Array.of(0, 1, 1, 0, 0.6, 0.8);
    const why = explain(layout, labels, 10, 2, { kind: "threshold", threshold: 0.9 });
    const all = Math.exp(-10) + 1 + Math.exp(-4);
    const top = 1 + Math.exp(-4);
    const best = 1 / all / top;
    const second = Math.exp(-4) ** 2 / all / top;
    expect(Array.from(why.kept)).toEqual([0, 1, 1]);
    for (const [i, cosine] of [0, 1, 0.6].entries()) {
      expect(why.similarities[i]).toBeCloseTo(cosine, 6);
    }
    for (const [i, score] of [0, best, second].entries()) {
      expect(why.scores[i]).toBeCloseTo(score, 6);
    }
    const [region] = why.regions;
    expect(region).toMatchObject({
      segments: [{ window: 0, segment: 0 }],
      pixels: 2,
      winner: 1,
      best: 1,
      second: 2,
    });
    expect(region.margin).toBeCloseTo(best - second, 6);
    expect(region.threshold).toBe(0.9);
    expect(region.thresholdMargin).toBeCloseTo(best - 0.9, 6);

    // Never above what the window reaches: its best segment keeps its label.
    const strict = explain(layout, labels, 10, 2, { kind: "threshold", threshold: 1 });
    expect(strict.regions[0]).toMatchObject({ winner: 1, thresholdMargin: 0 });
    const alone = explain(layout, labels, 10, 1, { kind: "none" });
    expect(alone.regions[0]).toMatchObject({ winner: 1, second: -1 });
    expect(alone.regions[0].threshold).toBeUndefined();
  });
});
