// Every program in examples/ runs as a user would run it, on the built package.

import { execFile } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, it } from "vitest";

const folder = fileURLToPath(new URL("../examples", import.meta.url));
const programs = readdirSync(folder).filter((name) => name.endsWith(".mjs"));
let scratch: string;
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), "groupvit-examples-"));
});
afterAll(() => rmSync(scratch, { recursive: true }));

const said: Record<string, RegExp> = {
  "segment.mjs": /tree: \d+\.\d % of the picture, score \d\.\d\d\n[\s\S]*overlay\.png written\n$/,
  "relabel.mjs": /encode: \d+\.\d ms\n[\s\S]*24 first groups merge into 8 segments\n$/,
  "transformers.mjs": /^\[ \[ 0\.\d+, 0\.\d+ \] \]\n$/,
};

it("has an expectation for every example", () => {
  expect(programs.sort()).toEqual(Object.keys(said).sort());
});

it.each(programs)("%s runs and says nothing on stderr", async (name) => {
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [join(folder, name)], {
    cwd: scratch,
    env: { ...process.env, GROUPVIT_CACHE: join(scratch, "cache") },
  });
  expect(stderr).toBe("");
  expect(stdout).toMatch(said[name]!);
});
