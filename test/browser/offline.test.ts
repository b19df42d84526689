// No request leaves the page's own origin, and a page that keeps its own files works without a network.

import { readFileSync } from "node:fs";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, it } from "vitest";
import { launchChromium, SOFTWARE_WEBGPU } from "../support/chromium.js";
import { type Site, startSite } from "./site.js";

const TIME = 600_000;
const sample = readFileSync(new URL("../../examples/sample.jpg", import.meta.url));

/** A page's service worker: keeps pages, scripts and the engine; models are the package's own affair. */
const KEEPER = `
  self.onactivate = (event) => event.waitUntil(self.clients.claim());
  self.onfetch = (event) => {
    const { origin, pathname } = new URL(event.request.url);
    if (origin !== location.origin || pathname.startsWith("/models/")) return;
    event.respondWith(caches.open("page").then(async (cache) => {
      const kept = await cache.match(event.request);
      if (kept) return kept;
      const response = await fetch(event.request);
      await cache.put(event.request, response.clone());
      return response;
    }));
  };`;

let site: Site;
let browser: Browser;

beforeAll(async () => {
  site = await startSite();
  site.files.set("/keeper.js", KEEPER);
  // Blocked by Chromium itself: a route of the test would take the browser's own cache away, too.
  const block = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1";
  browser = await launchChromium([...SOFTWARE_WEBGPU, block]);
}, TIME);

afterAll(async () => {
  await browser?.close();
  await site?.close();
});

it(
  "asks no other origin for anything, and works with the network blocked and the server gone",
  async () => {
    const page = await site.open(browser, { isolated: true });
    const elsewhere: string[] = [];
    page.context().on("request", (request) => {
      const url = request.url();
      if (url.startsWith("http") && !url.startsWith(site.origin)) elsewhere.push(url);
    });
    const work = async () => {
      await page.reload();
      await page.evaluate('import("/groupvit.js").then((m) => { globalThis.groupvit = m; })');
      return page.evaluate(
        async (address) => {
          const model = await globalThis.groupvit.GroupViT.load(undefined, { threads: 2 });
          const picture = await model.encode(address);
          const { map } = await picture.segment("tree, sun", { background: "threshold" });
          await picture.classify("tree, sun");
          await picture.explain("tree, sun");
          await picture.groups();
          await model.release();
          return `${map.length} pixels, ${model.threads} threads`;
        },
        `data:image/jpeg;base64,${sample.toString("base64")}`,
      );
    };
    await page.evaluate(async () => {
      await navigator.serviceWorker.register("/keeper.js");
      await navigator.serviceWorker.ready;
    });
    expect(await work()).toBe("307200 pixels, 2 threads");
    // The compiled engine is handed to its threads: they do not ask for it again.
    const engine = site.requests.filter((line) => line.endsWith(".wasm"));
    expect(engine).toEqual(["GET /ort-wasm-simd-threaded.wasm"]);
    await site.stop();
    const before = site.requests.length;
    expect(await work()).toBe("307200 pixels, 2 threads");
    expect(site.requests).toHaveLength(before);
    expect(elsewhere).toEqual([]);
    // The block is one: what goes elsewhere is seen.
    const hub = page.evaluate(() => globalThis.groupvit.GroupViT.load("some/model").catch(String));
    expect(await hub).toMatch(/^HubError: .*cannot be reached/);
    expect(elsewhere).toEqual(["https://huggingface.co/api/models/some/model/revision/main"]);
    await page.close();
  },
  TIME,
);
