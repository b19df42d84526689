// COCO's file of instances to one mask a picture: 0 background, 1 to 80 the objects.

import { join } from "node:path";
import { makeFolders, writeFileAtomic } from "../../atomic.node.js";
import { InputError } from "../../errors.js";
import { vocPalette } from "../../output/palette.js";
import { encodeLabelPng } from "../../output/png.js";
import { decodeRle, decompressRle, type Rle } from "../../output/rle.js";
import { readJson } from "../../train/data/folder.js";
import { OBJECT_SUFFIX } from "./coco.js";
import { isWholePng, type MadeMasks, type MakeOptions } from "./made.js";
import { COCO_CLASSES } from "./names.js";
import { fillEdges, polygonEdges } from "./polygon.js";

/** Largest picture: COCO's have 640 x 640. */
const MAX_PIXELS = 2 ** 26;

/** What is read of the file; its fields are checked where they are used. */
interface Instances {
  readonly images: readonly CocoImage[];
  readonly annotations: readonly Annotation[];
  readonly categories: readonly { readonly id?: unknown; readonly name?: unknown }[];
}

interface CocoImage {
  readonly id?: unknown;
  readonly file_name?: unknown;
  readonly width?: unknown;
  readonly height?: unknown;
}

interface Annotation {
  readonly id?: unknown;
  readonly image_id?: unknown;
  readonly category_id?: unknown;
  readonly segmentation?: unknown;
}

/**
 * Writes `annotations/<split>/NAME_instanceTrainIds.png` for each picture. Annotations are drawn in the order
 * of the file: a later one lies over an earlier one.
 *
 * @param names pictures, without extension
 * @throws InputError where the file is not COCO's, or lacks a picture
 */
export async function makeCocoMasks(
  file: string,
  root: string,
  split: string,
  names: readonly string[],
  { signal, onProgress }: MakeOptions,
): Promise<MadeMasks> {
  const instances = await readInstances(file);
  const values = categoryValues(instances, file);
  const images = new Map(instances.images.map((image) => [pictureName(image), image]));
  const known = new Set(instances.images.map((image) => image?.id));
  const byImage = new Map<unknown, Annotation[]>();
  for (const annotation of instances.annotations) {
    // Otherwise ids written as text would leave every mask empty.
    if (!known.has(annotation?.image_id)) {
      const picture = JSON.stringify(annotation?.image_id);
      throw new InputError(
        `${file}: annotation ${annotation?.id} has the picture ${picture}, which "images" lacks; correct it`,
      );
    }
    const list = byImage.get(annotation?.image_id);
    if (list) list.push(annotation);
    else byImage.set(annotation?.image_id, [annotation]);
  }
  const folder = join(root, "annotations", split);
  await makeFolders(folder);
  let [made, kept] = [0, 0];
  for (const name of names) {
    signal?.throwIfAborted();
    const path = join(folder, `${name}${OBJECT_SUFFIX}.png`);
    if (await isWholePng(path)) kept++;
    else {
      const image = images.get(name);
      if (image === undefined) {
        throw new InputError(`${file}: it has no picture ${name}; give the instances of ${split}`);
      }
      const mask = drawMask(image, byImage.get(image.id) ?? [], values, file);
      await writeFileAtomic(path, encodeLabelPng(mask, vocPalette()));
      made++;
    }
    onProgress?.(made + kept, names.length, "masks");
  }
  return { made, kept };
}

async function readInstances(file: string): Promise<Instances> {
  const value = (await readJson(file)) as Partial<Record<keyof Instances, unknown>>;
  for (const key of ["images", "annotations", "categories"] as const) {
    if (!Array.isArray(value[key])) {
      throw new InputError(`${file}: it has no list "${key}"; give COCO's file of instances`);
    }
  }
  return value as Instances;
}

function pictureName(image: CocoImage): string | undefined {
  return typeof image?.file_name === "string" ? image.file_name.replace(/\.\w+$/, "") : undefined;
}

/** Mask value of each category id; the file's order must be that of the classes. */
function categoryValues({ categories }: Instances, file: string): Map<unknown, number> {
  const names = categories.map((category) => category?.name);
  const wrong = COCO_CLASSES.findIndex((name, i) => names[i] !== name);
  if (wrong >= 0 || names.length !== COCO_CLASSES.length) {
    const at = wrong >= 0 ? wrong : COCO_CLASSES.length;
    throw new InputError(
      `${file}: its category ${at + 1} of ${names.length} is ${JSON.stringify(names[at])}, in COCO ` +
        `${JSON.stringify(COCO_CLASSES[at])} of ${COCO_CLASSES.length}; give COCO's file of instances`,
    );
  }
  return new Map(categories.map(({ id }, i) => [id, i + 1]));
}

function drawMask(
  image: CocoImage,
  annotations: readonly Annotation[],
  values: ReadonlyMap<unknown, number>,
  file: string,
) {
  const [width, height] = [Number(image.width), Number(image.height)];
  if (!(width >= 1 && height >= 1 && Number.isInteger(width) && Number.isInteger(height))) {
    throw new InputError(`${file}: picture ${image.id} is ${width} x ${height}; correct the file`);
  }
  if (width * height > MAX_PIXELS) {
    throw new InputError(
      `${file}: picture ${image.id} has more than ${MAX_PIXELS} pixels; check it`,
    );
  }
  const map = new Uint8Array(width * height);
  for (const { id, category_id, segmentation } of annotations) {
    const value = values.get(category_id);
    if (value === undefined) {
      throw new InputError(`${file}: annotation ${id} has the category ${category_id}; correct it`);
    }
    try {
      drawSegmentation(map, segmentation, height, width, value);
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      throw new InputError(`${file}: annotation ${id}: ${error.message}`);
    }
  }
  return { width, height, map };
}

/** Polygons in one list each, or run lengths as numbers (crowds) or compressed text. */
function drawSegmentation(
  map: Uint8Array,
  segmentation: unknown,
  height: number,
  width: number,
  value: number,
): void {
  if (Array.isArray(segmentation)) {
    for (const polygon of segmentation) {
      fillEdges(map, polygonEdges(numbers(polygon), height, width), height, width, value);
    }
    return;
  }
  const inside = decodeRle(runLengths(segmentation, height, width));
  for (let i = 0; i < map.length; i++) if (inside[i] === 1) map[i] = value;
}

function runLengths(segmentation: unknown, height: number, width: number): Rle {
  const { size, counts } = (segmentation ?? {}) as { size?: unknown; counts?: unknown };
  const [rows, columns] = numbers(size);
  if (rows !== height || columns !== width) {
    throw new InputError(
      `its mask is ${columns} x ${rows} pixels, the picture ${width} x ${height}; correct the file`,
    );
  }
  if (typeof counts === "string") return decompressRle({ size: [height, width], counts });
  return { size: [height, width], counts: numbers(counts) };
}

function numbers(value: unknown): readonly number[] {
  if (Array.isArray(value) && value.every((item) => typeof item === "number")) return value;
  throw new InputError("it has neither polygons nor run lengths; correct the file");
}
