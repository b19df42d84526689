// The built studio in a real browser, for the tests of its page.

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Browser, Page, Route } from "playwright-core";
import { build } from "vite";
import { serveStudio } from "../../src/cli/commands/studio.js";
import { launchChromium } from "../support/chromium.js";
import { wordModelFiles } from "../support/word-model.js";

const CONFIG = fileURLToPath(new URL("../../studio/vite.config.ts", import.meta.url));

/** Milliseconds that anything may take on a busy machine. */
const PATIENCE = 120_000;

export interface Studio {
  readonly address: string;
  /** The built studio. */
  readonly folder: string;
  readonly browser: Browser;
  /** Every request that reached the server, with its answer. */
  readonly requests: { path: string; status: number }[];
  /** No more answers, as without a network. */
  stop(): Promise<void>;
  close(): Promise<void>;
}

/**
 * Builds the studio into a temporary folder, serves it as the command does, and starts Chromium.
 * STUDIO_DIST names a folder that was built before, to save the time.
 */
export async function startStudio(flags: readonly string[] = []): Promise<Studio> {
  const folder = mkdtempSync(join(tmpdir(), "groupvit-studio-test-"));
  const built = process.env.STUDIO_DIST;
  if (!built) await buildStudio(folder);
  const dist = built ?? folder;
  const { server, address } = await serveStudio(0, dist);
  const requests: Studio["requests"] = [];
  server.server.on("request", (request, response) => {
    response.on("finish", () => {
      requests.push({ path: request.url ?? "", status: response.statusCode });
    });
  });
  const browser = await launchChromium([
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    ...flags,
  ]);
  return {
    address,
    folder: dist,
    browser,
    requests,
    stop: () => server.close(),
    async close() {
      await browser.close();
      await server.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

export interface OpenOptions {
  hash?: string;
  width?: number;
  dark?: boolean;
  /** A script that the model's worker runs first. */
  worker?: string;
  /** A script that the painter's worker runs first. */
  painter?: string;
  /** Whether the page has the headers with which it may use threads. Default true. */
  isolated?: boolean;
}

/** As for users: the test runner's own NODE_ENV would make it one for development, without service worker. */
async function buildStudio(outDir: string): Promise<void> {
  const { NODE_ENV } = process.env;
  process.env.NODE_ENV = "production";
  try {
    await build({ configFile: CONFIG, build: { outDir }, logLevel: "error" });
  } finally {
    process.env.NODE_ENV = NODE_ENV;
  }
}

/** The page as it opens; an error that nobody catches fails the test. */
export async function open(
  { browser, address }: Studio,
  options: OpenOptions = {},
  model?: (route: Route) => Promise<void>,
): Promise<Page> {
  const { hash = "", width = 1400, dark = false, worker, painter, isolated = true } = options;
  const page = await browser.newPage({
    viewport: { width, height: width < 500 ? 780 : 900 },
    colorScheme: dark ? "dark" : "light",
    reducedMotion: "reduce",
    serviceWorkers: "block", // it would answer before a route does
  });
  page.on("pageerror", (error) => {
    throw error;
  });
  page.setDefaultTimeout(PATIENCE);
  if (model) await page.context().route("**/models/scenes/*", model);
  for (const [path, first] of [
    ["**/groupvit-worker.js", worker],
    ["**/paint.worker-*.js", painter],
  ] as const) {
    if (first === undefined) continue;
    await page.context().route(path, async (route) => {
      const response = await route.fetch();
      await route.fulfill({ response, body: `${first}\n${await response.text()}` });
    });
  }
  if (!isolated) {
    await page.route(address, async (route) => {
      const response = await route.fetch();
      const headers = Object.entries(response.headers()).filter(([name]) => !/^cross-/.test(name));
      await route.fulfill({ response, headers: Object.fromEntries(headers) });
    });
  }
  await page.goto(address + hash);
  return page;
}

export interface File {
  name: string;
  mimeType: string;
  buffer: Buffer;
}

/** A small model whose random weights part pictures, unlike words. */
export async function partingModel(): Promise<File[]> {
  const files = await wordModelFiles();
  const processor = JSON.parse(new TextDecoder().decode(files.get("preprocessor_config.json")));
  const small = JSON.stringify({ ...processor, segmentation_short_side: 128 });
  files.set("preprocessor_config.json", new TextEncoder().encode(small));
  const mimeType = "application/octet-stream";
  return Array.from(files, ([name, bytes]) => ({ name, mimeType, buffer: Buffer.from(bytes) }));
}

/** The page at rest with that model in the place of the bundled one. */
export async function openWithModel(studio: Studio, model: File[], options: OpenOptions = {}) {
  const page = await open(studio, options, (route) => {
    const file = model.find(({ name }) => route.request().url().endsWith(`/${name}`));
    const { mimeType: contentType, buffer: body } = file ?? {};
    return route.fulfill(file ? { contentType, body } : { status: 404, body: "" });
  });
  await atRest(page);
  return page;
}

/** Gives the page a file as a picture. */
export function openPicture(page: Page, name: string, buffer: Buffer): Promise<void> {
  const field = page.locator("label", { hasText: "Open picture…" }).locator("input");
  return field.setInputFiles({ name, mimeType: "application/octet-stream", buffer });
}

/** Waits until a picture of that name is shown, segmented. */
export async function shows(page: Page, name: string): Promise<void> {
  await page.locator(`[aria-label^="Picture ${name}"]`).waitFor();
  await atRest(page);
}

/** Presses a button of the export panel. */
export async function exported(
  page: Page,
  button: string,
): Promise<{ name: string; bytes: Buffer }> {
  const [file] = await Promise.all([
    page.waitForEvent("download"),
    page.getByRole("button", { name: button, exact: true }).click(),
  ]);
  return { name: file.suggestedFilename(), bytes: readFileSync(await file.path()) };
}

/** Waits for a mask and its explanation: the page is at rest. */
export async function atRest(page: Page): Promise<void> {
  await page.locator(".chip").first().waitFor();
  await page.locator(".regions button, .merges button").first().waitFor();
}

/** What screen readers are told of the result. */
export async function announced(page: Page): Promise<string> {
  return (await page.locator("footer [role=status]").textContent()) ?? "";
}

const AXE = createRequire(import.meta.url).resolve("axe-core/axe.min.js");

/** Violations that axe-core finds, one line each. */
export async function violations(page: Page): Promise<string[]> {
  // Evaluated, not added as a script: the page's policy allows none but its own.
  await page.evaluate(readFileSync(AXE, "utf8"));
  return page.evaluate(async () => {
    const { run } = (globalThis as unknown as { axe: { run(): Promise<AxeResult> } }).axe;
    const { violations: found } = await run();
    return found.flatMap(({ id, nodes }) =>
      nodes.map(({ target, failureSummary }) => `${id} ${target} ${failureSummary ?? ""}`),
    );
  });
}

interface AxeResult {
  violations: { id: string; nodes: { target: string[]; failureSummary?: string }[] }[];
}
