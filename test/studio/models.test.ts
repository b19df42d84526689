// Models that the studio does not come with: from the Hub by id, and as a folder dropped on the page.

import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type HubServer, hubRepository, startHub } from "../support/hub-server.js";
import {
  atRest,
  type File,
  openWithModel,
  partingModel,
  type Studio,
  startStudio,
} from "./page.js";

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
    await load("tiny/words");
    await page.locator("footer", { hasText: "tiny/words" }).waitFor();
    await atRest(page);
    const weights = hub.requests.filter(({ path }) => path.includes("model.safetensors"));
    expect(weights.map(({ host }) => host)).toEqual(["hub", "storage"]);
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
