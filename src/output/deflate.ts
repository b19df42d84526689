// A zlib compressor for label maps. Node's and the browsers' own compressors differ from version to
// version; this one is integer arithmetic only, so a mask file has the same bytes wherever it is made.
//
// A label map repeats itself at two places only: the value just before, and the row above (shifted a
// little along a slanted edge). So matches are sought at a handful of given distances, which is
// faster than a general search and loses nothing, and coded with dynamic Huffman codes (RFC 1951).

const MAX_MATCH = 258;
const MAX_DISTANCE = 32768;
const TOKENS_PER_BLOCK = 1 << 16;

// RFC 1951, section 3.2.5: first length and extra bits of codes 257 to 285, the same for distances.
const LENGTH_BASE = [
  3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131,
  163, 195, 227, 258,
];
const LENGTH_EXTRA = [
  0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0,
];
const DISTANCE_BASE = [
  1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049,
  3073, 4097, 6145, 8193, 12289, 16385, 24577,
];
const CODE_LENGTH_ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
const END_OF_BLOCK = 256;

const LENGTH_CODE = new Uint8Array(MAX_MATCH + 1); // [length] -> code - 257
for (let code = 0, length = 3; length <= MAX_MATCH; length++) {
  if (code + 1 < LENGTH_BASE.length && LENGTH_BASE[code + 1] <= length) code++;
  LENGTH_CODE[length] = code;
}

/**
 * Compresses bytes to a zlib stream (RFC 1950), the same one on every platform.
 * @param distances how far back to look for matches, 1 to 32768, the likeliest first; those
 *   out of range are passed over
 */
export function zlibCompress(bytes: Uint8Array, distances: readonly number[]): Uint8Array {
  const usable = Int32Array.from(distances.filter((d) => d >= 1 && d <= MAX_DISTANCE));
  const out = new BitWriter();
  out.write(0x78, 8); // deflate, window of 32 KiB
  out.write(0xda, 8); // slowest algorithm; makes the header a multiple of 31
  const tokens = new Uint32Array(TOKENS_PER_BLOCK);
  let position = 0;
  do {
    let count = 0;
    while (position < bytes.length && count < TOKENS_PER_BLOCK) {
      let length = 0;
      let distance = 0;
      const limit = Math.min(MAX_MATCH, bytes.length - position);
      for (let k = 0; k < usable.length && length < limit; k++) {
        const from = position - usable[k];
        if (from < 0) continue;
        let n = 0;
        while (n < limit && bytes[from + n] === bytes[position + n]) n++;
        if (n > length) {
          length = n;
          distance = usable[k];
        }
      }
      if (length >= 3) {
        tokens[count++] = (length << 15) | (distance - 1);
        position += length;
      } else {
        tokens[count++] = bytes[position++];
      }
    }
    writeBlock(out, tokens.subarray(0, count), position >= bytes.length);
  } while (position < bytes.length);
  out.alignToByte();
  const sum = adler32(bytes);
  for (let shift = 24; shift >= 0; shift -= 8) out.write((sum >>> shift) & 255, 8);
  return out.bytes();
}

/** Adler-32 checksum (RFC 1950, section 9). */
export function adler32(bytes: Uint8Array): number {
  let a = 1;
  let b = 0;
  for (let i = 0; i < bytes.length; ) {
    // 5552 bytes is the longest stretch whose sums stay below 2^32.
    const end = Math.min(i + 5552, bytes.length);
    for (; i < end; i++) {
      a += bytes[i];
      b += a;
    }
    a %= 65521;
    b %= 65521;
  }
  return ((b << 16) | a) >>> 0;
}

/** Bits from the lowest up, as deflate packs them, into a buffer that grows. */
class BitWriter {
  private buffer = new Uint8Array(4096);
  private length = 0;
  private held = 0;
  private heldBits = 0;

