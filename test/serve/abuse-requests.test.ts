// Requests that were made to hurt: words, JSON, forms, headers, names and HTTP itself. Each is refused in
// words, the server lives on, and its memory is bounded.

import { readdir, readFile } from "node:fs/promises";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { answerOf, expectRefusal, GoodRequests } from "./support/abuse.js";
import { ownFolder, type Serving, serve } from "./support/process.js";
import { chunk, request, sendRaw } from "./support/raw.js";
import { SAMPLE } from "./support/server.js";

/** MB that the server and its one engine may take at most, whatever they are sent. */
const MEMORY_BOUND = 1200;
const TOKEN = "a-token-of-some-length-0";
const AUTHORIZATION = `Bearer ${TOKEN}`;

let server: Serving;
let good: GoodRequests;
let folder: string;
let sample: Uint8Array<ArrayBuffer>;

beforeAll(async () => {
  folder = await ownFolder();
  server = await serve({ folder, env: { GROUPVIT_TOKEN: TOKEN } });
  good = new GoodRequests(server.url, TOKEN);
  await good.check();
  sample = new Uint8Array(await readFile(SAMPLE));
}, 240_000);

afterEach(async () => {
  await good.check();
  expect(server.peak()).toBeLessThan(MEMORY_BOUND);
});

const headersWith = (headers: Record<string, string>) => ({
  authorization: AUTHORIZATION,
  ...headers,
});

async function post(
  path: string,
  body: string | FormData | Uint8Array<ArrayBuffer>,
  type?: string,
) {
  const headers = headersWith(type === undefined ? {} : { "content-type": type });
  return answerOf(await fetch(`${server.url}${path}`, { method: "POST", headers, body }));
}

const postJson = (path: string, body: unknown) =>
  post(path, typeof body === "string" ? body : JSON.stringify(body), "application/json");

const segmentSample = (query: string) => post(`/v1/segment?${query}`, sample, "image/jpeg");

function rawRequest(method: string, path: string, headers: Record<string, string | number> = {}) {
  return request(method, path, { authorization: AUTHORIZATION, ...headers });
}

describe("words", () => {
  const picture = () => Buffer.from(sample).toString("base64");
  const LABELS: Record<string, unknown> = {
    "100,000 labels in a list": Array.from({ length: 100_000 }, (_, i) => `label ${i}`),
    "100,000 labels in a text": Array.from({ length: 100_000 }, (_, i) => `label ${i}`).join(","),
    "a label of 1 MB": ["a".repeat(1 << 20)],
    "a text of 1 MB without a comma": "a".repeat(1 << 20),
    "a label of a million commas": [",".repeat(1 << 20)],
    "an empty list": [],
    "an empty text": "",
    "an empty label": ["dog", ""],
    blanks: ["   "],
    "commas alone": ",,,;;;",
    "NUL bytes": ["dog\0cat"],
    "NUL bytes alone": "\0\0",
    "control characters": ["dog\u001b[31m", "cat"],
    "half of a character": ["dog\ud800"],
    "twice the same": ["dog", "dog"],
    "a number": [1],
    "an object": { toString: "x" },
    "a list of lists": [["dog"]],
    null: null,
  };
  test.each(Object.keys(LABELS))("labels: %s", async (name) => {
    const answer = await postJson("/v1/segment", { picture: picture(), labels: LABELS[name] });
    expect(expectRefusal(answer)).toMatch(/label|body/i);
    expectRefusal(await postJson("/v1/classify", { picture: picture(), labels: LABELS[name] }));
    expectRefusal(await postJson("/v1/vocabularies", { name: "hostile", labels: LABELS[name] }));
  });

  test("texts to embed: too many, too long, none", async () => {
    for (const texts of [
      Array.from({ length: 100_000 }, () => "a"),
      ["a".repeat(1 << 20)],
      [""],
      [],
      "dog",
      [null],
    ]) {
      expectRefusal(await postJson("/v1/embed", { texts }));
    }
  });

  test("odd but fair words are answered as they are", async () => {
    const labels = [
      "Hund",
      "犬",
      "🐕",
      "d\u0301og",
      "<script>",
      "../../etc/passwd",
      "%00",
      "a\r\nb",
    ];
    const answer = await postJson("/v1/segment", { picture: picture(), labels });
    expect(answer.status, answer.body).toBe(200);
    expect(answer.headers.get("content-type")).toMatch(/^application\/json/);
    const found = JSON.parse(answer.body).labels.map(({ label }: { label: string }) => label);
    expect(found.sort()).toEqual([...labels.slice(0, -1), "a b"].sort());
  });

  test("work that a short request asks for is bounded", async () => {
    const labels = Array.from({ length: 1000 }, (_, i) => `thing ${i}, object ${i}`);
    expectRefusal(await postJson("/v1/segment", { picture: picture(), labels, prompts: "full" }));
    const before = performance.now();
    await postJson("/v1/segment", { picture: picture(), labels: "dog", short_side: 4096 });
    await good.check();
    expect(performance.now() - before).toBeLessThan(30_000);
  }, 240_000);
});

