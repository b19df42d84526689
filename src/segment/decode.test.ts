// Decoding against the reference label maps, and against the straightforward formulation.

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  decodeStraight,
  differences,
  floats,
  largestDifference,
  readJson,
  readTensors,
  tensor,
} from "../../test/support/segment.js";
import { InputError } from "../errors.js";
import { Random } from "../random.js";
import { logitScaleFactor } from "./affinity.js";
import { type Background, type DecodeOptions, decode } from "./decode.js";
import type { WindowEncoding } from "./encoding.js";
import { layoutSegments, type PlacedWindow, type Size } from "./layout.js";
import { slideWindows } from "./windows.js";

const expected = readTensors("seg/expected.safetensors");
const labelMaps = readTensors("seg/labels_u8.safetensors.gz");
const report = readJson<{
  logit_scale_override: number;
  clamp_case_logit_scale: number;
  cases: Record<string, { windows?: number[][] }>;
}>("seg/report.json");

/** The stored tensors of a picture as one encoded window; blocks are already multiplied together. */
function referenceEncoding(model: string, picture: string): WindowEncoding {
  // The clamp case differs from `tiny` in its logit scale only, so its maps are not stored twice.
  const maps = floats(expected, `${model.replace("_clamp", "")}.${picture}.final_group_prob`);
  const patch = model === "full" ? 16 : 8;
  const size = resizedSize(model, picture);
  const rows = Math.floor(size.height / patch);
  const columns = Math.floor(size.width / patch);
  const segments = maps.length / (rows * columns);
  const assignment = new Float32Array(maps.length); // [segments, patches]
  for (let i = 0; i < maps.length; i++) {
    assignment[(i % segments) * rows * columns + Math.floor(i / segments)] = maps[i];
  }
  return {
    rows,
    columns,
    assignments: [assignment],
    groups: [segments],
    segmentEmbeds: floats(expected, `${model}.${picture}.group_embeds`),
    imageEmbed: floats(expected, `${model}.${picture}.image_embed`),
  };
}

function resizedSize(model: string, picture: string): Size {
  const [height, width] = tensor(labelMaps, `${model}.${picture}.group_map_stage1`).shape;
  return { width, height };
}

function wholeWindow(encoding: WindowEncoding, { width, height }: Size): PlacedWindow {
  return { window: { x0: 0, y0: 0, x1: width, y1: height }, encoding };
}

describe("reference label maps", () => {
  // Of the slide cases, those with one window need no other tensors than the whole picture's.
  const cases = Object.entries(report.cases).filter(
    ([name, { windows }]) => name.includes(".whole.") || windows?.length === 1,
  );

  it("has its 25 cases", () => {
    expect(cases.length).toBe(25);
  });

  it.each(cases.map(([name]) => name))("%s is equal in every pixel", (name) => {
    const [model, picture, , background, ...threshold] = name.split(".");
    const reference = tensor(labelMaps, name);
    const [height, width] = reference.shape;
    const resized = resizedSize(model, picture);
    const encoding = referenceEncoding(model, picture);
    const layout = layoutSegments([wholeWindow(encoding, resized)], resized, { width, height });
    const decoded = decode(
      layout,
      floats(expected, `${model.replace("_clamp", "")}.text_embedding_simple`),
      {
        logitScale: logitScaleFactor(
          model === "tiny_clamp" ? report.clamp_case_logit_scale : report.logit_scale_override,
        ),
        background:
          background === "bg1"
            ? { kind: "threshold", threshold: Number(threshold.join(".").slice(2)) }
            : { kind: "none" },
      },
    );
    expect(decoded.map).toBeInstanceOf(Uint8Array);
    expect(differences(decoded.map, reference.bytes)).toBe(0);
  });
});

/** A random picture. Coarse values make ties common; `groups` per block, last is segments. */
function randomEncoding(
  random: Random,
  rows: number,
  columns: number,
  groups: readonly number[],
  dim: number,
  coarse: boolean,
): WindowEncoding {
  const number = () => (coarse ? random.integer(3) / 2 : random.uniform());
  const vectors = (count: number) => {
    const values = new Float32Array(count * dim);
    for (let i = 0; i < count; i++) {
      let squares = 0;
      for (let d = 0; d < dim; d++) {
        const value = coarse ? random.integer(3) - 1 : random.normal();
        values[i * dim + d] = value;
        squares += value * value;
      }
      for (let d = 0; d < dim; d++) values[i * dim + d] /= Math.sqrt(squares) || 1;
    }
    return values;
  };
  let tokens = rows * columns;
  const assignments = groups.map((count) => {
    const assignment = Float32Array.from({ length: count * tokens }, number);
    tokens = count;
    return assignment;
  });
  const segmentEmbeds = vectors(groups[groups.length - 1]);
  return { rows, columns, assignments, groups, segmentEmbeds, imageEmbed: vectors(1) };
}

