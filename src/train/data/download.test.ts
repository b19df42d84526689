import { spawn } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";
import sharp from "sharp";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { ConfigError } from "../../errors.js";
import { isPublicAddress } from "./address.js";
import { type DownloadOptions, downloadShards } from "./download.js";
import { type ListLayout, type ListRow, readList } from "./download-list.js";
import { isSkipped } from "./source.js";
import { webdataset } from "./webdataset.js";

let folder: string;
let picture: Buffer;
let server: Server;
let port: number;
/** Requests by path, in order. */
let requests: string[];
/** Largest number of requests that were open at a time. */
let mostOpen: number;

function noise(width: number, height: number): Promise<Buffer> {
  const data = new Uint8Array(width * height * 3).map((_, i) => (i * 7919) % 251);
  return sharp(data, { raw: { width, height, channels: 3 } })
    .jpeg()
    .toBuffer();
}

const wait = (milliseconds: number) => new Promise((done) => setTimeout(done, milliseconds));

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const path = request.url!;
  const send = (type: string, body: Uint8Array, headers: Record<string, string> = {}) =>
    response
      .writeHead(200, { "content-type": type, "content-length": body.length, ...headers })
      .end(body);
  const redirect = (to: string) => response.writeHead(302, { location: to }).end();
  if (path.startsWith("/ok")) {
    await wait(10);
    return void send("image/jpeg", picture);
  }
  switch (path) {
    case "/wide":
      return void send("application/octet-stream", await noise(400, 300));
    case "/slow":
      response.writeHead(200, { "content-type": "image/jpeg" });
      response.write(picture.subarray(0, 100));
      return;
    case "/huge-announced":
      response.writeHead(200, { "content-type": "image/jpeg", "content-length": 2 ** 30 });
      return void response.write(picture);
    case "/huge-hidden":
      response.writeHead(200, { "content-type": "image/jpeg" });
      for (let i = 0; i < 100 && !response.destroyed; i++) {
        response.write(new Uint8Array(10_000));
        await wait(1);
      }
      return void response.end();
    case "/page":
      return void send("text/html; charset=utf-8", picture);
    case "/not-a-picture":
      return void send("image/jpeg", new TextEncoder().encode("hello"));
    case "/svg":
      return void send("image/svg+xml", new TextEncoder().encode("<svg/>"));
    case "/broken":
      return void send("image/jpeg", picture.subarray(0, picture.length / 2));
    case "/tiny":
      return void send("image/jpeg", await noise(8, 100));
    case "/robots":
      return void send("image/jpeg", picture, { "x-robots-tag": "noai, noimageai" });
    case "/truncated":
      response.writeHead(200, { "content-type": "image/jpeg", "content-length": picture.length });
      return void response.write(picture.subarray(0, 200), () =>
        setTimeout(() => response.destroy(), 20),
      );
    case "/redirect":
      return void redirect("/ok-redirected");
    case "/loop":
      return void redirect("/loop");
    case "/to-private-address":
      return void redirect("http://127.0.0.1:1/secret");
    case "/to-private-name":
      return void redirect(`http://localhost:${port}/ok-secret`);
    case "/to-metadata":
      return void redirect("http://169.254.169.254/latest/meta-data");
    case "/to-file":
      return void redirect("file:///etc/passwd");
    default:
      return void response.writeHead(404).end();
  }
}

beforeAll(async () => {
  picture = await noise(64, 48);
});

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "download-test-"));
  requests = [];
  mostOpen = 0;
  let open = 0;
  server = createServer((request, response) => {
    requests.push(request.url!);
    mostOpen = Math.max(mostOpen, ++open);
    response.on("close", () => open--);
    void answer(request, response);
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  port = (server.address() as AddressInfo).port;
});

afterEach(async () => {
  server.closeAllConnections();
  await new Promise((done) => server.close(done));
  await rm(folder, { recursive: true });
});

const options = (changes: Partial<DownloadOptions> = {}): DownloadOptions => ({
  layout: "cc12m",
  hostDelay: 0,
  perHost: 8,
  timeout: 600,
  maxBytes: 200_000,
  allowHosts: [`127.0.0.1:${port}`],
  ...changes,
});

async function listOf(paths: string[]): Promise<string> {
  const list = join(folder, "list.tsv");
  const url = (path: string) => (path.startsWith("/") ? `http://127.0.0.1:${port}${path}` : path);
  await writeFile(list, paths.map((path, i) => `${url(path)}\tcaption ${i}\n`).join(""));
  return list;
}

