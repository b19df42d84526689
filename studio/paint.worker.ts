// Everything that touches pixels, away from the page: masks and highlights to bitmaps, look-ups, exports.

import { encodeSvg } from "../src/annotate/svg.js";
import { PictureError } from "../src/errors.js";
import { headerSize, pictureFormat } from "../src/input/header.js";
import { checkSize, DEFAULT_MAX_BYTES, DEFAULT_MAX_PIXELS } from "../src/input/limits.js";
import { valueCount } from "../src/output/label-map.js";
import { labelPalette } from "../src/output/palette.js";
import { encodeLabelPng } from "../src/output/png.js";
import { regions as findRegions } from "../src/output/regions.js";
import { reportPicture } from "../src/output/report-json.js";
import type { Colours, Layer, PaintCalls, Painted, Result, Side } from "./paint.js";

/** Longest side that is painted: what a screen shows, so that a large picture costs no more time. */
const MAX_SIDE = 1600;
/** How far outlines of SVG paths may leave the mask, in pixels. */
const SVG_TOLERANCE = 1;

let picture: { bitmap: ImageBitmap; width: number; height: number } | undefined;
let scale = 1;
/** What was segmented, at the picture's size: for exports. */
const results = new Map<Side, Result>();
/** `[display height, display width]`: what the pointer finds. */
const places = new Map<Layer, Uint8Array | Uint16Array | Uint32Array>();

const display = () => ({
  width: Math.max(1, Math.round((picture?.width ?? 1) * scale)),
  height: Math.max(1, Math.round((picture?.height ?? 1) * scale)),
});

/** Decodes a file whose header promises a size that can be held. */
async function decode(file: Blob): Promise<ImageBitmap> {
  const subject = "picture";
  if (file.size > DEFAULT_MAX_BYTES) {
    throw new PictureError(`${subject}: ${file.size} bytes, more than the limit`);
  }
  const bytes = new Uint8Array(await file.arrayBuffer());
  const format = pictureFormat(subject, bytes);
  if (format === "TIFF") throw new PictureError(`${subject}: browsers do not decode TIFF`);
  const size = headerSize(bytes, format);
  if (!size) throw new PictureError(`${subject}: damaged or cut short`);
  checkSize(subject, size.width, size.height, DEFAULT_MAX_PIXELS);
  try {
    return await createImageBitmap(file);
  } catch (error) {
    throw new PictureError(`${subject}: damaged or cut short (${(error as Error).message})`);
  }
}

/** A map at the size of the display, or another one, nearest neighbour. */
function shrink<T extends Uint8Array | Uint16Array | Uint32Array>(
  map: T,
  width: number,
  to = display(),
): T {
  if (to.width === width) return map;
  const height = map.length / width;
  const small = new (map.constructor as new (size: number) => T)(to.width * to.height);
  const columns = Int32Array.from({ length: to.width }, (_, x) =>
    Math.min(width - 1, Math.floor(((x + 0.5) * width) / to.width)),
  );
  for (let y = 0; y < to.height; y++) {
    const row = Math.min(height - 1, Math.floor(((y + 0.5) * height) / to.height)) * width;
    for (let x = 0; x < to.width; x++) small[y * to.width + x] = map[row + columns[x]!]!;
  }
  return small;
}

/** Tinted regions with an outline one pixel wide at display size. */
function tint(map: Uint8Array | Uint16Array, colours: Colours): Promise<ImageBitmap> {
  const { width, height } = display();
  const image = new ImageData(width, height);
  const out = new Uint32Array(image.data.buffer);
  const words = new Uint32Array(colours.length / 4);
  new Uint8Array(words.buffer).set(colours);
  for (let y = 0; y < height; y++) {
    const row = y * width;
    for (let x = 0; x < width; x++) {
      const value = map[row + x]!;
      const border =
        (x + 1 < width && map[row + x + 1] !== value) ||
        (y + 1 < height && map[row + width + x] !== value);
      out[row + x] = border ? EDGE : words[value]!;
    }
  }
  return createImageBitmap(image);
}
/** Near-white, as bytes R, G, B, A read in this machine's order. */
const EDGE = new Uint32Array(Uint8Array.of(255, 255, 255, 235).buffer)[0]!;

/** Longest side of the grid on which places of names are looked for: finer ones cost most of a relabelling. */
const NAME_GRID = 192;

/** Where to write the name of each value: the middle of its largest region. */
function namePlaces(map: Uint8Array | Uint16Array): Painted["names"] {
  const shown = display();
  const step = Math.max(1, Math.max(shown.width, shown.height) / NAME_GRID);
  const width = Math.max(1, Math.round(shown.width / step));
  const height = Math.max(1, Math.round(shown.height / step));
  const small = shrink(map, shown.width, { width, height });
  const names = new Map<number, Painted["names"][number]>();
  for (const region of findRegions({ width, height, map: small })) {
    if (names.has(region.value) || region.share < 0.004) continue;
    const { value, x, y, share } = region;
    names.set(value, { value, x: x / width, y: y / height, share });
  }
  return [...names.values()];
}

