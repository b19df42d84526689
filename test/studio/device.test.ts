// Where the studio computes, and that it says so: on WebGPU that passes its self-test but not on one in
// software, else on WebAssembly, with threads on isolated pages and without elsewhere.

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { SOFTWARE_WEBGPU } from "../support/chromium.js";
import { announced, openWithModel, partingModel, type Studio, startStudio } from "./page.js";

/** SwiftShader's adapter, as a graphics card would present itself. */
const AS_CARD = `
  const request = navigator.gpu.requestAdapter.bind(navigator.gpu);
  Object.getPrototypeOf(navigator.gpu).requestAdapter = async (options) => {
    const adapter = await request(options);
    Object.defineProperty(adapter, "info", { value: { isFallbackAdapter: false } });
    return adapter;
  };`;
/** As on a machine with four processors, of which the engine takes half. */
const FOUR = `Object.defineProperty(navigator, "hardwareConcurrency", { value: 4 });`;
const SOFTWARE = "WebAssembly (WebGPU would compute in software)";

describe("the studio computes", () => {
  let studio: Studio;
  beforeAll(async () => {
    studio = await startStudio(SOFTWARE_WEBGPU);
  }, 600_000);
  afterAll(() => studio?.close());

  it.each([
    ["with threads, not on WebGPU in software", { worker: FOUR }, `${SOFTWARE} with 2 threads`],
    [
      "without threads where a host sends no headers for them",
      { worker: FOUR, isolated: false },
      `${SOFTWARE} with one thread, because the page is not cross-origin isolated`,
    ],
    ["on a graphics card", { worker: AS_CARD }, "WebGPU: its self-test agrees within"],
  ])(
    "%s",
    async (_, options, reason) => {
      const page = await openWithModel(studio, await partingModel(), options);
      expect(await page.locator("footer .device").textContent()).toContain(reason);
      await page.locator("#words-a").fill("forest, lake");
      await page.locator(".chip", { hasText: "lake" }).waitFor();
      expect(await announced(page)).toMatch(/(forest|lake) \d+ percent/);
      expect(await page.getByRole("alert").count()).toBe(0);
      await page.close();
    },
    600_000,
  );
});
