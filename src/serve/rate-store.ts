// Counts by key and minute, on a clock that nobody sets: a limit shall not last for hours because the
// machine's time was put back.

interface Window {
  count: number;
  /** Of the monotonic clock. */
  began: number;
}

/** What is counted of a key, and the milliseconds until it counts from zero again. */
interface Count {
  current: number;
  ttl: number;
}

/** Keys that are remembered; beyond, the one that began longest ago is forgotten. */
const MAX_KEYS = 10_000;

/** A store for `@fastify/rate-limit`; all routes count together. */
export class RateStore {
  private readonly windows = new Map<string, Window>();

  incr(
    key: string,
    callback: (error: Error | null, result: Count) => void,
    timeWindow: number,
  ): void {
    callback(null, this.hit(key, timeWindow));
  }

  /** Counts one more. */
  hit(key: string, timeWindow: number): Count {
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
    return { current: window.count, ttl: window.began + timeWindow - now };
  }

  /** What was counted so far. */
  look(key: string, timeWindow: number): Count {
    const window = this.windows.get(key);
    const ttl = window ? window.began + timeWindow - performance.now() : 0;
    return window && ttl > 0 ? { current: window.count, ttl } : { current: 0, ttl: 0 };
  }

  child(): RateStore {
    return this;
  }
}
