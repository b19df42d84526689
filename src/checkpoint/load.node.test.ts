import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { CheckpointError, ConfigError } from "../errors.js";
import { configToJson, parseConfig } from "./config-file.js";
import { fromFloat32, toFloat32 } from "./dtypes.js";
import { loadCheckpoint } from "./load.node.js";
import { toAuthors } from "./names.js";
import { readSafetensors, writeSafetensors } from "./safetensors.js";
import { saveAuthors, saveHuggingFace } from "./save.node.js";
import { MULTI_LABEL_LOGIT_SCALE, POSITION_IDS, parameterShapes } from "./shapes.js";
import type { TensorMap } from "./tensors.js";
import { readTorch, type TorchValue, torchChunks } from "./torch.js";

const fixtures = fileURLToPath(new URL("../../test/fixtures/tiny/", import.meta.url));
let folder: string;
let config: ReturnType<typeof parseConfig>;
let reference: TensorMap;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "groupvit-checkpoint-"));
  config = parseConfig(await readFile(join(fixtures, "config.json"), "utf8"));
  reference = readSafetensors(await readFile(join(fixtures, "model.safetensors"))).tensors;
  reference.delete(POSITION_IDS);
});
afterEach(() => rm(folder, { recursive: true }));

const put = (name: string, data: string | Uint8Array | Uint8Array[]) =>
  writeFile(join(folder, name), Array.isArray(data) ? Buffer.concat(data) : data);
const take = (name: string) => copyFile(join(fixtures, name), join(folder, name));

function expectReference(tensors: TensorMap): void {
  expect([...tensors.keys()].sort()).toEqual([...reference.keys()].sort());
  for (const [name, { dtype, shape, bytes }] of reference) {
    const found = tensors.get(name)!;
    expect([found.dtype, found.shape], name).toEqual([dtype, shape]);
    expect(Buffer.compare(found.bytes, bytes), name).toBe(0);
  }
}

