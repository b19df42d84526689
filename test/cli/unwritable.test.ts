// Output folders that cannot be made: told with code 2, at once. Node 20's own `mkdir` never returns from /proc.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { groupvit } from "../support/cli.js";
import { temporaryFolder } from "../support/temporary.js";

const folder = await temporaryFolder();
const smoke = new URL("../../configs/smoke.json", import.meta.url).pathname;
const sample = new URL("../../examples/sample.jpg", import.meta.url).pathname;
writeFileSync(join(folder, "list.tsv"), "url\tcaption\nhttp://127.0.0.1:9/a.jpg\ta dog\n");

test.skipIf(process.platform !== "linux").each([
  ["segment", sample, "--labels", "dog", "--out", "/proc/none/out"],
  ["groups", sample, "--out", "/proc/none/out"],
  ["export", "--out", "/proc/none/out"],
  ["label", sample, "--labels", "dog", "--to", "/proc/none/out"],
  ["train", smoke, "--out", "/proc/none/out"],
  ["data", "download", "list.tsv", "--out", "/proc/none/out"],
])("%s", async (...args) => {
  const { code, stderr } = await groupvit(args, { cwd: folder });
  expect(code, stderr).toBe(2);
  expect(stderr).toMatch(/\/proc\/none.*cannot be written \(ENOENT\)/);
});
