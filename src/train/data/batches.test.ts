import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ConfigError, InputError } from "../../errors.js";
import { patchesFromPixels } from "../../input/normalize.js";
import { loadTokenizer } from "../../input/tokenizer.js";
import { Random } from "../../random.js";
import { NO_AUGMENTATION } from "./augment.js";
import { type BatchConfig, batches, type TrainingBatch } from "./batches.js";
import type { DataPosition } from "./order.js";
import { memorySource, type SampleSource, type SourceItem } from "./source.js";

const TEMPLATES = ["a photo of a {}.", "a drawing of the {}.", "there is a {} in the scene."];
const CAPTIONS = ["a dog on a beach", "two cats and a fire truck", "running fast", "a red car"];

let source: SampleSource;
let compiled: { folder: string; batches: typeof batches };

async function jpeg(seed: number, width: number, height: number): Promise<Uint8Array> {
  const random = new Random(seed);
  const data = new Uint8Array(width * height * 3).map(() => random.integer(256));
  return sharp(data, { raw: { width, height, channels: 3 } })
    .jpeg()
    .toBuffer();
}

beforeAll(async () => {
  const samples: SourceItem[] = [];
  for (let i = 0; i < 30; i++) {
    const caption = CAPTIONS[i % CAPTIONS.length]!;
    samples.push({ key: String(i), image: await jpeg(i, 48 + i, 64), caption });
  }
  const good = (samples[0] as { image: Uint8Array }).image;
  samples[3] = { key: "cut", image: good.slice(0, good.length / 2), caption: "a dog" };
  samples[8] = { key: "text", image: new TextEncoder().encode("no picture"), caption: "a dog" };
  samples[13] = { key: "small", image: await jpeg(1, 16, 64), caption: "a dog" };
  samples[21] = { key: "silent", skipped: "no caption" };
  source = memorySource(samples, 7);

  // Threads run JavaScript only: the loader is compiled once, as the package is for its users.
  const modules = fileURLToPath(new URL("../../../node_modules", import.meta.url));
  const folder = await mkdtemp(join(modules, ".data-loader-test-"));
  const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
  await build({
    entryPoints: [here("./batches.ts"), here("./worker.ts")],
    outdir: folder,
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "node",
    packages: "external",
    logLevel: "error",
  });
  const module = (await import(pathToFileURL(join(folder, "batches.js")).href)) as {
    batches: typeof batches;
  };
  compiled = { folder, batches: module.batches };
}, 60_000);

afterAll(async () => {
  if (compiled) await rm(compiled.folder, { recursive: true });
});

function config(changes: Partial<BatchConfig> = {}): BatchConfig {
  return {
    source,
    seed: 11,
    batchSize: 4,
    size: 32,
    shuffleBuffer: 6,
    templates: TEMPLATES,
    workers: 0,
    ...changes,
  };
}

async function take(
  settings: BatchConfig,
  count: number,
  position?: DataPosition,
  load: typeof batches = batches,
): Promise<TrainingBatch[]> {
  const out: TrainingBatch[] = [];
  for await (const batch of load(settings, position)) {
    out.push({ ...batch, report: structuredClone(batch.report) });
    if (out.length === count) break;
  }
  return out;
}

