// Kinds `tiny` and `full`: weights, both towers with all hidden states, both position modes, padding.

import type { StoredTensor, TensorMap } from "../../src/checkpoint/tensors.js";
import { segmentationLogits } from "../../src/segment/huggingface.js";
import { type Fixture, isInteger, type Json, numbers, sameShape, tensor } from "./fixture.js";
import { uniform } from "./generate.js";
import type { Report } from "./report.js";
import { contrastive, type Pixels, type Prompts, rowOf, Towers, type Values } from "./towers.js";
import { checkWeightFiles, loadWeights } from "./weights.js";

/** A tensor that the model gave. */
interface Actual {
  shape: readonly number[];
  data: ArrayLike<number>;
}

export async function runModel(fixture: Fixture, report: Report): Promise<void> {
  const weights = await loadWeights(fixture, report);
  if (weights.sources.length === 0) report.note("no checkpoint file: weights are generated");
  await checkWeightFiles(fixture, weights, report);

  const expected = fixture.tensors("expected");
  if (expected.size === 0) {
    report.note("expected.safetensors is not there: only weights are compared");
    return;
  }
  const towers = new Towers(weights);
  const model = new Model(fixture, towers, expected);
  try {
    for (const [key, reference] of expected) {
      await report.attempt(key, async () => {
        const [name, ...samplings] = key.split("@") as [string, ...string[]];
        let actual = await model.tensor(name, samplings);
        for (const sampling of samplings) actual = sample(actual, sampling, reference.shape);
        compare(fixture, report, "expected", key, actual, reference);
      });
    }
  } finally {
    await towers.release();
  }
}

/** Compares by the manifest's rule: integers exactly, maps to 0.1 % of the pixels, floats to a tolerance. */
export function compare(
  fixture: Fixture,
  report: Report,
  file: string,
  name: string,
  { shape, data }: Actual,
  reference: StoredTensor,
): void {
  if (!sameShape(shape, reference.shape)) {
    report.add(name, false, `[${shape.join(", ")}]`, `shape [${reference.shape.join(", ")}]`);
  } else if (isInteger(reference)) {
    const map = /_map|labels|argmax/.test(`${file}.${name}`);
    report.equal(name, data, numbers(reference), map ? 0.001 : 0, map ? "pixels" : "values");
  } else {
    report.close(name, data, numbers(reference), fixture.tolerance(file, name, reference));
  }
}

/** Which inputs a group of tensors comes from: the part of their names before the first tower's. */
interface Run {
  mode: "huggingface" | "authors";
  pixels: string;
  ids: string;
}

/** Computes the tensors of a fixture by name; each pass through a tower is made once. */
class Model {
  private readonly inputs: TensorMap = new Map();
  private readonly passes = new Map<string, Promise<Values>>();
  private readonly report: Json;

  constructor(
    fixture: Fixture,
    private readonly towers: Towers,
    private readonly expected: TensorMap,
  ) {
    this.report = fixture.json("report.json") ?? {};
    for (const file of fixture.files()) {
      if (!/^(inputs?|pixel_values|attention_mask).*\.safetensors$/.test(file)) continue;
      for (const [name, value] of fixture.tensors(file.replace(/\.safetensors$/, ""))) {
        this.inputs.set(name, value);
      }
    }
  }

  /** @throws Error if the name is of no known form or an input is missing */
  async tensor(key: string, samplings: readonly string[]): Promise<Actual> {
    const { run, name } = this.split(key);
    const { config } = this.towers.weights;
    const dim = config.projectionDim;
    if (name.endsWith(".hard_index")) {
      const hard = value(await this.image(run), name.replace(/_index$/, ""), key);
      return argMaxOver(hard, 1);
    }
    switch (name) {
      case "logit_scale":
        return { shape: [], data: [this.scale(run)] };
      case "loss": {
        const [images, texts] = [
          await this.features(run, "image"),
          await this.features(run, "text"),
        ];
        const parameter = this.logitScaleParameter();
        const clamp = run.mode === "authors";
        return { shape: [], data: [await contrastive(images, texts, dim, parameter, clamp)] };
      }
      case "logits_per_image":
      case "logits_per_text": {
        const reference = this.sizeOf(key, samplings);
        const images = unitRows(await this.features(run, "image"), dim);
        const texts = unitRows(await this.features(run, "text"), dim);
        const [a, b] = name === "logits_per_image" ? [images, texts] : [texts, images];
        // A run may use only the first of the prompts.
        return products(a, b, dim, this.scale(run), reference);
      }
      case "segmentation_logits":
        return this.segmentation(run, this.labelCount(run));
      case "grouping_map":
        return this.groupingMap(run);
    }
    const feature = /^(image|text)_(?:features(?:_unnormalized)?|embeds)$/.exec(name);
    if (feature) {
      const rows = await this.features(run, feature[1] as "image" | "text");
      const data = name.endsWith("embeds") ? unitRows(rows, dim) : rows;
      return { shape: [rows.length / dim, dim], data };
    }
    if (/^text\./.test(name)) return value(await this.text(run), name, key);
    return value(await this.image(run), name, key);
  }

