// npm start: from a fresh clone to a segmented picture. Installs and builds what is missing or old, then
// segments the sample picture. Node's own modules only: it runs before anything is installed.

import { spawnSync } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { build, isBuilt, root, run } from "./build.mjs";

const PICTURE = join("examples", "sample.jpg");
const LABELS = "sky, sun, grass, tree, house";
const OUT = join("out", "start");
const OLDEST_NODE = [20, 9];

/** Whether npm has installed what the lock file says; npm writes its own copy of it last. */
function isInstalled() {
  const installed = join(root, "node_modules", ".package-lock.json");
  if (!existsSync(installed)) return false;
  return statSync(installed).mtimeMs >= statSync(join(root, "package-lock.json")).mtimeMs;
}

async function phase(name, needed, work) {
  if (!needed) return;
  process.stdout.write(`${name} ... `);
  const began = performance.now();
  await work();
  process.stdout.write(`${((performance.now() - began) / 1000).toFixed(1)} s\n`);
}

/** Ends with a message where this Node.js is too old for the package. */
function checkNode() {
  const [major, minor] = process.versions.node.split(".").map(Number);
  const [oldMajor, oldMinor] = OLDEST_NODE;
  if (major > oldMajor || (major === oldMajor && minor >= oldMinor)) return;
  throw new Error(`Node.js ${process.versions.node} is too old; ${OLDEST_NODE.join(".")} or newer`);
}

try {
  checkNode();
  await phase("Installing packages", !isInstalled(), () =>
    run("npm", ["ci", "--no-audit", "--no-fund"]),
  );
  await phase("Building", !isBuilt(), build);
} catch (error) {
  console.error(`\n${error.message}`);
  process.exit(1);
}
const missing = [PICTURE, join("models", "scenes", "config.json")].filter(
  (path) => !existsSync(join(root, path)),
);
if (missing.length > 0) {
  console.error(
    `${missing.join(" and ")}: missing in this checkout. With a picture and a model of your own:\n` +
      '  node dist/cli/main.js segment PICTURE --labels "dog, tree, sky" --model nvidia/groupvit-gcc-yfcc',
  );
  process.exit(1);
}
console.log(`Segmenting ${PICTURE} by "${LABELS}"\n`);
const { status } = spawnSync(
  process.execPath,
  [join("dist", "cli", "main.js"), "segment", PICTURE, "--labels", LABELS, "--out", OUT],
  { cwd: root, stdio: "inherit" },
);
if (status !== 0) process.exit(status ?? 1);
console.log(
  `\nLook at ${join(OUT, "sample.overlay.png")}. Now your own picture, with any words:\n` +
    '  node dist/cli/main.js segment PICTURE --labels "dog, tree, sky"',
);
