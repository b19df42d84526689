// COCO's annotation files: pictures, categories, and masks as compressed RLE or polygons.

import * as z from "zod/mini";
import { InputError } from "../errors.js";
import { type LabelMap, valueCount } from "../output/label-map.js";
import {
  type CompressedRle,
  compressRle,
  decompressRle,
  encodeAllRle,
  type Rle,
  rleArea,
  rleBox,
} from "../output/rle.js";
import { joinHoles } from "./join-holes.js";
import { type AnnotatedPicture, Canvas, checkData, checkNames, roundScores } from "./picture.js";
import { labelPolygons, type RegionPolygon, type Ring } from "./polygons.js";
import { forEachSpan, ringsOf } from "./rasterise.js";

export interface CocoImage {
  readonly id: number;
  readonly file_name: string;
  readonly width: number;
  readonly height: number;
}

export interface CocoCategory {
  readonly id: number;
  readonly name: string;
  readonly supercategory: string;
}

export interface CocoAnnotation {
  readonly id: number;
  readonly image_id: number;
  readonly category_id: number;
  /** RLE, or rings `x0, y0, x1, y1, ...` in pixels, holes joined to what is around them. */
  readonly segmentation: CompressedRle | readonly Ring[];
  /** Pixels, of the mask in either case. */
  readonly area: number;
  readonly bbox: readonly [x: number, y: number, width: number, height: number];
  readonly iscrowd: 0;
  /** 0 to 1; present where scores were given. */
  readonly score?: number;
}

/** Plain data for `JSON.stringify`. Ids count from 1. */
export interface CocoDataset {
  readonly info: { readonly description: string };
  readonly licenses: readonly never[];
  readonly images: readonly CocoImage[];
  readonly categories: readonly CocoCategory[];
  readonly annotations: readonly CocoAnnotation[];
}

export interface CocoOptions {
  /** RLE keeps every pixel; polygons are what most tools can edit. Default "rle". */
  readonly shape?: "rle" | "polygons";
  /** One annotation for each label of a picture, or for each of its regions. Default "label". */
  readonly per?: "label" | "region";
  /** How far polygons may leave the exact outlines, in pixels. Default 0. */
  readonly tolerance?: number;
}

type Box = CocoAnnotation["bbox"];
type Mask = Pick<CocoAnnotation, "segmentation" | "area" | "bbox">;

/** What one picture adds to a data set. */
export interface CocoPicture {
  readonly image: CocoImage;
  readonly annotations: readonly CocoAnnotation[];
  /** What each label keeps: the IoU of its mask and what was written; 1 for RLE. */
  readonly iou: readonly number[];
}

/** Numbers pictures and annotations of one data set; labels of the same name are one category. */
export class CocoWriter {
  private readonly known = new Map<string, CocoCategory>();
  private pictures = 0;
  private masks = 0;

  constructor(private readonly options: CocoOptions = {}) {}

  /**
   * Adds a picture. Its labels become categories, present or not.
   *
   * @param file as the picture is to be named
   * @param scores one number from 0 to 1 for each label
   * @param known the mask of each label, where it is known already; saves finding the runs
   * @throws InputError for labels given twice or with half a character, or sizes that do not fit
   */
  add(
    file: string,
    result: LabelMap,
    scores?: ArrayLike<number>,
    known?: readonly Rle[],
  ): CocoPicture {
    checkNames("COCO", result.labels);
    const rounded = scores && roundScores(result.labels, scores);
    const { masks, iou } =
      this.options.shape === "polygons"
        ? polygonMasks(result, this.options)
        : rleMasks(result, this.options, known);
    const image_id = ++this.pictures;
    const annotations = result.labels.flatMap((name, i) => {
      const category_id = this.category(name);
      const score = rounded && { score: rounded[i] };
      return masks[i].map((mask): CocoAnnotation => {
        const id = ++this.masks;
        return { id, image_id, category_id, ...mask, iscrowd: 0, ...score };
      });
    });
    const { width, height } = result;
    return { image: { id: image_id, file_name: file, width, height }, annotations, iou };
  }

