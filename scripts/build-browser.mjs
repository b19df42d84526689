// Builds dist-browser: a folder that works from any static host with plain `<script type="module">`. It
// holds the page's script, the worker, the engine's files and the bundled model.
//
//   node scripts/build-browser.mjs [folder]

import { copyFileSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL("..", import.meta.url));
const engine = join(root, "node_modules/onnxruntime-web/dist");
/** What ONNX Runtime fetches: WebAssembly alone, and the build with WebGPU. */
const ENGINE_FILES = ["ort-wasm-simd-threaded.wasm", "ort-wasm-simd-threaded.asyncify.wasm"];

/** Builds into the folder, which is made anew; gives esbuild's metafile. */
export async function buildBrowser(folder = join(root, "dist-browser")) {
  const { outputFiles, metafile } = await build({
    entryPoints: {
      groupvit: "src/browser/index.ts",
      "groupvit-worker": "src/browser/groupvit-worker.ts",
    },
    absWorkingDir: root,
    outdir: folder,
    bundle: true,
    splitting: true,
    minify: true,
    format: "esm",
    platform: "browser",
    target: "es2022",
    write: false,
    metafile: true,
    logLevel: "warning",
  });
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  for (const { path, contents } of outputFiles) {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, contents);
  }
  for (const file of ENGINE_FILES) copyFileSync(join(engine, file), join(folder, file));
  copyFileSync(join(root, "LICENSE"), join(folder, "LICENSE"));
  copyFileSync(join(root, "NOTICE"), join(folder, "NOTICE"));
  const models = join(root, "models");
  for (const model of readdirSync(models)) {
    mkdirSync(join(folder, "models", model), { recursive: true });
    for (const file of readdirSync(join(models, model))) {
      copyFileSync(join(models, model, file), join(folder, "models", model, file));
    }
  }
  return metafile;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const folder = resolve(process.argv[2] ?? join(root, "dist-browser"));
  await buildBrowser(folder);
  console.log(`${basename(folder)}: built`);
}
