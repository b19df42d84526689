import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { readTensors } from "../../test/support/segment.js";
import { CheckpointError, HubError } from "../errors.js";
import { openFiles } from "./model-files.js";
import { safetensorsChunks } from "./safetensors.js";
import type { StoredTensor, TensorMap } from "./tensors.js";

const read = (name: string) =>
  new Uint8Array(readFileSync(new URL(`../../test/fixtures/tiny/${name}`, import.meta.url)));
const config = new TextDecoder().decode(read("config.json"));
const weights = read("model.safetensors");

/** Name, shape and a hash of the bytes of each tensor: deep equality of arrays takes seconds. */
function digests(tensors: ReadonlyMap<string, StoredTensor>): string[] {
  return [...tensors]
    .map(([name, { shape, bytes }]) => {
      const hash = createHash("sha256").update(bytes).digest("hex");
      return `${name} [${shape.join(", ")}] ${hash}`;
    })
    .sort();
}

async function shard(tensors: TensorMap): Promise<Blob> {
  return new Blob(safetensorsChunks(tensors) as BlobPart[]);
}

describe("openFiles", () => {
  it("reads bytes, texts and File objects alike", async () => {
    const bytes = await openFiles({ "config.json": config, "model.safetensors": weights });
    const files = await openFiles({
      "config.json": new File([config], "config.json"),
      "model.safetensors": new File([weights], "model.safetensors"),
      "preprocessor_config.json": '{"size": 64}',
    });
    expect(bytes.config.projectionDim).toBe(32);
    expect(files.config).toEqual(bytes.config);
    expect(digests(files.tensors)).toEqual(digests(bytes.tensors));
    expect(files.files).toEqual({ "preprocessor_config.json": '{"size": 64}' });
  });

  it("reads the authors' file under any name", async () => {
    const { config: found, tensors } = await openFiles({
      "config.json": config,
      "mine.pth": read("nvlabs.pth"),
    });
    expect(found.vision.depths).toEqual([2, 1, 1]);
    expect(tensors.has("visual_projection.0.weight")).toBe(true);
  });

  it("joins shards, and misses none silently", async () => {
    const all = [...readTensors("tiny/model.safetensors")];
    const half = Math.floor(all.length / 2);
    const parts = { "a.safetensors": all.slice(0, half), "b.safetensors": all.slice(half) };
    const weightMap: Record<string, string> = {};
    const files: Record<string, Blob | string> = { "config.json": config };
    for (const [file, entries] of Object.entries(parts)) {
      for (const [name] of entries) weightMap[name] = file;
      files[file] = await shard(new Map(entries));
    }
    files["model.safetensors.index.json"] = JSON.stringify({ weight_map: weightMap });
    const { tensors } = await openFiles(files);
    const whole = await openFiles({ "config.json": config, "model.safetensors": weights });
    expect(digests(tensors)).toEqual(digests(whole.tensors));

    delete files["b.safetensors"];
    await expect(openFiles(files)).rejects.toThrow(/b\.safetensors.*is missing; give all shards/);
    files["model.safetensors.index.json"] = '{"weight_map": {"x": "../b.safetensors"}}';
    await expect(openFiles(files)).rejects.toThrow(HubError);
  });

  it("refuses no weights, several, and damaged ones by name", async () => {
    await expect(openFiles({ "config.json": config })).rejects.toThrow(/hold 0 sets of weights/);
    await expect(openFiles({ "a.pth": weights, "b.pth": weights })).rejects.toThrow(/hold 2 sets/);
    const damaged = openFiles({ "model.safetensors": weights.subarray(0, 5000) });
    await expect(damaged).rejects.toThrow(CheckpointError);
    await expect(damaged).rejects.toThrow(/^model\.safetensors: /);
  });
});
