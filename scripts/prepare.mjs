// What `npm start` and `npm test` do before anything else: check Node, install, build, and (for tests) the
// system packages that tests use. Node's own modules only: it runs before anything is installed.

import { spawnSync } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { build, isBuilt, root, run } from "./build.mjs";

const OLDEST_NODE = [20, 9];

/** Whether npm has installed what the lock file says; npm writes its own copy of it last. */
function isInstalled() {
  const installed = join(root, "node_modules", ".package-lock.json");
  if (!existsSync(installed)) return false;
  return statSync(installed).mtimeMs >= statSync(join(root, "package-lock.json")).mtimeMs;
}

async function phase(name, needed, work) {
  if (!needed) return;
  process.stderr.write(`${name} ... `);
  const began = performance.now();
  await work();
  process.stderr.write(`${((performance.now() - began) / 1000).toFixed(1)} s\n`);
}

/** Ends with a message where this Node.js is too old for the package. */
function checkNode() {
  const [major, minor] = process.versions.node.split(".").map(Number);
  const [oldMajor, oldMinor] = OLDEST_NODE;
  if (major > oldMajor || (major === oldMajor && minor >= oldMinor)) return;
  throw new Error(`Node.js ${process.versions.node} is too old; ${OLDEST_NODE.join(".")} or newer`);
}

/** Debian's packages that the tests start, by a file of each. */
const TEST_PACKAGES = {
  chromium: ["/usr/bin/chromium", process.env.CHROMIUM_PATH],
  curl: ["/usr/bin/curl"],
  "redis-server": ["/usr/bin/redis-server"],
  "openmpi-bin": ["/usr/bin/mpirun"],
  iproute2: ["/usr/sbin/ip", "/sbin/ip", "/usr/bin/ip"],
  openssl: ["/usr/bin/openssl"],
};

function missingPackages() {
  return Object.entries(TEST_PACKAGES)
    .filter(([, files]) => !files.some((file) => file && existsSync(file)))
    .map(([name]) => name);
}

/** Tests use real parts: a browser, Redis, MPI. They are Debian's, installed when root. */
function installPackages(names) {
  if (process.getuid?.() !== 0) {
    throw new Error(
      `The tests need Debian's ${names.join(", ")}: run \`sudo apt-get install ${names.join(" ")}\`` +
        (names.includes("chromium") ? ", or set CHROMIUM_PATH" : ""),
    );
  }
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  for (const args of [
    ["update", "-qq"],
    ["install", "-y", "-qq", "--no-install-recommends", ...names],
  ]) {
    const { status, stderr } = spawnSync("apt-get", args, { env, encoding: "utf8" });
    if (status !== 0) throw new Error(`apt-get ${args.join(" ")} failed:\n${stderr}`);
  }
}

/** Makes the checkout ready, or ends the process with one message that says what is missing. */
export async function prepare({ tests = false } = {}) {
  try {
    checkNode();
    await phase("Installing packages", !isInstalled(), () =>
      run("npm", ["ci", "--no-audit", "--no-fund"]),
    );
    const missing = tests ? missingPackages() : [];
    await phase(`Installing ${missing.join(", ")}`, missing.length > 0, () =>
      installPackages(missing),
    );
    await phase("Building", !isBuilt(), build);
  } catch (error) {
    console.error(`\n${error.message}`);
    process.exit(1);
  }
}
