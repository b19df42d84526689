// Small pictures for tests of labelling, and what a run leaves behind.

import { mkdir, readdir, readFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import sharp from "sharp";

/** PNG bytes of a pattern of cells, another for each number. */
export function pictureBytes(n: number): Promise<Buffer> {
  const [width, height] = [32 + (n % 9), 32];
  const cell = (i: number) => Math.floor((i % width) / 8) + 3 * Math.floor(i / width / 8) + n;
  const data = Uint8Array.from(
    { length: width * height * 3 },
    (_, i) => (cell(Math.floor(i / 3)) * (61 + 40 * (i % 3))) % 256,
  );
  return sharp(data, { raw: { width, height, channels: 3 } })
    .png({ compressionLevel: 1 })
    .toBuffer();
}

export async function writePictures(folder: string, count: number): Promise<void> {
  for (let n = 0; n < count; n++) {
    const path = join(folder, `${Math.floor(n / 100)}`, `picture-${n}.png`);
    await mkdir(dirname(path), { recursive: true });
    await sharp(await pictureBytes(n)).toFile(path);
  }
}

/** Every file below a folder with its bytes as text. */
export async function filesOf(folder: string): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (const entry of await readdir(folder, { withFileTypes: true, recursive: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    found.set(relative(folder, path), await readFile(path, "latin1"));
  }
  return found;
}
