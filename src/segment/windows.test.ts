import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readJson, readTensors, tensor } from "../../test/support/segment.js";
import { slideWindows } from "./windows.js";

const labelMaps = readTensors("seg/labels_u8.safetensors.gz");
const { cases } = readJson<{ cases: Record<string, { windows?: number[][] }> }>("seg/report.json");

describe("slideWindows", () => {
  const slides = Object.entries(cases).filter(([name]) => name.includes(".slide."));

  it.each(slides)("gives the reference's windows for %s", (name, { windows }) => {
    const [model, picture] = name.split(".");
    const [height, width] = tensor(labelMaps, `${model}.${picture}.group_map_stage1`).shape;
    expect(slideWindows(width, height, 448, 224).map((w) => [w.y0, w.x0, w.y1, w.x1])).toEqual(
      windows,
    );
  });

  it("covers every picture with windows of full size wherever there is room", () => {
    fc.assert(
      fc.property(
        fc.record({
          width: fc.integer({ min: 1, max: 90 }),
          height: fc.integer({ min: 1, max: 90 }),
          crop: fc.integer({ min: 5, max: 100 }),
          stride: fc.integer({ min: 1, max: 5 }),
        }),
        ({ width, height, crop, stride }) => {
          const covered = new Uint8Array(width * height);
          const seen = new Set<string>();
          for (const { x0, y0, x1, y1 } of slideWindows(width, height, crop, stride)) {
            expect([x1 - x0, y1 - y0]).toEqual([Math.min(crop, width), Math.min(crop, height)]);
            expect(x0 >= 0 && y0 >= 0 && x1 <= width && y1 <= height).toBe(true);
            seen.add(`${x0},${y0}`);
            for (let y = y0; y < y1; y++) covered.fill(1, y * width + x0, y * width + x1);
          }
          expect(covered.indexOf(0)).toBe(-1);
          const steps = (length: number) => Math.ceil(Math.max(length - crop, 0) / stride) + 1;
          expect(seen.size).toBe(steps(width) * steps(height));
        },
      ),
      { seed: 448, numRuns: 60 },
    );
  });

  it("refuses windows that would leave gaps", () => {
    expect(() => slideWindows(500, 500, 224, 448)).toThrow(/crop 224 with stride 448/);
    expect(() => slideWindows(500, 500, 448, 0)).toThrow(/stride 0/);
    expect(() => slideWindows(500, 500, 448.5, 224)).toThrow(/crop 448.5/);
    expect(() => slideWindows(0, 500, 448, 224)).toThrow(/0 x 500/);
  });
});