  /** Of all pictures so far. */
  get categories(): CocoCategory[] {
    return [...this.known.values()];
  }

  private category(name: string): number {
    const known = this.known.get(name);
    if (known !== undefined) return known.id;
    const id = this.known.size + 1;
    this.known.set(name, { id, name, supercategory: "" });
    return id;
  }
}

/** What stands at the beginning of every data set. */
export const COCO_HEAD = { info: { description: "Segmented by GroupViT" }, licenses: [] } as const;

/** A picture for a data set. */
export interface CocoInput extends AnnotatedPicture {
  readonly scores?: ArrayLike<number>;
}

/** The data set of pictures that fit into memory; `CocoWriter` gives it one picture after another. */
export function encodeCoco(pictures: Iterable<CocoInput>, options?: CocoOptions): CocoDataset {
  const writer = new CocoWriter(options);
  const added = Array.from(pictures, ({ file, result, scores }) =>
    writer.add(file, result, scores),
  );
  return {
    ...COCO_HEAD,
    images: added.map(({ image }) => image),
    categories: writer.categories,
    annotations: added.flatMap(({ annotations }) => annotations),
  };
}

/** Masks of each label, and what they keep. */
interface Masks {
  readonly masks: readonly (readonly Mask[])[];
  readonly iou: number[];
}

function rleMasks(result: LabelMap, { per }: CocoOptions, known?: readonly Rle[]): Masks {
  const iou = result.labels.map(() => 1);
  if (per !== "region") {
    const rles = known ?? encodeAllRle(result, valueCount(result)).slice(result.background ? 1 : 0);
    return { masks: rles.map((rle) => (rleArea(rle) > 0 ? [rleMask(rle)] : [])), iou };
  }
  const masks = labelPolygons(result).map(({ polygons }) =>
    polygons.map((polygon) => rleMask(rleOf(polygon, result.width, result.height))),
  );
  return { masks, iou };
}

function rleMask(rle: Rle): Mask {
  return { segmentation: compressRle(rle), area: rleArea(rle), bbox: rleBox(rle) };
}

/** The runs of a region, which are the spans of its outline with rows and columns exchanged. */
function rleOf(polygon: RegionPolygon, width: number, height: number): Rle {
  const turned = ringsOf([polygon]).map((ring) => ring.map((_, i) => ring[i ^ 1]));
  const counts: number[] = [];
  let end = 0;
  forEachSpan(turned, height, width, (x, from, to) => {
    const start = x * height + from;
    // A run goes on from the foot of one column to the head of the next.
    if (start === end && counts.length > 0) counts[counts.length - 1] += to - from;
    else counts.push(start - end, to - from);
    end = x * height + to;
  });
  if (end < width * height) counts.push(width * height - end);
  return { size: [height, width], counts };
}

function polygonMasks(result: LabelMap, { per, tolerance }: CocoOptions): Masks {
  const labels = labelPolygons(result, tolerance);
  const masks = labels.map(({ polygons }) => {
    if (per === "region") return polygons.map((polygon) => polygonMask([polygon]));
    return polygons.length > 0 ? [polygonMask(polygons)] : [];
  });
  return { masks, iou: labels.map(({ iou }) => iou) };
}

function polygonMask(polygons: readonly RegionPolygon[]): Mask {
  return {
    segmentation: polygons.map(joinHoles),
    area: polygons.reduce((sum, polygon) => sum + polygon.area, 0),
    bbox: boxOf(polygons.map(({ exterior }) => exterior)),
  };
}

function boxOf(rings: readonly Ring[]): Box {
  let [left, top] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
  let [right, bottom] = [Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const ring of rings) {
    for (let i = 0; i < ring.length; i += 2) {
      left = Math.min(left, ring[i]);
      right = Math.max(right, ring[i]);
      top = Math.min(top, ring[i + 1]);
      bottom = Math.max(bottom, ring[i + 1]);
    }
  }
  return [left, top, right - left, bottom - top];
}