describe("loadCheckpoint", () => {
  it.each(["model.safetensors", "pytorch_model.bin", "nvlabs.pth"])(
    "opens %s, by folder or by name",
    async (name) => {
      await take(name);
      await take("config.json");
      await put("tokenizer.json", "{}");
      await put("merges.txt", "#version: é\n");
      for (const path of [folder, join(folder, name)]) {
        const checkpoint = await loadCheckpoint(path);
        expect(checkpoint.source).toBe(join(folder, name));
        expect(checkpoint.config).toEqual(config);
        expect(checkpoint.files).toEqual({ "tokenizer.json": "{}", "merges.txt": "#version: é\n" });
        if (name === "nvlabs.pth")
          expect(checkpoint.tensors.delete(MULTI_LABEL_LOGIT_SCALE)).toBe(true);
        expectReference(checkpoint.tensors);
      }
    },
  );

  it("prefers safetensors, and asks which of several other files", async () => {
    await take("config.json");
    await take("pytorch_model.bin");
    await take("model.safetensors");
    expect((await loadCheckpoint(folder)).source).toMatch(/model\.safetensors$/);
    await rm(join(folder, "pytorch_model.bin"));
    await rm(join(folder, "model.safetensors"));
    await expect(loadCheckpoint(folder)).rejects.toThrow(/holds no weights/);
    await put("a.pth", "");
    await put("b.pth", "");
    await expect(loadCheckpoint(folder)).rejects.toThrow(/several checkpoints \(a\.pth, b\.pth\)/);
  });

  it("opens shards of either format", async () => {
    await take("config.json");
    const entries = [...reference];
    const parts = [new Map(entries.slice(0, 100)), new Map(entries.slice(100))];
    const formats: [string, (tensors: TensorMap) => Uint8Array | Uint8Array[]][] = [
      ["pytorch_model.bin", torchChunks],
      ["model.safetensors", writeSafetensors],
    ];
    for (const [name, write] of formats) {
      const weightMap: Record<string, string> = {};
      for (const [i, part] of parts.entries()) {
        const shard = name.replace(".", `-0000${i + 1}-of-00002.`);
        await put(shard, write(part));
        for (const tensor of part.keys()) weightMap[tensor] = shard;
      }
      await put(`${name}.index.json`, JSON.stringify({ metadata: {}, weight_map: weightMap }));
      const { tensors, source } = await loadCheckpoint(folder);
      expect(source).toBe(join(folder, `${name}.index.json`));
      expectReference(tensors);
    }
  });

  it("refuses indices that leave the folder or do not fit their shards", async () => {
    await take("config.json");
    await take("model.safetensors");
    const index = join(folder, "x.index.json");
    for (const shard of ["../model.safetensors", "/etc/passwd", "..", "x.index.json", 7]) {
      await put("x.index.json", JSON.stringify({ weight_map: { logit_scale: shard } }));
      await expect(loadCheckpoint(index)).rejects.toThrow(/which is no file in its folder/);
    }
    await put("x.index.json", JSON.stringify({ weight_map: { other: "model.safetensors" } }));
    await expect(loadCheckpoint(index)).rejects.toThrow(/"other" is not in "model\.safetensors"/);
    for (const bad of ["{", "null", "{}", '{"weight_map":[]}']) {
      await put("x.index.json", bad);
      await expect(loadCheckpoint(index)).rejects.toThrow(/has no weight_map/);
    }
  });

  it("turns all floating-point weights into single precision", async () => {
    await take("config.json");
    const half: TensorMap = new Map();
    for (const [name, tensor] of reference) {
      const dtype = name.includes("text") ? "F16" : "BF16";
      half.set(
        name,
        tensor.dtype === "F32" ? fromFloat32(toFloat32(tensor), tensor.shape, dtype) : tensor,
      );
    }
    await put("model.safetensors", writeSafetensors(half));
    const { tensors } = await loadCheckpoint(folder);
    for (const [name, tensor] of tensors) {
      expect(tensor.dtype, name).toBe(name.endsWith("num_batches_tracked") ? "I64" : "F32");
      expect(toFloat32(tensor)).toEqual(toFloat32(half.get(name)!));
    }
  });

  it("finds the configuration in the authors' file, or in the weights' shapes", async () => {
    const model = toAuthors(reference, config);
    await put("bare.pth", torchChunks(new Map([["model", model]])));
    await expect(loadCheckpoint(folder)).rejects.toThrow(/num_attention_heads of the image tower/);
    const settings = (vision: TorchValue): TorchValue =>
      new Map([
        [
          "model",
          new Map<string, TorchValue>([
            ["img_encoder", new Map([["num_heads", vision]])],
            ["text_encoder", new Map([["num_heads", 2]])],
          ]),
        ],
      ]);
    for (const heads of [3, [3, 3, 3]]) {
      const file = new Map<string, TorchValue>([
        ["model", model],
        ["config", settings(heads)],
      ]);
      await put("bare.pth", torchChunks(file));
      const checkpoint = await loadCheckpoint(folder);
      expect(checkpoint.config.vision).toEqual(config.vision);
      expect(checkpoint.config.text.numAttentionHeads).toBe(2);
      expectReference(checkpoint.tensors);
    }
  });

  it("does not keep a large training state in memory", async () => {
    const state = fromFloat32(new Float32Array(1_000_000), [1_000_000]);
    await take("config.json");
    await put(
      "train.pth",
      torchChunks(
        new Map<string, TorchValue>([
          ["model", toAuthors(reference, config)],
          ["optimizer", new Map([["state", state]])],
        ]),
      ),
    );
    const { tensors } = await loadCheckpoint(folder);
    for (const { bytes } of tensors.values())
      expect(bytes.buffer.byteLength).toBeLessThan(4_000_000);
    expectReference(tensors);
  });

  it("says what is wrong with a file, and which file it is", async () => {
    await take("config.json");
    await expect(loadCheckpoint(join(folder, "none"))).rejects.toThrow(
      /cannot be opened \(ENOENT\)/,
    );
    const bytes = await readFile(join(fixtures, "model.safetensors"));
    await put("cut.safetensors", bytes.subarray(0, 100_000));
    await expect(loadCheckpoint(folder)).rejects.toThrow(CheckpointError);
    await expect(loadCheckpoint(folder)).rejects.toThrow(/^cut\.safetensors: The safetensors file/);
    await put("config.json", '{"model_type":"clip"}');
    await rm(join(folder, "cut.safetensors"));
    await take("nvlabs.pth");
    await expect(loadCheckpoint(folder)).rejects.toThrow(ConfigError);
    await put("config.json", "{}");
    await expect(loadCheckpoint(folder)).rejects.toThrow(/use the config\.json that belongs/);
  });
});