function randomLabels(random: Random, labels: number, dim: number, coarse: boolean): Float32Array {
  const { segmentEmbeds } = randomEncoding(random, 1, 1, [labels], dim, coarse);
  return segmentEmbeds;
}

const background = (labels: number): fc.Arbitrary<Background> =>
  fc.oneof(
    fc.constant({ kind: "none" } as const),
    fc.record({
      kind: fc.constant("threshold" as const),
      threshold: fc.constantFrom(0, 0.1, 0.35, 0.95, 1),
    }),
    fc.record({
      kind: fc.constant("words" as const),
      labels: fc.array(fc.nat({ max: labels - 1 }), { maxLength: 4 }),
    }),
  );

const picture = fc
  .record({
    seed: fc.integer(),
    width: fc.integer({ min: 1, max: 40 }),
    height: fc.integer({ min: 1, max: 40 }),
    originalWidth: fc.integer({ min: 1, max: 50 }),
    originalHeight: fc.integer({ min: 1, max: 50 }),
    crop: fc.integer({ min: 6, max: 40 }),
    stride: fc.integer({ min: 3, max: 6 }),
    rows: fc.integer({ min: 1, max: 5 }),
    columns: fc.integer({ min: 1, max: 5 }),
    groups: fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 3 }),
    labels: fc.integer({ min: 1, max: 12 }),
    topK: fc.constantFrom(undefined, 1, 3, Infinity),
    logitScale: fc.constantFrom(1, 14.3, 100),
    coarse: fc.boolean(),
    kind: fc.constantFrom("soft" as const, "hard" as const),
  })
  .chain((shape) => background(shape.labels).map((background) => ({ ...shape, background })));

