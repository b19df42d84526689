// The client against a real server, in Node and in a browser, and against servers that misbehave.

import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { describe, expect, test, vi } from "vitest";
import { GroupVitClient, GroupVitError } from "../../src/client/index.js";
import { decodeLabelPng } from "../../src/index.js";
import { launchChromium } from "../support/chromium.js";
import { SAMPLE, startTestServer } from "./support/server.js";

vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

const token = "a-token-for-the-client-tests";
const sample = await readFile(SAMPLE);
const page = createServer((_, response) => response.end("<!doctype html><title>x</title>"));
await once(page.listen(0, "127.0.0.1"), "listening");
const origin = `http://127.0.0.1:${(page.address() as AddressInfo).port}`;
const server = await startTestServer({ tokens: [token], allowOrigins: [origin] });
const client = new GroupVitClient({ baseUrl: `${server.url}/`, token });

async function withServer<T>(listener: RequestListener, work: (url: string) => Promise<T>) {
  const other = createServer(listener);
  await once(other.listen(0, "127.0.0.1"), "listening");
  try {
    return await work(`http://127.0.0.1:${(other.address() as AddressInfo).port}`);
  } finally {
    other.closeAllConnections();
    other.close();
  }
}

async function refused(work: Promise<unknown>): Promise<GroupVitError> {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(GroupVitError);
  return error as GroupVitError;
}

test("segments, keeps and labels anew, draws, ranks, embeds", async () => {
  const first = await client.segment(sample, { labels: ["tree", "sun"], keep: true });
  expect(first).toMatchObject({ file: "picture", width: 640, height: 480, mask: null });
  const kept = { id: first.picture_id! };
  const { png, labels, pictureId } = await client.segmentMask(kept, {
    labels: ["tree, oak"],
    background_words: ["sky", "a grey, cloudy day"],
  });
  expect(labels).toEqual(["background", "tree, oak"]);
  expect(pictureId).toBe(first.picture_id);
  const mask = await decodeLabelPng(new Uint8Array(await png.arrayBuffer()));
  expect(mask).toMatchObject({ width: 640, height: 480 });
  for (const answer of [
    await client.segmentOverlay(kept, { labels: "tree, sun" }),
    await client.drawGroups(kept, { draw: "final_group" }),
  ]) {
    const bytes = new Uint8Array(await answer.png.arrayBuffer());
    expect(String.fromCharCode(...bytes.subarray(1, 4))).toBe("PNG");
  }
  // One label with a synonym is one label, in a form as in JSON.
  const single = await client.classify(sample, { labels: ["a, b"] });
  expect(single.labels).toEqual([{ label: "a, b", score: 1 }]);
  const { stages } = await client.groups(kept);
  expect(stages.map(({ groups }) => groups)).toEqual([24, 8]);
  const { embedding, texts } = await client.embed(kept, { texts: ["a dog"] });
  expect(embedding).toHaveLength(128);
  expect(texts[0]?.embedding).toHaveLength(128);
  expect((await client.embed(undefined, { texts: ["a dog"] })).texts).toEqual(texts);
});

test("stores, lists and deletes vocabularies; tells about the model", async () => {
  await client.storeVocabulary({ name: "mine", labels: ["tree"] });
  expect((await client.vocabularies()).map(({ name }) => name)).toContain("mine");
  await client.deleteVocabulary("mine");
  expect((await client.vocabularies()).map(({ name }) => name)).not.toContain("mine");
  expect((await client.models())[0]).toMatchObject({
    name: "scenes",
    dim: 128,
    groups: [24, 8],
  });
});

describe("refusals are errors with status, code and way out", () => {
  test("of the server", async () => {
    const error = await refused(client.segment({ id: "none" }, { labels: "tree" }));
    expect(error).toMatchObject({ status: 404, code: "unknown_picture", wayOut: "send it again" });
    const stranger = new GroupVitClient({ baseUrl: server.url });
    expect((await refused(stranger.models())).status).toBe(401);
  });

  test("of something before the server", async () => {
    const answer: RequestListener = (_, response) => response.writeHead(502).end("<html>");
    const error = await withServer(answer, (baseUrl) =>
      refused(new GroupVitClient({ baseUrl }).models()),
    );
    expect(error).toMatchObject({ status: 502, code: "http" });
  });
});

test("comes again after 429, as often as it may", async () => {
  let asked = 0;
  const listener: RequestListener = (_, response) => {
    asked++;
    if (asked < 3) response.writeHead(429, { "retry-after": "0" }).end("{}");
    else response.end('{"models":[]}');
  };
  await withServer(listener, async (baseUrl) => {
    expect(await new GroupVitClient({ baseUrl }).models()).toEqual([]);
    expect(asked).toBe(3);
    asked = 0;
    const hasty = new GroupVitClient({ baseUrl, retries: 1 });
    expect((await refused(hasty.models())).status).toBe(429);
    expect(asked).toBe(2);
  });
});

test("the signal ends a wait for 429, and a request", async () => {
  const later: RequestListener = (_, response) =>
    response.writeHead(429, { "retry-after": "50" }).end();
  const never: RequestListener = () => {};
  for (const listener of [later, never]) {
    await withServer(listener, async (baseUrl) => {
      const signal = AbortSignal.timeout(300);
      const call = new GroupVitClient({ baseUrl }).models({ signal });
      await expect(call).rejects.toThrow(/timeout/i);
    });
  }
});

test("its bundle has no zod and no Node in it, and works in a browser of an allowed origin", async () => {
  const { outputFiles, metafile } = await build({
    entryPoints: [fileURLToPath(new URL("../../src/client/index.ts", import.meta.url))],
    bundle: true,
    format: "iife",
    globalName: "groupvit",
    platform: "browser",
    minify: true,
    write: false,
    metafile: true,
    logLevel: "silent",
  });
  expect(Object.keys(metafile.inputs)).toEqual(["src/client/index.ts"]);
  expect(outputFiles[0]!.contents.length).toBeLessThan(6000);
  const browser = await launchChromium();
  try {
    const tab = await browser.newPage();
    const ask = async () => {
      await tab.addScriptTag({ content: outputFiles[0]!.text });
      return tab.evaluate(
        async ([baseUrl, token, base64]) => {
          const { GroupVitClient } = (
            globalThis as unknown as { groupvit: typeof import("../../src/client/index.js") }
          ).groupvit;
          const picture = await (await fetch(`data:image/jpeg;base64,${base64}`)).blob();
          const client = new GroupVitClient({ baseUrl, token });
          const { labels } = await client.segmentMask(picture, { labels: "tree, sun" });
          return labels;
        },
        [server.url, token, sample.toString("base64")] as const,
      );
    };
    await tab.goto(origin);
    expect(await ask()).toEqual(["tree", "sun"]);
    await tab.goto(origin.replace("127.0.0.1", "localhost"));
    await expect(ask()).rejects.toThrow(/fetch/i);
  } finally {
    await browser.close();
    page.closeAllConnections();
    page.close();
  }
});
