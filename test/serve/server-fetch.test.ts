// Pictures by address: which are fetched, which never.

import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { fetchPicture } from "../../src/serve/fetch-picture.js";
import { SAMPLE, startTestServer } from "./support/server.js";

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const sample = await readFile(SAMPLE);
const seen: { url: string; headers: NodeJS.Dict<string | string[]> }[] = [];
const site = createServer((request, response) => {
  seen.push({ url: request.url ?? "", headers: request.headers });
  const [, kind, rest = ""] = /^\/([a-z]+)\/?(.*)$/.exec(request.url ?? "") ?? [];
  if (kind === "picture") response.end(sample);
  else if (kind === "to") response.writeHead(302, { location: decodeURIComponent(rest) }).end();
  else if (kind === "loop") response.writeHead(302, { location: "/loop" }).end();
  else if (kind === "large") {
    response.on("error", () => {});
    const more = () => {
      while (response.write(Buffer.alloc(1 << 16))) {}
      response.once("drain", more);
    };
    more();
  } else if (kind === "cut") {
    response.writeHead(200, { "content-length": "1000" });
    response.write("x");
    setTimeout(() => response.destroy(), 50);
  } else if (kind !== "never") response.writeHead(404).end();
});
const port = () => (site.address() as AddressInfo).port;
const at = (path: string, host = "127.0.0.1") => `http://${host}:${port()}${path}`;

beforeAll(async () => {
  await once(site.listen(0, "127.0.0.1"), "listening");
});
beforeEach(() => {
  seen.length = 0;
});
afterAll(() => {
  site.closeAllConnections();
  site.close();
});

const rules = { allowPublic: true, allowHosts: [] as string[], maxBytes: 1 << 20, timeout: 5000 };
const listed = () => ({ ...rules, allowHosts: [`127.0.0.1:${port()}`] });
const never = new AbortController().signal;

describe("refuses what is not public, and asks nobody", () => {
  test.each([
    ["loopback", () => at("/picture")],
    ["by name", () => at("/picture", "localhost")],
    ["as a number", () => at("/picture", "2130706433")],
    ["in hex", () => at("/picture", "0x7f000001")],
    ["in octal", () => at("/picture", "0177.0.0.1")],
    ["shortened", () => at("/picture", "127.1")],
    ["unspecified", () => at("/picture", "0.0.0.0")],
    ["IPv6 loopback", () => at("/picture", "[::1]")],
    ["mapped", () => at("/picture", "[::ffff:127.0.0.1]")],
    ["mapped in hex", () => at("/picture", "[::ffff:7f00:1]")],
    ["NAT64", () => at("/picture", "[64:ff9b::7f00:1]")],
    ["6to4", () => at("/picture", "[2002:7f00:1::]")],
    ["unique local", () => at("/picture", "[fd00::1]")],
    ["link-local IPv6", () => at("/picture", "[fe80::1]")],
    ["multicast IPv6", () => at("/picture", "[ff02::1]")],
    ["private 10", () => "http://10.0.0.1/"],
    ["private 172", () => "http://172.16.0.1/"],
    ["private 192", () => "http://192.168.0.1/"],
    ["link-local", () => "http://169.254.169.254/latest/meta-data/"],
    ["carrier-grade NAT", () => "http://100.64.0.1/"],
    ["multicast", () => "http://224.0.0.1/"],
    ["broadcast", () => "http://255.255.255.255/"],
    ["full-width digits", () => at("/picture", "１２７.0.0.1")],
  ])("%s", async (_, address) => {
    await expect(fetchPicture(address(), rules, never)).rejects.toMatchObject({ status: 403 });
    expect(seen).toEqual([]);
  });

  test.each([
    ["a file", "file:///etc/passwd"],
    ["FTP", "ftp://example.org/x.jpg"],
    ["gopher", "gopher://127.0.0.1:6379/_x"],
    ["data", "data:image/png;base64,AAAA"],
    ["a password", "http://user:pass@example.org/"],
    ["nothing", ""],
  ])("%s", async (_, address) => {
    await expect(fetchPicture(address, rules, never)).rejects.toMatchObject({ status: 400 });
  });

  test("through redirects", async () => {
    for (const target of ["http://localhost/x", "http://[::1]/", "http://169.254.169.254/"]) {
      const start = at(`/to/${encodeURIComponent(target)}`);
      await expect(fetchPicture(start, listed(), never)).rejects.toMatchObject({ status: 403 });
    }
    const file = at(`/to/${encodeURIComponent("file:///etc/passwd")}`);
    await expect(fetchPicture(file, listed(), never)).rejects.toMatchObject({ status: 400 });
    await expect(fetchPicture(at("/loop"), listed(), never)).rejects.toThrow(/more than 3 times/);
    expect(seen).toHaveLength(3 + 1 + 4);
  });
});

describe("a listed host", () => {
  test("is asked, with one header line of ours at most", async () => {
    const bytes = await fetchPicture(at("/picture/x?a=b%0d%0ax-evil:%201"), listed(), never);
    expect(Buffer.compare(bytes, sample)).toBe(0);
    expect(Object.keys(seen[0]!.headers).sort()).toEqual(
      ["accept", "accept-encoding", "connection", "host", "user-agent"].sort(),
    );
    await expect(
      fetchPicture(at("/picture"), { ...rules, allowHosts: ["127.0.0.1:1"] }, never),
    ).rejects.toMatchObject({ status: 403 });
  });

  test("gets its authorization, and no other does", async () => {
    const authorization = { origin: at("/").slice(0, -1), header: async () => "Token x" };
    await fetchPicture(at("/picture"), { ...listed(), authorization }, never);
    expect(seen[0]?.headers.authorization).toBe("Token x");
    const other = at("/picture", "localhost");
    const hosts = [...listed().allowHosts, `localhost:${port()}`];
    const both = { ...rules, allowHosts: hosts, authorization };
    await fetchPicture(at(`/to/${encodeURIComponent(other)}`), both, never);
    expect(seen.map(({ headers }) => headers.authorization)).toEqual([
      "Token x",
      "Token x",
      undefined,
    ]);
  });

  test("is not waited for, and not read, without end", async () => {
    const soon = { ...listed(), timeout: 300 };
    await expect(fetchPicture(at("/never"), soon, never)).rejects.toThrow(/too long/);
    await expect(fetchPicture(at("/large"), listed(), never)).rejects.toThrow(/1048576 bytes/);
    await expect(fetchPicture(at("/cut"), listed(), never)).rejects.toMatchObject({ status: 422 });
    await expect(fetchPicture(at("/none"), listed(), never)).rejects.toThrow(/HTTP 404/);
    const left = AbortSignal.timeout(100);
    await expect(fetchPicture(at("/never"), listed(), left)).rejects.toThrow(/timeout/);
  });
});

test("the server fetches where it may, and answers as for an upload", async () => {
  const server = await startTestServer({ allowHosts: [`127.0.0.1:${port()}`] });
  const ask = (body: object) =>
    fetch(`${server.url}/v1/segment`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ labels: "tree, sun", ...body }),
    });
  const byAddress = await ask({ picture_url: at("/picture") });
  const uploaded = await ask({ picture: sample.toString("base64") });
  expect(await byAddress.text()).toBe(await uploaded.text());
  expect((await ask({ picture_url: "http://example.org/x.jpg" })).status).toBe(403);
});
