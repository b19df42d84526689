// What can go wrong around a server: engines that are killed or freeze, a full disk, a clock that is set,
// clients that dribble, close half or leave, and a stop under load. GROUPVIT_KILLS says how often engines
// are killed (50 take some minutes); GROUPVIT_SLOW adds what takes a minute by its nature.

import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import { answerOf, expectRefusal, GoodRequests } from "./support/abuse.js";
import { ownFolder, type Serving, serve, serveToEnd } from "./support/process.js";
import { type RawAnswer, request, sendRaw } from "./support/raw.js";
import { SAMPLE } from "./support/server.js";

const KILLS = Number(process.env.GROUPVIT_KILLS ?? 6);
const TIME = 120_000 + KILLS * 30_000;
const TOKEN = "a-token-of-some-length-0";
const sample = new Uint8Array(await readFile(SAMPLE));

const preload = (name: string) =>
  `--import=${fileURLToPath(new URL(`support/preload/${name}.mjs`, import.meta.url))}`;

async function segment(
  server: Serving,
  { side = 64, signal }: { side?: number; signal?: AbortSignal } = {},
): Promise<RawAnswer> {
  const response = await fetch(`${server.url}/v1/segment?labels=dog,sky&short_side=${side}`, {
    method: "POST",
    headers: { "content-type": "image/jpeg" },
    body: sample,
    signal,
  });
  return answerOf(response);
}

async function gauge(server: Serving, name: string): Promise<number> {
  const text = await (await fetch(`${server.url}/metrics`)).text();
  return Number(new RegExp(`^${name.replace(/[{}]/g, "\\$&")} (\\S+)$`, "m").exec(text)?.[1] ?? 0);
}

const ready = (server: Serving) => gauge(server, "groupvit_engines_ready");
const taken = async (server: Serving) =>
  (await gauge(server, "groupvit_queue_length")) + (await gauge(server, "groupvit_in_work"));
const until = (look: () => unknown, timeout = 60_000) => expect.poll(look, { timeout });

test(
  `engines killed ${KILLS} times under load: every request is answered rightly, or told why not`,
  async () => {
    const server = await serve({ processes: 2 });
    await until(() => ready(server)).toBe(2);
    const { body: right } = await segment(server);
    const statuses = new Map<number, number>();
    let stop = false;
    const clients = Array.from({ length: 8 }, async () => {
      while (!stop) {
        const answer = await segment(server);
        statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1);
        if (answer.status === 200) expect(answer.body).toBe(right);
        else {
          expect([429, 503], answer.body).toContain(answer.status);
          expect(Number(answer.headers.get("retry-after"))).toBeGreaterThan(0);
          expect(JSON.parse(answer.body).error.way_out).toBeTruthy();
          await sleep(50);
        }
      }
    });
    let crashes = 0;
    for (let kill = 0; kill < KILLS; kill++) {
      await until(() => ready(server)).toBe(2);
      await sleep(20 * (kill % 7));
      const engines = server.engines();
      // Now and then all of them at once.
      const victims = kill % 3 === 2 ? engines : engines.slice(0, 1);
      for (const id of victims) process.kill(id, "SIGKILL");
      crashes += victims.length;
      await until(() => gauge(server, "groupvit_engine_crashes_total")).toBe(crashes);
    }
    await until(() => ready(server)).toBe(2);
    stop = true;
    await Promise.all(clients);
    console.info(`${KILLS} kills: ${[...statuses].map(([s, n]) => `${n} times ${s}`).join(", ")}`);
    expect(statuses.get(200)).toBeGreaterThan(KILLS);
    expect(await taken(server)).toBe(0);
    expect((await segment(server)).body).toBe(right);
    expect(await server.stop()).toBe(0);
  },
  TIME,
);

test("a frozen engine costs its requests their deadline, and no more", async () => {
  const server = await serve({ args: ["--deadline", "3"] });
  const good = new GoodRequests(server.url);
  await good.check();
  const [engine = Number.NaN] = server.engines();
  process.kill(engine, "SIGSTOP");
  const answer = await segment(server);
  expect(answer.status).toBe(504);
  expect(JSON.parse(answer.body).error.code).toBe("deadline");
  expect((await fetch(`${server.url}/healthz`)).status).toBe(200);
  process.kill(engine, "SIGCONT");
  await until(() => taken(server)).toBe(0);
  await good.check();
  if (process.env.GROUPVIT_SLOW) {
    process.kill(engine, "SIGSTOP");
    expect((await segment(server)).status).toBe(504);
    await until(() => server.engines()[0], 90_000).not.toBe(engine);
    await until(() => ready(server)).toBe(1);
    await good.check();
  }
  expect(await server.stop()).toBe(0);
}, 240_000);

