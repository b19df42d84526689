// The safetensors format: a JSON header (names, types, shapes, byte ranges), then the raw tensors.
// Reads views into the given bytes; writes chunks that need no second copy of the weights.

import { CheckpointError } from "../errors.js";
import { BYTES_PER_ELEMENT, elementCount } from "./dtypes.js";
import { quote } from "./quote.js";
import type { StoredTensor, TensorDType, TensorMap } from "./tensors.js";

/** The reference implementation's limit for the JSON header, in bytes. */
const MAX_HEADER_BYTES = 100_000_000;
const MAX_DIMENSIONS = 64;

export interface Safetensors {
  /** Views into the bytes that were read. */
  tensors: TensorMap;
  /** The free texts of the header's `__metadata__`. */
  metadata: Record<string, string>;
}

/**
 * Reads a whole safetensors file.
 *
 * The header must describe every byte once: no overlap, no hole, no lying size.
 *
 * @param bytes the file; the tensors returned are views into it
 * @throws CheckpointError for anything else than a sound safetensors file with known element types
 */
export function readSafetensors(bytes: Uint8Array): Safetensors {
  if (bytes.byteLength < 8) {
    throw damaged(`it has ${bytes.byteLength} bytes, fewer than the 8 of the header's length`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const headerLength = view.getBigUint64(0, true);
  if (headerLength > BigInt(MAX_HEADER_BYTES)) {
    throw damaged(`its header claims ${headerLength} bytes, more than ${MAX_HEADER_BYTES}`);
  }
  const dataStart = 8 + Number(headerLength);
  if (dataStart > bytes.byteLength) {
    throw damaged(
      `its header ends at byte ${dataStart}, but it has only ${bytes.byteLength} bytes`,
    );
  }

  const header = parseHeader(bytes.subarray(8, dataStart));
  const data = bytes.subarray(dataStart);
  const metadata: Record<string, string> = Object.create(null);
  const entries: { name: string; begin: number; end: number; tensor: StoredTensor }[] = [];
  for (const [name, value] of Object.entries(header)) {
    if (name === "__metadata__") {
      readMetadata(value, metadata);
      continue;
    }
    const { dtype, shape, begin, end } = readEntry(name, value, data.byteLength);
    entries.push({ name, begin, end, tensor: { dtype, shape, bytes: data.subarray(begin, end) } });
  }

  entries.sort((a, b) => a.begin - b.begin || a.end - b.end);
  let next = 0;
  const tensors: TensorMap = new Map();
  for (const { name, begin, end, tensor } of entries) {
    if (begin !== next) {
      const fault = begin < next ? "overlaps the tensor before it" : "leaves a hole before it";
      throw damaged(`tensor ${quote(name)} at byte ${begin} ${fault} (which ends at ${next})`);
    }
    next = end;
    tensors.set(name, tensor);
  }
  if (next !== data.byteLength) {
    throw damaged(`its tensors end at byte ${next}, but ${data.byteLength} bytes of data follow`);
  }
  return { tensors, metadata: { ...metadata } };
}

/**
 * The bytes of a safetensors file. Tensors with larger elements come first, so that each is aligned;
 * otherwise the map's order is kept.
 */
export function writeSafetensors(
  tensors: TensorMap,
  metadata: Record<string, string> = { format: "pt" },
): Uint8Array {
  const chunks = safetensorsChunks(tensors, metadata);
  const out = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0));
  let offset = 0;
  for (const chunk of chunks) {
    out.set(chunk, offset);
    offset += chunk.byteLength;
  }
  return out;
}

