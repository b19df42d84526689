// What `npm start` and `npm test` do before anything else: install, build, and (for tests) the system
// packages that tests use. Node's own modules only: it runs before anything is installed.

import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** Runs a command quietly; shows what it said only if it fails. */
function run(what, command, args) {
  console.error(`groupvit: ${what}`);
  const result = spawnSync(command, args, { cwd: root, encoding: "utf8", maxBuffer: 1 << 28 });
  if (result.status === 0) return;
  console.error(`${result.stdout ?? ""}${result.stderr ?? ""}${result.error ?? ""}`);
  console.error(`groupvit: "${command} ${args.join(" ")}" failed`);
  process.exit(1);
}

const modified = (path) => (existsSync(path) ? statSync(path).mtimeMs : 0);

function newest(folder) {
  let time = 0;
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    time = Math.max(time, entry.isDirectory() ? newest(path) : statSync(path).mtimeMs);
  }
  return time;
}

/** Installs the packages of package-lock.json unless they are installed already. */
export function install() {
  const [major, minor] = process.versions.node.split(".").map(Number);
  if (major < 20 || (major === 20 && minor < 9)) {
    console.error(`groupvit: needs Node 20.9 or newer, this is ${process.versions.node}`);
    process.exit(1);
  }
  const installed = join(root, "node_modules", ".package-lock.json");
  if (modified(installed) >= modified(join(root, "package-lock.json"))) return;
  run("installing packages (npm ci)", "npm", ["ci", "--no-audit", "--no-fund"]);
}

/** Compiles `src` into `dist` unless it is up to date. */
export function build() {
  const stamp = join(root, "dist", ".built");
  const sources = Math.max(newest(join(root, "src")), modified(join(root, "tsconfig.build.json")));
  if (modified(stamp) >= sources) return;
  rmSync(join(root, "dist"), { recursive: true, force: true });
  const compiler = join(root, "node_modules", "typescript", "bin", "tsc");
  run("building", process.execPath, [compiler, "-p", "tsconfig.build.json"]);
  writeFileSync(stamp, "");
}

/** Makes sure of a headless Chromium for the tests that click in a real browser. */
export function installChromium() {
  if (process.env.CHROMIUM_PATH || existsSync("/usr/bin/chromium")) return;
  if (process.getuid?.() !== 0) {
    console.error(
      "groupvit: the tests need Debian's chromium: run `sudo apt-get install chromium`, " +
        "or set CHROMIUM_PATH to one",
    );
    process.exit(1);
  }
  const quiet = { stdio: ["ignore", "ignore", "inherit"] };
  console.error("groupvit: installing chromium (apt-get)");
  execFileSync("apt-get", ["update", "-qq"], quiet);
  execFileSync("apt-get", ["install", "-y", "-qq", "--no-install-recommends", "chromium"], {
    ...quiet,
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
  });
}
