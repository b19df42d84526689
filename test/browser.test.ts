// The package in a real browser: the same maps as in Node, byte for byte, with WebAssembly.

import { existsSync, readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type * as Package from "../src/index.browser.js";
import { AutoProcessor, GroupViT, GroupViTModel, Tensor } from "../src/index.js";
import { Random } from "../src/random.js";
import { bundleBrowser } from "./support/bundle.js";
import { findChromium, launchChromium, SOFTWARE_WEBGPU } from "./support/chromium.js";
import { floats, largestDifference, readTensors } from "./support/segment.js";
import { wordModelFiles } from "./support/word-model.js";

declare global {
  var onThread: typeof Package;
}

const fixtures = fileURLToPath(new URL("fixtures/", import.meta.url));
const wasm = fileURLToPath(new URL("../node_modules/onnxruntime-web/dist/", import.meta.url));
const labels = ["dog", "tree", "sky", "red car", "house", "water"];

/** Coloured shapes with noise, wider than high. */
function testPicture() {
  const random = new Random("picture");
  const [width, height] = [150, 110];
  const data = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const inside = Math.hypot(x - 60, y - 50) < 35;
      const colour = inside ? [200, 60, 40] : y > 70 ? [40, 150, 60] : [90, 140, 220];
      for (let c = 0; c < 3; c++) {
        data[(y * width + x) * 3 + c] = colour[c]! + random.integer(30) - 15;
      }
    }
  }
  return { width, height, data };
}

describe("Chromium", () => {
  it("is named by CHROMIUM_PATH, or is Debian's, or its absence tells the package to install", () => {
    expect(findChromium({ CHROMIUM_PATH: "/a" }, () => true)).toBe("/a");
    expect(() => findChromium({ CHROMIUM_PATH: "/a" }, () => false)).toThrow(/no file \/a/);
    expect(findChromium({}, (path) => path === "/usr/bin/chromium")).toBe("/usr/bin/chromium");
    expect(() => findChromium({}, () => false)).toThrow(/apt-get install chromium/);
  });
});

