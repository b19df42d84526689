import { describe, expect, it } from "vitest";
import { CheckpointError } from "../errors.js";
import { elementCount, fromFloat32, toFloat32 } from "./dtypes.js";
import type { TensorDType } from "./tensors.js";

const bytesOf = (array: ArrayBufferView) =>
  new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

describe("toFloat32", () => {
  const cases: [TensorDType, ArrayBufferView, number[]][] = [
    ["F64", Float64Array.of(1.5, 1e300), [1.5, Number.POSITIVE_INFINITY]],
    ["F32", Float32Array.of(-0.25, 3), [-0.25, 3]],
    ["F16", Uint16Array.of(0x3c00, 0xc000), [1, -2]],
    ["BF16", Uint16Array.of(0x3f80, 0xc000), [1, -2]],
    ["I64", BigInt64Array.of(-7n, 2n ** 40n), [-7, 2 ** 40]],
    ["I32", Int32Array.of(-7, 9), [-7, 9]],
    ["I16", Int16Array.of(-7, 9), [-7, 9]],
    ["I8", Int8Array.of(-7, 9), [-7, 9]],
    ["U8", Uint8Array.of(249, 9), [249, 9]],
    ["BOOL", Uint8Array.of(1, 0), [1, 0]],
  ];

  it.each(cases)("reads %s, aligned or not", (dtype, array, expected) => {
    const bytes = bytesOf(array);
    expect([...toFloat32({ dtype, shape: [2], bytes })]).toEqual(expected);
    // A Node Buffer at an odd offset: its `slice` would not copy.
    const shifted = Buffer.alloc(bytes.byteLength + 1).subarray(1);
    shifted.set(bytes);
    expect([...toFloat32({ dtype, shape: [2], bytes: shifted })]).toEqual(expected);
  });

  it("shares the memory of aligned F32 tensors, both ways", () => {
    const values = Float32Array.of(1, 2);
    const shared = toFloat32(fromFloat32(values, [2]));
    values[1] = 5;
    expect(shared[1]).toBe(5);
  });
});

describe("elementCount", () => {
  it("multiplies sizes, and refuses what is no size", () => {
    expect(elementCount([])).toBe(1);
    expect(elementCount([2, 3, 4])).toBe(24);
    expect(elementCount([0, 2 ** 53 - 1, 2 ** 30])).toBe(0);
    for (const shape of [[-1], [1.5], [Number.NaN], [2 ** 53], [2 ** 30, 2 ** 30]]) {
      expect(() => elementCount(shape)).toThrow(CheckpointError);
    }
  });
});