async function captionsIn(shards: string): Promise<string[]> {
  const source = webdataset(shards);
  const captions: string[] = [];
  for (const shard of source.shards()) {
    for await (const item of source.open(shard)) {
      captions.push(isSkipped(item) ? item.skipped : item.caption);
    }
  }
  return captions.sort();
}

describe("downloading a list into shards", () => {
  it("keeps what is a picture and says why the rest failed", async () => {
    const paths: [string, string | undefined][] = [
      ["/ok", undefined],
      ["/wide", undefined],
      ["/redirect", undefined],
      ["/missing", "HTTP 404"],
      ["/slow", "timeout"],
      ["/huge-announced", "too large"],
      ["/huge-hidden", "too large"],
      ["/page", "wrong content type"],
      ["/not-a-picture", "broken picture"],
      ["/svg", "broken picture"],
      ["/broken", "broken picture"],
      ["/tiny", "too small"],
      ["/robots", "refused by X-Robots-Tag"],
      ["/truncated", "truncated"],
      ["/loop", "too many redirects"],
      ["/to-private-address", "private address"],
      ["/to-private-name", "private address"],
      ["/to-metadata", "private address"],
      ["/to-file", "no address"],
      ["http://10.0.0.1/x", "private address"],
      ["http://[::1]/x", "private address"],
      ["http://[::ffff:127.0.0.1]/x", "private address"],
      ["http://2130706433/x", "private address"],
      [`http://localhost:${port}/ok`, "private address"],
      ["ftp://example.org/x", "no address"],
      ["nonsense", "no address"],
    ];
    const failures: Record<string, number> = {};
    for (const [, reason] of paths) if (reason) failures[reason] = (failures[reason] ?? 0) + 1;
    const shards = join(folder, "shards");
    const list = await listOf(paths.map(([path]) => path));
    const statistics = await downloadShards(list, shards, options());
    expect(statistics).toEqual({ rows: paths.length, downloaded: 3, failures });
    expect(await readdir(shards)).toEqual(["00000.json", "00000.tar", "download.json"]);
    expect(await captionsIn(shards)).toEqual(["caption 0", "caption 1", "caption 2"]);
    expect(requests).not.toContain("/ok-secret");
    const source = webdataset(shards);
    const sides: number[] = [];
    for await (const item of source.open(source.shards()[0]!)) {
      if (isSkipped(item)) throw new Error(item.skipped);
      const { width, height } = await sharp(item.image).metadata();
      sides.push(Math.min(width, height));
    }
    // The wide picture is shrunk to 256, the small ones are left as they came.
    expect(sides.sort((a, b) => a - b)).toEqual([48, 48, 256]);
  });

  it("is polite to a host", async () => {
    const list = await listOf(Array.from({ length: 8 }, (_, i) => `/ok${i}`));
    const started = performance.now();
    await downloadShards(list, join(folder, "a"), options({ perHost: 2, hostDelay: 30 }));
    expect(performance.now() - started).toBeGreaterThanOrEqual(7 * 30);
    expect(mostOpen).toBeLessThanOrEqual(2);
  });

  it("goes on after being stopped, and does nothing when all is there", async () => {
    const paths = Array.from({ length: 40 }, (_, i) => (i % 5 === 4 ? `/missing${i}` : `/ok${i}`));
    const list = await listOf(paths);
    const shards = join(folder, "shards");
    const controller = new AbortController();
    const stopped = downloadShards(
      list,
      shards,
      options({
        rowsPerShard: 16,
        concurrency: 4,
        signal: controller.signal,
        onProgress: ({ rows }) => {
          if (rows === 22) controller.abort(new Error("enough"));
        },
      }),
    );
    await expect(stopped).rejects.toThrow("enough");
    expect((await readdir(shards)).includes("00001.tar")).toBe(false);
    const settings = options({ rowsPerShard: 16, concurrency: 4 });
    const expected = { rows: 40, downloaded: 32, failures: { "HTTP 404": 8 } };
    expect(await downloadShards(list, shards, settings)).toEqual(expected);
    // Only what was under way when it stopped may have been asked for twice.
    expect(requests.length).toBeLessThanOrEqual(44);
    expect(new Set(requests).size).toBe(40);
    expect((await captionsIn(shards)).length).toBe(32);
    const before = requests.length;
    expect(await downloadShards(list, shards, settings)).toEqual(expected);
    expect(requests.length).toBe(before);
    await expect(downloadShards(list, shards, { ...settings, rowsPerShard: 8 })).rejects.toThrow(
      ConfigError,
    );
    await expect(
      downloadShards(await listOf([...paths].reverse()), shards, settings),
    ).rejects.toThrow(/another list/);
  });

  it("cuts off what a torn write left behind", async () => {
    const list = await listOf(["/ok0", "/ok1", "/ok2"]);
    const shards = join(folder, "shards");
    const controller = new AbortController();
    await expect(
      downloadShards(
        list,
        shards,
        options({
          concurrency: 1,
          signal: controller.signal,
          onProgress: () => controller.abort(new Error("enough")),
        }),
      ),
    ).rejects.toThrow("enough");
    const partial = join(shards, "00000.tar.partial");
    const ledger = join(shards, "00000.ledger");
    await writeFile(partial, Buffer.concat([await readFile(partial), Buffer.alloc(300, 65)]));
    await writeFile(ledger, `${await readFile(ledger, "utf8")}{"row":1,"en`);
    const statistics = await downloadShards(list, shards, options({ concurrency: 1 }));
    expect(statistics.downloaded).toBe(3);
    expect(await captionsIn(shards)).toEqual(["caption 0", "caption 1", "caption 2"]);
  });

  it("goes on after being killed", async () => {
    const list = await listOf(Array.from({ length: 60 }, (_, i) => `/ok${i}`));
    const shards = join(folder, "shards");
    const modules = fileURLToPath(new URL("../../../node_modules", import.meta.url));
    const compiled = await mkdtemp(join(modules, ".download-test-"));
    try {
      const entry = fileURLToPath(new URL("./download.ts", import.meta.url));
      await build({
        entryPoints: [entry],
        outfile: join(compiled, "download.js"),
        bundle: true,
        format: "esm",
        platform: "node",
        packages: "external",
      });
      const script = `import { downloadShards } from ${JSON.stringify(pathToFileURL(join(compiled, "download.js")).href)};
        await downloadShards(...${JSON.stringify([list, shards, options({ concurrency: 3 })])});`;
      const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
        stdio: "inherit",
      });
      const ended = new Promise((done) => child.on("exit", (_, signal) => done(signal)));
      while (requests.length < 20 && child.exitCode === null) await wait(5);
      child.kill("SIGKILL");
      expect(await ended).toBe("SIGKILL");
    } finally {
      await rm(compiled, { recursive: true });
    }
    const statistics = await downloadShards(list, shards, options({ concurrency: 3 }));
    expect(statistics).toEqual({ rows: 60, downloaded: 60, failures: {} });
    expect((await captionsIn(shards)).length).toBe(60);
    expect(new Set(await captionsIn(shards)).size).toBe(60);
    expect(requests.length).toBeLessThanOrEqual(60 + 2 * 3);
  }, 30_000);
});

