// True masks: PNG files become maps of class values.

import sharp from "sharp";
import { InputError } from "../../errors.js";
import { vocPalette } from "../../output/palette.js";
import { decodeLabelPng } from "../../output/png.js";
import { IGNORED } from "../confusion.js";
import type { MaskedSample, SegmentationSet } from "../dataset.js";
import { readBounded } from "./files.js";
import { isColour, pngHeader } from "./png-header.js";

const MAX_MASK_BYTES = 128 * 2 ** 20;
/** As many as label maps may have. */
const MAX_MASK_PIXELS = 2 ** 27;
/** Classes that a message names in full. */
const NAMED = 6;

export interface TrueMask {
  readonly width: number;
  readonly height: number;
  /** `height * width` class values, row-major; 255 is not counted. */
  readonly map: Uint8Array;
}

type MaskedSet = Pick<SegmentationSet, "classes" | "background" | "coding">;

/**
 * Reads a sample's mask.
 *
 * @throws InputError naming the file, where it is damaged, too large, of the other kind than the set's
 *   coding, or has a value or colour without a class
 */
export async function readMask(
  set: MaskedSet,
  { mask }: Pick<MaskedSample, "mask">,
): Promise<TrueMask> {
  const bytes = await readBounded(mask, MAX_MASK_BYTES);
  const fault = maskFault(bytes, set);
  if (fault !== undefined) throw new InputError(`${mask}: ${fault}`);
  if (set.coding.kind === "colours") return readColours(bytes, set, mask);
  const { width, height, map } = await decodeLabelPng(bytes).catch((error: unknown) => {
    if (!(error instanceof InputError)) throw error;
    throw new InputError(`${mask}: ${error.message}`);
  });
  return { width, height, map: classValues(map, width, set, mask) };
}

/**
 * What is wrong with a mask, as far as its first bytes (at least 33) tell; undefined if nothing. The text
 * says what to do and leaves the file out.
 */
export function maskFault(
  bytes: Uint8Array,
  { coding }: Pick<SegmentationSet, "coding">,
): string | undefined {
  if (bytes[0] === 0xff && bytes[1] === 0xd8) {
    return (
      "a JPEG cannot be a mask, since compression changes label values, above all at borders; " +
      "save the mask again as PNG from what it was made with (converting this JPEG keeps its wrong values)"
    );
  }
  const header = pngHeader(bytes);
  if (header === undefined) return "it is no PNG file; save the mask as indexed or grey PNG";
  const { width, height, depth, interlaced } = header;
  if (width < 1 || height < 1 || width * height > MAX_MASK_PIXELS) {
    return `${width} x ${height} is no size of a mask; give 1 to ${MAX_MASK_PIXELS} pixels`;
  }
  if (coding.kind === "colours") {
    if (!isColour(header)) {
      return "it holds values, but the set's first mask colours; save all masks in one kind";
    }
    return depth === 8 ? undefined : `${depth} bits a colour; save the mask with 8`;
  }
  if (isColour(header)) {
    return (
      "it is an RGB picture, but this set's masks hold class values; save the mask as indexed or " +
      "grey PNG"
    );
  }
  if (header.colourType === 4) return "it has an alpha channel; save the mask without it";
  return interlaced ? "it is interlaced; save the PNG without interlacing" : undefined;
}

/** Colours of the VOC palette become their index. */
async function readColours(bytes: Uint8Array, set: MaskedSet, mask: string): Promise<TrueMask> {
  const { data, info } = await sharp(bytes, { limitInputPixels: MAX_MASK_PIXELS, ignoreIcc: true })
    .removeAlpha()
    .raw({ depth: "uchar" })
    .toBuffer({ resolveWithObject: true })
    .catch((error: Error) => {
      throw new InputError(`${mask}: it is damaged (${error.message}); save it again`);
    });
  const { width, height } = info;
  const indices = new Uint8Array(width * height);
  let [colour, index] = [-1, 0];
  for (let i = 0; i < indices.length; i++) {
    const next = (data[3 * i]! << 16) | (data[3 * i + 1]! << 8) | data[3 * i + 2]!;
    if (next !== colour) {
      const found = INDEX_OF_COLOUR.get(next);
      if (found === undefined) {
        const rgb = [next >> 16, (next >> 8) & 255, next & 255].join(", ");
        throw new InputError(
          `${mask}: the colour (${rgb}) at ${position(i, width)} is not in the palette of PASCAL VOC; ` +
            "colour the mask with it, or save class values as indexed or grey PNG",
        );
      }
      [colour, index] = [next, found];
    }
    indices[i] = index;
  }
  return { width, height, map: classValues(indices, width, set, mask) };
}

const INDEX_OF_COLOUR = (() => {
  const palette = vocPalette();
  return new Map(
    Array.from({ length: 256 }, (_, i) => {
      const [r, g, b] = palette.subarray(3 * i, 3 * i + 3);
      return [(r! << 16) | (g! << 8) | b!, i] as const;
    }),
  );
})();

function position(pixel: number, width: number): string {
  return `x ${pixel % width}, y ${Math.floor(pixel / width)}`;
}

const NO_CLASS = -1;

/** Applies the set's table and refuses values without a class. */
function classValues(
  stored: Uint8Array | Uint16Array,
  width: number,
  set: MaskedSet,
  mask: string,
): Uint8Array {
  const { classes, background, coding } = set;
  const count = classes.length + (background ? 1 : 0);
  const classOf = Int16Array.from({ length: 256 }, (_, from) => {
    const value = coding.table?.[from] ?? from;
    return value < count || value === IGNORED ? value : NO_CLASS;
  });
  const map = new Uint8Array(stored.length);
  for (let i = 0; i < stored.length; i++) {
    // Values of 16 bits may lie beyond the table.
    const value = classOf[stored[i]!] ?? NO_CLASS;
    if (value === NO_CLASS) {
      throw new InputError(
        `${mask}: value ${stored[i]} at ${position(i, width)} has no class; values are ` +
          `${valueNames(set)}, and 255 where nothing is counted; correct the mask or the list of classes`,
      );
    }
    map[i] = value;
  }
  return map;
}

/** "0 background, 1 aeroplane, ... 20 tvmonitor". */
function valueNames({ classes, background }: MaskedSet): string {
  const names = [...(background ? ["background"] : []), ...classes].map(
    (name, i) => `${i} ${name}`,
  );
  if (names.length <= NAMED) return names.join(", ");
  return `${names.slice(0, NAMED - 1).join(", ")}, ... ${names.at(-1)}`;
}
