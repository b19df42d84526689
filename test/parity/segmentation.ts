// Kind `seg`: pictures and words to label maps, the authors' way, with every step between.

import type { StoredTensor, TensorMap } from "../../src/checkpoint/tensors.js";
import { IMAGENET_MEAN, IMAGENET_STD, normalize, toPatches } from "../../src/input/normalize.js";
import type { Picture } from "../../src/input/picture.js";
import { segmentationView } from "../../src/input/processor.js";
import { loadTokenizer } from "../../src/input/tokenizer.js";
import { affinity, labelEmbedding, logitScaleFactor } from "../../src/segment/affinity.js";
import { type Background, decode } from "../../src/segment/decode.js";
import { multiplyAssignments, type WindowEncoding } from "../../src/segment/encoding.js";
import { groupMap } from "../../src/segment/groups.js";
import { layoutSegments, type PlacedWindow, type SegmentLayout } from "../../src/segment/layout.js";
import { slideWindows, type Window } from "../../src/segment/windows.js";
import { type Fixture, kindOf, numbers, tensor } from "./fixture.js";
import { compare, every, unitRows } from "./model.js";
import type { Report } from "./report.js";
import { toPicture } from "./resize.js";
import { rowOf, Towers } from "./towers.js";
import { loadWeights, modelFixture } from "./weights.js";

interface SegmentationReport {
  classes?: string[];
  templates?: Record<string, string[]>;
  logit_scale_override?: number;
  clamp_case_logit_scale?: number;
  tiny_id_map?: string;
  slide?: { crop: [number, number]; stride: [number, number] };
  weights?: string;
}

/** The authors' short side of a picture in pixels. */
const SHORT_SIDE = 448;
/** Labels that may win, as the authors have it; a fixture's `top5` says otherwise. */
const TOP_LABELS = 5;

export async function runSegmentation(fixture: Fixture, report: Report): Promise<void> {
  const settings = fixture.json<SegmentationReport>("report.json") ?? {};
  const pictures = new Pictures(fixture.tensors("images"));
  for (const name of pictures.withBoth()) {
    await report.attempt(`${name}.resized_rgb`, () => pictures.check(name, report));
  }
  const prompts = fixture.tensors("prompts");
  await report.attempt("prompts", () => checkPrompts(prompts, settings, report));

  const models = new Map<string, Promise<SegmentationModel>>();
  const references = [
    ["expected", fixture.tensors("expected")],
    ["labels_u8", fixture.tensors("labels_u8")],
  ] as const;
  try {
    for (const name of new Set(references.flatMap(([, map]) => [...map.keys()].map(modelOf)))) {
      // A model with another logit scale is the same model.
      const base = name.replace(/_clamp$/, "");
      const model = async () => {
        let found = models.get(base);
        if (!found) {
          found = openModel(fixture, base, settings, report).then(
            (towers) => new SegmentationModel(towers, prompts, pictures, settings),
          );
          models.set(base, found);
        }
        return found;
      };
      for (const [file, tensors] of references) {
        for (const [key, reference] of tensors) {
          if (modelOf(key) !== name) continue;
          await report.attempt(key, async () => {
            const actual = await (await model()).tensor(key.slice(name.length + 1), name !== base);
            compare(fixture, report, file, key, actual, reference);
          });
        }
      }
    }
  } finally {
    for (const model of models.values()) {
      await model.then(
        ({ towers }) => towers.release(),
        () => undefined,
      );
    }
  }
}

function modelOf(key: string): string {
  return key.split(".", 1)[0]!;
}

/** The model that a case's name means: from a folder that the report names, or generated. */
async function openModel(
  fixture: Fixture,
  name: string,
  settings: SegmentationReport,
  report: Report,
): Promise<Towers> {
  const folders = [...(settings.weights ?? "").matchAll(/([\w-]+)\/(?:model|pytorch|nvlabs)/g)].map(
    (match) => match[1]!,
  );
  const dashed = name.replaceAll("_", "-");
  const kind = kindOf(dashed) ?? dashed;
  const named = folders.filter((folder) => folder === dashed || kindOf(folder) === kind);
  const found = modelFixture(fixture, [...named, dashed], [kind]);
  if (!found)
    throw new Error(`model ${name}: no folder holds it; report.json: ${settings.weights}`);
  report.note(`model ${name}: weights of ${found.name}, by ${found.path("config.json")}`);
  return new Towers(await loadWeights(found));
}

/** The fixture's pictures, as they are and at the size that is encoded. */
class Pictures {
  constructor(private readonly tensors: TensorMap) {}

  withBoth(): string[] {
    return [...this.tensors.keys()]
      .filter((key) => key.endsWith(".original_rgb"))
      .map((key) => key.slice(0, -".original_rgb".length))
      .filter((name) => this.tensors.has(`${name}.resized_rgb`));
  }

  original(name: string): Picture {
    return toPicture(
      this.tensors.get(`${name}.original_rgb`) ?? tensor(this.tensors, `${name}.resized_rgb`),
    );
  }

