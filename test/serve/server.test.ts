// The server as its clients meet it: real requests, real engines, and answers equal to the command line's.

import { createHash } from "node:crypto";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { request as httpRequest } from "node:http";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import sharp from "sharp";
import { describe, expect, test, vi } from "vitest";
import { VOCABULARIES } from "../../src/input/vocabularies.js";
import { MAX_GUESSES } from "../../src/serve/guesses.js";
import { temporaryFolder } from "../support/temporary.js";
import { MODEL, runCli, SAMPLE, startTestServer } from "./support/server.js";

vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

const folder = await temporaryFolder();
const sample = await readFile(SAMPLE);
const server = await startTestServer({ processes: 2 });
const { url } = server;
const LABELS = "tree, house; sun; a green meadow";

function form(fields: Record<string, string>, picture: Uint8Array = sample): FormData {
  const data = new FormData();
  for (const [name, value] of Object.entries(fields)) data.append(name, value);
  data.append("picture", new Blob([picture as BlobPart]), "sample.jpg");
  return data;
}

const post = (path: string, body: FormData | Uint8Array | object, headers = {}, base = url) => {
  const json = !(body instanceof FormData || body instanceof Uint8Array);
  return fetch(`${base}${path}`, {
    method: "POST",
    headers: { ...(json ? { "content-type": "application/json" } : {}), ...headers },
    body: json ? JSON.stringify(body) : (body as BodyInit),
  });
};

async function errorOf(response: Response) {
  const { error } = (await response.json()) as { error: { code: string; message: string } };
  return { status: response.status, ...error };
}

const sha = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
const bytesOf = async (response: Response) => new Uint8Array(await response.arrayBuffer());

