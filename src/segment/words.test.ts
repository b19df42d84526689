import { appendFile, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openWordStore } from "./word-store.node.js";

let folder: string;
const before = process.env.GROUPVIT_CACHE;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "groupvit-words-"));
  process.env.GROUPVIT_CACHE = folder;
});
afterEach(async () => {
  if (before === undefined) delete process.env.GROUPVIT_CACHE;
  else process.env.GROUPVIT_CACHE = before;
  await rm(folder, { recursive: true, force: true });
});

const row = (...numbers: number[]) => Float32Array.from(numbers);
const file = async () => join(folder, "words", (await readdir(join(folder, "words")))[0]!);

describe("the store of words", () => {
  it("gives back what was put, in another process as well", async () => {
    const store = await openWordStore("model", 2);
    await store.put([["a photo of a cät", row(1, 2)]]);
    await store.put([["dog", row(-0.5, 1e-30)]]);
    const again = await openWordStore("model", 2);
    expect(again.get("a photo of a cät")).toEqual(row(1, 2));
    expect(again.get("dog")).toEqual(row(-0.5, 1e-30));
    expect((await openWordStore("other", 2)).get("dog")).toBeUndefined();
    expect((await openWordStore("model", 3)).get("dog")).toBeUndefined();
  });

  it.each([1, 4, 9, 15])(
    "drops a record that lost its last %s bytes, and goes on",
    async (lost) => {
      await (await openWordStore("model", 2)).put([
        ["one", row(1, 1)],
        ["two", row(2, 2)],
      ]);
      const path = await file();
      const bytes = await readFile(path);
      await writeFile(path, bytes.subarray(0, bytes.length - lost));
      const store = await openWordStore("model", 2);
      expect(store.get("one")).toEqual(row(1, 1));
      expect(store.get("two")).toBeUndefined();
      await store.put([["three", row(3, 3)]]);
      const again = await openWordStore("model", 2);
      expect(again.get("one")).toEqual(row(1, 1));
      expect(again.get("three")).toEqual(row(3, 3));
    },
  );

  it("does not believe damaged numbers or a foreign file", async () => {
    await (await openWordStore("model", 2)).put([["one", row(1, 1)]]);
    const path = await file();
    const bytes = await readFile(path);
    bytes[10]! ^= 1;
    await writeFile(path, bytes);
    expect((await openWordStore("model", 2)).get("one")).toBeUndefined();
    await appendFile(path, "what is this doing here, and why is it so long?");
    const store = await openWordStore("model", 2);
    await store.put([["two", row(2, 2)]]);
    expect((await openWordStore("model", 2)).get("two")).toEqual(row(2, 2));
  });

  it("forgets where it cannot write, and lets the work go on", async () => {
    await writeFile(join(folder, "words"), "a file where the folder should be");
    const store = await openWordStore("model", 2);
    await store.put([["one", row(1, 1)]]);
    expect(store.get("one")).toBeUndefined();
  });

  it("keeps what several stores append at the same time", async () => {
    const stores = await Promise.all([1, 2, 3].map(() => openWordStore("model", 2)));
    await Promise.all(
      stores.flatMap((store, s) =>
        Array.from({ length: 20 }, (_, i) => store.put([[`${s} ${i}`, row(s, i)]])),
      ),
    );
    const again = await openWordStore("model", 2);
    for (let s = 0; s < 3; s++) {
      for (let i = 0; i < 20; i++) expect(again.get(`${s} ${i}`)).toEqual(row(s, i));
    }
  });
});
