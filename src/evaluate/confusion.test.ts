import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { InputError } from "../errors.js";
import { addPixels, classIoU, createConfusion, meanIoU } from "./confusion.js";

describe("mean intersection over union", () => {
  it("counts over all pictures, leaves 255 and absent classes out", () => {
    const confusion = createConfusion(4);
    addPixels(confusion, Uint8Array.of(0, 0, 1, 1, 255), Uint8Array.of(0, 1, 1, 1, 2));
    addPixels(confusion, Uint8Array.of(2, 2), Uint8Array.of(2, 0));
    // 0: 1 of {true 2, predicted 2} = 1/3. 1: 2 of 3. 2: 1 of 2. 3 never occurs.
    expect(classIoU(confusion)).toEqual([1 / 3, 2 / 3, 1 / 2, Number.NaN]);
    expect(meanIoU(confusion)).toBeCloseTo(0.5, 12);
  });

  it("is what sets of pixels give", () => {
    const values = fc.array(fc.tuple(fc.nat(3), fc.nat(3)), { minLength: 1, maxLength: 60 });
    fc.assert(
      fc.property(values, (pixels) => {
        const confusion = createConfusion(4);
        addPixels(
          confusion,
          Uint8Array.from(pixels, ([truth]) => truth),
          Uint8Array.from(pixels, ([, predicted]) => predicted),
        );
        classIoU(confusion).forEach((iou, value) => {
          const both = pixels.filter(([a, b]) => a === value && b === value).length;
          const either = pixels.filter(([a, b]) => a === value || b === value).length;
          expect(iou).toBe(either === 0 ? Number.NaN : both / either);
        });
      }),
      { seed: 1 },
    );
  });

  it("refuses maps that do not fit", () => {
    const confusion = createConfusion(2);
    expect(() => addPixels(confusion, Uint8Array.of(0), Uint8Array.of(0, 1))).toThrow(InputError);
    expect(() => addPixels(confusion, Uint8Array.of(2), Uint8Array.of(0))).toThrow(/value 2/);
    expect(() => addPixels(confusion, Uint8Array.of(0), Uint8Array.of(9))).toThrow(/value 9/);
  });
});