describe("training batches", () => {
  it("hold pixels, caption ids, prompt ids and what they came from", async () => {
    const [batch] = await take(config(), 1);
    const tokenizer = loadTokenizer();
    expect(batch!.shape).toEqual([4, 3, 32, 32]);
    expect(batch!.pixels.length).toBe(4 * 3 * 32 * 32);
    expect(batch!.pixels.every(Number.isFinite)).toBe(true);
    expect(batch!.samples.length).toBe(4);
    for (let i = 0; i < 4; i++) {
      const caption = CAPTIONS[Number(batch!.samples[i]!.key) % CAPTIONS.length]!;
      expect(batch!.captions[i]).toEqual(tokenizer.encode(caption));
      const texts = batch!.prompts[i]!.map((ids) => tokenizer.decode(ids.slice(1, -1)).trim());
      expect(texts.length).toBe(3);
      for (const text of texts) {
        expect(text).toMatch(
          /^(running fast|a photo of a .* \.|a drawing of the .* \.|there is .*)$/,
        );
      }
    }
  });

  it("skip bad samples, count them by reason and keep the rest of the epoch", async () => {
    const result = await take(config({ batchSize: 26 }), 1);
    expect(new Set(result[0]!.samples.map((sample) => sample.key)).size).toBe(26);
    expect(result[0]!.samples.every((sample) => sample.epoch === 0)).toBe(true);
    // One more than the epoch's usable samples: every bad one of the epoch has been passed by then, and
    // with this seed the next epoch begins with a good one.
    const after = await take(config({ batchSize: 27 }), 1);
    expect(after[0]!.report.samples).toBe(27);
    expect(after[0]!.report.skipped).toEqual({
      "broken picture": 2,
      "too small": 1,
      "no caption": 1,
    });
  });

  it("are the same for 0, 1 and 3 workers", async () => {
    const reference = await take(config(), 9);
    for (const workers of [1, 3]) {
      const result = await take(config({ workers, prefetch: 7 }), 9, undefined, compiled.batches);
      expect(result).toEqual(reference);
    }
  }, 60_000);

  it("go on after any batch with exactly the batches that followed", async () => {
    const whole = await take(config(), 9);
    for (const at of [0, 2, 5, 6]) {
      const stored = JSON.parse(JSON.stringify(whole[at]!.position)) as DataPosition;
      const rest = await take(config({ prefetch: 3 }), 2, stored);
      for (const [i, batch] of rest.entries()) {
        const { report: _, ...expected } = whole[at + 1 + i]!;
        expect(batch).toMatchObject(expected);
      }
    }
  });

  it("can be cut into patches", async () => {
    const plain = await take(config(), 2);
    const cut = await take(config({ layout: { patch: 8 } }), 2);
    for (let i = 0; i < 2; i++) {
      expect(cut[i]!.shape).toEqual([4, 16, 192]);
      expect(cut[i]!.pixels).toEqual(
        patchesFromPixels(plain[i]!.pixels, [4, 3, 32, 32], 8).patches,
      );
    }
  });

  it("differ between ranks and share no sample in an epoch", async () => {
    const [first, second] = await Promise.all(
      [0, 1].map((rank) => take(config({ rank, worldSize: 2, batchSize: 10 }), 1)),
    );
    const keys = [...first![0]!.samples, ...second![0]!.samples].map((sample) => sample.key);
    expect(new Set(keys).size).toBe(20);
  });

  it("take the data set's own nouns where it has them", async () => {
    const image = await jpeg(1, 40, 40);
    const own = memorySource([{ key: "0", image, caption: "a dog", nouns: ["Zebra"] }], 1);
    const [batch] = await take(
      config({ source: own, batchSize: 1, templates: ["{}"], augment: NO_AUGMENTATION }),
      1,
    );
    expect(batch!.prompts[0]).toEqual(Array(3).fill(loadTokenizer().encode("zebra")));
  });

  it("stop at the signal, with and without workers", async () => {
    for (const [workers, load] of [
      [0, batches],
      [2, compiled.batches],
    ] as const) {
      const controller = new AbortController();
      const stream = load(config({ workers, signal: controller.signal }));
      await stream.next();
      controller.abort(new Error("enough"));
      await expect(stream.next()).rejects.toThrow("enough");
      expect((await stream.next()).done).toBe(true);
    }
  }, 60_000);

  it("refuse data without a usable sample and settings that make no sense", async () => {
    const text = { key: "a", image: new Uint8Array(9), caption: "a dog" };
    await expect(take(config({ source: memorySource([text]) }), 1)).rejects.toThrow(InputError);
    await expect(take(config({ source: memorySource([text]) }), 1)).rejects.toThrow(
      /broken picture/,
    );
    await expect(take(config({ batchSize: 0 }), 1)).rejects.toThrow(/batchSize 0/);
    await expect(take(config({ templates: ["a photo"] }), 1)).rejects.toThrow(ConfigError);
    await expect(take(config({ layout: { patch: 7 } }), 1)).rejects.toThrow(/patch 7/);
  });
});
