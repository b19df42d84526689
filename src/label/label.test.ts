import { readdir } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { temporaryFolder } from "../../test/support/temporary.js";
import type { Segmentation } from "../groupvit.js";
import { encodeAllRle } from "../output/rle.js";
import { type Chunk, chunksOf } from "./chunks.js";
import { type Manifest, manifestChanges } from "./manifest.js";
import { Names } from "./names.js";
import { publicAddress } from "./queue.js";
import { recordOf, resultOf, uncertainty } from "./record.js";
import { Results } from "./results.js";

const folder = await temporaryFolder();

describe("Names", () => {
  test("no two pictures have one, folders are kept, and none leads out", () => {
    const names = new Names();
    const next = (path: string) => Object.values(names.next(path));
    expect(next("trips/sea.jpg")).toEqual(["trips/sea.jpg", "trips/sea"]);
    expect(next("trips/sea.png")).toEqual(["trips/sea.png", "trips/sea.png"]);
    expect(next("trips/sea.jpg")).toEqual(["trips/sea-2.jpg", "trips/sea-2"]);
    expect(next("Trips/SEA.jpg")).toEqual(["Trips/SEA-3.jpg", "Trips/SEA-3"]);
    expect(next("my photo (1).jpg")).toEqual(["my photo (1).jpg", "my photo (1)"]);
    expect(next("../../etc/passwd")).toEqual(["etc/passwd", "etc/passwd"]);
    expect(next("a\n:b/con.png")).toEqual(["a-b/x-con.png", "a-b/x-con"]);
    expect(next("end .png")).toEqual(["end.png", "end"]);
    expect(next(`${"n".repeat(250)}.jpg`)).toEqual([`${"n".repeat(120)}.jpg`, "n".repeat(120)]);
    // Two ways to write one letter are one file on macOS.
    expect(next("\u00e9.jpg")).toEqual(["\u00e9.jpg", "\u00e9"]);
    expect(next("e\u0301.jpg")).toEqual(["e\u0301-2.jpg", "e\u0301-2"]);
  });

  test("whatever the paths, files and names differ and stay below their folder", () => {
    const part = fc.oneof(fc.constantFrom("a", "A", "..", ".", "", "a.b", "a.jpg"), fc.string());
    const path = fc.array(part, { maxLength: 4 }).map((parts) => parts.join("/"));
    fc.assert(
      fc.property(fc.array(path, { maxLength: 30 }), (paths) => {
        const names = new Names();
        const given = paths.map((path) => names.next(path));
        for (const key of ["file", "name"] as const) {
          const own = given.map((entry) => entry[key].toLowerCase());
          expect(new Set(own).size).toBe(paths.length);
          for (const text of own) {
            expect(join("/root", text).startsWith("/root/")).toBe(true);
            expect(text).not.toMatch(/(^|\/)\.|\0/);
          }
        }
      }),
      { seed: 51, numRuns: 200 },
    );
  });
});

test("a picture more or less changes its own chunk and leaves the others", async () => {
  const found = Array.from({ length: 500 }, (_, i) => ({
    path: `p${i}.jpg`,
    place: { path: `/p${i}.jpg`, stamp: "1" },
  }));
  const all = await collect(chunksOf(found));
  const pictures = all.flatMap((chunk) => chunk.pictures.map(({ file }) => file));
  expect(pictures).toEqual(found.map(({ path }) => path));
  const keys = new Set(all.map(({ key }) => key));
  const fewer = await collect(chunksOf(found.toSpliced(250, 1)));
  const changed = fewer.filter(({ key }) => !keys.has(key)).length;
  expect(changed).toBeGreaterThan(0);
  expect(changed).toBeLessThanOrEqual(4);
});

async function collect(chunks: AsyncIterable<Chunk>): Promise<Chunk[]> {
  const all: Chunk[] = [];
  for await (const chunk of chunks) all.push(chunk);
  return all;
}

const LABELS = ["cat", "dog", "tree"];