describe("decode", () => {
  it("equals the straightforward formulation exactly, in map, scores, areas and means", () => {
    let slides = 0;
    let maps = 0;
    fc.assert(
      fc.property(picture, (shape) => {
        const random = new Random(shape.seed);
        const { width, height, labels, coarse } = shape;
        const dim = 4;
        const rectangles = slideWindows(width, height, shape.crop, shape.stride);
        // The straightforward way is slow: many windows only where they are few.
        fc.pre(rectangles.length <= 30);
        const windows = rectangles.map((window) => ({
          window,
          encoding: randomEncoding(random, shape.rows, shape.columns, shape.groups, dim, coarse),
        }));
        const labelEmbeds = randomLabels(random, labels, dim, coarse);
        const options: DecodeOptions = {
          logitScale: shape.logitScale,
          topK: shape.topK,
          background: shape.background,
          scores: true,
        };
        const resized = { width, height };
        const original = { width: shape.originalWidth, height: shape.originalHeight };
        const layout = layoutSegments(windows, resized, original, shape.kind);
        const fast = decode(layout, labelEmbeds, options);
        const straight = decodeStraight(
          windows,
          resized,
          original,
          labelEmbeds,
          options,
          shape.kind,
        );

        expect(differences(fast.map, straight.map)).toBe(0);
        expect(differences(fast.scores ?? [], Float32Array.from(straight.scores))).toBe(0);
        const values = labels + (shape.background.kind === "none" ? 0 : 1);
        for (let value = 0; value < values; value++) {
          const scores = straight.scores.filter((_, pixel) => straight.map[pixel] === value);
          const mean = scores.reduce((sum, score) => sum + score, 0) / Math.max(scores.length, 1);
          expect(fast.areas[value]).toBe(scores.length);
          expect(fast.meanScores[value]).toBeCloseTo(mean, 6);
        }
        expect(fast.areas.length).toBe(values);
        if (windows.length > 1) slides++;
        if (new Set(straight.map).size > 1) maps++;
      }),
      { seed: 20220222, numRuns: 300 },
    );
    // The property must not hold by default: most pictures slide, and many have several labels.
    expect(slides).toBeGreaterThan(100);
    expect(maps).toBeGreaterThan(100);
  }, 60_000);

  it("lets the best label win where 32-bit scores would all be 0", () => {
    // The window's nearest label is 0, but its one segment points the other way.
    const encoding: WindowEncoding = {
      rows: 1,
      columns: 1,
      assignments: [new Float32Array([1])],
      groups: [1],
      segmentEmbeds: new Float32Array([-1, 0]),
      imageEmbed: new Float32Array([1, 0]),
    };
    const labels = new Float32Array([1, 0, 0.8, 0.6, -1, 0]);
    const size = { width: 2, height: 2 };
    const layout = layoutSegments([wholeWindow(encoding, size)], size, size);
    const decoded = decode(layout, labels, {
      logitScale: 100,
      topK: 2,
      background: { kind: "none" },
    });
    expect(Array.from(decoded.map)).toEqual([1, 1, 1, 1]);
    expect(Math.fround(decoded.meanScores[1])).toBe(0);
  });

  it("leaves scores out unless asked", () => {
    const { layout, labelEmbeds } = photo(new Random(3), 20);
    const options: DecodeOptions = { logitScale: 30, background: { kind: "none" } };
    expect(decode(layout, labelEmbeds, options).scores).toBeUndefined();
  });

  it("writes 16-bit maps from 256 labels on, up to 65,535 labels with a background", () => {
    const random = new Random(5);
    const encoding = randomEncoding(random, 2, 2, [4], 2, false);
    const size = { width: 8, height: 8 };
    const layout = layoutSegments([wholeWindow(encoding, size)], size, size);
    const options: DecodeOptions = {
      logitScale: 1,
      background: { kind: "threshold", threshold: 0 },
    };
    expect(decode(layout, randomLabels(random, 255, 2, false), options).map).toBeInstanceOf(
      Uint8Array,
    );
    expect(decode(layout, randomLabels(random, 256, 2, false), options).map).toBeInstanceOf(
      Uint16Array,
    );
    // All labels but the last point away from everything: it must come out as 65,535.
    const most = new Float32Array(65535 * 2);
    for (let i = 0; i < 65535; i++) most[2 * i] = -1;
    const towards = { ...encoding, segmentEmbeds: new Float32Array([1, 0, 1, 0, 1, 0, 1, 0]) };
    towards.imageEmbed = new Float32Array([1, 0]);
    most[2 * 65534] = 1;
    const single = layoutSegments([wholeWindow(towards, size)], size, size);
    expect(new Set(decode(single, most, { ...options, logitScale: 20 }).map)).toEqual(
      new Set([65535]),
    );
    expect(() => decode(single, new Float32Array(65536 * 2), options)).toThrow(InputError);
  });

  it("decodes 10,000 labels, all in the running, in bounded memory", () => {
    const { layout, labelEmbeds } = photo(new Random(8), 10000);
    const options: DecodeOptions = {
      logitScale: 30,
      topK: Infinity,
      background: { kind: "none" },
    };
    decode(layout, labelEmbeds, options);
    const before = process.memoryUsage();
    const decoded = decode(layout, labelEmbeds, options);
    const after = process.memoryUsage();
    expect(decoded.areas.reduce((sum, area) => sum + area)).toBe(640 * 480);
    // A [labels, height, width] tensor would take 12 GB. Typed arrays live outside the heap.
    const grown = after.arrayBuffers - before.arrayBuffers + after.heapUsed - before.heapUsed;
    expect(grown).toBeLessThan(100e6);
  });

  it("refuses what does not fit, and says what", () => {
    const { layout, labelEmbeds } = photo(new Random(1), 3);
    const options: DecodeOptions = { logitScale: 30, background: { kind: "none" } };
    const run = (change: Partial<DecodeOptions>, labels = labelEmbeds) =>
      decode(layout, labels, { ...options, ...change });
    expect(() => run({}, labelEmbeds.subarray(1))).toThrow(/767 numbers are no label embeddings/);
    expect(() => run({}, new Float32Array(0))).toThrow(/no label embeddings/);
    expect(() => run({}, new Float32Array(256).fill(NaN))).toThrow(/NaN/);
    expect(() => run({ topK: 0 })).toThrow(/topK: 0/);
    expect(() => run({ topK: NaN })).toThrow(/topK: NaN/);
    expect(() => run({ logitScale: NaN })).toThrow(/logit scale: NaN/);
    expect(() => run({ background: { kind: "threshold", threshold: NaN } })).toThrow(
      /threshold: NaN/,
    );
    expect(() => run({ background: { kind: "threshold", threshold: 95 } })).toThrow(/95 is not in/);
    expect(() => run({ background: { kind: "words", labels: [3] } })).toThrow(/no label 3/);
  });
});

