import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ConfigError } from "../errors.js";
import { configToJson, parseConfig } from "./config-file.js";

const fixture = (path: string) =>
  readFileSync(new URL(`../../test/fixtures/${path}/config.json`, import.meta.url), "utf8");

describe("parseConfig", () => {
  it("reads the reference's files", () => {
    const full = parseConfig(fixture("full"));
    expect(full.vision).toEqual({
      hiddenSize: 384,
      intermediateSize: 1536,
      depths: [6, 3, 3],
      numGroupTokens: [64, 8, 0],
      numOutputGroups: [64, 8, 8],
      numAttentionHeads: 6,
      imageSize: 224,
      patchSize: 16,
      numChannels: 3,
      layerNormEps: 1e-5,
      assignEps: 1,
      assignMlpRatio: [0.5, 4],
      hiddenAct: "gelu",
    });
    expect(full.text).toMatchObject({ bosTokenId: 0, eosTokenId: 2, hiddenAct: "quick_gelu" });
    const tiny = parseConfig(JSON.parse(fixture("tiny")));
    expect(tiny.vision).toMatchObject({
      hiddenSize: 48,
      patchSize: 8,
      numOutputGroups: [16, 4, 4],
    });
    expect(tiny).toMatchObject({ projectionDim: 32, projectionIntermediateDim: 64 });
  });

  it("has Hugging Face's defaults: the published model with CLIP's token ids", () => {
    const published = parseConfig(fixture("full"));
    const text = { ...published.text, bosTokenId: 49_406, eosTokenId: 49_407 };
    expect(parseConfig("{}")).toEqual({ ...published, text });
    expect(parseConfig({ text_config: null, vision_config: { depths: null } })).toEqual(
      parseConfig({}),
    );
  });

  it("reads old files, which repeat a tower's fields in text_config_dict", () => {
    const config = parseConfig({
      text_config: { hidden_size: 64 },
      text_config_dict: { hidden_size: 128 },
      vision_config_dict: null,
    });
    expect(config.text.hiddenSize).toBe(128);
  });

  it("survives being written and read", () => {
    const numbers = fc.integer({ min: 1, max: 64 });
    fc.assert(
      fc.property(numbers, numbers, fc.double({ min: 0.5, max: 8, noNaN: true }), (a, b, ratio) => {
        const config = parseConfig({
          projection_dim: a,
          logit_scale_init_value: ratio,
          vision_config: {
            hidden_size: 2 * a,
            num_attention_heads: a,
            patch_size: b,
            assign_eps: ratio / 10,
            assign_mlp_ratio: [ratio, ratio],
            hidden_act: "relu",
          },
          text_config: { vocab_size: b, eos_token_id: a, layer_norm_eps: 1e-6 },
        });
        expect(parseConfig(JSON.stringify(configToJson(config)))).toEqual(config);
      }),
      { seed: 11, numRuns: 100 },
    );
    const { vision_config: vision } = configToJson(parseConfig(fixture("full")));
    expect(vision).toMatchObject({ num_hidden_layers: 12, model_type: "groupvit_vision_model" });
  });

  const vision = (fields: object) => ({ vision_config: fields });
  const text = (fields: object) => ({ text_config: fields });
  const wrong: [unknown, RegExp][] = [
    ["{", /not valid JSON/],
    ["[]", /config\.json: it is \[\]; it must be an object/],
    [7, /it is 7/],
    [{ model_type: "clip" }, /model_type is "clip"/],
    [{ vision_config: 3 }, /vision_config is 3; it must be an object/],
    [{ projection_dim: 0 }, /projection_dim is 0; it must be a whole number from 1/],
    [{ projection_dim: 2 ** 30 }, /projection_dim is 1073741824/],
    [{ projection_intermediate_dim: "4096" }, /projection_intermediate_dim is "4096"/],
    [{ logit_scale_init_value: 1e9 }, /logit_scale_init_value is 1000000000/],
    [vision({ hidden_size: 1.5 }), /vision_config\.hidden_size is 1\.5/],
    [
      vision({ num_attention_heads: 7 }),
      /num_attention_heads is 7; it must divide the hidden_size 384/,
    ],
    [vision({ image_size: [224, 224] }), /image_size is \[224,224\]/],
    [vision({ image_size: 8 }), /patch_size is 16; it must be at most the image_size 8/],
    [vision({ depths: 12 }), /depths is 12; it must be a list/],
    [vision({ depths: [] }), /depths is \[\]/],
    [vision({ depths: [6, -3, 3] }), /depths is \[6,-3,3\]/],
    [vision({ depths: [1000, 1000, 1000] }), /sum to at most 1024/],
    [
      vision({ depths: [6, 6] }),
      /num_group_tokens is \[64,8,0\]; it must have one entry per stage, 2/,
    ],
    [
      vision({ num_output_groups: [64, 8] }),
      /num_output_groups is \[64,8\]; it must have one entry/,
    ],
    [vision({ num_output_groups: [64, 0, 0] }), /must be positive at stage 1/],
    [
      vision({ num_output_groups: [32, 8, 8] }),
      /must equal num_group_tokens \[64,8,0\] at stage 0/,
    ],
    [vision({ num_group_tokens: [64, 0, 8] }), /must equal num_group_tokens \[64,0,8\] at stage 1/],
    [vision({ assign_mlp_ratio: 4 }), /assign_mlp_ratio is 4/],
    [vision({ assign_mlp_ratio: [0.001, 4] }), /leave hidden units/],
    [vision({ assign_eps: -1 }), /assign_eps is -1/],
    [vision({ layer_norm_eps: "1e-5" }), /layer_norm_eps is "1e-5"/],
    [
      vision({ hidden_act: "silu" }),
      /hidden_act is "silu"; it must be one of gelu, quick_gelu, relu/,
    ],
    [vision({ hidden_act: "toString" }), /hidden_act is "toString"/],
    [text({ vocab_size: -5 }), /text_config\.vocab_size is -5/],
    [text({ eos_token_id: [1, 2] }), /eos_token_id is \[1,2\]/],
    [text({ num_hidden_layers: 1e6 }), /num_hidden_layers is 1000000/],
  ];
  it.each(wrong)("names the wrong field of %j", (json, message) => {
    expect(() => parseConfig(json)).toThrow(ConfigError);
    expect(() => parseConfig(json)).toThrow(message);
  });

  it("takes stages without tokens before stages with tokens", () => {
    const { vision: parsed } = parseConfig(
      vision({ num_group_tokens: [0, 8, 0], num_output_groups: [0, 8, 8] }),
    );
    expect(parsed.numGroupTokens).toEqual([0, 8, 0]);
  });
});
