// Fetches pictures from addresses that requests name: public hosts, and private ones only where whoever
// runs the server lists them. Every redirect is checked anew.

import { lookup as dnsLookup, type LookupAddress } from "node:dns";
import { request as httpRequest, type IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import { isIP, type LookupFunction } from "node:net";
import { InputError } from "../errors.js";
import { isPublicAddress } from "../train/data/address.js";
import { ApiError } from "./errors.js";
import type { ServeOptions } from "./options.js";
import { packageVersion } from "./version.js";

export interface FetchRules {
  /** Whether public addresses may be fetched. */
  allowPublic: boolean;
  /** `host` or `host:port` that may be fetched from whatever their address. */
  allowHosts: readonly string[];
  /** Sent to the origin it belongs to, and to no other. */
  authorization?: { origin: string; header(): Promise<string> };
  maxBytes: number;
  /** Milliseconds, redirects included. */
  timeout: number;
}

export type FetchPicture = (url: string, signal: AbortSignal) => Promise<Uint8Array>;

const MAX_REDIRECTS = 3;
const MAX_HEADERS = 16_384;

/** The fetcher of a server's options; undefined where no address may be fetched. */
export function pictureFetcher(
  { allowUrls = false, allowHosts = [] }: ServeOptions,
  maxBytes: number,
  timeout: number,
): FetchPicture | undefined {
  for (const host of allowHosts) {
    if (!URL.canParse(`http://${host}`) || new URL(`http://${host}`).pathname !== "/") {
      throw new InputError(`--allow-host ${host}: give a host or host:port, as in nas.local:9000`);
    }
  }
  if (!allowUrls && allowHosts.length === 0) return undefined;
  const rules = { allowPublic: allowUrls, allowHosts, maxBytes, timeout };
  return (url, signal) => fetchPicture(url, rules, signal);
}

/**
 * The bytes at an address.
 *
 * A name is resolved once, by the connection itself, and refused there where any of its addresses is
 * not public: no second answer of a name server slips by.
 *
 * @throws ApiError 400 or 403 for an address that may not be fetched, 422 for what is not had there
 */
export async function fetchPicture(
  url: string,
  rules: FetchRules,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const timeout = AbortSignal.timeout(rules.timeout);
  const either = AbortSignal.any([signal, timeout]);
  try {
    let target = checkAddress(url, rules);
    for (let hop = 0; hop <= MAX_REDIRECTS; hop++) {
      const response = await send(target, rules, either);
      const { statusCode = 0, headers } = response;
      if (![301, 302, 303, 307, 308].includes(statusCode)) return await receive(response, rules);
      response.destroy();
      const next = headers.location ?? "";
      if (!URL.canParse(next, target)) throw failed("it redirects to nowhere");
      target = checkAddress(new URL(next, target).href, rules);
    }
    throw failed(`it redirects more than ${MAX_REDIRECTS} times`);
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof ApiError) throw error;
    if (timeout.aborted) throw failed("it takes too long");
    const code = (error as NodeJS.ErrnoException).code ?? "";
    const unknown = code === "ENOTFOUND" || code === "EAI_AGAIN";
    throw failed(unknown ? "its name is not known" : "there is no connection");
  }
}

const failed = (why: string) =>
  new ApiError(
    422,
    "fetch",
    `picture_url cannot be fetched: ${why}; check it, or send the picture`,
  );

const forbidden = () =>
  new ApiError(
    403,
    "address",
    "picture_url names a private, local or reserved address; send the picture itself",
  );

/** Checks what the address itself tells; names are checked when they are resolved. */
function checkAddress(address: string, rules: FetchRules): URL {
  if (!URL.canParse(address)) throw new ApiError(400, "invalid", "picture_url is no address");
  const target = new URL(address);
  if (target.protocol !== "http:" && target.protocol !== "https:") {
    throw new ApiError(400, "invalid", "picture_url: only http and https are fetched");
  }
  if (target.username !== "" || target.password !== "") {
    throw new ApiError(400, "invalid", "picture_url holds a user or password; send the picture");
  }
  if (isListed(target, rules)) return target;
  if (!rules.allowPublic) {
    throw new ApiError(
      403,
      "urls_not_allowed",
      "this server does not fetch from that host; send the picture itself",
    );
  }
  // A connection to a literal address resolves nothing, so that `checkedLookup` would not see it.
  const literal = target.hostname.replace(/^\[|\]$/g, "");
  if (isIP(literal) !== 0 && !isPublicAddress(literal)) throw forbidden();
  return target;
}

function isListed({ hostname, port, protocol }: URL, { allowHosts }: FetchRules): boolean {
  const full = `${hostname}:${port || (protocol === "https:" ? "443" : "80")}`;
  return allowHosts.includes(hostname) || allowHosts.includes(full);
}

const checkedLookup: LookupFunction = (hostname, options, callback) => {
  dnsLookup(hostname, { ...options, all: true }, (error, found) => {
    const addresses = found as LookupAddress[];
    if (error) return callback(error, "", 0);
    if (addresses.length === 0 || !addresses.every(({ address }) => isPublicAddress(address))) {
      return callback(forbidden(), "", 0);
    }
    if (options.all) return callback(null, addresses);
    callback(null, addresses[0]!.address, addresses[0]!.family);
  });
};

async function send(target: URL, rules: FetchRules, signal: AbortSignal): Promise<IncomingMessage> {
  const { authorization } = rules;
  const own = authorization?.origin === target.origin ? await authorization.header() : undefined;
  return new Promise((resolve, reject) => {
    const request = (target.protocol === "https:" ? httpsRequest : httpRequest)(target, {
      // A connection of its own: a pooled one might have been opened under another check.
      agent: false,
      lookup: isListed(target, rules) ? undefined : checkedLookup,
      headers: {
        "user-agent": `groupvit/${packageVersion}`,
        accept: "image/*",
        "accept-encoding": "identity",
        ...(own === undefined ? {} : { authorization: own }),
      },
      maxHeaderSize: MAX_HEADERS,
      signal,
    });
    request.on("response", resolve);
    request.on("error", reject);
    request.end();
  });
}

async function receive(response: IncomingMessage, { maxBytes }: FetchRules): Promise<Uint8Array> {
  try {
    const { statusCode = 0, headers } = response;
    if (statusCode !== 200) throw failed(`the server there answers HTTP ${statusCode}`);
    const tooLarge = () => failed(`it has more than ${maxBytes} bytes`);
    if (Number(headers["content-length"] ?? 0) > maxBytes) throw tooLarge();
    const chunks: Uint8Array[] = [];
    let received = 0;
    for await (const chunk of response as AsyncIterable<Uint8Array>) {
      received += chunk.length;
      if (received > maxBytes) throw tooLarge();
      chunks.push(chunk);
    }
    return Buffer.concat(chunks, received);
  } finally {
    response.destroy();
  }
}
