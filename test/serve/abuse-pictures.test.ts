// Pictures that were made to hurt: each is refused in words, the server lives on, and its memory is bounded.

import { readFile } from "node:fs/promises";
import { gzipSync } from "node:zlib";
import sharp from "sharp";
import { afterEach, beforeAll, expect, test } from "vitest";
import { answerOf, expectRefusal, GoodRequests } from "./support/abuse.js";
import * as hostile from "./support/hostile-pictures.js";
import { type Serving, serve } from "./support/process.js";
import { chunk, request, sendRaw } from "./support/raw.js";
import { SAMPLE } from "./support/server.js";

/** MB that the server and its one engine may take at most, whatever they are sent. */
const MEMORY_BOUND = 1200;

let server: Serving;
let good: GoodRequests;
let sample: Buffer;

beforeAll(async () => {
  server = await serve();
  good = new GoodRequests(server.url);
  await good.check();
  sample = await readFile(SAMPLE);
}, 240_000);

afterEach(async () => {
  await good.check();
  expect(server.engines(), "no engine had to be replaced").toHaveLength(1);
  expect(server.peak()).toBeLessThan(MEMORY_BOUND);
});

async function send(bytes: Uint8Array, headers: Record<string, string> = {}) {
  const response = await fetch(`${server.url}/v1/segment?labels=dog,sky&short_side=64`, {
    method: "POST",
    headers: { "content-type": "image/png", ...headers },
    body: new Uint8Array(bytes),
  });
  return answerOf(response);
}

const BOMBS: Record<string, () => Buffer> = {
  "PNG of 30,000 x 30,000": () => hostile.png(30_000, 30_000, 1 << 20),
  "PNG of 4,294,967,295 x 1": () => hostile.png(2 ** 32 - 1, 1, 1 << 10),
  "PNG of 20,000 x 1,900 with few of its pixels": () => hostile.png(20_000, 1900, 1 << 16),
  "JPEG of 65,535 x 65,535": () => hostile.jpegHeader(65_535, 65_535),
  "GIF of 65,535 x 65,535": () => hostile.gif(65_535, 65_535),
  "WebP canvas of 16,777,216 x 16,777,216": () => hostile.webp("VP8X", 2 ** 24, 2 ** 24),
  "lossless WebP of 16,384 x 16,384": () => hostile.webp("VP8L", 16_384, 16_384),
  "TIFF of 100,000 x 100,000": () => hostile.tiff(100_000, 100_000),
};

test.each(Object.keys(BOMBS))("%s", async (name) => {
  expectRefusal(await send(BOMBS[name]!()));
});

test.each(["zTXt", "iTXt", "iCCP"] as const)(
  "a PNG whose %s chunk unpacks to 200 MB takes no such memory",
  async (kind) => {
    const before = server.peak();
    const answer = await send(hostile.pngWithBomb(kind, 200_000_000));
    // The pixels are fine: to ignore the chunk is as good as to refuse it.
    if (answer.status !== 200) expectRefusal(answer);
    expect(server.peak() - before).toBeLessThan(150);
  },
);

test("a PNG with more pixel data than its size needs takes no more memory", async () => {
  const before = server.peak();
  const answer = await send(hostile.png(8, 8, 500_000_000));
  if (answer.status !== 200) expectRefusal(answer);
  expect(server.peak() - before).toBeLessThan(150);
});

test("gzip is not unpacked: it is refused by name", async () => {
  const bomb = gzipSync(Buffer.alloc(50_000_000));
  const picture = await send(bomb, { "content-encoding": "gzip" });
  expect(picture.status).toBe(415);
  expect(expectRefusal(picture)).toMatch(/gzip|encoding/i);
  const json = await send(gzipSync('{"labels": "dog"}'), {
    "content-type": "application/json",
    "content-encoding": "gzip",
  });
  expect(json.status).toBe(415);
  expect(expectRefusal(json)).toMatch(/gzip|encoding/i);
});

const NO_PICTURES: Record<string, string | Buffer> = {
  "an HTML page": "<!doctype html><script>alert(1)</script>",
  "an HTML page behind spaces": `${" ".repeat(500)}<html><body onload=alert(1)>`,
  "an SVG with a script": "<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
  "an SVG with an external entity":
    '<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg>&x;</svg>',
  "an SVG with a picture from a file":
    '<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
  "entities that multiply":
    '<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;">]><l>&b;</l>',
  "a PDF": "%PDF-1.7\n1 0 obj<</Type/Catalog>>endobj",
  "a ZIP": hostile.zip("a.txt", "hello"),
  PostScript: "%!PS-Adobe-3.0\n(/etc/passwd) run",
  "an ImageMagick script": 'push graphic-context\nfill "url(https://127.0.0.1/|ls)"',
  "a playlist": "#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd",
  nothing: "",
  "one byte": "\x89",
  "NUL bytes": Buffer.alloc(10_000),
  "a PNG signature alone": Buffer.from("\x89PNG\r\n\x1a\n", "latin1"),
};

