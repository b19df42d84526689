// Scenes as WebDataset shards, for trainers that read files instead of composing on the fly.

import { existsSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { packTar } from "modern-tar";
import sharp from "sharp";
import { InputError } from "../errors.js";
import { claimFolder } from "../train/data/files.js";
import { type Catalogue, sceneAt } from "./compose.js";

export interface ShardOptions {
  folder: string;
  seed: number | string;
  /** Scenes in all, and in one shard. */
  count: number;
  perShard?: number;
  size: number;
  difficulty: number;
  /** `jpg` is a fifth of the size, `png` is exact. */
  format?: "jpg" | "png";
  signal?: AbortSignal;
  /** Scenes so far, of how many. */
  onProgress?: (done: number, total: number) => void;
}

/**
 * Writes `000000.tar`, `000001.tar`... with `KEY.jpg` (or `.png`), `KEY.txt` (the caption) and
 * `KEY.json` (nouns and objects) for scenes 0 to `count` - 1 of the seed's stream. Shards that exist
 * are kept, so an interrupted run goes on where it stopped.
 *
 * @throws InputError where the folder has shards of other settings
 * @returns paths of all shards
 */
export async function generateShards(
  catalogue: Catalogue,
  options: ShardOptions,
): Promise<string[]> {
  const { folder, seed, count, perShard = 1000, size, difficulty, format = "jpg" } = options;
  if (!Number.isInteger(count) || count < 1 || !Number.isInteger(perShard) || perShard < 1) {
    throw new InputError(`shards of ${perShard} scenes, ${count} in all: both must be 1 or more`);
  }
  await claimFolder(folder, "scenes.json", { seed, count, perShard, size, difficulty, format });
  const files: string[] = [];
  for (let start = 0; start < count; start += perShard) {
    const file = join(folder, `${String(files.length).padStart(6, "0")}.tar`);
    files.push(file);
    const end = Math.min(count, start + perShard);
    if (!existsSync(file)) {
      const entries: { header: { name: string; size: number; mtime: Date }; body: Uint8Array }[] =
        [];
      const add = (name: string, body: Uint8Array) => {
        // A fixed time keeps equal seeds equal to the byte.
        entries.push({ header: { name, size: body.length, mtime: new Date(0) }, body });
      };
      for (let index = start; index < end; index++) {
        options.signal?.throwIfAborted();
        const scene = sceneAt(seed, index, catalogue, { size, difficulty });
        const picture = sharp(scene.picture.data, {
          raw: { width: size, height: size, channels: 3 },
        });
        const key = String(index).padStart(9, "0");
        const encoded = format === "jpg" ? picture.jpeg({ quality: 90 }) : picture.png();
        add(`${key}.${format}`, await encoded.toBuffer());
        add(`${key}.txt`, new TextEncoder().encode(scene.caption));
        const { nouns, objects } = scene;
        add(`${key}.json`, new TextEncoder().encode(JSON.stringify({ nouns, objects })));
      }
      const temporary = `${file}.${process.pid}.tmp`;
      writeFileSync(temporary, await packTar(entries));
      renameSync(temporary, file);
    }
    options.onProgress?.(end, count);
  }
  return files;
}
