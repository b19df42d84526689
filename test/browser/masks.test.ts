// The masks that pages make, in Chromium with WebAssembly, with threads and without: the command line's,
// byte for byte.

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
    encode?: EncodeOptions;
    words: string;
    options?: SegmentOptions;
    /** The same for the command line. */
    args: string[];
  }
  const words = ["--model", "words", "--short-side", "128"];
  const cases: Case[] = [
    { words: "tree, house, sun", args: [] },
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
  const expected: Record<string, string> = {};

  beforeAll(async () => {
    for (const [i, { words, args }] of cases.entries()) {
      const out = ["--save", "mask", "--out", `out-${i}`];
      const ended = await groupvit(
        ["segment", ...pictures.keys(), "--labels", words, ...args, ...out],
        { cwd: folder },
      );
      expect(ended.code, ended.stderr).toBe(0);
      for (const name of pictures.keys()) {
        const file = join(folder, `out-${i}`, `${name.replace(/\.\w+$/, "")}.mask.png`);
        expected[`${i} ${name}`] = readFileSync(file).toString("base64");
      }
    }
  }, TIME);

  it.each([true, false])(
    "are the command line's, byte for byte (isolated: %s)",
    async (isolated) => {
      const page = await site.open(browser, { isolated });
      const inPage = await page.evaluate(
        async ([asked, names]) => {
          const { GroupViT, encodeLabelPng, labelPalette } = globalThis.groupvit;
          const about: unknown[] = [];
          const masks: Record<string, string> = {};
          for (const [i, { model: source, encode, words, options }] of asked.entries()) {
            const model = await GroupViT.load(source, { device: "wasm", threads: 2 });
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
        expect(inPage.masks[name] === mask, name).toBe(true);
      }
      // Of one colour they would be equal whatever was computed.
      const masks = Object.values(expected).map((mask) => Buffer.from(mask, "base64"));
      const maps = await Promise.all(masks.map((mask) => decodeLabelPng(mask)));
      expect(maps.filter(({ map }) => new Set(map).size > 1).length).toBeGreaterThan(5);
    },
    TIME,
  );
});