describe("JSON", () => {
  const BODIES: Record<string, string> = {
    "no JSON": "labels=dog",
    "cut short": '{"labels": "dog"',
    nothing: "",
    "a text": '"dog"',
    "a list": "[]",
    null: "null",
    "100,000 lists within each other": "[".repeat(100_000) + "]".repeat(100_000),
    "3,000,000 lists within each other": "[".repeat(3_000_000),
    "deep within labels": `{"labels": ${"[".repeat(50_000)}${"]".repeat(50_000)}}`,
    "deep objects": `${'{"a":'.repeat(100_000)}1${"}".repeat(100_000)}`,
    __proto__: '{"__proto__": {"keep": true}, "labels": "dog"}',
    "__proto__ in escapes": '{"\\u005f_proto__": {"keep": true}, "labels": "dog"}',
    constructor: '{"constructor": {"prototype": {"keep": true}}, "labels": "dog"}',
    "unknown fields": '{"labels": "dog", "path": "/etc/passwd"}',
    "100,000 unknown fields": `{${Array.from({ length: 100_000 }, (_, i) => `"k${i}":1`)}}`,
    "numbers as texts": '{"labels": "dog", "top_k": "5"}',
    "infinite numbers": '{"labels": "dog", "threshold": 1e999}',
    "a byte order mark alone": "\ufeff",
    "a broken escape": '{"labels": "\\x"}',
    "a picture that is no base64": '{"labels": "dog", "picture": "<html>"}',
    "a picture that is a path": '{"labels": "dog", "picture": "file:///etc/passwd"}',
    "a picture in data: without base64": '{"labels": "dog", "picture": "data:image/png,abc"}',
    "a picture in data: without comma": '{"labels": "dog", "picture": "data:image/png;base64"}',
    "pictures of two kinds": '{"labels": "dog", "picture": "aGVsbG8=", "picture_id": "a"}',
    "no picture": '{"labels": "dog"}',
  };
  test.each(Object.keys(BODIES))("%s", async (name) => {
    for (const path of ["/v1/segment", "/v1/groups", "/v1/vocabularies", "/setup", "/predict"]) {
      expectRefusal(await postJson(path, BODIES[name]!));
    }
  });

  test("the last of doubled keys counts, once and for all", async () => {
    const answer = await postJson("/v1/embed", '{"texts": ["dog"], "texts": ["cat"]}');
    expect(JSON.parse(answer.body).texts).toMatchObject([{ text: "cat" }]);
  });

  test("nothing spreads to other requests", async () => {
    for (const name of ["__proto__", "constructor"]) await postJson("/v1/segment", BODIES[name]!);
    const answer = await segmentSample("labels=dog");
    expect(JSON.parse(answer.body)).not.toHaveProperty("picture_id");
  });

  test("bytes that are no UTF-8 are refused or replaced", async () => {
    const body = Buffer.concat([
      Buffer.from('{"texts": ["'),
      Buffer.from([0xff, 0xfe, 0xc0]),
      Buffer.from('"]}'),
    ]);
    const answer = await post("/v1/embed", new Uint8Array(body), "application/json");
    if (answer.status !== 200) expectRefusal(answer);
    else expect(JSON.parse(answer.body).texts[0].text).toBe("\ufffd\ufffd\ufffd");
  });
});

