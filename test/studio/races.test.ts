// The studio while it works: whatever is done meanwhile, what was wanted last is what is shown, without an error.

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  atRest,
  exported,
  type File,
  open,
  openPicture,
  openWithModel,
  partingModel,
  type Studio,
  shows,
  startStudio,
} from "./page.js";

const sample = readFileSync(
  fileURLToPath(new URL("../../studio/public/samples/cottage.jpg", import.meta.url)),
);

/** A worker whose calls take that long each, one after the other, as on a slow machine. */
function slow(milliseconds: Readonly<Record<string, number>>): string {
  return `{
    const took = ${JSON.stringify(milliseconds)};
    let before = Promise.resolve();
    Object.defineProperty(self, "onmessage", { set(answer) {
      self.addEventListener("message", (event) => {
        before = before
          .then(() => new Promise((done) => setTimeout(done, took[event.data.call] ?? 0)))
          .then(() => answer(event));
      });
    } });
  }`;
}

describe("the studio, while it works,", () => {
  let studio: Studio;
  let model: File[];

  beforeAll(async () => {
    model = await partingModel();
    studio = await startStudio();
  }, 600_000);

  afterAll(() => studio?.close());

  const alerts = (page: Page) => page.getByRole("alert").allTextContents();
  const give = async (page: Page) => {
    await page.getByRole("button", { name: "Model…" }).click();
    await page.getByLabel("Files…").setInputFiles(model);
  };
  const encoding = (page: Page) =>
    page.locator("footer [role=status]", { hasText: "Encoding" }).waitFor({ state: "attached" });

  it("takes another model while the one before encodes, and keeps the picture", async () => {
    const page = await open(studio, { worker: slow({ encode: 4000 }) });
    await atRest(page);
    await openPicture(page, "mine.jpg", sample);
    await encoding(page);
    await give(page);
    await page.locator("footer", { hasText: "your files" }).waitFor();
    await page.waitForTimeout(300);
    expect(await alerts(page)).toEqual([]);
    await shows(page, "mine.jpg");
    // The mask that is saved is the new model's.
    const own = (await exported(page, "Mask PNG")).bytes;
    await page.close();
    const other = await openWithModel(studio, model);
    await openPicture(other, "mine.jpg", sample);
    await shows(other, "mine.jpg");
    expect(own.equals((await exported(other, "Mask PNG")).bytes)).toBe(true);
    await other.close();
  }, 300_000);

  it("goes on with the camera when another model comes", async () => {
    const page = await open(studio, { worker: slow({ encode: 300 }) });
    await atRest(page);
    await page.getByRole("button", { name: "Camera" }).click();
    await page.locator("footer", { hasText: "pictures a second" }).waitFor();
    await give(page);
    await page.locator("footer", { hasText: "your files" }).waitFor();
    await page.waitForTimeout(1500);
    expect(await alerts(page)).toEqual([]);
    await page.getByRole("button", { name: "Stop camera" }).waitFor();
    await page.close();
  }, 300_000);

  it("shows the picture that was dropped last, also where the one before takes longer", async () => {
    const page = await openWithModel(studio, model, {
      painter: `{
        const decode = createImageBitmap;
        globalThis.createImageBitmap = async (source, ...rest) => {
          if (source.name === "slow.jpg") await new Promise((done) => setTimeout(done, 2000));
          return decode(source, ...rest);
        };
      }`,
    });
    await openPicture(page, "slow.jpg", sample);
    await openPicture(page, "fast.jpg", sample);
    await shows(page, "fast.jpg");
    await page.waitForTimeout(3000);
    await shows(page, "fast.jpg");
    expect(await alerts(page)).toEqual([]);
    await page.close();
  }, 300_000);

  it("does not put a sample that arrives late in the place of a picture", async () => {
    const page = await openWithModel(studio, model);
    let goOn = () => {};
    const held = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    await page.route("**/samples/harbour.jpg", async (route) => {
      await held;
      await route.continue();
    });
    await page.getByRole("button", { name: "Harbour" }).click();
    await openPicture(page, "mine.jpg", sample);
    await shows(page, "mine.jpg");
    const arrived = page.waitForResponse("**/samples/harbour.jpg");
    goOn();
    await arrived;
    await page.waitForTimeout(1000);
    await shows(page, "mine.jpg");
    await page.close();
  }, 300_000);

  it("labels two vocabularies while another picture comes", async () => {
    const page = await open(studio, {
      hash: "#words=tree,sky&other=house,sun&compare=true",
      worker: slow({ ask: 400 }),
    });
    await atRest(page);
    await page.locator("#words-a").fill("tree, roof");
    await openPicture(page, "mine.jpg", sample);
    await shows(page, "mine.jpg");
    await page.locator(".chip", { hasText: "sun" }).waitFor();
    expect(await alerts(page)).toEqual([]);
    await page.close();
  }, 300_000);

  it("shows groups that are asked for while windows give way to the whole picture", async () => {
    const page = await open(studio, {
      hash: "#words=tree,sky&mode=slide",
      worker: slow({ encode: 1500 }),
    });
    await atRest(page);
    await page.getByText("More options", { exact: true }).click();
    await page.getByLabel("Look at the picture").selectOption("whole");
    await page.getByRole("radio", { name: "First groups" }).check();
    await page.locator(".merges button").first().waitFor();
    expect(await alerts(page)).toEqual([]);
    await page.close();
  }, 300_000);

  it("leaves many prompts unread when other words are typed", async () => {
    const words = Array.from({ length: 900 }, (_, i) => `w${i}`).join();
    const page = await open(studio, { hash: `#words=${words}&prompts=full` });
    await page.locator("footer", { hasText: "encoded in" }).waitFor();
    await page.locator("footer", { hasText: "reading the words" }).waitFor();
    const start = performance.now();
    await page.locator("#words-a").fill("tree, sky");
    await page.locator(".chip", { hasText: "tree" }).waitFor();
    expect(performance.now() - start).toBeLessThan(8000);
    expect(await alerts(page)).toEqual([]);
    await page.close();
  }, 300_000);
});
