// groupvit studio: serves the studio's page on this machine and opens it in the browser.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import type { AddressInfo } from "node:net";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Command } from "commander";
import type { FastifyInstance } from "fastify";
import { InputError } from "../../errors.js";
import { wholeNumber } from "../options.js";
import { interruption, note, print } from "../terminal.js";

const STUDIO = fileURLToPath(new URL("../../../studio/dist/", import.meta.url));
/** The package has one copy of the models and of the engine: those of Node, and its dependency's. */
const MODELS = fileURLToPath(new URL("../../../models/", import.meta.url));
const engineFolder = () => dirname(createRequire(import.meta.url).resolve("onnxruntime-web/wasm"));
const DEFAULT_PORT = 4747;

/** Shared memory, and with it threads, exists only on isolated pages. Only the Hub may be asked. */
const HEADERS = {
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-embedder-policy": "require-corp",
  "cross-origin-resource-policy": "same-origin",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "content-security-policy":
    "default-src 'self'; script-src 'self' 'wasm-unsafe-eval' blob:; worker-src 'self' blob:; " +
    "img-src 'self' blob: data:; media-src 'self' blob:; " +
    "connect-src 'self' blob: data: https://huggingface.co https://*.huggingface.co https://*.hf.co; " +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
};

export function studioCommand(): Command {
  return new Command("studio")
    .description("Open the studio: segmentation by words in your browser, computed there.")
    .option("--port <n>", `port on this machine (default: ${DEFAULT_PORT})`, wholeNumber(0, 65535))
    .option("--no-open", "print the address only")
    .addHelpText(
      "after",
      `
Only this machine can reach the page. No picture leaves the browser. Port 0 takes any free one.

Examples:
  groupvit studio
  groupvit studio --port 8080 --no-open`,
    )
    .action(run);
}

async function run({ port = DEFAULT_PORT, open }: { port?: number; open: boolean }): Promise<void> {
  const { server, address } = await serveStudio(port);
  await print(`${address}\n`);
  note("the studio runs until Ctrl-C");
  if (open) openBrowser(address);
  const { signal } = interruption;
  if (!signal.aborted) await once(signal, "abort");
  await server.close();
}

/**
 * Serves the studio on the loopback interface.
 *
 * @param port 0 for any free one
 * @throws InputError if the studio was not built, or the port is taken
 */
export async function serveStudio(
  port: number,
  folder = STUDIO,
): Promise<{ server: FastifyInstance; address: string }> {
  if (!existsSync(join(folder, "index.html"))) {
    throw new InputError(`the studio is missing (${folder}); build it with: npm run build:studio`);
  }
  const { default: fastify } = await import("fastify");
  const { default: fastifyStatic } = await import("@fastify/static");
  const server = fastify({ logger: false, forceCloseConnections: true });
  server.addHook("onRequest", async (_request, reply) => {
    reply.headers(HEADERS);
  });
  server.addHook("onSend", async ({ url }, reply) => {
    // Names of everything in there change with what it holds, but for the models.
    const named =
      /^\/(assets|groupvit-[0-9a-f]+)\/(?!models\/)/.test(url) && reply.statusCode < 400;
    reply.header("cache-control", named ? "public, max-age=31536000, immutable" : "no-cache");
  });
  await server.register(fastifyStatic, { root: folder, cacheControl: false });
  const scripts = readdirSync(folder).find((name) => /^groupvit-[0-9a-f]+$/.test(name));
  if (scripts) {
    const models = { root: MODELS, prefix: `/${scripts}/models/`, decorateReply: false };
    await server.register(fastifyStatic, { ...models, cacheControl: false });
    server.get<{ Params: { file: string } }>(
      `/${scripts}/:file(^ort-[a-z.-]+\\.wasm$)`,
      (request, reply) => reply.sendFile(request.params.file, engineFolder()),
    );
  }
  try {
    await server.listen({ host: "127.0.0.1", port });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const why = code === "EADDRINUSE" ? "is taken" : `cannot be used (${code})`;
    throw new InputError(`port ${port} ${why}; give another one with --port`);
  }
  // Browsers count localhost and 127.0.0.1 as secure, so that camera and cache work.
  const { port: taken } = server.server.address() as AddressInfo;
  return { server, address: `http://127.0.0.1:${taken}/` };
}

function openBrowser(address: string): void {
  const [command, ...args] =
    process.platform === "darwin"
      ? ["open"]
      : process.platform === "win32"
        ? ["cmd", "/c", "start", ""]
        : ["xdg-open"];
  const child = spawn(command!, [...args, address], { stdio: "ignore", detached: true });
  child.on("error", () => note(`no browser could be opened; go to ${address}`));
  child.unref();
}