async function overlay({ map, width, height }: Result, colours: Colours, opacity: number) {
  if (!picture) throw new Error("there is no picture yet");
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d");
  if (!context) throw new RangeError(`a canvas of ${width} x ${height} is too large here`);
  context.drawImage(picture.bitmap, 0, 0, width, height);
  // In strips: a second copy of a large picture would be too much.
  const rows = Math.max(1, Math.floor(2_000_000 / width));
  for (let top = 0; top < height; top += rows) {
    const image = context.getImageData(0, top, width, Math.min(rows, height - top));
    for (let i = 0; i < image.data.length; i += 4) {
      const from = 4 * map[top * width + i / 4]!;
      const share = (opacity * colours[from + 3]!) / 255;
      for (let c = 0; c < 3; c++) {
        image.data[i + c] = image.data[i + c]! * (1 - share) + colours[from + c]! * share;
      }
    }
    context.putImageData(image, 0, top);
  }
  return canvas.convertToBlob({ type: "image/png" });
}

let turn: Promise<unknown> = Promise.resolve();

async function takePicture(source: Blob | ImageBitmap): ReturnType<PaintCalls["picture"]> {
  const bitmap = source instanceof Blob ? await decode(source) : source;
  picture?.bitmap.close();
  const { width, height } = bitmap;
  picture = { bitmap, width, height };
  scale = Math.min(1, MAX_SIDE / Math.max(width, height));
  results.clear();
  places.clear();
  const size = display();
  const shown = await createImageBitmap(bitmap, {
    resizeWidth: size.width,
    resizeHeight: size.height,
    resizeQuality: "high",
  });
  return { width, height, bitmap: shown };
}

const calls: PaintCalls = {
  picture(source) {
    // One that takes longer to decode must not come after the next.
    const own = turn.then(() => takePicture(source));
    turn = own.catch(() => {});
    return own;
  },

  async mask(side, result, colours) {
    results.set(side, result);
    const map = shrink(result.map, result.width);
    return { bitmap: await tint(map, colours), names: namePlaces(map) };
  },

  async groups(layer, { map, width }, colours) {
    const small = shrink(map, width);
    places.set(layer, small);
    return { bitmap: await tint(small, colours), names: [] };
  },

  async places(layer, map, width) {
    places.set(layer, shrink(map, width));
  },

  async find(layer, x, y) {
    const { width, height } = display();
    const map = places.get(layer);
    const clamp = (share: number, size: number) =>
      Math.min(size - 1, Math.max(0, Math.floor(share * size)));
    return map?.[clamp(y, height) * width + clamp(x, width)];
  },

  async highlight(layer, chosen) {
    const map = places.get(layer);
    if (!map) return undefined;
    const { width, height } = display();
    const image = new ImageData(width, height);
    const out = new Uint32Array(image.data.buffer);
    const inside = new Uint8Array(chosen.reduce((most, place) => Math.max(most, place + 1), 0));
    for (const place of chosen) inside[place] = 1;
    const isIn = (at: number) => inside[map[at]!] === 1;
    const line = Math.max(1, Math.round(Math.max(width, height) / 700));
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const at = y * width + x;
        if (!isIn(at)) out[at] = SHADE;
        else if (
          x < line ||
          y < line ||
          x + line >= width ||
          y + line >= height ||
          !isIn(at - line) ||
          !isIn(at + line) ||
          !isIn(at - line * width) ||
          !isIn(at + line * width)
        )
          out[at] = LINE;
      }
    }
    return createImageBitmap(image);
  },

  async save(side, format, file, colours, opacity) {
    const result = results.get(side);
    if (!result) throw new Error("there is no mask yet: type a word first");
    if (format === "overlay") return overlay(result, colours, opacity);
    if (format === "svg") {
      return new Blob([encodeSvg(result, SVG_TOLERANCE).text], { type: "image/svg+xml" });
    }
    if (format === "json") {
      const report = reportPicture(file, result, result.scores, null);
      return new Blob([`${JSON.stringify(report, null, 1)}\n`], { type: "application/json" });
    }
    const palette = labelPalette(valueCount(result), result.background);
    const bytes = encodeLabelPng(result, palette);
    return new Blob([bytes as Uint8Array<ArrayBuffer>], { type: "image/png" });
  },
};
const SHADE = new Uint32Array(Uint8Array.of(8, 10, 16, 120).buffer)[0]!;
const LINE = new Uint32Array(Uint8Array.of(255, 255, 255, 255).buffer)[0]!;

self.onmessage = async ({
  data,
}: MessageEvent<{ id: number; name: keyof PaintCalls; args: never }>) => {
  const { id, name, args } = data;
  try {
    const value: unknown = await (calls[name] as (...args: never[]) => Promise<unknown>)(
      ...(args as never[]),
    );
    const bitmap = (value as { bitmap?: ImageBitmap } | undefined)?.bitmap ?? value;
    self.postMessage({ id, value }, { transfer: bitmap instanceof ImageBitmap ? [bitmap] : [] });
  } catch (error) {
    self.postMessage({ id, error });
  }
};
