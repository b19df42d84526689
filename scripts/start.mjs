// npm start: from a fresh clone to a segmented picture. Installs and builds what is missing or old, then
// segments the sample picture. Node's own modules only: it runs before anything is installed.

import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { root } from "./build.mjs";
import { prepare } from "./prepare.mjs";

const PICTURE = join("examples", "mushroom.png");
const LABELS = "mushroom, dog, house, tree, truck, fish";
const OUT = join("out", "start");

await prepare();
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
  [
    join("dist", "cli", "main.js"),
    ...["segment", PICTURE, "--labels", LABELS, "--background", "threshold"],
    ...["--quality", "best", "--out", OUT],
  ],
  { cwd: root, stdio: "inherit" },
);
if (status !== 0) process.exit(status ?? 1);
console.log(
  `\nLook at ${join(OUT, "mushroom.overlay.png")}. The bundled model is small: it is right about simple\n` +
    "drawings of some things (models/scenes/README.md). For photographs add\n" +
    "--model nvidia/groupvit-gcc-yfcc. Now your own picture, with any words:\n" +
    '  node dist/cli/main.js segment PICTURE --labels "dog, tree, sky"',
);
