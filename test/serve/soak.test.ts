// Many mixed requests, a tenth of them malformed or abandoned: every answer equals the command line's for the
// same input, and memory stays flat. GROUPVIT_SOAK says how many (20,000 take some minutes).

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import sharp from "sharp";
import { beforeAll, expect, test } from "vitest";
import { Random } from "../../src/random.js";
import { expectRefusal } from "./support/abuse.js";
import { MAIN, ownFolder, type Serving, serve } from "./support/process.js";
import { request } from "./support/raw.js";
import { MODEL, SAMPLE } from "./support/server.js";

const COUNT = Number(process.env.GROUPVIT_SOAK ?? 400);
const CONNECTIONS = 16;
/** Looks at memory over the whole run. */
const LOOKS = 60;
/** How much memory may grow over the second half, by linear regression; short runs are noise. */
const GROWTH = COUNT >= 5000 ? 0.05 : 0.25;
const SHORT_SIDE = "64";

/** Words that sets share were embedded in another company by the server than by the command line. */
const WORD_SETS = ["dog, sky, tree", "tree, sofa couch, lamp, dog", "sky; grass, lawn; a red car"];
const TEXTS = ["a dog in a park", "sky", "tree"];
const PICTURES = ["a.jpg", "b.png", "c.webp", "d.jpg"];

interface Expected {
  json: Record<string, unknown>;
  files?: Record<string, Buffer>;
}

let folder: string;
let server: Serving;
const pictures = new Map<string, Buffer>();
const segmented = new Map<string, Expected>();
const classified = new Map<string, Expected>();
const grouped = new Map<string, Expected>();
const embedded = new Map<string, Expected>();
let embeddedTexts: unknown;

const keyOf = (picture: string, words: string) => `${picture} ${words}`;

async function groupvit(args: readonly string[]) {
  const all = [MAIN, ...args, "--model", MODEL, "--threads", "1", "--json"];
  const env = { PATH: process.env.PATH ?? "", HOME: folder, GROUPVIT_CACHE: join(folder, "cli") };
  const child = spawn(process.execPath, all, {
    cwd: folder,
    env,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text) => {
    stdout += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text) => {
    stderr += text;
  });
  const [code] = await once(child, "close");
  expect(code, stderr).toBe(0);
  return JSON.parse(stdout) as { images: Record<string, unknown>[]; texts?: unknown };
}

async function makePictures(): Promise<void> {
  for (const [i, name] of PICTURES.entries()) {
    const left = 60 * i;
    const piece = sharp(SAMPLE).extract({ left, top: 10 * i, width: 400, height: 300 });
    const format = name.endsWith("jpg") ? "jpeg" : name.endsWith("png") ? "png" : "webp";
    const bytes = await piece
      .resize(80 + 8 * i, 64)
      [format]()
      .toBuffer();
    await writeFile(join(folder, name), bytes);
    pictures.set(name, bytes);
  }
}

/** What the command line says about every picture and words. */
async function askCommandLine(): Promise<void> {
  for (const [i, words] of WORD_SETS.entries()) {
    const out = `out-${i}`;
    const save = ["--out", out, "--save", "mask,overlay", "--short-side", SHORT_SIDE];
    const { images } = await groupvit(["segment", ...PICTURES, "--labels", words, ...save]);
    for (const [j, image] of images.entries()) {
      const name = PICTURES[j] ?? "";
      const stem = name.replace(/\..*/, "");
      const file = (kind: string) => readFile(join(folder, out, `${stem}.${kind}.png`));
      segmented.set(keyOf(name, words), {
        json: { ...image, mask: null },
        files: { mask: await file("mask"), overlay: await file("overlay") },
      });
    }
    const ranked = await groupvit(["classify", ...PICTURES, "--labels", words]);
    for (const [j, json] of ranked.images.entries()) {
      classified.set(keyOf(PICTURES[j] ?? "", words), { json });
    }
  }
  const groups = ["--out", "groups", "--modes", "all_groups"];
  const { images } = await groupvit(["groups", ...PICTURES, ...groups]);
  const embeddings = await groupvit(["embed", ...PICTURES, ...TEXTS.flatMap((t) => ["-t", t])]);
  embeddedTexts = embeddings.texts;
  for (const [j, name] of PICTURES.entries()) {
    const drawn = join(folder, "groups", `${name.replace(/\..*/, "")}.all_groups.png`);
    const { files: _, ...json } = images[j] ?? {};
    grouped.set(name, { json, files: { png: await readFile(drawn) } });
    embedded.set(name, { json: embeddings.images[j] ?? {} });
  }
}

