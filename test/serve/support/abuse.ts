// What every abuse has in common: it is answered with a 4xx that says what is wrong, in the form of all
// errors, and right afterwards the server answers a good request as before.

import { readFile } from "node:fs/promises";
import { expect } from "vitest";
import { errorResponse } from "../../../src/serve/schema.js";
import type { RawAnswer } from "./raw.js";
import { SAMPLE } from "./server.js";

/** Checks an answer that refuses, and gives its message. */
export function expectRefusal({ status, body }: Pick<RawAnswer, "status" | "body">): string {
  expect(status, body.slice(0, 300)).toBeGreaterThanOrEqual(400);
  expect(status, body.slice(0, 300)).toBeLessThan(500);
  const { error } = errorResponse.parse(JSON.parse(body));
  const text = `${error.message}; ${error.way_out ?? ""}`;
  expect(text.length, body).toBeGreaterThan(20);
  // Nothing of its inside, and nothing that could break a terminal or a log.
  expect(text).not.toMatch(/node_modules|\/work|\bat \S+:\d+|\p{Cc}/u);
  expect(text.length).toBeLessThan(1000);
  return text;
}

export async function answerOf(response: Response): Promise<RawAnswer> {
  return {
    status: response.status,
    headers: new Map(response.headers),
    body: await response.text(),
  };
}

/** A server's answers to requests that are as they should be, known from before the abuse. */
export class GoodRequests {
  private picture?: Uint8Array<ArrayBuffer>;
  private before?: string;

  constructor(
    private readonly url: string,
    private readonly token?: string,
  ) {}

  /** Asks for health and for a segmentation; each time the same comes back. */
  async check(): Promise<void> {
    const health = await fetch(`${this.url}/healthz`);
    expect(health.status).toBe(200);
    await health.text();
    this.picture ??= new Uint8Array(await readFile(SAMPLE));
    const headers: Record<string, string> = { "content-type": "image/jpeg" };
    if (this.token) headers.authorization = `Bearer ${this.token}`;
    const response = await fetch(`${this.url}/v1/segment?labels=dog,sky&short_side=64`, {
      method: "POST",
      headers,
      body: this.picture,
    });
    const text = await response.text();
    expect(response.status, text).toBe(200);
    this.before ??= text;
    expect(text).toBe(this.before);
  }
}
