// `groupvit serve` as its users start and stop it.

import type { ChildProcessWithoutNullStreams } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, expect, test, vi } from "vitest";
import { temporaryFolder } from "../support/temporary.js";
import { MODEL, runCli, SAMPLE, spawnCli } from "./support/server.js";

vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

const folder = await temporaryFolder();
const sample = await readFile(SAMPLE);
const children: ChildProcessWithoutNullStreams[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
});

async function serve(args: readonly string[] = [], env: NodeJS.ProcessEnv = {}) {
  const all = ["serve", "--port", "0", "--model", MODEL, "--processes", "1", ...args];
  const child = await spawnCli(all, folder, env);
  children.push(child);
  const said = { stdout: "", stderr: "" };
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    said.stderr += text;
  });
  child.stdout.setEncoding("utf8");
  while (!said.stdout.includes("\n")) {
    const [text] = (await once(child.stdout, "data")) as [string];
    said.stdout += text;
  }
  const url = /^groupvit serves on (http:\/\/\S+) \(try it: \S+\/docs\)\n$/.exec(said.stdout)?.[1];
  return { child, said, url: url ?? "" };
}

const segment = (url: string, labels = "tree, sun") => {
  const form = new FormData();
  form.append("labels", labels);
  form.append("picture", new Blob([sample]), "sample.jpg");
  return fetch(`${url}/v1/segment`, { method: "POST", body: form });
};

test.each(["SIGTERM", "SIGINT"] as const)(
  "%s: what was taken is answered, exit code 0",
  async (signal) => {
    const { child, url, said } = await serve();
    const answers = Array.from({ length: 4 }, () => segment(url));
    const metrics = async () => (await fetch(`${url}/metrics`)).text();
    while (!/groupvit_in_work [1-9]/.test(await metrics())) await sleep(10);
    while (!/_queue_length [1-9]|stage="total"} [4-9]/.test(await metrics())) await sleep(10);
    child.kill(signal);
    for (const answer of answers) {
      const response = await answer;
      expect(response.status).toBe(200);
      expect((await response.json()).labels).toHaveLength(2);
    }
    const [code] = await once(child, "exit");
    expect(code).toBe(0);
    await expect(fetch(`${url}/healthz`)).rejects.toThrow();
    expect(said.stderr).toContain("stopping");
  },
);

test("a connection that says nothing does not hold the end back", async () => {
  const { child, url } = await serve(["--deadline", "2"]);
  const socket = connect(Number(new URL(url).port), "127.0.0.1");
  await once(socket, "connect");
  socket.write("POST /v1/segment HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n");
  await sleep(200);
  child.kill("SIGTERM");
  const [code] = await once(child, "exit");
  expect(code).toBe(0);
  socket.destroy();
});

test("its engines end with it, however it ends", async () => {
  const { child, url } = await serve();
  expect((await segment(url)).status).toBe(200);
  const engines = (await readFile(`/proc/${child.pid}/task/${child.pid}/children`, "utf8"))
    .trim()
    .split(" ")
    .map(Number);
  expect(engines.length).toBeGreaterThan(0);
  child.kill("SIGKILL");
  await once(child, "exit");
  const alive = (pid: number) => {
    try {
      return process.kill(pid, 0);
    } catch {
      return false;
    }
  };
  while (engines.some(alive)) await sleep(20);
});

test("the log tells routes and times, and no words, tokens, names or pictures", async () => {
  const token = "the-secret-token-of-this-test";
  const { child, url, said } = await serve([], {
    GROUPVIT_TOKEN: `${token}, second-token-of-this`,
  });
  expect((await segment(url, "zebra")).status).toBe(401);
  const query = new URLSearchParams({ labels: "zebra", file: "holiday" });
  const answer = await fetch(`${url}/v1/segment?${query}`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "image/jpeg" },
    body: sample,
  });
  expect(answer.status).toBe(200);
  child.kill("SIGTERM");
  await once(child, "exit");
  const lines = said.stderr.split("\n").filter((line) => line.startsWith("{"));
  expect(lines.map((line) => JSON.parse(line))).toEqual([
    expect.objectContaining({ route: "/v1/segment", status: 401 }),
    expect.objectContaining({ route: "/v1/segment", status: 200, token: 0 }),
  ]);
  expect(said.stderr).not.toMatch(/zebra|holiday|secret|second/);
});

describe("refuses to start, with exit code 2 and the way out", () => {
  test.each<[string, string[], RegExp]>([
    ["others' host without a token", ["--host", "0.0.0.0"], /GROUPVIT_TOKEN/],
    ["any host without a token", ["--host", "::"], /GROUPVIT_TOKEN/],
    ["a short token", ["--token", "short"], /16 to 256/],
    ["a model that is not there", ["--model", "nowhere/at/all"], /neither a folder/],
    [
      "a host that is not here",
      ["--host", "192.0.2.1", "--token", "x".repeat(20)],
      /cannot be listened/,
    ],
    ["an address with a path", ["--allow-origin", "https://a.example/b"], /scheme, host and port/],
    ["a host with a path", ["--allow-host", "a/b"], /host:port/],
    ["no Label Studio", ["--label-studio-url", "ftp://x"], /address such as/],
    ["no port", ["--port", "99999"], /whole number/],
  ])("%s", async (_, args, message) => {
    const model = args.includes("--model") ? [] : ["--model", MODEL];
    const all = ["serve", "--port", "0", "--processes", "1", ...model, ...args];
    const { code, stdout, stderr } = await runCli(all, folder);
    expect(code).toBe(2);
    expect(stdout).toBe("");
    expect(stderr).toMatch(message);
    expect(stderr.trim().split("\n")).toHaveLength(1);
  });

  test("a port that is taken", async () => {
    const { url } = await serve();
    const args = ["serve", "--port", new URL(url).port, "--model", MODEL, "--processes", "1"];
    const { code, stderr } = await runCli(args, folder);
    expect(code).toBe(2);
    expect(stderr).toMatch(/EADDRINUSE/);
  });
});
