// What the studio saves: the same bytes as the command line, and files that other programs read.

import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { groupvit } from "../support/cli.js";
import {
  exported,
  openPicture,
  openWithModel,
  partingModel,
  type Studio,
  shows,
  startStudio,
} from "./page.js";

const sample = fileURLToPath(new URL("../../studio/public/samples/cottage.jpg", import.meta.url));

describe("the studio's exports", () => {
  let studio: Studio;
  beforeAll(async () => {
    studio = await startStudio();
  }, 600_000);
  afterAll(() => studio?.close());

  it("exports the command line's mask byte for byte, and overlay, numbers and paths", async () => {
    const model = await partingModel();
    const folder = mkdtempSync(join(tmpdir(), "groupvit-studio-cli-"));
    const words = "tree, house, sky, grass";
    const picture = await sharp(sample).png().toBuffer();
    writeFileSync(join(folder, "cottage.png"), picture);
    mkdirSync(join(folder, "model"));
    for (const { name, buffer } of model) writeFileSync(join(folder, "model", name), buffer);
    const page = await openWithModel(studio, model);
    await openPicture(page, "cottage.png", picture);
    await shows(page, "cottage.png");
    for (const [options, prepare] of [
      [[], async () => {}],
      [
        ["--background", "threshold", "--threshold", "0.3"],
        async () => {
          await page.getByRole("radio", { name: "Low scores" }).check();
          await page.getByLabel("Threshold").fill("0.3");
        },
      ],
    ] as const) {
      const args = ["segment", "cottage.png", "--model", "model", "--labels", words];
      const ended = await groupvit([...args, ...options, "--save", "mask"], { cwd: folder });
      expect(ended.stderr).toBe("");
      await page.locator("#words-a").fill(words);
      await prepare();
      const mask = await exported(page, "Mask PNG");
      expect(mask.name).toBe("cottage.mask.png");
      const expected = readFileSync(join(folder, "groupvit-out/cottage.mask.png"));
      expect(new Set(await sharp(expected).removeAlpha().raw().toBuffer()).size).toBeGreaterThan(3);
      expect(mask.bytes.equals(expected)).toBe(true);
    }
    const overlay = await sharp((await exported(page, "Overlay PNG")).bytes).metadata();
    expect([overlay.width, overlay.height]).toEqual([640, 480]);
    const report = JSON.parse((await exported(page, "JSON")).bytes.toString());
    expect(report).toMatchObject({ file: "cottage.png", width: 640, height: 480 });
    expect(report.labels.map(({ label }: { label: string }) => label).sort()).toEqual(
      words.split(", ").sort(),
    );
    const svg = (await exported(page, "SVG")).bytes.toString();
    expect(svg).toMatch(/^<svg .*viewBox="0 0 640 480"/);
    expect(svg).toMatch(/<title>\w+<\/title>/);
    await page.close();
  }, 300_000);
});
