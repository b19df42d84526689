// The service under load from a second process: pictures a second, waiting times, refusals and the delay of
// its event loop, beside what its engines do without a service.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import type { BenchContext } from "./context.js";
import { COMMAND, isBuilt, ROOT } from "./dist.js";
import { pictureFile } from "./material.js";
import { median, takeTurns } from "./measure.js";
import type { Row } from "./row.js";
import { rateRow } from "./row.js";
import type { ClientReport } from "./serve-driver.js";

const CONNECTIONS = [1, 8, 64, 512];
const QUEUE = 128;

/** What a turn of clients saw, and milliseconds of the event loop's delay. */
interface Turn extends ClientReport {
  delay: number;
}

function start(args: readonly string[]): { child: ChildProcess; line(): Promise<string> } {
  const child = spawn(process.execPath, args, { stdio: ["pipe", "pipe", "inherit"] });
  const lines: string[] = [];
  let rest = "";
  child.stdout?.setEncoding("utf8").on("data", (text: string) => {
    const parts = (rest + text).split("\n");
    rest = parts.pop() ?? "";
    lines.push(...parts);
    child.emit("line");
  });
  const line = async () => {
    while (lines.length === 0) {
      if (child.exitCode !== null) throw new Error(`${args.join(" ")} ended (${child.exitCode})`);
      await Promise.race([once(child, "line"), once(child, "close")]);
    }
    return lines.shift() as string;
  };
  return { child, line };
}

const driver = (...args: (string | number)[]) =>
  start([
    join(ROOT, "scripts/run-ts.mjs"),
    join(ROOT, "bench/serve-driver.ts"),
    ...args.map(String),
  ]);

/** Pictures a second that so many engines do together; of the bundled model, if none is named. */
async function enginesAlone(
  count: number,
  picture: string,
  seconds: number,
  model: string | undefined,
): Promise<number> {
  const args = ["engine", picture, seconds, ...(model === undefined ? [] : [model])];
  const engines = Array.from({ length: count }, () => driver(...args));
  for (const { line } of engines) await line();
  for (const { child } of engines) child.stdin?.write("go\n");
  const reports = await Promise.all(engines.map(({ line }) => line()));
  return reports.reduce((sum, text) => sum + (JSON.parse(text) as { rate: number }).rate, 0);
}

/** Since it was asked last. */
async function loopDelay(url: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  return (
    1000 * Number(/^groupvit_event_loop_delay_seconds\{quantile="0.99"\} (\S+)$/m.exec(text)?.[1])
  );
}

export async function benchServe(context: BenchContext): Promise<Row[]> {
  if (!isBuilt("the service")) return [];
  const bundled = await benchModel(context, "bundled model", undefined, CONNECTIONS);
  // A picture takes so long here that the service's own work hardly counts.
  const published = await benchModel(context, "published model", context.model, [64]);
  return [...bundled, ...published];
}

async function benchModel(
  context: BenchContext,
  title: string,
  model: string | undefined,
  connections: readonly number[],
): Promise<Row[]> {
  const seconds = (context.quick ? 3 : 15) * (model === undefined ? 1 : 3);
  const cores = availableParallelism();
  const picture = await pictureFile(context.folder);
  const { child, line } = start([
    COMMAND,
    ...["serve", "--port", "0", "--processes", String(cores), "--queue", String(QUEUE)],
    ...["--log-level", "error", "--state", join(context.folder, "state")],
    ...(model === undefined ? [] : ["--model", model]),
  ]);
  try {
    const url = /http:\S+/.exec(await line())?.[0] ?? "";
    const turns: Record<string, Turn[]> = {};
    const names = connections.map((n) => `${n} ${n === 1 ? "connection" : "connections"}`);
    const alone = `its ${cores} engines without a service`;
    const cases: Record<string, () => Promise<number>> = {
      [alone]: async () => 1000 / (await enginesAlone(cores, picture, seconds, model)),
    };
    for (const [i, name] of names.entries()) {
      cases[name] = async () => {
        await loopDelay(url);
        const report = JSON.parse(
          await driver("clients", url, picture, connections[i] ?? 1, seconds).line(),
        ) as ClientReport;
        turns[name] ??= [];
        turns[name].push({ ...report, delay: await loopDelay(url) });
        return 1000 / report.rate;
      };
    }
    const times = await takeTurns(cases, Math.min(context.rounds, 3), context.budget);
    const group = `groupvit serve: ${cores} engines, a queue of ${QUEUE}, 640 x 480 JPEG, 20 words, ${title}`;
    return Object.entries(times).map(([name, own]) => {
      const row = rateRow(group, name, "pictures/s", own, { note: noteOf(turns[name]) });
      const shares = own.map((time, round) => (times[alone]?.[round] ?? time) / time);
      return name === alone ? row : { ...row, ofRoof: median(shares) };
    });
  } finally {
    child.kill("SIGTERM");
  }
}

function noteOf(turns: readonly Turn[] | undefined): string | undefined {
  if (!turns) return undefined;
  const typical = (read: (turn: Turn) => number) => median(turns.map(read)).toFixed(0);
  const sum = (read: (turn: Turn) => number) =>
    turns.reduce((total, turn) => total + read(turn), 0);
  return (
    `p50 ${typical((turn) => turn.p50)}, p95 ${typical((turn) => turn.p95)}, ` +
    `p99 ${typical((turn) => turn.p99)} ms; ${sum((turn) => turn.refused)} times 429, ` +
    `${sum((turn) => turn.errors)} errors; event loop delay p99 ${typical((turn) => turn.delay)} ms`
  );
}
