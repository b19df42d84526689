// Models that the studio does not come with: from the Hub by id, and as a folder dropped on the page.

import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { groupvit } from "../support/cli.js";
import { type HubServer, hubRepository, startHub } from "../support/hub-server.js";
import {
  atRest,
  exported,
  type File,
  openPicture,
  openWithModel,
  partingModel,
  type Studio,
  shows,
  startStudio,
} from "./page.js";

const sample = fileURLToPath(new URL("../../studio/public/samples/cottage.jpg", import.meta.url));
const STORAGE = "cas-bridge.xethub.hf.co";

/**
 * The Hub and its storage under their own names, which the test's browser takes for this machine: HTTPS, and
 * the headers with which both let pages of other origins in.
 */
async function serveAsHub(hub: HubServer, folder: string): Promise<Server> {
  const [key, cert] = [join(folder, "key.pem"), join(folder, "certificate.pem")];
  const subject = ["-subj", "/CN=huggingface.co", "-days", "2"];
  const files = ["-keyout", key, "-out", cert];
  execFileSync("openssl", ["req", "-x509", "-newkey", "rsa:2048", "-nodes", ...subject, ...files], {
    stdio: "ignore",
  });
  const options = { key: readFileSync(key), cert: readFileSync(cert) };
  const server = createServer(options, async (request, response) => {
    const storage = request.headers.host === STORAGE;
    const answer = await fetch((storage ? hub.storage : hub.endpoint) + request.url, {
      method: request.method ?? "GET",
      redirect: "manual",
    });
    const headers = Object.fromEntries(answer.headers);
    if (headers.location) {
      headers.location = headers.location.replace(hub.storage, `https://${STORAGE}`);
    }
    const origin = storage ? "*" : (request.headers.origin ?? "*");
    response.writeHead(answer.status, { ...headers, "access-control-allow-origin": origin });
    response.end(Buffer.from(await answer.arrayBuffer()));
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  return server;
}

describe("the studio takes a model", () => {
  const folder = mkdtempSync(join(tmpdir(), "groupvit-studio-models-"));
  let model: File[];
  let hub: HubServer;
  let named: Server;
  let studio: Studio;

  beforeAll(async () => {
    model = await partingModel();
    const files = Object.fromEntries(model.map(({ name, buffer }) => [name, buffer]));
    hub = await startHub({ "tiny/words": hubRepository(files) });
    named = await serveAsHub(hub, folder);
    const to = `127.0.0.1:${(named.address() as AddressInfo).port}`;
    const rules = `MAP huggingface.co:443 ${to}, MAP ${STORAGE}:443 ${to}, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1`;
    const flags = [`--host-resolver-rules=${rules}`, "--ignore-certificate-errors"];
    studio = await startStudio(flags);
  }, 600_000);

  afterAll(async () => {
    await studio?.close();
    named?.closeAllConnections();
    named?.close();
    await hub?.close();
    rmSync(folder, { recursive: true });
  });

  it("from the Hub by its id, and says so where there is none", async () => {
    const page = await openWithModel(studio, model);
    const load = async (id: string) => {
      await page.getByRole("button", { name: "Model…" }).click();
      await page.getByLabel("From the Hugging Face Hub").fill(id);
      await page.getByRole("button", { name: "Load", exact: true }).click();
    };
    await load("tiny/none");
    await page.getByRole("alert").waitFor();
    expect(await page.getByRole("alert").textContent()).toMatch(/could not be downloaded/);
    await page.getByRole("button", { name: "Dismiss" }).click();
    await page.getByRole("button", { name: "Model…" }).click();
    const field = page.getByLabel("From the Hugging Face Hub");
    for (const [typed, valid] of [
      ["no such model", false],
      ["../../etc/passwd", false],
      ["https://example.com/tiny/words", false],
      ["tiny/", false],
      ["tiny/words", true],
    ] as const) {
      await field.fill(typed);
      expect(await field.evaluate((element: HTMLInputElement) => element.checkValidity())).toBe(
        valid,
      );
    }
    await page.keyboard.press("Escape");
    await load("https://huggingface.co/tiny/words/tree/main");
    await page.locator("footer", { hasText: "tiny/words" }).waitFor();
    await atRest(page);
    const weights = hub.requests.filter(({ path }) => path.includes("model.safetensors"));
    expect(weights.map(({ host }) => host)).toEqual(["hub", "storage"]);
    await page.close();
  }, 300_000);

  it("in other numbers, in fp16 and fp32 with the command line's mask", async () => {
    const words = "tree, house, sky, grass";
    const picture = await sharp(sample).png().toBuffer();
    writeFileSync(join(folder, "cottage.png"), picture);
    mkdirSync(join(folder, "model"));
    for (const { name, buffer } of model) writeFileSync(join(folder, "model", name), buffer);
    const page = await openWithModel(studio, model);
    await openPicture(page, "cottage.png", picture);
    await shows(page, "cottage.png");
    await page.locator("#words-a").fill(words);
    const dialog = page.getByRole("dialog");
    const masks: Record<string, Buffer> = {};
    for (const dtype of ["int8", "fp16", "fp32", "int8"]) {
      await page.getByRole("button", { name: "Model…" }).click();
      await dialog.getByRole("radio", { name: dtype }).click();
      await dialog.getByRole("status").filter({ hasText: dtype }).waitFor();
      await page.keyboard.press("Escape");
      await page.locator("footer", { hasText: `scenes, ${dtype}` }).waitFor();
      const mask = (await exported(page, "Mask PNG")).bytes;
      if (masks[dtype]) expect(mask.equals(masks[dtype])).toBe(true);
      masks[dtype] = mask;
      // Products of 8-bit numbers are rounded in another way in each engine.
      if (dtype === "int8") continue;
      const args = ["segment", "cottage.png", "--model", "model", "--labels", words];
      const ended = await groupvit([...args, "--dtype", dtype, "--save", "mask"], { cwd: folder });
      expect(ended.stderr).toBe("");
      const expected = readFileSync(join(folder, "groupvit-out/cottage.mask.png"));
      expect(mask.equals(expected), dtype).toBe(true);
    }
    const different = new Set(Object.values(masks).map((mask) => mask.toString("base64")));
    expect(different.size).toBe(3);
    expect(await page.evaluate(() => location.hash)).not.toMatch(/dtype/);
    await page.close();
  }, 300_000);

  it("only as a model where it was picked as one, again as often as it is picked", async () => {
    const page = await openWithModel(studio, model);
    const before = await page.locator(".frame").getAttribute("aria-label");
    const none = join(folder, "pictures");
    mkdirSync(none);
    writeFileSync(join(none, "cottage.jpg"), readFileSync(sample));
    const config = model.filter(({ name }) => name === "config.json");
    for (const [label, files] of [
      ["Folder…", none],
      ["Files…", config],
      ["Files…", config],
    ] as const) {
      await page.getByRole("button", { name: "Model…" }).click();
      await page.getByLabel(label).setInputFiles(files);
      await page.getByRole("alert").waitFor();
      expect(await page.getByRole("alert").textContent()).toMatch(/not the weights of a model/);
      await page.getByRole("button", { name: "Dismiss" }).click();
    }
    expect(await page.locator(".frame").getAttribute("aria-label")).toBe(before);
    expect(await page.locator("footer").textContent()).toMatch(/scenes, fp32/);
    await page.close();
  }, 300_000);

  it("from a folder that is dropped on the page, with other folders in it", async () => {
    const dropped = join(folder, "download");
    mkdirSync(join(dropped, "tiny"), { recursive: true });
    writeFileSync(join(dropped, "notes.txt"), "no model");
    for (const { name, buffer } of model) writeFileSync(join(dropped, "tiny", name), buffer);
    const page = await openWithModel(studio, model);
    const cdp = await page.context().newCDPSession(page);
    for (const type of ["dragEnter", "dragOver", "drop"] as const) {
      const data = { items: [], files: [dropped], dragOperationsMask: 1 };
      await cdp.send("Input.dispatchDragEvent", { type, x: 300, y: 300, data });
      if (type === "dragOver") await page.getByText("Drop a picture, or").waitFor();
    }
    await page.locator("footer", { hasText: "your files" }).waitFor();
    await atRest(page);
    await page.close();
  }, 300_000);
});
