// Addresses of pictures that lead where a stranger must not get: by name, by number in every notation, and by
// redirect. A server on loopback stands for what is to be protected; nobody ever asks it for anything.

import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { answerOf, expectRefusal, GoodRequests } from "./support/abuse.js";
import { type Serving, serve } from "./support/process.js";
import { SAMPLE } from "./support/server.js";

const MEMORY_BOUND = 1200; // MB
/** What a hostile name server answers. */
const NAMES = {
  "metadata.google.internal": ["169.254.169.254"],
  "metadata.internal": ["fd00:ec2::254"],
  "evil.localhost": ["127.0.0.1"],
  "127.0.0.1.nip.example": ["127.0.0.1"],
  "loopback.example": ["::1"],
  "mapped.example": ["::ffff:127.0.0.1"],
  "private.example": ["10.0.0.1"],
  "intranet.example": ["192.168.1.1"],
  "unspecified.example": ["0.0.0.0"],
  // A public address first does not vouch for the second.
  "mixed.example": ["192.0.32.8", "127.0.0.1"],
};
const DEADLINE = 8; // s

let server: Serving;
let good: GoodRequests;
let sample: Uint8Array<ArrayBuffer>;
/** The server that must not be reached, and how often it was. */
let secret: Server;
let reached = 0;
/** The server that may be reached, and misbehaves as its path says. */
let listed: Server;
const left: string[] = [];

const portOf = (one: Server) => (one.address() as AddressInfo).port;

async function listen(handler: (url: URL, response: ServerResponse) => void): Promise<Server> {
  const made = createServer((request, response) => {
    const url = new URL(request.url ?? "/", "http://localhost");
    response.on("close", () => {
      if (!response.writableFinished) left.push(url.pathname);
    });
    handler(url, response);
  });
  made.listen(0, "127.0.0.1");
  await once(made, "listening");
  return made;
}

function redirect(response: ServerResponse, location: string, status = 302): void {
  // Bytes as they are: hostile servers do not care what a header may hold.
  response.writeHead(status, { location: Buffer.from(location).toString("latin1") });
  response.end("elsewhere");
}

const MISBEHAVIOUR: Record<string, (response: ServerResponse, query: URLSearchParams) => void> = {
  "/good": (response) => response.end(sample),
  "/to": (response, query) => redirect(response, query.get("url") ?? "", Number(query.get("as"))),
  "/loop": (response) => redirect(response, "/loop"),
  "/nowhere": (response) => response.writeHead(302).end(),
  "/endless": (response) => {
    const more = () => {
      while (response.writable && response.write(Buffer.alloc(1 << 20)));
    };
    response.on("drain", more);
    more();
  },
  "/huge": (response) => response.writeHead(200, { "content-length": 10 ** 12 }).write("x"),
  "/silent": () => {},
  "/dribble": (response) => {
    const timer = setInterval(() => response.write("x"), 100);
    response.on("close", () => clearInterval(timer));
  },
  "/cut": (response) => {
    response.writeHead(200, { "content-length": 1000 }).write("half");
    setTimeout(() => response.destroy(), 50);
  },
  "/html": (response) => response.end("<html><script>"),
  "/headers": (response) => response.writeHead(200, { "x-many": "a".repeat(100_000) }).end(),
  "/empty": (response) => response.end(),
  "/broken": (response) => response.writeHead(500).end("broken"),
};

beforeAll(async () => {
  sample = new Uint8Array(await readFile(SAMPLE));
  secret = await listen((_, response) => {
    reached++;
    response.end(sample);
  });
  listed = await listen((url, response) => {
    MISBEHAVIOUR[url.pathname]?.(response, url.searchParams);
  });
  const preload = fileURLToPath(new URL("support/preload/names.mjs", import.meta.url));
  server = await serve({
    args: [
      "--allow-urls",
      ...["--allow-host", `127.0.0.1:${portOf(listed)}`],
      ...["--deadline", String(DEADLINE)],
    ],
    env: { NODE_OPTIONS: `--import=${preload}`, TEST_NAMES: JSON.stringify(NAMES) },
  });
  good = new GoodRequests(server.url);
  await good.check();
}, 240_000);

afterAll(() => {
  for (const one of [secret, listed]) {
    one?.closeAllConnections();
    one?.close();
  }
});

afterEach(async () => {
  expect(reached).toBe(0);
  await good.check();
  expect(server.peak()).toBeLessThan(MEMORY_BOUND);
});

async function ask(url: string, signal?: AbortSignal) {
  const body = JSON.stringify({ labels: "dog, sky", short_side: 64, picture_url: url });
  const headers = { "content-type": "application/json" };
  const response = await fetch(`${server.url}/v1/segment`, {
    method: "POST",
    headers,
    body,
    signal,
  });
  return answerOf(response);
}

const at = (host: string) => `http://${host}:${portOf(secret)}/latest/meta-data`;

/** Ways to write hosts that are not public. */
const HOSTS = [
  "127.0.0.1",
  "127.1",
  "127.255.255.254",
  "2130706433",
  "0x7f000001",
  "0x7f.1",
  "017700000001",
  "0177.0.0.1",
  "%31%32%37.0.0.1",
  "①②⑦.⓪.⓪.①",
  "127。0。0。1",
  "0",
  "0.0.0.0",
  "[::1]",
  "[::]",
  "[0:0:0:0:0:0:0:1]",
  "[::ffff:127.0.0.1]",
  "[::ffff:7f00:1]",
  "[::127.0.0.1]",
  "[64:ff9b::7f00:1]",
  "[2002:7f00:1::]",
  "[2001:0:7f00:1::]",
  "[fc00::1]",
  "[fd00:ec2::254]",
  "[fe80::1]",
  "[ff02::1]",
  "169.254.169.254",
  "0xa9fea9fe",
  "2852039166",
  "[::ffff:169.254.169.254]",
  "10.0.0.1",
  "172.16.0.1",
  "172.31.255.255",
  "192.168.0.1",
  "100.64.0.1",
  "100.100.100.200",
  "198.18.0.1",
  "192.0.0.192",
  "224.0.0.1",
  "255.255.255.255",
  "localhost",
  "LOCALHOST",
  "localhost.",
  ...Object.keys(NAMES),
  "METADATA.google.internal.",
];