describe("the layouts of lists", () => {
  const cases: [ListLayout, string, string][] = [
    ["cc3m", "l.tsv", 'a "red" dog\thttp://x/1\n'],
    ["cc12m", "l.tsv", 'http://x/1\ta "red" dog\n'],
    [
      "yfcc15m",
      "l.tsv",
      `0\t1\th\tu\tn\td\td\tc\ta+%22red%22\t%3Cb%3Edog%3C%2Fb%3E\t\t\t\t\t\tp\thttp://x/1\tl\n`,
    ],
    ["redcaps", "l.json", '{"annotations":[{"url":"http://x/1","caption":"a \\"red\\" dog"}]}'],
    ["table", "l.csv", 'id,URL,TEXT\n1,http://x/1,"a ""red"" dog"\n'],
    ["table", "l.jsonl", '{"url":"http://x/1","caption":"a \\"red\\" dog"}\n'],
  ];
  it.each(cases)("%s in %s", async (layout, name, content) => {
    const path = join(folder, name);
    await writeFile(path, content);
    const rows: ListRow[] = [];
    for await (const row of readList(path, layout)) rows.push(row);
    const caption = layout === "yfcc15m" ? 'a "red". dog' : 'a "red" dog';
    expect(rows).toEqual([{ url: "http://x/1", caption }]);
  });
});

describe("public addresses", () => {
  it("are told from private, loopback, link-local, mapped and reserved ones", () => {
    const refused = [
      "0.0.0.0",
      "10.1.2.3",
      "100.64.0.1",
      "127.0.0.1",
      "169.254.169.254",
      "172.31.255.255",
      "192.168.0.1",
      "224.0.0.1",
      "255.255.255.255",
      "::",
      "::1",
      "::ffff:8.8.8.8",
      "64:ff9b::a00:1",
      "fe80::1",
      "fe80::1%eth0",
      "fc00::1",
      "ff02::1",
      "2001::1",
      "2001:db8::1",
      "2002:7f00:1::",
      "example.org",
      "",
    ];
    const accepted = ["8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00:1450::1"];
    expect(refused.filter(isPublicAddress)).toEqual([]);
    expect(accepted.filter(isPublicAddress)).toEqual(accepted);
  });
});
