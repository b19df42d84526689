// Two hosts, which are network namespaces with a cable between them: when the cable is pulled the job ends,
// and a run goes on from its checkpoint. Needs root and iproute2; elsewhere it says that it was not run.

import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Compiled, compilePackage } from "../support/compile.js";
import {
  checkpointPath,
  hasCheckpoint,
  type Job,
  losses,
  startJob,
  until,
} from "../support/mpi.js";
import { TINY } from "../train/tiny.js";

const root = mkdtempSync(join(tmpdir(), "hosts-"));
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
  // What ssh is elsewhere: AGENT HOST COMMAND. The host has a name of its own as well.
  agent = join(root, "agent.sh");
  writeFileSync(
    agent,
    `#!/bin/sh
host=$1; shift
exec ip netns exec ${id}-$host unshare --uts sh -c 'hostname "$0"; exec sh -c "$1"' "$host" "$*"
`,
  );
  chmodSync(agent, 0o755);
}, 60_000);

afterAll(() => {
  if (allowed) {
    for (const host of HOSTS) {
      // What a host that was cut off still runs; all of it is this test's.
      const left = execFileSync("ip", ["netns", "pids", namespace(host)], { encoding: "utf8" });
      for (const pid of left.split("\n").filter(Boolean)) process.kill(Number(pid), "SIGKILL");
      ip("netns", "del", namespace(host));
    }
    compiled.remove();
  }
  rmSync(root, { recursive: true, force: true });
});

const folder = join(root, "run");
const TIMEOUT = 20;

function start(steps: number): Job {
  const file = join(root, `config-${steps}.json`);
  const config = { ...TINY, microBatch: 4, steps, checkpoint: { everySteps: 3, keep: 1000 } };
  writeFileSync(file, JSON.stringify(config));
  const mca = Object.entries({
    plm_rsh_agent: agent,
    btl: "tcp,self",
    btl_tcp_if_include: "10.77.0.0/24",
    oob_tcp_if_include: "10.77.0.0/24",
    // mpirun asks the other hosts for a sign of life after 5 s, then three times.
    oob_tcp_keepalive_time: "5",
    oob_tcp_keepalive_intvl: "1",
    oob_tcp_keepalive_probes: "3",
  }).flatMap(([name, value]) => ["--mca", name, value]);
  const job = ["--allow-run-as-root", "--bind-to", "none", "-x", "GROUPVIT_RANK_TIMEOUT"];
  const ranks = ["-n", "2", "--host", HOSTS.map((host) => `${host}:1`).join(",")];
  const program = [process.execPath, compiled.module("cli/main"), "train", file, "--out", folder];
  const inside = ["netns", "exec", namespace(HOSTS[0]!), "mpirun", ...job, ...mca, ...ranks];
  return startJob("ip", [...inside, ...program], { GROUPVIT_RANK_TIMEOUT: String(TIMEOUT) });
}

it.skipIf(!allowed)(
  `ends within ${TIMEOUT + 10} s when a host is cut off, and goes on when it is back`,
  async () => {
    const cut = start(100_000);
    await until(cut, () => hasCheckpoint(folder, 3));
    const began = performance.now();
    ip("-n", namespace(HOSTS[1]!), "link", "set", `${id}b`, "down");
    expect(await cut.ended).not.toBe(0);
    const seconds = (performance.now() - began) / 1000;
    expect(cut.output()).toMatch(
      /rank 1 \(10\.77\.0\.2, process \d+\) has given no sign of life for \d+ s, since 20\d\d-/,
    );
    // The time is what is promised: by mpirun's keep-alive, or by the ranks' own timeout.
    expect(seconds).toBeLessThan(TIMEOUT + 10);

    ip("-n", namespace(HOSTS[1]!), "link", "set", `${id}b`, "up");
    const reached = losses(folder).length;
    const steps = reached + 3;
    const again = start(steps);
    expect(await again.ended, again.output()).toBe(0);
    expect(losses(folder)).toHaveLength(steps);
    const whole = readFileSync(checkpointPath(folder, steps));
    expect(whole.length).toBeGreaterThan(1000);
  },
  300_000,
);
