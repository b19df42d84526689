// Labelling through a real Redis by real worker processes, of which one after another is killed.
// GROUPVIT_LABEL_PICTURES sets how many pictures: the 2,000 where there is time.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { openQueue, type QueueStatus } from "../../src/label/queue.js";
import { CLI, cliEnvironment, groupvit, saveRandomModel } from "../support/cli.js";
import { freePort, type RedisServer, startRedis } from "../support/redis.js";
import { temporaryFolder } from "../support/temporary.js";
import { filesOf, writePictures } from "./pictures.js";

const COUNT = Number(process.env.GROUPVIT_LABEL_PICTURES ?? 150);
const KILL_EVERY_MS = 3000;
const WORKERS = 3;
const PASSWORD = "sesame-open";

vi.setConfig({ testTimeout: COUNT > 500 ? 1_800_000 : 600_000, hookTimeout: 600_000 });

const folder = await temporaryFolder();
const at = (...parts: string[]) => join(folder, ...parts);
let redis: RedisServer;

beforeAll(async () => {
  await mkdir(at("redis"));
  redis = await startRedis(at("redis"), PASSWORD);
  await saveRandomModel(at("model"));
  await writePictures(at("pictures"), COUNT);
});
afterAll(() => redis?.stop());

// A worker that was killed leaves a claim on a job, which the next worker gives back to the queue as
// stalled; a test that fails leaves its queue paused and its workers running.
beforeEach(async () => {
  const { queue, close } = await openQueue(redis.address, () => {});
  await queue.obliterate({ force: true });
  await close();
});
afterEach(() => {
  for (const worker of started.splice(0)) worker.kill("SIGKILL");
});

const args = (to: string) => [
  ...["label", "pictures", "--to", to, "--labels", "cat, dog, tree", "--model", "model"],
  ...["--short-side", "32", "--format", "png,coco,label-studio,cvat,yolo", "--json"],
];

function startWorker(): ChildProcess {
  // The password is in the environment, where other users of a machine do not see it.
  const worker = spawn(process.execPath, [CLI, "worker", "--processes", "1"], {
    cwd: folder,
    env: { ...cliEnvironment(folder), GROUPVIT_QUEUE: redis.address },
    stdio: ["ignore", "ignore", "pipe"],
  });
  started.push(worker);
  worker.stderr!.on("data", (text) => {
    said += text;
  });
  return worker;
}
/** What all workers said. */
let said = "";
const started: ChildProcess[] = [];

async function chunksDone(to: string): Promise<number> {
  const files = await readdir(at(to, "results")).catch(() => []);
  return files.filter((file) => file.endsWith(".done.jsonl")).length;
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await sleep(50);
}

test(`${COUNT} pictures, workers killed, Redis restarted: each is labelled once, as by one process`, async () => {
  expect((await groupvit([...args("single"), "--processes", "1"], { cwd: folder })).code).toBe(0);
  const workers = Array.from({ length: WORKERS }, startWorker);
  const labelling = groupvit([...args("shared"), "--queue", redis.address], { cwd: folder });
  let ended = false;
  labelling.finally(() => {
    ended = true;
  });
  let kills = 0;
  const chaos = (async () => {
    await until(async () => ended || (await chunksDone("shared")) > 0);
    for (let i = 0; !ended; i = (i + 1) % WORKERS) {
      workers[i]!.kill("SIGKILL");
      kills++;
      workers[i] = startWorker();
      if (kills === 2) await redis.restart();
      // On a machine with other work to do, a worker may need longer than that to begin.
      const [next, done] = [Date.now() + KILL_EVERY_MS, await chunksDone("shared")];
      await until(async () => ended || (Date.now() > next && (await chunksDone("shared")) > done));
    }
  })();
  const { code, stdout, stderr } = await labelling;
  await chaos;
  for (const worker of workers) worker.kill("SIGINT");
  await Promise.all(workers.map((worker) => once(worker, "exit")));
  expect(code, stderr).toBe(0);
  expect(kills).toBeGreaterThanOrEqual(1);
  expect(JSON.parse(stdout)).toMatchObject({ pictures: COUNT, labelled: COUNT, setAside: 0 });
  const { images } = JSON.parse(await readFile(at("shared/coco.json"), "utf8"));
  const names = images.map((image: { file_name: string }) => image.file_name);
  expect(names).toHaveLength(COUNT);
  expect(new Set(names).size).toBe(COUNT);
  // Byte for byte, and no file more: nothing half-written, nothing left over.
  expect(await filesOf(at("shared"))).toEqual(await filesOf(at("single")));
  expect(`${said}${stderr}`).not.toContain(PASSWORD);
  console.info(`${COUNT} pictures, ${kills} workers killed, Redis restarted: ${kills >= 2}`);
});

