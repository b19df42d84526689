// One writer per folder: a second one is refused, the lock of a dead process is taken over.

import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { InputError } from "../../src/errors.js";
import { lockFolder } from "../../src/train/lock.js";

let root: string;
let folder: string;
let lock: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "lock-"));
  folder = join(root, "run");
  lock = join(folder, ".lock");
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

/** Makes the lock one of somebody else; gives back what it then holds. */
function change(owner: Record<string, unknown>): string {
  const text = JSON.stringify({ ...JSON.parse(readFileSync(lock, "utf8")), ...owner });
  writeFileSync(lock, text);
  return text;
}

describe("the lock of a folder", () => {
  it("keeps a second one out by name, and is gone afterwards", async () => {
    const unlock = await lockFolder(folder);
    await expect(lockFolder(folder)).rejects.toThrow(
      new RegExp(`process ${process.pid} on .* works there since 20.*; stop it`),
    );
    await unlock();
    expect(existsSync(folder)).toBe(false);
  });

  it("lets one of many in", async () => {
    const all = await Promise.allSettled(Array.from({ length: 8 }, () => lockFolder(folder)));
    const [owner, ...others] = all.flatMap((one) => (one.status === "fulfilled" ? one.value : []));
    expect(others).toEqual([]);
    for (const one of all) {
      if (one.status === "rejected") expect(one.reason).toBeInstanceOf(InputError);
    }
    await owner!();
  });

  it("is taken over from a process that has died, or dies now", async () => {
    const child = spawn("sleep", ["60"]);
    await lockFolder(folder);
    change({ id: "child", pid: child.pid, began: "" });
    setTimeout(() => child.kill("SIGKILL"), 500);
    await (await lockFolder(folder))();

    await lockFolder(folder);
    change({ id: "child", pid: child.pid });
    await (await lockFolder(folder))();
  });

  it("is taken over where another process has the dead one's number", async () => {
    await lockFolder(folder);
    change({ id: "former", began: "1" });
    await (await lockFolder(folder))();
  });

  it("of another machine is stale without a sign for two minutes", async () => {
    const first = await lockFolder(folder);
    const theirs = change({ id: "theirs", host: "elsewhere" });
    await expect(lockFolder(folder)).rejects.toThrow(/on elsewhere works there/);
    // The first no longer has it, and must leave it alone.
    await first();
    expect(readFileSync(lock, "utf8")).toBe(theirs);
    const past = Date.now() / 1000 - 121;
    utimesSync(lock, past, past);
    await (await lockFolder(folder))();
  });

  it("that is damaged holds nobody up", async () => {
    await lockFolder(folder);
    writeFileSync(lock, "{");
    await (await lockFolder(folder))();
  });
});
