// CVAT's "Segmentation mask 1.1": a ZIP archive of masks in colours, by label and by object, with the
// list of colours (labelmap.txt) and of pictures (ImageSets). The colours are PASCAL VOC's.

import { quote } from "../checkpoint/quote.js";
import { openZip, type ZipArchive, ZipWriter } from "../checkpoint/zip.js";
import { CheckpointError, InputError } from "../errors.js";
import { countValues, type LabelMap, type ValueMap, valueCount } from "../output/label-map.js";
import { vocPalette } from "../output/palette.js";
import { type AnnotatedPicture, checkNames, refuseName } from "./picture.js";
import { decodePng, encodeRgbPng, type PngMeaning } from "./rgb-png.js";
import { findRegions } from "./trace.js";

/** CVAT has a colour for 255 objects and labels beside the background. */
const MAX_OBJECTS = 255;
const LABEL_MAP = "labelmap.txt";
const CLASSES = "SegmentationClass/";
const OBJECTS = "SegmentationObject/";
const SETS = "ImageSets/Segmentation/";
const BACKGROUND = "background";
const BLACK = 0;

/** A ZIP archive has room for twice as many entries, and for 4 GiB. */
const MAX_PICTURES = 32_000;
const FULL_BYTES = 2 ** 31;
/** What all compressed entries may inflate to when it is read. */
const MAX_INFLATED_BYTES = 2 ** 28;
const MAX_TEXT_BYTES = 2 ** 24;
const MAX_READ_LABELS = 65535;

export interface CvatOptions {
  /** What is one object in CVAT: a label of a picture, or each of its regions. Default "label". */
  readonly per?: "label" | "region";
}

/** Writes pictures into one archive, piece by piece; labels of the same name are one label. */
export class CvatWriter {
  private readonly labels = new Map<string, number>(); // name -> value, from 1
  private readonly names = new Set<string>();
  private readonly zip = new ZipWriter();
  private bytes = 0;

  constructor(private readonly options: CvatOptions = {}) {}

  /** Whether the next picture had better go into another archive. */
  get isFull(): boolean {
    return this.names.size >= MAX_PICTURES || this.bytes >= FULL_BYTES;
  }

  /**
   * Adds a picture.
   *
   * @param file the picture's name in CVAT; folders in it are kept, its extension is not
   * @returns the next pieces of the archive
   * @throws InputError for names that the format cannot hold, pictures given twice, more than 255
   *   labels or objects, or sizes that do not fit
   */
  add(file: string, result: LabelMap): Uint8Array[] {
    const name = file.replace(/\.[^./\\]*$/, "");
    checkItem(name);
    if (this.names.has(name)) {
      throw new InputError(`CVAT: picture ${quote(name)} comes twice; rename one of the two`);
    }
    const classes = this.classMap(result);
    const objects = this.options.per === "region" ? objectMap(classes) : classes;
    const palette = vocPalette();
    const pieces = [
      ...this.zip.add(`${CLASSES}${name}.png`, encodeRgbPng(classes, palette)),
      ...this.zip.add(`${OBJECTS}${name}.png`, encodeRgbPng(objects, palette)),
    ];
    this.names.add(name);
    this.bytes += pieces.reduce((sum, piece) => sum + piece.length, 0);
    return pieces;
  }

  /** The pieces that end the archive: colours, list of pictures, directory. */
  end(): Uint8Array[] {
    const text = (lines: readonly string[]) =>
      new TextEncoder().encode(lines.map((line) => `${line}\n`).join(""));
    const palette = vocPalette();
    const colour = (value: number) => palette.subarray(3 * value, 3 * value + 3).join(",");
    const colours = [BACKGROUND, ...this.labels.keys()].map(
      (label, value) => `${label}:${colour(value)}::`,
    );
    return [
      ...this.zip.add(LABEL_MAP, text(["# label:color_rgb:parts:actions", ...colours])),
      ...this.zip.add(`${SETS}default.txt`, text([...this.names])),
      ...this.zip.end(),
    ];
  }

  /** The map in this archive's values. */
  private classMap(result: LabelMap): ValueMap {
    countValues(result, valueCount(result));
    checkNames("CVAT", result.labels);
    const first = result.background ? 1 : 0;
    const values = new Uint8Array(valueCount(result));
    result.labels.forEach((label, i) => {
      checkLabel(label);
      const value = this.labels.get(label) ?? this.labels.size + 1;
      if (value > MAX_OBJECTS) {
        throw refuseName("CVAT", label, `is one more than ${MAX_OBJECTS}`, "export fewer labels");
      }
      this.labels.set(label, value);
      values[i + first] = value;
    });
    const map = new Uint8Array(result.map.length);
    for (let i = 0; i < map.length; i++) map[i] = values[result.map[i]];
    return { width: result.width, height: result.height, map };
  }
}

/** Numbers the regions of all labels from 1. */
function objectMap(classes: ValueMap): ValueMap {
  const { width, height } = classes;
  const { ids, stride, values } = findRegions(classes);
  let count = 0;
  const numbers = values.map((value) => (value === 0 ? 0 : ++count));
  if (count > MAX_OBJECTS) {
    throw new InputError(
      `CVAT: ${count} regions in a picture, but CVAT reads ${MAX_OBJECTS} objects; ` +
        "export one object for each label",
    );
  }
  const map = new Uint8Array(width * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) map[y * width + x] = numbers[ids[(y + 1) * stride + x + 1] - 1];
  }
  return { width, height, map };
}

