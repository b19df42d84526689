// Which device a browser computes on, and why: the self-test against its stored answer, with WebGPU in
// software (SwiftShader), with a WebGPU that computes wrong numbers, and without any.

import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { selfTest } from "../../src/browser/self-test.js";
import { GroupViT } from "../../src/index.js";
import type { CreateSession } from "../../src/runtime/session.js";
import { createSession } from "../../src/runtime/session.node.js";
import { launchChromium, SOFTWARE_WEBGPU } from "../support/chromium.js";
import { wordModelFiles } from "../support/word-model.js";
import { type Site, startSite } from "./site.js";

const TIME = 600_000;

describe("the self-test", () => {
  it("finds Node's numbers right, with fp16 and int8 weights within what they cost", async () => {
    expect(await selfTest(createSession, {})).toBeLessThan(1e-5);
    const half = await selfTest(createSession, { format: "fp16" });
    expect(half).toBeGreaterThan(1e-4);
    expect(half).toBeLessThan(5e-3);
    expect(await selfTest(createSession, { format: "int8" })).toBeLessThan(0.15);
  });

  it.each([
    [1.01, 1e-3],
    [Number.NaN, Number.MAX_VALUE],
  ])("finds numbers wrong that are %d times as large", async (factor, least) => {
    const wrong: CreateSession = async (...args) => {
      const session = await createSession(...args);
      return {
        ...session,
        run: async (...feeds) => {
          const values = await session.run(...feeds);
          for (const { data } of Object.values(values)) data[3]! *= factor;
          return values;
        },
      };
    };
    expect(await selfTest(wrong, {})).toBeGreaterThan(least);
  });
});

describe("in Chromium", () => {
  let site: Site;
  let browser: Browser;
  let page: Page;
  let words: Map<string, Uint8Array>;
  beforeAll(async () => {
    site = await startSite();
    words = await wordModelFiles();
    for (const [name, bytes] of words) site.files.set(`/words/${name}`, bytes);
    browser = await launchChromium(SOFTWARE_WEBGPU);
    page = await site.open(browser);
  }, TIME);
  afterAll(async () => {
    await browser?.close();
    await site?.close();
  });

  const picture = {
    width: 96,
    height: 64,
    data: Uint8Array.from({ length: 96 * 64 * 3 }, (_, i) => (i * i * 7 + (i >> 5) * 31) % 256),
  };

  /** Loads with a worker that runs the script first; the reason, or the error. */
  async function load(
    options: { device?: "auto" | "wasm" | "webgpu"; dtype?: "int8" },
    script = "",
  ): Promise<string> {
    return page.evaluate(
      ([given, workerUrl]) =>
        globalThis.groupvit.GroupViT.load("/words/", { ...given, workerUrl }).then(
          async (model) => {
            await model.release();
            return `${model.device}: ${model.deviceReason}`;
          },
          (error: Error) => `${error.name}: ${error.message}`,
        ),
      [options, workerAfter(script)] as const,
    );
  }

  /** Address of a worker that runs the script first. */
  function workerAfter(script: string): string {
    const name = `/after-${site.files.size}.js`;
    site.files.set(`${name}.first.js`, script);
    site.files.set(name, `import "${name}.first.js"; import "/groupvit-worker.js";`);
    return name;
  }

  const oneThread =
    "with one thread, because the page is not cross-origin isolated (headers COOP and COEP).";
  // Not a fallback: as a graphics card would present itself.
  const asCard = `
    const request = navigator.gpu.requestAdapter.bind(navigator.gpu);
    Object.getPrototypeOf(navigator.gpu).requestAdapter = async (options) => {
      const adapter = await request(options);
      Object.defineProperty(adapter, "info", { value: { isFallbackAdapter: false } });
      return adapter;
    };`;
  // A driver that compiles one function of the shaders wrongly: every norm is a tenth too large.
  const wrongNorms = `
    const create = GPUDevice.prototype.createShaderModule;
    GPUDevice.prototype.createShaderModule = function (options) {
      const code = options.code.replaceAll("inverseSqrt(", "1.1 * inverseSqrt(");
      return create.call(this, { ...options, code });
    };`;

  it(
    "takes a graphics card whose self-test passes, and computes on it what Node computes",
    async () => {
      const inPage = await page.evaluate(
        async ([{ data, ...size }, workerUrl]) => {
          const model = await globalThis.groupvit.GroupViT.load("/words/", { workerUrl });
          const given = { ...size, data: Uint8Array.from(data) };
          const encoded = await model.encode(given, { shortSide: 64 });
          const ranked = await encoded.classify("dog, tree, sky");
          const { map } = await encoded.segment("dog, tree, sky");
          await model.release();
          return { device: model.device, reason: model.deviceReason, ranked, map: Array.from(map) };
        },
        [{ ...picture, data: Array.from(picture.data) }, workerAfter(asCard)] as const,
      );
      expect(inPage.device).toBe("webgpu");
      expect(inPage.reason).toMatch(/^WebGPU: its self-test agrees within \d\.\de-\d\.$/);
      const node = await GroupViT.load(Object.fromEntries(words));
      const encoded = await node.encode(picture, { shortSide: 64 });
      const ranked = await encoded.classify("dog, tree, sky");
      for (const [i, { label, score }] of ranked.entries()) {
        expect(inPage.ranked[i]!.label).toBe(label);
        expect(Math.abs(inPage.ranked[i]!.score - score)).toBeLessThan(1e-4);
      }
      const { map } = await encoded.segment("dog, tree, sky");
      const other = map.filter((value, i) => value !== inPage.map[i]).length;
      expect(other / map.length).toBeLessThan(0.001); // borders, where two scores are equal
      await node.release();
    },
    TIME,
  );

  it(
    "trusts no WebGPU that computes wrong numbers",
    async () => {
      const said = await load({}, asCard + wrongNorms);
      expect(said).toContain(`at most 0.001 is right) ${oneThread}`);
      const off = /^wasm: WebAssembly \(WebGPU failed its self-test: off by (\d\.\de-\d), /.exec(
        said,
      );
      expect(Number(off?.[1])).toBeGreaterThan(0.1);
    },
    TIME,
  );

  it(
    "computes with WebAssembly where WebGPU is in software, absent or not for int8",
    async () => {
      expect(await load({})).toBe(
        `wasm: WebAssembly (WebGPU would compute in software) ${oneThread}`,
      );
      expect(await load({ dtype: "int8" }, asCard)).toBe(
        `wasm: WebAssembly (int8 is for processors, not for WebGPU) ${oneThread}`,
      );
      const none = "Object.getPrototypeOf(navigator.gpu).requestAdapter = async () => null;";
      expect(await load({}, none)).toBe(
        `wasm: WebAssembly (WebGPU finds no graphics adapter) ${oneThread}`,
      );
      const absent = "delete Object.getPrototypeOf(navigator).gpu;";
      expect(await load({}, absent)).toBe(
        `wasm: WebAssembly (this browser has no WebGPU) ${oneThread}`,
      );
      expect(await load({ device: "webgpu" }, absent)).toBe(
        'InputError: device "webgpu": this browser has no WebGPU; use device "auto" or "wasm"',
      );
    },
    TIME,
  );
});