describe("saveHuggingFace", () => {
  it("writes a folder that loads to the same model", async () => {
    const target = join(folder, "new", "model");
    const scale = reference.get("logit_scale")!;
    const model = { config, tensors: new Map(reference).set(MULTI_LABEL_LOGIT_SCALE, scale) };
    await saveHuggingFace(target, model, { files: { "tokenizer.json": "é" } });
    expect((await readdir(target)).sort()).toEqual([
      "config.json",
      "model.safetensors",
      "preprocessor_config.json",
      "tokenizer.json",
    ]);
    const loaded = await loadCheckpoint(target);
    expect(loaded.config).toEqual(config);
    expect(loaded.files["tokenizer.json"]).toBe("é");
    expect(JSON.parse(loaded.files["preprocessor_config.json"]!)).toMatchObject({
      image_mean: [0.485, 0.456, 0.406],
      crop_size: { height: 64, width: 64 },
    });
    expectReference(loaded.tensors);
    // Saving over it, with its own files, leaves it as it was.
    await saveHuggingFace(target, loaded, { files: loaded.files });
    expect((await loadCheckpoint(target)).files).toEqual(loaded.files);
    expect(await readdir(target)).toHaveLength(4);
  });

  it("writes half precision, the logit scale excepted", async () => {
    await saveHuggingFace(folder, { config, tensors: reference }, { dtype: "F16" });
    const { tensors } = readSafetensors(await readFile(join(folder, "model.safetensors")));
    for (const [name, tensor] of tensors) {
      const expected = name === "logit_scale" ? "F32" : name.endsWith("tracked") ? "I64" : "F16";
      expect(tensor.dtype, name).toBe(expected);
      const before = toFloat32(reference.get(name)!);
      for (const [i, value] of toFloat32(tensor).entries()) {
        if (Math.abs(value - before[i]!) > Math.abs(before[i]!) / 2048 + 2 ** -25)
          expect.fail(name);
      }
    }
    const written = JSON.parse(await readFile(join(folder, "config.json"), "utf8"));
    expect(written).toEqual({ ...configToJson(config), torch_dtype: "float16" });

    const bias = "visual_projection.3.bias";
    const [size] = parameterShapes(config).get(bias)!;
    const large = new Map(reference).set(
      bias,
      fromFloat32(new Float32Array(size!).fill(7e4), [size!]),
    );
    await expect(
      saveHuggingFace(folder, { config, tensors: large }, { dtype: "F16" }),
    ).rejects.toThrow(/"visual_projection\.3\.bias" has the value 70000, beyond half precision/);
  });

  it("leaves what is there alone when the model or a name is wrong", async () => {
    await put("config.json", "old");
    const model = { config, tensors: reference };
    for (const name of ["../x", "a/b", ".."]) {
      await expect(saveHuggingFace(folder, model, { files: { [name]: "" } })).rejects.toThrow(
        /leaves the folder/,
      );
    }
    const missing = new Map(reference);
    missing.delete("logit_scale");
    await expect(saveHuggingFace(folder, { config, tensors: missing })).rejects.toThrow(
      /"logit_scale" is missing/,
    );
    expect(await readdir(folder)).toEqual(["config.json"]);
    expect(await readFile(join(folder, "config.json"), "utf8")).toBe("old");
  });

  it("leaves nothing half-written when the disk refuses", async () => {
    // A folder in the place of a file: it cannot be replaced.
    await mkdir(join(folder, "vocab.json"));
    const saved = saveHuggingFace(
      folder,
      { config, tensors: reference },
      { files: { "vocab.json": "" } },
    );
    await expect(saved).rejects.toThrow(CheckpointError);
    await expect(saved).rejects.toThrow(/cannot be written \(E[A-Z]+\)/);
    expect((await readdir(folder)).filter((name) => name.endsWith(".tmp"))).toEqual([]);
    const inFile = join(folder, "config.json", "deeper");
    await expect(saveHuggingFace(inFile, { config, tensors: reference })).rejects.toThrow(
      /cannot be written \(E[A-Z]+\)/,
    );
  });
});

describe("saveAuthors", () => {
  it("writes one file that holds everything", async () => {
    const path = join(folder, "deep", "model.pth");
    const source = await loadCheckpoint(join(fixtures, "nvlabs.pth"));
    await saveAuthors(path, source);
    const { tensors } = await readTorch(await readFile(path));
    const original = await readTorch(await readFile(join(fixtures, "nvlabs.pth")));
    expect([...tensors.keys()]).toEqual([...original.tensors.keys()]);
    for (const [name, tensor] of tensors) {
      expect(tensor.shape, name).toEqual(original.tensors.get(name)!.shape);
      expect(Buffer.compare(tensor.bytes, original.tensors.get(name)!.bytes), name).toBe(0);
    }
    const loaded = await loadCheckpoint(path);
    expect(loaded.config).toEqual(config);
    expect(loaded.tensors.delete(MULTI_LABEL_LOGIT_SCALE)).toBe(true);
    expectReference(loaded.tensors);
  });
});
