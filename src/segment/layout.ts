// Where the segments of a picture lie, independent of any words: built once a picture, it makes every
// relabelling cheap.
//
// The reference decoding gives every pixel of the resized picture a row of label scores, resizes those
// score maps to the original size (bilinear) and takes the arg max. But pixels with the same segments
// share one row: a *region* is a set of pixels of the resized picture that lie in the same segment of
// every window that covers them. An original pixel whose four neighbours lie in one region takes that
// region's best label; only the others, along region borders, need interpolation. They are grouped by
// their four neighbours, so that decoding settles once per group which labels can win at all.

import { InputError } from "../errors.js";
import type { AssignmentKind, WindowEncoding } from "./encoding.js";
import { checkEncoding, multiplyAssignments } from "./encoding.js";
import { type Axis, argMaxResized, bilinearAxis, checkSize, runs } from "./interpolate.js";
import type { Window } from "./windows.js";
import { findPieces, type Pieces, type ZoomedWindow } from "./zoom.js";

/** An encoded window and its place in the resized picture. */
export interface PlacedWindow {
  readonly window: Window;
  readonly encoding: WindowEncoding;
}

/** What scoring needs of a window; of one that was looked at twice, pieces stand for segments. */
export type LaidWindow = Pick<WindowEncoding, "segmentEmbeds" | "imageEmbed"> &
  Partial<Pick<ZoomedWindow, "closeEmbeds" | "seen">>;

/** The word-independent half of decoding; treat as opaque outside `src/segment`. */
export interface SegmentLayout {
  /** Size of the original picture, and of every map decoded from this. */
  readonly width: number;
  readonly height: number;
  /** What scoring needs of each window. */
  readonly windows: readonly LaidWindow[];
  /**
   * Region r covers the (window, segment) pairs number `memberStarts[r]` to `memberStarts[r + 1]`;
   * windows ascend within a region.
   */
  readonly memberStarts: Int32Array;
  readonly memberWindows: Int32Array;
  readonly memberSegments: Int32Array;
  /**
   * Starts of the runs of rows that lie between the same two rows of the resized picture, and the
   * height: such rows have the same regions, so an enlarged picture stores them once.
   */
  readonly rowRuns: readonly number[];
  /** `[row runs, width]`: the region of a pixel, or the number of regions for a border pixel. */
  readonly regionMap: Uint16Array | Uint32Array;
  /** `[regions]`: pixels that lie wholly in the region. */
  readonly regionPixels: Uint32Array;
  /** Border pixels (`y * width + x`), those with the same four neighbours together. */
  readonly borderPixels: Int32Array;
  /** Neighbourhood n owns `borderPixels` from `borderStarts[n]` to `borderStarts[n + 1]`. */
  readonly borderStarts: Int32Array;
  /** `[neighbourhoods, 4]`: regions above left, above right, below left, below right. */
  readonly neighbourhoods: Int32Array;
  /** Sampling of the original axes over the resized picture. */
  readonly xs: Axis;
  readonly ys: Axis;
}

/** Width and height in pixels. */
export interface Size {
  readonly width: number;
  readonly height: number;
}

/**
 * Lays out the segments of a picture.
 *
 * @param windows one window over the whole resized picture, or the windows of `slideWindows`, each with
 *   what the image tower gave for it.
 * @param resized the size that the windows count in (short side 448 as the authors do it).
 * @param original the size that maps shall have.
 * @throws InputError if an encoding's arrays do not fit, a window lies outside the picture, windows come
 *   from different models, or a pixel is in no window.
 */
export function layoutSegments(
  windows: readonly PlacedWindow[],
  resized: Size,
  original: Size,
  assignment: AssignmentKind = "soft",
): SegmentLayout {
  checkSize("resized picture", resized.width, resized.height);
  checkSize("original picture", original.width, original.height);
  checkWindows(windows, resized);

  const regions = findRegions(windows, resized, assignment);
  const xs = bilinearAxis(resized.width, original.width);
  const ys = bilinearAxis(resized.height, original.height);
  const count = regions.memberStarts.length - 1;
  return {
    width: original.width,
    height: original.height,
    windows: windows.map(({ encoding: { segmentEmbeds, imageEmbed } }) => ({
      segmentEmbeds,
      imageEmbed,
    })),
    memberStarts: regions.memberStarts,
    memberWindows: regions.memberWindows,
    memberSegments: regions.memberSegments,
    ...findBorders(regions.map, count, resized.width, xs, ys),
    xs,
    ys,
  };
}

/**
 * The connected pieces of the segments (soft maps) of a picture that is one window.
 *
 * @param resized the size of the window
 */
