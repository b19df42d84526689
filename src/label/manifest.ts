// What the results of a folder were made with. It lies beside them, workers read it, and results that
// were made with something else are never mixed in.

import { readFileSync } from "node:fs";
import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod/mini";
import { makeFolder, writeFileAtomic } from "../atomic.node.js";
import { InputError } from "../errors.js";
import { isOfChunk } from "./results.js";

const manifestSchema = z.object({
  format: z.literal("groupvit-labels/1"),
  /** Of the package. */
  version: z.string(),
  model: z.object({
    /** Folder, file or Hub id; null for the bundled model. */
    source: z.nullable(z.string()),
    /** Of the weights' bytes. */
    sha256: z.string(),
    dtype: z.enum(["fp32", "fp16", "int8"]),
    /** Where the engine computes: native kernels, graphics cards and WebAssembly round differently. */
    device: z._default(z.enum(["cpu", "cuda", "webgpu", "wasm"]), "cpu"),
  }),
  labels: z.array(z.string()),
  /** Everything else that moves a mask. */
  protocol: z.object({
    prompts: z.enum(["simple", "subset", "full"]),
    mode: z.enum(["whole", "slide"]),
    shortSide: z.number(),
    topK: z.number(),
    background: z.enum(["none", "threshold", "words"]),
    threshold: z.optional(z.number()),
    backgroundWords: z.optional(z.array(z.string())),
  }),
});
export type Manifest = z.infer<typeof manifestSchema>;

/** Largest manifest that is read: 65,535 labels with many synonyms. */
const MAX_BYTES = 2 ** 26;

/** Of this package. */
export function packageVersion(): string {
  const text = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}

/** Where the parts of a folder of results lie. */
export const layout = (to: string) => ({
  manifest: join(to, "manifest.json"),
  /** Results of chunks, the index, and what is being written. */
  results: join(to, "results"),
  index: join(to, "results", "index.jsonl"),
  /** The part of the index that has no results yet. */
  pending: join(to, "results", "pending.jsonl"),
  parts: join(to, "results", "parts"),
});

/** @throws InputError where there is none, or something else under its name */
export async function readManifest(to: string): Promise<Manifest> {
  const path = layout(to).manifest;
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    throw new InputError(
      `${path}: it cannot be read (${error.code}); mount the folder of the results at the same path ` +
        "on every machine",
    );
  });
  return parseManifest(path, text);
}

function parseManifest(path: string, text: string): Manifest {
  try {
    if (text.length > MAX_BYTES) throw new RangeError("too large");
    return manifestSchema.parse(JSON.parse(text));
  } catch {
    throw new InputError(`${path}: it is no manifest of labels; name another folder`);
  }
}

/**
 * Makes a folder the place of results of this manifest, or goes on in one that is.
 *
 * @param fresh forgets results that are there
 * @throws InputError where it holds results of another model, vocabulary, protocol or version
 */
export async function claimFolder(to: string, manifest: Manifest, fresh: boolean): Promise<void> {
  const { manifest: path, results } = layout(to);
  const finished = (await readdir(results).catch(() => [])).filter(isOfChunk);
  // No more than that: a folder of such a name may be somebody's own.
  if (fresh) for (const file of finished) await rm(join(results, file), { force: true });
  const text = await readFile(path, "utf8").catch(() => undefined);
  // A run that ended before it had a result (no pictures, no worker) binds nobody.
  if (text !== undefined && !fresh && finished.length > 0) {
    const changes = manifestChanges(parseManifest(path, text), manifest);
    if (changes.length > 0) {
      throw new InputError(
        `${to} holds other results (${changes.slice(0, 4).join("; ")}); name another --to folder, or ` +
          "use --fresh to begin again",
      );
    }
  }
  await makeFolder(results);
  await writeFileAtomic(path, `${JSON.stringify(manifest, null, 1)}\n`);
}

/** Where two manifests differ, one text a field. */
export function manifestChanges(from: Manifest, to: Manifest): string[] {
  const [old, now] = [fields(from), fields(to)];
  const changes = Object.keys({ ...old, ...now }).flatMap((key) =>
    old[key] === now[key] ? [] : [`${key}: ${old[key] ?? "-"} -> ${now[key] ?? "-"}`],
  );
  const [before, after] = [from.labels, to.labels];
  if (before.length !== after.length) {
    return [...changes, `labels: ${before.length} -> ${after.length}`];
  }
  return [
    ...changes,
    ...before.flatMap((label, i) =>
      label === after[i] ? [] : [`label ${i + 1}: ${label} -> ${after[i]}`],
    ),
  ];
}

/** Where a model lies is no part of what it is. */
function fields({ version, model, protocol }: Manifest): Record<string, string> {
  const { dtype, device, sha256 } = model;
  const values = { version, model: sha256.slice(0, 12), dtype, device, ...protocol };
  return Object.fromEntries(
    Object.entries(values)
      .filter(([, value]) => value !== undefined)
      .map(([key, value]) => [key, String(value)]),
  );
}
