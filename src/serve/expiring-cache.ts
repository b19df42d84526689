// Things that are kept for some minutes, as many as fit: the least recently used go first.

interface Entry<Value> {
  value: Value;
  bytes: number;
  /** Of the monotonic clock, in milliseconds: setting the system's clock changes nothing here. */
  expires: number;
}

export class ExpiringCache<Value> {
  private readonly entries = new Map<string, Entry<Value>>();
  private held = 0;

  /** @param lifetime milliseconds from the last use */
  constructor(
    private readonly limits: { count: number; bytes: number; lifetime: number },
    private readonly now: () => number = () => performance.now(),
  ) {}

  get size(): number {
    return this.entries.size;
  }

  get bytes(): number {
    return this.held;
  }

  get(key: string): Value | undefined {
    this.expire();
    const entry = this.entries.get(key);
    if (!entry) return undefined;
    // To the end: entries are in the order of their last use, and so of their expiry.
    this.entries.delete(key);
    entry.expires = this.now() + this.limits.lifetime;
    this.entries.set(key, entry);
    return entry.value;
  }

  /** Keeps a value; one larger than the whole cache is not kept. */
  set(key: string, value: Value, bytes: number): void {
    this.delete(key);
    if (bytes > this.limits.bytes) return;
    this.expire();
    this.entries.set(key, { value, bytes, expires: this.now() + this.limits.lifetime });
    this.held += bytes;
    for (const oldest of this.entries.keys()) {
      if (this.held <= this.limits.bytes && this.entries.size <= this.limits.count) break;
      this.delete(oldest);
    }
  }

  delete(key: string): void {
    const entry = this.entries.get(key);
    if (!entry) return;
    this.entries.delete(key);
    this.held -= entry.bytes;
  }

  /** Drops what nobody asked for in time. */
  expire(): void {
    const now = this.now();
    for (const [key, { expires }] of this.entries) {
      if (expires > now) break;
      this.delete(key);
    }
  }
}