export function segmentPieces(encoding: WindowEncoding, resized: Size): Pieces {
  checkEncoding(encoding);
  const { width, height } = resized;
  return findPieces(segmentsOfWindow(encoding, width, height, "soft"), resized);
}

/** Lays out the pieces of a picture that was looked at twice; sizes as in {@link layoutSegments}. */
export function layoutPieces(
  { pieces, ...window }: ZoomedWindow,
  imageEmbed: Float32Array,
  resized: Size,
  original: Size,
): SegmentLayout {
  const xs = bilinearAxis(resized.width, original.width);
  const ys = bilinearAxis(resized.height, original.height);
  const count = pieces.pieces.length;
  return {
    width: original.width,
    height: original.height,
    windows: [{ ...window, imageEmbed }],
    memberStarts: Int32Array.from({ length: count + 1 }, (_, i) => i),
    memberWindows: new Int32Array(count),
    memberSegments: Int32Array.from({ length: count }, (_, i) => i),
    ...findBorders(pieces.map, count, resized.width, xs, ys),
    xs,
    ys,
  };
}

function checkWindows(windows: readonly PlacedWindow[], resized: Size): void {
  if (windows.length === 0) throw new InputError("windows: none; give at least one");
  const dim = windows[0].encoding.imageEmbed.length;
  for (const { window, encoding } of windows) {
    const { x0, y0, x1, y1 } = window;
    const inside =
      [x0, y0, x1, y1].every(Number.isInteger) &&
      x0 >= 0 &&
      y0 >= 0 &&
      x0 < x1 &&
      y0 < y1 &&
      x1 <= resized.width &&
      y1 <= resized.height;
    if (!inside) {
      throw new InputError(
        `windows: (${x0}, ${y0}) to (${x1}, ${y1}) is no rectangle ` +
          `inside ${resized.width} x ${resized.height}`,
      );
    }
    checkEncoding(encoding);
    if (encoding.imageEmbed.length !== dim) {
      throw new InputError(
        `windows: embeddings of ${dim} and ${encoding.imageEmbed.length} numbers in one picture; ` +
          "encode all windows with the same model",
      );
    }
  }
}

interface Regions {
  /** `[resized height, resized width]`. */
  map: Int32Array;
  memberStarts: Int32Array;
  memberWindows: Int32Array;
  memberSegments: Int32Array;
}

/**
 * Refines the picture window by window. A state is what a pixel has seen so far: its previous state,
 * then this window's segment. State 0 has seen no window.
 */
function findRegions(
  windows: readonly PlacedWindow[],
  resized: Size,
  assignment: AssignmentKind,
): Regions {
  const map = new Int32Array(resized.width * resized.height);
  const parents = [-1];
  const parentWindows = [-1];
  const parentSegments = [-1];
  for (let w = 0; w < windows.length; w++) {
    const { window, encoding } = windows[w];
    const segments = encoding.groups[encoding.groups.length - 1];
    const width = window.x1 - window.x0;
    const segmentMap = segmentsOfWindow(encoding, width, window.y1 - window.y0, assignment);
    // [states before this window, segments]: the new state, 0 for "not met yet".
    const next = new Int32Array(parents.length * segments);
    for (let y = window.y0; y < window.y1; y++) {
      const from = (y - window.y0) * width;
      const to = y * resized.width + window.x0;
      for (let x = 0; x < width; x++) {
        const segment = segmentMap[from + x];
        const state = map[to + x];
        let after = next[state * segments + segment];
        if (after === 0) {
          after = parents.length;
          next[state * segments + segment] = after;
          parents.push(state);
          parentWindows.push(w);
          parentSegments.push(segment);
        }
        map[to + x] = after;
      }
    }
  }

  // Many states were only passed through: keep those that pixels ended in.
  const regionOf = new Int32Array(parents.length).fill(-1);
  const finals: number[] = [];
  for (let i = 0; i < map.length; i++) {
    const state = map[i];
    if (regionOf[state] < 0) {
      regionOf[state] = finals.length;
      finals.push(state);
    }
    map[i] = regionOf[state];
  }
  if (regionOf[0] >= 0) {
    const at = map.indexOf(regionOf[0]);
    throw new InputError(
      `windows: pixel (${at % resized.width}, ${Math.floor(at / resized.width)}) is in none of the ` +
        `${windows.length} windows; they must cover the picture`,
    );
  }

  const memberStarts = new Int32Array(finals.length + 1);
  const memberWindows: number[] = [];
  const memberSegments: number[] = [];
  for (let region = 0; region < finals.length; region++) {
    const path: number[] = [];
    for (let state = finals[region]; state > 0; state = parents[state]) path.push(state);
    for (const state of path.reverse()) {
      memberWindows.push(parentWindows[state]);
      memberSegments.push(parentSegments[state]);
    }
    memberStarts[region + 1] = memberWindows.length;
  }
  return {
    map,
    memberStarts,
    memberWindows: Int32Array.from(memberWindows),
    memberSegments: Int32Array.from(memberSegments),
  };
}

