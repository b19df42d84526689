import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CheckpointError } from "../errors.js";
import type { GroupViTConfig } from "../model/config.js";
import { configToJson, parseConfig } from "./config-file.js";
import { fromFloat32 } from "./dtypes.js";
import { inferConfig } from "./infer.js";
import { authorsNames, isAuthorsLayout, toAuthors, toHuggingFace } from "./names.js";
import { readSafetensors } from "./safetensors.js";
import { checkWeights, MULTI_LABEL_LOGIT_SCALE, POSITION_IDS, parameterShapes } from "./shapes.js";
import type { StoredTensor, TensorMap } from "./tensors.js";
import { readTorch } from "./torch.js";

const fixture = (path: string) =>
  new Uint8Array(readFileSync(new URL(`../../test/fixtures/${path}`, import.meta.url)));
const json = (path: string) => JSON.parse(new TextDecoder().decode(fixture(path)));
const full = json("full/names_and_shapes.json") as {
  nvlabs: Record<string, { shape: number[] }>;
  nvlabs_to_hf: Record<string, string[]>;
};
const fullConfig = parseConfig(json("full/config.json"));
const tinyConfig = parseConfig(json("tiny/config.json"));
const huggingFace = () => readSafetensors(fixture("tiny/model.safetensors")).tensors;
const authors = async () => (await readTorch(fixture("tiny/nvlabs.pth"))).tensors;

const sameTensor = (a: StoredTensor | undefined, b: StoredTensor | undefined) =>
  a !== undefined &&
  b !== undefined &&
  a.dtype === b.dtype &&
  a.shape.join() === b.shape.join() &&
  Buffer.compare(a.bytes, b.bytes) === 0;
/** Names in order, and every tensor equal to the last byte. */
function expectSame(a: TensorMap, b: TensorMap): void {
  expect([...a.keys()]).toEqual([...b.keys()]);
  for (const [name, tensor] of a) expect(sameTensor(tensor, b.get(name)), name).toBe(true);
}

/** Weights of a configuration, each element its own number. */
function weights(config: GroupViTConfig): TensorMap {
  let next = 0;
  const tensors: TensorMap = new Map();
  for (const [name, shape] of parameterShapes(config)) {
    if (name === POSITION_IDS) continue;
    const count = shape.reduce((product, size) => product * size, 1);
    const tensor = fromFloat32(
      Float32Array.from({ length: count }, () => next++),
      shape,
    );
    const bytes = new Uint8Array(8);
    tensors.set(name, name.endsWith("tracked") ? { dtype: "I64", shape, bytes } : tensor);
  }
  return tensors;
}

/** Small configurations of any stages; group projectors where they can run. */
const configs = fc
  .record({
    heads: fc.integer({ min: 1, max: 2 }),
    size: fc.integer({ min: 2, max: 5 }),
    stages: fc.array(
      fc.record({ depth: fc.nat(2), tokens: fc.nat(3), groups: fc.integer({ min: 1, max: 3 }) }),
      {
        minLength: 1,
        maxLength: 4,
      },
    ),
    layers: fc.integer({ min: 1, max: 2 }),
    patches: fc.integer({ min: 1, max: 3 }),
    channels: fc.integer({ min: 1, max: 4 }),
    hidden: fc.integer({ min: 1, max: 7 }),
    ratios: fc.tuple(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 9 })),
    vocab: fc.integer({ min: 1, max: 9 }),
  })
  .map(({ heads, size, stages, layers, patches, channels, hidden, ratios, vocab }) => {
    const width = heads * size;
    // A stage without blocks or tokens has no tensors, so it cannot be told from the weights.
    const kept = stages.map((stage) => ({
      ...stage,
      depth: Math.max(stage.depth, stage.tokens ? 0 : 1),
    }));
    const last = kept.findLastIndex(({ tokens }) => tokens > 0);
    const groups = kept.map((stage, i) => {
      if (i < last)
        return kept[i + 1]!.tokens > 0 || stage.tokens === 0 ? stage.tokens : stage.groups;
      return last < 0 ? 0 : kept[last]!.groups;
    });
    return parseConfig({
      projection_dim: vocab,
      projection_intermediate_dim: hidden,
      vision_config: {
        hidden_size: width,
        num_attention_heads: heads,
        intermediate_size: hidden,
        depths: kept.map(({ depth }) => depth),
        num_group_tokens: kept.map(({ tokens }) => tokens),
        num_output_groups: groups,
        image_size: patches * 2,
        patch_size: 2,
        num_channels: channels,
        assign_mlp_ratio: ratios.map((ratio) => (ratio + 0.5) / width),
      },
      text_config: {
        vocab_size: vocab,
        hidden_size: 2 * width,
        num_attention_heads: 2 * heads,
        intermediate_size: hidden,
        num_hidden_layers: layers,
        max_position_embeddings: vocab,
      },
    });
  });