test("no way to write a host leads to what is not public", async () => {
  for (const host of HOSTS) {
    const answer = await ask(at(host));
    expect([400, 403], `${host}: ${answer.body}`).toContain(answer.status);
    expect(expectRefusal(answer), host).toMatch(/private|no address/);
  }
}, 120_000);

test("no redirect leads there either, whatever its kind", async () => {
  const base = `http://127.0.0.1:${portOf(listed)}/to?as=302`;
  for (const [i, host] of HOSTS.entries()) {
    const as = [301, 302, 303, 307, 308][i % 5] ?? 302;
    const answer = await ask(
      `${base.replace("302", String(as))}&url=${encodeURIComponent(at(host))}`,
    );
    expect([400, 403, 422], `${host}: ${answer.body}`).toContain(answer.status);
    expectRefusal(answer);
  }
  const twice = `${base}&url=${encodeURIComponent(at("127.0.0.1"))}`;
  expectRefusal(await ask(`${base}&url=${encodeURIComponent(twice)}`));
}, 120_000);

test("only http and https, without users and passwords", async () => {
  const port = portOf(listed);
  const addresses = [
    "file:///etc/passwd",
    "file://localhost/etc/passwd",
    "FILE:///etc/passwd",
    "data:image/png;base64,aGVsbG8=",
    "ftp://127.0.0.1/a",
    "gopher://127.0.0.1:6379/_INFO",
    "javascript:alert(1)",
    "blob:http://127.0.0.1/a",
    "unix:/var/run/docker.sock",
    "/etc/passwd",
    "//127.0.0.1/a",
    "\\\\127.0.0.1\\a",
    "http://",
    "http:///",
    "",
    " ",
    "http://[",
    "http://a:99999/",
    `http://user@127.0.0.1:${port}/good`,
    `http://user:password@127.0.0.1:${port}/good`,
    `http://127.0.0.1:${port}@${new URL(at("127.0.0.1")).host}/`,
    `http://127.0.0.1:${port}/to?as=302&url=file:///etc/passwd`,
    `http://127.0.0.1:${port}/to?as=302&url=data:image/png;base64,aGVsbG8=`,
    `http://127.0.0.1:${port}/to?as=302&url=gopher://127.0.0.1/`,
    `http://a\r\nhost: b/`,
    `http://${"a".repeat(5000)}/`,
    `http://${"a".repeat(300)}.example/`,
  ];
  for (const address of addresses) expectRefusal(await ask(address));
});

test("a listed host is fetched, and its redirects to itself are followed", async () => {
  const base = `http://127.0.0.1:${portOf(listed)}`;
  const direct = await ask(`${base}/good`);
  expect(direct.status, direct.body).toBe(200);
  expect((await ask(`${base}/to?as=302&url=/good`)).body).toBe(direct.body);
});

test("a listed host that misbehaves is told of, and costs no memory", async () => {
  const before = server.peak();
  for (const path of [
    "loop",
    "nowhere",
    "endless",
    "huge",
    "cut",
    "html",
    "headers",
    "empty",
    "broken",
    "to?as=302&url=http://%5b",
  ]) {
    const answer = await ask(`http://127.0.0.1:${portOf(listed)}/${path}`);
    expect([400, 403, 415, 422], `${path}: ${answer.body}`).toContain(answer.status);
    expectRefusal(answer);
  }
  expect(server.peak() - before).toBeLessThan(200);
});

test("one that is silent or dribbles is left at the deadline", async () => {
  const answers = await Promise.all(
    ["silent", "dribble"].map((path) => ask(`http://127.0.0.1:${portOf(listed)}/${path}`)),
  );
  for (const answer of answers) expect(expectRefusal(answer)).toMatch(/long/);
}, 60_000);

test("when the client leaves, nothing is fetched on", async () => {
  left.length = 0;
  const controller = new AbortController();
  const asked = ask(`http://127.0.0.1:${portOf(listed)}/dribble`, controller.signal).catch(
    () => {},
  );
  await expect.poll(() => listedConnections(), { timeout: 10_000 }).toBe(1);
  controller.abort();
  await asked;
  await expect.poll(() => left, { timeout: DEADLINE * 500 }).toEqual(["/dribble"]);
});

async function listedConnections(): Promise<number> {
  return new Promise((resolve) => listed.getConnections((_, count) => resolve(count)));
}

test("without being allowed, no address is fetched at all", async () => {
  const closed = await serve();
  const body = JSON.stringify({ labels: "dog", picture_url: at("127.0.0.1") });
  const headers = { "content-type": "application/json" };
  const answer = await answerOf(
    await fetch(`${closed.url}/v1/segment`, { method: "POST", headers, body }),
  );
  expect(answer.status).toBe(403);
  expectRefusal(answer);
  const task = {
    tasks: [{ data: { image: at("127.0.0.1") } }],
    label_config:
      '<View><Image name="i" value="$image"/><BrushLabels name="t" toName="i"><Label value="dog"/></BrushLabels></View>',
  };
  const predicted = await answerOf(
    await fetch(`${closed.url}/predict`, { method: "POST", headers, body: JSON.stringify(task) }),
  );
  expect(predicted.status).toBe(403);
  await closed.stop();
}, 120_000);
