// Every annotation format behind one small interface: pictures go in one after another, pieces of files
// come out. Nothing is kept but what the end of a file needs, so the number of pictures does not matter.

import { InputError } from "../errors.js";
import { type LabelMap, valueCount, valueName } from "../output/label-map.js";
import { labelPalette } from "../output/palette.js";
import { encodeLabelPng } from "../output/png.js";
import type { Rle } from "../output/rle.js";
import { COCO_HEAD, CocoWriter } from "./coco.js";
import { CvatWriter } from "./cvat.js";
import { FORMAT_TITLES } from "./format-titles.js";
import { encodeGeoJson } from "./geojson.js";
import { JsonList } from "./json-list.js";
import { encodeLabelStudio, labelStudioTask } from "./label-studio.js";
import { checkNames, refuseName } from "./picture.js";
import { encodeSvg } from "./svg.js";
import { encodeYolo, encodeYoloNames } from "./yolo.js";

/** A picture with what the model made of it. */
export interface LabelledPicture {
  /** How annotation files name the picture, such as "trips/sea.jpg". */
  readonly file: string;
  /** Begins the names of files made from it: `file` without its extension, and like no other's. */
  readonly name: string;
  readonly result: LabelMap;
  /** One number from 0 to 1 for each label. */
  readonly scores: ArrayLike<number>;
  /** The mask of each label, where it is known already: `coco` need not find the runs again. */
  readonly masks?: readonly Rle[];
}

/** A piece of a file. */
export interface AnnotationPiece {
  /** Path with forward slashes, below the folder of all results. */
  readonly path: string;
  /**
   * Absent: this is the whole file. Pieces of one file belong together in the order of their sections,
   * and within a section in the order in which they came.
   */
  readonly section?: number;
  readonly content: Uint8Array | string;
}

/** What a picture gives. */
export interface AddedPicture {
  readonly pieces: readonly AnnotationPiece[];
  /** What each label keeps, the IoU of its mask and what was written; absent where nothing is lost. */
  readonly iou?: readonly number[];
}

/** Writes one format. All pictures have the same labels. */
export interface AnnotationWriter {
  /** @throws InputError for what the format cannot hold */
  add(picture: LabelledPicture): AddedPicture;
  /** What comes after the last picture. */
  end(): readonly AnnotationPiece[];
}

export interface AnnotationOptions {
  /** How far polygons may leave the exact outlines, in pixels. Default 0. */
  readonly tolerance?: number;
  /** Label Studio: shown beside each prediction. Default "groupvit". */
  readonly modelVersion?: string;
  /** Label Studio: stands before `file` in the address of a picture. Default "". */
  readonly addressPrefix?: string;
}

export interface AnnotationFormat {
  /** What it is, and what opens it. */
  readonly title: string;
  open(labels: readonly string[], options?: AnnotationOptions): AnnotationWriter;
}

/** A file a picture, all complete when their picture is. */
function filePerPicture(
  encode: (picture: LabelledPicture) => {
    path: string;
    content: Uint8Array | string;
    iou?: readonly number[];
  },
  end: () => readonly AnnotationPiece[] = () => [],
): AnnotationWriter {
  return {
    add(picture) {
      const { path, content, iou } = encode(picture);
      return { pieces: [{ path, content }], iou };
    },
    end,
  };
}

function coco(path: string, shape: "rle" | "polygons"): AnnotationFormat["open"] {
  return (_, { tolerance } = {}) => {
    const writer = new CocoWriter({ shape, tolerance });
    const head = JSON.stringify(COCO_HEAD).slice(0, -1);
    const images = new JsonList(path, 0, `${head},"images":[`);
    const annotations = new JsonList(path, 1, '"annotations":[');
    return {
      add({ file, result, scores, masks }) {
        const added = writer.add(file, result, scores, masks);
        const pieces = [
          images.add(added.image),
          ...added.annotations.map((a) => annotations.add(a)),
        ];
        return shape === "rle" ? { pieces } : { pieces, iou: added.iou };
      },
      end: () => [
        images.end("],"),
        annotations.end("],"),
        {
          path,
          section: 2,
          content: `"categories":${JSON.stringify(writer.categories)}}\n`,
        },
      ],
    };
  };
}

