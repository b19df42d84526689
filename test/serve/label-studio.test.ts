// Label Studio's protocol, spoken by a stand-in for Label Studio that keeps uploads behind its token.

import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { decodeLabelStudio } from "../../src/annotate/label-studio.js";
import { decodeRle, decompressRle } from "../../src/index.js";
import { readLabelConfig } from "../../src/serve/label-config.js";
import type { RunningServer } from "../../src/serve/server.js";
import { temporaryFolder } from "../support/temporary.js";
import { SAMPLE, startTestServer } from "./support/server.js";

vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

const CONFIG = `<View>
  <Header value="Paint &amp; check"/>
  <Image name="photo" value="$picture" zoom="true"/>
  <BrushLabels name="masks" toName="photo">
    <Label value="Baum" alias="tree, oak" background="green"/>
    <Label value="Haus" hint="house"/>
    <Label value="sun"/>
  </BrushLabels>
  <Choices name="weather" toName="photo"><Choice value="rain"/></Choices>
</View>`;
const UPLOAD = "/data/upload/1/sample.jpg";
const API_KEY = "0123456789abcdef0123456789abcdef01234567";

const state = await temporaryFolder();
const sample = await readFile(SAMPLE);
const asked: IncomingMessage[] = [];
const labelStudio = createServer((request, response) => {
  asked.push(request);
  if (request.headers.authorization !== `Token ${API_KEY}`) response.writeHead(401).end();
  else if (request.url === UPLOAD) response.end(sample);
  else if (request.url === "/data/away") {
    response.writeHead(302, { location: `http://localhost:${port()}/data/upload/1/x` }).end();
  } else response.writeHead(404).end();
});
const port = () => (labelStudio.address() as AddressInfo).port;
let server: RunningServer;

beforeAll(async () => {
  await once(labelStudio.listen(0, "127.0.0.1"), "listening");
  server = await start();
});
afterAll(() => labelStudio.close());

const start = () =>
  startTestServer({
    state,
    labelStudioUrl: `http://127.0.0.1:${port()}`,
    labelStudioToken: API_KEY,
  });

async function post(path: string, body: unknown, base = server.url) {
  const response = await fetch(`${base}${path}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  return { status: response.status, body: await response.json() };
}

const setup = (schema = CONFIG, extra?: unknown, base?: string) =>
  post(
    "/setup",
    {
      project: "7.1700000000",
      schema,
      // Strangers' claims, which are not followed.
      hostname: "http://169.254.169.254",
      access_token: "secret",
      ...(extra === undefined ? {} : { extra_params: extra }),
    },
    base,
  );
const predict = (tasks: unknown[], more: object = { project: "7.1700000000" }, base?: string) =>
  post("/predict", { tasks, ...more }, base);
const task = (picture: string) => ({ id: 1, data: { picture, other: 5 } });

test("says that it is there, and which version", async () => {
  for (const path of ["/", "/health"]) {
    const answer = await (await fetch(`${server.url}${path}`)).json();
    expect(answer).toMatchObject({ status: "UP" });
  }
  const { body } = await post("/versions", { project: "7.17" });
  expect(body.versions).toEqual([expect.stringMatching(/^groupvit-\d+\.\d+\.\d+ scenes$/)]);
  expect(await (await fetch(`${server.url}/versions`)).json()).toEqual(body);
  expect((await post("/webhook", { action: "START_TRAINING" })).status).toBe(201);
});

test("predicts the masks that /v1/segment gives, under Label Studio's names", async () => {
  const { body: known } = await setup();
  const { status, body } = await predict([task(UPLOAD)]);
  expect(status).toBe(200);
  const [prediction] = body.results;
  expect(prediction.model_version).toBe(known.model_version);
  for (const result of prediction.result) {
    expect(result).toMatchObject({ type: "brushlabels", from_name: "masks", to_name: "photo" });
  }
  const form = new FormData();
  form.append("labels", "tree, oak; house; sun");
  form.append("picture", new Blob([sample]), "sample.jpg");
  const segment = await (
    await fetch(`${server.url}/v1/segment`, { method: "POST", body: form })
  ).json();
  const decoded = decodeLabelStudio(prediction);
  const names: Record<string, string> = { "tree, oak": "Baum", house: "Haus", sun: "sun" };
  let checked = 0;
  for (const { label, area, rle } of segment.labels) {
    if (area === 0) continue;
    const value = 1 + decoded.labels.indexOf(names[label]!);
    const mask = decodeRle(decompressRle(rle));
    expect(decoded.map.every((pixel, i) => (pixel === value) === (mask[i] === 1))).toBe(true);
    checked++;
  }
  expect(checked).toBe(prediction.result.length);
  expect(checked).toBeGreaterThan(0);
});

test("takes pictures as data: URLs, several tasks at once, and a broken one among them", async () => {
  await setup();
  const inline = `data:image/jpeg;base64,${sample.toString("base64")}`;
  const one = await predict([task(inline)]);
  const three = await predict([task(inline), task("data:image/png;base64,AAAA"), task(UPLOAD)]);
  const [first, broken, last] = three.body.results;
  expect(first).toEqual(one.body.results[0]);
  expect(last).toEqual(first);
  expect(broken).toMatchObject({ score: 0, result: [], error: expect.stringMatching(/picture/) });
  expect((await predict([task("data:image/png;base64,AAAA")])).status).toBe(415);
});

test("a project and its prompts are there after a restart; a newer interface comes first", async () => {
  await setup(CONFIG, JSON.stringify({ background_words: "sky, ground" }));
  const before = await predict([task(UPLOAD)]);
  await server.close();
  server = await start();
  expect(await predict([task(UPLOAD)])).toEqual(before);
  const stored = await readFile(join(state, "label-studio.json"), "utf8");
  expect(stored).not.toContain("secret");
  const changed = CONFIG.replace('value="Baum"', 'value="Wald"');
  const { body } = await predict([task(UPLOAD)], {
    project: "7.1700000000",
    label_config: changed,
  });
  const names = (results: { value: { brushlabels: string[] } }[]) =>
    results.map(({ value }) => value.brushlabels[0]);
  expect(names(body.results[0].result)).toEqual(
    names(before.body.results[0].result).map((name) => (name === "Baum" ? "Wald" : name)),
  );
});

describe("pictures elsewhere", () => {
  test("are not fetched: not by setup's word, not private ones, not through a redirect", async () => {
    await setup();
    asked.length = 0;
    for (const address of [
      `http://localhost:${port()}${UPLOAD}`,
      "http://169.254.169.254/latest/meta-data",
      "file:///etc/passwd",
      "s3://bucket/key.jpg",
      "//127.0.0.2/x",
      "../../etc/passwd",
    ]) {
      const { status } = await predict([task(address)]);
      expect([400, 403, 422]).toContain(status);
    }
    expect(asked.map(({ url }) => url)).toEqual(["/etc/passwd"]);
    expect((await predict([task("/data/away")])).status).toBe(403);
    expect(asked.at(-1)?.url).toBe("/data/away");
  });
});

