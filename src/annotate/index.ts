// Label maps to annotation files and back: the entry point `groupvit/annotate`, for Node and browsers.

/**
 * @example
 * import { annotationFiles, decodeCoco } from "groupvit/annotate";
 *
 * const result = {
 *   width: 3,
 *   height: 2,
 *   labels: ["cat", "dog"],
 *   background: true, // 0 is background, 1 cat, 2 dog
 *   map: Uint8Array.of(0, 1, 1, 0, 2, 1),
 * };
 * const picture = { file: "park.jpg", name: "park", result, scores: [0.9, 0.6] };
 * const files = annotationFiles("coco", [picture], result.labels);
 * const text = new TextDecoder().decode(files.get("coco.json"));
 * for (const { file, result } of decodeCoco(text)) console.log(file, result.map); // park.jpg 0 1 1 0 2 1
 */
export type { LabelMap, ValueMap } from "../output/label-map.js";
export { decodeLabelPng, encodeLabelPng } from "../output/png.js";
export type { Rle } from "../output/rle.js";
export { packBrush, unpackBrush } from "./brush-rle.js";
export type {
  CocoAnnotation,
  CocoCategory,
  CocoDataset,
  CocoImage,
  CocoInput,
  CocoOptions,
  CocoPicture,
} from "./coco.js";
export { CocoWriter, decodeCoco, encodeCoco } from "./coco.js";
export type { CvatOptions } from "./cvat.js";
export { CvatWriter, decodeCvat } from "./cvat.js";
export type {
  AddedPicture,
  AnnotationFormat,
  AnnotationFormatName,
  AnnotationOptions,
  AnnotationPiece,
  AnnotationWriter,
  LabelledPicture,
} from "./formats.js";
export {
  ANNOTATION_FORMAT_NAMES,
  ANNOTATION_FORMATS,
  annotationFiles,
  checkLabels,
} from "./formats.js";
export type { LabelFeature, LabelFeatures } from "./geojson.js";
export { decodeGeoJson, encodeGeoJson } from "./geojson.js";
export type {
  BrushPrediction,
  BrushResult,
  LabelStudioOptions,
  LabelStudioTask,
} from "./label-studio.js";
export { decodeLabelStudio, encodeLabelStudio, labelStudioTask } from "./label-studio.js";
export type { AnnotatedPicture } from "./picture.js";
export type { Polygon, RegionPolygon, Ring } from "./polygons.js";
export { tracePolygons } from "./polygons.js";
export { polygonLoss, rasterise } from "./rasterise.js";
export type { SvgLabels } from "./svg.js";
export { decodeSvg, encodeSvg } from "./svg.js";
export type { YoloLabels } from "./yolo.js";
export { decodeYolo, decodeYoloNames, encodeYolo, encodeYoloNames } from "./yolo.js";