  resized(name: string): Picture {
    const stored = this.tensors.get(`${name}.resized_rgb`);
    return stored ? toPicture(stored) : segmentationView(this.original(name), SHORT_SIDE);
  }

  check(name: string, report: Report): void {
    const expected = this.resized(name);
    const actual = segmentationView(this.original(name), Math.min(expected.width, expected.height));
    const size = ({ width, height }: Picture) => `${height} x ${width}`;
    if (size(actual) !== size(expected)) {
      report.add(`${name}.resized_rgb`, false, size(actual), size(expected));
    } else report.equal(`${name}.resized_rgb`, actual.data, expected.data, 0, "bytes");
  }
}

/** The stored ids must be what the authors' tokenizer makes of the report's classes and templates. */
function checkPrompts(prompts: TensorMap, settings: SegmentationReport, report: Report): void {
  const { classes, templates } = settings;
  if (!classes || !templates) return;
  const tokenizer = loadTokenizer();
  for (const [key, stored] of prompts) {
    const set = key.replace(/^token_ids_/, "");
    const name = Object.keys(templates).find(
      (template) => set === template || set === `${template}${templates[template]!.length}`,
    );
    if (!name) continue;
    const tokens = stored.shape[stored.shape.length - 1]!;
    const texts = classes.flatMap((label) =>
      templates[name]!.map((template) => template.replaceAll("{}", label)),
    );
    const actual = new Int32Array(texts.length * tokens);
    texts.forEach((text, row) => {
      actual.set(tokenizer.encode(text), row * tokens);
    });
    report.equal(`prompts.${key}`, actual, numbers(stored), 0, "ids");
  }
}

class SegmentationModel {
  private readonly labels = new Map<string, Promise<Float32Array>>();
  private readonly encodings = new Map<string, Promise<PlacedWindow[]>>();
  private readonly layouts = new Map<string, Promise<SegmentLayout>>();

  constructor(
    readonly towers: Towers,
    private readonly prompts: TensorMap,
    private readonly pictures: Pictures,
    private readonly settings: SegmentationReport,
  ) {}

  /** @param clamped whether the case has the logit scale that must be clamped */
  async tensor(key: string, clamped: boolean) {
    const text = /^text_embedding_(.+)$/.exec(key);
    const { config } = this.towers.weights;
    const dim = config.projectionDim;
    if (text) {
      const rows = await this.labelEmbeds(text[1]!);
      return { shape: [rows.length / dim, dim], data: rows };
    }
    const dot = key.indexOf(".");
    const [picture, what] = [key.slice(0, dot), key.slice(dot + 1)];
    const scale = logitScaleFactor(this.logitScale(clamped));
    const labelCase = /^(whole|slide)\.bg([01])(?:\.th([\d.]+))?$/.exec(what);
    if (labelCase) {
      const background: Background =
        labelCase[2] === "0"
          ? { kind: "none" }
          : { kind: "threshold", threshold: Number(labelCase[3] ?? Number.NaN) };
      const layout = await this.layout(picture, labelCase[1]!);
      const { map, height, width } = decode(layout, await this.labelEmbeds(), {
        logitScale: scale,
        topK: TOP_LABELS,
        background,
      });
      return { shape: [height, width], data: map };
    }
    const resized = this.pictures.resized(picture);
    const stride = /^pixel_values(?:_stride(\d+))?$/.exec(what);
    if (stride) {
      const whole = {
        shape: [3, resized.height, resized.width],
        data: normalize(resized, IMAGENET_MEAN, IMAGENET_STD),
      };
      return stride[1] ? every(whole, Number(stride[1])) : whole;
    }
    const [{ encoding }] = (await this.encoded(picture, "whole")) as [PlacedWindow];
    const { segmentEmbeds, imageEmbed, assignments, groups, rows, columns } = encoding;
    const segments = groups[groups.length - 1]!;
    const stage = /^group_map_stage(\d+)$/.exec(what);
    if (stage) {
      const map = groupMap(encoding, Number(stage[1]), resized.width, resized.height);
      return { shape: [resized.height, resized.width], data: map };
    }
    switch (what) {
      case "group_embeds":
        return { shape: [segments, dim], data: segmentEmbeds };
      case "image_embed":
        return { shape: [1, dim], data: imageEmbed };
      case "final_group_prob": {
        const products = multiplyAssignments(assignments, groups, rows * columns);
        return { shape: [rows * columns, segments], data: products[products.length - 1]! };
      }
    }
    const labels = await this.labelEmbeds();
    const count = labels.length / dim;
    const top = /^top(\d+)$/.exec(what);
    const scored = affinity(encoding, labels, scale, top ? Number(top[1]) : TOP_LABELS);
    if (top) return { shape: [1, scored.topLabels.length], data: scored.topLabels };
    if (what === "raw_affinity_logits") return { shape: [segments, count], data: scored.logits };
    if (what === "group_affinity") {
      const all = new Float64Array(segments * count);
      const k = scored.topLabels.length;
      scored.scores.forEach((score, i) => {
        all[Math.floor(i / k) * count + scored.topLabels[i % k]!] = score;
      });
      return { shape: [segments, count], data: all };
    }
    throw new Error(`${what}: no step of the decoding has that name`);
  }

