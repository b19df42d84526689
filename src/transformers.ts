// Hugging Face's API in camel case: the model card's Python, line by line, with Hugging Face's own
// choices (its tokenizer, its interpolation of positions, no clamp on the logit scale).

import { graphWeights } from "./checkpoint/weights.js";
import { InputError } from "./errors.js";
import { toOnnx } from "./graph/onnx.js";
import { normalize, patchesFromPixels } from "./input/normalize.js";
import { classificationView, readProcessor } from "./input/processor.js";
import type { Tokenizer } from "./input/tokenizer.js";
import { loadTokenizer } from "./input/tokenizer.js";
import type { GroupViTConfig } from "./model/config.js";
import { textGraph } from "./model/inference.js";
import type { LoadedCheckpoint, ModelSource, OpenOptions, Platform } from "./platform.js";
import type { EngineOptions, ImageFeatures } from "./runtime/engine.js";
import { checkTokens, Engine, endOfText, textFeeds } from "./runtime/engine.js";
import type { Session } from "./runtime/session.js";
import { floats } from "./runtime/session.js";
import { segmentationLogits } from "./segment/huggingface.js";

/** What Hugging Face adds to an attention logit that is masked; two of them make minus infinity. */
const MASKED = Math.fround(-3.4028234663852886e38);
/** Longest text in tokens before truncation. */
const LONGEST_TEXT = 65_536;

/** Numbers with a shape, row-major: what goes into and comes out of a Hugging Face model. */
export class Tensor {
  /**
   * @param dims sizes, outermost first; `[]` for a single number
   * @throws InputError if the numbers do not fill the shape
   */
  constructor(
    readonly data: Float32Array | Int32Array,
    readonly dims: readonly number[],
  ) {
    const whole = dims.every((dim) => Number.isSafeInteger(dim) && dim >= 0);
    if (!whole || dims.reduce((a, b) => a * b, 1) !== data.length) {
      throw new InputError(`Tensor: ${data.length} numbers do not fill [${dims.join(", ")}]`);
    }
  }

  /**
   * e^x divided by its sum along a dimension; negative dimensions count from the end.
   *
   * @example
   * new Tensor(new Float32Array([0, 0, 1, 1]), [2, 2]).softmax(1).tolist(); // [[0.5, 0.5], [0.5, 0.5]]
   */
  softmax(dim: number): Tensor {
    const axis = dim < 0 ? dim + this.dims.length : dim;
    const size = this.dims[axis];
    if (size === undefined) {
      throw new InputError(
        `softmax: dimension ${dim} does not exist in [${this.dims.join(", ")}]; ` +
          `give ${-this.dims.length} to ${this.dims.length - 1}`,
      );
    }
    const step = this.dims.slice(axis + 1).reduce((a, b) => a * b, 1);
    const result = new Float32Array(this.data.length);
    for (let block = 0; block < result.length; block += size * step) {
      for (let start = block; start < block + step; start++) {
        const end = start + size * step;
        let most = -Infinity;
        for (let i = start; i < end; i += step) most = Math.max(most, this.data[i]!);
        let total = 0;
        for (let i = start; i < end; i += step) total += Math.exp(this.data[i]! - most);
        for (let i = start; i < end; i += step) {
          result[i] = Math.exp(this.data[i]! - most) / total;
        }
      }
    }
    return new Tensor(result, this.dims);
  }

  /** Nested arrays; the number itself if there are no dimensions. */
  tolist(): NestedNumbers {
    let level: NestedNumbers[] = Array.from(this.data);
    for (let axis = this.dims.length - 1; axis > 0; axis--) {
      const size = this.dims[axis]!;
      const outer = this.dims.slice(0, axis).reduce((a, b) => a * b, 1);
      level = Array.from({ length: outer }, (_, i) => level.slice(i * size, (i + 1) * size));
    }
    return this.dims.length === 0 ? level[0]! : level;
  }
}

/** What `Tensor.tolist` gives. */
export type NestedNumbers = number | NestedNumbers[];

/** Options of `GroupViTModel.fromPretrained`. */
export interface PretrainedOptions extends OpenOptions {
  /** See `LoadOptions.device`. */
  device?: EngineOptions["device"];
  threads?: EngineOptions["threads"];
  /** Weights in the engine. Default `fp32`. */
  dtype?: EngineOptions["format"];
  wasmPath?: EngineOptions["wasmPath"];
}