describe("answers are the command line's, byte for byte", () => {
  const cli = (command: string, ...args: string[]) =>
    runCli([command, SAMPLE, "--threads", "1", "--model", MODEL, "--json", ...args], folder);

  test("segment: JSON, mask and overlay, by all ways to send a picture", async () => {
    const { images } = JSON.parse((await cli("segment", "-l", LABELS, "--out", "a")).stdout);
    const expected = { ...images[0], file: "sample.jpg", mask: null };
    const viaForm = await post("/v1/segment", form({ labels: LABELS }));
    const text = await viaForm.text();
    expect(text.startsWith(JSON.stringify(expected).slice(0, -1))).toBe(true);

    const base64 = sample.toString("base64");
    for (const picture of [base64, `data:image/jpeg;base64,${base64}`]) {
      const json = { picture, labels: LABELS, file: "sample.jpg" };
      expect(await (await post("/v1/segment", json)).text()).toBe(text);
    }
    const query = new URLSearchParams({ labels: LABELS, file: "sample.jpg" });
    const image = { "content-type": "image/jpeg" };
    expect(await (await post(`/v1/segment?${query}`, sample, image)).text()).toBe(text);

    for (const view of ["mask", "overlay"]) {
      const accept = { accept: `image/png; view=${view}` };
      const response = await post("/v1/segment", form({ labels: LABELS }), accept);
      expect(response.headers.get("content-type")).toBe(`image/png; view=${view}`);
      const file = await readFile(join(folder, `a/sample.${view}.png`));
      expect(sha(await bytesOf(response))).toBe(sha(file));
    }
  });

  test("segment with every option", async () => {
    const { images } = JSON.parse(
      (
        await cli(
          ...["segment", "-l", "tree, house", "--background-words", "sky, ground", "--out", "b"],
          ...["--mode", "slide", "--short-side", "96", "--prompts", "subset", "--top-k", "3"],
        )
      ).stdout,
    );
    const fields = {
      labels: "tree, house",
      background_words: "sky, ground",
      mode: "slide",
      short_side: "96",
      prompts: "subset",
      top_k: "3",
    };
    const answer = await (await post("/v1/segment", form(fields))).json();
    expect(answer.labels).toEqual(images[0].labels);
  });

  test.each(["fast", "balanced", "best"])("segment with quality %s", async (quality) => {
    const { images } = JSON.parse(
      (await cli("segment", "-l", LABELS, "--quality", quality, "--out", quality)).stdout,
    );
    const answer = await (await post("/v1/segment", form({ labels: LABELS, quality }))).json();
    expect(answer.labels).toEqual(images[0].labels);
    const mask = await post("/v1/segment", form({ labels: LABELS, quality }), {
      accept: "image/png",
    });
    expect(sha(await bytesOf(mask))).toBe(
      sha(await readFile(join(folder, quality, "sample.mask.png"))),
    );
  });

  test("ImageNet's words, two of which stand twice, are asked for once", async () => {
    const answer = await post("/v1/classify", form({ vocabulary: "imagenet", top: "1" }));
    expect(answer.status).toBe(200);
    const { labels } = await answer.json();
    expect(VOCABULARIES.imagenet.labels).toContain(labels[0].label);
  });

  test("a vocabulary brings its background", async () => {
    const { images } = JSON.parse(
      (await cli("segment", "--vocabulary", "voc", "--out", "c")).stdout,
    );
    const answer = await (await post("/v1/segment", form({ vocabulary: "voc" }))).json();
    expect(answer.labels).toEqual(images[0].labels);
  });

  test("classify, embed and groups", async () => {
    const ranked = JSON.parse((await cli("classify", "-l", LABELS, "--top", "2")).stdout);
    const classify = await post("/v1/classify", form({ labels: LABELS, top: "2" }));
    expect((await classify.json()).labels).toEqual(ranked.images[0].labels);

    const vectors = JSON.parse((await cli("embed", "-t", "a dog", "-t", "a, b")).stdout);
    const picture = sample.toString("base64");
    const embed = await (await post("/v1/embed", { picture, texts: ["a dog", "a, b"] })).json();
    expect(embed.embedding).toEqual(vectors.images[0].embedding);
    expect(embed.texts).toEqual(vectors.texts);

    const drawn = JSON.parse((await cli("groups", "--modes", "all_groups", "--out", "d")).stdout);
    const groups = await (await post("/v1/groups", form({}))).json();
    expect(groups.stages.map(({ nodes }: { nodes: unknown }) => nodes)).toEqual(
      drawn.images[0].stages.map(({ nodes }: { nodes: unknown }) => nodes),
    );
    const png = await post("/v1/groups", form({}), { accept: "image/png" });
    const file = await readFile(join(folder, "d/sample.all_groups.png"));
    expect(sha(await bytesOf(png))).toBe(sha(file));
  });
});

describe("kept pictures", () => {
  test("are labelled anew without an upload, in every engine, and survive its end", async () => {
    const first = await (
      await post("/v1/segment", form({ labels: "tree, sun", keep: "1" }))
    ).json();
    const { picture_id } = first;
    expect(picture_id).toMatch(/^[\w-]{22}$/);
    const fresh = await (await post("/v1/segment", form({ labels: LABELS }))).json();
    const again = () => post("/v1/segment", { picture_id, labels: LABELS });
    expect(await (await again()).json()).toEqual({ ...fresh, picture_id });
    for (const pid of server.pool.pids) process.kill(pid, "SIGKILL");
    const answers = await Promise.all([again(), again(), again()]);
    for (const answer of answers) expect((await answer.json()).labels).toEqual(fresh.labels);
    const mask = await post("/v1/segment", { picture_id, labels: LABELS }, { accept: "image/png" });
    expect(mask.headers.get("x-picture-id")).toBe(picture_id);
    expect(mask.headers.get("x-labels")).toBe("tree%2C%20house,sun,a%20green%20meadow");
  });

  test("classify, embed and segment each have what they need of one, and no more", async () => {
    const one = await startTestServer({});
    const ask = async (path: string, fields: object) =>
      (await post(path, fields, {}, one.url)).json();
    const picture = sample.toString("base64");
    const encodings = async () => {
      const text = await (await fetch(`${one.url}/metrics`)).text();
      return Number(/groupvit_stage_seconds_count\{stage="encode"\} (\d+)/.exec(text)?.[1] ?? 0);
    };
    const first = await ask("/v1/classify", { picture, labels: "tree, sun", keep: true });
    const { picture_id } = first;
    expect(await ask("/v1/classify", { picture_id, labels: "tree, sun" })).toEqual(first);
    const { embedding } = await ask("/v1/embed", { picture });
    expect(await ask("/v1/embed", { picture_id })).toMatchObject({ embedding });
    expect(await encodings()).toBe(0);
    const { labels } = await ask("/v1/segment", { picture, labels: LABELS });
    expect(await ask("/v1/segment", { picture_id, labels: LABELS })).toMatchObject({ labels });
    expect(await encodings()).toBe(2);
    expect(await ask("/v1/classify", { picture_id, labels: "tree, sun" })).toEqual(first);
  });

  test("are not found under a made-up id", async () => {
    const response = await post("/v1/segment", { picture_id: "../../etc/passwd", labels: "tree" });
    expect(await errorOf(response)).toMatchObject({ status: 404, code: "unknown_picture" });
  });
});