  private logitScale(clamped: boolean): number {
    const { logit_scale_override: override, clamp_case_logit_scale: clamp } = this.settings;
    return (
      (clamped ? clamp : override) ??
      numbers(tensor(this.towers.weights.tensors, "logit_scale"))[0]!
    );
  }

  /** `[labels, dim]`, normalised, from one set of prompts; default: the one called simple. */
  private labelEmbeds(set?: string): Promise<Float32Array> {
    const sets = [...this.prompts.keys()].map((key) => key.replace(/^token_ids_/, ""));
    const name = set ?? sets.find((key) => key === "simple") ?? sets[0] ?? "simple";
    let found = this.labels.get(name);
    if (!found) {
      found = this.embed(tensor(this.prompts, `token_ids_${name}`));
      this.labels.set(name, found);
    }
    return found;
  }

  private async embed(stored: StoredTensor): Promise<Float32Array> {
    const { shape } = stored;
    const ids = Int32Array.from(numbers(stored));
    const [labels, tokens] = [shape[0]!, shape[shape.length - 1]!];
    const perLabel = ids.length / (labels * tokens);
    const toModel = this.idMap(ids);
    const prompts = Array.from({ length: labels * perLabel }, (_, row) => {
      const prompt = rowOf(ids, row, tokens);
      return prompt.slice(0, prompt.indexOf(Math.max(...prompt)) + 1).map(toModel);
    });
    const features = await this.towers.engine("authors").encodeTexts(prompts);
    const dim = this.towers.weights.config.projectionDim;
    const result = new Float32Array(labels * dim);
    for (let label = 0; label < labels; label++) {
      const own = features.slice(label * perLabel, (label + 1) * perLabel);
      result.set(labelEmbedding(own), label * dim);
    }
    return result;
  }

  /** CLIP's ids to those of a model with fewer, as the report says: "49407->511, ..., else 1 + id % 509". */
  private idMap(ids: Int32Array): (id: number) => number {
    const { vocabSize } = this.towers.weights.config.text;
    if (ids.every((id) => id < vocabSize)) return (id) => id;
    const text = this.settings.tiny_id_map ?? "";
    const rest = /else (\d+) \+ id % (\d+)/.exec(text);
    if (!rest) throw new Error(`report.json: tiny_id_map "${text}" is of no known form`);
    const pairs = new Map(
      [...text.matchAll(/(\d+)\s*->\s*(\d+)/g)].map((match) => [
        Number(match[1]),
        Number(match[2]),
      ]),
    );
    return (id) => pairs.get(id) ?? Number(rest[1]) + (id % Number(rest[2]));
  }

  private layout(picture: string, mode: string): Promise<SegmentLayout> {
    return once(this.layouts, `${picture} ${mode}`, async () => {
      const [resized, original] = [this.pictures.resized(picture), this.pictures.original(picture)];
      return layoutSegments(await this.encoded(picture, mode), resized, original);
    });
  }

  private encoded(picture: string, mode: string): Promise<PlacedWindow[]> {
    return once(this.encodings, `${picture} ${mode}`, async () => {
      const resized = this.pictures.resized(picture);
      const placed: PlacedWindow[] = [];
      for (const window of this.windows(resized, mode)) {
        placed.push({ window, encoding: await this.encode(cut(resized, window)) });
      }
      return placed;
    });
  }

  private windows({ width, height }: Picture, mode: string): Window[] {
    if (mode === "whole") return [{ x0: 0, y0: 0, x1: width, y1: height }];
    const { crop = [448, 448], stride = [224, 224] } = this.settings.slide ?? {};
    if (crop[0] !== crop[1] || stride[0] !== stride[1]) {
      throw new Error(`windows of [${crop}] every [${stride}] are not square`);
    }
    return slideWindows(width, height, crop[0], stride[0]);
  }

  private async encode(picture: Picture): Promise<WindowEncoding> {
    const { vision, projectionDim } = this.towers.weights.config;
    const view = toPatches(picture, IMAGENET_MEAN, IMAGENET_STD, vision.patchSize);
    const { patches, rows, columns } = view;
    const engine = this.towers.engine("authors");
    const features = await engine.encodeImages(patches, 1, rows, columns);
    return {
      rows,
      columns,
      assignments: features.assignments,
      groups: features.groups,
      segmentEmbeds: unitRows(features.segments, projectionDim),
      imageEmbed: unitRows(features.image, projectionDim),
    };
  }
}

function cut({ width, data }: Picture, { x0, y0, x1, y1 }: Window): Picture {
  const size = { width: x1 - x0, height: y1 - y0 };
  const part = new Uint8Array(size.width * size.height * 3);
  for (let y = 0; y < size.height; y++) {
    const from = ((y + y0) * width + x0) * 3;
    part.set(data.subarray(from, from + size.width * 3), y * size.width * 3);
  }
  return { ...size, data: part };
}

function once<T>(made: Map<string, Promise<T>>, key: string, make: () => Promise<T>): Promise<T> {
  let found = made.get(key);
  if (!found) {
    found = make();
    made.set(key, found);
  }
  return found;
}