describe("content types and forms", () => {
  test.each([
    "text/plain",
    "application/xml",
    "application/x-www-form-urlencoded",
    "application/json; charset=utf-16",
    "application/octet-stream",
    "nonsense",
    "a".repeat(5000),
    "multipart/form-data",
    "multipart/form-data; boundary=",
    "multipart/mixed; boundary=x",
  ])("%s", async (type) => {
    expectRefusal(await post("/v1/segment", '<labels a="b">', type));
  });

  test.each([
    ["/v1/segment?labels=dog", "IMAGE/PNG"],
    ["/v1/vocabularies", "image/png"],
    ["/setup", "image/png"],
    ["/predict", "image/png"],
  ])("20 MB of no picture to %s as %s are not taken apart as fields", async (path, type) => {
    const message = expectRefusal(await post(path, new Uint8Array(20e6), type));
    expect(message).toMatch(/not a picture|the body is no JSON/);
  });

  const part = (name: string, value: string) =>
    `--b\r\ncontent-disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`;
  const file = (name: string, content: string) =>
    `--b\r\ncontent-disposition: form-data; name="${name}"; filename="a.png"\r\n` +
    `content-type: image/png\r\n\r\n${content}\r\n`;
  const FORMS: Record<string, string> = {
    nothing: "",
    "no parts": "--b--\r\n",
    "no end": part("labels", "dog"),
    "no boundary in it": "hello",
    "no picture": `${part("labels", "dog")}--b--\r\n`,
    "no labels": `${file("picture", "\x89PNG\r\n\x1a\n")}--b--\r\n`,
    "a picture elsewhere": `${file("photo", "x")}--b--\r\n`,
    "two pictures": `${file("picture", "x")}${file("picture", "x")}--b--\r\n`,
    "5,000 parts": `${part("labels", "dog").repeat(5000)}--b--\r\n`,
    "1,000 unknown parts": `${Array.from({ length: 1000 }, (_, i) => part(`f${i}`, "x")).join("")}--b--\r\n`,
    "a field of 2 MB": `${part("labels", "a".repeat(1 << 21))}--b--\r\n`,
    "a part without a name": "--b\r\ncontent-disposition: form-data\r\n\r\nx\r\n--b--\r\n",
    "a part of __proto__": `${part("__proto__", "x")}${part("labels", "dog")}--b--\r\n`,
    "a part with a long name": `${part("a".repeat(100_000), "x")}--b--\r\n`,
    "a part with long headers": `--b\r\n${"x: y\r\n".repeat(100_000)}\r\nx\r\n--b--\r\n`,
  };
  test.each(Object.keys(FORMS))("a form with %s", async (name) => {
    expectRefusal(await post("/v1/segment", FORMS[name]!, "multipart/form-data; boundary=b"));
  });

  test("a form with 1,000 labels in as many parts is answered", async () => {
    const form = new FormData();
    form.set("picture", new Blob([sample]), "../../../etc/passwd");
    for (let i = 0; i < 1000; i++) form.append("labels", `label ${i}`);
    const answer = await post("/v1/segment", form);
    expect(answer.status, answer.body.slice(0, 200)).toBe(200);
    expect(JSON.parse(answer.body).labels).toHaveLength(1000);
  });

  test("fields of a form count among the bytes of its body", async () => {
    const before = server.peak();
    function* fields() {
      yield rawRequest("POST", "/v1/segment", {
        "content-type": "multipart/form-data; boundary=b",
        "transfer-encoding": "chunked",
      });
      for (let i = 0; i < 600; i++) {
        yield chunk(Buffer.from(part("labels", "a".repeat((1 << 20) - 10))));
      }
      yield "0\r\n\r\n";
    }
    expectRefusal(await sendRaw(server.port, fields()));
    expect(server.peak() - before).toBeLessThan(300);
  });
});

