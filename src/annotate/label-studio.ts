// Label Studio's predictions and annotations with brush masks.

import * as z from "zod/mini";
import { InputError } from "../errors.js";
import { countValues, type LabelMap, valueCount } from "../output/label-map.js";
import { packBrush, unpackBrush } from "./brush-rle.js";
import { Canvas, checkData, checkNames, roundScores } from "./picture.js";

/** One label's mask. */
export interface BrushResult {
  readonly id: string;
  readonly type: "brushlabels";
  readonly from_name: string;
  readonly to_name: string;
  readonly original_width: number;
  readonly original_height: number;
  readonly image_rotation: 0;
  /** 0 to 1. */
  readonly score: number;
  readonly value: {
    readonly format: "rle";
    /** Bytes of Label Studio's own encoding, see brush-rle.ts. */
    readonly rle: readonly number[];
    readonly brushlabels: readonly [string];
  };
}

/** Plain data for `JSON.stringify`, as the protocol of ML backends and imports have it. */
export interface BrushPrediction {
  readonly model_version: string;
  /** 0 to 1: the scores of the labels, each as often as it has pixels, on average. */
  readonly score: number;
  readonly result: readonly BrushResult[];
}

export interface LabelStudioOptions {
  /** Shown beside the prediction. */
  readonly modelVersion: string;
  /**
   * Name of the `BrushLabels` tag of the project's labelling interface, or, where it has several, that of
   * each label's. Default "tag".
   */
  readonly fromName?: string | readonly string[];
  /** Name of its `Image` tag. Default "image". */
  readonly toName?: string;
}

/**
 * The labels of a picture as a prediction. Labels without a pixel are left out.
 *
 * @param scores one number from 0 to 1 for each label
 * @throws InputError for labels given twice or with half a character, sizes that do not fit, or another
 *   number of tags than of labels
 */
export function encodeLabelStudio(
  result: LabelMap,
  scores: ArrayLike<number>,
  { modelVersion, fromName = "tag", toName = "image" }: LabelStudioOptions,
): BrushPrediction {
  const { width, height, labels } = result;
  checkNames("Label Studio", labels);
  const rounded = roundScores(labels, scores);
  const tags = typeof fromName === "string" ? labels.map(() => fromName) : fromName;
  if (tags.length !== labels.length) {
    throw new InputError(
      `Label Studio: ${tags.length} tags for ${labels.length} labels; give one for each`,
    );
  }
  const areas = countValues(result, valueCount(result));
  const spans = spansOf(result);
  const results: BrushResult[] = [];
  let area = 0;
  let weighted = 0;
  labels.forEach((label, i) => {
    const value = i + (result.background ? 1 : 0);
    if (areas[value] === 0) return;
    area += areas[value];
    weighted += areas[value] * rounded[i];
    results.push({
      id: `groupvit-${i + 1}`,
      type: "brushlabels",
      from_name: tags[i],
      to_name: toName,
      original_width: width,
      original_height: height,
      image_rotation: 0,
      score: rounded[i],
      value: {
        format: "rle",
        rle: Array.from(packBrush(spans[value], width * height)),
        brushlabels: [label],
      },
    });
  });
  const score = area === 0 ? 0 : Math.round((weighted / area) * 1e6) / 1e6;
  return { model_version: modelVersion, score, result: results };
}

/** For each value, `from, to` of its stretches of pixels, counted row by row. */
function spansOf(result: LabelMap): number[][] {
  const spans = Array.from({ length: valueCount(result) }, (): number[] => []);
  const { map } = result;
  for (let from = 0, i = 1; i <= map.length; i++) {
    if (i < map.length && map[i] === map[from]) continue;
    spans[map[from]].push(from, i);
    from = i;
  }
  return spans;
}

/** A task to import: a picture and what is predicted for it. */
export interface LabelStudioTask {
  readonly data: Readonly<Record<string, string>>;
  readonly predictions: readonly BrushPrediction[];
}

/**
 * @param image address of the picture, as the project's `Image` tag is to load it
 * @param key name of the address in the task: "image" where the tag says `value="$image"`
 */
export function labelStudioTask(
  image: string,
  prediction: BrushPrediction,
  key = "image",
): LabelStudioTask {
  return { data: { [key]: image }, predictions: [prediction] };
}

const byteSchema = z.int().check(z.minimum(0), z.maximum(255));
const brushSchema = z.object({
  original_width: z.number(),
  original_height: z.number(),
  value: z.object({
    format: z.literal("rle"),
    rle: z.array(byteSchema),
    brushlabels: z.array(z.string()).check(z.minLength(1)),
  }),
});
const annotationSchema = z.object({ result: z.array(z.unknown()) });
const kindSchema = z.object({ type: z.literal("brushlabels") });

/**
 * Reads the brush masks of a prediction or an annotation; other kinds of results are passed over. The
 * labels are in the order in which they first come, later masks cover earlier ones, and what is
 * painted with several labels gets the first.
 *
 * @param data the object with the list `result`, or its JSON
 * @throws InputError when there are no brush masks, or naming what is wrong with them
 */
export function decodeLabelStudio(data: unknown): LabelMap {
  const { result } = checkData("Label Studio", annotationSchema, data);
  const brushes = result
    .filter((entry) => kindSchema.safeParse(entry).success)
    .map((entry) => checkData("Label Studio", brushSchema, entry));
  if (brushes.length === 0) {
    throw new InputError("Label Studio: no brush masks; export a task that was painted");
  }
  const { original_width: width, original_height: height } = brushes[0];
  const indices = new Map<string, number>();
  for (const { value } of brushes) {
    const [label] = value.brushlabels;
    if (!indices.has(label)) indices.set(label, indices.size);
  }
  const labels = [...indices.keys()];
  checkNames("Label Studio", labels);
  const canvas = new Canvas("Label Studio", width, height, labels);
  for (const { original_width, original_height, value } of brushes) {
    if (original_width !== width || original_height !== height) {
      throw new InputError(
        `Label Studio: masks of ${width} x ${height} and ${original_width} x ${original_height} ` +
          "in one picture; give the results of one picture at a time",
      );
    }
    const label = indices.get(value.brushlabels[0]) ?? 0;
    unpackBrush(value.rle, width * height, (from, to) => canvas.fill(from, to, label));
  }
  return canvas.result;
}
