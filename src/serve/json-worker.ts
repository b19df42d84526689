// Entry of the thread that parses large bodies.

import { parentPort } from "node:worker_threads";
import { ApiError } from "./errors.js";
import { parseJson } from "./json.js";

export interface JsonTask {
  id: number;
  bytes: Uint8Array<ArrayBuffer>;
  pictureLimit: number;
}

export type JsonReply =
  | { id: number; value: unknown }
  | { id: number; refused: { status: number; code: string; message: string } };

parentPort?.on("message", ({ id, bytes, pictureLimit }: JsonTask) => {
  try {
    const value = parseJson(bytes, pictureLimit);
    const { picture } = (value ?? {}) as { picture?: unknown };
    // Handed over, not copied; small ones share their memory with others.
    const own =
      picture instanceof Uint8Array && picture.byteLength === picture.buffer.byteLength
        ? [picture.buffer as ArrayBuffer]
        : [];
    parentPort?.postMessage({ id, value } satisfies JsonReply, own);
  } catch (error) {
    const { status, code, message } =
      error instanceof ApiError ? error : new ApiError(500, "internal", "a body broke its parser");
    parentPort?.postMessage({ id, refused: { status, code, message } } satisfies JsonReply);
  }
});
