// Pixel work of scene composition: resampled cut-outs composited onto a canvas. Typed arrays only.

/** The picture being composed. */
export interface Canvas {
  readonly size: number;
  /** `size * size * 3` values, 0..255. */
  readonly pixels: Float32Array;
  /** `size * size`: 1 + index of the object that a pixel belongs to, 0 for the background. */
  readonly owner: Uint8Array;
}

/** The copy of a cut-out that is sampled; pixels carry a border of one transparent pixel. */
export interface Texture {
  readonly pixels: Uint8Array;
  readonly width: number;
  readonly height: number;
}

/** Maps canvas coordinates (pixel centres) to texture coordinates: u = a x + b y + c, v = d x + e y + f. */
export interface Affine {
  readonly a: number;
  readonly b: number;
  readonly c: number;
  readonly d: number;
  readonly e: number;
  readonly f: number;
}

/** Rectangle of canvas pixels, right and bottom exclusive. */
export interface Bounds {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

/**
 * The map that draws a texture `width x height` centred at (x, y), scaled by (scaleX, scaleY; negative
 * flips), turned by `angle` (radians), and the bounds of what it covers.
 */
export function place(
  size: number,
  texture: Texture,
  x: number,
  y: number,
  scaleX: number,
  scaleY: number,
  angle: number,
): { affine: Affine; bounds: Bounds } {
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  const [a, b] = [cos / scaleX, sin / scaleX];
  const [d, e] = [-sin / scaleY, cos / scaleY];
  // The half pixel takes pixel centres to texel centres.
  const affine = {
    a,
    b,
    c: texture.width / 2 - 0.5 - a * (x - 0.5) - b * (y - 0.5),
    d,
    e,
    f: texture.height / 2 - 0.5 - d * (x - 0.5) - e * (y - 0.5),
  };
  const halfWidth = (Math.abs(scaleX) * (texture.width + 2)) / 2;
  const halfHeight = (Math.abs(scaleY) * (texture.height + 2)) / 2;
  const reachX = Math.abs(cos) * halfWidth + Math.abs(sin) * halfHeight;
  const reachY = Math.abs(sin) * halfWidth + Math.abs(cos) * halfHeight;
  return {
    affine,
    bounds: {
      left: Math.max(0, Math.floor(x - reachX)),
      top: Math.max(0, Math.floor(y - reachY)),
      right: Math.min(size, Math.ceil(x + reachX)),
      bottom: Math.min(size, Math.ceil(y + reachY)),
    },
  };
}

/** Row-major 3 x 3 colour matrix and an offset, applied to premultiplied colours. */
export interface ColourMap {
  readonly matrix: Float64Array;
  readonly offset: number;
}

/** Rotates the hue (radians), scales saturation and contrast, shifts the brightness (-255..255). */
export function colourMap(
  hue: number,
  saturation: number,
  contrast: number,
  brightness: number,
): ColourMap {
  const [cos, sin] = [Math.cos(hue), Math.sin(hue)];
  const [r, g, b] = [0.299, 0.587, 0.114];
  // Rotation about the grey axis that keeps luminance, then blending with luminance.
  const rotate = [
    r + cos * (1 - r) - sin * 0.168,
    g - cos * g - sin * 0.33,
    b - cos * b + sin * 0.497,
    r - cos * r + sin * 0.328,
    g + cos * (1 - g) - sin * 0.035,
    b - cos * b - sin * 0.292,
    r - cos * r - sin * 1.25,
    g - cos * g + sin * 1.05,
    b + cos * (1 - b) + sin * 0.203,
  ];
  const luma = [r, g, b, r, g, b, r, g, b];
  const matrix = new Float64Array(9);
  for (let i = 0; i < 9; i++) {
    matrix[i] = contrast * (luma[i]! * (1 - saturation) + rotate[i]! * saturation);
  }
  return { matrix, offset: 128 * (1 - contrast) + brightness };
}

/** Composites a premultiplied RGBA texture; pixels covered by more than half become the object's. */
export function paintColour(
  canvas: Canvas,
  texture: Texture,
  { a, b, c, d, e, f }: Affine,
  { left, top, right, bottom }: Bounds,
  { matrix, offset }: ColourMap,
  owner: number,
): void {
  const { size, pixels, owner: owners } = canvas;
  const source = texture.pixels;
  const { width, height } = texture;
  const stride = (width + 2) * 4;
  const m0 = matrix[0]!;
  const m1 = matrix[1]!;
  const m2 = matrix[2]!;
  const m3 = matrix[3]!;
  const m4 = matrix[4]!;
  const m5 = matrix[5]!;
  const m6 = matrix[6]!;
  const m7 = matrix[7]!;
  const m8 = matrix[8]!;
  for (let y = top; y < bottom; y++) {
    for (let x = left; x < right; x++) {
      const u = a * x + b * y + c;
      const v = d * x + e * y + f;
      if (u <= -1 || v <= -1 || u >= width || v >= height) continue;
      const u0 = Math.floor(u);
      const v0 = Math.floor(v);
      const fu = u - u0;
      const fv = v - v0;
      const w11 = fu * fv;
      const w10 = fv - w11;
      const w01 = fu - w11;
      const w00 = 1 - fu - w10;
      const i = (v0 + 1) * stride + (u0 + 1) * 4;
      const j = i + stride;
      const alpha =
        source[i + 3]! * w00 + source[i + 7]! * w01 + source[j + 3]! * w10 + source[j + 7]! * w11;
      if (alpha < 1) continue;
      const red = source[i]! * w00 + source[i + 4]! * w01 + source[j]! * w10 + source[j + 4]! * w11;
      const green =
        source[i + 1]! * w00 + source[i + 5]! * w01 + source[j + 1]! * w10 + source[j + 5]! * w11;
      const blue =
        source[i + 2]! * w00 + source[i + 6]! * w01 + source[j + 2]! * w10 + source[j + 6]! * w11;
      const coverage = alpha / 255;
      const lift = offset * coverage;
      let outRed = m0 * red + m1 * green + m2 * blue + lift;
      let outGreen = m3 * red + m4 * green + m5 * blue + lift;
      let outBlue = m6 * red + m7 * green + m8 * blue + lift;
      if (outRed < 0) outRed = 0;
      else if (outRed > alpha) outRed = alpha;
      if (outGreen < 0) outGreen = 0;
      else if (outGreen > alpha) outGreen = alpha;
      if (outBlue < 0) outBlue = 0;
      else if (outBlue > alpha) outBlue = alpha;
      const p = y * size + x;
      const rest = 1 - coverage;
      pixels[3 * p] = pixels[3 * p]! * rest + outRed;
      pixels[3 * p + 1] = pixels[3 * p + 1]! * rest + outGreen;
      pixels[3 * p + 2] = pixels[3 * p + 2]! * rest + outBlue;
      if (coverage > 0.5) owners[p] = owner;
    }
  }
}

/**
 * Composites one colour through one channel of a texture. Coverage (0..255) is stretched so that
 * `low` becomes nothing and `high` becomes `opacity`. With `owner` 0 the owners stay as they are.
 */
export function paintFlat(
  canvas: Canvas,
  texture: Texture,
  channels: number,
  channel: number,
  { a, b, c, d, e, f }: Affine,
  { left, top, right, bottom }: Bounds,
  colour: readonly [number, number, number],
  low: number,
  high: number,
  opacity: number,
  owner: number,
): void {
  const { size, pixels, owner: owners } = canvas;
  const source = texture.pixels;
  const { width, height } = texture;
  const stride = (width + 2) * channels;
  const [red, green, blue] = colour;
  const gain = 1 / (high - low);
  for (let y = top; y < bottom; y++) {
    for (let x = left; x < right; x++) {
      const u = a * x + b * y + c;
      const v = d * x + e * y + f;
      if (u <= -1 || v <= -1 || u >= width || v >= height) continue;
      const u0 = Math.floor(u);
      const v0 = Math.floor(v);
      const fu = u - u0;
      const fv = v - v0;
      const w11 = fu * fv;
      const w10 = fv - w11;
      const w01 = fu - w11;
      const w00 = 1 - fu - w10;
      const i = (v0 + 1) * stride + (u0 + 1) * channels + channel;
      const j = i + stride;
      let coverage =
        (source[i]! * w00 +
          source[i + channels]! * w01 +
          source[j]! * w10 +
          source[j + channels]! * w11 -
          low) *
        gain;
      if (coverage <= 0) continue;
      if (coverage > 1) coverage = 1;
      const p = y * size + x;
      if (owner > 0 && coverage > 0.5) owners[p] = owner;
      coverage *= opacity;
      const rest = 1 - coverage;
      pixels[3 * p] = pixels[3 * p]! * rest + red * coverage;
      pixels[3 * p + 1] = pixels[3 * p + 1]! * rest + green * coverage;
      pixels[3 * p + 2] = pixels[3 * p + 2]! * rest + blue * coverage;
    }
  }
}

/** A square with round corners and soft edges: its centre and half its side, in canvas pixels. */
export interface Frame {
  readonly x: number;
  readonly y: number;
  readonly half: number;
}

/**
 * Covers the whole canvas, or what is inside the frame, with a part of an opaque RGB texture; coordinates
 * beyond it are clamped.
 */
export function paintPhoto(
  canvas: Canvas,
  texture: Texture,
  { a, b, c, d, e, f }: Affine,
  { matrix, offset }: ColourMap,
  frame?: Frame,
): void {
  const { size, pixels } = canvas;
  const source = texture.pixels;
  const stride = (texture.width + 2) * 3;
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      let coverage = 1;
      if (frame !== undefined) {
        const [dx, dy] = [(x - frame.x) / frame.half, (y - frame.y) / frame.half];
        coverage = Math.min(1, 6 * (1 - dx ** 4 - dy ** 4));
        if (coverage <= 0) continue;
      }
      const u = Math.min(texture.width - 1.001, Math.max(0, a * x + b * y + c));
      const v = Math.min(texture.height - 1.001, Math.max(0, d * x + e * y + f));
      const u0 = Math.floor(u);
      const v0 = Math.floor(v);
      const fu = u - u0;
      const fv = v - v0;
      const w11 = fu * fv;
      const w10 = fv - w11;
      const w01 = fu - w11;
      const w00 = 1 - fu - w10;
      const i = (v0 + 1) * stride + (u0 + 1) * 3;
      const j = i + stride;
      const red = source[i]! * w00 + source[i + 3]! * w01 + source[j]! * w10 + source[j + 3]! * w11;
      const green =
        source[i + 1]! * w00 + source[i + 4]! * w01 + source[j + 1]! * w10 + source[j + 4]! * w11;
      const blue =
        source[i + 2]! * w00 + source[i + 5]! * w01 + source[j + 2]! * w10 + source[j + 5]! * w11;
      const p = 3 * (y * size + x);
      const rest = 1 - coverage;
      for (let k = 0; k < 3; k++) {
        const value =
          matrix[3 * k]! * red + matrix[3 * k + 1]! * green + matrix[3 * k + 2]! * blue + offset;
        pixels[p + k] = pixels[p + k]! * rest + coverage * value;
      }
    }
  }
}