describe("content negotiation", () => {
  test.each([
    ["*/*", "application/json"],
    ["image/*", "image/png; view=mask"],
    ["image/png", "image/png; view=mask"],
    ["text/html, image/png;view=overlay;q=0.8, */*;q=0.1", "image/png; view=overlay"],
    ["application/json;q=0.5, image/png;q=0.4", "application/json"],
  ])("%s gives %s", async (accept, type) => {
    const response = await post("/v1/segment", form({ labels: "tree" }), { accept });
    expect(response.headers.get("content-type")).toContain(type);
  });

  test.each(["text/html", "image/jpeg", "application/json;q=0", "image/png;view=other"])(
    "%s is not had",
    async (accept) => {
      const response = await post("/v1/segment", form({ labels: "tree" }), { accept });
      expect(await errorOf(response)).toMatchObject({ status: 406, code: "not_acceptable" });
    },
  );
});

describe("bad requests are told what is wrong and what to do", () => {
  const base64 = sample.toString("base64");
  test.each<[string, object, number, RegExp]>([
    ["no labels", { picture: base64 }, 400, /labels: none given/],
    ["an unknown field", { picture: base64, labels: "a", lables: "b" }, 400, /lables/],
    ["no picture", { labels: "a" }, 400, /no picture/],
    ["two pictures", { picture: base64, picture_id: "x", labels: "a" }, 400, /more than one/],
    ["an address", { picture_url: "http://127.0.0.1/", labels: "a" }, 403, /fetches no addresses/],
    ["a broken picture", { picture: base64.slice(0, 4000), labels: "a" }, 422, /damaged/],
    ["a text", { picture: "aGVsbG8=", labels: "a" }, 415, /not a picture/],
    ["no base64", { picture: "\u0000!", labels: "a" }, 400, /no base64/],
    ["an empty picture", { picture: "", labels: "a" }, 400, /empty/],
    ["a label twice", { picture: base64, labels: "a, A" }, 400, /given twice/],
    ["too many labels", { picture: base64, labels: Array(1001).fill("a") }, 400, /labels/],
    ["a long label", { picture: base64, labels: ["a".repeat(257)] }, 400, /labels/],
    ["half a character", { picture: base64, labels: ["\ud800"] }, 400, /half of a character/],
    ["a NUL", { picture: base64, labels: "a\u0000" }, 400, /NUL/],
    [
      "too many prompts",
      {
        picture: base64,
        labels: Array.from({ length: 900 }, (_, i) => `${i},b,c`),
        prompts: "full",
      },
      400,
      /216000 prompts/,
    ],
    ["a wrong number", { picture: base64, labels: "a", top_k: 1.5 }, 400, /top_k/],
    [
      "a threshold alone",
      { picture: base64, labels: "a", background: "none", threshold: 1 },
      400,
      /threshold/,
    ],
    [
      "fast and a short side",
      { picture: base64, labels: "a", quality: "fast", short_side: 64 },
      400,
      /quality fast/,
    ],
    [
      "best in windows",
      { picture: base64, labels: "a", quality: "best", mode: "slide" },
      400,
      /quality best/,
    ],
    ["a text for a number", { picture: base64, labels: "a", top_k: "5" }, 400, /top_k: "5" is no/],
    ["a number for a label", { picture: base64, labels: ["a", 7] }, 400, /labels: number 2: 7 is/],
    ["an object for labels", { picture: base64, labels: {} }, 400, /an object is no text and no/],
    ["no label", { picture: base64, labels: [] }, 400, /labels: it has 0 items, not at least 1/],
    ["a short side of none", { picture: base64, labels: "a", short_side: 0 }, 400, /0 is not at/],
    ["another prompt set", { picture: base64, labels: "a", prompts: "all" }, 400, /"all" is none/],
    ["another field", { picture: base64, labels: "a", lables: "b" }, 400, /no field "lables"/],
    ["a vocabulary nobody stored", { picture: base64, vocabulary: "none" }, 404, /no vocabulary/],
  ])("%s", async (_, body, status, message) => {
    const error = await errorOf(await post("/v1/segment", body));
    expect(error.status).toBe(status);
    expect(`${error.message}`).toMatch(message);
  });

  test("JSON that is none, other types, other paths, other methods", async () => {
    const send = (init: RequestInit, path = "/v1/segment") =>
      fetch(`${url}${path}`, { method: "POST", ...init }).then(errorOf);
    const json = { "content-type": "application/json" };
    expect(await send({ body: "{", headers: json })).toMatchObject({ status: 400 });
    expect(await send({ body: "[1]", headers: json })).toMatchObject({ status: 400 });
    expect(await send({ body: '{"__proto__":{"labels":"a"}}', headers: json })).toMatchObject({
      status: 400,
    });
    expect(await send({ body: "labels=a" })).toMatchObject({ status: 415, code: "content_type" });
    expect(await send({}, "/v1/%ff")).toMatchObject({ status: 400 });
    expect(await send({}, "/v1/nothing")).toMatchObject({ status: 404, code: "not_found" });
  });

  test.each([
    ["POST", "/healthz", "GET, HEAD"],
    ["GET", "/v1/segment?labels=a", "POST"],
    ["PUT", "/v1/vocabularies/park", "DELETE, GET, HEAD"],
    ["PATCH", "/v1/vocabularies", "GET, HEAD, POST"],
    ["DELETE", "/docs/static/index.html", "GET, HEAD"],
    ["OPTIONS", "/v1/classify", "POST"],
  ])("%s %s is no method of the path: 405 with those that are", async (method, path, allowed) => {
    // The body is not read for that.
    const body = /P(OS|U|ATC)/.test(method) ? Buffer.alloc(1 << 20) : undefined;
    const headers = body ? { "content-type": "image/jpeg" } : undefined;
    const response = await fetch(`${url}${path}`, { method, body, headers });
    expect(response.headers.get("allow")).toBe(allowed);
    expect(await errorOf(response)).toMatchObject({ status: 405, code: "method" });
  });

  test("below a path that takes everything, a file that is not there stays 404", async () => {
    const response = await fetch(`${url}/docs/static/nothing.js`);
    expect(await errorOf(response)).toMatchObject({ status: 404, code: "not_found" });
    expect(response.headers.get("allow")).toBeNull();
  });

  test("a bomb is refused by its header", async () => {
    const png = await sharp({
      create: { width: 10_000, height: 5_000, channels: 3, background: "#fff" },
    })
      .png()
      .toBuffer();
    const error = await errorOf(await post("/v1/segment", form({ labels: "a" }, png)));
    expect(error).toMatchObject({ status: 413, code: "picture_size" });
  });

  test("bodies beyond the limit are not read to their end", async () => {
    const large = Buffer.alloc((32 << 20) + 1, 0xff);
    for (const body of [large, form({ labels: "a" }, large)]) {
      const response = await post("/v1/segment?labels=a", body, {
        ...(body === large ? { "content-type": "image/jpeg" } : {}),
      });
      expect(await errorOf(response)).toMatchObject({ status: 413, code: "too_large" });
    }
    // Without a length, as a stream.
    const status = await new Promise((resolve, reject) => {
      const headers = { "content-type": "image/jpeg" };
      const request = httpRequest(`${url}/v1/segment?labels=a`, { method: "POST", headers });
      request.on("response", (response) => resolve(response.statusCode));
      request.on("error", reject);
      request.write(large);
      request.write(large);
    });
    expect(status).toBe(413);
  });
});

