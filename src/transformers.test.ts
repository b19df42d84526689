// Hugging Face's API against Hugging Face's own numbers on the tiny model.

import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  floats,
  largestDifference,
  readJson,
  readTensors,
  type TensorReport,
  tensor,
  tolerance,
} from "../test/support/segment.js";
import { toFloat32 } from "./checkpoint/dtypes.js";
import { InputError } from "./errors.js";
import { AutoProcessor, GroupViTModel, Tensor } from "./index.js";
import { CLIP_MEAN, CLIP_STD, IMAGENET_MEAN, IMAGENET_STD, normalize } from "./input/normalize.js";
import type { Picture } from "./input/picture.js";
import { Random } from "./random.js";
import type { GroupViTModel as Model, PretrainedProcessor } from "./transformers.js";

const tiny = fileURLToPath(new URL("../test/fixtures/tiny", import.meta.url));
const expected = readTensors("tiny/expected.safetensors.gz");
const inputs = readTensors("tiny/inputs.safetensors");
const { tensors: reports } = readJson<{ tensors: Record<string, TensorReport> }>(
  "tiny/report.json",
);

const given = (name: string) => {
  const stored = tensor(inputs, name);
  return new Tensor(toFloat32(stored), stored.shape);
};
const whole = (name: string) => {
  const { data, dims } = given(name);
  return new Tensor(Int32Array.from(data), dims);
};

function expectTensor(actual: Tensor | undefined, name: string): void {
  expect(actual?.dims).toEqual(tensor(expected, name).shape);
  expect(largestDifference(actual!.data, floats(expected, name))).toBeLessThan(
    tolerance(reports[name]!),
  );
}

describe("GroupViTModel", () => {
  let model: Model;
  beforeAll(async () => {
    model = await GroupViTModel.fromPretrained(tiny);
  });
  afterAll(() => model.release());

  it("gives every output of the reference", async () => {
    const outputs = await model({
      inputIds: whole("input_ids"),
      pixelValues: given("pixel_values"),
      outputSegmentation: true,
      returnLoss: true,
    });
    expectTensor(outputs.imageEmbeds, "image_embeds");
    expectTensor(outputs.textEmbeds, "text_embeds");
    expectTensor(outputs.logitsPerImage, "logits_per_image");
    expectTensor(outputs.logitsPerText, "logits_per_text");
    expectTensor(outputs.segmentationLogits, "segmentation_logits");
    expectTensor(outputs.loss, "loss");
  });

  it("gives only what is asked for", async () => {
    const outputs = await model({
      inputIds: whole("input_ids"),
      pixelValues: given("pixel_values"),
    });
    expect(Object.keys(outputs).sort()).toEqual([
      "imageEmbeds",
      "logitsPerImage",
      "logitsPerText",
      "textEmbeds",
    ]);
  });

  it.each(["96x64", "72x120", "128x128"])("interpolates as Hugging Face at %s", async (size) => {
    const { data, dims } = whole("input_ids");
    const outputs = await model({
      inputIds: new Tensor(data.slice(0, 3 * dims[1]!), [3, dims[1]!]),
      pixelValues: given(`pixel_values_${size}`),
      outputSegmentation: true,
    });
    expectTensor(outputs.imageEmbeds, `hf_${size}.image_embeds`);
    expectTensor(outputs.logitsPerImage, `hf_${size}.logits_per_image`);
    expectTensor(outputs.segmentationLogits, `hf_${size}.segmentation_logits`);
  });

  it("gives features before normalisation", async () => {
    const image = await model.getImageFeatures({ pixelValues: given("pixel_values") });
    expectTensor(image, "image_features_unnormalized");
    const text = await model.getTextFeatures({ inputIds: whole("input_ids") });
    expectTensor(text, "text_features_unnormalized");
  });

  it("reads padded texts with their mask", async () => {
    const features = await model.getTextFeatures({
      inputIds: whole("input_ids_eotpad"),
      attentionMask: whole("attention_mask_eotpad"),
    });
    expectTensor(features, "eotpad.text_features_unnormalized");
  });

  it("honours the mask: a masked token does not matter, an unmasked one does", async () => {
    const eot = 511;
    const features = async (second: number, counts: number) => {
      const { data } = await model.getTextFeatures({
        inputIds: new Tensor(Int32Array.of(0, second, 9, eot), [1, 4]),
        attentionMask: new Tensor(Int32Array.of(1, counts, 1, 1), [1, 4]),
      });
      return data;
    };
    expect(await features(5, 0)).toEqual(await features(300, 0));
    expect(largestDifference(await features(5, 1), await features(300, 1))).toBeGreaterThan(0.01);
  });

  it("has the configuration", () => {
    expect(model.config.projectionDim).toBe(32);
  });

  it.each([
    [{ inputIds: new Tensor(Int32Array.of(0, 512), [1, 2]) }, /512 is not a token/],
    [{ inputIds: new Tensor(Int32Array.of(0, 1), [2]) }, /\[2\] is not \[texts, tokens\]/],
    [
      {
        inputIds: new Tensor(Int32Array.of(0, 1), [1, 2]),
        attentionMask: new Tensor(Int32Array.of(1), [1, 1]),
      },
      /shape of inputIds, \[1, 2\]/,
    ],
    [
      {
        inputIds: new Tensor(Int32Array.of(0, 1), [1, 2]),
        attentionMask: new Tensor(Int32Array.of(0, 0), [1, 2]),
      },
      /text 0 counts no token/,
    ],
    [{ inputIds: new Tensor(new Int32Array(80).fill(3, 79), [1, 80]) }, /80 tokens.*reads 77/],
  ])("refuses inputs that do not fit (%#)", async (texts, message) => {
    await expect(model.getTextFeatures(texts)).rejects.toThrow(message);
    await expect(model.getTextFeatures(texts)).rejects.toThrow(InputError);
  });

  it("refuses pixels of another shape, and a loss without pairs", async () => {
    const pixelValues = new Tensor(new Float32Array(64), [1, 1, 8, 8]);
    await expect(model.getImageFeatures({ pixelValues })).rejects.toThrow(/3, height, width/);
    await expect(
      model({
        inputIds: whole("input_ids"),
        pixelValues: given("pixel_values_96x64"),
        returnLoss: true,
      }),
    ).rejects.toThrow(/2 images and 4 texts/);
  });
});

