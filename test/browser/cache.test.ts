// Weights are downloaded once: kept in Cache Storage, checked when they are read, fetched anew when the
// server's file is another or the stored one is damaged.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, expect, it } from "vitest";
import { launchChromium } from "../support/chromium.js";
import { type Site, startSite } from "./site.js";

const TIME = 600_000;
const WEIGHTS = "/models/scenes/model.safetensors";

let site: Site;
let browser: Browser;
let page: Page;

beforeAll(async () => {
  site = await startSite();
  browser = await launchChromium();
  page = await site.open(browser);
}, TIME);

afterAll(async () => {
  await browser?.close();
  await site?.close();
});

/** Loads the bundled model; gives what it asked the server for, its warnings, and how it ended. */
async function load(options: { cache?: boolean; workerUrl?: string } = {}) {
  const before = site.requests.length;
  const result = await page.evaluate(async (given) => {
    const warnings: string[] = [];
    const progress: number[][] = [];
    const ended = await globalThis.groupvit.GroupViT.load(undefined, {
      ...given,
      device: "wasm",
      onWarning: (message) => warnings.push(message),
      onProgress: ({ loaded, total }) => progress.push([loaded, total]),
    }).then(
      async (model) => {
        await model.release();
        return "loaded";
      },
      (error: Error) => `${error.name}: ${error.message}`,
    );
    const names = await caches.has("groupvit-models");
    const cache = names ? await caches.open("groupvit-models") : undefined;
    const kept = ((await cache?.keys()) ?? []).map(({ url }) => new URL(url).pathname);
    return { ended, warnings, last: progress.at(-1), kept: kept.sort() };
  }, options);
  const asked = site.requests.slice(before).filter((line) => line.includes("/models/"));
  return { ...result, asked: asked.sort() };
}

const texts = ["GET /models/scenes/config.json", "GET /models/scenes/preprocessor_config.json"];

it(
  "keeps nothing where the caller says so",
  async () => {
    const first = await load({ cache: false });
    expect(first).toMatchObject({ ended: "loaded", warnings: [], kept: [] });
    expect(first.asked).toEqual([...texts.slice(0, 1), `GET ${WEIGHTS}`, texts[1]]);
  },
  TIME,
);

it(
  "does not stop the load where there is no room",
  async () => {
    site.files.set(
      "/full.js",
      'Cache.prototype.put = async () => { throw new DOMException("full", "QuotaExceededError"); };',
    );
    site.files.set("/full-worker.js", 'import "/full.js"; import "/groupvit-worker.js";');
    const full = await load({ workerUrl: "/full-worker.js" });
    expect(full).toMatchObject({ ended: "loaded", kept: [] });
    expect(full.warnings).toContainEqual(
      "model.safetensors: the browser has no room to keep it (full); it will be downloaded again at the " +
        "next visit",
    );
  },
  TIME,
);

it(
  "downloads once, asks only whether the weights are the same, and reports all bytes",
  async () => {
    const first = await load();
    expect(first).toMatchObject({ ended: "loaded", warnings: [] });
    expect(first.kept).toContain(WEIGHTS);
    const second = await load();
    expect(second).toMatchObject({ ended: "loaded", warnings: [] });
    expect(second.asked).toEqual([...texts, `HEAD ${WEIGHTS}`]);
    expect(second.last).toEqual(first.last);
    expect(second.last![0]).toBe(second.last![1]);
  },
  TIME,
);

it(
  "fetches a damaged copy again, and says so",
  async () => {
    await page.evaluate(async (path) => {
      const cache = await caches.open("groupvit-models");
      const found = (await cache.match(path))!;
      const bytes = new Uint8Array(await found.arrayBuffer());
      bytes[bytes.length - 9]! ^= 1; // one bit of a weight
      await cache.put(path, new Response(bytes, { headers: found.headers }));
    }, WEIGHTS);
    const damaged = await load();
    expect(damaged.ended).toBe("loaded");
    expect(damaged.warnings).toEqual([
      "model.safetensors: the stored copy was damaged and is fetched again",
    ]);
    expect(damaged.asked).toContain(`GET ${WEIGHTS}`);
    expect(await load()).toMatchObject({ ended: "loaded", warnings: [] });
  },
  TIME,
);

it(
  "fetches weights that have changed on the server, and keeps no broken ones",
  async () => {
    const whole = readFileSync(join(site.folder, WEIGHTS));
    site.files.set(WEIGHTS, whole.subarray(0, whole.length - 8));
    const broken = await load();
    expect(broken.ended).toMatch(/^CheckpointError: model\.safetensors: /);
    expect(broken.asked).toContain(`GET ${WEIGHTS}`);
    expect(broken.kept).not.toContain(WEIGHTS);
    site.files.delete(WEIGHTS);
    const mended = await load();
    expect(mended.ended).toBe("loaded");
    expect(mended.asked).toContain(`GET ${WEIGHTS}`);
  },
  TIME,
);

it(
  "of a Hub model keeps the newest commit alone, and asks for its files once",
  async () => {
    const asked: string[] = [];
    let commit = "a".repeat(40);
    await page.route("https://huggingface.co/**", (route) => {
      const { pathname } = new URL(route.request().url());
      asked.push(pathname);
      const headers = { "access-control-allow-origin": "*" };
      if (pathname.startsWith("/api/")) {
        const siblings = ["config.json", "model.safetensors"].map((rfilename) => ({ rfilename }));
        return route.fulfill({ headers, json: { sha: commit, siblings } });
      }
      const name = pathname.split("/").pop()!;
      const folder = join(site.folder, "models/scenes");
      return route.fulfill({ headers, body: readFileSync(join(folder, name)) });
    });
    const hub = () =>
      page.evaluate(async () => {
        const model = await globalThis.groupvit.GroupViT.load("some/scenes", { device: "wasm" });
        await model.release();
        const keys = await (await caches.open("groupvit-models")).keys();
        return [model.name, ...keys.map(({ url }) => url).filter((url) => /resolve/.test(url))];
      });
    const files = (at: string) =>
      ["config.json", "model.safetensors"].map((name) => `/some/scenes/resolve/${at}/${name}`);
    const url = (path: string) => `https://huggingface.co${path}`;
    const [name, ...kept] = await hub();
    expect(name).toBe("some/scenes");
    expect(kept.sort()).toEqual(files(commit).map(url));
    expect(asked.splice(0)).toEqual(["/api/models/some/scenes/revision/main", ...files(commit)]);
    await hub();
    expect(asked.splice(0)).toEqual(["/api/models/some/scenes/revision/main"]);
    commit = "b".repeat(40);
    const [, ...newer] = await hub();
    expect(newer.sort()).toEqual(files(commit).map(url));
    // Without a network, what the revision last stood for.
    await page.unroute("https://huggingface.co/**");
    await page.route("https://huggingface.co/**", (route) => route.abort());
    expect((await hub())[0]).toBe("some/scenes");
    await page.unroute("https://huggingface.co/**");
  },
  TIME,
);
