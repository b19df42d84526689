// A checkpoint's numbers as graphs take them: everything that enters a computation, in single precision.

import { toFloat32 } from "./dtypes.js";
import { isBuffer } from "./shapes.js";
import type { StoredTensor } from "./tensors.js";

/** Parameters and batch norm statistics by name; aligned F32 tensors share their memory. */
export function graphWeights(tensors: ReadonlyMap<string, StoredTensor>) {
  const weights = new Map<string, Float32Array>();
  for (const [name, tensor] of tensors) {
    if (!isBuffer(name) || name.includes(".running_")) weights.set(name, toFloat32(tensor));
  }
  return weights;
}
