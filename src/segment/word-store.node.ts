// Prompt embeddings on disk: one append-only file per model, shared by any number of processes.

import { mkdir, open, readFile, stat } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { writeFileAtomic } from "../atomic.node.js";
import { crc32 } from "../checkpoint/zip.js";
import type { WordStore } from "./words.js";

/** A store stops growing here; what comes after stays in memory. */
const MAX_BYTES = 256 * 1024 * 1024;
const MAX_PROMPT_BYTES = 65_536;

/** Folder of groupvit's own caches: `GROUPVIT_CACHE`, else under `XDG_CACHE_HOME` or `~/.cache`. */
export function cacheFolder(env: NodeJS.ProcessEnv = process.env): string {
  return env.GROUPVIT_CACHE ?? join(env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "groupvit");
}

/**
 * Opens the store of a model.
 *
 * A record is: bytes of the prompt (u32), prompt, embedding (f32 each), CRC-32 of all before it. Records
 * are appended with one write; reading ends at the first that is cut short or damaged. A folder that
 * cannot be written gives a store that forgets: a cache must never stop the work.
 *
 * @param key names model, number format and tokenizer
 */
export async function openWordStore(key: string, dim: number): Promise<WordStore> {
  const path = join(cacheFolder(), "words", `${key.slice(0, 40)}-${dim}.bin`);
  const known = new Map<string, Float32Array>();
  let usable = true;
  try {
    const { size } = await stat(path);
    if (size > MAX_BYTES) throw new Error("not a store of ours");
    const file = await readFile(path);
    const sound = readRecords(file, dim, known);
    // What a crash cut short would hide everything appended after it.
    if (sound < file.length) await writeFileAtomic(path, file.subarray(0, sound));
  } catch (error) {
    usable = (error as NodeJS.ErrnoException).code === "ENOENT";
  }
  return {
    get: (prompt) => known.get(prompt),
    async put(entries) {
      if (!usable) return;
      const records = entries
        .map(([prompt, embedding]) => record(prompt, embedding))
        .filter((bytes) => bytes !== undefined);
      try {
        await mkdir(join(cacheFolder(), "words"), { recursive: true });
        const file = await open(path, "a");
        try {
          const { size } = await file.stat();
          const bytes = Buffer.concat(records);
          if (size + bytes.length <= MAX_BYTES) await file.write(bytes);
        } finally {
          await file.close();
        }
      } catch {
        usable = false;
      }
    },
  };
}

function record(prompt: string, embedding: Float32Array): Uint8Array | undefined {
  const text = new TextEncoder().encode(prompt);
  if (text.length > MAX_PROMPT_BYTES) return undefined;
  const bytes = new Uint8Array(8 + text.length + embedding.byteLength);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, text.length, true);
  bytes.set(text, 4);
  for (let i = 0; i < embedding.length; i++) {
    view.setFloat32(4 + text.length + i * 4, embedding[i]!, true);
  }
  const end = bytes.length - 4;
  view.setUint32(end, crc32(bytes.subarray(0, end)), true);
  return bytes;
}

/** Reads records up to the first damaged one; returns where that begins. */
function readRecords(file: Buffer, dim: number, into: Map<string, Float32Array>): number {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  let offset = 0;
  while (offset + 8 <= file.length) {
    const length = view.getUint32(offset, true);
    const end = offset + 4 + length + dim * 4;
    if (length > MAX_PROMPT_BYTES || end + 4 > file.length) break;
    if (crc32(file.subarray(offset, end)) !== view.getUint32(end, true)) break;
    const prompt = file.toString("utf8", offset + 4, offset + 4 + length);
    const embedding = new Float32Array(dim);
    for (let i = 0; i < dim; i++) {
      embedding[i] = view.getFloat32(offset + 4 + length + i * 4, true);
    }
    into.set(prompt, embedding);
    offset = end + 4;
  }
  return offset;
}