/** `[height, width]`: the segment of every pixel of one window. */
function segmentsOfWindow(
  encoding: WindowEncoding,
  width: number,
  height: number,
  assignment: AssignmentKind,
): Uint16Array {
  const { rows, columns, assignments, groups } = encoding;
  const products = multiplyAssignments(assignments, groups, rows * columns, assignment);
  const last = groups.length - 1;
  return argMaxResized(products[last], rows, columns, groups[last], width, height);
}

type Borders = Pick<
  SegmentLayout,
  "rowRuns" | "regionMap" | "regionPixels" | "borderPixels" | "borderStarts" | "neighbourhoods"
>;

/** Splits the original pixels into those inside one region and those between several. */
function findBorders(
  regions: Int32Array,
  count: number,
  stride: number,
  xs: Axis,
  ys: Axis,
): Borders {
  const width = xs.low.length;
  const rowRuns = runs(ys);
  const rows = rowRuns.length - 1;
  const regionMap = count < 65536 ? new Uint16Array(rows * width) : new Uint32Array(rows * width);
  const regionPixels = new Uint32Array(count + 1); // the last one counts border pixels
  for (let row = 0; row < rows; row++) {
    const above = ys.low[rowRuns[row]] * stride;
    const below = ys.high[rowRuns[row]] * stride;
    const repeats = rowRuns[row + 1] - rowRuns[row];
    for (let x = 0; x < width; x++) {
      const low = xs.low[x];
      const high = xs.high[x];
      const region = regions[above + low];
      const inside =
        region === regions[above + high] &&
        region === regions[below + low] &&
        region === regions[below + high];
      const value = inside ? region : count;
      regionMap[row * width + x] = value;
      regionPixels[value] += repeats;
    }
  }

  // Number the neighbourhoods in order of appearance, then sort the pixels by them (counting sort).
  const borders = regionPixels[count];
  const pixels = new Int32Array(borders);
  const numbers = new Int32Array(borders);
  const neighbourhoods: number[] = [];
  const sizes: number[] = [];
  const pairs = new Map<number, number>();
  const known = new Map<number, number>();
  let current = -1;
  let at = 0;
  for (let row = 0; row < rows; row++) {
    const above = ys.low[rowRuns[row]] * stride;
    const below = ys.high[rowRuns[row]] * stride;
    for (let x = 0; x < width; x++) {
      if (regionMap[row * width + x] !== count) continue;
      const aboveLeft = regions[above + xs.low[x]];
      const aboveRight = regions[above + xs.high[x]];
      const belowLeft = regions[below + xs.low[x]];
      const belowRight = regions[below + xs.high[x]];
      // Neighbours along a row mostly repeat: most pixels need no look-up.
      if (
        current < 0 ||
        neighbourhoods[4 * current] !== aboveLeft ||
        neighbourhoods[4 * current + 1] !== aboveRight ||
        neighbourhoods[4 * current + 2] !== belowLeft ||
        neighbourhoods[4 * current + 3] !== belowRight
      ) {
        const abovePair = numberOf(pairs, aboveLeft * count + aboveRight);
        const belowPair = numberOf(pairs, belowLeft * count + belowRight);
        current = numberOf(known, abovePair * 2 ** 26 + belowPair);
        if (current === sizes.length) {
          neighbourhoods.push(aboveLeft, aboveRight, belowLeft, belowRight);
          sizes.push(0);
        }
      }
      for (let y = rowRuns[row]; y < rowRuns[row + 1]; y++) {
        pixels[at] = y * width + x;
        numbers[at++] = current;
      }
      sizes[current] += rowRuns[row + 1] - rowRuns[row];
    }
  }
  const borderStarts = new Int32Array(sizes.length + 1);
  for (let n = 0; n < sizes.length; n++) borderStarts[n + 1] = borderStarts[n] + sizes[n];
  const free = borderStarts.slice();
  const borderPixels = new Int32Array(borders);
  for (let i = 0; i < borders; i++) borderPixels[free[numbers[i]]++] = pixels[i];
  return {
    rowRuns,
    regionMap,
    regionPixels: regionPixels.subarray(0, count),
    borderPixels,
    borderStarts,
    neighbourhoods: Int32Array.from(neighbourhoods),
  };
}

/** The number of a key, counting up from 0 as new ones come. */
function numberOf(numbers: Map<number, number>, key: number): number {
  const known = numbers.get(key);
  if (known !== undefined) return known;
  const number = numbers.size;
  numbers.set(key, number);
  return number;
}
