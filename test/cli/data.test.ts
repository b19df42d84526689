// groupvit data: the compiled program on data as strangers have it.

import { mkdir, readdir, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { groupvit } from "../support/cli.js";
import { temporaryFolder } from "../support/temporary.js";

vi.setConfig({ testTimeout: 60_000, hookTimeout: 180_000 });

const folder = await temporaryFolder();
const run = (...args: string[]) => groupvit(["data", ...args], { cwd: folder });
let picture: Buffer;
const server = createServer((request, response) => {
  if (request.url !== "/slow") response.end(picture);
});
let host: string;

beforeAll(async () => {
  const create = { width: 64, height: 48, channels: 3 as const, background: "#369" };
  picture = await sharp({ create }).jpeg().toBuffer();
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  await mkdir(join(folder, "pictures"));
  for (const name of ["a", "b"]) {
    await writeFile(join(folder, "pictures", `${name}.jpg`), picture);
    await writeFile(join(folder, "pictures", `${name}.txt`), `a ${name}`);
  }
});

afterAll(() => {
  server.closeAllConnections();
  server.close();
});

test("download reaches a private host only where it is allowed, within the limits given", async () => {
  const rows = ["/ok", "/slow"].map((path) => `http://${host}${path}\ta caption\n`);
  await writeFile(join(folder, "list.tsv"), rows.join(""));
  const list = ["download", "list.tsv", "--layout", "cc12m", "--json", "--out"];
  const refused = await run(...list, "refused");
  expect(JSON.parse(refused.stdout).failures).toEqual({ "private address": 2 });
  const allowed = await run(...list, "allowed", "--allow-host", host, "--timeout", "1");
  expect(JSON.parse(allowed.stdout)).toMatchObject({ downloaded: 1, failures: { timeout: 1 } });
  const small = await run(
    ...list,
    "small",
    "--allow-host",
    host,
    "--max-bytes",
    "50",
    "--timeout",
    "1",
  );
  expect(JSON.parse(small.stdout).failures).toEqual({ "too large": 1, timeout: 1 });
});

test("shard writes a folder once, and check reads it by a pattern", async () => {
  const shard = ["shard", "pictures", "--out", "shards", "--samples-per-shard"];
  expect((await run(...shard, "1")).stdout).toMatch(/^2 samples in 2 shards/);
  const other = await run(...shard, "2");
  expect(other).toMatchObject({ code: 2, stdout: "" });
  expect(other.stderr).toMatch(/^groupvit: shards.shards\.json: the folder was begun with other/);
  expect((await readdir(join(folder, "shards"))).sort()).toEqual([
    "00000.tar",
    "00001.tar",
    "shards.json",
  ]);
  const check = await run("check", "shards/{00000..00002}.tar", "--shards", "3", "--json");
  expect(check.code).toBe(2);
  expect(JSON.parse(check.stdout).problems).toEqual([
    "2 readable shards instead of 3",
    "shard shards/00002.tar: it does not exist; check the pattern",
    "1 repeated pictures",
  ]);
});

test("check says what to give instead of a table or a bucket", async () => {
  for (const [source, part] of [
    ["captions.csv", "--captions captions.csv"],
    ["s3://bucket/{0..3}.tar", "not from s3:"],
  ] as const) {
    const { code, stderr } = await run("check", source);
    expect({ code, lines: stderr.trim().split("\n").length }).toEqual({ code: 2, lines: 1 });
    expect(stderr).toContain(part);
  }
});