/** The format parts its fields by colons and its labels by lines, trims them, and knows comments. */
function checkLabel(label: string): void {
  const refuse = (fault: string, wayOut: string) => refuseName("CVAT", label, fault, wayOut);
  if (/[:\p{Cc}\p{Zl}\p{Zp}]/u.test(label)) {
    throw refuse("holds a colon, a line break or a control character", "take it out");
  }
  if (label === "" || label.trim() !== label || label.startsWith("#")) {
    throw refuse('is empty, begins with "#", or begins or ends with a space', "rename it");
  }
  if (label === BACKGROUND) throw refuse("is what CVAT calls pixels without a label", "rename it");
}

/** A picture's name is a path below the archive's folders. */
function checkItem(name: string): void {
  const parts = name.split("/");
  const leads = parts.some((part) => part === "" || part === "." || part === "..");
  if (leads || /[\\\p{Cc}\p{Cs}\p{Zl}\p{Zp}]|^[a-z]:/iu.test(name) || name.trim() !== name) {
    throw new InputError(
      `CVAT: picture name ${quote(name)} is no plain path below a folder; rename the picture`,
    );
  }
}

/**
 * Reads the masks by label of an archive, one picture at a time: every picture that its lists name and
 * that has a mask. Masks may be in colours, or grey with the line numbers of labelmap.txt.
 *
 * @param bytes the ZIP archive
 * @throws InputError when it is damaged or hostile (compressed beyond 256 MiB, paths that lead out of
 *   it), or holds a colour that labelmap.txt does not
 */
export async function* decodeCvat(bytes: Uint8Array): AsyncGenerator<AnnotatedPicture> {
  const archive = await unzip(() => openZip(bytes, MAX_INFLATED_BYTES));
  const readText = async (name: string): Promise<string> => {
    if ((archive.sizes.get(name) ?? 0) > MAX_TEXT_BYTES) {
      throw new InputError(`CVAT archive: ${quote(name)} is larger than 16 MiB; export it again`);
    }
    return new TextDecoder().decode(await read(archive, name));
  };
  const names = new Set(archive.names);
  for (const name of names) checkItem(name.replace(/\/$/, ""));
  if (!names.has(LABEL_MAP)) {
    throw new InputError(`CVAT archive: no ${LABEL_MAP}; export it as "Segmentation mask 1.1"`);
  }
  const { labels, ...meaning } = readLabelMap(await readText(LABEL_MAP));
  const items = new Set<string>();
  for (const name of names) {
    if (!name.startsWith(SETS) || !name.endsWith(".txt")) continue;
    for (const line of (await readText(name)).split(/\r?\n/)) {
      if (line.trim() !== "") items.add(line.trim());
    }
  }
  for (const file of items) {
    checkItem(file);
    const path = `${CLASSES}${file}.png`;
    if (!names.has(path)) continue;
    const map = await decodePng(await read(archive, path), meaning);
    yield { file, result: { ...map, labels, background: true } };
  }
}

const read = (archive: ZipArchive, name: string): Promise<Uint8Array> =>
  unzip(() => archive.read(name));

/** The ZIP reader speaks of checkpoints. */
async function unzip<T>(action: () => T | Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    if (!(error instanceof CheckpointError)) throw error;
    throw new InputError(
      "CVAT archive: not a sound ZIP archive, or more than 256 MiB compressed; export it again, with " +
        "fewer pictures at a time",
      { cause: error },
    );
  }
}

/** Labels of a labelmap.txt without the background, and the values of colours and lines. */
function readLabelMap(text: string): PngMeaning & { labels: string[] } {
  const palette = vocPalette();
  const entries = text
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line, i) => readLabelLine(line, palette.subarray(3 * i, 3 * i + 3)));
  if (entries.length > MAX_READ_LABELS) {
    throw new InputError(`CVAT archive: ${entries.length} labels; give at most ${MAX_READ_LABELS}`);
  }
  // The background is what is black, or else what is called so.
  const black = entries.findIndex(({ rgb }) => rgb === BLACK);
  const background = black >= 0 ? black : entries.findIndex(({ name }) => name === BACKGROUND);
  const labels: string[] = [];
  const values: number[] = [];
  const colours = new Map<number, number>();
  for (const [i, { name, rgb }] of entries.entries()) {
    if (colours.has(rgb)) {
      throw refuseName("CVAT archive", name, "has the colour of another", "give it its own");
    }
    values.push(i === background ? 0 : labels.push(name));
    colours.set(rgb, values[i]);
  }
  checkNames("CVAT archive", labels);
  if (black < 0) colours.set(BLACK, 0);
  return {
    labels,
    colour: (rgb) =>
      colours.get(rgb) ?? unknown(`colour ${[rgb >> 16, (rgb >> 8) & 255, rgb & 255]}`),
    grey: (level) => values[level] ?? unknown(`grey level ${level}`),
  };
}

function unknown(pixel: string): never {
  throw new InputError(`CVAT archive: a mask has the ${pixel}, ${LABEL_MAP} has not; add it there`);
}

/** `name:r,g,b:parts:actions`; without a colour it has that of its line in PASCAL VOC's palette. */
function readLabelLine(line: string, ownColour: Uint8Array): { name: string; rgb: number } {
  const [name, colour = "", ...rest] = line.split(":");
  const [r, g, b] = colour === "" ? ownColour : rgbBytes(colour);
  if (rest.length !== 2 || b === undefined) {
    throw new InputError(
      `CVAT archive: ${quote(line)} in ${LABEL_MAP}; write name:red,green,blue:: with 0 to 255`,
    );
  }
  return { name, rgb: (r << 16) | (g << 8) | b };
}

/** Three bytes, or nothing when the text is something else. */
function rgbBytes(text: string): number[] {
  if (!/^ *\d{1,3} *, *\d{1,3} *, *\d{1,3} *$/.test(text)) return [];
  const bytes = text.split(",").map(Number);
  return bytes.every((byte) => byte <= 255) ? bytes : [];
}
