// A small reader of MATLAB's level 5 .mat files: finds one matrix of whole numbers, such as the label maps
// of PASCAL Context. The bytes are hostile: every size is checked against what is left before it is used.

import { inflateSync } from "node:zlib";
import { InputError } from "../../errors.js";

const HEADER_BYTES = 128;
const MAX_PIXELS = 2 ** 24;
/** Of one compressed variable: the largest matrix of doubles, and its header. */
const MAX_INFLATED_BYTES = 8 * MAX_PIXELS + 4096;
/** A file with a label map has one variable; a bound on what others can make us inflate. */
const MAX_VARIABLES = 16;

/** Data types of elements. */
const INT8 = 1;
const MATRIX = 14;
const COMPRESSED = 15;

/** Bytes and reader of each numeric data type. */
const NUMERIC: Readonly<
  Record<number, [size: number, read: (view: DataView, at: number, little: boolean) => number]>
> = {
  1: [1, (view, at) => view.getInt8(at)],
  2: [1, (view, at) => view.getUint8(at)],
  3: [2, (view, at, little) => view.getInt16(at, little)],
  4: [2, (view, at, little) => view.getUint16(at, little)],
  5: [4, (view, at, little) => view.getInt32(at, little)],
  6: [4, (view, at, little) => view.getUint32(at, little)],
  7: [4, (view, at, little) => view.getFloat32(at, little)],
  9: [8, (view, at, little) => view.getFloat64(at, little)],
  12: [8, (view, at, little) => Number(view.getBigInt64(at, little))],
  13: [8, (view, at, little) => Number(view.getBigUint64(at, little))],
};

/** A matrix of whole numbers. */
export interface MatMatrix {
  /** Columns. */
  readonly width: number;
  /** Rows. */
  readonly height: number;
  /** `height * width` values, row-major. */
  readonly map: Uint16Array;
}

type Fail = (fault: string) => never;

/** One data element: its type and its bytes. */
interface Element {
  readonly type: number;
  readonly view: DataView;
  /** Where the next one begins, in the bytes that held this one. */
  readonly end: number;
}

/**
 * Reads a matrix by name.
 *
 * @param label names the file in messages
 * @throws InputError where the file is damaged, of another version, lacks the variable, or the variable
 *   is no matrix of whole numbers from 0 to 65,535
 */
export function readMatMatrix(bytes: Uint8Array, variable: string, label: string): MatMatrix {
  const fail: Fail = (fault) => {
    throw new InputError(`${label}: ${fault}`);
  };
  const little = byteOrder(bytes, fail);
  const whole = viewOf(bytes, 0, bytes.length);
  let at = HEADER_BYTES;
  for (let found = 0; at < bytes.length; found++) {
    if (found === MAX_VARIABLES)
      fail(`more than ${MAX_VARIABLES} variables; save the matrix alone`);
    let element = readElement(whole, at, little, fail);
    // A compressed variable is not padded; all else ends at 8 bytes.
    at = element.end;
    if (element.type === COMPRESSED) {
      at = element.view.byteOffset + element.view.byteLength - bytes.byteOffset;
      const inflated = inflate(element.view, fail);
      element = readElement(viewOf(inflated, 0, inflated.length), 0, little, fail);
    }
    if (element.type !== MATRIX) continue;
    const matrix = readMatrix(element.view, variable, little, fail);
    if (matrix !== undefined) return matrix;
  }
  return fail(`it has no variable ${variable}; fetch the file again`);
}

function byteOrder(bytes: Uint8Array, fail: Fail): boolean {
  if (bytes.length < HEADER_BYTES) return fail("too short for a .mat file; fetch it again");
  const mark = String.fromCharCode(bytes[126]!, bytes[127]!);
  if (mark !== "IM" && mark !== "MI") {
    return fail("it is no .mat file of level 5; save it with -v7");
  }
  const little = mark === "IM";
  const version = viewOf(bytes, 0, HEADER_BYTES).getUint16(124, little);
  if (version === 0x0200) return fail("it is of version 7.3 (HDF5); save it with -v7");
  if (version !== 0x0100) return fail(`unknown version ${version}; save it with -v7`);
  return little;
}

