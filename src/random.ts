// Seeded random numbers: the same stream on every platform, so that runs and fixtures are exact.

/** FNV-1a hash (32 bit) of a string's UTF-8 bytes. */
export function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) {
    hash = Math.imul(hash ^ byte, 0x01000193);
  }
  return hash >>> 0;
}

/**
 * Mulberry32: a 32-bit generator of uniform numbers in [0, 1).
 * `state` may be read and set, so that a generator can be stored and resumed exactly.
 */
export class Random {
  state: number;

  constructor(seed: number | string) {
    this.state = (typeof seed === "string" ? fnv1a(seed) : seed) | 0;
  }

  /** The next number in [0, 1). */
  uniform(): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    const a = this.state;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  }

  /** A whole number in [0, below). */
  integer(below: number): number {
    return Math.floor(this.uniform() * below);
  }

  /** A number from the standard normal distribution (Box-Muller, one draw of two used). */
  normal(): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
    return radius * Math.cos(2 * Math.PI * this.uniform());
  }

  /** A standard Gumbel draw, -log(-log(u)). */
  gumbel(): number {
    const u = Math.max(this.uniform(), 1e-20);
    return -Math.log(-Math.log(u));
  }
}
