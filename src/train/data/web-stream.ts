// Reading a large file over HTTP as one unbroken stream: a connection that drops is taken up again
// with a range request where it broke off.

import { InputError } from "../../errors.js";

export interface WebStreamOptions {
  signal?: AbortSignal;
  /** Attempts without a single new byte before giving up. */
  retries?: number;
  /** Milliseconds before the first retry; doubled for each further one. */
  retryDelay?: number;
  /** Milliseconds without a byte after which the connection counts as dropped. */
  stallTimeout?: number;
}

/** A status that will not change by asking again. */
class FinalStatusError extends InputError {}

/** What `fetch` itself only calls "fetch failed" or "terminated". */
function causeOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { code, message } = (error.cause ?? error) as { code?: unknown; message?: unknown };
  return typeof code === "string" ? code : String(message);
}

/**
 * The bytes at `url`. Addresses come from the user's own configuration, so private hosts are allowed
 * here (the downloader of strangers' lists is stricter).
 *
 * @throws InputError for a status other than 200/206, or when the retries are used up
 */
export async function* readUrl(
  url: string,
  options: WebStreamOptions = {},
): AsyncGenerator<Uint8Array> {
  const { signal, retries = 5, retryDelay = 500, stallTimeout = 30_000 } = options;
  let offset = 0;
  let etag: string | undefined;
  let failures = 0;
  for (;;) {
    const stall = new AbortController();
    let timer = setTimeout(() => stall.abort(), stallTimeout);
    try {
      const headers: Record<string, string> = { "accept-encoding": "identity" };
      if (offset > 0) {
        headers.range = `bytes=${offset}-`;
        if (etag !== undefined) headers["if-range"] = etag;
      }
      const response = await fetch(url, {
        headers,
        signal: signal ? AbortSignal.any([signal, stall.signal]) : stall.signal,
      });
      if (offset > 0 && response.status === 416) return;
      if (response.status !== 200 && response.status !== 206) {
        await response.body?.cancel();
        // 408, 429 and 5xx pass; other answers are final.
        if (response.status === 408 || response.status === 429 || response.status >= 500) {
          throw new Error(`the server answered ${response.status}`);
        }
        throw new FinalStatusError(
          `${url}: the server answered ${response.status}; check the address`,
        );
      }
      const newTag = response.headers.get("etag") ?? undefined;
      if (offset > 0 && response.status === 200 && etag !== undefined && newTag !== etag) {
        await response.body?.cancel();
        throw new FinalStatusError(`${url}: the file changed while it was read; start again`);
      }
      // A weak tag is not allowed in If-Range.
      if (newTag !== undefined && !newTag.startsWith("W/")) etag = newTag;
      // A server without ranges sends everything again: pass over what was already given.
      let repeated = response.status === 200 ? offset : 0;
      if (response.body === null) return;
      for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
        clearTimeout(timer);
        if (repeated >= chunk.length) {
          repeated -= chunk.length;
        } else {
          const fresh = repeated > 0 ? chunk.subarray(repeated) : chunk;
          repeated = 0;
          offset += fresh.length;
          failures = 0;
          // The reader may take its time: only the server's silence counts as a stall.
          yield fresh;
        }
        timer = setTimeout(() => stall.abort(), stallTimeout);
      }
      return;
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof FinalStatusError) throw error;
      failures++;
      if (failures > retries) {
        throw new InputError(
          `${url}: reading failed ${failures} times at byte ${offset} (${causeOf(error)}); ` +
            "check the connection and start again",
        );
      }
      await new Promise((resolve) => setTimeout(resolve, retryDelay * 2 ** (failures - 1)));
    } finally {
      clearTimeout(timer);
    }
  }
}