describe("authorsNames", () => {
  it("gives the reference's mapping of 407 entries, in order", () => {
    expect([...authorsNames(fullConfig)]).toEqual(Object.entries(full.nvlabs_to_hf));
    expect([...authorsNames(tinyConfig)]).toEqual(
      Object.entries(json("tiny/nvlabs_to_hf_names.json")),
    );
  });

  it("names every Hugging Face entry once", () => {
    fc.assert(
      fc.property(configs, (config) => {
        const mapped = [...authorsNames(config).values()].flat().sort();
        const expected = [...parameterShapes(config).keys()].filter(
          (name) => name !== POSITION_IDS,
        );
        expect(mapped).toEqual(expected.sort());
      }),
      { seed: 9, numRuns: 100 },
    );
  });
});

describe("toHuggingFace and toAuthors", () => {
  it("turn the authors' reference checkpoint into Hugging Face's, byte for byte", async () => {
    const converted = toHuggingFace(await authors(), tinyConfig);
    const expected = huggingFace();
    expected.delete(POSITION_IDS);
    const scale = (await authors()).get(MULTI_LABEL_LOGIT_SCALE)!;
    expectSame(converted, expected.set(MULTI_LABEL_LOGIT_SCALE, scale));
  });

  it("turn Hugging Face's reference checkpoint into the authors', byte for byte", async () => {
    const expected = await authors();
    const scale = expected.get(MULTI_LABEL_LOGIT_SCALE)!;
    const source = huggingFace().set(MULTI_LABEL_LOGIT_SCALE, scale);
    expectSame(toAuthors(source, tinyConfig), expected);
    // Without it, the authors' single-label model is written.
    expected.delete(MULTI_LABEL_LOGIT_SCALE);
    expectSame(toAuthors(huggingFace(), tinyConfig), expected);
  });

  it("give the authors' shapes of the published configuration", () => {
    const small = { ...fullConfig, text: { ...fullConfig.text, vocabSize: 2 } };
    const empty: TensorMap = new Map();
    for (const [name, shape] of parameterShapes(small)) {
      const count = shape.reduce((product, size) => product * size, 1);
      empty.set(name, { dtype: "U8", shape, bytes: new Uint8Array(count) });
    }
    for (const [name, { shape }] of toAuthors(empty, small)) {
      const expected = name.includes("token_embedding") ? [2, 256] : full.nvlabs[name]!.shape;
      expect(shape, name).toEqual(expected);
    }
  });

  it("are inverse for any configuration, and the weights tell it", () => {
    fc.assert(
      fc.property(configs, (config) => {
        const tensors = weights(config);
        checkWeights(config, tensors);
        const translated = toAuthors(tensors, config);
        expect(isAuthorsLayout(translated)).toBe(true);
        expect(isAuthorsLayout(tensors)).toBe(false);
        expectSame(toHuggingFace(translated, config), tensors);
        const heads = {
          vision: config.vision.numAttentionHeads,
          text: config.text.numAttentionHeads,
        };
        for (const layout of [tensors, translated]) {
          const inferred = inferConfig(layout, heads);
          checkWeights(inferred, tensors);
          expect(inferred.text).toEqual(config.text);
          expect(inferred.vision.depths).toEqual(config.vision.depths);
          expect(inferred.vision.numGroupTokens).toEqual(config.vision.numGroupTokens);
          expect(inferred.vision.numOutputGroups).toEqual(config.vision.numOutputGroups);
        }
      }),
      { seed: 10, numRuns: 150 },
    );
  });

  it("refuse weights that are not the configuration's", async () => {
    const shifted = (await authors()).set("img_encoder.layers.0.blocks.0.attn.qkv.bias", {
      dtype: "U8",
      shape: [4],
      bytes: new Uint8Array(4),
    });
    expect(() => toHuggingFace(shifted, tinyConfig)).toThrow(
      /qkv\.bias" has shape \[4\], whose rows/,
    );
    const extra = (await authors()).set("img_encoder.more", shifted.get("logit_scale")!);
    expect(() => toHuggingFace(extra, tinyConfig)).toThrow(/"img_encoder\.more" has no place/);
    const missing = huggingFace();
    missing.delete("visual_projection.3.bias");
    expect(() => toAuthors(missing, tinyConfig)).toThrow(/"visual_projection\.3\.bias" is missing/);
    const mixed = huggingFace();
    const key = "text_model.encoder.layers.0.self_attn.k_proj.bias";
    mixed.set(key, { ...mixed.get(key)!, dtype: "I32" });
    expect(() => toAuthors(mixed, tinyConfig)).toThrow(CheckpointError);
  });
});

