// The package compiled as its users have it, for tests of threads and of killed processes.

import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL("../../", import.meta.url));

export interface Compiled {
  /** The folder that holds `dist`, with `package.json` beside it. */
  folder: string;
  /** A compiled module by its path below `src`, without ending. */
  module(name: string): string;
  remove(): void;
}

/** Compiles `src` into a folder of its own, inside the package, so that its packages are found. */
export async function compilePackage(): Promise<Compiled> {
  const cache = join(root, "node_modules", ".cache");
  mkdirSync(cache, { recursive: true });
  const folder = mkdtempSync(join(cache, "groupvit-test-"));
  const files = readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts") && !/\.(test|d)\.ts$/.test(file))
    .map((file) => join(root, "src", file));
  await build({
    entryPoints: files,
    outbase: join(root, "src"),
    outdir: join(folder, "dist"),
    format: "esm",
    platform: "node",
    target: "node20",
    logLevel: "error",
  });
  cpSync(join(root, "package.json"), join(folder, "package.json"));
  return {
    folder,
    module: (name) => join(folder, "dist", `${name}.js`),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}
