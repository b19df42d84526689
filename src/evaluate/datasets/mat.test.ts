import { deflateSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { InputError } from "../../errors.js";
import { readMatMatrix } from "./mat.js";

const [UINT8, INT16, UINT16, INT32, UINT32, DOUBLE, MATRIX, COMPRESSED] = [
  2, 3, 4, 5, 6, 9, 14, 15,
];
/** MATLAB's class of 16-bit matrices without sign. */
const UINT16_CLASS = 11;

/** Writes .mat files byte by byte, in either byte order. */
class Writer {
  constructor(readonly little: boolean) {}

  u32(...values: number[]): Uint8Array {
    const bytes = new Uint8Array(4 * values.length);
    const view = new DataView(bytes.buffer);
    values.forEach((value, i) => {
      view.setUint32(4 * i, value >>> 0, this.little);
    });
    return bytes;
  }

  u16(...values: number[]): Uint8Array {
    const bytes = new Uint8Array(2 * values.length);
    const view = new DataView(bytes.buffer);
    values.forEach((value, i) => {
      view.setUint16(2 * i, value & 0xffff, this.little);
    });
    return bytes;
  }

  f64(...values: number[]): Uint8Array {
    const bytes = new Uint8Array(8 * values.length);
    const view = new DataView(bytes.buffer);
    values.forEach((value, i) => {
      view.setFloat64(8 * i, value, this.little);
    });
    return bytes;
  }

  element(type: number, data: Uint8Array): Uint8Array {
    const padded = type === COMPRESSED ? data.length : Math.ceil(data.length / 8) * 8;
    const bytes = new Uint8Array(8 + padded);
    bytes.set(this.u32(type, data.length));
    bytes.set(data, 8);
    return bytes;
  }

  /** At most four bytes, in the tag itself. */
  small(type: number, data: Uint8Array): Uint8Array {
    const bytes = new Uint8Array(8);
    bytes.set(this.u32((data.length << 16) | type));
    bytes.set(data, 4);
    return bytes;
  }

  matrix(
    name: string,
    rows: number,
    columns: number,
    data: Uint8Array,
    { matlabClass = UINT16_CLASS, sizes = [rows, columns] } = {},
  ): Uint8Array {
    const letters = new TextEncoder().encode(name);
    return this.element(
      MATRIX,
      joined(
        this.element(UINT32, this.u32(matlabClass, 0)),
        this.element(INT32, this.u32(...sizes)),
        letters.length <= 4 ? this.small(1, letters) : this.element(1, letters),
        data,
      ),
    );
  }

  file(...elements: Uint8Array[]): Uint8Array {
    const header = new Uint8Array(128).fill(32);
    header.set(this.u16(0x0100, 0x4d49), 124); // "MI", in the file's order
    return joined(header, ...elements);
  }

  compressed(element: Uint8Array): Uint8Array {
    return this.element(COMPRESSED, deflateSync(element));
  }
}

function joined(...parts: Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

const read = (bytes: Uint8Array) => readMatMatrix(bytes, "LabelMap", "2008_000002.mat");
const little = new Writer(true);
/** 2 rows of 3: 1 2 300 / 4 5 459, down the columns. */
const VALUES = [1, 4, 2, 5, 300, 459];
const EXPECTED = { width: 3, height: 2, map: Uint16Array.of(1, 2, 300, 4, 5, 459) };

describe(".mat files of level 5", () => {
  it.each([true, false])(
    "are read in both byte orders, compressed or not (little: %s)",
    (order) => {
      const writer = new Writer(order);
      const matrix = writer.matrix("LabelMap", 2, 3, writer.element(UINT16, writer.u16(...VALUES)));
      expect(read(writer.file(matrix))).toEqual(EXPECTED);
      expect(read(writer.file(writer.compressed(matrix)))).toEqual(EXPECTED);
    },
  );

  it("are read whatever type the values are stored in, and past other variables", () => {
    const doubles = little.matrix("LabelMap", 2, 3, little.element(DOUBLE, little.f64(...VALUES)), {
      matlabClass: 6,
    });
    const other = little.matrix("map", 1, 1, little.small(UINT8, Uint8Array.of(7)));
    const empty = little.element(MATRIX, new Uint8Array(0));
    const file = little.file(little.compressed(other), empty, other, little.compressed(doubles));
    expect(read(file)).toEqual(EXPECTED);
    const narrow = little.matrix("LabelMap", 1, 3, little.small(UINT8, Uint8Array.of(9, 8, 255)));
    expect(read(little.file(narrow))).toEqual({
      width: 3,
      height: 1,
      map: Uint16Array.of(9, 8, 255),
    });
  });

  const label = little.element(UINT16, little.u16(...VALUES));
  const map = little.matrix("LabelMap", 2, 3, label);
  const patched = (at: number, ...bytes: number[]) => {
    const file = little.file(map);
    file.set(bytes, at);
    return file;
  };
  const bomb = () =>
    little.element(COMPRESSED, deflateSync(new Uint8Array(2 ** 24 * 8 + 8192), { level: 1 }));
  it.each<[string, () => Uint8Array, RegExp]>([
    ["a short file", () => new Uint8Array(100), /too short/],
    ["another file", () => new Uint8Array(300), /no \.mat file of level 5.*-v7/],
    ["version 7.3", () => patched(124, 0, 2), /7\.3 \(HDF5\); save it with -v7/],
    ["an unknown version", () => patched(124, 9, 9), /unknown version/],
    [
      "no such variable",
      () => little.file(little.matrix("Map", 2, 3, label)),
      /no variable LabelM/,
    ],
    ["a file without variables", () => little.file(), /no variable LabelMap/],
    ["a file cut off in a tag", () => little.file(map).subarray(0, 132), /within a tag/],
    ["a file cut off in values", () => little.file(map).subarray(0, 190), /goes past its end/],
    ["a length past the end", () => patched(132, 255, 255, 255, 127), /goes past its end/],
    ["damaged compression", () => little.file(little.element(COMPRESSED, label)), /damaged/],
    [
      "compression that ends early",
      () => little.file(little.compressed(map).subarray(0, 60)),
      /past/,
    ],
    ["a bomb", () => little.file(bomb()), /inflates to more than/],
    [
      "three dimensions",
      () => little.file(little.matrix("LabelMap", 2, 3, label, { sizes: [2, 3, 1] })),
      /not two dimensions/,
    ],
    [
      "gigantic dimensions",
      () => little.file(little.matrix("LabelMap", 2 ** 30, 2 ** 30, label)),
      /has 1073741824 x 1073741824 values/,
    ],
    [
      "negative dimensions",
      () => little.file(little.matrix("LabelMap", -2, -3, label)),
      /has -2 x -3 values/,
    ],
    [
      "text instead of numbers",
      () => little.file(little.matrix("LabelMap", 2, 3, label, { matlabClass: 4 })),
      /no matrix of real numbers/,
    ],
    [
      "complex numbers",
      () => little.file(little.matrix("LabelMap", 2, 3, label, { matlabClass: 0x80b })),
      /no matrix of real numbers/,
    ],
    [
      "fewer values than its size says",
      () => little.file(little.matrix("LabelMap", 2, 4, label)),
      /12 bytes of type 4 for 2 x 4/,
    ],
    [
      "negative labels",
      () =>
        little.file(
          little.matrix("LabelMap", 1, 3, little.element(INT16, little.u16(1, -3 & 0xffff, 2))),
        ),
      /value -3 at x 1, y 0/,
    ],
    [
      "fractions",
      () =>
        little.file(little.matrix("LabelMap", 1, 2, little.element(DOUBLE, little.f64(1, 0.5)))),
      /value 0.5 at x 1, y 0/,
    ],
    [
      "too many variables",
      () => little.file(...Array.from({ length: 17 }, () => little.matrix("a", 2, 3, label))),
      /more than 16 variables/,
    ],
  ])("refuses %s", (_, file, message) => {
    let fault: unknown;
    try {
      read(file());
    } catch (error) {
      fault = error;
    }
    expect(fault).toBeInstanceOf(InputError);
    expect((fault as Error).message).toMatch(message);
    expect((fault as Error).message).toMatch(/^2008_000002\.mat: .*; /);
  });

  it("whatever is changed, gives a matrix or an InputError", () => {
    const files = [little.file(map), little.file(little.compressed(map))];
    const changes = fc.array(fc.tuple(fc.nat(199), fc.nat(255)), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(fc.nat(1), changes, fc.nat(200), (which, list, length) => {
        const file = Uint8Array.from(files[which]!);
        for (const [at, value] of list) file[100 + (at % (file.length - 100))] = value;
        try {
          const { width, height, map } = read(file.subarray(0, 50 + length));
          expect(map).toHaveLength(width * height);
        } catch (error) {
          expect(error).toBeInstanceOf(InputError);
        }
      }),
      { seed: 1, numRuns: 2000 },
    );
  });
});
