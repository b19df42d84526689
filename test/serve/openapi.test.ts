// The OpenAPI description and the page that shows it.

import { readFile } from "node:fs/promises";
import { expect, test, vi } from "vitest";
import type * as z from "zod";
import { ENDPOINTS } from "../../src/serve/openapi.js";
import * as schema from "../../src/serve/schema.js";
import { launchChromium } from "../support/chromium.js";
import { SAMPLE, startTestServer } from "./support/server.js";

vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

const server = await startTestServer();
const sample = await readFile(SAMPLE);

interface Operation {
  requestBody?: {
    content: Record<
      string,
      { schema: { properties: object; required?: string[] }; example?: object }
    >;
  };
  responses: Record<string, { content?: Record<string, unknown> }>;
}

async function document() {
  const response = await fetch(`${server.url}/openapi.json`);
  return (await response.json()) as {
    openapi: string;
    paths: Record<string, Record<string, Operation>>;
  };
}

test("describes every route, and no other", async () => {
  const { openapi, paths } = await document();
  expect(openapi).toBe("3.1.0");
  const described = Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
  );
  expect(described).toEqual(ENDPOINTS.map(({ method, path }) => `${method.toUpperCase()} ${path}`));
  for (const entry of described) {
    const [method, path] = entry.split(" ") as ["GET", string];
    const url = path.replace("{name}", ":name");
    expect(server.app.hasRoute({ method, url }), entry).toBe(true);
  }
  const tree = server.app.printRoutes({ commonPrefix: false });
  for (const [, path] of tree.matchAll(/── (\/(?:v1|healthz|readyz|metrics)\S*) \(/g)) {
    expect(Object.keys(paths), tree).toContain(path!.replace(":name", "{name}"));
  }
});

test("the example of every body is answered as it is described", async () => {
  const { paths } = await document();
  let sent = 0;
  for (const { path, method } of ENDPOINTS) {
    const example = paths[path]![method]!.requestBody?.content["application/json"]?.example;
    if (!example) continue;
    const response = await fetch(`${server.url}${path}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(example),
    });
    const { status, headers } = response;
    const described = paths[path]![method]!.responses[status]?.content ?? {};
    expect(status, await response.text()).toBeLessThan(300);
    expect(described).toHaveProperty([headers.get("content-type")!.split(";")[0]!]);
    sent++;
  }
  expect(sent).toBe(5);
});

test("metrics are text", async () => {
  const { paths } = await document();
  const response = await fetch(`${server.url}/metrics`);
  const [type = ""] = response.headers.get("content-type")!.split(";");
  expect(paths["/metrics"]!.get!.responses[200]!.content).toHaveProperty([type]);
});

test("picture endpoints take forms, JSON and bare pictures; all their fields have a description", async () => {
  const { paths } = await document();
  for (const { path, takesPicture } of ENDPOINTS) {
    if (!takesPicture) continue;
    const { content } = paths[path]!.post!.requestBody!;
    expect(Object.keys(content)).toEqual(["multipart/form-data", "application/json", "image/*"]);
    const { properties } = content["application/json"]!.schema;
    for (const [name, field] of Object.entries(properties)) {
      expect(field.description, `${path} ${name}`).toMatch(/\.$/);
    }
  }
});

test("answers are what their schemas say, with nothing left out", async () => {
  const ask = async (path: string, body: object, answer: z.ZodObject) => {
    const response = await fetch(`${server.url}${path}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ picture: sample.toString("base64"), ...body }),
    });
    expect(answer.strict().safeParse(await response.json()).error).toBeUndefined();
  };
  await ask("/v1/segment", { labels: "tree, sun", keep: true }, schema.segmentResponse);
  await ask("/v1/classify", { labels: "tree, sun" }, schema.classifyResponse);
  await ask("/v1/groups", {}, schema.groupsResponse);
  await ask("/v1/embed", { texts: ["a"] }, schema.embedResponse);
  await ask("/v1/segment", {}, schema.errorResponse);
  const get = async (path: string, answer: z.ZodObject) => {
    const body = await (await fetch(`${server.url}${path}`)).json();
    expect(answer.strict().safeParse(body).error).toBeUndefined();
  };
  await get("/v1/vocabularies", schema.vocabulariesResponse);
  await get("/v1/vocabularies/voc", schema.vocabulary);
  await get("/v1/models", schema.modelsResponse);
  await get("/readyz", schema.statusResponse);
});

test("the page under /docs works: a request sent from it is answered", async () => {
  const browser = await launchChromium();
  try {
    const page = await browser.newPage();
    const trouble: string[] = [];
    page.on("console", (message) => {
      if (message.type() === "error") trouble.push(message.text());
    });
    page.on("request", (request) => {
      const { host } = new URL(request.url());
      if (host !== "" && host !== new URL(server.url).host) trouble.push(request.url());
    });
    await page.goto(`${server.url}/docs`);
    await page.getByText("/v1/models").click();
    await page.getByRole("button", { name: "Try it out" }).click();
    await page.getByRole("button", { name: "Execute" }).click();
    await page.getByText('"short_side"').first().waitFor();
    // Nothing has to be cleared first: what is empty counts as left out.
    await page.goto(`${server.url}/docs`);
    await page.getByText("/v1/segment").click();
    await page.getByRole("button", { name: "Try it out" }).click();
    await page.locator("input[type=file]").setInputFiles(SAMPLE);
    await page.getByPlaceholder("labels").fill("tree, sun");
    const answer = page.waitForResponse((response) => response.url().endsWith("/v1/segment"));
    await page.getByRole("button", { name: "Execute" }).click();
    expect((await answer).status()).toBe(200);
    await page.getByText('"tree"').first().waitFor();
    expect(trouble).toEqual([]);
  } finally {
    await browser.close();
  }
});
