// What goes out comes back, for any map, any labels and every format; and what outlines promise.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { InputError } from "../errors.js";
import type { LabelMap, ValueMap } from "../output/label-map.js";
import { CocoWriter, decodeCoco, encodeCoco } from "./coco.js";
import { findCrossings } from "./crossings.js";
import { CvatWriter, decodeCvat } from "./cvat.js";
import { decodeGeoJson, encodeGeoJson } from "./geojson.js";
import { joinHoles } from "./join-holes.js";
import { decodeLabelStudio, encodeLabelStudio } from "./label-studio.js";
import { type Ring, tracePolygons } from "./polygons.js";
import { polygonLoss, rasterise, ringsOf } from "./rasterise.js";
import { doubleArea } from "./simplify.js";
import { decodeSvg, encodeSvg } from "./svg.js";
import { decodeYolo, decodeYoloNames, encodeYolo, encodeYoloNames } from "./yolo.js";

const side = fc.integer({ min: 1, max: 14 });

/** Single pixels at random. */
const noiseMaps: fc.Arbitrary<ValueMap> = fc
  .tuple(side, side, fc.integer({ min: 1, max: 3 }))
  .chain(([width, height, values]) =>
    fc
      .array(fc.nat({ max: values }), { minLength: width * height, maxLength: width * height })
      .map((pixels) => ({ width, height, map: Uint8Array.from(pixels) })),
  );

/** Blocks over one another, some with a slanted edge. */
const blockMaps: fc.Arbitrary<ValueMap> = fc
  .record({
    width: fc.integer({ min: 1, max: 40 }),
    height: fc.integer({ min: 1, max: 40 }),
    blocks: fc.array(
      fc.record({
        x: fc.nat({ max: 39 }),
        y: fc.nat({ max: 39 }),
        width: fc.integer({ min: 1, max: 25 }),
        height: fc.integer({ min: 1, max: 25 }),
        slope: fc.constantFrom(0, 0, 0.3, 1, -0.7),
        value: fc.nat({ max: 3 }),
      }),
      { maxLength: 12 },
    ),
  })
  .map(({ width, height, blocks }) => {
    const map = new Uint8Array(width * height);
    for (const block of blocks) {
      for (let y = block.y; y < Math.min(height, block.y + block.height); y++) {
        const end = block.x + block.width + Math.round(block.slope * (y - block.y));
        for (let x = block.x; x < Math.min(width, end); x++) map[y * width + x] = block.value;
      }
    }
    return { width, height, map };
  });

const maps = fc.oneof(noiseMaps, blockMaps);

const HOSTILE = [
  "",
  " ",
  "a:b",
  'say "cheese"',
  "it's",
  "two\nlines",
  "return\r\n",
  "tab\t",
  "NUL\0",
  "<script>alert(1)</script>",
  "]]>&amp;&#13;",
  "back\\slash\\x41",
  "# no comment",
  "- item: [x]",
  "__proto__",
  "background",
  "\u0085\u2028\ufeff\u202e",
  "\ufffe",
  "d\u00e9j\u00e0 \u65e5\u672c \ud83d\ude00",
];
const names = fc.oneof(fc.constantFrom(...HOSTILE), fc.string({ unit: "binary", maxLength: 8 }));

/** Label maps with names of all kinds, with and without a background. */
const labelMaps: fc.Arbitrary<LabelMap> = fc
  .tuple(maps, fc.uniqueArray(names, { minLength: 4, maxLength: 4 }), fc.boolean())
  .map(([source, labels, background]) => ({ ...source, labels, background }));

const scores = [0.25, 0.5, 0.75, 1];

/** The name of each pixel's label, null for the background. */
function pixelNames({ map, labels, background }: LabelMap): (string | null)[] {
  return Array.from(map, (v) => (background ? (v === 0 ? null : labels[v - 1]) : labels[v]));
}

