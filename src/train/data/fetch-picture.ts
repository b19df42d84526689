// Fetches one picture from an address that a stranger wrote: public hosts only, checked again on every
// redirect, with bounds on time and size.

import { lookup as dnsLookup, type LookupAddress } from "node:dns";
import { request as httpRequest, type IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import { isIP, type LookupFunction } from "node:net";
import { isPublicAddress } from "./address.js";

/** Why a download failed; the same words count in statistics. */
export type DownloadFailure =
  | "no address"
  | "no caption"
  | "private address"
  | "name not found"
  | "timeout"
  | "too large"
  | "too many redirects"
  | "wrong content type"
  | "refused by X-Robots-Tag"
  | "truncated"
  | "broken picture"
  | "too small"
  | "connection failed"
  | `HTTP ${number}`;

export interface FetchLimits {
  /** Milliseconds for one picture, redirects included. */
  timeout: number;
  /** Most bytes of one picture. */
  maxBytes: number;
  maxRedirects: number;
  userAgent: string;
  /** `host:port` that may be private, for a mirror in the own network and for tests. */
  allowHosts: readonly string[];
}

/** A failure with its reason, for the statistics. */
export class DownloadError extends Error {
  override name = "DownloadError";
  constructor(readonly reason: DownloadFailure) {
    super(reason);
  }
}

/** Directives by which a site forbids this use of its pictures. */
const FORBIDDING = /\b(noai|noimageai|noindex|noimageindex|none)\b/i;

/**
 * The bytes at `url`.
 *
 * Every address that the name resolves to must be public, and the connection goes to an address that
 * was checked: the check happens in the connection's own resolution, so that a second answer of the name
 * server cannot slip by.
 *
 * @throws DownloadError with the reason
 * @throws the signal's reason when it fires
 */
export async function fetchPicture(
  url: string,
  limits: FetchLimits,
  signal?: AbortSignal,
): Promise<Uint8Array> {
  const timeout = AbortSignal.timeout(limits.timeout);
  const either = signal ? AbortSignal.any([signal, timeout]) : timeout;
  try {
    let current = url;
    for (let hop = 0; hop <= limits.maxRedirects; hop++) {
      const target = parseAddress(current, limits);
      const response = await send(target, limits, either);
      const { statusCode = 0, headers } = response;
      if ([301, 302, 303, 307, 308].includes(statusCode) && headers.location !== undefined) {
        response.destroy();
        current = URL.canParse(headers.location, target) //
          ? new URL(headers.location, target).href
          : "";
        continue;
      }
      try {
        return await receive(response, limits);
      } finally {
        response.destroy();
      }
    }
    throw new DownloadError("too many redirects");
  } catch (error) {
    signal?.throwIfAborted();
    if (timeout.aborted) throw new DownloadError("timeout");
    if (error instanceof DownloadError) throw error;
    const code = (error as NodeJS.ErrnoException).code ?? "";
    throw new DownloadError(
      code === "ENOTFOUND" || code === "EAI_AGAIN" ? "name not found" : "connection failed",
    );
  }
}

function isAllowed(target: URL, limits: FetchLimits): boolean {
  const port = target.port || (target.protocol === "https:" ? "443" : "80");
  return limits.allowHosts.includes(`${target.hostname}:${port}`);
}

/** Checks what the address itself tells; names are checked when they are resolved. */
function parseAddress(address: string, limits: FetchLimits): URL {
  if (!URL.canParse(address)) throw new DownloadError("no address");
  const target = new URL(address);
  if (target.protocol !== "http:" && target.protocol !== "https:") {
    throw new DownloadError("no address");
  }
  // Credentials of a list's author are not ours to send.
  target.username = "";
  target.password = "";
  // A connection to a literal address resolves nothing, so that `checkedLookup` would not see it.
  const literal = target.hostname.replace(/^\[|\]$/g, "");
  if (isIP(literal) !== 0 && !isPublicAddress(literal) && !isAllowed(target, limits)) {
    throw new DownloadError("private address");
  }
  return target;
}

/** Resolves a name for a connection and refuses it where any of its addresses is not public. */
const checkedLookup: LookupFunction = (hostname, options, callback) => {
  dnsLookup(hostname, { ...options, all: true }, (error, found) => {
    const addresses = found as LookupAddress[];
    if (error) return callback(error, "", 0);
    if (addresses.length === 0 || !addresses.every(({ address }) => isPublicAddress(address))) {
      return callback(new DownloadError("private address"), "", 0);
    }
    if (options.all) return callback(null, addresses);
    callback(null, addresses[0]!.address, addresses[0]!.family);
  });
};

function send(target: URL, limits: FetchLimits, signal: AbortSignal): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const request = (target.protocol === "https:" ? httpsRequest : httpRequest)(target, {
      // A connection of its own: a pooled one might have been opened under another check.
      agent: false,
      lookup: isAllowed(target, limits) ? undefined : checkedLookup,
      headers: {
        "user-agent": limits.userAgent,
        accept: "image/*",
        "accept-encoding": "identity",
      },
      maxHeaderSize: 16_384,
      signal,
    });
    request.on("response", resolve);
    request.on("error", reject);
    request.end();
  });
}

async function receive(response: IncomingMessage, limits: FetchLimits): Promise<Uint8Array> {
  const { statusCode = 0, headers } = response;
  if (statusCode !== 200) throw new DownloadError(`HTTP ${statusCode}`);
  const type = (headers["content-type"] ?? "").split(";")[0]!.trim().toLowerCase();
  // Many servers do not know their pictures' type; the bytes are checked anyway.
  if (type !== "" && type !== "application/octet-stream" && !type.startsWith("image/")) {
    throw new DownloadError("wrong content type");
  }
  if (FORBIDDING.test(String(headers["x-robots-tag"] ?? ""))) {
    throw new DownloadError("refused by X-Robots-Tag");
  }
  const announced = Number(headers["content-length"] ?? Number.NaN);
  if (announced > limits.maxBytes) throw new DownloadError("too large");
  const chunks: Uint8Array[] = [];
  let received = 0;
  try {
    for await (const chunk of response as AsyncIterable<Uint8Array>) {
      received += chunk.length;
      if (received > limits.maxBytes) throw new DownloadError("too large");
      chunks.push(chunk);
    }
  } catch (error) {
    // Node reports a body that ends before its announced length as a reset connection.
    if ((error as NodeJS.ErrnoException).code === "ECONNRESET")
      throw new DownloadError("truncated");
    throw error;
  }
  const out = new Uint8Array(received);
  let filled = 0;
  for (const chunk of chunks) {
    out.set(chunk, filled);
    filled += chunk.length;
  }
  return out;
}
