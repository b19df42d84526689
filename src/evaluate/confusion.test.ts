import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { InputError } from "../errors.js";
import {
  addPixels,
  addTriples,
  classAccuracy,
  classIoU,
  createConfusion,
  meanIoU,
  meanOfKnown,
  pixelAccuracy,
  toTriples,
  truePixels,
} from "./confusion.js";

const PIXELS = fc.array(fc.tuple(fc.nat(4), fc.nat(3)), { minLength: 1, maxLength: 80 });

/** Confusion of pixels (truth 4 stands for 255) over 4 classes. */
function confusionOf(pixels: readonly (readonly [number, number])[]) {
  const confusion = createConfusion(4);
  addPixels(
    confusion,
    Uint8Array.from(pixels, ([truth]) => (truth === 4 ? 255 : truth)),
    Uint8Array.from(pixels, ([, predicted]) => predicted),
  );
  return confusion;
}

describe("accuracies", () => {
  it("of a table worked out by hand", () => {
    const confusion = createConfusion(3);
    //           predicted 0  1  2
    // true 0              5  1  0   recall 5/6, IoU 5/(6+7-5)
    // true 1              2  3  0   recall 3/5, IoU 3/(5+4-3)
    // true 2              0  0  0   never: left out of both means
    addTriples(confusion, [0, 0, 5, 0, 1, 1, 1, 0, 2, 1, 1, 3]);
    expect(truePixels(confusion)).toEqual([6, 5, 0]);
    expect(classAccuracy(confusion)).toEqual([5 / 6, 3 / 5, Number.NaN]);
    expect(pixelAccuracy(confusion)).toBe(8 / 11);
    expect(meanOfKnown(classAccuracy(confusion))).toBeCloseTo((5 / 6 + 3 / 5) / 2, 12);
    expect(meanIoU(confusion)).toBeCloseTo((5 / 8 + 3 / 6) / 2, 12);
  });

  it("obey the identities of a confusion matrix", () => {
    fc.assert(
      fc.property(PIXELS, (pixels) => {
        const confusion = confusionOf(pixels);
        const counted = pixels.filter(([truth]) => truth !== 4);
        const right = counted.filter(([truth, predicted]) => truth === predicted).length;
        expect(truePixels(confusion).reduce((a, b) => a + b, 0)).toBe(counted.length);
        expect(pixelAccuracy(confusion)).toBe(right / counted.length);
        // Pixel accuracy is the mean of class accuracies weighted by true pixels.
        const accuracy = classAccuracy(confusion);
        const weighted = truePixels(confusion).reduce(
          (sum, n, i) => sum + (n === 0 ? 0 : n * accuracy[i]!),
          0,
        );
        if (counted.length > 0) expect(weighted).toBeCloseTo(right, 9);
        classIoU(confusion).forEach((iou, i) => {
          if (accuracy[i]! >= 0) expect(iou).toBeLessThanOrEqual(accuracy[i]! + 1e-12);
        });
      }),
      { seed: 2 },
    );
  });

  it("do not change when classes change places, and ignored pixels count for nothing", () => {
    const order = fc.shuffledSubarray([0, 1, 2, 3], { minLength: 4, maxLength: 4 });
    fc.assert(
      fc.property(PIXELS, order, (pixels, places) => {
        const moved = pixels.map(
          ([t, p]) => [t === 4 ? 4 : places[t]!, places[p]!] as [number, number],
        );
        const [one, two] = [confusionOf(pixels), confusionOf(moved)];
        expect(pixelAccuracy(two)).toBe(pixelAccuracy(one));
        const [iou, other] = [classIoU(one), classIoU(two)];
        places.forEach((place, i) => {
          expect(other[place]).toBe(iou[i]);
        });
        const kept = confusionOf(pixels.filter(([t]) => t !== 4));
        expect(one.counts).toEqual(kept.counts);
      }),
      { seed: 3 },
    );
  });

  it("come back from triples, and add up over pictures", () => {
    fc.assert(
      fc.property(PIXELS, PIXELS, (first, second) => {
        const sum = createConfusion(4);
        addTriples(sum, toTriples(confusionOf(first)));
        addTriples(sum, toTriples(confusionOf(second)));
        expect(sum.counts).toEqual(confusionOf([...first, ...second]).counts);
      }),
      { seed: 4 },
    );
  });
});

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
