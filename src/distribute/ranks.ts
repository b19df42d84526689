// The ranks of a job that train one model together: what they tell each other, and how they end.

import { writeSync } from "node:fs";
import { hostname } from "node:os";
import { InputError } from "../errors.js";
import { startHeartbeat } from "./heartbeat.js";
import { endForCertain } from "./launcher.js";
import { type Communicator, launchedRanks, startMpi } from "./mpi.js";

/** Seconds without a sign of life after which a rank counts as lost; for slow disks and tests. */
const TIMEOUT_VARIABLE = "GROUPVIT_RANK_TIMEOUT";
const TIMEOUT_SECONDS = 60;

/** Exit codes: of a job that lost a rank (try again, as sysexits.h says), and of a defect. */
const LOST = 75;
const DEFECT = 1;

/** Thrown on every rank where one has failed; that one, or the first of them, tells why. */
export class FailedTogether extends InputError {
  constructor(
    message: string,
    /** Whether it is for this rank to tell. */
    readonly toTell: boolean,
  ) {
    super(message);
  }
}

/** JSON that a rank sends: a value, or why there is none. */
type Outcome<Value> = { value: Value } | { failure: string };

/** The ranks of a job, this one among them. */
export class Ranks {
  readonly rank: number;
  readonly size: number;
  private readonly stopHeartbeat: () => void;

  private constructor(
    private readonly group: Communicator,
    /** Host and process of each rank. */
    private readonly places: readonly string[],
  ) {
    this.rank = group.rank;
    this.size = group.size;
    const seconds = timeoutSeconds();
    const silence = (rank: number, since: number) =>
      `rank ${rank} (${places[rank]}) has given no sign of life for ` +
      `${Math.round((Date.now() - since) / 1000)} s, since ${new Date(since).toISOString()}`;
    this.stopHeartbeat = startHeartbeat(group.duplicate(), {
      timeout: seconds * 1000,
      onLate: (rank, since) => {
        tell(`${silence(rank, since)}; the job ends when it comes to ${seconds} s`);
      },
      onSilence: (rank, since) => {
        const way = "The same command goes on from the last checkpoint, with any number of ranks";
        this.end(`${silence(rank, since)}; the job ends. ${way}`, LOST);
      },
    });
  }

  /** Joins the other ranks; all are there when it returns. */
  static async open(): Promise<Ranks> {
    const group = await startMpi();
    const places = await group.gatherJson(`${hostname()}, process ${process.pid}`);
    return new Ranks(group, places);
  }

  /** Adds up over all ranks, in their order, in place; all get the same bits. */
  sum(data: Float32Array): Promise<void> {
    return this.group.sum(data);
  }

  /** Fills `data` with the blocks of all ranks, in their order; this rank's own is in its place. */
  gather(data: Float32Array): Promise<void> {
    return this.group.gather(data);
  }

  /** What each rank gives, in their order: plain JSON. */
  gatherJson<Value>(value: Value): Promise<Value[]> {
    return this.group.gatherJson(value);
  }

  /** The same exchange in a group of its own, which may run while others are under way. All ranks call it. */
  exchange(): <Value>(value: Value) => Promise<Value[]> {
    const group = this.group.duplicate();
    return (value) => group.gatherJson(value);
  }

  /** Gives every rank what rank 0 has in `data`. */
  broadcast(data: Float32Array): Promise<void> {
    return this.group.broadcast(data);
  }

  /**
   * Every rank does this work; where one fails, all do.
   *
   * @throws FailedTogether
   */
  async together<Value>(work: () => Promise<Value>): Promise<Value> {
    const own = await outcomeOf(work);
    const all = await this.gatherJson("failure" in own ? own.failure : "");
    const failed = all.findIndex((failure) => failure !== "");
    if (failed < 0 && "value" in own) return own.value;
    const where = all.every((failure) => failure === all[failed]) ? "" : `rank ${failed}: `;
    throw new FailedTogether(`${where}${all[failed]}`, this.rank === failed);
  }

  /**
   * Rank 0 does the work, all get what it gives: plain JSON.
   *
   * @throws FailedTogether where it fails
   */
  async first<Value>(work: () => Promise<Value>): Promise<Value> {
    const own = this.rank === 0 ? await outcomeOf(work) : undefined;
    const [outcome] = await this.gatherJson<Outcome<Value> | undefined>(own);
    if (!outcome) throw new Error("rank 0 sent nothing");
    if ("value" in outcome) return outcome.value;
    throw new FailedTogether(outcome.failure, this.rank === 0);
  }

  /** Says why, and ends all ranks at once: for what only this rank knows. */
  fail(error: unknown): never {
    const input = error instanceof InputError;
    const text = error instanceof Error && !input ? (error.stack ?? error.message) : `${error}`;
    this.end(
      `rank ${this.rank} (${this.places[this.rank]}): ${input ? error.message : text}`,
      input ? 2 : DEFECT,
    );
  }

  /** Leaves the job when all ranks have come here. */
  async close(): Promise<void> {
    await this.group.barrier();
    this.stopHeartbeat();
    this.group.finalize();
  }

  private end(message: string, code: number): never {
    tell(message);
    endForCertain(message);
    this.group.abort(code);
    process.exit(code);
  }
}

/** Written at once: the process may end before a stream would be. */
function tell(message: string): void {
  writeSync(2, `groupvit: ${message}\n`);
}

/**
 * The ranks of this job, where a launcher has started several; undefined otherwise, and then MPI is not
 * looked for.
 *
 * @throws InputError where MPI is not installed
 */
export async function openRanks(): Promise<Ranks | undefined> {
  return launchedRanks(process.env) > 1 ? Ranks.open() : undefined;
}

async function outcomeOf<Value>(work: () => Promise<Value>): Promise<Outcome<Value>> {
  try {
    return { value: await work() };
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    return { failure: error.message };
  }
}

function timeoutSeconds(): number {
  const text = process.env[TIMEOUT_VARIABLE];
  if (text === undefined) return TIMEOUT_SECONDS;
  const seconds = Number(text);
  if (seconds >= 1 && seconds <= 86_400) return seconds;
  throw new InputError(`${TIMEOUT_VARIABLE} ${text}: give seconds from 1 to 86400`);
}