describe("vocabularies", () => {
  test("are stored, used, replaced, deleted, and there after a restart", async () => {
    const state = await temporaryFolderNow();
    const first = await startTestServer({ state });
    const vocabulary = { name: "park", labels: "tree, oak; sun;", background_words: "sky" };
    const stored = await post("/v1/vocabularies", vocabulary, {}, first.url);
    expect(stored.status).toBe(201);
    await first.close();
    const second = await startTestServer({ state });
    const { vocabularies } = await (await fetch(`${second.url}/v1/vocabularies`)).json();
    expect(vocabularies.at(-1)).toEqual({
      name: "park",
      labels: ["tree, oak", "sun"],
      background: "words",
      background_words: ["sky"],
      built_in: false,
    });
    const by = async (fields: Record<string, string>) =>
      (await post("/v1/segment", form(fields), {}, second.url)).json();
    expect(await by({ vocabulary: "park" })).toEqual(
      await by({ labels: "tree, oak; sun", background_words: "sky" }),
    );
    const path = `${second.url}/v1/vocabularies/park`;
    expect((await fetch(path, { method: "DELETE" })).status).toBe(204);
    expect((await fetch(path)).status).toBe(404);
  });

  test.each([
    [{ name: "../x", labels: "a" }, 400],
    [{ name: "voc", labels: "a" }, 409],
    [{ name: "x", labels: "" }, 400],
    [{ name: "x", labels: "a", background: "words" }, 400],
  ])("%j is refused", async (body, status) => {
    expect((await errorOf(await post("/v1/vocabularies", body))).status).toBe(status);
  });

  test("a disk that takes nothing is reported, and nothing is half-written", async () => {
    const state = await temporaryFolderNow();
    await writeFile(join(state, "file"), "");
    const one = await startTestServer({ state: join(state, "file", "below") });
    const response = await post("/v1/vocabularies", { name: "x", labels: "a" }, {}, one.url);
    expect(await errorOf(response)).toMatchObject({ status: 507, code: "storage" });
    expect((await fetch(`${one.url}/v1/vocabularies/x`)).status).toBe(404);
    expect((await post("/v1/segment", form({ labels: "a" }), {}, one.url)).status).toBe(200);
  });
});

