// Counts requests by key and minute, on a clock that nobody sets: a limit shall not last for hours because
// the machine's time was put back.

interface Window {
  count: number;
  /** Of the monotonic clock. */
  began: number;
}

/** Keys that are remembered; beyond, the one that began longest ago is forgotten. */
const MAX_KEYS = 10_000;

/** A store for `@fastify/rate-limit`; all routes count together. */
export class RateStore {
  private readonly windows = new Map<string, Window>();

  incr(
    key: string,
    callback: (error: Error | null, result: { current: number; ttl: number }) => void,
    timeWindow: number,
  ): void {
    const now = performance.now();
    let window = this.windows.get(key);
    if (!window || now >= window.began + timeWindow) {
      // To the end: the first is the oldest.
      this.windows.delete(key);
      window = { count: 0, began: now };
      this.windows.set(key, window);
      const [oldest] = this.windows.keys();
      if (this.windows.size > MAX_KEYS && oldest !== undefined) this.windows.delete(oldest);
    }
    window.count++;
    callback(null, { current: window.count, ttl: window.began + timeWindow - now });
  }

  child(): RateStore {
    return this;
  }
}
