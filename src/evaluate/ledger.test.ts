import { appendFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Ledger, type LedgerHead } from "./ledger.js";
import { authorsSegmentation } from "./protocol.js";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "groupvit-ledger-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const head: LedgerHead = {
  format: "groupvit-ledger/1",
  dataset: "voc",
  split: "val",
  model: "abc",
  dtype: "fp32",
  protocol: authorsSegmentation(["cat", "dog"], { kind: "threshold", threshold: 0.95 }),
};
const record = (name: string) => ({
  name,
  pairs: [0, 0, 7],
  bins: [1, 0.5, 1, ...new Array<number>(27).fill(0)],
  files: "9-1",
  sha256: "0",
});

async function fill(path: string, names: readonly string[]): Promise<void> {
  const ledger = await Ledger.open(path, head, false);
  for (const name of names) await ledger.add(record(name));
  await ledger.close();
}

describe("the ledger of an evaluation", () => {
  it("gives back what was finished, cut at any byte", async () => {
    const whole = join(folder, "whole.jsonl");
    await fill(whole, ["a", "b", "c"]);
    const bytes = await readFile(whole);
    const firstLine = bytes.indexOf(10) + 1;
    for (let length = 0; length <= bytes.length; length += 7) {
      const path = join(folder, "cut.jsonl");
      await writeFile(path, bytes.subarray(0, length));
      const ledger = await Ledger.open(path, head, false);
      const lines = bytes.subarray(firstLine, Math.max(firstLine, length)).toString();
      expect(ledger.records.size).toBe(lines.split("\n").length - 1);
      // What is added to a cut ledger does not stick to the broken line.
      await ledger.add(record("z"));
      await ledger.close();
      const again = await Ledger.open(path, head, false);
      expect(again.records.get("z")).toEqual(record("z"));
      expect(again.records.size).toBe(ledger.records.size);
      await again.close();
    }
  });

  it("refuses another measurement and names what differs, unless it begins again", async () => {
    const path = join(folder, "other.jsonl");
    await fill(path, ["a"]);
    const { protocol } = head;
    if (protocol.task !== "segmentation") throw new Error("unreachable");
    const changed = {
      ...head,
      model: "def",
      protocol: { ...protocol, background: { kind: "threshold", threshold: 0.5 } } as const,
    };
    await expect(Ledger.open(path, changed, false)).rejects.toThrow(
      /model: abc -> def; threshold: 0.95 -> 0.5\).*--fresh/,
    );
    const fresh = await Ledger.open(path, changed, true);
    expect(fresh.records.size).toBe(0);
    await fresh.close();
  });

  it("begins again where another measurement was refused before its first picture", async () => {
    const path = join(folder, "refused.jsonl");
    await fill(path, []);
    const other = { ...head, model: "def" };
    const ledger = await Ledger.open(path, other, false);
    await ledger.add(record("a"));
    await ledger.close();
    await expect(Ledger.open(path, head, false)).rejects.toThrow(/model: def -> abc/);
    const again = await Ledger.open(path, other, false);
    expect(again.records.size).toBe(1);
    await again.close();
  });

  it.each([
    ["a head without a protocol", { format: "groupvit-ledger/1" }, record("a")],
    ["a head with half a protocol", { ...head, protocol: { task: "segmentation" } }, record("a")],
    ["nothing", head, null],
    ["a picture without a name", head, { ...record("a"), name: undefined }],
    ["a class that is none", head, { ...record("a"), pairs: [0, 3, 7] }],
    ["a negative count", head, { ...record("a"), pairs: [0, 0, -7] }],
    ["half a triple", head, { ...record("a"), pairs: [0, 0, 7, 1] }],
    ["text for a sum", head, { ...record("a"), bins: new Array(30).fill("1") }],
    ["no ranges of scores", head, { ...record("a"), bins: [] }],
    ["the record of a label", head, { name: "a", files: "", sha256: "", label: 0, rank: 0 }],
  ])("refuses %s", async (_, first, line) => {
    const path = join(folder, "strange.jsonl");
    await writeFile(path, `${JSON.stringify(first)}\n${JSON.stringify(line)}\n`);
    await expect(Ledger.open(path, head, false)).rejects.toThrow(/no ledger.*--fresh/);
  });

  it("refuses what is no ledger", async () => {
    const path = join(folder, "text.jsonl");
    await writeFile(path, "hello\n");
    await expect(Ledger.open(path, head, false)).rejects.toThrow(/no ledger/);
    await fill(join(folder, "broken.jsonl"), ["a"]);
    await appendFile(join(folder, "broken.jsonl"), "{nonsense\n");
    await expect(Ledger.open(join(folder, "broken.jsonl"), head, false)).rejects.toThrow(
      /no ledger/,
    );
  });
});