  /** `hf_96x64.group0.soft` to its inputs and `group0.soft`. */
  private split(key: string): { run: Run; name: string } {
    const run: Run = { mode: "huggingface", pixels: "pixel_values", ids: "input_ids" };
    const prefix = /^(hf|nv|authors)(?:_(\d+x\d+))?\.(.+)$/.exec(key);
    if (prefix) {
      if (prefix[1] !== "hf") run.mode = "authors";
      if (prefix[2]) run.pixels = `pixel_values_${prefix[2]}`;
      return { run, name: prefix[3]! };
    }
    const [first, ...rest] = key.split(".") as [string, ...string[]];
    if (rest.length > 0 && this.inputs.has(`input_ids_${first}`)) {
      return { run: { ...run, ids: `input_ids_${first}` }, name: rest.join(".") };
    }
    if (rest.length > 0 && this.hasPixels(`pixel_values_${first}`)) {
      return { run: { ...run, pixels: `pixel_values_${first}` }, name: rest.join(".") };
    }
    return { run, name: key };
  }

  private hasPixels(name: string): boolean {
    return this.inputs.has(name) || `${name}_generator_name` in this.report;
  }

  private image({ pixels, mode }: Run): Promise<Values> {
    return this.once(`${pixels} ${mode}`, async () =>
      this.towers.image(await this.pixels(pixels), mode),
    );
  }

  private text({ ids }: Run): Promise<Values> {
    return this.once(ids, () => this.towers.text(this.prompts(ids)));
  }

  private once(key: string, make: () => Promise<Values>): Promise<Values> {
    let pass = this.passes.get(key);
    if (!pass) {
      pass = make();
      this.passes.set(key, pass);
    }
    return pass;
  }

  /** Not normalised `[batch, dim]`, from the engine without taps; masked prompts from the graph. */
  private async features(run: Run, tower: "image" | "text"): Promise<Float32Array> {
    if (tower === "image") return (await this.encoded(run)).image!.data as Float32Array;
    const { ids, shape, mask } = this.prompts(run.ids);
    if (mask) return (await this.text(run)).text_features!.data as Float32Array;
    const pass = await this.once(`engine ${run.ids}`, async () => {
      const rows = Array.from({ length: shape[0] }, (_, row) => {
        const prompt = rowOf(ids, row, shape[1]);
        // What follows the end-of-text token is never computed.
        return prompt.slice(0, prompt.indexOf(Math.max(...prompt)) + 1);
      });
      const features = await this.towers.engine("authors").encodeTexts(rows);
      const dim = this.towers.weights.config.projectionDim;
      const data = new Float32Array(features.length * dim);
      features.forEach((row, i) => {
        data.set(row, i * dim);
      });
      return { rows: { shape: [features.length, dim], data } };
    });
    return pass.rows!.data as Float32Array;
  }

  private encoded(run: Run): Promise<Values> {
    return this.once(`engine ${run.pixels} ${run.mode}`, async () => {
      const pixels = this.pixels(run.pixels);
      const { patches, rows, columns } = this.towers.patches(pixels);
      const batch = pixels.shape[0];
      const square = pixels.shape[2] === pixels.shape[3];
      const engine = this.towers.engine(run.mode);
      const result = await engine.encodeImages(patches, batch, rows, columns, square);
      const values: Values = {
        image: { shape: [batch], data: result.image },
        segments: { shape: [batch], data: result.segments },
      };
      result.assignments.forEach((data, i) => {
        values[`assignment_${i}`] = { shape: [batch, result.groups[i]!], data };
      });
      return values;
    });
  }

  /** Hugging Face's decoding of every picture: [batch, labels, height, width]. */
  private async segmentation(run: Run, labels: number): Promise<Actual> {
    const dim = this.towers.weights.config.projectionDim;
    const texts = unitRows(await this.features(run, "text"), dim).slice(0, labels * dim);
    const { segments } = await this.encoded(run);
    return this.decoded(run, unitRows(segments!.data as Float32Array, dim), texts, this.scale(run));
  }