describe("what cannot be used is refused with the reason", () => {
  const wrong: [string, string, RegExp][] = [
    ["no XML", "hello <", /no XML|BrushLabels/],
    ["no brush", '<View><Image name="a" value="$a"/></View>', /no BrushLabels/],
    [
      "no picture",
      '<View><BrushLabels name="a" toName="b"><Label value="x"/></BrushLabels></View>',
      /no Image tag/,
    ],
    ["a tag without a name", CONFIG.replace('name="masks"', ""), /no name or toName/],
    ["a DOCTYPE", `<!DOCTYPE x [<!ENTITY a "b">]>${CONFIG}`, /DOCTYPE/],
    ["depth", `${"<View>".repeat(80)}${"</View>".repeat(80)}`, /within each other/],
    ["size", `<View>${" ".repeat(1 << 20)}</View>`, /characters/],
    ["a name twice", CONFIG.replace("Haus", "Baum"), /same name/],
    ["words twice", CONFIG.replace('hint="house"', 'hint="sun"'), /given twice/],
  ];
  test.each(wrong)("%s", async (_, schema, message) => {
    const { status, body } = await setup(schema);
    expect(status).toBe(400);
    expect(body.error.message).toMatch(message);
  });

  test("requests without tasks, project or picture", async () => {
    expect((await predict([])).status).toBe(400);
    expect((await predict([task(UPLOAD)], {})).status).toBe(400);
    expect((await predict([task(UPLOAD)], { project: "8.1" })).body.error.code).toBe(
      "unknown_project",
    );
    await setup();
    expect((await predict([{ data: { image: UPLOAD } }])).status).toBe(400);
    expect((await setup(CONFIG, { threshold: 2 })).body.error.message).toMatch(
      /^extra_params.threshold: 2 is not/,
    );
    expect((await setup(CONFIG, "[]")).body.error.message).toMatch(/^extra_params: a list is no/);
  });
});

test("entities are those of XML alone", () => {
  const { labels } = readLabelConfig(CONFIG.replace('"sun"', '"a &lt; b"'));
  expect(labels.at(-1)).toEqual({ name: "a < b", words: "a < b" });
});

test("characters may be given by number, once", () => {
  const xml = CONFIG.replace('"sun"', '"Stra&#223;e &#x2600; &amp;#223;"');
  expect(readLabelConfig(xml).labels.at(-1)?.name).toBe("Straße ☀ &#223;");
});

test("an empty alias is none, and the case of names does not matter", () => {
  const xml = CONFIG.replace('alias="tree, oak"', 'alias=""')
    .replace('hint="house"', 'alias=" " Hint="house"')
    .replace("toName", "toname");
  expect(readLabelConfig(xml).labels.map(({ words }) => words)).toEqual(["Baum", "house", "sun"]);
});

test("labels of several tags are looked for together, each predicted for its own tag", async () => {
  const own = await predict([task(UPLOAD)], { label_config: CONFIG });
  const parted = CONFIG.replace(
    '<Label value="Haus"',
    '</BrushLabels><BrushLabels name="made" toName="photo"><Label value="Haus"',
  );
  const { body } = await predict([task(UPLOAD)], {
    label_config: parted.replace("</View>", `<BrushLabels name="x" toName="y"/></View>`),
  });
  const expected = own.body.results[0];
  for (const result of expected.result) {
    if (result.value.brushlabels[0] !== "Baum") result.from_name = "made";
  }
  expect(body.results[0]).toEqual(expected);
  expect(new Set(expected.result.map((one: { from_name: string }) => one.from_name)).size).toBe(2);
});
