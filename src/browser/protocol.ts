// What passes between a page and the worker that computes for it: one typed message for each call, and
// errors that keep their class.

import { CheckpointError, ConfigError, HubError, InputError, PictureError } from "../errors.js";
import type { WeightFormat } from "../graph/onnx.js";
import type { EncodedPicture, EncodeOptions, LoadOptions } from "../groupvit.js";
import type { PictureSource } from "../input/decode.browser.js";
import type { GroupViTConfig } from "../model/config.js";
import type { ModelSource } from "../platform.js";

/** Where a browser computes. */
export type BrowserDevice = "wasm" | "webgpu";

/** Options of `load` that reach the worker. */
export interface WorkerLoadOptions
  extends Pick<LoadOptions, "revision" | "threads" | "tokenizer" | "positions" | "wasmPath"> {
  device: BrowserDevice | "auto";
  dtype: WeightFormat;
  cache: boolean;
  /** Address of the folder that holds the bundled models. */
  models?: string;
}

/** Bytes so far and in all, over all files of a load; `file` is the one that just grew. */
export interface LoadProgress {
  file: string;
  loaded: number;
  total: number;
}

/** What a page learns of a loaded model. */
export interface LoadedModel {
  name: string;
  config: GroupViTConfig;
  device: BrowserDevice;
  threads: number;
  deviceReason: string;
}

/** A picture as it can be sent: the page has made addresses absolute. */
export type SentPicture = Exclude<PictureSource, URL> | ImageBitmap | ImageData;

/** Methods of an encoded picture that a page may call; their last argument may hold a signal. */
export type PictureMethod = "segment" | "classify" | "explain" | "groups";

/** What a page can ask of its worker: what it gives and what it gets. */
export interface Calls {
  load: {
    given: { source: ModelSource | undefined; base: string; options: WorkerLoadOptions };
    got: LoadedModel;
  };
  encode: {
    given: { source: SentPicture; options: Omit<EncodeOptions, "signal"> };
    got: { picture: number; width: number; height: number };
  };
  ask: {
    given: { [M in PictureMethod]: AskArguments<M> }[PictureMethod];
    got: Awaited<ReturnType<EncodedPicture[PictureMethod]>>;
  };
  free: { given: { picture: number }; got: undefined };
}

interface AskArguments<M extends PictureMethod> {
  picture: number;
  method: M;
  args: Parameters<EncodedPicture[M]>;
}

/** From the page: a call with a number of its own, or the end of one. */
export type ToWorker =
  | { [C in keyof Calls]: { id: number; call: C; given: Calls[C]["given"] } }[keyof Calls]
  | { id: number; call: "abort" };

/** From the worker, about the call of that number. */
export type FromWorker =
  | { id: number; got: Calls[keyof Calls]["got"] }
  | { id: number; failed: SentError }
  | { id: number; progress: LoadProgress }
  | { id: number; warning: string };

/** An error as data: classes do not survive the way between threads. */
export interface SentError {
  name: string;
  message: string;
  /** The engine cannot be used any more: the worker is to be ended. */
  fatal: boolean;
}

const CLASSES = { InputError, PictureError, CheckpointError, ConfigError, HubError };

export function sendError(error: unknown, fatal: boolean): SentError {
  const { name, message } = error instanceof Error ? error : new Error(String(error));
  return { name, message, fatal };
}

/** The error as the class that it was. */
export function receiveError({ name, message }: SentError): Error {
  if (Object.hasOwn(CLASSES, name)) return new CLASSES[name as keyof typeof CLASSES](message);
  if (name === "AbortError") return new DOMException(message, name);
  const error = new Error(message);
  error.name = name;
  return error;
}

/** The memory of every array in `value`, to be handed over instead of copied. */
export function buffersIn(value: unknown): ArrayBuffer[] {
  const found = new Set<ArrayBuffer>();
  const visit = (part: unknown) => {
    if (ArrayBuffer.isView(part)) {
      // A view of a larger memory would take the rest along; shared memory cannot be handed over.
      const { buffer } = part;
      if (buffer instanceof ArrayBuffer && part.byteLength === buffer.byteLength) found.add(buffer);
    } else if (typeof part === "object" && part !== null) {
      for (const inner of Object.values(part)) visit(inner);
    }
  };
  visit(value);
  return [...found];
}