/** Token ids and which of them count. */
export interface TextInputs {
  /** [texts, tokens] */
  inputIds: Tensor;
  /** [texts, tokens], 1 where a token counts, 0 for padding. Default: all count. */
  attentionMask?: Tensor;
}

export interface ImageInputs {
  /** [images, channels, height, width], normalised; any size of at least one patch. */
  pixelValues: Tensor;
}

export interface ModelInputs extends TextInputs, ImageInputs {
  /** Also give `segmentationLogits`. */
  outputSegmentation?: boolean;
  /** Also give `loss`; image i belongs to text i. */
  returnLoss?: boolean;
}

export interface ModelOutputs {
  /** Symmetric contrastive loss, `[]`, if asked for. */
  loss?: Tensor;
  /** [images, texts]: cosine similarity times the logit scale. */
  logitsPerImage: Tensor;
  /** [texts, images] */
  logitsPerText: Tensor;
  /** [images, texts, height, width], if asked for. */
  segmentationLogits?: Tensor;
  /** [texts, dim], L2-normalised. */
  textEmbeds: Tensor;
  /** [images, dim], L2-normalised. */
  imageEmbeds: Tensor;
}

/** A loaded model: a function of its inputs. */
export interface GroupViTModel {
  /** @throws InputError for inputs whose shapes do not fit */
  (inputs: ModelInputs): Promise<ModelOutputs>;
  readonly config: GroupViTConfig;
  /** [images, dim], not normalised. */
  getImageFeatures(inputs: ImageInputs): Promise<Tensor>;
  /** [texts, dim], not normalised. */
  getTextFeatures(inputs: TextInputs): Promise<Tensor>;
  /** Frees the engine's memory. */
  release(): Promise<void>;
}

export interface ProcessorInputs<Source> {
  text?: string | readonly string[];
  /** Paths, URLs, bytes or decoded pictures. */
  images?: Source | readonly Source[];
  /** `true`: to the longest text. `"max_length"`: to `maxLength`. Default: texts must be of one length. */
  padding?: boolean | "longest" | "max_length";
  /** Cut texts to `maxLength` tokens; the end-of-text token stays. Default: the model refuses them. */
  truncation?: boolean;
  /** Tokens, start and end of text included. Default: what the model reads. */
  maxLength?: number;
}

/** What a processor makes of texts, of images, or of both. */
export type Processed<Inputs> = (Inputs extends { text: unknown } ? Required<TextInputs> : object) &
  (Inputs extends { images: unknown } ? ImageInputs : object);

/** A tokenizer and an image processor: a function of texts and images. */
export interface PretrainedProcessor<Source> {
  /** @throws InputError, PictureError */
  <Inputs extends ProcessorInputs<Source>>(inputs: Inputs): Promise<Processed<Inputs>>;
  readonly tokenizer: Tokenizer;
}

/** Hugging Face's two classes. */
export interface Transformers<Source> {
  GroupViTModel: {
    fromPretrained(model?: ModelSource, options?: PretrainedOptions): Promise<GroupViTModel>;
  };
  AutoProcessor: {
    fromPretrained(
      model?: ModelSource,
      options?: OpenOptions,
    ): Promise<PretrainedProcessor<Source>>;
  };
}

type Settings = Pick<LoadedCheckpoint, "config" | "files">;

/**
 * Hugging Face's API on one platform; the entry points export what this gives.
 *
 * @example
 * const model = await GroupViTModel.fromPretrained("nvidia/groupvit-gcc-yfcc");
 * const processor = await AutoProcessor.fromPretrained("nvidia/groupvit-gcc-yfcc");
 * const inputs = await processor({ text: ["a photo of a cat", "a photo of a dog"], images: "cat.jpg", padding: true });
 * const outputs = await model(inputs);
 * const probs = outputs.logitsPerImage.softmax(1); // [1, 2]
 */