beforeAll(async () => {
  folder = await ownFolder();
  await mkdir(join(folder, "cli"), { recursive: true });
  await makePictures();
  await askCommandLine();
  server = await serve({ processes: 2, args: ["--keep", "60", "--queue", "256"] });
}, 600_000);

const random = new Random("soak");
const any = <Value>(list: readonly Value[]): Value => list[random.integer(list.length)] as Value;

function post(path: string, body: Buffer | string, headers: Record<string, string> = {}) {
  const type = typeof body === "string" ? "application/json" : "image/png";
  return fetch(`${server.url}${path}`, {
    method: "POST",
    headers: { "content-type": type, ...headers },
    body: typeof body === "string" ? body : new Uint8Array(body),
  });
}

/** The answer's JSON without what only the service says. */
async function jsonOf(response: Response): Promise<Record<string, unknown>> {
  const text = await response.text();
  expect(response.status, text).toBe(200);
  const { model: _, picture_id: __, ...rest } = JSON.parse(text);
  return rest;
}

async function expectFile(response: Response, bytes: Buffer | undefined): Promise<void> {
  const got = Buffer.from(await response.arrayBuffer());
  expect(response.status).toBe(200);
  expect(bytes && got.equals(bytes)).toBe(true);
}

const query = (fields: Record<string, string>) => `?${new URLSearchParams(fields)}`;

async function segment(): Promise<void> {
  const [file, labels] = [any(PICTURES), any(WORD_SETS)];
  const fields = { file, labels, short_side: SHORT_SIDE };
  const { json, files } = segmented.get(keyOf(file, labels)) ?? { json: {} };
  const form = any(["json", "mask", "overlay"] as const);
  const accept = form === "json" ? "application/json" : `image/png; view=${form}`;
  const path = `/v1/segment${query(fields)}`;
  const response = await post(path, pictures.get(file) ?? "", { accept });
  if (form === "json") expect(await jsonOf(response)).toEqual(json);
  else await expectFile(response, files?.[form]);
}

async function segmentForm(): Promise<void> {
  const [file, labels] = [any(PICTURES), any(WORD_SETS)];
  const form = new FormData();
  form.set("labels", labels);
  form.set("short_side", SHORT_SIDE);
  form.set("picture", new Blob([new Uint8Array(pictures.get(file) ?? [])]), file);
  const response = await fetch(`${server.url}/v1/segment`, { method: "POST", body: form });
  expect(await jsonOf(response)).toEqual(segmented.get(keyOf(file, labels))?.json);
}

/** Uploads a picture once, and asks about it with other words. */
async function relabel(): Promise<void> {
  const file = any(PICTURES);
  const common = { file, short_side: Number(SHORT_SIDE) };
  const picture = pictures.get(file)?.toString("base64");
  let id: unknown;
  for (const labels of WORD_SETS) {
    const from = id === undefined ? { picture, keep: true } : { picture_id: id };
    const response = await post("/v1/segment", JSON.stringify({ ...common, labels, ...from }));
    const body = await response.json();
    expect(response.status, JSON.stringify(body)).toBe(200);
    id ??= body.picture_id;
    expect(body).toMatchObject({ ...segmented.get(keyOf(file, labels))?.json, picture_id: id });
  }
}

async function classify(): Promise<void> {
  const [file, labels] = [any(PICTURES), any(WORD_SETS)];
  const response = await post(`/v1/classify${query({ file, labels })}`, pictures.get(file) ?? "");
  expect(await jsonOf(response)).toEqual(classified.get(keyOf(file, labels))?.json);
}

async function groups(): Promise<void> {
  const file = any(PICTURES);
  const { json, files } = grouped.get(file) ?? { json: {} };
  const path = `/v1/groups${query({ file })}`;
  if (random.integer(2) === 0) {
    const response = await post(path, pictures.get(file) ?? "", { accept: "image/png" });
    return expectFile(response, files?.png);
  }
  expect(await jsonOf(await post(path, pictures.get(file) ?? ""))).toMatchObject(json);
}

