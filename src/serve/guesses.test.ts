import { expect, test } from "vitest";
import { Guesses, MAX_GUESSES, network } from "./guesses.js";

test.each([
  ["192.0.2.7", "192.0.2.7"],
  ["::ffff:192.0.2.7", "192.0.2.7"],
  ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2"],
  ["2001:DB8:1:2::1", "2001:db8:1:2"],
  ["2001:db8::5", "2001:db8:0:0"],
  ["::1", "0:0:0:0"],
  ["fe80::1%eth0", "fe80:0:0:0"],
])("%s belongs to %s", (ip, expected) => {
  expect(network(ip)).toBe(expected);
});

test("all addresses of one IPv6 network are one guesser", () => {
  const guesses = new Guesses();
  for (let i = 0; i < MAX_GUESSES; i++) guesses.judge(`2001:db8:1:2::${i}`, undefined);
  expect(() => guesses.judge("2001:db8:1:2:ffff::", undefined)).toThrow(/too many wrong/);
  expect(() => guesses.judge("2001:db8:1:3::1", undefined)).not.toThrow();
});

test("memory is bounded, whoever guesses", () => {
  const guesses = new Guesses();
  for (let i = 0; i < 25_000; i++) {
    const ip = `198.${i >> 16}.${(i >> 8) & 255}.${i & 255}`;
    guesses.judge(ip, undefined);
    guesses.judge(ip, 0);
  }
  const { wrong, known } = guesses as unknown as {
    wrong: { windows: Map<string, unknown> };
    known: Set<string>;
  };
  expect(wrong.windows.size).toBe(10_000);
  expect(known.size).toBe(10_000);
});
