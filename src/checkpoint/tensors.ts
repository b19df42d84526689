// Named tensors as they come out of, and go into, checkpoint files.

/** Element types of checkpoint tensors, named as safetensors names them. */
export type TensorDType =
  | "F64"
  | "F32"
  | "F16"
  | "BF16"
  | "I64"
  | "I32"
  | "I16"
  | "I8"
  | "U8"
  | "BOOL";

/** One tensor: contiguous, row-major, little-endian bytes. */
export interface StoredTensor {
  readonly dtype: TensorDType;
  readonly shape: readonly number[];
  /** The raw bytes; their length is exactly `product(shape) * bytes per element`. */
  readonly bytes: Uint8Array;
}

/** Tensors by name, in file order. */
export type TensorMap = Map<string, StoredTensor>;