test("a full queue is told with the seconds to wait", async () => {
  const server = await serve({ args: ["--queue", "2"] });
  const { body: right } = await segment(server);
  const answers = await Promise.all(Array.from({ length: 24 }, () => segment(server)));
  const refused = answers.filter(({ status }) => status === 429);
  expect(refused.length).toBeGreaterThan(0);
  for (const answer of answers) {
    if (answer.status === 200) expect(answer.body).toBe(right);
    else expect(Number(answer.headers.get("retry-after"))).toBeGreaterThan(0);
  }
  for (const answer of refused) expect(expectRefusal(answer)).toMatch(/Retry-After/);
  expect(answers.length - refused.length).toBeGreaterThan(0);
  await server.stop();
}, 240_000);

test.runIf(process.platform === "linux" && process.getuid?.() === 0)(
  "a full disk loses nothing that was stored, and stops no work",
  async () => {
    const folder = await ownFolder();
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", folder]);
    onTestFinished(() => void execFileSync("umount", ["--lazy", folder]));
    const server = await serve({ folder });
    const store = (name: string, labels: readonly string[]) =>
      fetch(`${server.url}/v1/vocabularies`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ name, labels }),
      });
    const long = Array.from({ length: 1000 }, (_, i) => `${i} ${"word ".repeat(40)}`);
    expect((await store("small", ["dog", "cat"])).status).toBe(201);
    const refused = await store("large", long);
    expect(refused.status).toBe(507);
    const { error } = (await refused.json()) as { error: { message: string } };
    expect(error.message).toMatch(/could not be stored/);
    expect((await fetch(`${server.url}/v1/vocabularies/large`)).status).toBe(404);
    // More new words than the disk takes: they are embedded all the same.
    const words = Array.from({ length: 300 }, (_, i) => `thing number ${i}`);
    const embedded = await fetch(`${server.url}/v1/segment`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ labels: words, picture: Buffer.from(sample).toString("base64") }),
    });
    expect(embedded.status).toBe(200);
    expect((await segment(server)).status).toBe(200);
    const kept = await fetch(`${server.url}/v1/vocabularies/small`);
    expect(await kept.json()).toMatchObject({ labels: ["dog", "cat"] });
    expect(await server.stop()).toBe(0);
    const again = await serve({ folder });
    const found = await fetch(`${again.url}/v1/vocabularies/small`);
    expect(await found.json()).toMatchObject({ labels: ["dog", "cat"] });
    await again.stop();
  },
  240_000,
);

test("a clock that is set back changes no limit, no deadline and no lifetime", async () => {
  const rate = 20;
  const server = await serve({
    args: ["--rate", String(rate), "--keep", "600"],
    env: { NODE_OPTIONS: preload("clock"), GROUPVIT_TOKEN: TOKEN },
  });
  const headers = { authorization: `Bearer ${TOKEN}` };
  const ask = (fields: Record<string, unknown>) =>
    fetch(`${server.url}/v1/segment`, {
      method: "POST",
      headers: { ...headers, "content-type": "application/json" },
      body: JSON.stringify({ labels: "dog", short_side: 64, ...fields }),
    });
  const first = await ask({ picture: Buffer.from(sample).toString("base64"), keep: true });
  const { picture_id } = (await first.json()) as { picture_id: string };
  for (const id of server.engines()) process.kill(id, "SIGUSR2");
  server.child.kill("SIGUSR2");
  await sleep(200);
  expect((await ask({ picture_id })).status).toBe(200);
  let answer = await ask({ picture_id });
  for (let i = 0; i < rate && answer.status === 200; i++) answer = await ask({ picture_id });
  expect(answer.status).toBe(429);
  // The minute is one of the clock that nobody sets.
  expect(Number(answer.headers.get("retry-after"))).toBeLessThanOrEqual(60);
  server.child.kill("SIGUSR2");
  await sleep(200);
  const later = await ask({ picture_id });
  expect(Number(later.headers.get("retry-after") ?? 0)).toBeLessThanOrEqual(60);
  expect(await server.stop()).toBe(0);
}, 240_000);

/** Opens a connection that sends a text, and then a byte now and then. */
function dribble(port: number, text: string): { socket: Socket; answer: Promise<string> } {
  const socket = connect(port, "127.0.0.1");
  let received = "";
  socket.on("error", () => {});
  socket.on("data", (chunk) => {
    received += chunk;
  });
  socket.write(text);
  const timer = setInterval(() => socket.write("a"), 500);
  // Not `once` of node:events, which rejects where the server resets the connection.
  const answer = new Promise<string>((resolve) => {
    socket.once("close", () => {
      clearInterval(timer);
      resolve(received);
    });
  });
  return { socket, answer };
}

