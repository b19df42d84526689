// `groupvit/browser` in Chromium, computing with WebAssembly: every kind of source, aborts, errors, and
// memory that does not suffice.

import { readFileSync, statSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { modelFiles } from "../../src/browser/files.js";
import type * as groupvitPackage from "../../src/browser/index.js";
import { buffersIn, receiveError, sendError } from "../../src/browser/protocol.js";
import { CheckpointError, InputError } from "../../src/errors.js";
import { GroupViT } from "../../src/index.js";
import { launchChromium } from "../support/chromium.js";
import { temporaryFolder } from "../support/temporary.js";
import { wordModelFiles } from "../support/word-model.js";
import { type Site, startSite } from "./site.js";

declare global {
  var model: groupvitPackage.GroupViT;
}

const TIME = 600_000;
const sample = new URL("../../examples/sample.jpg", import.meta.url).pathname;
const folder = await temporaryFolder();

let site: Site;
let browser: Browser;

/** Test pictures by name; JPEG is decoded alike in Chromium and in Node. */
const pictures = new Map<string, Uint8Array>();

beforeAll(async () => {
  site = await startSite();
  await mkdir(join(folder, "words"));
  for (const [name, bytes] of await wordModelFiles()) {
    site.files.set(`/words/${name}`, bytes);
    await writeFile(join(folder, "words", name), bytes);
  }
  const part = sharp(sample).extract({ left: 201, top: 90, width: 217, height: 301 });
  pictures.set("sample.jpg", readFileSync(sample));
  pictures.set("whole.png", await sharp(sample).png().toBuffer());
  pictures.set("part.png", await part.png().toBuffer());
  for (const [name, bytes] of pictures) {
    site.files.set(`/${name}`, bytes);
    await writeFile(join(folder, name), bytes);
  }
  browser = await launchChromium();
}, TIME);

afterAll(async () => {
  await browser?.close();
  await site?.close();
});

/** What went wrong on the page, or "none". */
function failure(page: Page, code: string): Promise<string> {
  return page.evaluate(`(async () => {
    try { await (async () => { ${code} })(); return "none"; }
    catch (error) {
      const known = Object.entries(groupvit).find(([, of]) =>
        typeof of === "function" && error.constructor === of);
      return (known ? known[0] : error.name) + ": " + error.message;
    }
  })()`);
}

describe("the interface", () => {
  let page: Page;
  beforeAll(async () => {
    page = await site.open(browser);
    await page.evaluate(async () => {
      globalThis.model = await globalThis.groupvit.GroupViT.load("/words/", { device: "wasm" });
    });
  }, TIME);
  afterAll(() => page?.close());

  it(
    "takes files, bytes, bitmaps, pixels and addresses alike",
    async () => {
      const maps = await page.evaluate(async () => {
        const blob = await (await fetch("part.png")).blob();
        const bitmap = await createImageBitmap(blob);
        const { width, height } = bitmap;
        const context = new OffscreenCanvas(width, height).getContext("2d")!;
        context.drawImage(bitmap, 0, 0);
        const pixels = context.getImageData(0, 0, width, height);
        const data = new Uint8Array(width * height * 3).map(
          (_, i) => pixels.data[Math.floor(i / 3) * 4 + (i % 3)]!,
        );
        const sources = [
          new File([blob], "part.png"),
          blob,
          new Uint8Array(await blob.arrayBuffer()),
          bitmap,
          pixels,
          { width, height, data },
          "part.png",
          new URL("part.png", document.baseURI),
          URL.createObjectURL(blob),
        ];
        const results: string[] = [];
        for (const source of sources) {
          const picture = await globalThis.model.encode(source, { shortSide: 96 });
          const { map } = await picture.segment("dog, tree, sky, red car");
          results.push(`${picture.width} ${picture.height} ${map.join("")}`);
          picture.release();
        }
        return { results, bitmapWidth: bitmap.width };
      });
      expect(maps.results).toHaveLength(9);
      expect(maps.results[0]).toMatch(/^217 301 /);
      expect(new Set(maps.results).size).toBe(1);
      expect(maps.bitmapWidth).toBe(217); // still the page's own
    },
    TIME,
  );

  it(
    "answers as Node does, again and again",
    async () => {
      const inPage = await page.evaluate(async () => {
        const picture = await globalThis.model.encode("part.png", { shortSide: 128 });
        const plain = (value: unknown) =>
          JSON.stringify(value, (_, part) =>
            ArrayBuffer.isView(part) ? Array.from(part as never) : part,
          );
        const ask = async () => [
          plain(await picture.segment("dog, tree, sky", { pixelScores: true })),
          plain(await picture.explain("dog, tree, sky")),
          plain(await picture.groups()),
          plain((await picture.classify("dog, tree, sky")).map(({ label }) => label)),
        ];
        return [await ask(), await ask()];
      });
      expect(inPage[1]).toEqual(inPage[0]);
      const node = await GroupViT.load(join(folder, "words"));
      const picture = await node.encode(join(folder, "part.png"), { shortSide: 128 });
      const [segmented, explained, grouped, ranked] = inPage[0]!.map((text) => JSON.parse(text));
      const segmentation = await picture.segment("dog, tree, sky");
      expect(segmented.map).toEqual(Array.from(segmentation.map));
      expect(segmented.pixelScores).toHaveLength(217 * 301);
      expect(explained.map).toEqual(Array.from((await picture.explain("dog, tree, sky")).map));
      expect(grouped.map(({ map }: { map: number[] }) => map)).toEqual(
        picture.groups().map(({ map }) => Array.from(map)),
      );
      const labels = (await picture.classify("dog, tree, sky")).map(({ label }) => label);
      expect(ranked).toEqual(labels);
      await node.release();
    },
    TIME,
  );

  it(
    "does not block the page, which goes on while the worker computes",
    async () => {
      const { ticks, before } = await page.evaluate(async () => {
        let count = 0;
        const timer = setInterval(() => count++, 4);
        const from = count;
        await globalThis.model.encode("sample.jpg", { shortSide: 384, mode: "slide" });
        clearInterval(timer);
        return { ticks: count, before: from };
      });
      // On one thread with the engine there would be a tick between two windows at most.
      expect(ticks - before).toBeGreaterThan(20);
    },
    TIME,
  );

  it(
    "aborts between windows, with the signal's reason, and goes on afterwards",
    async () => {
      const said = await page.evaluate(async () => {
        const controller = new AbortController();
        const started = performance.now();
        const all = await globalThis.model.encode("part.png", { shortSide: 96, mode: "slide" });
        const whole = performance.now() - started;
        all.release();
        const long = { shortSide: 256, mode: "slide", scales: [1, 0.5, 0.75, 1.25] } as const;
        const { signal } = controller;
        const encoding = globalThis.model.encode("sample.jpg", { ...long, signal });
        setTimeout(() => controller.abort(new RangeError("enough")), whole);
        const reason = await encoding.then(String, String);
        const next = await globalThis.model.encode("part.png", { shortSide: 32 });
        // The worker is free again long before it would have been; the best of three, since others use the machine.
        let share = Number.POSITIVE_INFINITY;
        for (let round = 0; round < 3; round++) {
          const again = new AbortController();
          const left = globalThis.model.encode("sample.jpg", { ...long, signal: again.signal });
          setTimeout(() => again.abort(), whole);
          await left.catch(() => {});
          const aborted = performance.now();
          (await globalThis.model.encode("part.png", { shortSide: 32 })).release();
          const waited = performance.now() - aborted;
          const began = performance.now();
          (await globalThis.model.encode("sample.jpg", long)).release();
          share = Math.min(share, waited / (performance.now() - began));
        }
        const early = AbortSignal.abort(new TypeError("never began"));
        return {
          reason,
          share,
          segmented: (await next.segment("dog, sky")).labels,
          early: await next.segment("dog", { signal: early }).then(String, String),
        };
      });
      expect(said.reason).toBe("RangeError: enough");
      expect(said.share).toBeLessThan(0.6);
      expect(said.segmented).toEqual(["dog", "sky"]);
      expect(said.early).toBe("TypeError: never began");
    },
    TIME,
  );

  it(
    "fails in the classes and words of Node",
    async () => {
      const huge = new Uint8Array(40);
      huge.set([
        0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 13, 0x49, 0x48, 0x44, 0x52,
      ]);
      huge.set([0, 1, 0, 0, 0, 1, 0, 0, 8, 2, 0, 0, 0], 16); // 65536 x 65536
      site.files.set("/huge.png", huge);
      site.files.set("/text.png", "this is no picture");
      const whole = readFileSync(sample);
      site.files.set("/cut.jpg", whole.subarray(0, whole.length / 2));
      for (const [code, message] of [
        ['await model.encode("text.png")', /^PictureError: .*not a picture/],
        ['await model.encode("cut.jpg")', /^PictureError: .*damaged or cut short/],
        ['await model.encode("huge.png")', /^PictureError: .*65536 x 65536 .*more than the limit/],
        ['await model.encode("none.png")', /^PictureError: .*HTTP 404/],
        [
          'await model.encode("part.png", { shortSide: 3 })',
          /^InputError: shortSide: 3 is out of range/,
        ],
        ["await model.encode(() => {})", /^InputError: encode: .*cannot be sent to the worker/],
        [
          "await model.encode(new ImageData(9, 9), { maxPixels: 80 })",
          /^PictureError: picture: 9 x 9 are 81 pixels, more than/,
        ],
        [
          'await (await model.encode("part.png", { shortSide: 32 })).segment("dog, dog")',
          /^InputError: .*"dog"/,
        ],
        [
          'await (await model.encode("part.png", { mode: "slide", shortSide: 64 })).groups()',
          /^InputError: groups: windows/,
        ],
        [
          'const p = await model.encode("part.png", { shortSide: 32 }); p.release(); await p.segment("dog")',
          /^InputError: segment: the picture was released; encode it again/,
        ],
      ] as const) {
        expect(await failure(page, code), code).toMatch(message);
      }
    },
    TIME,
  );
});

describe("loading", () => {
  it(
    "reports bytes over all files, and stops its downloads at once",
    async () => {
      const page = await site.open(browser);
      site.delay = 20;
      const progress = await page.evaluate(async () => {
        const seen: { loaded: number; total: number }[] = [];
        const controller = new AbortController();
        const error = await globalThis.groupvit.GroupViT.load(undefined, {
          signal: controller.signal,
          onProgress: ({ loaded, total }) => {
            seen.push({ loaded, total });
            if (loaded > total / 10) controller.abort(new RangeError("changed my mind"));
          },
        }).then(() => "none", String);
        return { seen, error };
      });
      site.delay = 0;
      expect(progress.error).toBe("RangeError: changed my mind");
      await vi.waitFor(
        () => expect(site.cut).toContain("/models/scenes/model.safetensors"),
        30_000,
      );
      const sizes = ["config.json", "preprocessor_config.json", "model.safetensors"].map(
        (name) => statSync(join(site.folder, "models/scenes", name)).size,
      );
      const total = sizes.reduce((a, b) => a + b, 0);
      expect(new Set(progress.seen.map((one) => one.total))).toEqual(new Set([total]));
      expect(progress.seen.at(-1)!.loaded).toBeLessThan(total / 2);
      await page.close();
    },
    TIME,
  );

  it(
    "takes a dropped folder's files, and computes in fp16 and int8",
    async () => {
      const page = await site.open(browser);
      const found = await page.evaluate(async () => {
        const names = ["config.json", "preprocessor_config.json", "model.safetensors"];
        const blobs = await Promise.all(
          names.map(async (name) => (await fetch(`/models/scenes/${name}`)).blob()),
        );
        const files = names.map((name, i) => new File([blobs[i]!], name));
        const transfer = new DataTransfer();
        for (const file of files) transfer.items.add(file);
        const prefixed = Object.fromEntries(files.map((file) => [`my/scenes/${file.name}`, file]));
        const sources = [transfer.files, transfer, prefixed];
        const results: string[] = [];
        for (const [i, source] of sources.entries()) {
          const dtype = (["fp32", "fp16", "int8"] as const)[i];
          const model = await globalThis.groupvit.GroupViT.load(source, { dtype });
          const picture = await model.encode("part.png", { shortSide: 224 });
          const ranked = await picture.classify("tree, sun, house");
          results.push(`${dtype} ${ranked[0]!.label} ${model.config.projectionDim}`);
          await model.release();
        }
        return results;
      });
      const [, best] = found[0]!.split(" ");
      expect(found).toEqual(["fp32", "fp16", "int8"].map((dtype) => `${dtype} ${best} 128`));
      await page.close();
    },
    TIME,
  );

  it(
    "says what is wrong, and can be tried again",
    async () => {
      const page = await site.open(browser);
      const weights = readFileSync(join(site.folder, "models/scenes/model.safetensors"));
      site.files.set("/broken/config.json", '{"model_type":"groupvit"}');
      site.files.set("/broken/model.safetensors", weights.subarray(0, 5_000_000));
      for (const [code, message] of [
        ['GroupViT.load("/broken/")', /^(Checkpoint|Config)Error: /],
        ['GroupViT.load("/nothing/")', /^CheckpointError: model: .*has no model\.safetensors/],
        [
          'GroupViT.load({ "config.json": "{}" })',
          /^CheckpointError: Files .* hold 0 sets of weights/,
        ],
        ["GroupViT.load([])", /^CheckpointError: model: no files/],
        ['GroupViT.load("", { models: "/elsewhere" })', /^CheckpointError: /],
        [
          'GroupViT.load(undefined, { models: "/elsewhere" })',
          /^CheckpointError: .*not at .*\/elsewhere\/scenes\/; serve models/,
        ],
        ['GroupViT.load(undefined, { device: "cuda" })', /^InputError: .*does not run in browsers/],
        [
          'GroupViT.load(undefined, { workerUrl: "/none.js" })',
          /^InputError: worker: its script did not load; serve groupvit-worker\.js beside/,
        ],
        [
          'GroupViT.load(undefined, { device: "wasm", wasmPath: "/nowhere/" })',
          /^InputError: device "wasm" cannot be used here .*wasmPath/,
        ],
      ] as const) {
        expect(await failure(page, `await groupvit.${code}`), code).toMatch(message);
      }
      await page.evaluate(async () => {
        globalThis.model = await globalThis.groupvit.GroupViT.load("/words/");
        await globalThis.model.release();
      });
      expect(await failure(page, 'await model.encode("part.png")')).toMatch(
        /^InputError: model: it was released; load it again/,
      );
      await page.close();
    },
    TIME,
  );

  it(
    "tells of memory that does not suffice, after which the model can be loaded again",
    async () => {
      const limit = (pages: number) => `
        const Real = WebAssembly.Memory;
        WebAssembly.Memory = class extends Real {
          constructor(options) { super({ ...options, maximum: ${pages} }); }
        };`;
      site.files.set("/limited.js", 'import "/limit.js"; import "/groupvit-worker.js";');
      for (const pages of [1100, 2000]) {
        site.files.set("/limit.js", limit(pages));
        const page = await site.open(browser);
        await page.evaluate(async () => {
          const { GroupViT } = globalThis.groupvit;
          globalThis.model = await GroupViT.load(undefined, { workerUrl: "/limited.js" });
        });
        expect(await failure(page, 'await model.encode("part.png", { shortSide: 2000 })')).toMatch(
          /^InputError: memory: .*load the model again and encode with a smaller shortSide, .*"int8"/,
        );
        expect(await failure(page, 'await model.encode("part.png")')).toMatch(
          /^InputError: model: its engine broke down in an earlier call; load it again/,
        );
        const again = `
          const other = await groupvit.GroupViT.load(undefined, { workerUrl: "/limited.js" });
          await (await other.encode("part.png")).segment("dog")`;
        expect(await failure(page, again)).toBe("none");
        await page.close();
      }
    },
    TIME,
  );
});

describe("what passes between page and worker", () => {
  it("errors keep class and words", () => {
    const error = receiveError(sendError(new CheckpointError("a; b"), false));
    expect(error).toBeInstanceOf(CheckpointError);
    expect([error.name, error.message]).toEqual(["CheckpointError", "a; b"]);
    expect(receiveError(sendError(new InputError("c"), true)).constructor).toBe(InputError);
    const other = receiveError(sendError(new TypeError("d"), false));
    expect([other.constructor, other.name, other.message]).toEqual([Error, "TypeError", "d"]);
    expect(receiveError({ name: "constructor", message: "e", fatal: false }).constructor).toBe(
      Error,
    );
    expect(receiveError(sendError("text", false)).message).toBe("text");
  });

  it("memory is handed over once, and only where nothing else lives in it", () => {
    const own = new Float32Array(3);
    const shared = new Uint8Array(new SharedArrayBuffer(4));
    const part = new Uint8Array(8).subarray(2);
    expect(buffersIn({ a: own, b: [{ c: own }, part, null, "text"], shared })).toEqual([
      own.buffer,
    ]);
    expect(buffersIn(undefined)).toEqual([]);
  });

  it("a model's files are those of the folder nearest to the top that holds weights", async () => {
    globalThis.DataTransfer ??= class {} as typeof DataTransfer;
    const files = {
      "a/b/c/model.safetensors": "1",
      "a/b/model.safetensors": "2",
      "a/b/config.json": "3",
      "a/config.json": "4",
    };
    expect(await modelFiles(files)).toEqual({ "model.safetensors": "2", "config.json": "3" });
    expect(await modelFiles({ "config.json": "5" })).toEqual({ "config.json": "5" });
    await expect(modelFiles({})).rejects.toThrow(/no files; give its folder/);
  });
});
