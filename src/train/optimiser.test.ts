import { describe, expect, it } from "vitest";
import { interpret } from "../../test/support/interpreter.js";
import * as g from "../graph/build.js";
import { Random } from "../random.js";
import {
  adamW,
  clipFactor,
  globalNorm,
  isOrthogonalised,
  muon,
  muonDirection,
  orthogonalised,
  PUBLISHED_ADAMW,
} from "./optimiser.js";

/** `count` orthonormal vectors of `size` (Gram-Schmidt). */
function orthonormal(random: Random, count: number, size: number): number[][] {
  const rows: number[][] = [];
  while (rows.length < count) {
    const row = Array.from({ length: size }, () => random.normal());
    for (const other of rows) {
      const share = other.reduce((sum, x, i) => sum + x * row[i]!, 0);
      other.forEach((x, i) => {
        row[i]! -= share * x;
      });
    }
    const length = Math.hypot(...row);
    rows.push(row.map((x) => x / length));
  }
  return rows;
}

describe("an orthogonalised matrix", () => {
  it.each([
    [4, 4],
    [3, 7],
    [9, 4],
  ])(
    "of %s x %s keeps its singular vectors, and its singular values come near 1",
    (rows, columns) => {
      const rank = Math.min(rows, columns);
      const random = new Random(rows * 10 + columns);
      const left = orthonormal(random, rank, rows);
      const right = orthonormal(random, rank, columns);
      const values = Array.from({ length: rank }, (_, k) => 5 * (1 - (0.8 * k) / rank));
      const at = (i: number, j: number) =>
        values.reduce((sum, s, k) => sum + left[k]![i]! * s * right[k]![j]!, 0);
      const data = Array.from({ length: rows * columns }, (_, i) =>
        at(Math.floor(i / columns), i % columns),
      );
      const [result] = interpret([orthogonalised(g.input("m", "f32", [rows, columns]))], {
        m: { shape: [rows, columns], data },
      });
      expect(result!.shape).toEqual([rows, columns]);
      for (let k = 0; k < rank; k++) {
        for (let l = 0; l < rank; l++) {
          let entry = 0; // left[k]^T result right[l]
          for (let i = 0; i < rows * columns; i++) {
            const [row, column] = [Math.floor(i / columns), i % columns];
            entry += left[k]![row]! * result!.data[i]! * right[l]![column]!;
          }
          if (k !== l) expect(Math.abs(entry)).toBeLessThan(1e-9);
          else expect(Math.abs(entry - 0.95)).toBeLessThan(0.3);
        }
      }
    },
  );
});

describe("Muon", () => {
  const random = new Random(3);
  const normals = () => Float32Array.from({ length: 12 }, () => random.normal());

  it("looks ahead with Nesterov's momentum", () => {
    const first = new Float32Array(12);
    const [one, two] = [normals(), normals()];
    const slot = { name: "a.weight", shape: [3, 4], parameter: normals(), first };
    muonDirection({ ...slot, grad: one });
    const ahead = muonDirection({ ...slot, grad: two });
    for (let i = 0; i < 12; i++) {
      const momentum = 0.95 * 0.05 * one[i]! + 0.05 * two[i]!;
      expect(first[i]!).toBeCloseTo(momentum, 6);
      expect(ahead[i]!).toBeCloseTo(0.95 * momentum + 0.05 * two[i]!, 6);
    }
  });

  it("moves by 0.2 sqrt(longest side) times the rate, and decays as AdamW does", () => {
    const [parameter, direction] = [normals(), normals()];
    const before = parameter.slice();
    const slot = { name: "a.weight", shape: [3, 4], parameter, grad: normals(), first: normals() };
    muon(slot, direction, 0.01, PUBLISHED_ADAMW);
    for (let i = 0; i < 12; i++) {
      const expected = before[i]! * (1 - 0.01 * 0.05) - 0.01 * 0.2 * 2 * direction[i]!;
      expect(parameter[i]!).toBeCloseTo(expected, 6);
    }
  });

  it("takes matrices only, no tables of embeddings, and nothing unless it is asked for", () => {
    const settings = { ...PUBLISHED_ADAMW, matrices: "muon" } as const;
    expect(isOrthogonalised("text_projection.0.weight", [4, 3], settings)).toBe(true);
    expect(isOrthogonalised("text_projection.0.weight", [4, 3], PUBLISHED_ADAMW)).toBe(false);
    expect(isOrthogonalised("x.group_token", [1, 4, 3], settings)).toBe(false);
    expect(isOrthogonalised("x.bias", [4], settings)).toBe(false);
    expect(isOrthogonalised("x.assign.q_proj.weight", [4, 4], settings)).toBe(false);
    expect(isOrthogonalised("x.assign.v_proj.weight", [4, 4], settings)).toBe(true);
    const table = "text_model.embeddings.token_embedding.weight";
    expect(isOrthogonalised(table, [9, 3], settings)).toBe(false);
  });
});

describe("AdamW", () => {
  it("only decays what never had a gradient, and still moves what once had one", () => {
    const arrays = () => new Float32Array(2);
    const slot = {
      name: "table.weight",
      shape: [2, 1],
      parameter: Float32Array.of(1, 1),
      grad: Float32Array.of(0.5, 0),
      first: arrays(),
      second: arrays(),
    };
    adamW(slot, 1, 0.1, 1, PUBLISHED_ADAMW);
    expect(slot.parameter[0]!).toBeCloseTo(1 - 0.1 * 0.05 - 0.1, 5);
    expect(slot.parameter[1]!).toBeCloseTo(1 - 0.1 * 0.05, 6);
    slot.grad.fill(0);
    const [moved, still] = slot.parameter.slice();
    adamW(slot, 2, 0.1, 1, PUBLISHED_ADAMW);
    expect(slot.parameter[0]!).toBeLessThan(moved! * 0.995 - 0.01);
    expect(slot.parameter[1]!).toBeCloseTo(still! * 0.995, 6);
  });

  it("clips at the norm of all gradients together", () => {
    const norm = globalNorm([Float32Array.of(3, 0), Float32Array.of(4)]);
    expect(norm).toBe(5);
    expect(clipFactor(norm, 2.5)).toBeCloseTo(0.5, 6);
    expect(clipFactor(norm, 10)).toBe(1);
    expect(clipFactor(norm, 0)).toBe(1);
  });
});