describe("under load", () => {
  test("says 429 with the time to come back when the queue is full, and loses nothing else", async () => {
    const small = await startTestServer({ queue: 2 });
    const all = await Promise.all(
      Array.from({ length: 12 }, () =>
        post("/v1/segment", form({ labels: "tree" }), {}, small.url),
      ),
    );
    const answered = all.filter(({ status }) => status === 200);
    const busy = all.filter(({ status }) => status === 429);
    expect(answered.length).toBeGreaterThanOrEqual(2);
    expect(busy.length).toBeGreaterThan(0);
    expect(answered.length + busy.length).toBe(12);
    for (const response of busy) {
      expect(Number(response.headers.get("retry-after"))).toBeGreaterThanOrEqual(1);
      expect((await errorOf(response)).code).toBe("busy");
    }
  });

  test("says 429 before the picture has come when the queue is full", async () => {
    const small = await startTestServer({ queue: 1 });
    const taken = Array.from({ length: 8 }, () =>
      post("/v1/segment", form({ labels: LABELS }), {}, small.url),
    );
    await until(() => small.pool.queued === 1);
    const { hostname, port } = new URL(small.url);
    const socket = connect(Number(port), hostname);
    socket.write(
      `POST /v1/segment?labels=tree HTTP/1.1\r\nhost: ${hostname}\r\ncontent-type: image/jpeg\r\n` +
        "content-length: 1000000\r\n\r\n",
    );
    const [head] = (await once(socket, "data")) as [Buffer];
    expect(head.toString()).toMatch(/^HTTP\/1\.1 429 /);
    socket.destroy();
    await Promise.all(taken);
  });

  test("asks a client that waits with its body for it only when it is wanted", async () => {
    const { hostname, port } = new URL(url);
    const ask = async (path: string, length: number) => {
      const socket = connect(Number(port), hostname);
      socket.write(
        `POST ${path} HTTP/1.1\r\nhost: ${hostname}\r\ncontent-type: image/jpeg\r\n` +
          `expect: 100-continue\r\ncontent-length: ${length}\r\n\r\n`,
      );
      const [head] = (await once(socket, "data")) as [Buffer];
      return { socket, head: head.toString() };
    };
    for (const [path, length, status] of [
      ["/v1/segment?labels=tree", 1 << 30, 413],
      ["/v1/nothing", 1000, 404],
    ] as const) {
      const { socket, head } = await ask(path, length);
      expect(head).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
      // What follows would be taken for the body.
      if (!socket.closed) await once(socket, "close");
    }
    const { socket, head } = await ask("/v1/classify?labels=tree", sample.length);
    expect(head).toBe("HTTP/1.1 100 Continue\r\n\r\n");
    socket.write(sample);
    const [answer] = (await once(socket, "data")) as [Buffer];
    expect(answer.toString()).toMatch(/^HTTP\/1\.1 200 /);
    socket.destroy();
  });

  test("retries what a killed engine worked on, once", async () => {
    const one = await startTestServer({ queue: 64 });
    const requests = Array.from({ length: 8 }, () =>
      post("/v1/segment", form({ labels: LABELS }), {}, one.url),
    );
    await until(() => one.pool.inWork > 0);
    process.kill(one.pool.pids[0]!, "SIGKILL");
    const texts = await Promise.all(requests.map(async (one) => (await one).text()));
    expect(new Set(texts).size).toBe(1);
    expect(texts[0]).toContain('"labels"');

    const doomed = post("/v1/segment", form({ labels: LABELS }), {}, one.url);
    for (let kill = 0; kill < 2; kill++) {
      const [pid] = one.pool.pids;
      await until(() => one.pool.inWork > 0);
      process.kill(pid!, "SIGKILL");
      await until(() => one.pool.pids[0] !== pid || one.pool.inWork === 0);
      if (kill === 0) await until(() => one.pool.readyEngines === 1);
    }
    expect(await errorOf(await doomed)).toMatchObject({ status: 503, code: "engine" });
    expect((await post("/v1/segment", form({ labels: "tree" }), {}, one.url)).status).toBe(200);
  });

  test("a deadline ends a request, and one that left costs no engine", async () => {
    const slow = await startTestServer({ deadline: 150 });
    const labels = Array.from({ length: 900 }, (_, i) => `thing ${i}`).join(", ");
    const late = await post("/v1/segment", form({ labels, prompts: "full" }), {}, slow.url);
    expect(await errorOf(late)).toMatchObject({ status: 504, code: "deadline" });
    await until(() => slow.pool.inWork === 0);

    const controller = new AbortController();
    const left = fetch(`${url}/v1/segment`, {
      method: "POST",
      body: form({ labels, prompts: "full" }),
      signal: controller.signal,
    });
    await until(() => server.pool.inWork > 0);
    controller.abort();
    await expect(left).rejects.toThrow();
    await until(() => server.pool.inWork === 0);
    expect((await post("/v1/segment", form({ labels: "tree" }))).status).toBe(200);
  });

  test("batches of one size answer like single requests, to rounding", async () => {
    const batching = await startTestServer({ batch: 4 });
    const labels = "tree, house, sun";
    const single = await (await post("/v1/segment", form({ labels }))).json();
    const answers = await Promise.all(
      Array.from({ length: 6 }, async () =>
        (await post("/v1/segment", form({ labels }), {}, batching.url)).json(),
      ),
    );
    for (const { labels: found } of answers) {
      for (const [i, { label, score, area }] of found.entries()) {
        expect(label).toBe(single.labels[i].label);
        expect(score).toBeCloseTo(single.labels[i].score, 4);
        expect(Math.abs(area - single.labels[i].area)).toBeLessThan(640 * 480 * 0.001);
      }
    }
    const metrics = await (await fetch(`${batching.url}/metrics`)).text();
    expect(metrics).toMatch(/groupvit_batch_size_count [1-5]\n/);
  });
});

