// Architectures other than the published one: the graphs build and run at any size, a batch gives what
// its pictures give alone, and sizes known only at run time give what fixed sizes give.

import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { configToJson, parseConfig } from "../src/checkpoint/config-file.js";
import { toAuthors, toHuggingFace } from "../src/checkpoint/names.js";
import * as g from "../src/graph/build.js";
import { toOnnx } from "../src/graph/onnx.js";
import type { GroupViTConfig, VisionConfig } from "../src/model/config.js";
import { imageOutputs } from "../src/model/inference.js";
import { modelContext } from "../src/model/layers.js";
import { createSession } from "../src/runtime/session.node.js";
import { decode } from "../src/segment/decode.js";
import { layoutSegments } from "../src/segment/layout.js";
import { generateWeights, uniform } from "./parity/generate.js";
import { unitRows } from "./parity/model.js";
import { type Pixels, Towers } from "./parity/towers.js";
import { floatWeights } from "./parity/weights.js";

const manifest = JSON.parse(
  readFileSync(new URL("fixtures/manifest.json", import.meta.url), "utf8"),
);
const base = parseConfig(
  readFileSync(new URL("fixtures/tiny/config.json", import.meta.url), "utf8"),
);

const VISION: Record<string, Partial<VisionConfig>> = {
  "one grouping stage": {
    depths: [2, 1],
    numGroupTokens: [8, 0],
    numOutputGroups: [8, 3],
  },
  "a single stage": { depths: [2], numGroupTokens: [6], numOutputGroups: [6] },
  "three grouping stages": {
    depths: [1, 1, 1, 1],
    numGroupTokens: [16, 8, 4, 0],
    numOutputGroups: [16, 8, 4, 4],
  },
  "group tokens in the last stage": {
    depths: [1, 2],
    numGroupTokens: [12, 5],
    numOutputGroups: [12, 5],
  },
  "fewer output groups than group tokens": {
    depths: [1, 1, 1],
    numGroupTokens: [12, 8, 0],
    numOutputGroups: [12, 4, 4],
  },
  "patch 4, other widths, assign_eps 0.5": {
    hiddenSize: 40,
    intermediateSize: 100,
    numAttentionHeads: 5,
    imageSize: 28,
    patchSize: 4,
    assignEps: 0.5,
    assignMlpRatio: [0.3, 3],
  },
};

/** Heights and widths in pixels: native, not square, no multiple of the patch, one row of patches. */
const SIZES = [
  [64, 64],
  [37, 75],
  [8, 61],
] as const;

