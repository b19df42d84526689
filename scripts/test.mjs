// `npm test`: installs what is missing, checks types and style, and runs every test. The last line
// counts the tests.

import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { root } from "./build.mjs";
import { prepare } from "./prepare.mjs";

await prepare({ tests: true });

const bin = (name) => join(root, "node_modules", ".bin", name);
const step = (command, args) =>
  spawnSync(command, args, { cwd: root, stdio: "inherit" }).status === 0;

const report = mkdtempSync(join(tmpdir(), "groupvit-test-"));
const summary = join(report, "summary.json");
// Arguments narrow the run: `npm test -- src/graph`.
const only = process.argv.slice(2);
const clean =
  only.length > 0 ||
  (step(bin("tsc"), ["-p", "tsconfig.json"]) &&
    step(bin("tsc"), ["-p", "studio/tsconfig.json"]) &&
    step(bin("biome"), ["check", "."]));
const tested = step(bin("vitest"), [
  "run",
  "--reporter=default",
  "--reporter=json",
  `--outputFile.json=${summary}`,
  ...only,
]);

let passed = 0;
let failed = 0;
try {
  const { numPassedTests, numFailedTests, numFailedTestSuites } = JSON.parse(
    readFileSync(summary, "utf8"),
  );
  passed = numPassedTests;
  failed = numFailedTests || (tested ? 0 : Math.max(1, numFailedTestSuites));
} catch {
  failed = 1;
}
rmSync(report, { recursive: true });
if (!clean) console.error("groupvit: types or style are not clean (see above)");
console.log(`${passed} passed, ${failed + (clean ? 0 : 1)} failed`);
process.exit(clean && tested && failed === 0 ? 0 : 1);