test.each(Object.keys(NO_PICTURES))("no picture: %s", async (name) => {
  const bytes = Buffer.from(NO_PICTURES[name]!);
  for (const type of ["image/png", "image/svg+xml", "image/jpeg"]) {
    expectRefusal(await send(bytes, { "content-type": type }));
  }
});

test("pictures of zero size are refused", async () => {
  for (const [width, height] of [
    [0, 0],
    [0, 8],
    [8, 0],
  ] as const) {
    expect(expectRefusal(await send(hostile.png(width, height, 8)))).toMatch(/picture/);
    expectRefusal(await send(hostile.gif(width, height)));
    expectRefusal(await send(hostile.jpegHeader(width, height)));
  }
});

test("a picture with an archive or a page behind it is the picture, and nothing of the rest", async () => {
  const clean = await sharp(sample).resize(64, 48).png().toBuffer();
  const plain = await send(clean);
  expect(plain.status).toBe(200);
  const tails = [hostile.zip("evil.html", "<script>"), Buffer.from("<html><script>alert(1)")];
  for (const tail of tails) {
    const answer = await send(Buffer.concat([clean, tail]));
    expect(answer.body).toBe(plain.body);
    expect(answer.headers.get("x-content-type-options")).toBe("nosniff");
  }
});

test("pictures cut short anywhere are refused", async () => {
  const small = sharp(sample).resize(96, 64);
  const files = {
    jpeg: await small.clone().jpeg().toBuffer(),
    png: await small.clone().png().toBuffer(),
    webp: await small.clone().webp().toBuffer(),
    gif: await small.clone().gif().toBuffer(),
    tiff: await small.clone().tiff().toBuffer(),
    avif: await small.clone().avif({ effort: 0 }).toBuffer(),
  };
  for (const [kind, bytes] of Object.entries(files)) {
    expect((await send(bytes)).status, kind).toBe(200);
    for (let share = 0; share < 20; share++) {
      // Early cuts fall into headers, late ones into pixels.
      const at = Math.floor(bytes.length * (share / 20) ** 2);
      const answer = await send(bytes.subarray(0, at));
      if (answer.status === 200) expect.fail(`${kind} cut at ${at} of ${bytes.length} was taken`);
      expectRefusal(answer);
    }
  }
}, 240_000);

test("unusual pictures are answered", async () => {
  for (const [kind, bytes] of Object.entries(await hostile.variants())) {
    const answer = await send(bytes);
    expect(answer.status, `${kind}: ${answer.body}`).toBe(200);
    expect(JSON.parse(answer.body)).toMatchObject({ width: 32, height: 24 });
  }
});

test("flipped bits never end an engine", async () => {
  const bytes = await sharp(sample).resize(64, 48).png().toBuffer();
  const jpeg = await sharp(sample).resize(64, 48).jpeg().toBuffer();
  let seed = 7;
  for (let i = 0; i < 40; i++) {
    const broken = Buffer.from(i % 2 ? bytes : jpeg);
    for (let flip = 0; flip < 4; flip++) {
      seed = (seed * 1103515245 + 12345) % 2 ** 31;
      broken[seed % broken.length]! ^= 1 << ((seed >> 16) % 8);
    }
    const answer = await send(broken);
    if (answer.status !== 200) expectRefusal(answer);
  }
}, 120_000);

test("a body that is said to be too large is refused before it is sent", async () => {
  const answer = await sendRaw(
    server.port,
    request("POST", "/v1/segment?labels=a", {
      "content-type": "image/png",
      "content-length": 10_000_000_000,
    }),
  );
  expect(answer.status).toBe(413);
  expect(expectRefusal(answer)).toMatch(/bytes|large/);
});

test("a body without end is cut off at the limit", async () => {
  const head = request("POST", "/v1/segment?labels=a", {
    "content-type": "image/png",
    "transfer-encoding": "chunked",
  });
  const before = server.peak();
  let sent = 0;
  function* endless() {
    yield head;
    for (;;) {
      sent += 1 << 20;
      yield chunk(Buffer.alloc(1 << 20, 7));
    }
  }
  const answer = await sendRaw(server.port, endless());
  expect(answer.status).toBe(413);
  expectRefusal(answer);
  // What the two sockets hold comes on top of the limit of 32 MiB.
  expect(sent).toBeLessThan(64 << 20);
  expect(server.peak() - before).toBeLessThan(200);
});
