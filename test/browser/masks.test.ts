// The masks that pages make, in Chromium with WebAssembly, with threads and without: the command line's with
// `--device wasm`, byte for byte. The native build rounds otherwise, on every kind of processor.

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Browser } from "playwright-core";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { decodeLabelPng, type EncodeOptions, type SegmentOptions } from "../../src/index.js";
import { launchChromium } from "../support/chromium.js";
import { groupvit } from "../support/cli.js";
import { temporaryFolder } from "../support/temporary.js";
import { wordModelFiles } from "../support/word-model.js";
import { type Site, startSite } from "./site.js";

const TIME = 600_000;
const sample = new URL("../../examples/sample.jpg", import.meta.url).pathname;
const folder = await temporaryFolder();
/** Test pictures by name; JPEG is decoded alike in Chromium and in Node. */
const pictures = new Map<string, Uint8Array>();

let site: Site;
let browser: Browser;

beforeAll(async () => {
  site = await startSite();
  mkdirSync(join(folder, "words"));
  for (const [name, bytes] of await wordModelFiles()) {
    site.files.set(`/words/${name}`, bytes);
    writeFileSync(join(folder, "words", name), bytes);
  }
  const part = sharp(sample).extract({ left: 201, top: 90, width: 217, height: 301 });
  pictures.set("sample.jpg", readFileSync(sample));
  pictures.set("whole.png", await sharp(sample).png().toBuffer());
  pictures.set("part.png", await part.png().toBuffer());
  for (const [name, bytes] of pictures) {
    site.files.set(`/${name}`, bytes);
    writeFileSync(join(folder, name), bytes);
  }
  browser = await launchChromium();
}, TIME);

afterAll(async () => {
  await browser?.close();
  await site?.close();
});

describe("masks", () => {
  interface Case {
    /** Address of the model; nothing for the bundled one. */
    model?: string;
    dtype?: "int8";
    encode?: EncodeOptions;
    words: string;
    options?: SegmentOptions;
    /** The same for the command line. */
    args: string[];
  }
  const words = ["--model", "words", "--short-side", "128"];
  /** Share of pixels that may change sides where sums are rounded otherwise. */
  const ROUNDING = 1e-4;
  const cases: Case[] = [
    { words: "tree, house, sun", args: [] },
    { words: "tree, house, sun", dtype: "int8", args: ["--dtype", "int8"] },
    {
      model: "/words/",
      encode: { shortSide: 128, mode: "slide" },
      words: "tree, butterfly, apple, ball, star",
      options: { backgroundWords: "sky, grass" },
      args: [...words, "--mode", "slide", "--background-words", "sky, grass"],
    },
    {
      model: "/words/",
      encode: { shortSide: 128 },
      words: "dog; cat, kitten; red car; flower; bird; boat",
      options: { background: "threshold", threshold: 0.5, prompts: "subset" },
      args: [...words, "--background", "threshold", "--threshold", "0.5", "--prompts", "subset"],
    },
  ];
  /** The command line's masks by case and picture. */
  let expected: Record<string, Buffer>;

  async function masksOf(device: string, threads: number): Promise<Record<string, Buffer>> {
    const masks: Record<string, Buffer> = {};
    for (const [i, { words, args }] of cases.entries()) {
      const out = `${device}-${threads}-${i}`;
      const ended = await groupvit(
        ["segment", ...pictures.keys(), "--labels", words, ...args, "--save", "mask"].concat([
          "--out",
          out,
          "--device",
          device,
          "--threads",
          String(threads),
        ]),
        { cwd: folder },
      );
      expect(ended.code, ended.stderr).toBe(0);
      for (const name of pictures.keys()) {
        const file = join(folder, out, `${name.replace(/\.\w+$/, "")}.mask.png`);
        masks[`${i} ${name}`] = readFileSync(file);
      }
    }
    return masks;
  }

  beforeAll(async () => {
    expected = await masksOf("wasm", 1);
  }, TIME);

  it(
    "are the same from WebAssembly in Node with any number of threads",
    async () => {
      expect(await masksOf("wasm", 2)).toEqual(expected);
    },
    TIME,
  );

  it(
    "differ from the native build's in ties at most",
    async () => {
      let [off, pixels] = [0, 0];
      for (const [name, mask] of Object.entries(await masksOf("cpu", 1))) {
        // What is rounded to 8 bits before a product tips over: more pixels than ties.
        if (cases[Number.parseInt(name, 10)]!.dtype === "int8") continue;
        const [wasm, native] = [await decodeLabelPng(expected[name]!), await decodeLabelPng(mask)];
        let here = 0;
        for (let i = 0; i < native.map.length; i++) here += native.map[i] === wasm.map[i] ? 0 : 1;
        expect(here / native.map.length, name).toBeLessThan(5 * ROUNDING);
        off += here;
        pixels += native.map.length;
      }
      // Of all pictures together: where a patch ties, a row of a small picture may change at once.
      expect(off / pixels).toBeLessThan(ROUNDING);
    },
    TIME,
  );

  it.each([true, false])(
    "are the command line's, byte for byte (isolated: %s)",
    async (isolated) => {
      const page = await site.open(browser, { isolated });
      const inPage = await page.evaluate(
        async ([asked, names]) => {
          const { GroupViT, encodeLabelPng, labelPalette } = globalThis.groupvit;
          const about: unknown[] = [];
          const masks: Record<string, string> = {};
          for (const [i, { model: source, dtype, encode, words, options }] of asked.entries()) {
            const model = await GroupViT.load(source, { device: "wasm", threads: 2, dtype });
            about.push([model.name, model.device, model.threads, model.deviceReason]);
            for (const name of names) {
              const picture = await model.encode(name, encode);
              const result = await picture.segment(words, options);
              const count = result.labels.length + (result.background ? 1 : 0);
              const png = encodeLabelPng(result, labelPalette(count, result.background));
              let text = "";
              for (const byte of png) text += String.fromCharCode(byte);
              masks[`${i} ${name}`] = btoa(text);
            }
            await model.release();
          }
          return { about, masks };
        },
        [cases, [...pictures.keys()]] as const,
      );
      await page.close();
      const threads = isolated ? 2 : 1;
      const reason = isolated
        ? "WebAssembly (as asked) with 2 threads."
        : "WebAssembly (as asked) with one thread, because the page is not cross-origin isolated " +
          "(headers COOP and COEP).";
      expect(inPage.about).toEqual(
        cases.map(({ model }) => [
          model === undefined ? "scenes" : `${site.origin}${model}`,
          "wasm",
          threads,
          reason,
        ]),
      );
      expect(Object.keys(inPage.masks)).toEqual(Object.keys(expected));
      for (const [name, mask] of Object.entries(expected)) {
        expect(inPage.masks[name] === mask.toString("base64"), name).toBe(true);
      }
      // Of one colour they would be equal whatever was computed.
      const maps = await Promise.all(Object.values(expected).map((mask) => decodeLabelPng(mask)));
      expect(maps.filter(({ map }) => new Set(map).size > 1).length).toBeGreaterThan(5);
    },
    TIME,
  );
});
