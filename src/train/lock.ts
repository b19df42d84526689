// One run, one writer: the file that keeps a second process out of a run's folder.

import { randomUUID } from "node:crypto";
import { link, open, readFile, rename, rm, rmdir, stat, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { makeFolders } from "../atomic.node.js";
import { InputError } from "../errors.js";

/** Hidden: a folder that holds nothing else counts as empty. */
const LOCK_FILE = ".lock";
/** Milliseconds between signs of life, and without one after which another machine's lock is stale. */
const SIGN_EVERY = 30_000;
const STALE_AFTER = 4 * SIGN_EVERY;
/** Milliseconds in which a process that a launcher has just killed may come to its end. */
const PATIENCE = 3000;

interface Owner {
  id: string;
  pid: number;
  host: string;
  /** When the process began, as the system counts it: numbers of processes are used again. */
  began: string;
  since: string;
}

/**
 * Takes the folder for this process; gives the function that gives it back. The lock of a process that has
 * died is taken over; on another machine, where nobody can look, that of one without a sign for two minutes.
 *
 * @throws InputError naming the process that has it
 */
export async function lockFolder(folder: string): Promise<() => Promise<void>> {
  const path = join(folder, LOCK_FILE);
  const [pid, host] = [process.pid, hostname()];
  const own: Owner = {
    id: randomUUID(),
    pid,
    host,
    began: await beginning(pid),
    since: new Date().toISOString(),
  };
  const text = JSON.stringify(own);
  const draft = join(folder, `${LOCK_FILE}-${own.id}`);
  let made: string | undefined;
  try {
    made = await makeFolders(folder);
    await writeFile(draft, text);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new InputError(
      `run folder ${folder}: it cannot be written (${code}); give another folder`,
    );
  }
  try {
    const began = performance.now();
    while (!(await linked(draft, path))) {
      const owner = await readOwner(path);
      if (owner && (await isAlive(owner, path, draft))) {
        if (performance.now() - began < PATIENCE) {
          await sleep(100);
          continue;
        }
        const { pid, host, since } = owner;
        throw new InputError(
          `run folder ${folder}: process ${pid} on ${host} works there since ${since}; stop it, or give ` +
            "another folder",
        );
      }
      await takeAway(path, owner?.id);
    }
  } finally {
    await rm(draft, { force: true });
  }
  const sign = setInterval(() => {
    // Written rather than touched, so that the time is the file server's.
    writeFile(path, text, { flag: "r+" }).catch(() => {});
  }, SIGN_EVERY);
  sign.unref();
  return async () => {
    clearInterval(sign);
    if ((await readOwner(path))?.id === own.id) await rm(path, { force: true });
    // A run that never began leaves no folder; one that did is not empty.
    if (made !== undefined) await rmdir(folder).catch(() => {});
  };
}

/** Makes the file under its second name, unless that exists: content and name appear at once. */
async function linked(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EEXIST") return false;
    if (code !== "EPERM" && code !== "ENOTSUP" && code !== "EOPNOTSUPP") throw error;
  }
  // A file system without links.
  try {
    const file = await open(to, "wx");
    await file.writeFile(await readFile(from));
    await file.close();
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

/** Removes a stale lock, but puts back one that somebody else has made in its place meanwhile. */
async function takeAway(path: string, id: string | undefined): Promise<void> {
  const aside = `${path}-${randomUUID()}`;
  try {
    await rename(path, aside);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
    throw error;
  }
  if ((await readOwner(aside))?.id !== id) await linked(aside, path);
  await rm(aside, { force: true });
}

async function readOwner(path: string): Promise<Owner | undefined> {
  try {
    const owner = JSON.parse(await readFile(path, "utf8")) as Owner;
    return Number.isSafeInteger(owner.pid) && owner.pid > 0 ? owner : undefined;
  } catch {
    return undefined;
  }
}

async function isAlive(owner: Owner, path: string, fresh: string): Promise<boolean> {
  if (owner.host === hostname()) {
    if (!exists(owner.pid)) return false;
    const began = await beginning(owner.pid);
    return began === owner.began || began === "" || owner.began === "";
  }
  // Both times are the file server's, whose clock may differ from ours.
  const [lock, now] = await Promise.all(
    [stat(path), stat(fresh)].map((one) => one.catch(() => undefined)),
  );
  return lock !== undefined && now !== undefined && now.mtimeMs - lock.mtimeMs < STALE_AFTER;
}

function exists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** Clock ticks from the start of the system to that of a process; empty where the system does not tell. */
async function beginning(pid: number): Promise<string> {
  const text = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
  // The name in brackets may hold spaces.
  return text.replace(/^.*\) /s, "").split(" ")[19] ?? "";
}
