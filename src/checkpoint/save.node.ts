// Checkpoints to disk. A file appears under its name only when it is complete.

import { randomBytes } from "node:crypto";
import { open, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { makeFolders } from "../atomic.node.js";
import { CheckpointError } from "../errors.js";
import { quote } from "./quote.js";
import { authorsFile, type HuggingFaceOptions, huggingFaceFiles, type Model } from "./save.js";

/**
 * Writes a Hugging Face model folder: `config.json`, `model.safetensors`, `preprocessor_config.json` and
 * the further files given. Files of the same names are replaced once all are written.
 *
 * @throws CheckpointError when the weights do not fit the configuration
 */
export async function saveHuggingFace(
  folder: string,
  model: Model,
  options: HuggingFaceOptions = {},
): Promise<void> {
  const files = new Map<string, Uint8Array[]>();
  for (const [name, chunks] of huggingFaceFiles(model, options)) {
    if (name !== basename(name) || name === "." || name === "..") {
      throw new CheckpointError(`File name ${quote(name)} leaves the folder; use a plain name`);
    }
    files.set(join(folder, name), chunks);
  }
  await writeFiles(files);
}

/** Writes an authors' `.pth`, weights and configuration in one file. */
export async function saveAuthors(path: string, model: Model): Promise<void> {
  await writeFiles(new Map([[path, authorsFile(model)]]));
}

async function writeFiles(files: Map<string, Uint8Array[]>): Promise<void> {
  const temporary = new Map<string, string>();
  try {
    for (const [path, chunks] of files) {
      await makeFolders(dirname(path));
      const name = `.${basename(path)}.${randomBytes(6).toString("hex")}.tmp`;
      const written = join(dirname(path), name);
      temporary.set(path, written);
      const file = await open(written, "wx");
      try {
        for (const chunk of chunks) await file.writeFile(chunk);
        await file.sync();
      } finally {
        await file.close();
      }
    }
    for (const [path, written] of temporary) await rename(written, path);
  } catch (error) {
    for (const written of temporary.values()) await rm(written, { force: true }).catch(() => {});
    const [path] = files.keys();
    const reason = error instanceof Error && "code" in error ? error.code : error;
    throw new CheckpointError(
      `Checkpoint ${quote(path!)} cannot be written (${reason}); ` +
        "choose a folder that may be written to and has room",
      { cause: error },
    );
  }
}
