import { expect, test } from "vitest";
import { inTurns } from "./turns.js";

test("takes what comes at once in order, and the event loop goes on between", async () => {
  const order: string[] = [];
  const handler = inTurns((name: string) => {
    order.push(name);
    setImmediate(() => order.push(`after ${name}`));
    if (name === "b") handler("d");
  });
  for (const name of ["a", "b", "c"]) handler(name);
  expect(order).toEqual([]);
  while (order.length < 8) await new Promise((resolve) => setImmediate(resolve));
  const requests = order.filter((name) => name.length === 1);
  expect(requests).toEqual(["a", "b", "c", "d"]);
  for (const [next, before] of ["ba", "cb", "dc"].map((pair) => [...pair])) {
    // What the one before began is over at most one turn later.
    expect(order.indexOf(`after ${before}`)).toBeLessThanOrEqual(order.indexOf(next!) + 1);
  }
});

test("a handler that throws does not keep the next from its turn", async () => {
  const taken: number[] = [];
  const errors: unknown[] = [];
  const onError = (error: unknown) => errors.push(error);
  const others = process.listeners("uncaughtException");
  process.removeAllListeners("uncaughtException");
  process.on("uncaughtException", onError);
  try {
    const handler = inTurns((value: number) => {
      taken.push(value);
      if (value === 1) throw new Error("one");
    });
    for (const value of [0, 1, 2]) handler(value);
    while (taken.length < 3) await new Promise((resolve) => setImmediate(resolve));
    expect(taken).toEqual([0, 1, 2]);
    expect(errors).toEqual([new Error("one")]);
  } finally {
    process.removeListener("uncaughtException", onError);
    for (const other of others) process.on("uncaughtException", other);
  }
});
