// Builds the studio into studio/dist: a folder that works on any web server, in any path of it.
//
//   npm run build:studio

import { createHash } from "node:crypto";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { defineConfig, type ResolvedConfig } from "vite";
// @ts-expect-error: a plain script
import { buildBrowser } from "../scripts/build-browser.mjs";
import { writeServiceWorker } from "./write-service-worker.js";

const out = fileURLToPath(new URL("dist", import.meta.url));

/** A short name for the scripts of a folder, as they are. */
function hashOf(folder: string): string {
  const hash = createHash("sha256");
  for (const file of readdirSync(folder).sort()) {
    if (/\.(js|wasm)$/.test(file)) hash.update(file).update(readFileSync(join(folder, file)));
  }
  return hash.digest("hex").slice(0, 8);
}

export default defineConfig(async () => {
  // The package as others use it, with engine, worker and model, in a folder named by what it holds.
  const built = mkdtempSync(join(tmpdir(), "groupvit-studio-"));
  await buildBrowser(built);
  const name = `groupvit-${hashOf(built)}`;
  let folder = out;
  return {
    root: fileURLToPath(new URL(".", import.meta.url)),
    base: "./",
    build: {
      outDir: out,
      emptyOutDir: true,
      target: "es2022",
      rollupOptions: {
        external: ["groupvit/browser"],
        output: { paths: { "groupvit/browser": `../${name}/groupvit.js` } },
      },
    },
    worker: { format: "es" as const },
    esbuild: { jsx: "automatic" as const, jsxImportSource: "preact" },
    plugins: [
      {
        name: "groupvit-beside-the-page",
        configResolved({ build }: ResolvedConfig) {
          folder = build.outDir;
        },
        closeBundle() {
          cpSync(built, join(folder, name), { recursive: true });
          rmSync(built, { recursive: true });
          writeServiceWorker(folder);
        },
      },
    ],
  };
});
