// Decoding in a real browser against decoding in Node.

import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import type { Browser, Page } from "playwright-core";
import sharp, { type Sharp } from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { launchChromium } from "../../test/support/chromium.js";
import { Random } from "../random.js";
import { decodePicture } from "./decode.node.js";
import type { DecodeOptions } from "./limits.js";
import type { Picture } from "./picture.js";

function noise(width: number, height: number, channels: number): Uint8Array {
  const random = new Random(width * height);
  return Uint8Array.from({ length: width * height * channels }, () => random.integer(256));
}

/** A smooth picture, on which coders of different origin agree. */
function smooth(width: number, height: number): Sharp {
  const data = new Uint8Array(width * height * 3);
  for (let i = 0; i < width * height; i++) {
    data.set([100 + (i % width), 60 + 2 * Math.floor(i / width), 200 - (i % width)], i * 3);
  }
  return sharp(data, { raw: { width, height, channels: 3 } });
}

describe("decoding in the browser", () => {
  const files = new Map<string, Uint8Array>();
  let server: Server;
  let browser: Browser;
  let page: Page;

  beforeAll(async () => {
    const bundle = await build({
      entryPoints: [fileURLToPath(new URL("decode.browser.ts", import.meta.url))],
      bundle: true,
      write: false,
      format: "iife",
      globalName: "groupvit",
      platform: "browser",
    });
    files.set("/", Buffer.from('<!doctype html><base href="/files/">'));
    server = createServer((request, response) => {
      const file = files.get(request.url!);
      if (file) response.writeHead(200, { "content-type": "text/html" }).end(file);
      else response.writeHead(404).end();
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    browser = await launchChromium();
    page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
    await page.addScriptTag({ content: bundle.outputFiles[0]!.text });
  }, 60_000);

  afterAll(async () => {
    await browser?.close();
    server?.close();
  });

  /** Decodes in the page: bytes as such, strings as addresses. An error comes back as "name: message". */
  async function inBrowser(
    source: Uint8Array | string,
    options: DecodeOptions = {},
  ): Promise<Picture | string> {
    const sent =
      typeof source === "string" ? source : { base64: Buffer.from(source).toString("base64") };
    const result = await page.evaluate(
      async ([given, limits]) => {
        const { decodePicture: decode } = (
          globalThis as unknown as { groupvit: { decodePicture: typeof decodePicture } }
        ).groupvit;
        try {
          const picture = await decode(
            typeof given === "string"
              ? given
              : Uint8Array.from(atob(given.base64), (c) => c.charCodeAt(0)),
            limits,
          );
          let text = "";
          for (const byte of picture.data) text += String.fromCharCode(byte);
          return { width: picture.width, height: picture.height, base64: btoa(text) };
        } catch (error) {
          return String(error);
        }
      },
      [sent, options] as const,
    );
    if (typeof result === "string") return result;
    const { width, height, base64 } = result;
    return { width, height, data: new Uint8Array(Buffer.from(base64, "base64")) };
  }

  async function expectLikeNode(
    bytes: Uint8Array,
    tolerance: number,
    options?: DecodeOptions,
  ): Promise<void> {
    const node = await decodePicture(bytes, options);
    const seen = await inBrowser(bytes, options);
    if (typeof seen === "string") throw new Error(seen);
    expect([seen.width, seen.height]).toEqual([node.width, node.height]);
    let worst = 0;
    node.data.forEach((value, i) => {
      worst = Math.max(worst, Math.abs(value - seen.data[i]!));
    });
    expect(worst).toBeLessThanOrEqual(tolerance);
  }

  it.each([
    ["PNG", 0, (image: Sharp) => image.png()],
    ["lossless WebP", 0, (image: Sharp) => image.webp({ lossless: true })],
    ["GIF", 0, (image: Sharp) => image.gif()],
    ["JPEG", 1, (image: Sharp) => image.jpeg({ chromaSubsampling: "4:4:4" })],
    ["WebP", 1, (image: Sharp) => image.webp()],
    ["AVIF", 2, (image: Sharp) => image.avif()],
    ["grey PNG", 0, (image: Sharp) => image.toColourspace("b-w").png()],
    ["16-bit PNG", 0, (image: Sharp) => image.toColourspace("rgb16").png()],
    ["Display P3 PNG", 2, (image: Sharp) => image.withIccProfile("p3").png()],
  ] as const)("a %s is Node's picture within %i", async (_, tolerance, encode) => {
    await expectLikeNode(await encode(smooth(48, 32)).toBuffer(), tolerance);
  });

  it.each([1, 2, 3, 4, 5, 6, 7, 8])("orientation %i is turned upright", async (orientation) => {
    const jpeg = smooth(48, 32).jpeg({ chromaSubsampling: "4:4:4" }).withMetadata({ orientation });
    await expectLikeNode(await jpeg.toBuffer(), 1);
  });

  it("blends alpha with white, and with the given background", async () => {
    const raw = { width: 40, height: 30, channels: 4 as const };
    const png = await sharp(noise(40, 30, 4), { raw })
      .png()
      .toBuffer();
    await expectLikeNode(png, 2);
    await expectLikeNode(png, 2, { background: [10, 200, 90] });
  });

  it("reads relative addresses and data URLs", async () => {
    const png = await smooth(5, 4).png().toBuffer();
    files.set("/files/a.png", png);
    for (const address of ["a.png", `data:image/png;base64,${png.toString("base64")}`]) {
      expect(await inBrowser(address)).toMatchObject({ width: 5, height: 4 });
    }
    expect(await inBrowser("b.png")).toMatch(
      /^PictureError: .*b\.png: the server answered HTTP 404/,
    );
  });

  it("refuses what Node refuses, and TIFF", async () => {
    const png = await smooth(50, 40).png().toBuffer();
    const tiff = await smooth(50, 40).tiff().toBuffer();
    expect(await inBrowser(png, { maxPixels: 1999 })).toMatch(/50 x 40 are 2000 pixels, more than/);
    expect(await inBrowser(png, { maxBytes: 99 })).toMatch(/larger than the limit of 99 bytes/);
    expect(await inBrowser(tiff)).toMatch(/browsers do not decode TIFF/);
    expect(await inBrowser(Buffer.from("<svg/>"))).toMatch(/SVG is not supported/);
    expect(await inBrowser(new Uint8Array(0))).toMatch(/bytes: empty/);
  });

  it.each(["jpeg", "png", "webp", "gif", "avif"] as const)(
    "refuses a %s cut short",
    async (format) => {
      const bytes = await smooth(200, 90).toFormat(format).toBuffer();
      for (const part of [0.3, 0.6, 0.9]) {
        const answer = await inBrowser(bytes.subarray(0, Math.floor(bytes.length * part)));
        expect(answer).toMatch(/^PictureError: bytes: damaged or cut short/);
      }
    },
  );
});