describe("inferConfig", () => {
  it("reads the reference configuration off either layout", async () => {
    const heads = { vision: 3, text: 2 };
    const ids = { bosTokenId: 0, eosTokenId: 2 };
    for (const tensors of [huggingFace(), await authors()]) {
      const { text, ...rest } = inferConfig(tensors, heads);
      expect({ ...rest, text: { ...text, ...ids } }).toEqual(tinyConfig);
    }
  });

  it("assumes heads of 64 channels, and asks for config.json where that cannot be", () => {
    expect(() => inferConfig(huggingFace())).toThrow(
      /^num_attention_heads of the image tower .* 48/,
    );
    const published = parseConfig({ text_config: { vocab_size: 2 } });
    const zeros: TensorMap = new Map();
    for (const [name, shape] of parameterShapes(published)) {
      zeros.set(name, { dtype: "U8", shape, bytes: new Uint8Array(0) });
    }
    expect(configToJson(inferConfig(zeros))).toEqual(configToJson(published));
  });

  const shaped = (change: Record<string, number[] | undefined>) => {
    const tensors = huggingFace();
    for (const [name, shape] of Object.entries(change)) {
      if (shape === undefined) tensors.delete(name);
      else tensors.set(name, { dtype: "F32", shape, bytes: new Uint8Array(0) });
    }
    return () => inferConfig(tensors, { vision: 3, text: 2 });
  };
  const stage = "vision_model.encoder.stages";

  it("says where shapes are missing or contradict each other", () => {
    expect(shaped({ "vision_model.embeddings.position_embeddings": undefined })).toThrow(
      /position_embeddings" is missing/,
    );
    expect(shaped({ "vision_model.embeddings.position_embeddings": [1, 63, 48] })).toThrow(
      /has 63 positions, which is no square/,
    );
    expect(shaped({ [`${stage}.0.downsample.pre_assign_attn.mlp.fc1.weight`]: [100, 48] })).toThrow(
      /hidden widths 192, 100/,
    );
    // The group projector takes 16 tokens, but stage 0 would hand on 8 segments.
    expect(shaped({ [`${stage}.0.downsample.mlp_inter.fc2.weight`]: [8, 24] })).toThrow(
      /num_output_groups is \[8,4,4\]; it must equal num_group_tokens \[16,4,0\] at stage 0/,
    );
    const many = Object.fromEntries(Array.from({ length: 70 }, (_, i) => [`${stage}.${i}.x`, [1]]));
    expect(shaped(many)).toThrow(/has 70 grouping stages/);
  });
});
