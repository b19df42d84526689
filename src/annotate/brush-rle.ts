// Label Studio's run-length encoding of brush masks, a bit stream: 32 bits for the number of values, 5
// for the bits of a value less one, four times 4 for the widths of run lengths less one. Then blocks:
// a bit that is 1 for a run and 0 for single values, 2 bits that choose one of the four widths, the
// length less one in that width, and the value, or as many values as the length says. All numbers
// have their highest bit first; zeros fill the last byte.
//
// The values are the bytes of an RGBA picture; what is inside has an alpha above 0.

import { InputError } from "../errors.js";

const WORD_BITS = 8;
const LENGTH_BITS = [3, 4, 8, 16] as const;
const CHANNELS = 4;
const INSIDE = 255;

/** Packs runs of equal bytes. */
export function packRuns(runs: Iterable<readonly [value: number, length: number]>): Uint8Array {
  const out = new BitWriter();
  out.write(0, 32); // the number of values, once it is known
  out.write(WORD_BITS - 1, 5);
  for (const bits of LENGTH_BITS) out.write(bits - 1, 4);
  let values = 0;
  for (const [value, length] of runs) {
    values += length;
    for (let rest = length; rest > 0; ) {
      const part = Math.min(rest, 2 ** 16);
      const kind = LENGTH_BITS.findIndex((bits) => part <= 2 ** bits);
      out.write(part === 1 ? 0 : 1, 1);
      out.write(kind, 2);
      out.write(part - 1, LENGTH_BITS[kind]);
      out.write(value, WORD_BITS);
      rest -= part;
    }
  }
  const bytes = out.bytes();
  new DataView(bytes.buffer).setUint32(0, values);
  return bytes;
}

/**
 * Visits the runs of packed bytes, single values as runs of one.
 *
 * @param values how many values there have to be
 * @throws InputError for another number of values, values of other than 8 bits, or an early end
 */
export function unpackRuns(
  bytes: ArrayLike<number>,
  values: number,
  visit: (value: number, from: number, to: number) => void,
): void {
  const bits = new BitReader(bytes);
  const count = bits.read(16) * 2 ** 16 + bits.read(16);
  if (count !== values) {
    throw new InputError(
      `Brush RLE of ${count} values: the picture has ${values}, four a pixel; export it again`,
    );
  }
  const wordBits = bits.read(5) + 1;
  if (wordBits !== WORD_BITS) {
    throw new InputError(`Brush RLE with values of ${wordBits} bits; give one with 8 bits`);
  }
  const lengthBits = LENGTH_BITS.map(() => bits.read(4) + 1);
  for (let at = 0; at < values; ) {
    const isRun = bits.read(1) === 1;
    const end = at + 1 + bits.read(lengthBits[bits.read(2)]);
    if (end > values) {
      throw new InputError(`Brush RLE goes beyond its ${values} values; export it again`);
    }
    if (isRun) {
      visit(bits.read(WORD_BITS), at, end);
      at = end;
    }
    for (; at < end; at++) visit(bits.read(WORD_BITS), at, at + 1);
  }
}

/**
 * Packs a mask.
 *
 * @param spans `from, to` of each stretch of pixels inside, counted row by row, in order
 * @param pixels of the whole picture
 */
export function packBrush(spans: readonly number[], pixels: number): Uint8Array {
  const runs: [value: number, length: number][] = [];
  let end = 0;
  for (let i = 0; i < spans.length; i += 2) {
    runs.push([0, (spans[i] - end) * CHANNELS], [INSIDE, (spans[i + 1] - spans[i]) * CHANNELS]);
    end = spans[i + 1];
  }
  runs.push([0, (pixels - end) * CHANNELS]);
  return packRuns(runs);
}

/**
 * Visits the stretches of pixels inside a packed mask.
 *
 * @throws InputError as `unpackRuns` does
 */
export function unpackBrush(
  bytes: ArrayLike<number>,
  pixels: number,
  visit: (from: number, to: number) => void,
): void {
  unpackRuns(bytes, pixels * CHANNELS, (value, from, to) => {
    // Alpha is the last of the four: that of pixel p is value 4 p + 3.
    const [first, end] = [Math.floor(from / CHANNELS), Math.floor(to / CHANNELS)];
    if (value > 0 && first < end) visit(first, end);
  });
}

class BitWriter {
  private buffer = new Uint8Array(1024);
  private length = 0; // bits

  write(value: number, bits: number): void {
    if (this.length + bits > 8 * this.buffer.length) {
      const larger = new Uint8Array(2 * this.buffer.length);
      larger.set(this.buffer);
      this.buffer = larger;
    }
    for (let bit = bits - 1; bit >= 0; bit--, this.length++) {
      this.buffer[this.length >> 3] |= ((value >>> bit) & 1) << (7 - (this.length & 7));
    }
  }

  bytes(): Uint8Array {
    return this.buffer.slice(0, Math.ceil(this.length / 8));
  }
}

class BitReader {
  private at = 0; // bits

  constructor(private readonly bytes: ArrayLike<number>) {}

  read(bits: number): number {
    if (this.at + bits > 8 * this.bytes.length) {
      throw new InputError("Brush RLE ends too early; export it again");
    }
    let value = 0;
    for (let end = this.at + bits; this.at < end; this.at++) {
      value = (value << 1) | ((this.bytes[this.at >> 3] >> (7 - (this.at & 7))) & 1);
    }
    return value;
  }
}
