import { describe, expect, it } from "vitest";
import {
  floats,
  largestDifference,
  readJson,
  readTensors,
  type TensorReport,
  tolerance,
} from "../../test/support/segment.js";
import { ConfigError } from "../errors.js";
import { interpolatePositions, type PositionMode, windowWeights } from "./positions.js";

const expected = readTensors("tiny/expected.safetensors.gz");
const { tensors } = readJson<{ tensors: Record<string, TensorReport> }>("tiny/report.json");
const table = floats(
  readTensors("tiny/model.safetensors"),
  "vision_model.embeddings.position_embeddings",
);
const native = { rows: 8, columns: 8 };

describe("windowWeights", () => {
  const applied = (weights: Float32Array) =>
    Float32Array.from({ length: 64 * 48 }, (_, i) => {
      const [patch, d] = [Math.floor(i / 48), i % 48];
      let sum = 0;
      for (let from = 0; from < 64; from++)
        sum += weights[patch * 64 + from]! * table[from * 48 + d]!;
      return sum;
    });

  it("leave the whole field as it is", () => {
    expect(applied(windowWeights(8, { left: 0, top: 0, side: 1 }))).toEqual(table);
  });

  it("give the part of a larger grid that the window is", () => {
    // Half the field is 8 x 8 of 16 x 16; it begins at column 4 and row 6 of those.
    const large = interpolatePositions(table, native, 48, 16, 16, "authors");
    const part = Float32Array.from({ length: 64 * 48 }, (_, i) => {
      const [patch, d] = [Math.floor(i / 48), i % 48];
      const [row, column] = [6 + Math.floor(patch / 8), 4 + (patch % 8)];
      return large[(row * 16 + column) * 48 + d]!;
    });
    const window = { left: 4 / 16, top: 6 / 16, side: 0.5 };
    expect(largestDifference(applied(windowWeights(8, window)), part)).toBeLessThan(1e-5);
  });
});

describe("interpolatePositions", () => {
  const sizes = ["96x64", "72x120", "128x128"];
  const cases = sizes.flatMap((size): [string, PositionMode, string][] => [
    [size, "huggingface", "hf"],
    [size, "authors", "nv"],
  ]);

  it.each(cases)("equals the reference at %s as %s", (size, mode, prefix) => {
    const [height, width] = size.split("x").map(Number);
    const name = `${prefix}_${size}.vision.pos_embed_used`;
    const result = interpolatePositions(table, native, 48, height / 8, width / 8, mode);
    expect(largestDifference(result, floats(expected, name))).toBeLessThan(
      tolerance(tensors[name]),
    );
  });

  it("gives two modes that differ where the grid is not the native one", () => {
    const authors = interpolatePositions(table, native, 48, 12, 8, "authors");
    const huggingface = interpolatePositions(table, native, 48, 12, 8, "huggingface");
    expect(largestDifference(authors, huggingface)).toBeGreaterThan(0.001);
  });

  it("copies the table for the native grid, but not for another grid of as many patches", () => {
    for (const mode of ["authors", "huggingface"] as const) {
      const same = interpolatePositions(table, native, 48, 8, 8, mode);
      expect(same).toEqual(table);
      expect(same).not.toBe(table);
      expect(
        largestDifference(interpolatePositions(table, native, 48, 4, 16, mode), table),
      ).toBeGreaterThan(0.01);
    }
  });

  it("interpolates on the native grid only in Hugging Face's way for pictures that are not square", () => {
    const authors = interpolatePositions(table, native, 48, 8, 8, "authors", false);
    expect(authors).toEqual(table);
    const moved = interpolatePositions(table, native, 48, 8, 8, "huggingface", false);
    // Sampled 0.1 / 8 of a patch apart: close to the table, and not it.
    expect(largestDifference(moved, table)).toBeGreaterThan(1e-3);
    expect(largestDifference(moved, table)).toBeLessThan(0.2);
  });

  it("gives the documented example", () => {
    const row = new Float32Array([0, 1]);
    const result = interpolatePositions(row, { rows: 1, columns: 2 }, 1, 1, 4, "authors");
    expect(Array.from(result)).toEqual([-0.10546875, 0.2265625, 0.7734375, 1.10546875]);
  });

  it("keeps a constant table constant, at any size", () => {
    const constant = new Float32Array(6).fill(0.3);
    for (const mode of ["authors", "huggingface"] as const) {
      const result = interpolatePositions(constant, { rows: 2, columns: 3 }, 1, 7, 5, mode);
      expect(largestDifference(result, new Float32Array(35).fill(0.3))).toBeLessThan(1e-6);
    }
  });

  it("refuses an empty grid and a table of another size", () => {
    expect(() => interpolatePositions(table, native, 48, 0, 4, "authors")).toThrow(ConfigError);
    expect(() => interpolatePositions(table, native, 48, 4, 2.5, "authors")).toThrow(/4 x 2.5/);
    expect(() => interpolatePositions(table, native, 32, 8, 8, "authors")).toThrow(
      /3072 numbers.*needs 2048/,
    );
  });
});
