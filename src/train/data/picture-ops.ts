// The picture operations of RandAugment and colour jitter, equal to the byte to Pillow's ImageOps,
// ImageEnhance and Image.transform. Each returns a new picture and leaves its input alone.

import type { Picture } from "../../input/picture.js";

/** Puts every byte through its channel's table: one table for all, or three of 256 entries. */
function pointMap(picture: Picture, table: Uint8Array): Picture {
  const { width, height, data } = picture;
  const out = new Uint8Array(data.length);
  if (table.length === 256) {
    for (let i = 0; i < data.length; i++) out[i] = table[data[i]!]!;
  } else {
    for (let i = 0; i < data.length; i += 3) {
      out[i] = table[data[i]!]!;
      out[i + 1] = table[256 + data[i + 1]!]!;
      out[i + 2] = table[512 + data[i + 2]!]!;
    }
  }
  return { width, height, data: out };
}

/** One table for all channels from a function of the byte. */
function byteTable(map: (value: number) => number): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, value) => map(value));
}

/** Counts of every value, channel by channel: [3, 256]. */
function histogram(picture: Picture): Int32Array {
  const { data } = picture;
  const counts = new Int32Array(768);
  for (let i = 0; i < data.length; i += 3) {
    counts[data[i]!]!++;
    counts[256 + data[i + 1]!]!++;
    counts[512 + data[i + 2]!]!++;
  }
  return counts;
}

/** Stretches each channel so that its darkest value becomes 0 and its lightest 255. */
export function autoContrast(picture: Picture): Picture {
  const counts = histogram(picture);
  const table = new Uint8Array(768);
  for (let channel = 0; channel < 3; channel++) {
    const offset = channel * 256;
    let low = 0;
    while (low < 255 && counts[offset + low] === 0) low++;
    let high = 255;
    while (high > 0 && counts[offset + high] === 0) high--;
    for (let value = 0; value < 256; value++) {
      if (high <= low) {
        table[offset + value] = value;
      } else {
        const scale = 255 / (high - low);
        const mapped = Math.trunc(value * scale + -low * scale);
        table[offset + value] = Math.max(0, Math.min(255, mapped));
      }
    }
  }
  return pointMap(picture, table);
}

/** Equalises each channel's histogram. */
export function equalize(picture: Picture): Picture {
  const counts = histogram(picture);
  const table = new Uint8Array(768);
  const pixels = picture.width * picture.height;
  for (let channel = 0; channel < 3; channel++) {
    const offset = channel * 256;
    let last = 255;
    while (last > 0 && counts[offset + last] === 0) last--;
    const step = Math.floor((pixels - counts[offset + last]!) / 255);
    let sum = Math.floor(step / 2);
    for (let value = 0; value < 256; value++) {
      table[offset + value] = step === 0 ? value : Math.min(255, Math.floor(sum / step));
      sum += counts[offset + value]!;
    }
  }
  return pointMap(picture, table);
}

export function invert(picture: Picture): Picture {
  return pointMap(
    picture,
    byteTable((value) => 255 - value),
  );
}

/** Keeps the `bits` highest bits of every value. */
export function posterize(picture: Picture, bits: number): Picture {
  const mask = 255 & ~(2 ** (8 - bits) - 1);
  return pointMap(
    picture,
    byteTable((value) => value & mask),
  );
}

/** Inverts values from `threshold` (0..256) on. */
export function solarize(picture: Picture, threshold: number): Picture {
  return pointMap(
    picture,
    byteTable((value) => (value < threshold ? value : 255 - value)),
  );
}

/** Adds `amount` to values below 128. */
export function solarizeAdd(picture: Picture, amount: number): Picture {
  return pointMap(
    picture,
    byteTable((value) => (value < 128 ? Math.min(255, value + amount) : value)),
  );
}

/** Pillow's blend of two bytes, in its float32 arithmetic: from `a` (factor 0) to `b` (1) and beyond. */
function blend(a: number, b: number, factor: number): number {
  const value = Math.fround(a + Math.fround(factor * (b - a)));
  return value <= 0 ? 0 : value >= 255 ? 255 : Math.trunc(value);
}

/** 1 keeps the picture, 0 is black. */
export function brightness(picture: Picture, factor: number): Picture {
  const alpha = Math.fround(factor);
  return pointMap(
    picture,
    byteTable((value) => blend(0, value, alpha)),
  );
}

/** ITU-R 601 luma in Pillow's fixed point. */
function luma(data: Uint8Array, i: number): number {
  return (data[i]! * 19595 + data[i + 1]! * 38470 + data[i + 2]! * 7471 + 0x8000) >> 16;
}

/** 1 keeps the picture, 0 is the grey of its mean. */
export function contrast(picture: Picture, factor: number): Picture {
  const { data } = picture;
  let sum = 0;
  for (let i = 0; i < data.length; i += 3) sum += luma(data, i);
  const mean = Math.trunc(sum / (data.length / 3) + 0.5);
  const alpha = Math.fround(factor);
  return pointMap(
    picture,
    byteTable((value) => blend(mean, value, alpha)),
  );
}

/** Colour saturation: 1 keeps the picture, 0 is grey. */
export function saturation(picture: Picture, factor: number): Picture {
  const { width, height, data } = picture;
  const out = new Uint8Array(data.length);
  const alpha = Math.fround(factor);
  for (let i = 0; i < data.length; i += 3) {
    const grey = luma(data, i);
    out[i] = blend(grey, data[i]!, alpha);
    out[i + 1] = blend(grey, data[i + 1]!, alpha);
    out[i + 2] = blend(grey, data[i + 2]!, alpha);
  }
  return { width, height, data: out };
}

