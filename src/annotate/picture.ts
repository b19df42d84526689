// What the formats share: annotated pictures as they are read, painted within bounds; names and JSON
// from strangers, checked.

import type * as z from "zod/mini";
import { quote } from "../checkpoint/quote.js";
import { InputError } from "../errors.js";
import type { LabelMap } from "../output/label-map.js";
import type { Ring } from "./polygons.js";
import { forEachSpan } from "./rasterise.js";

/** A picture and its labels, as read from an annotation file. */
export interface AnnotatedPicture {
  /** As the file names the picture: a stranger's text, no path to be followed. */
  readonly file: string;
  /** The labels; what none of them covers is background, value 0. */
  readonly result: LabelMap;
}

/** Enough for 11,585 x 11,585; bounds the memory that a hostile file can ask for. */
const MAX_PIXELS = 1 << 27;
const MAX_LABELS = 65535;
/** How often annotations may cover a picture; more is an attack on our time. */
const MAX_LAYERS = 64;
/** Steps that even the smallest picture may take. */
const MIN_WORK = 1 << 24;

/** A label map being painted; later labels cover earlier ones. */
export class Canvas {
  readonly result: LabelMap;
  private work: number;

  /**
   * @param subject begins the messages
   * @throws InputError for a size that is none or beyond 2^27 pixels, and beyond 65,535 labels
   */
  constructor(
    private readonly subject: string,
    readonly width: number,
    readonly height: number,
    labels: readonly string[],
  ) {
    const whole = Number.isInteger(width) && Number.isInteger(height) && width > 0 && height > 0;
    if (!whole || width * height > MAX_PIXELS) {
      throw new InputError(
        `${subject}: ${width} x ${height} is no size of a picture or too large; ` +
          "give whole numbers from 1, 2^27 pixels at most",
      );
    }
    if (labels.length > MAX_LABELS) {
      throw new InputError(`${subject}: ${labels.length} labels; give at most ${MAX_LABELS}`);
    }
    const pixels = width * height;
    const map = labels.length > 255 ? new Uint16Array(pixels) : new Uint8Array(pixels);
    this.result = { width, height, labels, background: true, map };
    this.work = MAX_LAYERS * pixels + MIN_WORK;
  }

  /** Gives the pixels from `from` up to `to`, counted row by row, the label with this index. */
  fill(from: number, to: number, label: number): void {
    this.spend(to - from);
    this.result.map.fill(label + 1, from, to);
  }

  /** The same within a column. */
  fillColumn(x: number, from: number, to: number, label: number): void {
    this.spend(to - from);
    for (let y = from; y < to; y++) this.result.map[y * this.width + x] = label + 1;
  }

  /** Paints what an odd number of the rings encloses. */
  fillRings(rings: readonly Ring[], label: number): void {
    const crossings = forEachSpan(rings, this.width, this.height, (y, from, to) => {
      this.fill(y * this.width + from, y * this.width + to, label);
    });
    this.spend(crossings);
  }

  /**
   * Counts steps of work.
   * @throws InputError when annotations cover the picture far more often than any real ones
   */
  spend(steps: number): void {
    this.work -= steps;
    if (this.work >= 0) return;
    throw new InputError(
      `${this.subject}: annotations cover the picture more than ${MAX_LAYERS} times; remove some`,
    );
  }
}

/**
 * Refuses labels that no file can hold: twice the same, or with half a character (a lone surrogate).
 *
 * @param subject begins the messages
 */
export function checkNames(subject: string, labels: readonly string[]): void {
  const seen = new Set<string>();
  for (const label of labels) {
    if (/\p{Surrogate}/u.test(label)) {
      throw refuseName(subject, label, "holds half of a character", "take it out");
    }
    if (seen.has(label)) throw refuseName(subject, label, "comes twice", "rename one of the two");
    seen.add(label);
  }
}

export function refuseName(
  subject: string,
  label: string,
  fault: string,
  wayOut: string,
): InputError {
  return new InputError(`${subject}: label ${quote(label)} ${fault}; ${wayOut}`);
}

/** The score of each label, rounded to six decimals. */
export function roundScores(labels: readonly string[], scores: ArrayLike<number>): number[] {
  if (scores.length !== labels.length) {
    throw new InputError(`Scores: ${scores.length} for ${labels.length} labels; give one for each`);
  }
  // Rounding keeps the last digits, which differ between processors, out of the files.
  return Array.from(scores, (score) => Math.round(score * 1e6) / 1e6);
}

/**
 * The data of a file, checked; a text is parsed first.
 *
 * @param subject begins the message
 */
export function checkData<T>(subject: string, schema: z.ZodMiniType<T>, data: unknown): T {
  const parsed = schema.safeParse(typeof data === "string" ? parseJson(subject, data) : data);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const place = issue.path.length > 0 ? ` at ${quote(issue.path.join("."))}` : "";
  throw new InputError(
    `${subject}: not such a file, wrong${place} (${issue.message}); export it again`,
  );
}

function parseJson(subject: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new InputError(`${subject}: no JSON (${(error as Error).message}); export it again`);
  }
}