  /** How much of every pixel lies in each segment: the decoding with every segment its own label. */
  private async groupingMap(run: Run): Promise<Actual> {
    const groups = await this.segmentCount(run);
    const one = new Float32Array(groups * groups);
    for (let i = 0; i < groups; i++) one[i * groups + i] = 1;
    const [batch] = this.pixels(run.pixels).shape;
    const all = new Float32Array(batch * one.length);
    for (let i = 0; i < batch; i++) all.set(one, i * one.length);
    return this.decoded(run, all, one, 1);
  }

  private async segmentCount(run: Run): Promise<number> {
    const values = await this.encoded(run);
    const last = Object.keys(values).filter((key) => key.startsWith("assignment_")).length - 1;
    return values[`assignment_${last}`]!.shape[1]!;
  }

  private async decoded(
    run: Run,
    segments: Float32Array,
    textEmbeds: Float32Array,
    logitScale: number,
  ): Promise<Actual> {
    const [batch, , height, width] = this.pixels(run.pixels).shape;
    const values = await this.encoded(run);
    const names = Object.keys(values).filter((key) => key.startsWith("assignment_"));
    const groups = names.map((name) => values[name]!.shape[1]!);
    const part = (data: Float32Array, picture: number) =>
      data.subarray((picture * data.length) / batch, ((picture + 1) * data.length) / batch);
    const pictures = Array.from({ length: batch }, (_, picture) =>
      segmentationLogits({
        assignments: names.map((name) => part(values[name]!.data as Float32Array, picture)),
        groups,
        segmentEmbeds: part(segments, picture),
        textEmbeds,
        logitScale,
        height,
        width,
      }),
    );
    const size = pictures[0]!.length;
    const data = new Float32Array(batch * size);
    pictures.forEach((picture, i) => {
      data.set(picture, i * size);
    });
    return { shape: [batch, size / (height * width), height, width], data };
  }

  /** Prompts that a run used: all, or the first of them, as its logits' shape says. */
  private labelCount(run: Run): number {
    const { shape } = this.prompts(run.ids);
    const size = /^pixel_values_(.+)$/.exec(run.pixels)?.[1];
    const prefixes = size ? [`hf_${size}.`, `nv_${size}.`, `${size}.`] : [""];
    for (const prefix of prefixes) {
      const logits = this.expected.get(`${prefix}logits_per_image`);
      if (logits) return logits.shape[1]!;
    }
    return shape[0];
  }

  private scale(run: Run): number {
    const scale = Math.exp(this.logitScaleParameter());
    return run.mode === "authors" ? Math.min(scale, 100) : scale;
  }

  private logitScaleParameter(): number {
    return numbers(tensor(this.towers.weights.tensors, "logit_scale"))[0]!;
  }

  private sizeOf(key: string, samplings: readonly string[]): readonly number[] {
    return tensor(this.expected, [key, ...samplings].join("@")).shape;
  }

  private pixels(name: string): Pixels {
    const stored = this.inputs.get(name);
    if (stored) {
      return { data: Float32Array.from(numbers(stored)), shape: stored.shape as Pixels["shape"] };
    }
    const generator = this.report[`${name}_generator_name`];
    if (typeof generator !== "string") throw new Error(`input ${name} is not in the fixture`);
    const [low, high] = (this.report.pixel_range as [number, number] | undefined) ?? [-2, 2];
    const shape = this.pixelShape(name);
    const count = shape.reduce((product, size) => product * size, 1);
    return { data: uniform(generator, count, low, high), shape };
  }

  private pixelShape(name: string): Pixels["shape"] {
    const listed = this.report[`${name}_shape`];
    if (Array.isArray(listed)) return listed as Pixels["shape"];
    const { imageSize, numChannels } = this.towers.weights.config.vision;
    const size = /^pixel_values_(\d+)x(\d+)$/.exec(name);
    const [height, width] = size ? [Number(size[1]), Number(size[2])] : [imageSize, imageSize];
    // Not listed: every tensor of that size has the batch first.
    const prefix = size ? `_${size[1]}x${size[2]}.` : "";
    const batched = ["logits_per_image", "image_embeds", "vision.last_hidden_state"];
    for (const [key, { shape }] of this.expected) {
      if (key.includes(prefix) && batched.some((end) => key.endsWith(end))) {
        return [shape[0]!, numChannels, height, width];
      }
    }
    return [1, numChannels, height, width];
  }

