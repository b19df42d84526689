import fc from "fast-check";
import { expect, test, vi } from "vitest";
import { ExpiringCache } from "./expiring-cache.js";

const limits = { count: 3, bytes: 100, lifetime: 1000 };

test("what was not used in time is gone, whatever happens to the system's clock", () => {
  let now = 0;
  const cache = new ExpiringCache<string>(limits, () => now);
  cache.set("a", "A", 10);
  cache.set("b", "B", 10);
  now = 900;
  expect(cache.get("a")).toBe("A");
  now = 1000;
  expect(cache.get("b")).toBeUndefined();
  now = 1899;
  expect(cache.get("a")).toBe("A");
  expect(cache.bytes).toBe(10);

  const real = new ExpiringCache<string>(limits);
  real.set("a", "A", 10);
  vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + 1e10 });
  expect(real.get("a")).toBe("A");
  vi.setSystemTime(0);
  expect(real.get("a")).toBe("A");
  vi.useRealTimers();
});

test("the least recently used makes room, by count and by bytes", () => {
  const cache = new ExpiringCache<string>(limits, () => 0);
  for (const key of ["a", "b", "c"]) cache.set(key, key, 10);
  cache.get("a");
  cache.set("d", "d", 10);
  expect(["a", "b", "c", "d"].map((key) => cache.get(key))).toEqual(["a", undefined, "c", "d"]);
  cache.set("e", "e", 85);
  expect(cache.size).toBe(2);
  cache.set("f", "too large", 101);
  expect(cache.get("f")).toBeUndefined();
  expect(cache.size).toBe(2);
});

test("never holds more than its limits", () => {
  const step = fc.record({ key: fc.nat(9), bytes: fc.nat(120), later: fc.nat(400) });
  fc.assert(
    fc.property(fc.array(step), (steps) => {
      let now = 0;
      const cache = new ExpiringCache<number>(limits, () => now);
      const last = new Map<string, number>();
      for (const { key, bytes, later } of steps) {
        now += later;
        cache.set(String(key), bytes, bytes);
        last.set(String(key), bytes);
        expect(cache.size).toBeLessThanOrEqual(limits.count);
        expect(cache.bytes).toBeLessThanOrEqual(limits.bytes);
      }
      let held = 0;
      for (const [key, bytes] of last) {
        const value = cache.get(key);
        if (value !== undefined) {
          expect(value).toBe(bytes);
          held += bytes;
        }
      }
      expect(cache.bytes).toBe(held);
    }),
  );
});