/** The pieces of a safetensors file in order: header, then the tensors' own bytes (not copied). */
export function safetensorsChunks(
  tensors: TensorMap,
  metadata: Record<string, string> = { format: "pt" },
): Uint8Array[] {
  const ordered = [...tensors].sort(
    ([, a], [, b]) => BYTES_PER_ELEMENT[b.dtype] - BYTES_PER_ELEMENT[a.dtype],
  );
  // Built as pairs: a tensor named "__proto__" must not disappear.
  const fields = [`"__metadata__":${JSON.stringify(metadata)}`];
  const chunks: Uint8Array[] = [];
  let offset = 0;
  for (const [name, { dtype, shape, bytes }] of ordered) {
    const expected = elementCount(shape, name) * BYTES_PER_ELEMENT[dtype];
    if (name === "__metadata__" || bytes.byteLength !== expected) {
      throw new CheckpointError(
        `Tensor ${quote(name)} cannot be written: ${bytes.byteLength} bytes do not fit ${dtype} ` +
          `[${shape.join(", ")}] (${expected} bytes), or the name is reserved; mend the tensor`,
      );
    }
    const end = offset + bytes.byteLength;
    const entry = { dtype, shape, data_offsets: [offset, end] };
    fields.push(`${JSON.stringify(name)}:${JSON.stringify(entry)}`);
    chunks.push(bytes);
    offset = end;
  }
  const json = new TextEncoder().encode(`{${fields.join(",")}}`);
  const padded = Math.ceil(json.byteLength / 8) * 8;
  if (padded > MAX_HEADER_BYTES) {
    throw new CheckpointError(
      `The header of ${tensors.size} tensors has ${padded} bytes, more than ${MAX_HEADER_BYTES}; ` +
        "write fewer tensors to a file",
    );
  }
  const header = new Uint8Array(8 + padded).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(padded), true);
  header.set(json, 8);
  return [header, ...chunks];
}

function parseHeader(bytes: Uint8Array): object {
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes));
  } catch {
    throw damaged("its header is not valid JSON");
  }
  if (typeof header !== "object" || header === null || Array.isArray(header)) {
    throw damaged("its header is not a JSON object");
  }
  return header;
}

function readMetadata(value: unknown, into: Record<string, string>): void {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw damaged("its __metadata__ is not an object of texts");
  }
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== "string") {
      throw damaged(`its __metadata__ entry ${quote(key)} is not a text`);
    }
    into[key] = text;
  }
}

function readEntry(
  name: string,
  value: unknown,
  dataLength: number,
): { dtype: TensorDType; shape: number[]; begin: number; end: number } {
  const label = `tensor ${quote(name)}`;
  if (typeof value !== "object" || value === null) throw damaged(`${label} is not described`);
  const { dtype, shape, data_offsets: offsets } = value as Record<string, unknown>;
  if (typeof dtype !== "string" || !isWholeNumbers(shape) || !isWholeNumbers(offsets)) {
    throw damaged(`${label} lacks a proper dtype, shape or data_offsets`);
  }
  if (!Object.hasOwn(BYTES_PER_ELEMENT, dtype)) {
    throw new CheckpointError(
      `Checkpoint ${label} has elements of type ${quote(dtype)}, which are not supported; ` +
        "save the weights as F32, F16 or BF16",
    );
  }
  const known = dtype as TensorDType;
  if (shape.length > MAX_DIMENSIONS) throw damaged(`${label} has ${shape.length} dimensions`);
  const [begin, end] = offsets;
  if (offsets.length !== 2 || begin! > end! || end! > dataLength) {
    throw damaged(`${label} claims bytes [${offsets.slice(0, 4).join(", ")}] of ${dataLength}`);
  }
  const expected = elementCount(shape, label) * BYTES_PER_ELEMENT[known];
  if (expected !== end! - begin!) {
    throw damaged(
      `${label} of shape [${shape.join(", ")}] and type ${dtype} needs ${expected} bytes, ` +
        `but ${end! - begin!} are given`,
    );
  }
  return { dtype: known, shape, begin: begin!, end: end! };
}

function isWholeNumbers(value: unknown): value is number[] {
  return (
    Array.isArray(value) &&
    value.every((item) => Number.isSafeInteger(item) && (item as number) >= 0)
  );
}

function damaged(fault: string): CheckpointError {
  return new CheckpointError(
    `The safetensors file is damaged: ${fault}; download or save the checkpoint again`,
  );
}