describe.each(Object.entries(VISION))("%s", (name, vision) => {
  const config: GroupViTConfig = { ...base, vision: { ...base.vision, ...vision } };
  const tensors = generateWeights(config, manifest, manifest.generator.P_tiny);
  const weights = { config, tensors, sources: [] };
  const blocks = config.vision.numGroupTokens.filter((count) => count > 0).length;
  const pixels = (batch: number, height: number, width: number): Pixels => ({
    data: uniform(`${name} ${height}x${width}`, batch * 3 * height * width, -2, 2),
    shape: [batch, 3, height, width],
  });

  it("survives both checkpoint layouts and config.json", () => {
    expect(parseConfig(JSON.stringify(configToJson(config)))).toEqual(config);
    const there = toAuthors(tensors, config);
    const back = toHuggingFace(there, config);
    for (const [key, { shape, bytes }] of back) {
      expect(shape, key).toEqual(tensors.get(key)!.shape);
      expect(Buffer.compare(bytes, tensors.get(key)!.bytes), key).toBe(0);
    }
  });

  it("gives a batch what it gives each picture, at every size", async () => {
    const towers = new Towers(weights);
    for (const [height, width] of SIZES) {
      const batch = 3;
      const all = pixels(batch, height, width);
      const engine = towers.engine("authors");
      const { patches, rows, columns } = towers.patches(all);
      const together = await engine.encodeImages(patches, batch, rows, columns);
      const size = patches.length / batch;
      expect(together.groups).toHaveLength(blocks);
      for (let i = 0; i < batch; i++) {
        const own = patches.slice(i * size, (i + 1) * size);
        const alone = await engine.encodeImages(own, 1, rows, columns);
        near(alone.image, slice(together.image, i, batch));
        near(alone.segments, slice(together.segments, i, batch));
        alone.assignments.forEach((assignment, block) => {
          near(assignment, slice(together.assignments[block]!, i, batch));
        });
      }
    }
    await towers.release();
  });

  it("gives the same with sizes fixed, and with every hidden state an output", async () => {
    const towers = new Towers(weights);
    const { patchSize, hiddenSize } = config.vision;
    for (const [height, width] of SIZES) {
      const all = pixels(2, height, width);
      const tapped = await towers.image(all, "huggingface");
      const { patches, rows, columns } = towers.patches(all);
      const count = rows * columns;
      const shape = [2, count, patchSize ** 2 * 3];
      const fixed = imageOutputs(
        modelContext(),
        config,
        g.input("patches", "f32", shape),
        g.input("positions", "f32", [1, count, hiddenSize]),
      );
      const session = await createSession(toOnnx(fixed, { weights: floatWeights(weights) }));
      const result = await session.run({
        patches: { shape, data: patches },
        positions: towers.positions(rows, columns, "huggingface", rows === columns),
      });
      expect(Object.keys(result)).toHaveLength(2 + blocks);
      for (const [key, { shape: found, data }] of Object.entries(result)) {
        expect(tapped[key]!.shape, key).toEqual(found);
        near(data, tapped[key]!.data);
      }
      await session.release();
    }
    await towers.release();
  });

  it("assigns every token wholly, and segments a picture of any size", async () => {
    const towers = new Towers(weights);
    const dim = config.projectionDim;
    for (const [height, width] of SIZES) {
      const { patches, rows, columns } = towers.patches(pixels(1, height, width));
      const found = await towers.engine("authors").encodeImages(patches, 1, rows, columns);
      let tokens = rows * columns;
      found.assignments.forEach((assignment, block) => {
        const groups = found.groups[block]!;
        expect(assignment).toHaveLength(groups * tokens);
        for (let token = 0; token < tokens; token++) {
          let sum = 0;
          for (let group = 0; group < groups; group++) sum += assignment[group * tokens + token]!;
          expect(sum).toBeCloseTo(1, 5);
        }
        tokens = groups;
      });
      expect(found.segments).toHaveLength(tokens * dim);
      const encoding = {
        rows,
        columns,
        assignments: found.assignments,
        groups: found.groups,
        segmentEmbeds: unitRows(found.segments, dim),
        imageEmbed: unitRows(found.image, dim),
      };
      const window = { x0: 0, y0: 0, x1: width, y1: height };
      const original = { width: 50, height: 33 };
      const layout = layoutSegments([{ window, encoding }], { width, height }, original);
      const labels = unitRows(uniform("labels", 7 * dim, -1, 1), dim);
      const { map } = decode(layout, labels, { logitScale: 14, background: { kind: "none" } });
      expect(map).toHaveLength(50 * 33);
      expect(Math.max(...map)).toBeLessThan(7);
    }
    await towers.release();
  });
});

function slice(data: Float32Array, item: number, batch: number): Float32Array {
  const size = data.length / batch;
  return data.subarray(item * size, (item + 1) * size);
}

function near(actual: ArrayLike<number>, expected: ArrayLike<number>): void {
  expect(actual.length).toBe(expected.length);
  let most = 0;
  for (let i = 0; i < actual.length; i++) {
    const difference = Math.abs(actual[i]! - expected[i]!);
    if (!(difference <= most)) most = difference;
  }
  expect(most).toBeLessThan(2e-5);
}
