// The training loop from the outside: what it writes, how it stops, goes on and recovers.

import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, describe, expect, it } from "vitest";
import { toFloat32 } from "../../src/checkpoint/dtypes.js";
import { loadCheckpoint } from "../../src/checkpoint/load.node.js";
import { ConfigError, InputError } from "../../src/errors.js";
import { GroupViT } from "../../src/index.js";
import { parseTrainConfig, type TrainConfigInput } from "../../src/train/config.js";
import { writeShards } from "../../src/train/data/shard.js";
import { memorySource, type SourceItem } from "../../src/train/data/source.js";
import { type TrainOptions, train } from "../../src/train/loop.js";
import type { StepRecord } from "../../src/train/metrics.js";
import { shapesAt } from "../../src/train/shapes.js";
import { openData, type TrainingData } from "../../src/train/stream.js";
import { TINY } from "./tiny.js";

const root = mkdtempSync(join(tmpdir(), "loop-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const at = (name: string) => join(root, name);
const run = (
  name: string,
  input: Partial<TrainConfigInput> = {},
  options: Partial<TrainOptions> = {},
) => train({ config: parseTrainConfig({ ...TINY, ...input }), folder: at(name), ...options });
const metrics = (name: string): StepRecord[] =>
  readFileSync(join(at(name), "metrics.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as StepRecord);
const lastCheckpoint = (name: string) => {
  const folder = join(at(name), "checkpoints");
  return readFileSync(join(folder, readdirSync(folder).sort().at(-1)!));
};

/** Shapes whose batch number `bad` makes the loss not a number. */
async function poisoned(bad: number): Promise<TrainingData> {
  const data = await openData(parseTrainConfig(TINY));
  return {
    ...data,
    open(position) {
      const stream = data.open(position);
      return {
        close: () => stream.close(),
        async next() {
          const batch = await stream.next();
          const number = (batch.position as { index: number }).index / TINY.batch - 1;
          if (number === bad) batch.patches.fill(Number.NaN);
          return batch;
        },
      };
    },
  };
}

describe("a run", () => {
  it("leaves metrics, events, a page with a strip, checkpoints and a model with its card", async () => {
    const evaluation = { every: 3, set: { kind: "shapes" as const }, pictures: 3, threshold: 0.5 };
    const result = await run("whole", { evaluation, export: ["F32", "F16"] });
    expect(result).toMatchObject({ step: 6, steps: 6, finished: true, resumed: false });
    const records = metrics("whole");
    expect(records.map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6]);
    for (const record of records) {
      expect(record.loss).toBeCloseTo(record.contrastive_loss + record.multi_label_loss!, 4);
      expect(record.group_entropy).toHaveLength(1);
      expect(record.group_entropy[0]).toBeLessThanOrEqual(Math.log(4) + 1e-6);
      expect(record.lr).toBeGreaterThan(0);
    }
    expect(records.filter(({ miou }) => miou !== undefined).map(({ step }) => step)).toEqual([
      3, 6,
    ]);
    expect(readdirSync(join(at("whole"), "checkpoints")).sort()).toEqual([
      "step-00000004.safetensors",
      "step-00000006.safetensors",
    ]);
    const page = readFileSync(join(at("whole"), "index.html"), "utf8");
    expect(page).toContain("<polyline");
    expect(page).not.toMatch(/https?:|<script|http-equiv/);
    for (const [, src] of page.matchAll(/<img src="([^"]+)"/g)) {
      expect(existsSync(join(at("whole"), src!)), src).toBe(true);
    }
    expect(page.match(/<img /g)).toHaveLength(4);
    const card = readFileSync(join(at("whole"), "model", "README.md"), "utf8");
    for (const part of ["## Data", "## Training", "## Results", "## Limits", '"seed": 3']) {
      expect(card).toContain(part);
    }
    // The model is one that the public interface opens, and it gives what the card says.
    for (const folder of result.models) {
      const model = await GroupViT.load(folder, { threads: 1 });
      const picture = await model.encode(shapesAt(0, { seed: 1, size: 32, most: 1 }).picture, {
        shortSide: 32,
      });
      const { map } = await picture.segment(["circle", "square"]);
      expect(map).toHaveLength(32 * 32);
      await model.release();
    }
    expect(result.models.map((folder) => folder.replace(root, ""))).toEqual([
      "/whole/model",
      "/whole/model-f16",
    ]);
  });

  it("goes on where it stopped, by signal or by number, and ends with the same bytes", async () => {
    await run("straight");
    const controller = new AbortController();
    const stopped = await run(
      "stopped",
      {},
      { signal: controller.signal, onProgress: ({ step }) => step === 3 && controller.abort() },
    );
    expect(stopped).toMatchObject({ step: 3, finished: false, models: [] });
    expect(await run("stopped", {}, { stopAfter: 4 })).toMatchObject({ step: 4, resumed: true });
    expect(await run("stopped", { microBatch: 8 }, { mode: "resume" })).toMatchObject({ step: 6 });
    expect(lastCheckpoint("stopped").equals(lastCheckpoint("straight"))).toBe(true);
    expect(metrics("stopped").map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6]);
  });

  it("does the same with pictures from a folder, across the end of an epoch", async () => {
    const pictures = at("pictures");
    mkdirSync(pictures);
    for (let i = 0; i < 20; i++) {
      const { picture, caption } = shapesAt(i, { seed: 5, size: 40, most: 1 });
      const image = sharp(picture.data, { raw: { width: 40, height: 40, channels: 3 } });
      await image.png().toFile(join(pictures, `${i}.png`));
      writeFileSync(join(pictures, `${i}.txt`), caption);
    }
    const input = {
      data: { kind: "folder" as const, folder: pictures, shuffleBuffer: 5 },
      steps: undefined,
      epochs: 2,
    };
    expect(await run("epochs", input)).toMatchObject({ step: 5, steps: 5 });
    await run("epochs in parts", input, { stopAfter: 2 });
    await run("epochs in parts", input);
    expect(lastCheckpoint("epochs in parts").equals(lastCheckpoint("epochs"))).toBe(true);
    // Steps of 8 samples, four a picture, and of 2: five samples a step.
    const mosaics = { ...input, mosaics: [2, 1] };
    expect(await run("mosaics", mosaics)).toMatchObject({ step: 8, steps: 8 });
    expect(readFileSync(join(at("mosaics"), "model", "README.md"), "utf8")).toContain(
      "8 steps of 5 samples",
    );
    await run("mosaics in parts", mosaics, { stopAfter: 3 });
    await run("mosaics in parts", mosaics);
    expect(lastCheckpoint("mosaics in parts").equals(lastCheckpoint("mosaics"))).toBe(true);
  });

  it("tells of shards that are missing, once each, and why samples were left out", async () => {
    const shards = at("shards");
    const samples: SourceItem[] = [];
    for (let i = 0; i < 20; i++) {
      const { picture, caption } = shapesAt(i, { seed: 5, size: 40, most: 1 });
      const image = sharp(picture.data, { raw: { width: 40, height: 40, channels: 3 } });
      samples.push({ key: `${i}`, image: await image.png().toBuffer(), caption });
    }
    samples.push({ key: "torn", image: new Uint8Array(100), caption: "a torn one" });
    await writeShards(memorySource(samples), shards, { samplesPerShard: 7 });
    const notices: string[] = [];
    const onNotice = (text: string) => notices.push(text);
    const data = { kind: "webdataset" as const, shards: `${shards}/{00000..00004}.tar` };
    await run("missing", { data }, { onNotice });
    expect(notices.filter((text) => text.startsWith("passed over")).sort()).toEqual(
      [3, 4].map(
        (i) => `passed over: shard ${shards}/0000${i}.tar: it does not exist; check the pattern`,
      ),
    );
    const last = metrics("missing").at(-1)!;
    expect(last.skipped_samples).toBeGreaterThan(0);
    expect(last.skipped_by_reason).toEqual({ "broken picture": last.skipped_samples });
    expect(notices.at(-1)).toBe(`samples left out: ${last.skipped_samples} broken picture`);
  });

  it("draws the cells of mosaics in turns with whole pictures, and goes on with the right turn", async () => {
    const input = { mosaics: [2, 1, 1], batch: 16 };
    await run("cells", input);
    // Of 16 samples, and of four.
    const sizes = new Map<number, number[]>();
    for (const { step, samples_per_second, data_seconds, step_seconds } of metrics("cells")) {
      const samples = Math.round(samples_per_second * (data_seconds + step_seconds));
      sizes.set(samples, [...(sizes.get(samples) ?? []), step]);
    }
    expect(sizes).toEqual(
      new Map([
        [16, [1, 4]],
        [4, [2, 3, 5, 6]],
      ]),
    );
    for (const stopAfter of [1, 2, 3, 5]) {
      await run("cells in parts", input, { stopAfter });
    }
    await run("cells in parts", input);
    expect(lastCheckpoint("cells in parts").equals(lastCheckpoint("cells"))).toBe(true);
  });

  it("passes a damaged checkpoint over", async () => {
    await run("damaged", {}, { stopAfter: 4 });
    const file = join(at("damaged"), "checkpoints", "step-00000004.safetensors");
    writeFileSync(file, readFileSync(file).subarray(0, 5000));
    const notices: string[] = [];
    await run("damaged", {}, { onNotice: (text) => notices.push(text) });
    expect(notices.join()).toMatch(/step-00000004.*damaged.*going on from step 2/);
    expect(lastCheckpoint("damaged").equals(lastCheckpoint("straight"))).toBe(true);
    const folder = join(at("damaged"), "checkpoints");
    for (const name of readdirSync(folder)) writeFileSync(join(folder, name), "gone");
    await expect(run("damaged")).rejects.toThrow(/step-\d+\.safetensors: .*again with --fresh/s);
    writeFileSync(join(at("damaged"), "config.json"), "{");
    await expect(run("damaged")).rejects.toThrow(/damaged.config\.json: .*began with .*--fresh/s);
  });
});

describe("a run's folder", () => {
  it("is not overwritten unless asked", async () => {
    mkdirSync(at("taken"));
    writeFileSync(join(at("taken"), "thesis.txt"), "ten years of work");
    await expect(run("taken")).rejects.toThrow(InputError);
    await expect(run("nothing here", {}, { mode: "resume" })).rejects.toThrow(/no checkpoint/);
    await run("taken", {}, { mode: "fresh", stopAfter: 1 });
    expect(readFileSync(join(at("taken"), "thesis.txt"), "utf8")).toBe("ten years of work");
    await run("taken", { seed: 4 }, { mode: "fresh", stopAfter: 1 });
    expect(metrics("taken")).toHaveLength(1);
  });

  it("is not replaced where it is no run, nor before a new one can begin", async () => {
    mkdirSync(at("project"));
    for (const name of ["index.html", "notes.txt"]) writeFileSync(join(at("project"), name), "x");
    await expect(run("project", {}, { mode: "fresh" })).rejects.toThrow(
      /holds no run, .* would replace index\.html/,
    );
    expect(readFileSync(join(at("project"), "index.html"), "utf8")).toBe("x");
    await run("kept", {}, { stopAfter: 1 });
    await expect(run("kept", { init: at("no model") }, { mode: "fresh" })).rejects.toThrow(
      /no model/,
    );
    expect(metrics("kept")).toHaveLength(1);
  });

  it("is not gone on with where its schedule has fewer steps than were made", async () => {
    await run("short", {}, { stopAfter: 3 });
    await expect(run("short", { steps: 2 })).rejects.toThrow(
      /made 3 steps, the configuration has 2/,
    );
    expect(await run("short", { steps: 3 })).toMatchObject({ step: 3, steps: 3 });
  });

  it("refuses another configuration, and more steps than the schedule has", async () => {
    await expect(run("straight", { batch: 16 })).rejects.toThrow(ConfigError);
    await expect(run("new", {}, { stopAfter: 7 })).rejects.toThrow(/steps 7/);
  });
});

describe("a loss that breaks", () => {
  it("stops the run and leaves the last good checkpoint", async () => {
    const data = await poisoned(3);
    await expect(run("stop", {}, { data })).rejects.toThrow(
      /loss became NaN at step 4; the last good checkpoint is step-00000002/,
    );
    expect(metrics("stop")).toHaveLength(3);
    const page = readFileSync(join(at("stop"), "index.html"), "utf8");
    expect(page).toMatch(/Step 4 of 6 \(failed: .* loss became NaN/);
    expect(page).not.toContain("http-equiv");
    // The error's advice can be followed: the run goes on, from its checkpoint, with a lower rate.
    const lower = { optimiser: { ...TINY.optimiser, learningRate: 1e-5 } };
    expect(await run("stop", lower)).toMatchObject({ step: 6, resumed: true });
  });

  it("rolls the run back, leaves the batch out and goes on", async () => {
    const notices: string[] = [];
    const options = { data: await poisoned(3), onNotice: (text: string) => notices.push(text) };
    const result = await run("rollback", { onBadLoss: "rollback" }, options);
    expect(notices).toEqual([
      "the loss became NaN at step 4: back to step 2, batch 3 is left out from now on",
    ]);
    expect(result).toMatchObject({ step: 6, finished: true });
    const records = metrics("rollback");
    expect(records.map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6]);
    expect(records.every(({ loss }) => Number.isFinite(loss))).toBe(true);
    const same = metrics("straight");
    expect(records.slice(0, 3).map(({ loss }) => loss)).toEqual(
      same.slice(0, 3).map(({ loss }) => loss),
    );
    expect(readFileSync(join(at("rollback"), "model", "README.md"), "utf8")).toContain(
      "left out because the loss broke on them: 3",
    );
  });

  it("gives up where every batch breaks it", async () => {
    const optimiser = { learningRate: 1e38, clipNorm: 0 };
    await expect(run("hopeless", { onBadLoss: "rollback", optimiser, steps: 200 })).rejects.toThrow(
      /after 5 roll-backs/,
    );
  });
});

describe("fine-tuning", () => {
  it("begins with another model's weights on a larger grid, and trains the projectors only", async () => {
    const { models } = await run("base", { steps: 2 });
    const vision = { ...TINY.model.vision, imageSize: 48 };
    const input = {
      init: models[0]!,
      trainable: "projectors" as const,
      model: { ...TINY.model, vision },
      ema: undefined,
      steps: 2,
    };
    const tuned = await run("tuned", input);
    const [before, after] = await Promise.all([models[0]!, tuned.models[0]!].map(loadCheckpoint));
    for (const [name, tensor] of after!.tensors) {
      if (/position_embeddings$|num_batches|running_/.test(name)) continue;
      const same = toFloat32(tensor).every(
        (x, i) => x === toFloat32(before!.tensors.get(name)!)[i],
      );
      const trained = /_projection\.|logit_scale/.test(name) && !/_projection\.0\.bias/.test(name);
      // A bias before batch norm has no gradient.
      if (!/_projection\.0\.bias/.test(name)) expect(same, name).toBe(!trained);
    }
    const positions = "vision_model.embeddings.position_embeddings";
    expect(after!.tensors.get(positions)!.shape).toEqual([1, 36, 16]);
  });

  it("refuses another architecture and names the field", async () => {
    const vision = { ...TINY.model.vision, hiddenSize: 32 };
    const input = { init: join(at("base"), "model"), model: { ...TINY.model, vision } };
    await expect(run("other", input)).rejects.toThrow(/model\.vision\.hiddenSize 16, the run 32/);
  });
});