test("clients that dribble are cut off, and others are answered meanwhile", async () => {
  const server = await serve();
  const good = new GoodRequests(server.url);
  await good.check();
  const head = "POST /v1/segment?labels=a HTTP/1.1\r\nhost: localhost\r\nx-";
  const slow = Array.from({ length: 200 }, () => dribble(server.port, head));
  const body = request("POST", "/v1/segment?labels=a", {
    "content-type": "image/png",
    "content-length": 1 << 20,
  });
  const bodies = Array.from({ length: 50 }, () => dribble(server.port, body));
  for (let i = 0; i < 10; i++) {
    await good.check();
    await sleep(100);
  }
  for (const { answer } of slow) expect(await answer).toMatch(/^HTTP\/1\.1 408 [\s\S]*slowly/);
  await good.check();
  if (process.env.GROUPVIT_SLOW) {
    for (const { answer } of bodies) expect(await answer).toMatch(/^HTTP\/1\.1 408 [\s\S]*slowly/);
  }
  for (const { socket } of bodies) socket.destroy();
  await good.check();
  expect(await server.stop()).toBe(0);
}, 240_000);

test("a client that closes its half has left: its work is cancelled, others are answered", async () => {
  const server = await serve();
  const good = new GoodRequests(server.url);
  await good.check();
  const head = request("POST", "/v1/segment?labels=dog,sky&short_side=1024", {
    "content-type": "image/jpeg",
    "content-length": sample.length,
  });
  for (const part of [sample, sample.subarray(0, 1000)]) {
    const answers = await Promise.all(
      Array.from({ length: 8 }, () => sendRaw(server.port, [head, part], { end: true })),
    );
    for (const { status } of answers) expect([0, 400]).toContain(status);
    await until(() => taken(server)).toBe(0);
    await good.check();
  }
  expect(server.log()).not.toContain("defect");
  await server.stop();
}, 240_000);

test("when clients leave, their work is cancelled", async () => {
  const server = await serve({ args: ["--deadline", "600"] });
  await segment(server);
  const encodings = () => gauge(server, 'groupvit_stage_seconds_count{stage="encode"}');
  const before = await encodings();
  const controller = new AbortController();
  const asked = Array.from({ length: 30 }, () =>
    segment(server, { side: 1024, signal: controller.signal }).catch(() => undefined),
  );
  await until(() => taken(server)).toBeGreaterThan(20);
  controller.abort();
  await Promise.all(asked);
  await until(() => taken(server)).toBe(0);
  expect((await segment(server)).status).toBe(200);
  expect((await encodings()) - before).toBeLessThan(10);
  expect(server.log()).not.toContain("defect");
  await server.stop();
}, 240_000);

test("SIGTERM under load: what was taken is answered, then it ends with code 0", async () => {
  const server = await serve({ args: ["--deadline", "600"] });
  const { body: right } = await segment(server, { side: 512 });
  const engines = server.engines();
  const asked = Array.from({ length: 12 }, () => segment(server, { side: 512 }));
  await until(() => taken(server)).toBe(12);
  const stopped = server.stop();
  const answers = await Promise.all(asked);
  for (const { status } of answers) expect(status).toBe(200);
  for (const { body } of answers) expect(body).toEqual(right);
  expect(await stopped).toBe(0);
  await expect(fetch(`${server.url}/healthz`)).rejects.toThrow();
  for (const id of engines) expect(() => process.kill(id, 0)).toThrow();
}, 240_000);

test("clients that never finish do not hold a stop beyond the deadline", async () => {
  const server = await serve({ args: ["--deadline", "2"] });
  const body = request("POST", "/v1/segment?labels=a", {
    "content-type": "image/png",
    "content-length": 1 << 20,
  });
  const open = [
    dribble(server.port, body),
    dribble(server.port, "GET / HT"),
    dribble(server.port, ""),
  ];
  await sleep(500);
  const began = performance.now();
  expect(await server.stop()).toBe(0);
  expect(performance.now() - began).toBeLessThan(30_000);
  for (const { socket } of open) socket.destroy();
}, 240_000);

test("engines end with a server that is killed", async () => {
  const server = await serve();
  const engines = server.engines();
  expect(await server.stop("SIGKILL")).toBe("SIGKILL");
  const alive = (id: number) => {
    try {
      process.kill(id, 0);
      return true;
    } catch {
      return false;
    }
  };
  await until(() => engines.filter(alive)).toEqual([]);
}, 240_000);

test("a start that cannot be ends with code 2 and says why", async () => {
  const taken = createServer().listen(0, "127.0.0.1");
  await once(taken, "listening");
  const { port } = taken.address() as { port: number };
  const damaged = await ownFolder();
  await writeFile(join(damaged, "vocabularies.json"), "{");
  const cases: [string[], RegExp][] = [
    [["--port", String(port)], new RegExp(`${port}.*EADDRINUSE`)],
    [["--host", "0.0.0.0"], /0\.0\.0\.0.*token/],
    [["--host", "::"], /::.*token/],
    [["--host", "0.0.0.0", "--token", "short"], /token/],
    [["--state", damaged], /vocabularies\.json.*damaged/],
    [["--allow-host", "http://a/b"], /allow-host/],
  ];
  for (const [args, message] of cases) {
    const { code, log } = await serveToEnd({ args });
    expect(code, log).toBe(2);
    expect(log).toMatch(message);
    expect(log.trim().split("\n")).toHaveLength(1);
  }
  taken.close();
}, 240_000);