describe("names", () => {
  const NAMES = [
    "../../etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "%2e%2e/%2e%2e/etc/passwd",
    "..\\..\\windows",
    "/etc/passwd",
    "con\0cat",
    "%00",
    "%",
    "%ff",
    "__proto__",
    "toString",
    "a".repeat(10_000),
    "",
    " ",
    ".",
    "x\r\nset-cookie: a=b",
    "$" + "{jndi:ldap://127.0.0.1/a}",
    "'; drop table vocabularies; --",
  ];
  test("vocabularies take no path, and find none", async () => {
    const stored = await readdir(folder);
    for (const name of NAMES) {
      expectRefusal(await postJson("/v1/vocabularies", { name, labels: "dog" }));
      expectRefusal(await postJson("/v1/segment", { labels: undefined, vocabulary: name }));
      const path = encodeURI(name).replaceAll("#", "%23");
      for (const method of ["GET", "DELETE"]) {
        const answer = await sendRaw(server.port, rawRequest(method, `/v1/vocabularies/${path}`));
        if (method === "GET" && path === "") expect(answer.status).toBeLessThan(500);
        else expectRefusal(answer);
      }
    }
    expect(await readdir(folder)).toEqual(stored);
  });

  test("pictures are found by the ids that were given out, and by nothing else", async () => {
    for (const id of NAMES) {
      expectRefusal(await postJson("/v1/segment", { labels: "dog", picture_id: id }));
    }
  });

  test("file names of uploads come back without control characters and stay names", async () => {
    for (const file of ["../../etc/passwd", "a\r\nb: c", "a\0b", "\u001b[31mred"]) {
      const form = new FormData();
      form.set("picture", new Blob([sample]), "a.jpg");
      form.set("labels", "dog");
      form.set("file", file);
      const answer = await post("/v1/segment", form);
      expect(answer.status).toBe(200);
      expect(JSON.parse(answer.body).file).not.toMatch(/\p{Cc}/u);
    }
  });

  test("Label Studio's projects are only names", async () => {
    const schema =
      '<View><Image name="image" value="$image"/><BrushLabels name="tag" toName="image">' +
      '<Label value="Dog"/></BrushLabels></View>';
    for (const name of ["../../x", "__proto__", "a\0b", "x\r\ny"]) {
      const answer = await postJson("/setup", { project: name, schema });
      if (answer.status !== 200) expectRefusal(answer);
    }
    expectRefusal(await postJson("/setup", { project: "a".repeat(10_000), schema }));
    expect((await readdir(`${folder}/serve`)).filter((name) => name.includes("x"))).toEqual([]);
    // The store is read again by the next server: what it wrote must be its own.
    const stored = JSON.parse(await readFile(`${folder}/serve/label-studio.json`, "utf8"));
    for (const value of Object.values(stored)) expect(value).toHaveProperty("config");
  });

  const SCHEMAS: Record<string, string> = {
    "an external entity": '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><View>&e;</View>',
    "entities that multiply":
      '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;">]><a>&b;</a>',
    "100,000 tags within each other": "<a>".repeat(100_000) + "</a>".repeat(100_000),
    "no XML": "}{",
    "2 MB": `<View>${"<Label value='a'/>".repeat(120_000)}</View>`,
    "1 MB of open brackets": "<".repeat(1_000_000),
    "1 MB of one attribute": `<View a="${"b ".repeat(500_000)}`,
    "many attributes": `<View ${Array.from({ length: 60_000 }, (_, i) => `a${i}="b"`).join(" ")}/>`,
    "60,000 labels": `<View><Image name="i" value="$i"/><BrushLabels name="t" toName="i">${Array.from(
      { length: 40_000 },
      (_, i) => `<Label value="${i}"/>`,
    ).join("")}</BrushLabels></View>`,
    "attributes of __proto__": '<View><BrushLabels __proto__="x" constructor="y"/></View>',
  };
  test.each(Object.keys(SCHEMAS))("a labelling interface of %s", async (name) => {
    const began = performance.now();
    const schema = SCHEMAS[name]!;
    expectRefusal(await postJson("/setup", { project: "1", schema }));
    expectRefusal(await postJson("/predict", { tasks: [{ data: {} }], label_config: schema }));
    expect(performance.now() - began).toBeLessThan(20_000);
  });
});