describe("AutoProcessor", () => {
  let processor: PretrainedProcessor<Picture>;
  const random = new Random(3);
  const picture: Picture = {
    width: 64,
    height: 64,
    data: Uint8Array.from({ length: 64 * 64 * 3 }, () => random.integer(256)),
  };
  const cat = [49406, 320, 1125, 539, 320, 2368, 49407];
  beforeAll(async () => {
    processor = (await AutoProcessor.fromPretrained(tiny)) as PretrainedProcessor<Picture>;
  });

  it("prepares the model card's example", async () => {
    const result = await processor({
      text: ["a photo of a cat", "cat"],
      images: picture,
      padding: true,
    });
    expect(result.inputIds.tolist()).toEqual([
      cat,
      [49406, 2368, 49407, 49407, 49407, 49407, 49407],
    ]);
    expect(result.attentionMask.tolist()).toEqual([
      [1, 1, 1, 1, 1, 1, 1],
      [1, 1, 1, 0, 0, 0, 0],
    ]);
    expect(result.pixelValues.dims).toEqual([1, 3, 64, 64]);
    expect(result.pixelValues.data).toEqual(normalize(picture, IMAGENET_MEAN, IMAGENET_STD));
  });

  it("normalises as preprocessor_config.json says", async () => {
    const { readFile } = await import("node:fs/promises");
    const files = {
      "config.json": await readFile(`${tiny}/config.json`, "utf8"),
      "model.safetensors": await readFile(`${tiny}/model.safetensors`),
      "preprocessor_config.json": JSON.stringify({ image_mean: CLIP_MEAN, image_std: CLIP_STD }),
    };
    const clip = await AutoProcessor.fromPretrained(files);
    const { pixelValues } = await clip({ images: [picture, picture] });
    const one = normalize(picture, CLIP_MEAN, CLIP_STD);
    expect(pixelValues.dims).toEqual([2, 3, 64, 64]);
    expect(pixelValues.data.slice(one.length)).toEqual(one);
  });

  it("pads to the context, and truncates before the end-of-text token", async () => {
    const full = await processor({ text: "a photo of a cat", padding: "max_length" });
    expect(full.inputIds.dims).toEqual([1, 77]);
    expect(Array.from(full.attentionMask.data).filter((x) => x === 1).length).toBe(7);
    const short = await processor({ text: "a photo of a cat", truncation: true, maxLength: 4 });
    expect(short.inputIds.tolist()).toEqual([[49406, 320, 1125, 49407]]);
    const long = "cat ".repeat(100);
    expect((await processor({ text: long })).inputIds.dims).toEqual([1, 102]);
    expect((await processor({ text: long, truncation: true })).inputIds.dims).toEqual([1, 77]);
  });

  it("refuses texts of different lengths without padding, and nothing at all", async () => {
    await expect(processor({ text: ["cat", "a cat"] })).rejects.toThrow(/padding: true/);
    await expect(processor({})).rejects.toThrow(/text, images or both/);
    await expect(processor({ text: [] })).rejects.toThrow(/list is empty/);
  });
});

describe("Tensor", () => {
  it("takes the softmax along any dimension", () => {
    const x = new Tensor(Float32Array.of(0, Math.log(3), 0, Math.log(7)), [2, 2]);
    expect(x.softmax(1).data).toEqual(Float32Array.of(0.25, 0.75, 0.125, 0.875));
    expect(x.softmax(-1)).toEqual(x.softmax(1));
    const columns = x.softmax(0).tolist() as number[][];
    expect(columns[0]![1]! + columns[1]![1]!).toBeCloseTo(1, 6);
    expect(columns[0]![1]).toBeCloseTo(0.3, 6);
    expect(() => x.softmax(2)).toThrow(/dimension 2/);
  });

  it("nests as its dimensions say", () => {
    const data = Float32Array.from({ length: 12 }, (_, i) => i);
    expect(new Tensor(data, [2, 2, 3]).tolist()).toEqual([
      [
        [0, 1, 2],
        [3, 4, 5],
      ],
      [
        [6, 7, 8],
        [9, 10, 11],
      ],
    ]);
    expect(new Tensor(Float32Array.of(5), []).tolist()).toBe(5);
    expect(() => new Tensor(data, [5])).toThrow(/12 numbers do not fill \[5\]/);
  });
});