/** What JSON makes of plain data. */
const viaJson = (data: unknown): unknown => JSON.parse(JSON.stringify(data));

/** Runs an encoder; undefined when it refuses the labels as it should. */
function orRefused<T>(encode: () => T): T | undefined {
  try {
    return encode();
  } catch (error) {
    expect(error).toBeInstanceOf(InputError);
    expect((error as Error).message).toMatch(/label ".*" .*; /s);
    return undefined;
  }
}

/** All sides of rings as `x0, y0, x1, y1`, each pair of points once whichever way it is gone. */
function sides(rings: readonly Ring[]): number[] {
  const found = new Set<string>();
  for (const ring of rings) {
    for (let i = 0; i < ring.length; i += 2) {
      const a = [ring[i], ring[i + 1]];
      const b = [ring[(i + 2) % ring.length], ring[(i + 3) % ring.length]];
      const forwards = a[1] < b[1] || (a[1] === b[1] && a[0] < b[0]);
      found.add((forwards ? [...a, ...b] : [...b, ...a]).join(" "));
    }
  }
  return [...found].flatMap((side) => side.split(" ").map(Number));
}

/** Pairs of sides that cross between their ends, by brute force. */
function properCrossings(ends: readonly number[]): number {
  const turn = (a: number, b: number, p: number) =>
    Math.sign(
      (ends[b] - ends[a]) * (ends[p + 1] - ends[a + 1]) -
        (ends[b + 1] - ends[a + 1]) * (ends[p] - ends[a]),
    );
  let found = 0;
  for (let i = 0; i < ends.length; i += 4) {
    for (let k = i + 4; k < ends.length; k += 4) {
      const apart = turn(i, i + 2, k) * turn(i, i + 2, k + 2) < 0;
      if (apart && turn(k, k + 2, i) * turn(k, k + 2, i + 2) < 0) found++;
    }
  }
  return found;
}

/** Points of a ring that come more than once. */
function repeated(ring: Ring): number {
  const corners = ring.flatMap((x, i) => (i % 2 === 0 ? [`${x} ${ring[i + 1]}`] : []));
  return corners.length - new Set(corners).size;
}

const areaOf = (rings: readonly Ring[]): number =>
  rings.reduce((sum, ring) => sum + doubleArea(ring), 0) / 2;