function viewOf(bytes: Uint8Array, from: number, length: number): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset + from, length);
}

function readElement(view: DataView, at: number, little: boolean, fail: Fail): Element {
  if (at + 8 > view.byteLength) return fail(`it ends at byte ${at}, within a tag; fetch it again`);
  const first = view.getUint32(at, little);
  // Up to four bytes may stand in the tag itself, with their length in its upper half.
  const small = first >>> 16;
  const type = small > 0 ? first & 0xffff : first;
  const length = small > 0 ? small : view.getUint32(at + 4, little);
  const start = small > 0 ? at + 4 : at + 8;
  if (small > 4 || start + length > view.byteLength) {
    return fail(`an element of ${length} bytes at byte ${at} goes past its end; fetch it again`);
  }
  const end = small > 0 ? at + 8 : start + Math.ceil(length / 8) * 8;
  return { type, view: new DataView(view.buffer, view.byteOffset + start, length), end };
}

function inflate(view: DataView, fail: Fail): Uint8Array {
  const packed = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  try {
    return inflateSync(packed, { maxOutputLength: MAX_INFLATED_BYTES });
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE"
      ? fail(`a variable inflates to more than ${MAX_INFLATED_BYTES} bytes; fetch it again`)
      : fail(`its compressed data is damaged (${(error as Error).message}); fetch it again`);
  }
}

/** The matrix of an element; undefined where it is another variable. */
function readMatrix(
  view: DataView,
  variable: string,
  little: boolean,
  fail: Fail,
): MatMatrix | undefined {
  if (view.byteLength === 0) return undefined; // an empty array
  const flags = readElement(view, 0, little, fail);
  const sizes = readElement(view, flags.end, little, fail);
  const name = readElement(view, sizes.end, little, fail);
  if (flags.type !== 6 || flags.view.byteLength !== 8 || name.type !== INT8) {
    return fail("a variable has no flags or name; fetch it again");
  }
  if (text(name.view) !== variable) return undefined;
  const word = flags.view.getUint32(0, little);
  const matlabClass = word & 0xff;
  // 6 to 15 are double, single and the integers; the bit 0x800 marks complex numbers.
  if (matlabClass < 6 || matlabClass > 15 || (word & 0x800) !== 0) {
    return fail(`${variable} is no matrix of real numbers (class ${matlabClass}); fetch it again`);
  }
  if (sizes.type !== 5 || sizes.view.byteLength !== 8) {
    return fail(`${variable} has not two dimensions; fetch it again`);
  }
  const height = sizes.view.getInt32(0, little);
  const width = sizes.view.getInt32(4, little);
  if (height < 1 || width < 1 || height * width > MAX_PIXELS) {
    return fail(`${variable} has ${height} x ${width} values; 1 to ${MAX_PIXELS} are read`);
  }
  const data = readElement(view, name.end, little, fail);
  const map = readValues(data, variable, width, height, little, fail);
  return { width, height, map };
}

function text(view: DataView): string {
  const bytes = new Uint8Array(view.buffer, view.byteOffset, Math.min(view.byteLength, 64));
  return String.fromCharCode(...bytes);
}

/** Values stand down the columns; a type may be narrower than the variable's class. */
function readValues(
  data: Element,
  variable: string,
  width: number,
  height: number,
  little: boolean,
  fail: Fail,
): Uint16Array {
  const numeric = NUMERIC[data.type];
  if (numeric === undefined || data.view.byteLength !== numeric[0] * width * height) {
    return fail(
      `${variable} has ${data.view.byteLength} bytes of type ${data.type} for ${height} x ${width} ` +
        "values; fetch it again",
    );
  }
  const [size, read] = numeric;
  const map = new Uint16Array(width * height);
  for (let x = 0, at = 0; x < width; x++) {
    for (let y = 0; y < height; y++, at += size) {
      const value = read(data.view, at, little);
      if (!Number.isInteger(value) || value < 0 || value > 65535) {
        return fail(`${variable} has the value ${value} at x ${x}, y ${y}; labels are 0 to 65535`);
      }
      map[y * width + x] = value;
    }
  }
  return map;
}
