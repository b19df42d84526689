// The curl examples run as they are printed, against a real server.

import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test, vi } from "vitest";
import { temporaryFolder } from "../support/temporary.js";
import { startTestServer } from "./support/server.js";

vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

const folder = await temporaryFolder();
const script = fileURLToPath(new URL("../../examples/serve/curl.sh", import.meta.url));

test("curl.sh", async () => {
  const server = await startTestServer();
  const { stdout, stderr } = await promisify(execFile)("bash", [script, server.url], {
    cwd: folder,
  });
  expect(stderr).toBe("");
  expect(stdout).toMatch(
    /Masks as JSON\n\{"file":"sample\.jpg","width":640,"height":480,"labels":/,
  );
  expect(stdout).toMatch(/x-labels: tree,house,sun\r?\n/i);
  expect(stdout).toMatch(/anew without an upload\n\{"file":"sample\.jpg"/);
  expect(stdout).toMatch(/"name":"outdoor","labels":\["tree","house, hut","sun"\]/);
  expect(stdout).toMatch(/as a whole\n\{"file":"sample\.jpg","labels":\[\{"label":"/);
  expect(stdout).toMatch(/\{"status":"ready"\}\n\{"models":\[\{"name":"scenes"[^\n]*\n\d+\n$/);
  for (const name of ["mask.png", "overlay.png", "groups.png"]) {
    const bytes = await readFile(join(folder, name));
    expect(bytes.subarray(1, 4).toString()).toBe("PNG");
  }
});
