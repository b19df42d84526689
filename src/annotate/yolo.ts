// YOLO segmentation labels: a text file a picture with one polygon a line, and data.yaml, which names
// the classes.

import { type Document, parseDocument } from "yaml";
import { quote } from "../checkpoint/quote.js";
import { InputError } from "../errors.js";
import type { LabelMap } from "../output/label-map.js";
import { joinHoles } from "./join-holes.js";
import { Canvas, checkNames } from "./picture.js";
import { labelPolygons } from "./polygons.js";
import { ringsLoss } from "./rasterise.js";

export interface YoloLabels {
  /**
   * A line for each region, `class x1 y1 x2 y2 ...`: classes count from 0 in the order of the labels,
   * coordinates go from 0 to 1 of the picture's width and height, with six decimals. Holes are joined
   * to what is around them. Large regions come first.
   */
  readonly text: string;
  /** What each label keeps: the IoU of its mask and its polygons as they are written. */
  readonly iou: readonly number[];
}

/**
 * The labels of a picture as polygons.
 *
 * @param tolerance how far polygons may leave the exact outlines, in pixels
 * @throws InputError when sizes do not fit, or for more than 2^20 outlines
 */
export function encodeYolo(result: LabelMap, tolerance = 0): YoloLabels {
  const { width, height } = result;
  const lines: { text: string; area: number }[] = [];
  const iou = labelPolygons(result, tolerance).map(({ area, polygons }, i) => {
    const written = polygons.map((polygon) => {
      const ring = joinHoles(polygon).map((v, k) => toShare(v, k % 2 === 0 ? width : height));
      lines.push({ text: `${i} ${ring.join(" ")}\n`, area: polygon.area });
      return ring.map((share, k) => share * (k % 2 === 0 ? width : height));
    });
    return ringsLoss(result, i + (result.background ? 1 : 0), area, written);
  });
  lines.sort((a, b) => b.area - a.area);
  return { text: lines.map(({ text }) => text).join(""), iou };
}

/** With at most six decimals, as numbers of that size never need an exponent. */
function toShare(position: number, side: number): number {
  return Math.round((position / side) * 1e6) / 1e6;
}

/**
 * Reads the polygons of a picture; later ones cover earlier ones.
 *
 * @param picture its size in pixels, and the names of the classes
 * @throws InputError naming the line that is wrong
 */
export function decodeYolo(
  text: string,
  { width, height, labels }: Pick<LabelMap, "width" | "height" | "labels">,
): LabelMap {
  const canvas = new Canvas("YOLO labels", width, height, labels);
  for (const [i, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === "") continue;
    const fail = (fault: string): InputError =>
      new InputError(`YOLO labels, line ${i + 1}: ${fault}`);
    const [label, ...shares] = line.trim().split(/\s+/);
    if (!/^\d{1,6}$/.test(label) || Number(label) >= labels.length) {
      throw fail(`class ${quote(label)} has no name; use 0 to ${labels.length - 1}`);
    }
    if (shares.length < 6 || shares.length % 2 !== 0) {
      throw fail(`${shares.length} coordinates are no polygon; give x and y of 3 corners or more`);
    }
    const ring = shares.map((share, k) => {
      // No number that Number() takes but files do not hold: hexadecimal, "Infinity".
      const value = /^[\d.]+(e-?\d+)?$/i.test(share) ? Number(share) : Number.NaN;
      if (!(value >= 0 && value <= 1)) {
        throw fail(`coordinate ${quote(share)}; give shares of the picture from 0 to 1`);
      }
      return value * (k % 2 === 0 ? width : height);
    });
    canvas.fillRings([ring], Number(label));
  }
  return canvas.result;
}

/**
 * The file data.yaml of a data set whose pictures lie in `images/train` and `images/val` beside it.
 *
 * @throws InputError for names given twice or with half a character
 */
export function encodeYoloNames(labels: readonly string[]): string {
  checkNames("YOLO names", labels);
  const names = labels.map((label, i) => `  ${i}: "${label.replace(UNSAFE, escapeCharacter)}"\n`);
  return `train: images/train\nval: images/val\nnames:\n${names.join("")}`;
}

/** What double-quoted YAML cannot hold as it is, or what an editor would not show. */
const UNSAFE = /["\\]|[^ \p{L}\p{M}\p{N}\p{P}\p{S}]/gu;

function escapeCharacter(character: string): string {
  if (character === '"' || character === "\\") return `\\${character}`;
  const code = (character.codePointAt(0) ?? 0).toString(16);
  return code.length > 4 ? `\\U${code.padStart(8, "0")}` : `\\u${code.padStart(4, "0")}`;
}

/** Most characters of a data.yaml; that of 10,000 classes has a quarter of one million. */
const MAX_YAML = 4e6;

/**
 * Reads the names of data.yaml: numbered (`0: dog`), as a list of lines (`- dog`) or in brackets.
 *
 * @throws InputError where it is no YAML or has no names, or a number is missing
 * @example
 * decodeYoloNames("names: [dog, 'traffic light']"); // ["dog", "traffic light"]
 */
export function decodeYoloNames(text: string): string[] {
  if (text.length > MAX_YAML) {
    throw new InputError(`data.yaml: it has ${text.length} characters; give at most ${MAX_YAML}`);
  }
  // All scalars stay text: a class may be called 7, no or null.
  const document = parseDocument(text, { schema: "failsafe", prettyErrors: false });
  const [error] = document.errors;
  if (error !== undefined) {
    const line = text.slice(0, error.pos[0]).split("\n").length;
    throw new InputError(`data.yaml: line ${line} is not YAML (${error.message}); correct it`);
  }
  const names = yoloNames(document);
  checkNames("data.yaml", names);
  return names;
}

function yoloNames(document: Document): string[] {
  let names: unknown;
  try {
    names = (document.toJS() as { names?: unknown } | null)?.names;
  } catch (error) {
    // Too many aliases, or one without an anchor.
    throw new InputError(`data.yaml: ${(error as Error).message}; write the names out`);
  }
  if (typeof names !== "object" || names === null) {
    throw new InputError('data.yaml: no "names:" with a list or numbered names; put it there');
  }
  const values = Array.isArray(names) ? names : numbered(names as Record<string, unknown>);
  return values.map((name, i) => {
    if (typeof name === "string") return name;
    throw new InputError(`data.yaml: name ${i} is ${quote(JSON.stringify(name))}; give a text`);
  });
}

/** Values of the keys 0, 1, 2 and so on. */
function numbered(names: Record<string, unknown>): unknown[] {
  const { length } = Object.keys(names);
  return Array.from({ length }, (_, i) => {
    if (Object.hasOwn(names, i)) return names[i];
    throw new InputError(
      `data.yaml: of ${length} names none has the number ${i}; number them from 0`,
    );
  });
}
