// The studio's service worker: the page opens without a network, and is never an old one after an update.

import {
  cpSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { serveStudio } from "../../src/cli/commands/studio.js";
import { writeServiceWorker } from "../../studio/write-service-worker.js";
import { atRest, startStudio } from "./page.js";

const CLAIM = "Name what is in a picture, and see where it is.";
const NEWER = "A newer studio.";

/** A studio with another text, under other names, as a new build has it. */
function updated(folder: string): string {
  const copy = mkdtempSync(join(tmpdir(), "groupvit-studio-new-"));
  cpSync(folder, copy, { recursive: true });
  const assets = join(copy, "assets");
  const script = readdirSync(assets).find((name) => /^index-.*\.js$/.test(name))!;
  const text = readFileSync(join(assets, script), "utf8");
  expect(text).toContain(CLAIM);
  writeFileSync(join(assets, script), text.replace(CLAIM, NEWER));
  renameSync(join(assets, script), join(assets, "index-newer.js"));
  const page = readFileSync(join(copy, "index.html"), "utf8");
  writeFileSync(join(copy, "index.html"), page.replace(script, "index-newer.js"));
  writeServiceWorker(copy);
  return copy;
}

it("opens and segments without a network, and is the new one after an update", async () => {
  const studio = await startStudio();
  const newer = updated(studio.folder);
  const context = await studio.browser.newContext();
  context.setDefaultTimeout(120_000);
  let page = await context.newPage();
  const caches = () =>
    page.evaluate(async () =>
      (await globalThis.caches.keys()).filter((name) => name.startsWith("groupvit-studio")),
    );
  await page.goto(studio.address);
  await atRest(page);
  await page.evaluate(() => navigator.serviceWorker.ready.then(() => {}));
  const first = await caches();
  expect(first).toHaveLength(1);

  await studio.stop();
  await expect(fetch(studio.address)).rejects.toThrow();
  await page.reload();
  await atRest(page);
  expect(await page.evaluate(() => globalThis.crossOriginIsolated)).toBe(true);
  await page.locator("#words-a").fill("cloud, path");
  await page.locator(".chip", { hasText: "path" }).waitFor();
  await page.getByRole("button", { name: "Street" }).click();
  await page.locator('[aria-label^="Picture street.jpg"]').waitFor();
  expect(await page.getByText(CLAIM).count()).toBe(1);

  const { server } = await serveStudio(Number(new URL(studio.address).port), newer);
  await page.reload();
  await page.getByText(NEWER).waitFor();
  await expect.poll(caches, { timeout: 120_000 }).toHaveLength(2);
  await page.evaluate(() =>
    navigator.serviceWorker.getRegistration().then(async (registration) => {
      while (!registration?.waiting) await new Promise((resolve) => setTimeout(resolve, 50));
    }),
  );
  // A page that opens before the last one is quite gone still has the old version, which then stays.
  let left: string[] = [];
  for (let tries = 0; tries < 10 && left.length !== 1; tries++) {
    await page.close();
    page = await context.newPage();
    await page.goto(studio.address);
    await page.getByText(NEWER).waitFor();
    for (let looks = 0; looks < 50 && left.length !== 1; looks++) {
      await page.waitForTimeout(200);
      left = await caches();
    }
  }
  expect(left).toHaveLength(1);
  expect(await caches()).not.toEqual(first);
  await atRest(page);
  await server.close();
  await page.reload();
  await atRest(page);
  expect(await page.getByText(NEWER).count()).toBe(1);
  await studio.browser.close();
  await studio.close();
  rmSync(newer, { recursive: true });
}, 600_000);
