// Writes the service worker of a built studio: it lists the folder's files, and changes when any of them does.

import { createHash } from "node:crypto";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildSync } from "esbuild";

const SOURCE = fileURLToPath(new URL("service-worker.ts", import.meta.url));
const NAME = "service-worker.js";
/** Models are kept elsewhere, licences are not asked for. */
const NOT_KEPT = /(^|\/)(models\/|LICENSE$|NOTICE$)/;
/** What only browsers with WebGPU need. */
const LATER = /webgpu|asyncify/;

export function writeServiceWorker(folder: string): void {
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((path) => statSync(join(folder, path)).isFile())
    .map((path) => path.replaceAll("\\", "/"))
    .filter((path) => path !== NAME && !NOT_KEPT.test(path))
    .sort();
  const hash = createHash("sha256");
  for (const path of files) hash.update(path).update(readFileSync(join(folder, path)));
  const named = files.map((path) => (path === "index.html" ? "./" : path));
  const list = {
    now: named.filter((path) => !LATER.test(path)),
    later: named.filter((path) => LATER.test(path)),
  };
  buildSync({
    entryPoints: [SOURCE],
    outfile: join(folder, NAME),
    minify: true,
    target: "es2022",
    define: {
      FILES: JSON.stringify(list),
      VERSION: JSON.stringify(hash.digest("hex").slice(0, 12)),
    },
  });
}
