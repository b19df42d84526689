// Bundles of the package as its users' tools make them, in memory.

import { fileURLToPath } from "node:url";
import { type BuildOptions, build } from "esbuild";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** The browser entry as ES modules, by file name; `index.js` is the entry. */
export async function bundleBrowser(options: BuildOptions = {}) {
  const result = await build({
    entryPoints: { index: "src/index.browser.ts" },
    absWorkingDir: root,
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "browser",
    outdir: "out",
    write: false,
    metafile: true,
    ...options,
  });
  const files = new Map<string, Uint8Array>();
  for (const file of result.outputFiles!) {
    files.set(file.path.slice(file.path.lastIndexOf("/") + 1), file.contents);
  }
  return { files, metafile: result.metafile!, warnings: result.warnings };
}
