import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  bfloat16ToFloat32,
  float16ToFloat32,
  float32ToBfloat16,
  float32ToFloat16,
} from "./half.js";

const all = Uint16Array.from({ length: 65_536 }, (_, i) => i);
const floatBits = (bits: number[]) => new Float32Array(Uint32Array.from(bits).buffer);

/** The definition of IEEE half precision, in double precision. */
function halfValue(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const mantissa = bits & 1023;
  if (exponent === 31) return mantissa === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return exponent === 0
    ? sign * mantissa * 2 ** -24
    : sign * (1 + mantissa / 1024) * 2 ** (exponent - 15);
}

describe("half precision", () => {
  it("reads all 65,536 values by the definition", () => {
    const values = float16ToFloat32(all);
    for (const bits of all) {
      if (!Object.is(values[bits], halfValue(bits))) expect.fail(`0x${bits.toString(16)}`);
    }
  });

  it("writes back every value that is a number, and NaN as NaN", () => {
    const back = float32ToFloat16(float16ToFloat32(all));
    for (const bits of all) {
      const same = Number.isNaN(halfValue(bits))
        ? Number.isNaN(halfValue(back[bits]!))
        : back[bits] === bits;
      if (!same) expect.fail(`0x${bits.toString(16)} became 0x${back[bits]!.toString(16)}`);
    }
  });

  it("rounds ties to even, at the borders too", () => {
    const cases: [number, number][] = [
      [1 + 2 ** -11, 0x3c00],
      [1 + 3 * 2 ** -11, 0x3c02],
      [1 + 2 ** -11 + 2 ** -23, 0x3c01],
      [65_504, 0x7bff],
      [65_519.99, 0x7bff],
      [65_520, 0x7c00],
      [-1e10, 0xfc00],
      [2 ** -25, 0],
      [-(2 ** -25), 0x8000],
      [2 ** -25 * (1 + 2 ** -23), 1],
      [3 * 2 ** -25, 2],
      [2 ** -14 - 2 ** -25, 0x0400],
      [2 ** -14 * (1 - 2 ** -23), 0x0400],
      [1e-40, 0],
    ];
    const written = float32ToFloat16(Float32Array.from(cases, ([value]) => value));
    expect([...written]).toEqual(cases.map(([, bits]) => bits));
    expect(halfValue(float32ToFloat16(floatBits([0x7f800001]))[0]!)).toBeNaN();
  });

  it("writes the nearest value", () => {
    fc.assert(
      fc.property(fc.double({ min: -65_504, max: 65_504, noNaN: true }), (double) => {
        const value = Math.fround(double);
        const bits = float32ToFloat16(Float32Array.of(value))[0]!;
        const error = Math.abs(halfValue(bits) - value);
        for (const other of [bits - 1, bits + 1]) {
          const distance = Math.abs(halfValue(other & 0xffff) - value);
          if (!(distance >= error || Number.isNaN(distance))) return false;
          if (distance === error && bits & 1) return false;
        }
        return true;
      }),
      { seed: 1, numRuns: 2000 },
    );
  });
});

describe("bfloat16", () => {
  it("is the upper half of single precision", () => {
    expect([...bfloat16ToFloat32(Uint16Array.of(0x3f80, 0xc060, 0x0001, 0x7f80))]).toEqual([
      1,
      -3.5,
      2 ** -133,
      Number.POSITIVE_INFINITY,
    ]);
    const back = float32ToBfloat16(bfloat16ToFloat32(all));
    for (const bits of all) {
      const nan = (bits & 0x7fff) > 0x7f80;
      if (nan ? (back[bits]! & 0x7fff) <= 0x7f80 : back[bits] !== bits) expect.fail(String(bits));
    }
  });

  it("rounds ties to even and keeps NaN", () => {
    const bits = [
      0x3f808000, 0x3f818000, 0x3f808001, 0x3f807fff, 0x7f7fffff, 0x7f800001, 0xffffffff,
    ];
    expect([...float32ToBfloat16(floatBits(bits))]).toEqual([
      0x3f80, 0x3f82, 0x3f81, 0x3f80, 0x7f80, 0x7fc0, 0xffff,
    ]);
  });
});