async function embed(): Promise<void> {
  const file = any(PICTURES);
  const body = { file, texts: TEXTS, picture: pictures.get(file)?.toString("base64") };
  const answer = await jsonOf(await post("/v1/embed", JSON.stringify(body)));
  expect(answer).toMatchObject({ ...embedded.get(file)?.json, texts: embeddedTexts });
}

const MALFORMED: readonly (() => Promise<Response>)[] = [
  () => post("/v1/segment", "{"),
  () => post("/v1/segment?labels=dog", (pictures.get("a.jpg") as Buffer).subarray(0, 700)),
  () => post("/v1/segment?labels=dog", Buffer.from("no picture")),
  () => post("/v1/segment", pictures.get("b.png") as Buffer),
  () => post("/v1/segment", JSON.stringify({ labels: "dog", picture_id: "none" })),
  () => post("/v1/classify", JSON.stringify({ labels: ["a".repeat(10_000)] })),
  () => post("/v1/embed", JSON.stringify({ texts: [""] })),
  () => post("/v1/nothing", "{}"),
  () => fetch(`${server.url}/v1/vocabularies/..%2f..%2fa`),
];

async function malformed(): Promise<void> {
  const response = await any(MALFORMED)();
  expectRefusal({ status: response.status, body: await response.text() });
}

/** Leaves in the middle of the body, or of the work. */
async function abandoned(): Promise<void> {
  if (random.integer(2) === 0) {
    const controller = new AbortController();
    const asked = fetch(`${server.url}/v1/segment?labels=dog`, {
      method: "POST",
      headers: { "content-type": "image/png" },
      body: new Uint8Array(pictures.get("b.png") ?? []),
      signal: controller.signal,
    }).then((response) => response.arrayBuffer());
    await sleep(random.integer(20));
    controller.abort();
    await asked.catch(() => {});
    return;
  }
  const socket = connect(server.port, "127.0.0.1");
  socket.on("error", () => {});
  const headers = { "content-type": "image/png", "content-length": 5000 };
  socket.write(request("POST", "/v1/segment?labels=dog", headers, "half"));
  await sleep(random.integer(20));
  socket.destroy();
}

const KINDS: readonly (() => Promise<void>)[] = [
  segment,
  segmentForm,
  relabel,
  classify,
  groups,
  embed,
];

function next(): Promise<void> {
  const share = random.integer(20);
  if (share === 0) return malformed();
  if (share === 1) return abandoned();
  return any(KINDS)();
}

/** What a line through the numbers rises over all of them, by least squares. */
function rise(values: readonly number[]): number {
  const middle = (values.length - 1) / 2;
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  let above = 0;
  let below = 0;
  for (const [i, value] of values.entries()) {
    above += (i - middle) * (value - mean);
    below += (i - middle) ** 2;
  }
  return (above / below) * (values.length - 1);
}

test(`${COUNT} requests: right answers, flat memory`, async () => {
  const looks: number[] = [];
  let done = 0;
  const look = () => {
    looks.push(server.resident());
    // Long runs say how they are getting on.
    if (COUNT >= 1000) console.info(`${done} requests: ${looks.at(-1)?.toFixed(0)} MB`);
  };
  await Promise.all(
    Array.from({ length: CONNECTIONS }, async () => {
      while (done < COUNT) {
        if (++done % Math.ceil(COUNT / LOOKS) === 0) look();
        await next();
      }
    }),
  );
  const half = looks.slice(looks.length / 2);
  const mean = half.reduce((a, b) => a + b, 0) / half.length;
  const summary =
    `${COUNT} requests: ${mean.toFixed(0)} MB in the second half, rising by ` +
    `${rise(half).toFixed(1)} MB; peaks add up to ${server.peak().toFixed(0)} MB`;
  console.info(summary);
  expect(rise(half) / mean, summary).toBeLessThan(GROWTH);
  // What was abandoned is forgotten, and what it had taken is free again.
  await expect.poll(gauges, { timeout: 60_000 }).toEqual([0, 0]);
  expect(server.log()).not.toContain("defect");
  expect(await server.stop()).toBe(0);
}, 7_200_000);

async function gauges(): Promise<number[]> {
  const text = await (await fetch(`${server.url}/metrics`)).text();
  return ["groupvit_queue_length", "groupvit_in_work"].map((name) =>
    Number(new RegExp(`^${name} (\\d+)$`, "m").exec(text)?.[1]),
  );
}
