import { afterAll, describe, expect, it } from "vitest";
import { floats, readJson, readTensors } from "../../test/support/segment.js";
import { parseConfig } from "../checkpoint/config-file.js";
import { Engine, endOfText } from "./engine.js";
import type { CreateSession } from "./session.js";
import { createSession } from "./session.node.js";

const config = parseConfig(readJson("tiny/config.json"));
const stored = readTensors("tiny/model.safetensors");
const weights = () =>
  new Map(
    [...stored.keys()]
      .filter((name) => stored.get(name)!.dtype === "F32")
      .map((name) => [name, floats(stored, name)]),
  );
let sessions = 0;
const counted: CreateSession = (onnx, options, ...rest) => {
  sessions++;
  return createSession(onnx, options, ...rest);
};
const engine = new Engine(config, weights(), counted, { threads: 1 });
afterAll(() => engine.release());

const last = config.text.vocabSize - 1;
/** A prompt of some length that ends with the largest id. */
const prompt = (seed: number, length: number) => [
  ...Array.from({ length: length - 1 }, (_, i) => (seed * 31 + i * 17) % last),
  last,
];
const apart = (a: Float32Array, b: Float32Array) =>
  a.reduce((most, x, i) => Math.max(most, Math.abs(x - b[i]!)), 0);

describe("the engine", () => {
  it("opens one session however many calls come first", async () => {
    await Promise.all([1, 2, 3].map((i) => engine.encodeTexts([prompt(i, 4)])));
    expect(sessions).toBe(1);
  });

  it.each([
    ["wasm", 0],
    // Native kernels are the processor's own.
    ["cpu", 1e-6],
  ] as const)(
    "encodes a prompt the same alone, among longer ones and in any order (%s: apart by at most %d)",
    async (device, most) => {
      const own = new Engine(config, weights(), createSession, { threads: 1, device });
      const prompts = [3, 20, 5, 77, 5, 9, 8, 13].map((length, i) => prompt(i, length));
      const together = await own.encodeTexts(prompts);
      const reversed = (await own.encodeTexts([...prompts].reverse())).reverse();
      for (const [i, ids] of prompts.entries()) {
        const [alone] = await own.encodeTexts([ids]);
        expect(apart(together[i]!, alone!)).toBeLessThanOrEqual(most);
        expect(apart(together[i]!, reversed[i]!)).toBeLessThanOrEqual(most);
        const [native] = await engine.encodeTexts([ids]);
        expect(apart(native!, alone!)).toBeLessThan(1e-5);
      }
      await own.release();
    },
  );

  it("encodes more prompts than go through the tower at once", async () => {
    const prompts = Array.from({ length: 130 }, (_, i) => prompt(i, i % 2 ? 77 : 6));
    const all = await engine.encodeTexts(prompts);
    expect(all.length).toBe(130);
    for (const i of [0, 1, 64, 129]) {
      const [alone] = await engine.encodeTexts([prompts[i]!]);
      expect(apart(all[i]!, alone!)).toBeLessThan(1e-6);
    }
    expect(await engine.encodeTexts([])).toEqual([]);
  });

  it("refuses prompts that the model cannot read", async () => {
    await expect(engine.encodeTexts([prompt(1, 78)])).rejects.toThrow(
      "a prompt has 78 tokens, the model reads 77",
    );
  });

  it("stops when told to", async () => {
    await expect(engine.encodeTexts([prompt(1, 4)], AbortSignal.abort())).rejects.toThrow();
  });

  it("encodes a picture the same alone and in a batch, after other sizes too", async () => {
    const { patchSize, numChannels } = config.vision;
    const size = 64 * patchSize ** 2 * numChannels;
    const pixels = Float32Array.from({ length: 2 * size }, (_, i) => Math.sin(i * 0.37));
    const both = await engine.encodeImages(pixels, 2, 8, 8);
    for (let rows = 1; rows <= 17; rows++) {
      await engine.encodeImages(pixels.subarray(0, (rows * size) / 64), 1, rows, 1);
    }
    const alone = await engine.encodeImages(pixels.subarray(size), 1, 8, 8);
    const dim = config.projectionDim;
    expect(apart(both.image.subarray(dim), alone.image)).toBeLessThan(1e-5);
    expect(alone.groups).toEqual([16, 4]);
  });

  it("finds the end of text at the largest id, the first of equals", () => {
    expect(endOfText([0, 5, 9, 9, 1])).toBe(2);
  });
});