test("a record holds the label map exactly", () => {
  const sizes = fc.tuple(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 12 }));
  const maps = sizes.chain(([width, height]) =>
    fc.tuple(
      fc.constant({ width, height }),
      fc.uint8Array({ max: 3, minLength: width * height, maxLength: width * height }),
    ),
  );
  fc.assert(
    fc.property(maps, ([size, map]) => {
      const segmentation = segmented(size, map);
      const record = JSON.parse(JSON.stringify(recordOf("a", segmentation)));
      const { result, scores, masks } = resultOf(record, LABELS);
      expect(result.map).toEqual(map);
      // What is handed on is what would be found in the map.
      expect(masks).toEqual(encodeAllRle(result, 4).slice(1));
      expect([...scores]).toEqual([0.25, 0.5, 0.75].map((s, i) => (map.includes(i + 1) ? s : 0)));
    }),
    { seed: 52, numRuns: 150 },
  );
});

function segmented(size: { width: number; height: number }, map: Uint8Array): Segmentation {
  const areas = Uint32Array.from([1, 2, 3], (value) => map.filter((v) => v === value).length);
  const scores = Float32Array.of(0.25, 0.5, 0.75);
  return { ...size, labels: LABELS, background: true, map, scores, areas };
}

test("uncertainty is 1 less the mean winning score, and 1 where nothing was found", () => {
  const scores = Float32Array.of(0.5, 1);
  expect(uncertainty({ scores, areas: Uint32Array.of(3, 1) })).toBe(0.375);
  expect(uncertainty({ scores, areas: Uint32Array.of(0, 0) })).toBe(1);
});

describe("Results", () => {
  test("chunks with pictures that were set aside are tried again, with what stands kept", async () => {
    const results = new Results(folder);
    const good = recordOf("good", segmented({ width: 2, height: 1 }, Uint8Array.of(1, 2)));
    await results.write("k", [good, { name: "bad", error: "broken" }]);
    expect([await results.isFinished("k"), await results.isDone("k")]).toEqual([true, false]);
    await results.retry("k");
    expect(await results.isFinished("k")).toBe(false);
    expect([...(await results.standing("k")).keys()]).toEqual(["good"]);
    await results.write("k", [good, { ...good, name: "bad" }]);
    expect((await results.read("k")).map(({ name }) => name)).toEqual(["good", "bad"]);
    expect((await readdir(folder)).filter((file) => file.startsWith("k."))).toEqual([
      "k.done.jsonl",
    ]);
  });

  test("a picture with which a process ended three times is found out, its neighbours are not", async () => {
    const results = new Results(folder);
    for (let attempt = 0; attempt < 3; attempt++) {
      const trail = await results.beginTrail("t");
      expect(trail.poison).toEqual(new Set());
      for (const picture of [0, 1, 2]) await trail.mark(picture);
      await trail.end();
    }
    const last = await results.beginTrail("t");
    expect(last).toMatchObject({ ended: 1, poison: new Set([2]) });
    await last.end();
  });
});

test("a manifest's differences are named; where the model lies is none", () => {
  const manifest: Manifest = {
    format: "groupvit-labels/1",
    version: "1.0.0",
    model: { source: null, sha256: "a".repeat(64), dtype: "fp32", device: "cpu" },
    labels: LABELS,
    protocol: { prompts: "simple", mode: "whole", shortSide: 224, topK: 5, background: "none" },
  };
  const model = { ...manifest.model, source: "/elsewhere" };
  expect(manifestChanges(manifest, { ...manifest, model })).toEqual([]);
  const elsewhere = { ...manifest, model: { ...model, device: "wasm" as const } };
  expect(manifestChanges(manifest, elsewhere)).toEqual(["device: cpu -> wasm"]);
  const other = {
    ...manifest,
    version: "1.0.1",
    labels: ["cat", "dog", "bush"],
    protocol: { ...manifest.protocol, background: "threshold" as const, threshold: 0.9 },
  };
  expect(manifestChanges(manifest, other)).toEqual([
    "version: 1.0.0 -> 1.0.1",
    "background: none -> threshold",
    "threshold: - -> 0.9",
    "label 3: tree -> bush",
  ]);
});

test("addresses are shown without user and password", () => {
  expect(publicAddress("redis://me:secret@host:6380/2")).toBe("redis://host:6380/2");
});
