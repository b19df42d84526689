// Element types of stored tensors: their sizes, and conversion to and from single precision.

import { CheckpointError } from "../errors.js";
import {
  bfloat16ToFloat32,
  float16ToFloat32,
  float32ToBfloat16,
  float32ToFloat16,
} from "../half.js";
import type { StoredTensor, TensorDType } from "./tensors.js";

/** Bytes of one element. */
export const BYTES_PER_ELEMENT: Readonly<Record<TensorDType, number>> = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
};

/** Whether elements of this type are floating-point numbers. */
export function isFloat(dtype: TensorDType): boolean {
  return dtype === "F32" || dtype === "F16" || dtype === "BF16" || dtype === "F64";
}

/**
 * The number of elements of a shape (1 for a 0-dimensional tensor).
 *
 * @throws CheckpointError when a size is no whole number >= 0 or the product is beyond 2^53.
 */
export function elementCount(shape: readonly number[], name = "tensor"): number {
  let count = 1;
  for (const size of shape) {
    if (!Number.isSafeInteger(size) || size < 0) {
      throw new CheckpointError(
        `${name}: ${size} is not a tensor size; the file is damaged, get it again`,
      );
    }
    count *= size;
  }
  // Rounding cannot bring a product beyond 2^53 back below; infinity times 0 is no number.
  if (!Number.isSafeInteger(count)) {
    throw new CheckpointError(
      `${name}: shape [${shape.join(", ")}] has too many elements; the file is damaged, get it again`,
    );
  }
  return count;
}

/**
 * The tensor's values in single precision, row-major. F16, BF16 and whole numbers up to 2^24 are exact.
 * An aligned F32 tensor is not copied: the result shares its memory.
 */
export function toFloat32(tensor: StoredTensor): Float32Array {
  const { dtype } = tensor;
  const size = BYTES_PER_ELEMENT[dtype];
  // A copy of its own starts at offset 0. Not `slice`, which would not copy a Node Buffer.
  const bytes = tensor.bytes.byteOffset % size === 0 ? tensor.bytes : new Uint8Array(tensor.bytes);
  const { buffer, byteOffset } = bytes;
  const count = bytes.byteLength / size;
  switch (dtype) {
    case "F32":
      return new Float32Array(buffer, byteOffset, count);
    case "F16":
      return float16ToFloat32(new Uint16Array(buffer, byteOffset, count));
    case "BF16":
      return bfloat16ToFloat32(new Uint16Array(buffer, byteOffset, count));
    case "F64":
      return Float32Array.from(new Float64Array(buffer, byteOffset, count));
    case "I64":
      return Float32Array.from(new BigInt64Array(buffer, byteOffset, count), Number);
    case "I32":
      return Float32Array.from(new Int32Array(buffer, byteOffset, count));
    case "I16":
      return Float32Array.from(new Int16Array(buffer, byteOffset, count));
    case "I8":
      return Float32Array.from(new Int8Array(buffer, byteOffset, count));
    case "U8":
    case "BOOL":
      return Float32Array.from(bytes);
  }
}

/** A tensor of the given type from values in single precision; F32 shares the memory of `values`. */
export function fromFloat32(
  values: Float32Array,
  shape: readonly number[],
  dtype: "F32" | "F16" | "BF16" = "F32",
): StoredTensor {
  const data =
    dtype === "F32"
      ? values
      : dtype === "F16"
        ? float32ToFloat16(values)
        : float32ToBfloat16(values);
  return { dtype, shape, bytes: new Uint8Array(data.buffer, data.byteOffset, data.byteLength) };
}
