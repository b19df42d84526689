// Ends what an abort leaves behind. MPI's abort waits for answers of every machine, so that a network that is
// cut keeps rank and launcher waiting for good; then somebody else has to end them.

import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";

/** What the launchers of Open MPI, PRRTE and MPICH and their daemons on other machines are called. */
const LAUNCHERS = [
  ...["mpirun", "mpiexec", "orterun", "orted", "prterun", "prte", "prted"],
  ...["mpiexec.mpich", "mpirun.mpich", "mpiexec.hydra", "hydra_pmi_proxy"],
];
/** Seconds that an abort takes at most where the network is whole, beside what `mpirun` was told to wait. */
const ABORT_SECONDS = 6;

/** `$1` launcher, or 0; `$2` its name; `$3` this rank; `$4` seconds to wait; `$5` why. */
const SCRIPT = `
command -v logger && logger -t groupvit -- "$5"
sleep "$4"
kill -KILL "$3"
[ "$1" -gt 0 ] && sleep 1 && [ "$(ps -o comm= -p "$1")" = "$2" ] && kill -KILL "$1"
`;

/**
 * Starts the process that ends this one and its launcher, unless both have ended by themselves in time.
 *
 * @param message goes to the system's log too: from a machine that is cut off nothing reaches the terminal
 */
export function endForCertain(message: string): void {
  const { pid, name } = findLauncher() ?? { pid: 0, name: "" };
  const told = Number(process.env.OMPI_MCA_odls_base_sigkill_timeout ?? 1);
  const patience = ABORT_SECONDS + 2.5 * (Number.isFinite(told) ? told : 1);
  const args = [pid, name, process.pid, Math.ceil(patience), message].map(String);
  // A session of its own, as a launcher kills the process groups of its ranks.
  const child = spawn("sh", ["-c", SCRIPT, "sh", ...args], { detached: true, stdio: "ignore" });
  child.on("error", () => {});
  child.unref();
}

/** The process above this one that has started the ranks of this machine; none where the system does not tell. */
function findLauncher(): { pid: number; name: string } | undefined {
  for (let pid = process.ppid; pid > 1; ) {
    const stat = readStat(pid);
    // The name in brackets may hold spaces.
    const [, name, parent] = /^\d+ \((.*)\) \S+ (\d+)/s.exec(stat) ?? [];
    if (name === undefined) return undefined;
    if (LAUNCHERS.includes(name)) return { pid, name };
    pid = Number(parent);
  }
  return undefined;
}

function readStat(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/stat`, "utf8");
  } catch {
    return "";
  }
}