export function transformers<Source>(platform: Platform<Source>): Transformers<Source> {
  // A processor of a model that is in use does not open its weights again.
  const inUse = new Map<string, WeakRef<Settings>>();
  const keyOf = (model: ModelSource | undefined, options: OpenOptions) =>
    typeof model === "object"
      ? undefined
      : JSON.stringify([model, options.revision, options.cacheDir]);

  return {
    GroupViTModel: {
      async fromPretrained(model, options = {}) {
        const { config, files, tensors } = await platform.openCheckpoint(model, options);
        const settings: Settings = { config, files };
        const key = keyOf(model, options);
        if (key !== undefined) inUse.set(key, new WeakRef(settings));
        return pretrainedModel(platform, settings, graphWeights(tensors), options);
      },
    },
    AutoProcessor: {
      async fromPretrained(model, options = {}) {
        const key = keyOf(model, options);
        const known = key === undefined ? undefined : inUse.get(key)?.deref();
        const { config, files } = known ?? (await platform.openCheckpoint(model, options));
        return pretrainedProcessor(platform, { config, files });
      },
    },
  };
}

function pretrainedModel(
  platform: Platform<never>,
  settings: Settings,
  weights: Map<string, Float32Array>,
  { device, threads, dtype: format, wasmPath }: PretrainedOptions,
): GroupViTModel {
  const { config } = settings;
  const { patchSize } = config.vision;
  const options: EngineOptions = { device, threads, format, wasmPath, positions: "huggingface" };
  const textWeights = new Map([...weights].filter(([name]) => name.startsWith("text_")));
  for (const name of textWeights.keys()) weights.delete(name);
  const engine = new Engine(config, weights, platform.createSession, options);
  let textSession: Promise<Session> | undefined;

  async function openText(): Promise<Session> {
    const onnx = toOnnx(textGraph(config, undefined, "each"), { weights: textWeights, format });
    const session = await platform.createSession(onnx, options);
    textWeights.clear();
    return session;
  }

  async function encodeTexts({ inputIds, attentionMask }: TextInputs): Promise<Float32Array> {
    const feeds = maskedTextFeeds(inputIds, attentionMask, config);
    textSession ??= openText();
    return floats(await (await textSession).run(feeds), "text_features");
  }

  async function encodeImages({ pixelValues }: ImageInputs): Promise<ImageFeatures> {
    const [batch, channels] = pixelValues.dims;
    if (pixelValues.dims.length !== 4 || channels !== config.vision.numChannels) {
      throw new InputError(
        `pixelValues: [${pixelValues.dims.join(", ")}] is not ` +
          `[images, ${config.vision.numChannels}, height, width]; make them with the processor`,
      );
    }
    const shape = pixelValues.dims as [number, number, number, number];
    const { data } = pixelValues;
    const pixels = data instanceof Float32Array ? data : Float32Array.from(data);
    const { patches, rows, columns } = patchesFromPixels(pixels, shape, patchSize);
    return engine.encodeImages(patches, batch!, rows, columns, shape[2] === shape[3]);
  }

  const dim = config.projectionDim;
  async function forward(inputs: ModelInputs): Promise<ModelOutputs> {
    const image = await encodeImages(inputs);
    const textEmbeds = normalizedRows(await encodeTexts(inputs), dim);
    const imageEmbeds = normalizedRows(image.image, dim);
    const images = imageEmbeds.length / dim;
    const texts = textEmbeds.length / dim;
    const logitScale = Math.exp(engine.logitScale);
    const perImage = new Float32Array(images * texts);
    const perText = new Float32Array(images * texts);
    for (let i = 0; i < images; i++) {
      for (let t = 0; t < texts; t++) {
        let sum = 0;
        for (let d = 0; d < dim; d++) sum += imageEmbeds[i * dim + d]! * textEmbeds[t * dim + d]!;
        perImage[i * texts + t] = sum * logitScale;
        perText[t * images + i] = sum * logitScale;
      }
    }
    const outputs: ModelOutputs = {
      logitsPerImage: new Tensor(perImage, [images, texts]),
      logitsPerText: new Tensor(perText, [texts, images]),
      textEmbeds: new Tensor(textEmbeds, [texts, dim]),
      imageEmbeds: new Tensor(imageEmbeds, [images, dim]),
    };
    if (inputs.returnLoss) {
      if (images !== texts) {
        throw new InputError(
          `returnLoss: image i belongs to text i, but there are ${images} images and ${texts} texts`,
        );
      }
      const loss = (diagonalLoss(perText, texts) + diagonalLoss(perImage, images)) / 2;
      outputs.loss = new Tensor(new Float32Array([loss]), []);
    }
    if (inputs.outputSegmentation) {
      const [, , height, width] = inputs.pixelValues.dims as [number, number, number, number];
      outputs.segmentationLogits = segmentImages(image, textEmbeds, logitScale, {
        images,
        texts,
        height,
        width,
        patchSize,
      });
    }
    return outputs;
  }

  return Object.assign(forward, {
    config,
    // Held so that processors of this model find them.
    settings,
    getImageFeatures: async (inputs: ImageInputs) => {
      const { image } = await encodeImages(inputs);
      return new Tensor(image, [image.length / dim, dim]);
    },
    getTextFeatures: async (inputs: TextInputs) => {
      const features = await encodeTexts(inputs);
      return new Tensor(features, [features.length / dim, dim]);
    },
    release: async () => {
      await engine.release();
      await (await textSession)?.release();
    },
  });
}