describe("outlines", () => {
  test("exact outlines give back the mask, are simple, and enclose the regions' areas", () => {
    fc.assert(
      fc.property(maps, (source) => {
        const polygons = tracePolygons(source);
        const back = new Uint8Array(source.map.length);
        for (const value of new Set(source.map)) {
          const own = polygons.filter((polygon) => polygon.value === value);
          const mask = rasterise(own, source.width, source.height);
          for (let i = 0; i < mask.length; i++) back[i] += mask[i] * value;
          expect(polygonLoss(source, value, own)).toBe(1);
        }
        expect(back).toEqual(source.map);
        expect(polygons.map((polygon) => areaOf(ringsOf([polygon])))).toEqual(
          polygons.map(({ area }) => area),
        );
        const exteriors = polygons.map(({ exterior }) => exterior);
        const holes = polygons.flatMap((polygon) => polygon.holes);
        expect(exteriors.every((ring) => doubleArea(ring) > 0)).toBe(true);
        expect(holes.every((ring) => doubleArea(ring) < 0)).toBe(true);
        expect([...exteriors, ...holes].every((ring) => repeated(ring) === 0)).toBe(true);
      }),
      { seed: 11, numRuns: 150 },
    );
  });

  test("thinned out, no borders cross, and the regions still cover the picture once", () => {
    fc.assert(
      fc.property(maps, fc.constantFrom(0.5, 0.8, 1, 2, 5), (source, tolerance) => {
        const exact = tracePolygons(source);
        const polygons = tracePolygons(source, tolerance);
        expect(polygons.map(({ value, area }) => [value, area])).toEqual(
          exact.map(({ value, area }) => [value, area]),
        );
        const rings = ringsOf(polygons);
        expect(properCrossings(sides(rings))).toBe(0);
        expect(rings.filter((ring) => [...findCrossings(sides([ring]))].length > 0)).toEqual([]);
        expect(areaOf(rings)).toBe(source.width * source.height);
        expect(polygons.every(({ exterior }) => doubleArea(exterior) > 0)).toBe(true);
        expect(rings.flat().length).toBeLessThanOrEqual(ringsOf(exact).flat().length);
      }),
      { seed: 12, numRuns: 150 },
    );
  });

  test("no exact corner lies farther than the tolerance from the thinned outline", () => {
    fc.assert(
      fc.property(blockMaps, fc.constantFrom(1, 3), (source, tolerance) => {
        const exact = tracePolygons(source);
        tracePolygons(source, tolerance).forEach(({ exterior }, i) => {
          const corners = exact[i].exterior;
          let farthest = 0;
          for (let k = 0; k < corners.length; k += 2) {
            farthest = Math.max(farthest, distance(corners[k], corners[k + 1], exterior));
          }
          expect(farthest).toBeLessThanOrEqual(tolerance);
        });
      }),
      { seed: 13, numRuns: 80 },
    );
  });

  test("holes joined to one ring, exact or thinned out, enclose the same pixels", () => {
    fc.assert(
      fc.property(maps, fc.constantFrom(0, 1, 3), (source, tolerance) => {
        const { width, height } = source;
        for (const polygon of tracePolygons(source, tolerance)) {
          if (polygon.holes.length === 0) continue;
          const joined = { exterior: joinHoles(polygon), holes: [] };
          expect(rasterise([joined], width, height)).toEqual(rasterise([polygon], width, height));
          expect(areaOf([joined.exterior])).toBeCloseTo(areaOf(ringsOf([polygon])), 6);
        }
      }),
      { seed: 14, numRuns: 80 },
    );
  });
});

