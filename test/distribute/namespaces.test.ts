// Two hosts, which are network namespaces with a cable between them: when the cable is pulled the job ends on
// both, and a run goes on from its checkpoint. Needs root and iproute2; elsewhere it says that it was not run.

import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Compiled, compilePackage } from "../support/compile.js";
import { hasCheckpoint, type Job, losses, startJob, until } from "../support/mpi.js";
import { TINY } from "../train/tiny.js";

const root = mkdtempSync(join(tmpdir(), "hosts-"));
const log = join(root, "log");
/** Unique to this process, at most 15 characters, which is what a network device may have. */
const id = `gv${process.pid.toString(36)}`;
const HOSTS = ["10.77.0.1", "10.77.0.2"];
const namespace = (host: string) => `${id}-${host}`;
const ip = (...args: string[]) => execFileSync("ip", args, { stdio: ["ignore", "pipe", "pipe"] });

const probe = spawnSync("ip", ["netns", "add", `${id}-probe`], { encoding: "utf8" });
const allowed = probe.status === 0;
if (allowed) ip("netns", "del", `${id}-probe`);
else {
  process.stderr.write(
    "NOT RUN: training across network namespaces needs root (CAP_NET_ADMIN) and iproute2: " +
      `${probe.error?.message ?? probe.stderr.trim()}\n`,
  );
}

let compiled: Compiled;
let agent: string;

beforeAll(async () => {
  if (!allowed) return;
  compiled = await compilePackage();
  for (const host of HOSTS) ip("netns", "add", namespace(host));
  const [one, two] = HOSTS as [string, string];
  const ends = ["type", "veth", "peer", "name", `${id}b`, "netns", namespace(two)];
  ip("link", "add", `${id}a`, "netns", namespace(one), ...ends);
  for (const [i, host] of HOSTS.entries()) {
    const device = `${id}${"ab"[i]}`;
    ip("-n", namespace(host), "addr", "add", `${host}/24`, "dev", device);
    ip("-n", namespace(host), "link", "set", device, "up");
    ip("-n", namespace(host), "link", "set", "lo", "up");
  }
  // What ssh is elsewhere: AGENT HOST COMMAND. The host has a name and a system log of its own as well.
  const bin = join(root, "bin");
  mkdirSync(bin);
  writeScript(join(bin, "logger"), `echo "$(hostname): $*" >> ${log}`);
  agent = join(root, "agent.sh");
  writeScript(
    agent,
    `host=$1; shift
export PATH=${bin}:$PATH
exec ip netns exec ${id}-$host unshare --uts sh -c 'hostname "$0"; exec sh -c "$1"' "$host" "$*"`,
  );
}, 60_000);

function writeScript(path: string, lines: string): void {
  writeFileSync(path, `#!/bin/sh\n${lines}\n`);
  chmodSync(path, 0o755);
}

afterAll(() => {
  if (allowed) {
    for (const host of HOSTS) {
      for (const pid of processesOf(host)) process.kill(pid, "SIGKILL");
      // As far as the set-up came.
      spawnSync("ip", ["netns", "del", namespace(host)]);
    }
    compiled?.remove();
  }
  rmSync(root, { recursive: true, force: true });
});

/** What runs on a host; all of it is this test's. */
function processesOf(host: string): number[] {
  const listed = spawnSync("ip", ["netns", "pids", namespace(host)], { encoding: "utf8" });
  return listed.stdout.split("\n").filter(Boolean).map(Number);
}

const folder = join(root, "run");
/** Seconds without a sign of life after which a rank counts as lost. */
const TIMEOUT = 10;
/** Seconds in which all has ended then; the time is what is promised, so it is checked, with room for a busy machine. */
const BOUND = TIMEOUT + 30;

function start(steps: number): Job {
  const file = join(root, `config-${steps}.json`);
  const config = { ...TINY, microBatch: 4, steps, checkpoint: { everySteps: 3, keep: 1000 } };
  writeFileSync(file, JSON.stringify(config));
  const mca = Object.entries({
    plm_rsh_agent: agent,
    btl: "tcp,self",
    btl_tcp_if_include: "10.77.0.0/24",
    oob_tcp_if_include: "10.77.0.0/24",
  }).flatMap(([name, value]) => ["--mca", name, value]);
  const job = ["--allow-run-as-root", "--bind-to", "none", "-x", "GROUPVIT_RANK_TIMEOUT"];
  const ranks = ["-n", "2", "--host", HOSTS.map((host) => `${host}:1`).join(",")];
  const program = [process.execPath, compiled.module("cli/main"), "train", file, "--out", folder];
  const inside = ["netns", "exec", namespace(HOSTS[0]!), "mpirun", ...job, ...mca, ...ranks];
  return startJob("ip", [...inside, ...program], { GROUPVIT_RANK_TIMEOUT: String(TIMEOUT) });
}

it.skipIf(!allowed)(
  `ends within ${BOUND} s on both sides when a host is cut off, and goes on when it is back`,
  async () => {
    const [here, away] = HOSTS as [string, string];
    const cut = start(100_000);
    await until(cut, () => hasCheckpoint(folder, 3));
    const began = performance.now();
    const inTime = () => performance.now() - began < 1000 * BOUND;
    ip("-n", namespace(away), "link", "set", `${id}b`, "down");
    while (HOSTS.some((host) => processesOf(host).length > 0) && inTime()) await sleep(100);
    expect(inTime(), cut.output()).toBe(true);
    expect(await cut.ended).not.toBe(0);
    const lost = (rank: string) =>
      RegExp(`rank ${rank}, process \\d+\\) has given no sign of life for 1\\d s`);
    expect(cut.output()).toMatch(lost("1 \\(10\\.77\\.0\\.2"));
    // What the other side says does not reach the terminal any more.
    expect(readFileSync(log, "utf8")).toMatch(/^10\.77\.0\.2: /);
    expect(readFileSync(log, "utf8")).toMatch(lost("0 \\(.*"));

    ip("-n", namespace(away), "link", "set", `${id}b`, "up");
    const reached = losses(folder).length;
    const steps = reached + 3;
    const again = start(steps);
    expect(await again.ended, again.output()).toBe(0);
    expect(losses(folder)).toHaveLength(steps);
    expect(hasCheckpoint(folder, steps)).toBe(true);
    expect(processesOf(here)).toEqual([]);
  },
  300_000,
);
