// Compiles src into dist: TypeScript through tsc, other files as they are. Does nothing where dist is
// newer than everything it is made from. Node's own modules only, so that it runs before an install.
//
//   node scripts/build.mjs [--force]

import { spawn } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, relative } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("..", import.meta.url));
const source = join(root, "src");
const dist = join(root, "dist");
/** Its time is when the last complete build began. */
const stamp = join(dist, ".built");
/** Holds the number of the process that builds: two never do at once. */
const lock = join(root, "node_modules", ".groupvit-build");

/** Every file below a folder. */
function files(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    return entry.isDirectory() ? files(path) : [path];
  });
}

/** Whether dist holds what src says. */
export function isBuilt() {
  if (!existsSync(stamp)) return false;
  const built = statSync(stamp).mtimeMs;
  const made = [...files(source), join(root, "tsconfig.json"), join(root, "tsconfig.build.json")];
  return made.every((file) => file.endsWith(".test.ts") || statSync(file).mtimeMs <= built);
}

/** Runs a program quietly; what it said comes with the error. */
export async function run(command, args) {
  // On Windows npm is a script, which only a shell runs.
  const shell = command === "npm" && process.platform === "win32";
  const child = spawn(command, args, { cwd: root, shell });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => (said += text));
  const code = await new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", resolve);
  });
  if (code !== 0) throw new Error(`${command} ${args.join(" ")} failed:\n${said.trim()}`);
}

/** Takes the lock, or says that another process holds it. One whose process is gone is removed. */
function takeLock() {
  try {
    writeFileSync(lock, String(process.pid), { flag: "wx" });
    return true;
  } catch (error) {
    if (error.code !== "EEXIST") throw error;
  }
  try {
    const owner = Number(readFileSync(lock, "utf8"));
    if (owner > 0) process.kill(owner, 0);
  } catch (error) {
    if (error.code === "ESRCH") rmSync(lock, { force: true });
  }
  return false;
}

/** Builds if something changed; waits while another process does. Returns whether it built. */
export async function build() {
  for (;;) {
    if (isBuilt()) return false;
    if (takeLock()) break;
    await sleep(200);
  }
  try {
    const began = new Date();
    const tsc = join(root, "node_modules", "typescript", "bin", "tsc");
    await run(process.execPath, [tsc, "-p", "tsconfig.build.json"]);
    const kept = new Set();
    for (const file of files(source)) {
      const target = join(dist, relative(source, file));
      if (file.endsWith(".ts")) continue;
      mkdirSync(dirname(target), { recursive: true });
      copyFileSync(file, target);
      kept.add(target);
    }
    removeOrphans(kept);
    chmodSync(join(dist, "cli", "main.js"), 0o755);
    writeFileSync(stamp, "");
    utimesSync(stamp, began, began);
  } finally {
    rmSync(lock, { force: true });
  }
  return true;
}

/** Removes what earlier builds made from files that are gone. */
function removeOrphans(kept) {
  for (const file of files(dist)) {
    if (kept.has(file)) continue;
    const origin = join(source, relative(dist, file)).replace(/(\.d\.ts|\.js)(\.map)?$/, ".ts");
    if (file !== stamp && !existsSync(origin)) rmSync(file);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  if (process.argv.includes("--force")) rmSync(dist, { recursive: true, force: true });
  try {
    await build();
  } catch (error) {
    console.error(error.message);
    process.exit(1);
  }
}
