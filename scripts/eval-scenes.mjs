// npm run eval:scenes: from a fresh clone to the numbers of the bundled model's card. Makes what is missing
// (packages, build, drawings, the held-out set), then runs `groupvit eval scenes` with the arguments given.
// Node's own modules only: it runs before anything is installed.

import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { root } from "./build.mjs";
import { prepare } from "./prepare.mjs";

const EVALUATION = join(".cache", "scenes", "evaluation");

/** @param out where its output goes: stdout is for results alone, such as JSON */
function node(out, ...args) {
  const stdio = ["inherit", out, "inherit"];
  const { status } = spawnSync(process.execPath, args, { cwd: root, stdio });
  if (status !== 0) process.exit(status ?? 1);
}

await prepare();
const groupvit = join("dist", "cli", "main.js");
if (!existsSync(join(root, EVALUATION))) {
  node(process.stderr, join("scripts", "setup-scenes.mjs"));
  node(process.stderr, groupvit, "data", "scenes-evaluation");
}
node("inherit", groupvit, "eval", "scenes", ...process.argv.slice(2));