/** The formats by the names that the command line knows. */
export const ANNOTATION_FORMATS = {
  png: {
    title: FORMAT_TITLES.png,
    open(labels) {
      checkNames("PNG", labels);
      const broken = labels.find((label) => /[\n\r]/.test(label));
      if (broken !== undefined) {
        throw refuseName(
          "PNG",
          broken,
          "has a line break, and labels.txt a line for each",
          "take it out",
        );
      }
      let values: string[] = [];
      return filePerPicture(
        ({ name, result }) => {
          const count = valueCount(result);
          values = Array.from({ length: count }, (_, value) => valueName(result, value));
          const palette = labelPalette(count, result.background);
          return { path: `png/${name}.png`, content: encodeLabelPng(result, palette) };
        },
        () => [{ path: "png/labels.txt", content: values.map((v) => `${v}\n`).join("") }],
      );
    },
  },
  coco: {
    title: FORMAT_TITLES.coco,
    open: coco("coco.json", "rle"),
  },
  "coco-polygons": {
    title: FORMAT_TITLES["coco-polygons"],
    open: coco("coco-polygons.json", "polygons"),
  },
  "label-studio": {
    title: FORMAT_TITLES["label-studio"],
    open(_, { modelVersion = "groupvit", addressPrefix = "" } = {}) {
      const tasks = new JsonList("label-studio.json", 0, "[");
      return {
        add({ file, result, scores }) {
          const prediction = encodeLabelStudio(result, scores, { modelVersion });
          return { pieces: [tasks.add(labelStudioTask(`${addressPrefix}${file}`, prediction))] };
        },
        end: () => [tasks.end("]\n")],
      };
    },
  },
  cvat: {
    title: FORMAT_TITLES.cvat,
    open() {
      let writer = new CvatWriter();
      let number = 1;
      const pieces = (parts: readonly Uint8Array[]): AnnotationPiece[] => {
        const path = number === 1 ? "cvat.zip" : `cvat-${number}.zip`;
        return parts.map((content) => ({ path, section: 0, content }));
      };
      return {
        // By name: CVAT knows pictures without their extension, so that two files may be called alike.
        add({ name, result }) {
          const done = writer.isFull ? pieces(writer.end()) : [];
          if (writer.isFull) {
            writer = new CvatWriter();
            number++;
          }
          return { pieces: [...done, ...pieces(writer.add(`${name}.png`, result))] };
        },
        end: () => pieces(writer.end()),
      };
    },
  },
  yolo: {
    title: FORMAT_TITLES.yolo,
    open: (labels, { tolerance } = {}) =>
      filePerPicture(
        ({ name, result }) => {
          const { text, iou } = encodeYolo(result, tolerance);
          return { path: `yolo/labels/train/${name}.txt`, content: text, iou };
        },
        () => [{ path: "yolo/data.yaml", content: encodeYoloNames(labels) }],
      ),
  },
  svg: {
    title: FORMAT_TITLES.svg,
    open: (_, { tolerance } = {}) =>
      filePerPicture(({ name, result }) => {
        const { text, iou } = encodeSvg(result, tolerance);
        return { path: `svg/${name}.svg`, content: text, iou };
      }),
  },
  geojson: {
    title: FORMAT_TITLES.geojson,
    open: (_, { tolerance } = {}) =>
      filePerPicture(({ name, result, scores }) => {
        const collection = encodeGeoJson(result, scores, tolerance);
        // Features stand in the order of the labels, without those that have no pixel.
        const kept = new Map(
          collection.features.map(({ properties: { label, iou } }) => [label, iou]),
        );
        return {
          path: `geojson/${name}.geojson`,
          content: `${JSON.stringify(collection)}\n`,
          iou: result.labels.map((label) => kept.get(label) ?? 1),
        };
      }),
  },
} as const satisfies Record<keyof typeof FORMAT_TITLES, AnnotationFormat>;

export type AnnotationFormatName = keyof typeof ANNOTATION_FORMATS;

export const ANNOTATION_FORMAT_NAMES = Object.keys(
  ANNOTATION_FORMATS,
) as readonly AnnotationFormatName[];

/**
 * Refuses labels that a format cannot hold, before any picture is labelled.
 *
 * @throws InputError naming format and label
 */
export function checkLabels(
  name: AnnotationFormatName,
  labels: readonly string[],
  options?: AnnotationOptions,
): void {
  const format: AnnotationFormat = ANNOTATION_FORMATS[name];
  const writer = format.open(labels, options);
  // Every label is in it, each with a pixel.
  const map = Uint16Array.from(labels, (_, i) => i);
  if (map.length === 0) throw new InputError(`${name}: no labels; give at least one`);
  const result = { width: map.length, height: 1, labels, background: false, map };
  writer.add({ file: "a.png", name: "a", result, scores: labels.map(() => 0) });
  writer.end();
}

/** The files of pictures that fit into memory, by their paths. */
export function annotationFiles(
  name: AnnotationFormatName,
  pictures: Iterable<LabelledPicture>,
  labels: readonly string[],
  options?: AnnotationOptions,
): Map<string, Uint8Array> {
  const format: AnnotationFormat = ANNOTATION_FORMATS[name];
  const writer = format.open(labels, options);
  const pieces: AnnotationPiece[] = [];
  for (const picture of pictures) pieces.push(...writer.add(picture).pieces);
  pieces.push(...writer.end());
  const files = new Map<string, AnnotationPiece[]>();
  for (const piece of pieces) {
    const known = files.get(piece.path);
    if (known) known.push(piece);
    else files.set(piece.path, [piece]);
  }
  return new Map(Array.from(files, ([path, parts]) => [path, joined(parts)]));
}

function joined(parts: readonly AnnotationPiece[]): Uint8Array {
  const ordered = [...parts].sort((a, b) => (a.section ?? 0) - (b.section ?? 0));
  const encoder = new TextEncoder();
  const chunks = ordered.map(({ content }) =>
    typeof content === "string" ? encoder.encode(content) : content,
  );
  const bytes = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}
