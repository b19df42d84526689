// Fetches the encoded bytes of a picture from wherever it is, within the limits on bytes and time. Shared
// by Node and the browser; paths and Node's streams are added in `decode.node.ts`.

import { InputError, PictureError } from "../errors.js";
import {
  DEFAULT_MAX_BYTES,
  DEFAULT_MAX_PIXELS,
  type DecodeOptions,
  type Rgb,
  WHITE,
} from "./limits.js";
import type { Picture } from "./picture.js";

/** What can be decoded everywhere. Strings are URLs, and in Node paths too. */
export type CommonSource =
  | string
  | URL
  | Uint8Array
  | ArrayBuffer
  | Blob
  | ReadableStream<Uint8Array>
  | Picture;

/** The options of one call with their defaults filled in, and the name of the source for messages. */
export interface Reading {
  /** Begins every message. */
  subject: string;
  maxPixels: number;
  maxBytes: number;
  background: Rgb;
  /** Milliseconds that the call may take; `undefined` for no limit. */
  timeout: number | undefined;
  /** Fires for the caller's signal and for the timeout. */
  signal: AbortSignal;
}

/**
 * Runs `work` under the caller's limits: rejects at once when the signal fires or the time is over, even
 * if a decoder cannot be interrupted and finishes unseen.
 *
 * @throws InputError if a limit is no positive number, or the background no colour
 * @throws PictureError if the time is over
 */