const idSchema = z.union([z.number(), z.string()]);
const ringSchema = z.array(z.number());
const datasetSchema = z.object({
  images: z.array(
    z.object({ id: idSchema, file_name: z.string(), width: z.number(), height: z.number() }),
  ),
  categories: z.array(z.object({ id: idSchema, name: z.string() })),
  annotations: z.array(
    z.object({
      image_id: idSchema,
      category_id: idSchema,
      segmentation: z.union([
        z.array(ringSchema),
        z.object({
          size: z.tuple([z.number(), z.number()]),
          counts: z.union([z.string(), z.array(z.number())]),
        }),
      ]),
    }),
  ),
});
type Segmentation = z.infer<typeof datasetSchema>["annotations"][number]["segmentation"];

/**
 * Reads a COCO annotation file with masks as RLE, compressed or not, or as polygons. The labels of
 * every picture are the categories in their order; later annotations cover earlier ones.
 *
 * One picture is painted at a time, so a file of many pictures needs the memory of one.
 *
 * @param data the file's text, or the object it holds
 * @throws InputError naming what is wrong, when the picture that it concerns is reached
 */
export function* decodeCoco(data: unknown): Generator<AnnotatedPicture> {
  const { images, categories, annotations } = checkData("COCO", datasetSchema, data);
  const labels = categories.map(({ name }) => name);
  checkNames("COCO", labels);
  const indices = placesOf("category", categories);
  const byImage = images.map((): typeof annotations => []);
  const places = placesOf("image", images);
  for (const annotation of annotations) {
    byImage[place("image", places, annotation.image_id)].push(annotation);
  }
  for (const [i, image] of images.entries()) {
    const canvas = new Canvas("COCO", image.width, image.height, labels);
    for (const { category_id, segmentation } of byImage[i]) {
      paint(canvas, segmentation, place("category", indices, category_id));
    }
    yield { file: image.file_name, result: canvas.result };
  }
}

type Id = number | string;

/** The place of each id in its list. */
function placesOf(kind: string, list: readonly { id: Id }[]): Map<Id, number> {
  const places = new Map<Id, number>();
  for (const [i, { id }] of list.entries()) {
    if (places.has(id)) {
      throw new InputError(`COCO: ${kind} id ${JSON.stringify(id)} comes twice; number them anew`);
    }
    places.set(id, i);
  }
  return places;
}

function place(kind: string, places: ReadonlyMap<Id, number>, id: Id): number {
  const found = places.get(id);
  if (found !== undefined) return found;
  throw new InputError(
    `COCO: an annotation names the ${kind} ${JSON.stringify(id)}, which is not there; add it`,
  );
}

function paint(canvas: Canvas, segmentation: Segmentation, label: number): void {
  if (Array.isArray(segmentation)) {
    for (const ring of segmentation) {
      if (ring.length % 2 !== 0 || ring.length < 6) {
        throw new InputError(
          `COCO: a polygon has ${ring.length} numbers; give x and y of at least 3 corners`,
        );
      }
      canvas.fillRings([ring], label);
    }
    return;
  }
  const { size, counts } = segmentation;
  const { width, height } = canvas;
  if (size[0] !== height || size[1] !== width) {
    throw new InputError(
      `COCO: a mask of ${size[0]} x ${size[1]} for a picture of ${height} x ${width}; ` +
        "give it the size of the picture, height first",
    );
  }
  const rle: Rle = typeof counts === "string" ? decompressRle({ size, counts }) : { size, counts };
  rleArea(rle); // throws for counts that do not add up
  let at = 0;
  rle.counts.forEach((run, i) => {
    const end = at + run;
    while (i % 2 === 1 && at < end) {
      const x = Math.floor(at / height);
      const to = Math.min(end, (x + 1) * height);
      canvas.fillColumn(x, at - x * height, to - x * height, label);
      at = to;
    }
    at = end;
  });
}
