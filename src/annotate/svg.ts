// Labels as SVG paths, one a label, with its name as title.

import { InputError } from "../errors.js";
import { type LabelMap, valueCount } from "../output/label-map.js";
import { labelPalette } from "../output/palette.js";
import { Canvas, checkNames, refuseName } from "./picture.js";
import { labelPolygons, type Ring } from "./polygons.js";
import { ringsOf } from "./rasterise.js";

export interface SvgLabels {
  /** An SVG document in the picture's pixels. */
  readonly text: string;
  /** What each label keeps: the IoU of its mask and its path. */
  readonly iou: readonly number[];
}

/**
 * Draws the labels of a picture in the colours of `labelPalette`; the background stays empty, and
 * labels without a pixel are left out.
 *
 * @param tolerance how far paths may leave the exact outlines, in pixels
 * @throws InputError when sizes do not fit, for names that XML cannot hold, or beyond 2^20 outlines
 */
export function encodeSvg(result: LabelMap, tolerance = 0): SvgLabels {
  const { width, height, background } = result;
  checkNames("SVG", result.labels);
  const palette = labelPalette(valueCount(result), background);
  const labels = labelPolygons(result, tolerance);
  const paths = labels.map(({ name, polygons }, i) => {
    if (polygons.length === 0) return "";
    const colour = palette.subarray(3 * (i + (background ? 1 : 0))).subarray(0, 3);
    const hex = Array.from(colour, (byte) => byte.toString(16).padStart(2, "0")).join("");
    const path = ringsOf(polygons).map(pathOf).join("");
    return `<path fill="#${hex}" d="${path}"><title>${escapeText(name)}</title></path>\n`;
  });
  const text =
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" ` +
    `viewBox="0 0 ${width} ${height}">\n` +
    `<g fill-rule="evenodd" shape-rendering="crispEdges">\n${paths.join("")}</g>\n</svg>\n`;
  return { text, iou: labels.map(({ iou }) => iou) };
}

/** Level and upright sides with one number, the others with two. */
function pathOf(ring: Ring): string {
  let path = `M${ring[0]} ${ring[1]}`;
  for (let i = 2; i < ring.length; i += 2) {
    const [x, y] = [ring[i], ring[i + 1]];
    if (y === ring[i - 1]) path += `H${x}`;
    else path += x === ring[i - 2] ? `V${y}` : `L${x} ${y}`;
  }
  return `${path}Z`;
}

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  // Readers make a line feed of it otherwise.
  "\r": "&#13;",
};

function escapeText(name: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the characters that XML 1.0 leaves out
  if (/[\0-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]/.test(name)) {
    throw refuseName("SVG", name, "holds a character that XML does not know", "take it out");
  }
  return name.replace(/[&<>\r]/g, (character) => ENTITIES[character]);
}

const HEAD =
  /<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg" width="(\d{1,9})" height="(\d{1,9})" viewBox="0 0 \1 \2">\n<g fill-rule="evenodd" shape-rendering="crispEdges">\n/y;
const PATH = /<path fill="#[0-9a-f]{6}" d="([MLHVZ\d ]*)"><title>([^<]*)<\/title><\/path>\n/y;
const FOOT = "</g>\n</svg>\n";

/**
 * Reads what `encodeSvg` wrote, and no other SVG; the labels are those that have a path.
 *
 * @throws InputError when it is anything else
 */
export function decodeSvg(text: string): LabelMap {
  let at = 0;
  const next = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at;
    const match = pattern.exec(text);
    if (match !== null) at = pattern.lastIndex;
    return match;
  };
  const head = next(HEAD);
  if (head === null) throw foreign(at);
  const paths: { name: string; rings: Ring[] }[] = [];
  for (let path = next(PATH); path !== null; path = next(PATH)) {
    paths.push({ name: unescapeText(path[2]), rings: path[1].split("Z").slice(0, -1).map(ringOf) });
  }
  if (text.slice(at) !== FOOT) throw foreign(at);
  const labels = paths.map(({ name }) => name);
  checkNames("SVG", labels);
  const canvas = new Canvas("SVG", Number(head[1]), Number(head[2]), labels);
  for (const [label, { rings }] of paths.entries()) canvas.fillRings(rings, label);
  return canvas.result;
}

function ringOf(path: string): Ring {
  const ring: number[] = [];
  let read = 0;
  for (const [whole, command, first, second] of path.matchAll(
    /([MLHV])(\d{1,9})(?: (\d{1,9}))?/g,
  )) {
    read += whole.length;
    const both = command === "M" || command === "L";
    if (both !== (second !== undefined) || (command === "M") !== (ring.length === 0)) break;
    if (command === "V") ring.push(ring[ring.length - 2], Number(first));
    else ring.push(Number(first), both ? Number(second) : ring[ring.length - 1]);
  }
  if (read === path.length && ring.length >= 6) return ring;
  throw new InputError("SVG: a path is not as groupvit writes it; export it again");
}

function unescapeText(text: string): string {
  return text.replace(/&[^;]*;?/g, (entity) => {
    const found = Object.keys(ENTITIES).find((character) => ENTITIES[character] === entity);
    if (found !== undefined) return found;
    throw new InputError("SVG: a title is not as groupvit writes it; export it again");
  });
}

function foreign(at: number): InputError {
  return new InputError(
    `SVG: from character ${at} on it is not as groupvit writes it; only such files are read back`,
  );
}
