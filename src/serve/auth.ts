// Who may ask: tokens, compared in constant time, and protection of a server without tokens from web
// pages that the user's browser shows.

import { createHash, timingSafeEqual } from "node:crypto";
import { isIP } from "node:net";
import type { FastifyRequest } from "fastify";
import { ApiError } from "./errors.js";
import { Guesses } from "./guesses.js";

const digest = (text: string) => createHash("sha256").update(text).digest();

/** The tokens of a server. */
export class Tokens {
  private readonly digests: readonly Buffer[];
  private readonly guesses = new Guesses();

  constructor(tokens: readonly string[]) {
    this.digests = tokens.map(digest);
  }

  get required(): boolean {
    return this.digests.length > 0;
  }

  /**
   * Which of the tokens a request brings; undefined for none. Takes as `Bearer` token, or as the
   * password of `Basic`, which is what Label Studio sends to a backend.
   */
  match(authorization: string | undefined): number | undefined {
    if (!this.required) return undefined;
    const given = digest(tokenOf(authorization) ?? "");
    let found: number | undefined;
    // All of them, whichever fits: time tells nothing.
    for (const [i, known] of this.digests.entries()) if (timingSafeEqual(given, known)) found = i;
    return found;
  }

  /** @throws ApiError 401, and 429 for an address that tried too many wrong ones */
  check(request: FastifyRequest): void {
    if (!this.required) return;
    const { authorization } = request.headers;
    if (authorization === undefined) {
      const message = 'no token; send the header "Authorization: Bearer <token>"';
      throw new ApiError(401, "no_token", message);
    }
    const token = this.match(authorization);
    this.guesses.judge(request.ip, token);
    if (token !== undefined) return;
    throw new ApiError(
      401,
      "wrong_token",
      "the token is wrong; ask whoever runs this server for one",
    );
  }
}

function tokenOf(authorization: string | undefined): string | undefined {
  const [, scheme, value] = /^(bearer|token|basic) +(\S+) *$/i.exec(authorization ?? "") ?? [];
  if (scheme === undefined || value === undefined) return undefined;
  if (scheme.toLowerCase() !== "basic") return value;
  const pair = Buffer.from(value, "base64").toString("utf8");
  return pair.slice(pair.indexOf(":") + 1);
}

/** Whether a host is only reached from this machine. */
export function isLoopback(host: string): boolean {
  const bare = host.replace(/^\[|\]$/g, "").toLowerCase();
  return bare === "localhost" || bare === "::1" || (isIP(bare) === 4 && bare.startsWith("127."));
}

/**
 * Refuses what web pages of others send through the user's browser: requests of another origin, and,
 * without tokens, names that were pointed at this machine (DNS rebinding).
 *
 * @param origins that may ask although they are not this server's
 * @throws ApiError 403 or 421
 */
export function checkOrigin(
  request: FastifyRequest,
  tokensRequired: boolean,
  origins: readonly string[],
): void {
  const { origin, host = "" } = request.headers;
  if (!tokensRequired && !isLoopback(host.replace(/:\d*$/, ""))) {
    throw new ApiError(
      421,
      "host",
      "the Host header names another machine; ask for localhost, or give the server a token",
    );
  }
  if (origin === undefined || origins.includes(origin)) return;
  if (URL.canParse(origin) && new URL(origin).host === host) return;
  throw new ApiError(
    403,
    "origin",
    "web pages of other origins are not answered; the server's --allow-origin lets one in",
  );
}
