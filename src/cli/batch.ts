// Runs a command over its pictures, one after another: the next is decoded while the engine works, one
// that cannot be read is reported and does not stop the rest.

import { PictureError } from "../errors.js";
import type { Picture } from "../index.js";
import type { PictureOptions } from "./options.js";
import { BatchDocument, type BatchError } from "./output.js";
import { startProgress } from "./progress.js";
import type { Source } from "./sources.js";
import { interruption, note, print } from "./terminal.js";

/** What a command gives for one picture. */
export interface BatchResult {
  /** An entry of the JSON document. */
  json: unknown;
  /** The same for people, with a line break at its end. */
  text: string;
}

/**
 * Works on every picture and writes the results to stdout. The exit code becomes 2 if a picture could
 * not be read; any other error ends the batch.
 *
 * @param verb begins the progress line
 * @param head first fields of the JSON document
 * @param tail last fields of it
 */
export async function runBatch(
  verb: string,
  sources: readonly Source[],
  options: PictureOptions,
  head: Record<string, unknown>,
  work: (picture: Picture, source: Source) => Promise<BatchResult>,
  tail: () => Record<string, unknown> = () => ({}),
): Promise<void> {
  const { decodePicture } = await import("../index.js");
  const { signal } = interruption;
  const document = options.json ? new BatchDocument(head) : undefined;
  const progress = startProgress(verb);
  const errors: BatchError[] = [];
  const decode = (source: Source | undefined) => {
    if (!source) return undefined;
    const picture = decodePicture(source.open(), { maxPixels: options.limitPixels, signal });
    picture.catch(() => {}); // awaited in its turn
    return picture;
  };
  try {
    let next = decode(sources[0]);
    for (const [i, source] of sources.entries()) {
      const picture = next!;
      if (sources.length > 1) progress.update(i, sources.length, source.file);
      try {
        const decoded = await picture;
        next = decode(sources[i + 1]);
        signal.throwIfAborted();
        const result = await work(decoded, source);
        if (document) await document.add(result.json);
        else {
          progress.clear();
          await print(result.text);
        }
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof PictureError)) throw error;
        if (picture === next) next = decode(sources[i + 1]);
        progress.clear();
        // The message names the picture as the decoder knows it, which is how the user does.
        errors.push({ file: source.file, error: error.message });
        note(error.message);
        process.exitCode = 2;
      }
      // Ctrl-C is only heard between turns of the event loop, and the engine never gives one away.
      await new Promise((resolve) => setImmediate(resolve));
      signal.throwIfAborted();
    }
  } finally {
    progress.stop();
    await document?.close(errors, tail());
  }
  if (errors.length > 0 && sources.length > 1) {
    note(`${errors.length} of ${sources.length} pictures could not be read`);
  }
}