/** A picture of the published size, 448 x 597 resized to 480 x 640, with smooth blobs as segments. */
function photo(random: Random, labels: number) {
  const rows = 37;
  const columns = 28;
  const dim = 256;
  const groups = [64, 8];
  const encoding = randomEncoding(random, rows, columns, groups, dim, false);
  const centres = Array.from({ length: 64 }, () => [random.uniform() * 37, random.uniform() * 28]);
  const [first, second] = encoding.assignments;
  for (let patch = 0; patch < rows * columns; patch++) {
    const y = Math.floor(patch / columns);
    const x = patch % columns;
    let total = 0;
    for (let group = 0; group < 64; group++) {
      const [cy, cx] = centres[group];
      const value = Math.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 8);
      first[group * rows * columns + patch] = value;
      total += value;
    }
    for (let group = 0; group < 64; group++) first[group * rows * columns + patch] /= total;
  }
  for (let token = 0; token < 64; token++) {
    for (let group = 0; group < 8; group++) {
      second[group * 64 + token] = group === token % 8 ? 0.93 : 0.01;
    }
  }
  const resized = { width: 448, height: 597 };
  const layout = layoutSegments([wholeWindow(encoding, resized)], resized, {
    width: 480,
    height: 640,
  });
  return { layout, labelEmbeds: randomLabels(random, labels, dim, false) };
}

describe("layoutSegments", () => {
  const random = new Random(2);
  const encoding = randomEncoding(random, 2, 3, [4, 2], 5, false);
  const size = { width: 12, height: 8 };
  const lay = (change: Partial<WindowEncoding>, window = {}) =>
    layoutSegments(
      [
        {
          window: { x0: 0, y0: 0, x1: 12, y1: 8, ...window },
          encoding: { ...encoding, ...change },
        },
      ],
      size,
      size,
    );

  it("counts every pixel once, inside a region or on a border", () => {
    const layout = layoutSegments([wholeWindow(encoding, size)], size, { width: 50, height: 31 });
    const inside = layout.regionPixels.reduce((sum, count) => sum + count, 0);
    expect(inside + layout.borderPixels.length).toBe(50 * 31);
    expect(layout.borderStarts.at(-1)).toBe(layout.borderPixels.length);
    expect(layout.borderPixels.length).toBeGreaterThan(0);
  });

  it("needs no border at the resized size itself", () => {
    const layout = layoutSegments([wholeWindow(encoding, size)], size, size);
    expect(layout.borderPixels.length).toBe(0);
    expect(largestDifference(layout.xs.fraction, new Float64Array(12))).toBe(0);
  });

  it("refuses broken encodings and windows", () => {
    expect(() => lay({ rows: 0 })).toThrow(/0 x 3/);
    expect(() => lay({ columns: 4 })).toThrow(/assignment 0 has 24 numbers/);
    expect(() => lay({ groups: [4] })).toThrow(/2 assignments for 1/);
    expect(() => lay({ groups: [4, 3] })).toThrow(/assignment 1 has 8 numbers/);
    expect(() => lay({ groups: [4, 0] })).toThrow(/has 0 groups/);
    expect(() => lay({ segmentEmbeds: new Float32Array(9) })).toThrow(/segmentEmbeds has 9/);
    expect(() => lay({ imageEmbed: new Float32Array(0) })).toThrow(/segmentEmbeds/);
    for (const bad of [NaN, Infinity, -0.5]) {
      const assignments = [encoding.assignments[0].slice(), encoding.assignments[1]];
      assignments[0][5] = bad;
      expect(() => lay({ assignments })).toThrow(new RegExp(`assignment 0 holds ${bad}`));
    }
    expect(() => lay({}, { x1: 13 })).toThrow(/no rectangle/);
    expect(() => lay({}, { y0: 8 })).toThrow(/no rectangle/);
    expect(() => lay({}, { x0: 0.5 })).toThrow(/no rectangle/);
    expect(() => lay({}, { x0: 3 })).toThrow(/pixel \(0, 0\) is in none/);
    expect(() => layoutSegments([], size, size)).toThrow(/windows: none/);
    expect(() =>
      layoutSegments([wholeWindow(encoding, size)], size, { width: 1e6, height: 1e6 }),
    ).toThrow(/1000000 x 1000000 is not possible/);
    const other = randomEncoding(random, 2, 3, [4, 2], 6, false);
    expect(() =>
      layoutSegments([wholeWindow(encoding, size), wholeWindow(other, size)], size, size),
    ).toThrow(/same model/);
  });
});