/** Distance of a point from the nearest side of a ring. */
function distance(x: number, y: number, ring: Ring): number {
  let nearest = Number.POSITIVE_INFINITY;
  for (let i = 0; i < ring.length; i += 2) {
    const [ax, ay] = [ring[i], ring[i + 1]];
    const [dx, dy] = [ring[(i + 2) % ring.length] - ax, ring[(i + 3) % ring.length] - ay];
    const share = ((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy);
    const t = Math.max(0, Math.min(1, share));
    nearest = Math.min(nearest, Math.hypot(x - ax - t * dx, y - ay - t * dy));
  }
  return nearest;
}

describe("formats", () => {
  test("COCO, as RLE and polygons, by label and by region", () => {
    const options = fc.record({
      shape: fc.constantFrom("rle" as const, "polygons" as const),
      per: fc.constantFrom("label" as const, "region" as const),
    });
    fc.assert(
      fc.property(labelMaps, labelMaps, options, (first, second, chosen) => {
        expect(new CocoWriter(chosen).add("a/1.jpg", first).iou).toEqual([1, 1, 1, 1]);
        const pictures = [
          { file: "a/1.jpg", result: first, scores },
          { file: "2.jpg", result: second },
        ];
        const dataset = encodeCoco(pictures, chosen);
        const back = [...decodeCoco(viaJson(dataset))];
        expect(back.map(({ file }) => file)).toEqual(["a/1.jpg", "2.jpg"]);
        expect(back.map(({ result }) => pixelNames(result))).toEqual(
          [first, second].map(pixelNames),
        );
        const pixels = [first, second].flatMap(pixelNames).filter((name) => name !== null);
        const areas = dataset.annotations.map(({ area }) => area);
        expect(areas.reduce((a, b) => a + b, 0)).toBe(pixels.length);
      }),
      { seed: 21, numRuns: 100 },
    );
  });

  test("Label Studio's brush masks", () => {
    fc.assert(
      fc.property(labelMaps, (result) => {
        const prediction = encodeLabelStudio(result, scores, { modelVersion: "v1" });
        if (prediction.result.length === 0) return;
        expect(pixelNames(decodeLabelStudio(viaJson(prediction)))).toEqual(pixelNames(result));
      }),
      { seed: 22, numRuns: 100 },
    );
  });

  test("YOLO's lines and names", () => {
    fc.assert(
      fc.property(labelMaps, (result) => {
        const { text, iou } = encodeYolo(result);
        expect(iou).toEqual([1, 1, 1, 1]);
        const labels = decodeYoloNames(encodeYoloNames(result.labels));
        expect(labels).toEqual(result.labels);
        expect(pixelNames(decodeYolo(text, { ...result, labels }))).toEqual(pixelNames(result));
      }),
      { seed: 23, numRuns: 100 },
    );
  });

  test("SVG, but for names that XML cannot hold", () => {
    fc.assert(
      fc.property(labelMaps, (result) => {
        const svg = orRefused(() => encodeSvg(result));
        if (svg === undefined) return;
        expect(svg.iou).toEqual([1, 1, 1, 1]);
        expect(pixelNames(decodeSvg(svg.text))).toEqual(pixelNames(result));
      }),
      { seed: 24, numRuns: 150 },
    );
  });

  test("GeoJSON", () => {
    fc.assert(
      fc.property(labelMaps, (result) => {
        const collection = encodeGeoJson(result, scores);
        const back = decodeGeoJson(JSON.stringify(collection));
        expect(pixelNames(back)).toEqual(pixelNames(result));
      }),
      { seed: 25, numRuns: 100 },
    );
  });

  test("CVAT's archives, but for names that labelmap.txt cannot hold", async () => {
    const plain = fc.uniqueArray(fc.string({ unit: "grapheme", minLength: 1, maxLength: 8 }), {
      minLength: 4,
      maxLength: 4,
    });
    const mixed = fc
      .tuple(labelMaps, plain, fc.boolean())
      .map(([result, labels, useOwn]) => (useOwn ? result : { ...result, labels }));
    await fc.assert(
      fc.asyncProperty(mixed, fc.constantFrom("label", "region"), async (result, per) => {
        const writer = new CvatWriter({ per: per as "label" | "region" });
        const pieces = orRefused(() => writer.add("a/b.c.jpg", result));
        if (pieces === undefined) return;
        const archive = new Uint8Array(Buffer.concat([...pieces, ...writer.end()]));
        const back: [string, (string | null)[]][] = [];
        for await (const { file, result } of decodeCvat(archive)) {
          back.push([file, pixelNames(result)]);
        }
        expect(back).toEqual([["a/b.c", pixelNames(result)]]);
      }),
      { seed: 26, numRuns: 80 },
    );
  });

  test("thinned out, what an export says it keeps is what comes back", () => {
    const kept = (result: LabelMap, back: LabelMap) => {
      const [before, after] = [pixelNames(result), pixelNames(back)];
      return result.labels.map((label) => {
        const both = before.filter((name, i) => name === label && after[i] === label).length;
        const either = before.filter((name, i) => name === label || after[i] === label).length;
        return either === 0 ? 1 : both / either;
      });
    };
    fc.assert(
      fc.property(blockMaps, fc.constantFrom(1, 2.5), (source, tolerance) => {
        const result = { ...source, labels: ["a", "b", "c"], background: true };
        const yolo = encodeYolo(result, tolerance);
        expect(yolo.iou).toEqual(kept(result, decodeYolo(yolo.text, result)));
        const svg = encodeSvg(result, tolerance);
        expect(svg.iou).toEqual(kept(result, decodeSvg(svg.text)));
        const collection = encodeGeoJson(result, [1, 1, 1], tolerance);
        const features = new Map(
          collection.features.map((f) => [f.properties.label, f.properties]),
        );
        expect(result.labels.map((label) => features.get(label)?.iou ?? 1)).toEqual(
          kept(result, decodeGeoJson(collection)),
        );
        const options = { shape: "polygons", per: "region", tolerance } as const;
        const { iou } = new CocoWriter(options).add("a.jpg", result);
        const [{ result: back }] = decodeCoco(encodeCoco([{ file: "a.jpg", result }], options));
        expect(iou).toEqual(kept(result, back));
      }),
      { seed: 27, numRuns: 60 },
    );
  });
});

describe("what strangers send is read or refused", () => {
  /** JSON like a file of ours, with one part replaced. */
  const mutants = (file: unknown) =>
    fc
      .tuple(fc.jsonValue({ maxDepth: 2 }), fc.infiniteStream(fc.nat()))
      .map(([junk, stream]) => mutate(viaJson(file), junk, stream));

  function mutate(value: unknown, junk: unknown, stream: Iterator<number>): unknown {
    if (typeof value !== "object" || value === null) return junk;
    const keys = Object.keys(value);
    const choice = stream.next().value % (keys.length + 1);
    if (choice === keys.length) return junk;
    const child = (value as Record<string, unknown>)[keys[choice]];
    const changed = mutate(child, junk, stream);
    if (Array.isArray(value)) return value.with(choice, changed);
    return { ...value, [keys[choice]]: changed };
  }

  const result = {
    width: 3,
    height: 2,
    map: Uint8Array.of(0, 1, 1, 2, 2, 1),
    labels: ["cat", "dog"],
    background: true,
  };
  const coco = (shape: "rle" | "polygons") => encodeCoco([{ file: "a.jpg", result }], { shape });
  const readers: [string, unknown, (data: unknown) => unknown][] = [
    ["COCO RLE", coco("rle"), (data) => [...decodeCoco(data)]],
    ["COCO polygons", coco("polygons"), (data) => [...decodeCoco(data)]],
    ["GeoJSON", encodeGeoJson(result, [1, 1]), decodeGeoJson],
    ["Label Studio", encodeLabelStudio(result, [1, 1], { modelVersion: "" }), decodeLabelStudio],
  ];
  test.each(readers)("%s", (_, file, decode) => {
    fc.assert(
      fc.property(mutants(file), (data) => {
        try {
          decode(data);
        } catch (error) {
          expect(error).toBeInstanceOf(InputError);
        }
      }),
      { seed: 31, numRuns: 1500 },
    );
  });

  const texts: [string, string, (text: string) => unknown][] = [
    ["SVG", encodeSvg(result).text, decodeSvg],
    ["YOLO lines", encodeYolo(result).text, (text) => decodeYolo(text, result)],
    ["YOLO names", encodeYoloNames(["a", "b\n"]), decodeYoloNames],
  ];
  test.each(texts)("%s", (_, file, decode) => {
    const cut = fc.tuple(fc.nat({ max: file.length }), fc.nat({ max: 9 }), fc.string());
    fc.assert(
      fc.property(cut, ([at, length, junk]) => {
        try {
          decode(file.slice(0, at) + junk + file.slice(at + length));
        } catch (error) {
          expect(error).toBeInstanceOf(InputError);
        }
      }),
      { seed: 32, numRuns: 1500 },
    );
  });

  test("CVAT archives", async () => {
    const writer = new CvatWriter();
    const pieces = [...writer.add("a.jpg", result), ...writer.end()];
    const archive = new Uint8Array(Buffer.concat(pieces));
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat({ max: archive.length - 1 }), fc.nat({ max: 255 })), {
          minLength: 1,
          maxLength: 3,
        }),
        async (changes) => {
          const bytes = archive.slice();
          for (const [at, byte] of changes) bytes[at] = byte;
          try {
            for await (const picture of decodeCvat(bytes)) expect(picture.result.width).toBe(3);
          } catch (error) {
            expect(error).toBeInstanceOf(InputError);
          }
        },
      ),
      { seed: 33, numRuns: 300 },
    );
  });
});
