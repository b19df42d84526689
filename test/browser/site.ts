// The built browser folder on a web server of its own, as any static host would serve it.

import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
// @ts-expect-error: a plain script
import { buildBrowser } from "../../scripts/build-browser.mjs";
import type * as Package from "../../src/browser/index.js";

declare global {
  var groupvit: typeof Package;
}

const TYPES: Record<string, string> = {
  html: "text/html",
  js: "text/javascript",
  mjs: "text/javascript",
  wasm: "application/wasm",
  json: "application/json",
};

export interface Site {
  /** The built folder. */
  readonly folder: string;
  readonly origin: string;
  /** Every request so far: method and path. */
  readonly requests: string[];
  /** Paths of answers that were not wanted to their end. */
  readonly cut: string[];
  /** Files beside those of the folder, by path; they come first. */
  readonly files: Map<string, Uint8Array | string>;
  /** Milliseconds between two chunks of 64 kB of weights. */
  delay: number;
  /** Opens a page that has the package as `groupvit`; isolated pages may use threads. */
  open(browser: Browser, options?: { isolated?: boolean }): Promise<Page>;
  /** No more answers, as without a network. */
  stop(): Promise<void>;
  close(): Promise<void>;
}

export async function startSite(): Promise<Site> {
  const folder = mkdtempSync(join(tmpdir(), "groupvit-site-"));
  await buildBrowser(folder);
  const files = new Map<string, Uint8Array | string>([
    ["/plain.html", "<!doctype html><title>groupvit</title>"],
    ["/isolated.html", "<!doctype html><title>groupvit</title>"],
  ]);
  const requests: string[] = [];
  const cut: string[] = [];
  const server: Server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url!, "http://localhost");
    requests.push(`${request.method} ${pathname}`);
    const body = read(folder, files, pathname);
    if (body === undefined) {
      response.writeHead(404).end();
      return;
    }
    response.on("close", () => {
      if (!response.writableFinished) cut.push(pathname);
    });
    const text = pathname.endsWith(".html");
    const isolated = !pathname.endsWith("plain.html");
    response.setHeader(
      "content-type",
      TYPES[pathname.split(".").pop()!] ?? "application/octet-stream",
    );
    response.setHeader("content-length", body.length);
    response.setHeader("etag", `"${body.length}"`);
    // As hosts have it: scripts may be kept for long, pages and models are asked for.
    response.setHeader("cache-control", /\.(js|wasm)$/.test(pathname) ? "max-age=600" : "no-cache");
    response.setHeader("cross-origin-resource-policy", "same-origin");
    if (isolated) {
      response.setHeader("cross-origin-opener-policy", "same-origin");
      response.setHeader("cross-origin-embedder-policy", "require-corp");
    }
    if (request.method === "HEAD" || text || site.delay === 0 || !/safetensors/.test(pathname)) {
      response.end(request.method === "HEAD" ? undefined : body);
      return;
    }
    for (let start = 0; start < body.length && !response.destroyed; start += 65_536) {
      response.write(body.subarray(start, start + 65_536));
      await new Promise((resolve) => setTimeout(resolve, site.delay));
    }
    response.end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const stop = async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  const site: Site = {
    folder,
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    cut,
    files,
    delay: 0,
    async open(browser, { isolated = false } = {}) {
      const page = await browser.newPage();
      await page.goto(`${site.origin}/${isolated ? "isolated" : "plain"}.html`);
      // A string: the test's own compiler must not touch the import.
      await page.evaluate('import("/groupvit.js").then((m) => { globalThis.groupvit = m; })');
      return page;
    },
    stop,
    async close() {
      if (server.listening) await stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
  return site;
}

function read(
  folder: string,
  files: ReadonlyMap<string, Uint8Array | string>,
  pathname: string,
): Uint8Array | undefined {
  const own = files.get(pathname);
  if (own !== undefined) return Buffer.from(own);
  const path = join(folder, pathname.replace(/^\/dist-browser\//, "/"));
  if (!path.startsWith(folder)) return undefined;
  return statSync(path, { throwIfNoEntry: false })?.isFile() ? readFileSync(path) : undefined;
}
