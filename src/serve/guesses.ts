// Wrong tokens by address: who keeps guessing is told to come later, and learns nothing meanwhile, while those
// who have shown a right token from there (behind the same proxy, say) are let in.

import { isIPv6 } from "node:net";
import { ApiError } from "./errors.js";
import { RateStore } from "./rate-store.js";

/** Wrong tokens that one address may try in a minute. */
export const MAX_GUESSES = 20;
const MINUTE = 60_000;
/** Addresses with the tokens that they have shown; beyond, the oldest has to show its token anew. */
const MAX_KNOWN = 10_000;

export class Guesses {
  private readonly wrong = new RateStore();
  private readonly known = new Set<string>();

  /**
   * Judges one attempt.
   *
   * @param ip where it comes from
   * @param token which token it was, undefined for a wrong one
   * @throws ApiError 429 after too many wrong ones, whatever this one is
   */
  judge(ip: string, token: number | undefined): void {
    const address = network(ip);
    const pair = `${address} ${token}`;
    if (token !== undefined && this.known.has(pair)) return;
    const { current, ttl } = this.wrong.look(address, MINUTE);
    if (current >= MAX_GUESSES) {
      throw new ApiError(
        429,
        "guesses",
        "too many wrong tokens from this address; try again after the seconds in Retry-After",
        Math.max(1, Math.ceil(ttl / 1000)),
      );
    }
    if (token === undefined) {
      this.wrong.hit(address, MINUTE);
      return;
    }
    this.known.add(pair);
    const [oldest] = this.known;
    if (this.known.size > MAX_KNOWN && oldest !== undefined) this.known.delete(oldest);
  }
}

/** What one guesser can have all addresses of: an IPv4 address, or the first 64 bits of an IPv6 one. */
export function network(ip: string): string {
  const [bare = ""] = ip.split("%");
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(bare)?.[1];
  if (mapped !== undefined) return mapped;
  if (!isIPv6(bare)) return bare;
  const [head = "", tail] = bare.toLowerCase().split("::");
  const first = head === "" ? [] : head.split(":");
  const last = tail ? tail.split(":") : [];
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - first.length - last.length);
  const groups = [...first, ...new Array<string>(zeros).fill("0"), ...last];
  return groups
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(":");
}