test("a queue is paused, resumed and asked; what it holds are references", async () => {
  const queue = async (part: string, ...options: string[]) => {
    const ran = await groupvit(["queue", part, "--queue", redis.address, ...options], {
      cwd: folder,
    });
    expect(ran.code, ran.stderr).toBe(0);
    return ran.stdout;
  };
  const status = async () => JSON.parse(await queue("status", "--json")) as QueueStatus;
  await queue("pause");
  expect((await status()).paused).toBe(true);
  const labelling = groupvit([...args("paused"), "--queue", redis.address], { cwd: folder });
  const chunks = (await readdir(at("single/results"))).filter((f) => f.endsWith(".done.jsonl"));
  await until(async () => (await status()).waiting === chunks.length);
  const { queue: opened, close } = await openQueue(redis.address, () => {});
  const [job] = await opened.getJobs(["wait"], 0, 0);
  // What Redis forgets is given again as a whole, not one by one as it is missed.
  await opened.drain();
  await until(async () => (await opened.count()) > 0);
  expect(await opened.count()).toBe(chunks.length);
  await close();
  const [picture] = job!.data.chunk.pictures;
  const stamp = expect.stringMatching(/^\d+-\d+$/);
  const path = at("pictures", picture!.file);
  expect(picture).toEqual({ file: picture!.file, name: picture!.name, place: { path, stamp } });
  const worker = startWorker();
  await until(async () => (await status()).workers.length === 1);
  await sleep(1000);
  expect(await chunksDone("paused")).toBe(0);
  expect(await queue("status")).toMatch(new RegExp(`paused\\n.*${chunks.length} waiting`));
  await queue("resume");
  const { code } = await labelling;
  worker.kill("SIGINT");
  const [exit] = await once(worker, "exit");
  expect([code, exit]).toEqual([0, 0]);
  expect(await filesOf(at("paused"))).toEqual(await filesOf(at("single")));
});

test("a worker that cannot do the work says why, and the labelling ends with it", async () => {
  const labelling = groupvit([...args("other"), "--queue", redis.address], { cwd: folder });
  await until(async () => existsSync(at("other/manifest.json")));
  const manifest = JSON.parse(await readFile(at("other/manifest.json"), "utf8"));
  manifest.model.sha256 = "0".repeat(64);
  await writeFile(at("other/manifest.json"), JSON.stringify(manifest));
  const worker = startWorker();
  const { code, stdout, stderr } = await labelling;
  worker.kill("SIGINT");
  await once(worker, "exit");
  expect(code, `${stdout}${stderr}`.slice(0, 2000)).toBe(2);
  expect(stderr).toMatch(
    /a worker could not do its work \(.*weights here are not those of the run/,
  );
});

test("an address without Redis, or a wrong password, is told without the password", async () => {
  const nobody = await freePort();
  for (const [address, reason] of [
    [
      `redis://:wrong-word@127.0.0.1:${nobody}`,
      /127\.0\.0\.1:\d+: Redis cannot be reached \(ECONNREF/,
    ],
    [`redis://:wrong-word@127.0.0.1:${redis.port}`, /cannot be reached \(WRONGPASS/],
  ] as const) {
    for (const command of [args("unreached"), ["worker"], ["queue", "status"]]) {
      const { code, stderr } = await groupvit([...command, "--queue", address], { cwd: folder });
      expect(code).toBe(2);
      expect(stderr).toMatch(reason);
      expect(stderr).not.toContain("wrong-word");
    }
  }
});

test("a database that is not there, and a server that does not answer, are told", async () => {
  const silent = createServer(() => {}).listen(0, "127.0.0.1");
  await once(silent, "listening");
  const deaf = (silent.address() as AddressInfo).port;
  for (const [address, reason] of [
    // Otherwise the queue of database 0 would be taken.
    [`${redis.address}/99`, /\/99: Redis cannot be reached \(ERR DB index is out of range/],
    [`${redis.address}/main`, /\/main: after the host stands a database's number/],
    [`redis://:wrong-word@127.0.0.1:${deaf}`, /cannot be reached \(no answer in 5 s\)/],
  ] as const) {
    const { code, stderr } = await groupvit(["worker", "--queue", address], { cwd: folder });
    expect(code).toBe(2);
    expect(stderr).toMatch(reason);
    expect(stderr).not.toMatch(new RegExp(`wrong-word|${PASSWORD}`));
  }
  silent.close();
});