/**
 * Inputs of the text graph with one mask per text: causal, and padding as Hugging Face masks it. What
 * follows the last end-of-text token cannot change the result and is left out.
 */
function maskedTextFeeds(ids: Tensor, attentionMask: Tensor | undefined, config: GroupViTConfig) {
  const [texts, length] = ids.dims as [number, number];
  if (ids.dims.length !== 2 || texts === 0 || length === 0) {
    throw new InputError(`inputIds: [${ids.dims.join(", ")}] is not [texts, tokens]`);
  }
  if (attentionMask && String(attentionMask.dims) !== String(ids.dims)) {
    throw new InputError(
      `attentionMask: [${attentionMask.dims.join(", ")}] must have the shape of inputIds, ` +
        `[${ids.dims.join(", ")}]`,
    );
  }
  const { vocabSize } = config.text;
  for (const id of ids.data) {
    if (!Number.isInteger(id) || id < 0 || id >= vocabSize) {
      throw new InputError(`inputIds: ${id} is not a token; the model reads 0 to ${vocabSize - 1}`);
    }
  }
  const rows = Array.from({ length: texts }, (_, text) =>
    Array.from(ids.data.subarray(text * length, (text + 1) * length)),
  );
  const tokens = Math.max(...rows.map(endOfText)) + 1;
  checkTokens(tokens, config.text);
  const mask = new Float32Array(texts * tokens * tokens);
  rows.forEach((row, text) => {
    const counts = (token: number) => attentionMask?.data[text * length + token] !== 0;
    if (!row.slice(0, endOfText(row) + 1).some((_, token) => counts(token))) {
      throw new InputError(
        `attentionMask: text ${text} counts no token up to its end-of-text token; ` +
          "give 1 for every token that is not padding",
      );
    }
    for (let query = 0; query < tokens; query++) {
      const start = (text * tokens + query) * tokens;
      for (let key = 0; key < tokens; key++) {
        mask[start + key] = (key > query ? MASKED : 0) + (counts(key) ? 0 : MASKED);
      }
    }
  });
  const feeds = textFeeds(
    rows.map((row) => row.slice(0, tokens)),
    tokens,
  );
  return { ...feeds, mask: { shape: [texts, 1, tokens, tokens], data: mask } };
}

function segmentImages(
  features: ImageFeatures,
  textEmbeds: Float32Array,
  logitScale: number,
  size: { images: number; texts: number; height: number; width: number; patchSize: number },
): Tensor {
  const { images, texts, height, width } = size;
  const dims = [images, texts, height, width];
  if (features.groups.length === 0) {
    throw new InputError("outputSegmentation: the model has no grouping block");
  }
  const part = (data: Float32Array, image: number) =>
    data.subarray((data.length / images) * image, (data.length / images) * (image + 1));
  const dim = features.image.length / images;
  const segmentEmbeds = normalizedRows(features.segments, dim);
  const maps = Array.from({ length: images }, (_, image) =>
    segmentationLogits({
      assignments: features.assignments.map((data) => part(data, image)),
      groups: features.groups,
      segmentEmbeds: part(segmentEmbeds, image),
      textEmbeds,
      logitScale,
      height,
      width,
    }),
  );
  if (images === 1) return new Tensor(maps[0]!, dims);
  const data = new Float32Array(dims.reduce((a, b) => a * b, 1));
  for (const [image, map] of maps.entries()) data.set(map, image * map.length);
  return new Tensor(data, dims);
}

