import { inflateSync } from "node:zlib";
import fc from "fast-check";
import { expect, test } from "vitest";
import { adler32, zlibCompress } from "./deflate.js";

test("whatever goes in comes out of zlib's own inflate", () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 3000 }),
      fc.array(fc.integer({ min: -5, max: 40000 }), { maxLength: 4 }),
      fc.integer({ min: 1, max: 255 }),
      (bytes, distances, modulus) => {
        const input = bytes.map((byte) => byte % modulus);
        expect(new Uint8Array(inflateSync(zlibCompress(input, distances)))).toEqual(input);
      },
    ),
    { seed: 1, numRuns: 300 },
  );
});

test("every match length and the longest distance survive", () => {
  const parts: number[] = [];
  for (let length = 1; length <= 600; length++) {
    for (let i = 0; i < length; i++) parts.push(length & 255);
    parts.push((length * 7) & 255);
  }
  const once = Uint8Array.from(parts).subarray(0, 32768);
  const input = new Uint8Array(3 * 32768 + 77);
  for (let i = 0; i < input.length; i++) input[i] = once[i % 32768];
  const packed = zlibCompress(input, [1, 32768]);
  expect(new Uint8Array(inflateSync(packed))).toEqual(input);
  expect(packed.length).toBeLessThan(input.length / 20);
});

test("codes longer than deflate allows are cut and still decode", () => {
  // Fibonacci counts make the deepest Huffman tree: 22 symbols would need 21 bits, the limit is 15.
  const input: number[] = [];
  for (let symbol = 0, a = 1, b = 1; symbol < 22; symbol++) {
    for (let i = 0; i < a; i++) input.push(symbol);
    [a, b] = [b, a + b];
  }
  const bytes = Uint8Array.from(input);
  expect(new Uint8Array(inflateSync(zlibCompress(bytes, [])))).toEqual(bytes);
});

test("more than one block, and no byte at all", () => {
  const bytes = new Uint8Array(200_000).map((_, i) => (Math.imul(i, 2654435761) >>> 24) & 255);
  expect(new Uint8Array(inflateSync(zlibCompress(bytes, [1])))).toEqual(bytes);
  expect(inflateSync(zlibCompress(new Uint8Array(0), [1])).length).toBe(0);
});

test("Adler-32 of the RFC's well-known text, and without overflow", () => {
  expect(adler32(new TextEncoder().encode("Wikipedia"))).toBe(0x11e60398);
  const n = 1_000_000;
  let a = 1n;
  let b = 0n;
  for (let i = 0; i < n; i++) {
    a = (a + 255n) % 65521n;
    b = (b + a) % 65521n;
  }
  expect(adler32(new Uint8Array(n).fill(255))).toBe(Number(b * 65536n + a));
});
