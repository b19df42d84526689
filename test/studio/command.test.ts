// `groupvit studio`: what it serves, to whom, and what it says where it cannot.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import type { FastifyInstance } from "fastify";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { serveStudio } from "../../src/cli/commands/studio.js";

describe("groupvit studio", () => {
  const outside = mkdtempSync(join(tmpdir(), "groupvit-studio-command-"));
  const folder = join(outside, "dist");
  let server: FastifyInstance;
  let address: string;

  beforeAll(async () => {
    mkdirSync(join(folder, "assets"), { recursive: true });
    mkdirSync(join(folder, "groupvit-0123abcd"));
    writeFileSync(join(folder, "index.html"), "<!doctype html><title>studio</title>");
    writeFileSync(join(folder, "assets", "index-x.js"), "export {};");
    writeFileSync(join(folder, "groupvit-0123abcd", "engine.wasm"), "wasm");
    writeFileSync(join(outside, "secret.txt"), "secret");
    ({ server, address } = await serveStudio(0, folder));
  });
  afterAll(async () => {
    await server.close();
    rmSync(outside, { recursive: true });
  });

  it("serves the page isolated, so that threads work, and allows no other server but the Hub", async () => {
    const response = await fetch(address);
    expect(await response.text()).toMatch(/studio/);
    expect(response.headers.get("cross-origin-opener-policy")).toBe("same-origin");
    expect(response.headers.get("cross-origin-embedder-policy")).toBe("require-corp");
    expect(response.headers.get("cache-control")).toBe("no-cache");
    const policy = response.headers.get("content-security-policy") ?? "";
    expect(policy.match(/https?:\/\/[^ ;]+/g)).toEqual([
      "https://huggingface.co",
      "https://*.huggingface.co",
      "https://*.hf.co",
    ]);
  });

  it.each([
    ["assets/index-x.js", /^(text|application)\/javascript/],
    ["groupvit-0123abcd/engine.wasm", /^application\/wasm$/],
    ["groupvit-0123abcd/ort-wasm-simd-threaded.wasm", /^application\/wasm$/], // not in the folder
  ])("lets browsers keep %s for ever, under its right type", async (file, type) => {
    const response = await fetch(address + file);
    expect(response.headers.get("content-type")).toMatch(type);
    expect(response.headers.get("cache-control")).toMatch(/immutable/);
    expect(response.headers.get("cross-origin-resource-policy")).toBe("same-origin");
  });

  it("serves the package's own models, which browsers ask for again: their names stay", async () => {
    const response = await fetch(`${address}groupvit-0123abcd/models/scenes/config.json`);
    expect(await response.json()).toMatchObject({ model_type: "groupvit" });
    expect(response.headers.get("cache-control")).toBe("no-cache");
    expect(response.headers.get("etag")).not.toBeNull();
    const missing = await fetch(`${address}groupvit-0123abcd/none.js`);
    expect([missing.status, missing.headers.get("cache-control")]).toEqual([404, "no-cache"]);
  });

  it("serves nothing outside its folder", async () => {
    for (const path of [
      "/../secret.txt",
      "/%2e%2e/secret.txt",
      "/assets/..%2f..%2fsecret.txt",
    ].concat("/groupvit-0123abcd/models/..%2fpackage.json")) {
      // Not fetch, which would tidy the path.
      const body = await new Promise<string>((resolve, reject) => {
        const { port } = new URL(address);
        request({ host: "127.0.0.1", port, path }, (response) => {
          let text = "";
          response.on("data", (part) => {
            text += part;
          });
          response.on("end", () => resolve(`${response.statusCode} ${text}`));
        })
          .on("error", reject)
          .end();
      });
      expect(body).toMatch(/^40[34] /);
      expect(body).not.toMatch(/secret$/);
    }
  });

  it("is reached from this machine alone", async () => {
    const others = Object.values(networkInterfaces())
      .flat()
      .filter((one) => one && !one.internal && one.family === "IPv4");
    expect((server.server.address() as { address: string }).address).toBe("127.0.0.1");
    for (const one of others) {
      const url = address.replace("127.0.0.1", one!.address);
      await expect(fetch(url)).rejects.toThrow();
    }
  });

  it("says what to do where the port is taken or the studio was never built", async () => {
    const { port } = new URL(address);
    await expect(serveStudio(Number(port), folder)).rejects.toThrow(
      `port ${port} is taken; give another one with --port`,
    );
    await expect(serveStudio(0, join(outside, "none"))).rejects.toThrow(/npm run build:studio/);
  });
});