describe("tokens", () => {
  const WRONG = [
    undefined,
    "",
    "Bearer",
    "Bearer ",
    `Bearer ${TOKEN}x`,
    `Bearer ${TOKEN.slice(0, -1)}`,
    `Bearer ${TOKEN.toUpperCase()}`,
    TOKEN,
    `Digest ${TOKEN}`,
    `Basic ${TOKEN}`,
    `Basic ${Buffer.from("user:wrong").toString("base64")}`,
    `Bearer ${"a".repeat(8000)}`,
    "Bearer null",
    "Bearer undefined",
    "Bearer \u00ff\u00fe",
  ];
  test("wrong and missing ones are told so, on every route that is not open", async () => {
    const routes: [string, string][] = [
      ["POST", "/v1/segment"],
      ["POST", "/v1/classify"],
      ["POST", "/v1/embed"],
      ["POST", "/v1/groups"],
      ["GET", "/v1/vocabularies"],
      ["POST", "/v1/vocabularies"],
      ["DELETE", "/v1/vocabularies/x"],
      ["GET", "/v1/models"],
      ["GET", "/metrics"],
      ["POST", "/setup"],
      ["POST", "/predict"],
      ["GET", "/versions"],
    ];
    for (const [method, path] of routes) {
      const answer = await sendRaw(server.port, request(method, path));
      expect(answer.status, path).toBe(401);
      expect(answer.headers.get("www-authenticate")).toBe("Bearer");
    }
    for (const authorization of WRONG) {
      const headers = authorization === undefined ? undefined : { authorization };
      const answer = await sendRaw(server.port, request("GET", "/v1/models", headers));
      expect(answer.status, authorization).toBe(401);
      expect(expectRefusal(answer)).not.toContain(TOKEN);
    }
  });

  test("a body without a token is not read", async () => {
    const head = request("POST", "/v1/segment", {
      "content-type": "image/png",
      "content-length": 30 << 20,
    });
    const answer = await sendRaw(server.port, head);
    expect(answer.status).toBe(401);
  });

  test("the log holds no tokens", () => {
    expect(server.log()).not.toContain(TOKEN);
  });
});

