// The environment in which Node's WebGPU computes in software: slow, right, and without a graphics card.

import { existsSync } from "node:fs";
import { join } from "node:path";

const FOLDER = "/usr/lib/chromium";

/**
 * Variables for a child process: the Vulkan loader and driver that come with Debian's Chromium.
 *
 * @throws Error that says what to install where they are missing
 */
export function softwareVulkan(): Record<string, string> {
  const driver = join(FOLDER, "vk_swiftshader_icd.json");
  for (const file of [driver, join(FOLDER, "libvulkan.so.1")]) {
    if (!existsSync(file)) {
      throw new Error(`${file} is missing: install Debian's Chromium (apt-get install chromium)`);
    }
  }
  return { LD_LIBRARY_PATH: FOLDER, VK_ICD_FILENAMES: driver, VK_DRIVER_FILES: driver };
}