function pretrainedProcessor<Source>(
  platform: Platform<Source>,
  { config, files }: Settings,
): PretrainedProcessor<Source> {
  const processor = readProcessor(config.vision, files["preprocessor_config.json"]);
  const contextLength = config.text.maxPositionEmbeddings;
  const tokenizer = loadTokenizer({ kind: "huggingface", files, contextLength });
  const untruncated = loadTokenizer({ kind: "huggingface", files, contextLength: LONGEST_TEXT });

  async function process<Inputs extends ProcessorInputs<Source>>(
    inputs: Inputs,
  ): Promise<Processed<Inputs>> {
    const { text, images, padding = false, truncation = false } = inputs;
    const { maxLength = contextLength } = inputs;
    if (text === undefined && images === undefined) {
      throw new InputError("processor: give text, images or both");
    }
    if (!Number.isInteger(maxLength) || maxLength < 2 || maxLength > LONGEST_TEXT) {
      throw new InputError(`maxLength: ${maxLength} is out of range; give 2 to ${LONGEST_TEXT}`);
    }
    const result: Partial<TextInputs & ImageInputs> = {};
    if (text !== undefined) {
      const rows = (typeof text === "string" ? [text] : text).map((one) => {
        const ids = untruncated.encode(one);
        return truncation && ids.length > maxLength
          ? [...ids.slice(0, maxLength - 1), tokenizer.endToken]
          : ids;
      });
      Object.assign(result, padded(rows, padding, maxLength, tokenizer.endToken));
    }
    if (images !== undefined) {
      const sources = (Array.isArray(images) ? images : [images]) as Source[];
      const { crop, mean, std } = processor;
      const size = 3 * crop * crop;
      const pixels = new Float32Array(sources.length * size);
      for (const [i, source] of sources.entries()) {
        const picture = await platform.decodePicture(source);
        pixels.set(normalize(classificationView(picture, processor), mean, std), i * size);
      }
      result.pixelValues = new Tensor(pixels, [sources.length, 3, crop, crop]);
    }
    return result as Processed<Inputs>;
  }
  return Object.assign(process, { tokenizer });
}

/** Token rows of one length, padded at the end with the end-of-text token as Hugging Face does. */
function padded(
  rows: readonly (readonly number[])[],
  padding: boolean | "longest" | "max_length",
  maxLength: number,
  padToken: number,
): Required<TextInputs> {
  if (rows.length === 0) throw new InputError("text: the list is empty; give at least one text");
  const longest = Math.max(...rows.map((row) => row.length));
  if (padding === false && rows.some((row) => row.length !== longest)) {
    throw new InputError(
      "text: the texts have different numbers of tokens; give padding: true to make them equal",
    );
  }
  const length = padding === "max_length" ? Math.max(maxLength, longest) : longest;
  const ids = new Int32Array(rows.length * length).fill(padToken);
  const mask = new Int32Array(rows.length * length);
  rows.forEach((row, i) => {
    ids.set(row, i * length);
    mask.fill(1, i * length, i * length + row.length);
  });
  const dims = [rows.length, length];
  return { inputIds: new Tensor(ids, dims), attentionMask: new Tensor(mask, dims) };
}

/** Mean cross-entropy of square logits [n, n] whose targets are the diagonal. */
function diagonalLoss(logits: Float32Array, n: number): number {
  let total = 0;
  for (let row = 0; row < n; row++) {
    const own = logits.subarray(row * n, (row + 1) * n);
    const most = own.reduce((a, b) => Math.max(a, b));
    const sum = own.reduce((a, b) => a + Math.exp(b - most), 0);
    total += most + Math.log(sum) - own[row]!;
  }
  return total / n;
}

function normalizedRows(rows: Float32Array, dim: number): Float32Array {
  const result = new Float32Array(rows.length);
  for (let start = 0; start < rows.length; start += dim) {
    let squares = 0;
    for (let i = start; i < start + dim; i++) squares += rows[i]! ** 2;
    const norm = Math.sqrt(squares);
    for (let i = start; i < start + dim; i++) result[i] = rows[i]! / norm;
  }
  return result;
}