describe("security", () => {
  const token = "0123456789abcdef0123";
  const guarded = startTestServer({ tokens: [token, "another-token-of-somebody"], rate: 40 });

  test("wrong, missing and odd tokens get 401, right ones an answer", async () => {
    const { url: base } = await guarded;
    const ask = (authorization?: string) =>
      fetch(`${base}/v1/models`, authorization ? { headers: { authorization } } : {});
    for (const wrong of [
      undefined,
      "Bearer",
      "Bearer wrong",
      `Bearer ${token}x`,
      `Bearer ${token.slice(1)}`,
      `Basic ${token}`,
    ]) {
      const response = await ask(wrong);
      expect(response.status).toBe(401);
      expect(response.headers.get("www-authenticate")).toBe("Bearer");
      expect(await response.text()).not.toContain(token);
    }
    expect((await ask(`Bearer ${token}`)).status).toBe(200);
    expect((await ask("bearer another-token-of-somebody")).status).toBe(200);
    expect((await ask(`Basic ${btoa(`me:${token}`)}`)).status).toBe(200);
    for (const open of ["/healthz", "/readyz", "/docs/", "/openapi.json", "/health"]) {
      expect((await fetch(`${base}${open}`)).status).toBe(200);
    }
    for (const closed of ["/metrics", "/v1/vocabularies", "/versions"]) {
      expect((await fetch(`${base}${closed}`)).status).toBe(401);
    }
  });

  test("who guesses is told to come later, and learns nothing; others are let in", async () => {
    const one = await startTestServer({ tokens: [token, "another-token-of-somebody"] });
    const ask = (bearer: string, localAddress = "127.0.0.1") =>
      new Promise<{ status?: number; later: number }>((resolve, reject) => {
        const headers = { authorization: `Bearer ${bearer}` };
        const request = httpRequest(`${one.url}/v1/models`, { headers, localAddress });
        request.on("response", (response) => {
          response.resume();
          const later = Number(response.headers["retry-after"] ?? 0);
          resolve({ status: response.statusCode, later });
        });
        request.on("error", reject);
        request.end();
      });
    expect((await ask(token)).status).toBe(200);
    for (let i = 0; i < MAX_GUESSES; i++) expect((await ask(`guess-${i}`)).status).toBe(401);
    const { status, later } = await ask("guess-again");
    expect(status).toBe(429);
    expect(later).toBeGreaterThan(0);
    expect(later).toBeLessThanOrEqual(60);
    // A right token that nobody has shown from there looks like a wrong one; one that was shown goes on.
    expect((await ask("another-token-of-somebody")).status).toBe(429);
    expect((await ask(token)).status).toBe(200);
    expect((await ask("another-token-of-somebody", "127.0.0.2")).status).toBe(200);
    expect((await fetch(`${one.url}/healthz`)).status).toBe(200);
  });

  test("a kept picture is its token's alone", async () => {
    const { url: base } = await guarded;
    const mine = { authorization: `Bearer ${token}` };
    const kept = await post("/v1/segment", form({ labels: "tree", keep: "1" }), mine, base);
    const { picture_id } = await kept.json();
    const ask = (authorization: string) =>
      post("/v1/segment", { picture_id, labels: "tree" }, { authorization }, base);
    expect((await ask(`Bearer ${token}`)).status).toBe(200);
    expect((await ask("Bearer another-token-of-somebody")).status).toBe(404);
  });

  test("a token's rate is limited, another's is not", async () => {
    const { url: base } = await guarded;
    const ask = (bearer: string) =>
      fetch(`${base}/v1/models`, { headers: { authorization: `Bearer ${bearer}` } });
    const statuses: number[] = [];
    for (let i = 0; i < 45; i++) statuses.push((await ask(token)).status);
    expect(statuses).toContain(429);
    const refused = await ask(token);
    expect(await errorOf(refused)).toMatchObject({ status: 429, code: "rate" });
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
    expect((await ask("another-token-of-somebody")).status).toBe(200);
  });

  test("pages of other origins and rebound names are not answered", async () => {
    const ask = (headers: Record<string, string>) =>
      new Promise<number | undefined>((resolve, reject) => {
        const request = httpRequest(`${url}/v1/models`, { headers });
        request.on("response", (response) => {
          response.resume();
          resolve(response.statusCode);
        });
        request.on("error", reject).end();
      });
    expect(await ask({ origin: "https://evil.example" })).toBe(403);
    expect(await ask({ origin: "null" })).toBe(403);
    expect(await ask({ origin: url })).toBe(200);
    expect(await ask({ host: "evil.example" })).toBe(421);
    expect(await ask({ host: "localhost:1234" })).toBe(200);
    const preflight = await fetch(`${url}/v1/models`, { method: "OPTIONS" });
    expect(preflight.headers.get("access-control-allow-origin")).toBeNull();
  });

  test("answers to pages that are let in vary by origin as well as by what is accepted", async () => {
    const origin = "https://app.example";
    const open = await startTestServer({ allowOrigins: [origin] });
    const response = await post("/v1/classify", form({ labels: "tree" }), { origin }, open.url);
    expect(response.status).toBe(200);
    expect(response.headers.get("access-control-allow-origin")).toBe(origin);
    expect(response.headers.get("vary")?.toLowerCase()).toBe("origin, accept");
  });

  test("headers: no sniffing, no frames, no scripts, nothing split", async () => {
    const labels = "tree\r\nset-cookie: a=b";
    const response = await post("/v1/segment", form({ labels }), { accept: "image/png" });
    expect(response.headers.get("set-cookie")).toBeNull();
    expect(response.headers.get("x-labels")).toBe("tree%20set-cookie%3A%20a%3Db");
    expect(response.headers.get("x-content-type-options")).toBe("nosniff");
    expect(response.headers.get("content-security-policy")).toContain("default-src 'none'");
  });

  test("what is no HTTP gets an error in the same form", async () => {
    const said = await new Promise<string>((resolve) => {
      let text = "";
      const socket = connect(Number(new URL(url).port), "127.0.0.1", () =>
        socket.write("hello\r\n\r\n"),
      );
      socket.on("data", (data) => {
        text += data;
      });
      socket.on("close", () => resolve(text));
    });
    expect(said).toMatch(/^HTTP\/1\.1 400 [\s\S]*\{"error":\{"code":"http"/);
  });
});

test("metrics tell stages, queue, batches, kept pictures, memory and the event loop's delay", async () => {
  const text = await (await fetch(`${url}/metrics`)).text();
  for (const name of [
    'groupvit_stage_seconds_count{stage="queue"}',
    'groupvit_stage_seconds_count{stage="decode"}',
    'groupvit_stage_seconds_count{stage="encode"}',
    'groupvit_stage_seconds_count{stage="mask"}',
    'groupvit_stage_seconds_count{stage="total"}',
    "groupvit_queue_length 0",
    "groupvit_in_work 0",
    "groupvit_engines_ready 2",
    "groupvit_batch_size_count",
    'groupvit_kept_pictures_total{result="hit"}',
    'groupvit_engine_resident_bytes{engine="0"}',
    "groupvit_engine_crashes_total",
    'groupvit_event_loop_delay_seconds{quantile="0.99"}',
    "process_resident_memory_bytes",
  ]) {
    expect(text).toContain(name);
  }
});

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(5);
}

function temporaryFolderNow(): Promise<string> {
  return import("node:fs/promises").then(({ mkdtemp }) => mkdtemp(join(folder, "state-")));
}
