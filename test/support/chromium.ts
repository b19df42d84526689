// The Chromium that browser tests run in.

import { existsSync } from "node:fs";
import { type Browser, chromium } from "playwright-core";

/**
 * Starts Chromium: the one that `CHROMIUM_PATH` names, or Debian's.
 *
 * @throws Error that says what to install where there is none: such tests fail, they are never skipped
 */
export function launchChromium(args: readonly string[] = []): Promise<Browser> {
  return chromium.launch({ executablePath: findChromium(), args: ["--no-sandbox", ...args] });
}

/** Flags with which Chromium computes WebGPU in software: slow, right, and without a graphics card. */
export const SOFTWARE_WEBGPU = [
  "--enable-unsafe-webgpu",
  "--enable-features=Vulkan",
  "--use-webgpu-adapter=swiftshader",
  "--use-vulkan=swiftshader",
];

export function findChromium(
  environment: Readonly<Record<string, string | undefined>> = process.env,
  exists: (path: string) => boolean = existsSync,
): string {
  const named = environment.CHROMIUM_PATH;
  if (named !== undefined) {
    if (exists(named)) return named;
    throw new Error(`CHROMIUM_PATH: there is no file ${named}; name Chromium's executable`);
  }
  const usual = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
  const found = usual.find(exists);
  if (found !== undefined) return found;
  throw new Error(
    "Chromium is missing: install Debian's package (apt-get install chromium), or set CHROMIUM_PATH",
  );
}
