// A graphics card, computed in software: WebGPU in Node through Vulkan, against the processor.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { StepRecord } from "../../src/train/metrics.js";
import { groupvit, saveRandomModel } from "../support/cli.js";
import { softwareVulkan } from "../support/vulkan.js";
import { TINY } from "../train/tiny.js";

const SLOW = 300_000;
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "device-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const records = (run: string): StepRecord[] =>
  readFileSync(join(folder, run, "metrics.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as StepRecord);

describe("a device", () => {
  it(
    "trains by WebGPU what the processor trains, in one pass and in micro-batches",
    async () => {
      // Every operation of a step: mosaics, segments, shared targets, both optimisers, windows of positions.
      const config = {
        ...TINY,
        batch: 8,
        mosaics: [2, 1],
        promptsMatch: "segments",
        nounTargets: "shared",
        groupInformation: { nats: 0.5, weight: 1 },
        positionWindow: 0.5,
        optimiser: { learningRate: 1e-3, matrices: "muon" },
        steps: 3,
        ema: undefined,
      };
      for (const microBatch of [8, 4]) {
        writeFileSync(join(folder, "config.json"), JSON.stringify({ ...config, microBatch }));
        const train = (device: string) =>
          groupvit(["train", "config.json", "--device", device, "-o", `${device}-${microBatch}`], {
            cwd: folder,
            env: softwareVulkan(),
          });
        for (const device of ["cpu", "webgpu"]) {
          const { code, stderr } = await train(device);
          expect(code, stderr).toBe(0);
        }
        const onCpu = records(`cpu-${microBatch}`);
        const onGpu = records(`webgpu-${microBatch}`);
        expect(onGpu).toHaveLength(3);
        for (const [i, { loss, gradient_norm }] of onGpu.entries()) {
          expect(Math.abs(loss / onCpu[i]!.loss - 1)).toBeLessThan(1e-4);
          expect(Math.abs(gradient_norm / onCpu[i]!.gradient_norm - 1)).toBeLessThan(1e-3);
        }
      }
      const card = readFileSync(join(folder, "webgpu-8", "model", "README.md"), "utf8");
      expect(card).toContain("steps on a GPU (webgpu)");
    },
    SLOW,
  );

  it(
    "segments by WebGPU what the processor segments",
    async () => {
      await saveRandomModel(join(folder, "model"));
      const picture = join(import.meta.dirname, "../../examples/mushroom.png");
      const scores: number[][] = [];
      for (const device of ["cpu", "webgpu"]) {
        const { code, stdout, stderr } = await groupvit(
          ["segment", picture, "-m", "model", "-l", "mushroom, tree", "--device", device, "--json"],
          { cwd: folder, env: softwareVulkan() },
        );
        expect(code, stderr).toBe(0);
        const { images } = JSON.parse(stdout) as {
          images: { labels: { score: number }[] }[];
        };
        scores.push(images[0]!.labels.map(({ score }) => score));
      }
      expect(scores[0]).toHaveLength(2);
      for (const [i, score] of scores[1]!.entries()) expect(score).toBeCloseTo(scores[0]![i]!, 4);
    },
    SLOW,
  );

  it("that is not there is told, with exit code 2, and the run goes on with another", async () => {
    writeFileSync(join(folder, "config.json"), JSON.stringify({ ...TINY, steps: 1 }));
    const train = (device: string) =>
      groupvit(["train", "config.json", "--device", device, "-o", "other"], { cwd: folder });
    const { code, stderr } = await train("cuda");
    expect(code).toBe(2);
    expect(stderr).toMatch(/device "cuda" cannot be used here .*groupvit doctor/);
    const again = await train("cpu");
    expect(again.code, again.stderr).toBe(0);
    expect(records("other")).toHaveLength(1);
  });
});
