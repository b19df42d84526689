import { mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { safeName, writeFileAtomic } from "./atomic.node.js";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "atomic-"));
});
afterAll(() => rm(folder, { recursive: true }));

test("writes, replaces, and leaves no other file", async () => {
  const path = join(folder, `${"n".repeat(250)}.png`); // as long as file systems allow
  await writeFileAtomic(path, Uint8Array.from([1, 2, 3]));
  await writeFileAtomic(path, "text");
  expect(await readFile(path, "utf8")).toBe("text");
  expect((await readdir(folder)).length).toBe(1);
  await rm(path);
});

test("grows aside where it is told to", async () => {
  const aside = join(folder, "aside");
  const path = join(folder, "file");
  await expect(writeFileAtomic(path, "x", aside)).rejects.toThrow(/ENOENT.*aside/);
  await mkdir(aside);
  await writeFileAtomic(path, "x", aside);
  expect(await readFile(path, "utf8")).toBe("x");
  expect(await readdir(aside)).toEqual([]);
  await rm(aside, { recursive: true });
  await rm(path);
});

test("a failure leaves the folder as it was", async () => {
  const taken = join(folder, "taken");
  await mkdir(join(taken, "full"), { recursive: true });
  await expect(writeFileAtomic(taken, "x")).rejects.toThrow();
  expect(await readdir(folder)).toEqual(["taken"]);
  await expect(writeFileAtomic(join(folder, "missing", "x"), "x")).rejects.toThrow(/ENOENT/);
  await rm(taken, { recursive: true });
});

test("names stay readable and cannot leave the folder", () => {
  expect(safeName("dining table")).toBe("dining-table");
  expect(safeName("../../etc/passwd")).toBe("etc-passwd");
  expect(safeName("..")).toBe("unnamed");
  expect(safeName("猫 & Škoda")).toBe("猫-Škoda");
  expect(safeName("nul.png")).toBe("x-nul.png");
  expect(safeName("a:b\0c\n")).toBe("a-b-c");
  expect(safeName("photo.tar.gz")).toBe("photo.tar.gz");
});

test("any text gives a name that is safe, short and stable", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 400 }), (text) => {
      const name = safeName(text);
      expect(name).toMatch(/^[\p{L}\p{M}\p{N}_][\p{L}\p{M}\p{N}._-]*$/u);
      expect(Buffer.byteLength(name)).toBeGreaterThan(0);
      expect(Buffer.byteLength(name)).toBeLessThanOrEqual(120);
      expect(name.endsWith(".")).toBe(false);
      expect(safeName(name)).toBe(name);
    }),
    { seed: 11, numRuns: 1000 },
  );
});