/** 1 keeps the picture, 0 is smoothed (3 x 3, weight 5 in the middle; the outermost pixels are kept). */
export function sharpness(picture: Picture, factor: number): Picture {
  const { width, height, data } = picture;
  const out = data.slice();
  const alpha = Math.fround(factor);
  const row = width * 3;
  for (let y = 1; y < height - 1; y++) {
    for (let i = y * row + 3; i < (y + 1) * row - 3; i++) {
      const sum =
        data[i - row - 3]! +
        data[i - row]! +
        data[i - row + 3]! +
        data[i - 3]! +
        5 * data[i]! +
        data[i + 3]! +
        data[i + row - 3]! +
        data[i + row]! +
        data[i + row + 3]!;
      out[i] = blend(Math.floor(sum / 13 + 0.5), data[i]!, alpha);
    }
  }
  return { width, height, data: out };
}

/** Mirrors left and right. */
export function flipHorizontally(picture: Picture): Picture {
  const { width, height, data } = picture;
  const out = new Uint8Array(data.length);
  for (let y = 0; y < height; y++) {
    let to = y * width * 3;
    let from = to + (width - 1) * 3;
    for (let x = 0; x < width; x++, to += 3, from -= 3) {
      out[to] = data[from]!;
      out[to + 1] = data[from + 1]!;
      out[to + 2] = data[from + 2]!;
    }
  }
  return { width, height, data: out };
}

/** The rectangle of a picture; it must lie inside. */
export function cropPicture(
  picture: Picture,
  left: number,
  top: number,
  width: number,
  height: number,
): Picture {
  const out = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) {
    const start = ((top + y) * picture.width + left) * 3;
    out.set(picture.data.subarray(start, start + width * 3), y * width * 3);
  }
  return { width, height, data: out };
}

/** Cubic convolution with a = -1, as Pillow's Image.transform has it (its resize has a = -0.5). */
function cubic(v1: number, v2: number, v3: number, v4: number, d: number): number {
  const p2 = -v1 + v3;
  const p3 = 2 * (v1 - v2) + v3 - v4;
  const p4 = -v1 + v2 - v3 + v4;
  return v2 + d * (p2 + d * (p3 + d * p4));
}

/** Coefficients a..f: output pixel (x, y) comes from (a x + b y + c, d x + e y + f). */
export type Affine = readonly [number, number, number, number, number, number];

/** Affine transform with bicubic interpolation; what comes from outside takes the colour `fill`. */
export function affine(
  picture: Picture,
  [a, b, c, d, e, f]: Affine,
  fill: readonly [number, number, number],
): Picture {
  const { width, height, data } = picture;
  const out = new Uint8Array(data.length);
  const row = width * 3;
  let to = 0;
  for (let outY = 0; outY < height; outY++) {
    for (let outX = 0; outX < width; outX++, to += 3) {
      const sourceX = a * (outX + 0.5) + b * (outY + 0.5) + c;
      const sourceY = d * (outX + 0.5) + e * (outY + 0.5) + f;
      if (!(sourceX >= 0 && sourceX < width && sourceY >= 0 && sourceY < height)) {
        out[to] = fill[0];
        out[to + 1] = fill[1];
        out[to + 2] = fill[2];
        continue;
      }
      const x = Math.floor(sourceX - 0.5);
      const y = Math.floor(sourceY - 0.5);
      const dx = sourceX - 0.5 - x;
      const dy = sourceY - 0.5 - y;
      const x0 = Math.max(0, x - 1) * 3;
      const x1 = Math.max(0, x) * 3;
      const x2 = Math.min(width - 1, x + 1) * 3;
      const x3 = Math.min(width - 1, x + 2) * 3;
      const y0 = Math.max(0, y - 1) * row;
      const y1 = Math.max(0, y) * row;
      const y2 = Math.min(height - 1, y + 1) * row;
      const y3 = Math.min(height - 1, y + 2) * row;
      for (let k = 0; k < 3; k++) {
        const v = cubic(
          cubic(data[y0 + x0 + k]!, data[y0 + x1 + k]!, data[y0 + x2 + k]!, data[y0 + x3 + k]!, dx),
          cubic(data[y1 + x0 + k]!, data[y1 + x1 + k]!, data[y1 + x2 + k]!, data[y1 + x3 + k]!, dx),
          cubic(data[y2 + x0 + k]!, data[y2 + x1 + k]!, data[y2 + x2 + k]!, data[y2 + x3 + k]!, dx),
          cubic(data[y3 + x0 + k]!, data[y3 + x1 + k]!, data[y3 + x2 + k]!, data[y3 + x3 + k]!, dx),
          dy,
        );
        out[to + k] = v <= 0 ? 0 : Math.min(v, 255);
      }
    }
  }
  return { width, height, data: out };
}

/** The transform that turns a picture of this size about its middle, counter-clockwise in degrees. */
export function rotation(width: number, height: number, degrees: number): Affine {
  const turned = ((degrees % 360) + 360) % 360;
  const angle = -(turned * Math.PI) / 180;
  // Pillow rounds to 15 decimals, which makes right angles exact.
  const round = (value: number): number => Number(value.toFixed(15));
  const [a, b, d, e] = [
    round(Math.cos(angle)),
    round(Math.sin(angle)),
    round(-Math.sin(angle)),
    round(Math.cos(angle)),
  ];
  const [x, y] = [width / 2, height / 2];
  return [a, b, a * -x + b * -y + x, d, e, d * -x + e * -y + y];
}