describe("in the browser", () => {
  let model: Map<string, Uint8Array>;
  const picture = testPicture();
  const requests: string[] = [];
  let server: Server;
  let origin: string;
  let browser: Browser;

  beforeAll(async () => {
    model = await wordModelFiles();
    const { files: bundle } = await bundleBrowser();
    server = createServer((request, response) => {
      const { pathname } = new URL(request.url!, "http://localhost");
      requests.push(pathname);
      const name = basename(pathname);
      const isolated = request.headers.referer?.includes("/isolated") || pathname === "/isolated";
      const send = (type: string, body: string | Uint8Array) =>
        response
          .writeHead(200, {
            "content-type": type,
            "cross-origin-resource-policy": "same-origin",
            ...(isolated || pathname.endsWith("js")
              ? {
                  "cross-origin-opener-policy": "same-origin",
                  "cross-origin-embedder-policy": "require-corp",
                }
              : {}),
          })
          .end(body);
      const file = pathname.startsWith("/words/")
        ? model.get(name)
        : pathname.startsWith("/tiny/") && existsSync(`${fixtures}tiny/${name}`)
          ? readFileSync(`${fixtures}tiny/${name}`)
          : undefined;
      if (pathname === "/isolated" || pathname === "/plain") {
        send("text/html", "<!doctype html><title>groupvit</title>");
      } else if (bundle.has(name)) send("text/javascript", bundle.get(name)!);
      else if (/^ort-.*\.(wasm|mjs)$/.test(name) && existsSync(wasm + name)) {
        send(
          name.endsWith("s") ? "text/javascript" : "application/wasm",
          readFileSync(wasm + name),
        );
      } else if (file) send("application/octet-stream", file);
      else response.writeHead(404).end();
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    browser = await launchChromium(SOFTWARE_WEBGPU);
  }, 60_000);

  afterAll(async () => {
    await browser?.close();
    server?.close();
  });

  async function open(path: "/isolated" | "/plain"): Promise<Page> {
    const page = await browser.newPage();
    page.on("pageerror", (error) => {
      throw error;
    });
    await page.goto(origin + path);
    // A string: the test's own compiler must not touch the import.
    await page.evaluate('import("/index.js").then((module) => { globalThis.onThread = module; })');
    return page;
  }

  it.each([
    ["/isolated", true],
    ["/plain", false],
  ] as const)(
    "segments as Node does (%s)",
    async (path, isolated) => {
      const page = await open(path);
      const sent = { ...picture, data: Array.from(picture.data) };
      const inPage = await page.evaluate(
        async ([given, words]) => {
          const { GroupViT: Model } = globalThis.onThread;
          const progress: string[] = [];
          const loaded = await Model.load("/words/", {
            threads: 2,
            onProgress: ({ file, loaded: so, total }) => {
              if (so === total) progress.push(file);
            },
          });
          const data = Uint8Array.from(given.data);
          const encoded = await loaded.encode({ ...given, data }, { shortSide: 128 });
          // Two at once: the engine's runs must queue.
          const [whole, ranked] = await Promise.all([
            encoded.segment(words, { pixelScores: true }),
            encoded.classify(words),
          ]);
          const slid = await loaded.encode({ ...given, data }, { shortSide: 64, mode: "slide" });
          const slide = await slid.segment(words, { background: "threshold", threshold: 0.3 });
          const stages = encoded.groups();
          await loaded.release();
          return {
            isolated: globalThis.crossOriginIsolated,
            map: Array.from(whole.map),
            scores: Array.from(whole.scores),
            slide: Array.from(slide.map),
            groups: stages.map((stage) => Array.from(stage.map)),
            ranked,
            progress,
          };
        },
        [sent, labels] as const,
      );
      expect(page.workers().length > 0).toBe(isolated); // threads
      await page.close();

      const node = await GroupViT.load(Object.fromEntries(model));
      const encoded = await node.encode(picture, { shortSide: 128 });
      const whole = await encoded.segment(labels);
      const slid = await node.encode(picture, { shortSide: 64, mode: "slide" });
      const slide = await slid.segment(labels, { background: "threshold", threshold: 0.3 });
      expect(inPage.isolated).toBe(isolated);
      expect(new Set(whole.map).size).toBeGreaterThan(1);
      expect(new Set(slide.map).size).toBeGreaterThan(1);
      expect(inPage.map).toEqual(Array.from(whole.map));
      expect(inPage.slide).toEqual(Array.from(slide.map));
      expect(inPage.groups).toEqual(encoded.groups().map((stage) => Array.from(stage.map)));
      expect(largestDifference(inPage.scores, whole.scores)).toBeLessThan(1e-4);
      const ranked = await encoded.classify(labels);
      expect(inPage.ranked.map(({ label }) => label)).toEqual(ranked.map(({ label }) => label));
      expect(inPage.progress).toContain("model.safetensors");
      await node.release();
    },
    60_000,
  );

  it("gives Hugging Face's numbers", async () => {
    const page = await open("/plain");
    const tensors = readTensors("tiny/inputs.safetensors");
    const ids = Array.from(floats(tensors, "input_ids"));
    const pixels = Array.from(floats(tensors, "pixel_values_72x120"));
    const result = await page.evaluate(
      async ([tokens, values]) => {
        const { AutoProcessor: Processor, GroupViTModel: Model, Tensor: T } = globalThis.onThread;
        const model = await Model.fromPretrained("/tiny/");
        const outputs = await model({
          inputIds: new T(Int32Array.from(tokens), [4, 77]),
          pixelValues: new T(Float32Array.from(values), [1, 3, 72, 120]),
          outputSegmentation: true,
        });
        const processor = await Processor.fromPretrained("/tiny/");
        const { inputIds } = await processor({ text: ["a cat", "a photo"], padding: true });
        return {
          logits: outputs.logitsPerImage.tolist() as number[][],
          segmentation: Array.from(outputs.segmentationLogits!.data),
          ids: inputIds.tolist(),
        };
      },
      [ids, pixels] as const,
    );
    await page.close();
    const expected = readTensors("tiny/expected.safetensors.gz");
    const logits = floats(expected, "hf_72x120.logits_per_image");
    expect(largestDifference(result.logits[0]!.slice(0, 3), logits)).toBeLessThan(5e-5);
    const segmentation = floats(expected, "hf_72x120.segmentation_logits");
    expect(
      largestDifference(result.segmentation.slice(0, segmentation.length), segmentation),
    ).toBeLessThan(2e-3);
    const processor = await AutoProcessor.fromPretrained(`${fixtures}tiny`);
    const { inputIds } = await processor({ text: ["a cat", "a photo"], padding: true });
    expect(result.ids).toEqual(inputIds.tolist());
    // The processor took its files from the model that is in use.
    expect(requests.filter((path) => path === "/tiny/model.safetensors")).toHaveLength(1);
  }, 60_000);

  it("computes on WebGPU what Node computes", async () => {
    const page = await open("/plain");
    const pixels = floats(readTensors("tiny/inputs.safetensors"), "pixel_values_96x64");
    const ids = [0, 4, 9, 511];
    const inPage = await page.evaluate(
      async ([values, tokens]) => {
        const { GroupViTModel: Model, Tensor: T } = globalThis.onThread;
        const model = await Model.fromPretrained("/tiny/", { device: "webgpu" });
        const inputs = {
          pixelValues: new T(Float32Array.from(values), [2, 3, 96, 64]),
          inputIds: new T(Int32Array.from(tokens), [1, 4]),
        };
        // Both towers at once: sessions share the device and must take turns.
        const [{ logitsPerImage, imageEmbeds }] = await Promise.all([
          model(inputs),
          model.getTextFeatures(inputs),
        ]);
        await model.release();
        return { logits: Array.from(logitsPerImage.data), embeds: Array.from(imageEmbeds.data) };
      },
      [Array.from(pixels), ids] as const,
    );
    await page.close();
    expect(requests).toContain("/ort-wasm-simd-threaded.asyncify.wasm");
    const model = await GroupViTModel.fromPretrained(`${fixtures}tiny`);
    const { logitsPerImage, imageEmbeds } = await model({
      pixelValues: new Tensor(pixels, [2, 3, 96, 64]),
      inputIds: new Tensor(Int32Array.from(ids), [1, 4]),
    });
    expect(largestDifference(inPage.embeds, imageEmbeds.data)).toBeLessThan(1e-5);
    expect(largestDifference(inPage.logits, logitsPerImage.data)).toBeLessThan(1e-4);
  }, 120_000);

  it("takes the files of a model, and a wasm file from elsewhere", async () => {
    const page = await open("/plain");
    const before = requests.length;
    const logits = await page.evaluate(async () => {
      const { GroupViTModel: Model, Tensor: T } = globalThis.onThread;
      const names = ["config.json", "model.safetensors"];
      const blobs = await Promise.all(names.map(async (n) => (await fetch(`/tiny/${n}`)).blob()));
      const files = Object.fromEntries(names.map((n, i) => [n, new File([blobs[i]!], n)]));
      const model = await Model.fromPretrained(files, { wasmPath: "/elsewhere" });
      const { data } = await model.getTextFeatures({
        inputIds: new T(Int32Array.of(0, 4, 511), [1, 3]),
      });
      return Array.from(data);
    });
    await page.close();
    expect(requests.slice(before)).toContain("/elsewhere/ort-wasm-simd-threaded.wasm");
    const node = await GroupViTModel.fromPretrained(`${fixtures}tiny`);
    const { data } = await node.getTextFeatures({
      inputIds: new Tensor(Int32Array.of(0, 4, 511), [1, 3]),
    });
    expect(largestDifference(logits, data)).toBeLessThan(1e-5);
  }, 60_000);

  it.each([
    ["nothing/at-all/", /has no model\.safetensors or pytorch_model\.bin/],
    ["/tiny/missing.pth", /has no missing\.pth/],
    [undefined, /none is bundled in browsers/],
  ])("says what is wrong with %s", async (name, message) => {
    const page = await open("/plain");
    const error = await page.evaluate(async (source) => {
      try {
        await globalThis.onThread.GroupViT.load(source);
        return "none";
      } catch (thrown) {
        return `${(thrown as Error).name}: ${(thrown as Error).message}`;
      }
    }, name);
    await page.close();
    expect(error).toMatch(/^CheckpointError: /);
    expect(error).toMatch(message);
  });

  it("opens a Hub model at the commit of its revision, once it is whole", async () => {
    const page = await open("/plain");
    const commit = "0123456789abcdef0123456789abcdef01234567";
    const hub: string[] = [];
    let cut = 1000;
    await page.route("https://huggingface.co/**", (route) => {
      const path = new URL(route.request().url()).pathname;
      hub.push(path);
      const headers = { "access-control-allow-origin": "*" };
      if (path === "/api/models/some/model/revision/v1") {
        const siblings = ["config.json", "model.safetensors", "README.md"].map((rfilename) => ({
          rfilename,
        }));
        return route.fulfill({ headers, json: { sha: commit, siblings } });
      }
      if (path.startsWith("/api/models/some/gated/")) {
        return route.fulfill({ headers, status: 401, body: "" });
      }
      const file = `${fixtures}tiny/${basename(path)}`;
      if (!path.startsWith(`/some/model/resolve/${commit}/`) || !existsSync(file)) {
        return route.fulfill({ headers, status: 404, body: "" });
      }
      const body = readFileSync(file);
      return route.fulfill({ headers, body: path.endsWith(".json") ? body : body.subarray(cut) });
    });
    const load = (id: string, revision: string) =>
      page.evaluate(
        ([name, at]) =>
          globalThis.onThread.GroupViTModel.fromPretrained(name, { revision: at }).then(
            (model) => `width ${model.config.projectionDim}`,
            (thrown: Error) => `${thrown.name}: ${thrown.message}`,
          ),
        [id, revision] as const,
      );
    expect(await load("some/model", "v1")).toMatch(/^CheckpointError: model\.safetensors: /);
    cut = 0;
    hub.length = 0;
    expect(await load("some/model", "v1")).toBe("width 32");
    expect(hub).toEqual([
      "/api/models/some/model/revision/v1",
      `/some/model/resolve/${commit}/config.json`,
      `/some/model/resolve/${commit}/model.safetensors`,
    ]);
    expect(await load("some/model", "v2")).toMatch(/^HubError: .*none at revision "v2"/);
    expect(await load("some/gated", "main")).toMatch(/^HubError: .*answers 401.*not public/);
    await page.unroute("https://huggingface.co/**");
    await page.route("https://huggingface.co/**", (route) => route.abort());
    expect(await load("some/other", "v1")).toMatch(/^HubError: .*cannot be reached.*CORS/);
    expect(await load("some/model", "v1")).toBe("width 32"); // kept by the browser
    await page.close();
  }, 30_000);

  it("refuses devices that browsers do not have", async () => {
    const page = await open("/plain");
    const error = await page.evaluate(async () => {
      const { GroupViTModel: Model, Tensor: T } = globalThis.onThread;
      const model = await Model.fromPretrained("/tiny/", { device: "cuda" });
      const inputIds = new T(Int32Array.of(0, 511), [1, 2]);
      return model.getTextFeatures({ inputIds }).then(
        () => "none",
        (thrown: Error) => thrown.message,
      );
    });
    await page.close();
    expect(error).toMatch(/"cuda" does not run in browsers; use wasm or webgpu/);
  });
});