  /** Appends the lowest `bits` (at most 16) bits of `value`. */
  write(value: number, bits: number): void {
    this.held |= value << this.heldBits;
    this.heldBits += bits;
    while (this.heldBits >= 8) {
      if (this.length === this.buffer.length) {
        const larger = new Uint8Array(this.buffer.length * 2);
        larger.set(this.buffer);
        this.buffer = larger;
      }
      this.buffer[this.length++] = this.held & 255;
      this.held >>>= 8;
      this.heldBits -= 8;
    }
  }

  alignToByte(): void {
    if (this.heldBits > 0) this.write(0, 8 - this.heldBits);
  }

  bytes(): Uint8Array {
    return this.buffer.slice(0, this.length);
  }
}

function distanceCode(distance: number): number {
  if (distance <= 4) return distance - 1;
  const top = 31 - Math.clz32(distance - 1); // position of the highest bit
  return 2 * top + (((distance - 1) >> (top - 1)) & 1);
}

function writeBlock(out: BitWriter, tokens: Uint32Array, last: boolean): void {
  const literalCounts = new Uint32Array(286);
  const distanceCounts = new Uint32Array(30);
  literalCounts[END_OF_BLOCK] = 1;
  for (let i = 0; i < tokens.length; i++) {
    const length = tokens[i] >>> 15;
    if (length === 0) literalCounts[tokens[i]]++;
    else {
      literalCounts[257 + LENGTH_CODE[length]]++;
      distanceCounts[distanceCode((tokens[i] & 0x7fff) + 1)]++;
    }
  }
  const literalLengths = codeLengths(literalCounts, 15);
  const distanceLengths = codeLengths(distanceCounts, 15);
  out.write(last ? 1 : 0, 1);
  out.write(2, 2); // dynamic Huffman codes
  writeCodeLengths(out, literalLengths, distanceLengths);

  const literalCodes = canonicalCodes(literalLengths);
  const distanceCodes = canonicalCodes(distanceLengths);
  for (let i = 0; i < tokens.length; i++) {
    const length = tokens[i] >>> 15;
    if (length === 0) {
      out.write(literalCodes[tokens[i]], literalLengths[tokens[i]]);
      continue;
    }
    const lengthCode = LENGTH_CODE[length];
    out.write(literalCodes[257 + lengthCode], literalLengths[257 + lengthCode]);
    out.write(length - LENGTH_BASE[lengthCode], LENGTH_EXTRA[lengthCode]);
    const distance = (tokens[i] & 0x7fff) + 1;
    const code = distanceCode(distance);
    out.write(distanceCodes[code], distanceLengths[code]);
    out.write(distance - DISTANCE_BASE[code], Math.max(0, (code >> 1) - 1));
  }
  out.write(literalCodes[END_OF_BLOCK], literalLengths[END_OF_BLOCK]);
}

// RFC 1951, section 3.2.7: both sets of code lengths, run-length coded, then Huffman coded.
function writeCodeLengths(out: BitWriter, literals: Uint8Array, distances: Uint8Array): void {
  let literalEnd = literals.length;
  while (literalEnd > 257 && literals[literalEnd - 1] === 0) literalEnd--;
  let distanceEnd = distances.length;
  while (distanceEnd > 1 && distances[distanceEnd - 1] === 0) distanceEnd--;
  const lengths = [...literals.subarray(0, literalEnd), ...distances.subarray(0, distanceEnd)];

  const symbols: [symbol: number, extra: number, extraBits: number][] = [];
  for (let i = 0; i < lengths.length; ) {
    const value = lengths[i];
    let run = 1;
    while (i + run < lengths.length && lengths[i + run] === value) run++;
    if (value === 0 && run >= 3) {
      run = Math.min(run, 138);
      symbols.push(run <= 10 ? [17, run - 3, 3] : [18, run - 11, 7]);
    } else if (run >= 4) {
      run = Math.min(run, 7);
      symbols.push([value, 0, 0], [16, run - 4, 2]);
    } else {
      run = 1;
      symbols.push([value, 0, 0]);
    }
    i += run;
  }
  const counts = new Uint32Array(19);
  for (const [symbol] of symbols) counts[symbol]++;
  const symbolLengths = codeLengths(counts, 7);
  const symbolCodes = canonicalCodes(symbolLengths);
  let orderEnd = CODE_LENGTH_ORDER.length;
  while (orderEnd > 4 && symbolLengths[CODE_LENGTH_ORDER[orderEnd - 1]] === 0) orderEnd--;

  out.write(literalEnd - 257, 5);
  out.write(distanceEnd - 1, 5);
  out.write(orderEnd - 4, 4);
  for (let i = 0; i < orderEnd; i++) out.write(symbolLengths[CODE_LENGTH_ORDER[i]], 3);
  for (const [symbol, extra, extraBits] of symbols) {
    out.write(symbolCodes[symbol], symbolLengths[symbol]);
    out.write(extra, extraBits);
  }
}