describe("HTTP", () => {
  const ACCEPTS = ["nonsense", "text/html", "image/webp", ";;;", ",", "*", "a/b;q=", "*/*;q=0"];
  test("Accept of any kind is answered or refused by name", async () => {
    for (const accept of [...ACCEPTS, "a/b,".repeat(4000), "*/*;q=NaN"]) {
      const response = await fetch(`${server.url}/v1/segment?labels=dog`, {
        method: "POST",
        headers: headersWith({ accept, "content-type": "image/jpeg" }),
        body: sample,
      });
      const answer = await answerOf(response);
      if (answer.status !== 200) expect(expectRefusal(answer)).toMatch(/Accept|header/);
    }
  });

  test("methods and routes that are not there", async () => {
    for (const [method, path] of [
      ["GET", "/v1/segment"],
      ["PUT", "/v1/segment"],
      ["PATCH", "/healthz"],
      ["DELETE", "/v1/models"],
      ["TRACE", "/"],
      ["OPTIONS", "/v1/segment"],
      ["PROPFIND", "/"],
      ["GET", "/v2/segment"],
      ["GET", "/../../etc/passwd"],
      ["GET", "/docs/../../../package.json"],
      ["GET", "/docs/static/..%2f..%2f..%2fpackage.json"],
      ["GET", "/docs/static/%2e%2e/%2e%2e/package.json"],
      ["GET", "/.env"],
      ["GET", "//evil.example/"],
      ["GET", "/%ff%fe"],
      ["GET", "/%"],
      ["GET", `/${"a".repeat(15_000)}`],
      ["GET", "/v1/models/../../x"],
    ] as const) {
      const answer = await sendRaw(server.port, rawRequest(method, path));
      expect(expectRefusal(answer), `${method} ${path.slice(0, 50)}`).not.toContain("root:");
    }
  });

  test("what is no HTTP is told so, and the connection closed", async () => {
    const host = "host: localhost\r\n";
    for (const text of [
      "hello\r\n\r\n",
      "GET\r\n\r\n",
      "GET / HTTP/9.9\r\n\r\n",
      `GET / HTTP/1.1\r\n${host}no colon\r\n\r\n`,
      `GET / HTTP/1.1\r\n${host}x: a\0b\r\n\r\n`,
      `GET / HTTP/1.1\r\n${host}x : y\r\n\r\n`,
      `GET / HTTP/1.1\r\n${host}${"x: y\r\n".repeat(10_000)}\r\n`,
      `GET / HTTP/1.1\r\n${host}x: ${"y".repeat(100_000)}\r\n\r\n`,
      `GET /${"a".repeat(100_000)} HTTP/1.1\r\n${host}\r\n`,
      "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
      "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
      `BREW / HTTP/1.1\r\n${host}\r\n`,
    ]) {
      const answer = await sendRaw(server.port, text, { end: true });
      expect(answer.status, JSON.stringify(text.slice(0, 60))).toBeGreaterThanOrEqual(400);
      expect(answer.status).toBeLessThan(500);
    }
  });

  test("two lengths, or a length and chunks, smuggle nothing", async () => {
    const hidden = "GET /v1/models HTTP/1.1\r\nhost: localhost\r\n\r\n";
    for (const headers of [
      `content-length: 0\r\ncontent-length: ${hidden.length}`,
      `content-length: ${hidden.length}\r\ntransfer-encoding: chunked`,
      "transfer-encoding: xchunked",
      "transfer-encoding: chunked, identity",
      "content-length: -1",
      "content-length: 1e3",
    ]) {
      const head = `POST /v1/embed HTTP/1.1\r\nhost: localhost\r\nauthorization: ${AUTHORIZATION}\r\n`;
      const answer = await sendRaw(server.port, `${head}${headers}\r\n\r\n${hidden}`, {
        end: true,
      });
      expect(answer.status, headers).toBeGreaterThanOrEqual(400);
      expect(answer.status, headers).toBeLessThan(500);
      expect(answer.body).not.toContain("short_side");
    }
  });

  test("label names come back in headers only encoded", async () => {
    const form = new FormData();
    form.set("picture", new Blob([sample]), "a.jpg");
    for (const label of ["dog%0d%0ax-evil: 1", "käse", "a, b", "=?utf-8?q?x?="]) {
      form.append("labels", label);
    }
    const response = await fetch(`${server.url}/v1/segment`, {
      method: "POST",
      headers: headersWith({ accept: "image/png" }),
      body: form,
    });
    await response.arrayBuffer();
    expect(response.status).toBe(200);
    expect(response.headers.get("x-labels")).toMatch(/^[\w%,.!~*'()-]+$/);
    expect(response.headers.has("x-evil")).toBe(false);
  });

  test("web pages of others are not answered", async () => {
    for (const origin of ["https://evil.example", "null", "http://localhost.evil.example", "x"]) {
      const answer = await sendRaw(server.port, rawRequest("GET", "/v1/models", { origin }));
      expect(answer.status).toBe(403);
      expect(answer.headers.has("access-control-allow-origin")).toBe(false);
    }
  });

  test("every answer says how browsers shall take it", async () => {
    for (const path of ["/healthz", "/nothing", "/v1/models"]) {
      const answer = await sendRaw(server.port, rawRequest("GET", path));
      expect(answer.headers.get("x-content-type-options")).toBe("nosniff");
      expect(answer.headers.get("content-security-policy")).toContain("default-src 'none'");
    }
  });
});

test("without a token, names that were pointed at this machine are refused", async () => {
  const open = await serve();
  for (const host of [
    "evil.example",
    "127.0.0.1.evil.example",
    "",
    "localhost@evil.example",
    "[",
  ]) {
    const answer = await sendRaw(open.port, request("GET", "/v1/models", { host }));
    expect([400, 421], host).toContain(answer.status);
  }
  const answer = await sendRaw(open.port, request("GET", "/v1/models", { host: "[::1]:80" }));
  expect(answer.status).toBe(200);
  expect(await open.stop()).toBe(0);
}, 120_000);
