import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { CheckpointError } from "../errors.js";
import { parseConfig } from "./config-file.js";
import { readSafetensors } from "./safetensors.js";
import { checkWeights, isBuffer, MULTI_LABEL_LOGIT_SCALE, parameterShapes } from "./shapes.js";
import type { StoredTensor } from "./tensors.js";

const fixtures = new URL("../../test/fixtures/", import.meta.url);
const text = (path: string) => readFileSync(new URL(path, fixtures), "utf8");
const bytes = (path: string) => readFileSync(new URL(path, fixtures));

interface Described {
  shape: number[];
  parameter: boolean;
}
const reference = JSON.parse(text("full/names_and_shapes.json")) as {
  hf: Record<string, Described>;
  num_hf_parameters: number;
};
const tinyConfig = parseConfig(text("tiny/config.json"));
const tinyTensors = () => readSafetensors(bytes("tiny/model.safetensors")).tensors;

describe("parameterShapes", () => {
  it("gives the 503 entries of the published configuration, in order", () => {
    const shapes = parameterShapes(parseConfig(text("full/config.json")));
    const expected = Object.entries(reference.hf).map(([name, { shape }]) => [name, shape]);
    expect([...shapes]).toEqual(expected);
  });

  it("tells buffers from parameters", () => {
    let parameters = 0;
    for (const [name, shape] of parameterShapes(parseConfig(text("full/config.json")))) {
      expect(isBuffer(name), name).toBe(!reference.hf[name]!.parameter);
      if (!isBuffer(name)) parameters += shape.reduce((product, size) => product * size, 1);
    }
    expect(parameters).toBe(reference.num_hf_parameters);
  });

  it("follows the configuration: stages, tokens and projectors", () => {
    const shapes = parameterShapes(
      parseConfig({
        vision_config: {
          hidden_size: 20,
          num_attention_heads: 2,
          intermediate_size: 30,
          depths: [1, 0, 2, 1],
          num_group_tokens: [0, 7, 5, 0],
          num_output_groups: [0, 7, 3, 3],
          image_size: 50,
          patch_size: 16,
          assign_mlp_ratio: [0.33, 2.5],
        },
      }),
    );
    const stage = (i: number, rest: string) => `vision_model.encoder.stages.${i}.${rest}`;
    expect(shapes.get("vision_model.embeddings.position_embeddings")).toEqual([1, 9, 20]);
    expect(shapes.has(stage(0, "group_token"))).toBe(false);
    expect(shapes.has(stage(1, "layers.0.layer_norm1.weight"))).toBe(false);
    expect(shapes.has(stage(1, "group_projector.0.weight"))).toBe(false);
    expect(shapes.get(stage(2, "group_projector.1.fc1.weight"))).toEqual([10, 7]);
    expect(shapes.get(stage(2, "group_projector.1.fc2.weight"))).toEqual([5, 10]);
    expect(shapes.get(stage(2, "downsample.mlp_inter.fc1.weight"))).toEqual([6, 5]);
    expect(shapes.get(stage(2, "downsample.mlp_inter.fc2.weight"))).toEqual([3, 6]);
    expect(shapes.get(stage(2, "downsample.mlp_channels.fc1.weight"))).toEqual([50, 20]);
    expect(shapes.get(stage(2, "downsample.pre_assign_attn.mlp.fc1.weight"))).toEqual([30, 20]);
    expect(shapes.has(stage(3, "downsample.norm_x.weight"))).toBe(false);
  });
});

describe("checkWeights", () => {
  const scalar: StoredTensor = { dtype: "F32", shape: [], bytes: new Uint8Array(4) };

  it("accepts the reference checkpoint, with and without its optional entries", () => {
    const tensors = tinyTensors();
    checkWeights(tinyConfig, tensors);
    tensors.delete("text_model.embeddings.position_ids");
    tensors.delete("visual_projection.1.num_batches_tracked");
    tensors.set(MULTI_LABEL_LOGIT_SCALE, scalar);
    checkWeights(tinyConfig, tensors);
  });

  it("names the first missing, unexpected or mis-shaped tensor", () => {
    const missing = tinyTensors();
    missing.delete("logit_scale");
    missing.delete("visual_projection.3.bias");
    expect(() => checkWeights(tinyConfig, missing)).toThrow(
      /^Tensor "logit_scale" is missing \(and 1 more\); .*config\.json/,
    );
    const extra = tinyTensors().set("img_encoder.norm.weight", scalar);
    expect(() => checkWeights(tinyConfig, extra)).toThrow(
      /^Tensor "img_encoder\.norm\.weight" has no place/,
    );
    const full = parseConfig(text("full/config.json"));
    expect(() => checkWeights(full, tinyTensors())).toThrow(CheckpointError);
    expect(() => checkWeights(full, tinyTensors())).toThrow(
      /^Tensor "text_model\.embeddings\.token_embedding\.weight" has shape \[512, 32\], .*\[49408, 256\]/,
    );
  });
});
