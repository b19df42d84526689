import { expect, test } from "vitest";
import { Batcher, type Pending } from "./batcher.js";

const item = (shape: string | undefined, queuedAt = 0, crashes = 0): Pending => ({
  shape,
  queuedAt,
  crashes,
});

test("is bounded, but never loses what was taken already", () => {
  const queue = new Batcher(2, 1, 0, () => 0);
  const [a, b, c] = [item("x"), item("x"), item("x")];
  expect([a, b, c].map((one) => queue.add(one))).toEqual([true, true, false]);
  queue.putBack(c);
  expect(queue.length).toBe(3);
  expect([queue.take(), queue.take(), queue.take(), queue.take()]).toEqual([[c], [a], [b], []]);
});

test("puts equal shapes together, oldest first, and waits only so long for more", () => {
  let now = 0;
  const queue = new Batcher(9, 2, 3, () => now);
  const [a, b, c, d] = [item("x"), item("y"), item("x"), item("x")];
  queue.add(a);
  expect(queue.take()).toEqual([]);
  expect(queue.wait).toBe(3);
  for (const one of [b, c, d]) queue.add(one);
  expect(queue.take()).toEqual([a, c]);
  expect(queue.take()).toEqual([]);
  now = 3;
  expect(queue.take()).toEqual([b]);
  expect(queue.take()).toEqual([d]);
});

test("a job without a shape, and one whose engine ended, go alone and at once", () => {
  const queue = new Batcher(9, 4, 3, () => 0);
  const [a, b, c] = [item(undefined), item("x", 0, 1), item("x")];
  for (const one of [a, b, c]) queue.add(one);
  expect(queue.take()).toEqual([a]);
  expect(queue.take()).toEqual([b]);
  expect(queue.take()).toEqual([]);
  queue.remove(c);
  expect(queue.length).toBe(0);
});
