import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { ConfigError } from "../errors.js";
import { changedFields, parseTrainConfig, type TrainConfigInput } from "./config.js";
import { scheduleOf } from "./schedule.js";

const MINIMAL: TrainConfigInput = {
  name: "minimal",
  data: { kind: "shapes" },
  optimiser: { learningRate: 1e-3 },
  schedule: { kind: "constant" },
  steps: 10,
};
const FOLDER = fileURLToPath(new URL("../../configs/", import.meta.url));

describe("a training configuration", () => {
  it("has the published run's values where it says nothing", () => {
    const config = parseTrainConfig(JSON.stringify(MINIMAL));
    expect(config.model.vision).toMatchObject({ hiddenSize: 384, depths: [6, 3, 3] });
    expect(config.model.text).toMatchObject({ hiddenSize: 256, numHiddenLayers: 12 });
    expect(config).toMatchObject({ multiLabel: 3, batch: 4096, dropPath: 0.1, gumbel: true });
    expect(config.optimiser).toMatchObject({ beta1: 0.9, beta2: 0.999, eps: 1e-8, clipNorm: 5 });
  });

  it.each([
    [{ ...MINIMAL, batsh: 8 }, /batsh is no known field/],
    [{ ...MINIMAL, batch: 1.5 }, /batch is 1\.5: .*whole number/],
    [{ ...MINIMAL, batch: 1 }, /batch is 1: .*2/],
    [{ ...MINIMAL, model: { vision: { widht: 3 } } }, /model\.vision\.widht is no known field/],
    [
      { ...MINIMAL, model: { vision: { hiddenSize: 100 } } },
      /model\.vision\.numAttentionHeads is 6; it must divide the hiddenSize 100/,
    ],
    [{ ...MINIMAL, model: { vision: { patchSize: 15 } } }, /patchSize is 15; it must divide/],
    [{ ...MINIMAL, data: { kind: "parquet" } }, /data\.kind is "parquet"/],
    [
      { ...MINIMAL, data: { kind: "shapes", augment: { flip: 2 } } },
      /data\.augment\.flip is 2: .*<=1/,
    ],
    [
      { ...MINIMAL, data: { kind: "shapes", augment: { flp: 1 } } },
      /data\.augment\.flp is no known field; did you mean data\.augment\.flip\?/,
    ],
    [{ ...MINIMAL, micro_batch: 8 }, /micro_batch is no known field; did you mean microBatch\?/],
    [
      { ...MINIMAL, optimiser: undefined, optimizer: { learningRate: 1 } },
      /optimizer is no known field; did you mean optimiser\?/,
    ],
    [
      { ...MINIMAL, schedule: { kind: "cosine", warmUp: { length: { step: 1 } } } },
      /schedule\.warmUp\.length\.step is no .* did you mean schedule\.warmUp\.length\.steps\?/,
    ],
    [
      { ...MINIMAL, data: { kind: "shapes", shards: "x" } },
      /data\.shards does not go with the other fields/,
    ],
    [{ ...MINIMAL, name: undefined }, /name is missing; give a string/],
    [{ ...MINIMAL, data: { kind: "webdataset" } }, /shards is missing; give a string or an array/],
    [JSON.stringify(MINIMAL).replace("0.001", "1e400"), /optimiser\.learningRate is Infinity/],
    [{ ...MINIMAL, assignment: "firm" }, /assignment is "firm": .*hard.*soft/],
    [{ ...MINIMAL, optimiser: {} }, /optimiser\.learningRate is missing/],
    [{ ...MINIMAL, epochs: 3 }, /steps is 10: give either steps or epochs/],
    [{ ...MINIMAL, textTokens: 78 }, /textTokens is 78; it must be at most/],
    [{ ...MINIMAL, mosaics: [1, 3] }, /mosaics is 3; it must divide the picture's 14 patches/],
    [{ ...MINIMAL, mosaics: [2], batch: 6 }, /batch is 6; it must be a multiple of the 4 samples/],
    [
      { ...MINIMAL, mosaics: [2], microBatch: 2 },
      /microBatch is 2; it must be a multiple of the 4/,
    ],
    [{ ...MINIMAL, mosaics: [2, 1], batch: 4 }, /batch is 4; it must give each step two samples/],
    [{ ...MINIMAL, positionWindow: 2 }, /positionWindow is 2: .*<=1/],
    ["{", /not JSON/],
  ])("names the wrong field, its value and what is allowed: %j", (input, message) => {
    expect(() => parseTrainConfig(input)).toThrow(ConfigError);
    expect(() => parseTrainConfig(input)).toThrow(message);
  });

  it("may begin with a byte order mark", () => {
    expect(parseTrainConfig(`\uFEFF${JSON.stringify(MINIMAL)}`).name).toBe("minimal");
  });

  it("may change in what does not alter what was learnt", () => {
    const before = parseTrainConfig(MINIMAL);
    const after = parseTrainConfig({ ...MINIMAL, steps: 20, threads: 1 });
    expect(changedFields(before, after).sort()).toEqual(["steps", "threads"]);
    expect(() => changedFields(before, parseTrainConfig({ ...MINIMAL, seed: 2 }))).toThrow(
      /seed was 1 .* is 2 now/,
    );
    const slower = parseTrainConfig({ ...MINIMAL, optimiser: { learningRate: 1e-4 } });
    expect(changedFields(before, slower)).toEqual(["optimiser.learningRate"]);
    const other = parseTrainConfig({
      ...MINIMAL,
      model: { text: { hiddenSize: 512, numHiddenLayers: 3 } },
    });
    expect(() => changedFields(before, other)).toThrow(/model\.text\.hiddenSize was 256 .* is 512/);
  });

  it.each(readdirSync(FOLDER))("configs/%s is valid", (file) => {
    const config = parseTrainConfig(readFileSync(`${FOLDER}${file}`, "utf8"));
    expect(scheduleOf(config, 26_000_000).steps).toBeGreaterThan(0);
  });

  it("holds the published schedule: batch 4096, 30 epochs of 26 million pairs", () => {
    const config = parseTrainConfig(readFileSync(`${FOLDER}published-gcc-yfcc.json`, "utf8"));
    const schedule = scheduleOf(config, 26_000_000);
    const warm = Math.round((2 * 26_000_000) / 4096);
    expect(schedule.steps).toBe(Math.round((30 * 26_000_000) / 4096));
    expect(schedule.rate(0)).toBe(4e-6);
    expect(schedule.rate(warm / 2)).toBeCloseTo((1.6e-3 + 4e-6) / 2, 6);
    expect(schedule.rate(schedule.steps / 2)).toBeCloseTo((1.6e-3 + 4e-5) / 2, 6);
    expect(schedule.rate(schedule.steps)).toBeCloseTo(4e-5, 9);
    const small = scheduleOf({ ...config, batch: 1024 }, 26_000_000);
    expect(small.rate(0)).toBe(1e-6);
  });
});

describe("a schedule", () => {
  it("is constant, then cools down linearly to its end", () => {
    const config = parseTrainConfig({
      ...MINIMAL,
      schedule: {
        kind: "constant",
        coolDown: 0.5,
        end: 0,
        warmUp: { length: { steps: 2 }, from: 0 },
      },
    });
    const { rate, steps } = scheduleOf(config, undefined);
    const rates = Array.from({ length: steps }, (_, step) => rate(step) * 1000);
    const expected = [0, 0.5, 1, 1, 1, 1, 0.8, 0.6, 0.4, 0.2];
    for (const [i, value] of expected.entries()) expect(rates[i]).toBeCloseTo(value, 12);
  });

  it("asks for the number of samples where epochs cannot be counted without it", () => {
    const config = parseTrainConfig({ ...MINIMAL, steps: undefined, epochs: 2 });
    expect(() => scheduleOf(config, undefined)).toThrow(/data\.samples/);
    expect(scheduleOf({ ...config, batch: 10 }, 100).steps).toBe(20);
  });
});
