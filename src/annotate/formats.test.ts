import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { InputError } from "../errors.js";
import type { LabelMap } from "../output/label-map.js";
import {
  ANNOTATION_FORMAT_NAMES,
  type AnnotationFormatName,
  annotationFiles,
  checkLabels,
  decodeCoco,
  decodeCvat,
  decodeGeoJson,
  decodeLabelPng,
  decodeLabelStudio,
  decodeSvg,
  decodeYolo,
  decodeYoloNames,
  type LabelledPicture,
} from "./index.js";

const labels = ["cat", "dog", "tree"];
const scores = [0.5, 0.75, 1];

const pictures = fc
  .array(
    fc
      .tuple(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 7 }))
      .chain(([width, height]) =>
        fc
          .uint8Array({ min: 1, max: 3, minLength: width * height, maxLength: width * height })
          .map((map): LabelMap => ({ width, height, labels, background: true, map })),
      ),
    { minLength: 1, maxLength: 4 },
  )
  .map((results) =>
    results.map(
      (result, i): LabelledPicture => ({ file: `a/${i}.jpg`, name: `a/${i}`, result, scores }),
    ),
  );

const text = (files: Map<string, Uint8Array>, path: string) =>
  new TextDecoder().decode(files.get(path));

/** The names of all pixels: decoders may number labels anew. */
const names = ({ map, labels: own }: LabelMap) => Array.from(map, (v) => (v > 0 ? own[v - 1] : ""));

/** Reads all pictures back. */
type Reader = (
  files: Map<string, Uint8Array>,
  pictures: readonly LabelledPicture[],
) => Promise<LabelMap[]> | LabelMap[];

const READERS: Record<AnnotationFormatName, Reader> = {
  png: (files, pictures) =>
    Promise.all(
      pictures.map(async ({ name }) => {
        const values = text(files, "png/labels.txt").trimEnd().split("\n");
        const decoded = await decodeLabelPng(files.get(`png/${name}.png`) ?? new Uint8Array(0));
        return { ...decoded, labels: values.slice(1), background: true };
      }),
    ),
  coco: (files) => [...decodeCoco(text(files, "coco.json"))].map(({ result }) => result),
  "coco-polygons": (files) =>
    [...decodeCoco(text(files, "coco-polygons.json"))].map(({ result }) => result),
  "label-studio": (files) =>
    JSON.parse(text(files, "label-studio.json")).map((task: { predictions: unknown[] }) =>
      decodeLabelStudio(task.predictions[0]),
    ),
  async cvat(files) {
    const found: LabelMap[] = [];
    for await (const { result } of decodeCvat(files.get("cvat.zip") ?? new Uint8Array(0))) {
      found.push(result);
    }
    return found;
  },
  yolo: (files, pictures) =>
    pictures.map(({ name, result }) => {
      const own = decodeYoloNames(text(files, "yolo/data.yaml"));
      const { width, height } = result;
      return decodeYolo(text(files, `yolo/labels/train/${name}.txt`), {
        width,
        height,
        labels: own,
      });
    }),
  svg: (files, pictures) => pictures.map(({ name }) => decodeSvg(text(files, `svg/${name}.svg`))),
  geojson: (files, pictures) =>
    pictures.map(({ name }) => decodeGeoJson(text(files, `geojson/${name}.geojson`))),
};

describe("annotationFiles", () => {
  test.each(ANNOTATION_FORMAT_NAMES)("%s: what goes out comes back", async (format) => {
    await fc.assert(
      fc.asyncProperty(pictures, async (given) => {
        const files = annotationFiles(format, given, labels);
        const back = await READERS[format](files, given);
        expect(back.map(names)).toEqual(given.map(({ result }) => names(result)));
      }),
      { seed: 41, numRuns: 60 },
    );
  });

  test("no picture gives a document that is empty and sound", () => {
    expect([...decodeCoco(text(annotationFiles("coco", [], labels), "coco.json"))]).toEqual([]);
    expect(text(annotationFiles("label-studio", [], labels), "label-studio.json")).toBe("[]\n");
  });

  test("Label Studio's addresses and versions are the caller's", () => {
    const result = { width: 1, height: 1, labels, background: true, map: Uint8Array.of(1) };
    const picture = { file: "a/b.jpg", name: "a/b", result, scores };
    const options = { addressPrefix: "/data/local-files/?d=", modelVersion: "v7" };
    const files = annotationFiles("label-studio", [picture], labels, options);
    const [task] = JSON.parse(text(files, "label-studio.json"));
    expect(task.data.image).toBe("/data/local-files/?d=a/b.jpg");
    expect(task.predictions[0].model_version).toBe("v7");
  });
});

test("labels that a format cannot hold are refused before there are pictures", () => {
  for (const format of ANNOTATION_FORMAT_NAMES) checkLabels(format, labels);
  expect(() => checkLabels("cvat", ["a:b"])).toThrow(InputError);
  expect(() => checkLabels("png", ["a\nb"])).toThrow(/"a\\nb" has a line break/);
  expect(() => checkLabels("svg", ["bell\x07"])).toThrow(InputError);
  expect(() => checkLabels("yolo", ["twice", "twice"])).toThrow(/comes twice/);
});
