// Runs a TypeScript file: bundles it with esbuild, packages left external, and starts Node on the result
// with the remaining arguments. Usage: node scripts/run-ts.mjs FILE.ts [ARGUMENTS]

import { spawn } from "node:child_process";
import { rmSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";

const [entry, ...rest] = process.argv.slice(2);
if (!entry) {
  console.error("run-ts: no file; give a TypeScript file and its arguments");
  process.exit(2);
}
const source = resolve(entry);
const root = dirname(dirname(fileURLToPath(import.meta.url)));
// Inside the package, so that its packages are found; one file a run, so that runs do not meet.
const bundle = join(
  root,
  "node_modules/.cache/groupvit",
  `${basename(entry).replace(/\.\w+$/, "")}-${process.pid}.mjs`,
);
const removeBundle = () => {
  rmSync(bundle, { force: true });
  rmSync(`${bundle}.map`, { force: true });
};

// Every file keeps its own address: what it reads lies beside its source, not beside the bundle.
const ownAddress = {
  name: "own-address",
  setup(context) {
    context.onLoad({ filter: /\.ts$/ }, async ({ path }) => {
      const text = await readFile(path, "utf8");
      const address = JSON.stringify(pathToFileURL(path).href);
      return { contents: text.replaceAll("import.meta.url", address), loader: "ts" };
    });
  },
};

try {
  await build({
    entryPoints: [source],
    outfile: bundle,
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node20",
    packages: "external",
    sourcemap: true,
    logLevel: "error",
    plugins: [ownAddress],
  });
} catch {
  removeBundle();
  process.exit(2);
}

const child = spawn(process.execPath, ["--enable-source-maps", bundle, ...rest], {
  stdio: "inherit",
});
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
child.on("exit", (code, signal) => {
  removeBundle();
  // The signal's own listener would keep this process alive.
  if (signal) process.removeAllListeners(signal);
  if (signal) process.kill(process.pid, signal);
  else process.exit(code ?? 1);
});