export async function withLimits<T>(
  subject: string,
  options: DecodeOptions,
  work: (reading: Reading) => Promise<T>,
): Promise<T> {
  const {
    maxPixels = DEFAULT_MAX_PIXELS,
    maxBytes = DEFAULT_MAX_BYTES,
    background = WHITE,
    timeout,
  } = options;
  for (const [name, value] of Object.entries({ maxPixels, maxBytes, timeout: timeout ?? 1 })) {
    if (!(value > 0)) {
      throw new InputError(`decodePicture: ${name} must be a number above 0, not ${value}`);
    }
  }
  if (background.length !== 3 || !background.every((value) => value >= 0 && value <= 255)) {
    throw new InputError(
      `decodePicture: background [${background.join(", ")}] must be red, green and blue, 0 to 255`,
    );
  }
  options.signal?.throwIfAborted();
  const controller = new AbortController();
  const { signal } = controller;
  const forward = () => controller.abort(options.signal?.reason);
  options.signal?.addEventListener("abort", forward, { once: true });
  // For more than 2^31 - 1 milliseconds setTimeout would fire at once.
  const timer =
    timeout === undefined || timeout > 2 ** 31 - 1
      ? undefined
      : setTimeout(() => {
          controller.abort(
            new PictureError(
              `${subject}: not read within ${timeout} ms: try again, or raise "timeout"`,
            ),
          );
        }, timeout);
  const aborted = new Promise<never>((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
  try {
    return await Promise.race([
      work({ subject, maxPixels, maxBytes, background, timeout, signal }),
      aborted,
    ]);
  } catch (error) {
    // Whatever else broke because of the abort, the caller is told why it was aborted.
    if (signal.aborted) throw signal.reason;
    throw error;
  } finally {
    clearTimeout(timer);
    options.signal?.removeEventListener("abort", forward);
  }
}

/** Whether `source` names something by a URL: any `scheme://`, `data:` and `blob:`. */
export function isUrl(source: unknown): source is string | URL {
  return (
    source instanceof URL ||
    (typeof source === "string" && /^([a-z][a-z0-9+.-]*:\/\/|(data|blob):)/i.test(source))
  );
}

export function isPicture(source: unknown): source is Picture {
  return (
    typeof source === "object" &&
    source !== null &&
    "width" in source &&
    "height" in source &&
    "data" in source &&
    source.data instanceof Uint8Array
  );
}

/** What messages call the source: never its bytes, never a URL's password or query, at most 200 characters. */
export function subjectOf(source: unknown): string {
  if (typeof source === "string" && !isUrl(source)) return shorten(source) || '""';
  if (isUrl(source)) {
    if (!URL.canParse(source)) return "URL";
    const { protocol, host, pathname } = new URL(source);
    // Without a host there is nothing to name: a data URL is bytes.
    return host === "" ? `${protocol} URL` : shorten(`${protocol}//${host}${pathname}`);
  }
  if (typeof File !== "undefined" && source instanceof File && source.name !== "") {
    return shorten(source.name);
  }
  if (source instanceof Blob || source instanceof Uint8Array || source instanceof ArrayBuffer) {
    return "bytes";
  }
  return isPicture(source) ? "picture" : "stream";
}

/** One line, without control characters, which could rewrite a terminal. */
export function shorten(text: string, length = 200): string {
  const line = text.replace(/\p{Cc}+/gu, " ").trim();
  return line.length > length ? `${line.slice(0, length)}...` : line;
}

/**
 * The encoded bytes of a URL, a blob, a web stream or a buffer.
 *
 * @throws InputError if the source is none of these
 * @throws PictureError if there are more than `maxBytes`, or they cannot be had
 */
export async function readBytes(
  source: URL | string | Uint8Array | ArrayBuffer | Blob | ReadableStream<Uint8Array>,
  reading: Reading,
): Promise<Uint8Array> {
  if (typeof source === "string" || source instanceof URL) return download(source, reading);
  if (source instanceof ReadableStream) return collect(webChunks(source, reading.signal), reading);
  if (source instanceof Blob) {
    checkBytes(source.size, reading);
    try {
      return new Uint8Array(await source.arrayBuffer());
    } catch (error) {
      throw unreadable(error, reading.subject); // a file that changed since it was chosen
    }
  }
  if (!(source instanceof Uint8Array || source instanceof ArrayBuffer)) {
    throw new InputError(
      `decodePicture: cannot read a picture from ${source === null ? "null" : typeof source}: ` +
        "give a path, a URL, bytes, a blob, a stream or a picture",
    );
  }
  checkBytes(source.byteLength, reading);
  return source instanceof ArrayBuffer ? new Uint8Array(source) : source;
}

async function download(address: string | URL, reading: Reading): Promise<Uint8Array> {
  const { subject, signal } = reading;
  if (!URL.canParse(address)) throw new PictureError(`${subject}: malformed: check the address`);
  const url = new URL(address);
  if (!["http:", "https:", "data:", "blob:"].includes(url.protocol)) {
    throw new PictureError(
      `${subject}: cannot read "${url.protocol}" addresses: download the picture and give its path`,
    );
  }
  // fetch refuses them too, with a message that repeats the password.
  if (url.username !== "" || url.password !== "") {
    throw new PictureError(
      `${subject}: the address holds a user name or password: download the picture and give its path`,
    );
  }
  let response: Response;
  try {
    response = await fetch(url, { signal, headers: { accept: "image/*" } });
  } catch (error) {
    signal.throwIfAborted();
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    const why = cause instanceof Error ? shorten(cause.message) : "";
    throw new PictureError(
      `${subject}: cannot be downloaded (${why || "no connection"}): check the address and the network`,
      { cause: error },
    );
  }
  if (!response.ok) {
    await discard(response);
    throw new PictureError(
      `${subject}: the server answered HTTP ${response.status}: check the address`,
    );
  }
  // Only saves the trouble: the length may be missing or a lie, so the stream is counted too.
  const announced = Number(response.headers.get("content-length") ?? 0);
  try {
    checkBytes(announced, reading);
  } catch (error) {
    await discard(response);
    throw error;
  }
  return response.body === null
    ? new Uint8Array(0)
    : collect(webChunks(response.body, signal), reading);
}

/** Closes the connection of a response that is not wanted. */
async function discard(response: Response): Promise<void> {
  await response.body?.cancel().catch(() => {});
}

/**
 * Reads a stream of byte chunks to its end, or to the limit.
 *
 * @throws PictureError beyond `maxBytes`, or when the stream breaks or gives something else than bytes
 */
export async function collect(
  stream: AsyncIterable<unknown>,
  reading: Reading,
): Promise<Uint8Array> {
  const { subject, signal } = reading;
  const chunks: Uint8Array[] = [];
  let length = 0;
  try {
    for await (const chunk of stream) {
      signal.throwIfAborted();
      if (!(chunk instanceof Uint8Array)) {
        throw new PictureError(
          `${subject}: the stream gives ${typeof chunk} instead of bytes: leave its encoding unset`,
        );
      }
      length += chunk.length;
      checkBytes(length, reading);
      chunks.push(chunk);
    }
  } catch (error) {
    throw unreadable(error, subject);
  }
  signal.throwIfAborted();
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}

/** The chunks of a web stream (not every browser can iterate one), which is closed in the end. */
async function* webChunks(
  stream: ReadableStream<Uint8Array>,
  signal: AbortSignal,
): AsyncGenerator<unknown> {
  const reader = stream.getReader();
  // A read that waits ends when the stream is cancelled.
  const cancel = () => void reader.cancel(signal.reason).catch(() => {});
  signal.addEventListener("abort", cancel, { once: true });
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    signal.removeEventListener("abort", cancel);
    cancel();
  }
}

/** What the caller is told when reading broke; a PictureError already says it. */
export function unreadable(error: unknown, subject: string): PictureError {
  if (error instanceof PictureError) return error;
  const why = error instanceof Error ? shorten(error.message) : "";
  return new PictureError(
    `${subject}: cannot be read to the end (${why || "unknown reason"}): try again, or check access`,
    { cause: error },
  );
}

/** Refuses more encoded bytes than the limit. */
export function checkBytes(length: number, { subject, maxBytes }: Reading): void {
  if (length > maxBytes) {
    throw new PictureError(
      `${subject}: larger than the limit of ${maxBytes} bytes: ` +
        "shrink the picture, or raise maxBytes if you trust its origin",
    );
  }
}