  private prompts(name: string): Prompts {
    const ids = tensor(this.inputs, name);
    const keep = this.inputs.get(name.replace(/^input_ids/, "attention_mask"));
    return {
      ids: Int32Array.from(numbers(ids)),
      shape: ids.shape as [number, number],
      ...(keep ? { mask: Int32Array.from(numbers(keep)) } : {}),
    };
  }
}

function value(values: Values, name: string, key: string): Actual {
  const found = values[name];
  if (!found) throw new Error(`${key}: the model has no tensor of that name`);
  return found;
}

/** Rows of [n, dim] divided by their Euclidean length. */
export function unitRows(rows: Float32Array, dim: number): Float32Array {
  const result = new Float32Array(rows.length);
  for (let start = 0; start < rows.length; start += dim) {
    let squares = 0;
    for (let i = start; i < start + dim; i++) squares += rows[i]! ** 2;
    const length = Math.sqrt(squares);
    for (let i = start; i < start + dim; i++) result[i] = rows[i]! / length;
  }
  return result;
}

/** Scaled inner products of the first rows of `a` and `b`, as many as `shape` says. */
function products(
  a: Float32Array,
  b: Float32Array,
  dim: number,
  scale: number,
  shape: readonly number[],
): Actual {
  const rows = Math.min(shape[0] ?? 0, a.length / dim);
  const columns = Math.min(shape[1] ?? 0, b.length / dim);
  const data = new Float64Array(rows * columns);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) {
      let sum = 0;
      for (let d = 0; d < dim; d++) sum += a[i * dim + d]! * b[j * dim + d]!;
      data[i * columns + j] = scale * sum;
    }
  }
  return { shape: [rows, columns], data };
}

/**
 * One of the samplings that follow an `@`: `b0` and `tok5` or `tokLast` (an item of the batch, a token of
 * it), `stride8` (every 8th row and column), `argmax` (over the labels or segments).
 */
function sample(actual: Actual, sampling: string, wanted: readonly number[]): Actual {
  const item = /^(?:b(\d+))?(?:tok(\d+|Last))?$/.exec(sampling);
  if (item && sampling !== "") {
    let result = actual;
    if (item[1] !== undefined) result = pick(result, Number(item[1]));
    if (item[2] !== undefined) {
      result = pick(result, item[2] === "Last" ? result.shape[0]! - 1 : Number(item[2]));
    }
    return result;
  }
  const stride = /^stride(\d+)$/.exec(sampling);
  if (stride) return every(actual, Number(stride[1]));
  if (sampling === "argmax") {
    const axis = actual.shape.findIndex(
      (_, skipped) =>
        skipped > 0 &&
        sameShape(
          actual.shape.filter((_, i) => i !== skipped),
          wanted,
        ),
    );
    return argMaxOver(actual, axis < 0 ? 1 : axis);
  }
  throw new Error(`sampling @${sampling} is unknown`);
}

function pick({ shape, data }: Actual, index: number): Actual {
  const [count, ...rest] = shape;
  if (count === undefined || index >= count) throw new Error(`there is no item ${index} to sample`);
  const size = data.length / count;
  const part = Array.prototype.slice.call(data, index * size, (index + 1) * size);
  return { shape: rest, data: part };
}

/** Every `step`th row and column of the last two axes. */
export function every({ shape, data }: Actual, step: number): Actual {
  const [height, width] = shape.slice(-2) as [number, number];
  const result: number[] = [];
  for (let start = 0; start < data.length; start += height * width) {
    for (let y = 0; y < height; y += step) {
      for (let x = 0; x < width; x += step) result.push(data[start + y * width + x]!);
    }
  }
  const sides = [height, width].map((side) => Math.ceil(side / step));
  return { shape: [...shape.slice(0, -2), ...sides], data: result };
}

/** Where the largest value along an axis stands, the first among equals. */
export function argMaxOver({ shape, data }: Actual, axis: number): Actual {
  const inner = shape.slice(axis + 1).reduce((product, size) => product * size, 1);
  const count = shape[axis]!;
  const result = new Int32Array(data.length / count);
  for (let i = 0; i < result.length; i++) {
    const start = Math.floor(i / inner) * inner * count + (i % inner);
    let best = 0;
    for (let k = 1; k < count; k++) {
      if (data[start + k * inner]! > data[start + best * inner]!) best = k;
    }
    result[i] = best;
  }
  return { shape: shape.filter((_, i) => i !== axis), data: result };
}