/** Huffman code lengths for symbols with these counts, none longer than `limit`; 0 = not used. */
function codeLengths(counts: Uint32Array, limit: number): Uint8Array {
  const lengths = new Uint8Array(counts.length);
  const used: number[] = [];
  for (let symbol = 0; symbol < counts.length; symbol++) if (counts[symbol] > 0) used.push(symbol);
  // Decoders differ on whether a code of one or no symbol may be incomplete: two are always fine.
  for (let symbol = 0; used.length < 2; symbol++) if (!used.includes(symbol)) used.push(symbol);
  used.sort((a, b) => counts[a] - counts[b] || a - b);

  // Two queues: the leaves by count, and the joined nodes, which come out in rising order.
  const n = used.length;
  const weight = new Float64Array(2 * n - 1);
  const parent = new Int32Array(2 * n - 1);
  for (let i = 0; i < n; i++) weight[i] = counts[used[i]];
  let leaf = 0;
  let joined = n;
  for (let node = n; node < 2 * n - 1; node++) {
    for (let child = 0; child < 2; child++) {
      const takeLeaf = leaf < n && (joined >= node || weight[leaf] <= weight[joined]);
      const taken = takeLeaf ? leaf++ : joined++;
      parent[taken] = node;
      weight[node] += weight[taken];
    }
  }
  const depth = new Int32Array(2 * n - 1);
  const perLength = new Int32Array(limit + 1);
  for (let node = 2 * n - 3; node >= 0; node--) {
    depth[node] = depth[parent[node]] + 1;
    if (node < n) perLength[Math.min(depth[node], limit)]++;
  }
  // Cutting at the limit overfills the code; lengthen short codes until it is exactly full again.
  let fill = 0;
  for (let length = 1; length <= limit; length++) fill += perLength[length] << (limit - length);
  while (fill > 1 << limit) {
    perLength[limit]--;
    let length = limit - 1;
    while (perLength[length] === 0) length--;
    perLength[length]--;
    perLength[length + 1] += 2;
    fill--;
  }
  let next = 0;
  for (let length = limit; length >= 1; length--) {
    for (let i = 0; i < perLength[length]; i++) lengths[used[next++]] = length;
  }
  return lengths;
}

/** Canonical codes (RFC 1951, section 3.2.2), bits reversed because deflate sends them so. */
function canonicalCodes(lengths: Uint8Array): Uint16Array {
  const codes = new Uint16Array(lengths.length);
  let code = 0;
  for (let length = 1; length <= 15; length++) {
    code <<= 1;
    for (let symbol = 0; symbol < lengths.length; symbol++) {
      if (lengths[symbol] !== length) continue;
      let reversed = 0;
      for (let bit = 0; bit < length; bit++) reversed |= ((code >> bit) & 1) << (length - 1 - bit);
      codes[symbol] = reversed;
      code++;
    }
  }
  return codes;
}
