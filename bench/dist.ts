// The built package, for what a user starts (the command line) and for parts that start threads or
// processes of their own.

import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

export const ROOT = fileURLToPath(new URL("..", import.meta.url));
export const ENTRY = pathToFileURL(join(ROOT, "dist/index.js")).href;
export const COMMAND = join(ROOT, "dist/cli/main.js");

/** Whether the package is built; says what is left out if it is not. */
export function isBuilt(what: string): boolean {
  if (existsSync(COMMAND)) return true;
  console.error(`bench: dist is missing, ${what} left out; run npm run build`);
  return false;
}

/**
 * A module of the built package.
 *
 * @param path of its source below `src`, without extension
 */
export function built<Module>(path: string): Promise<Module> {
  return import(pathToFileURL(join(ROOT, "dist", `${path}.js`)).href) as Promise<Module>;
}
