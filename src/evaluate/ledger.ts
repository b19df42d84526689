// The ledger of an evaluation: one line of JSON a finished picture, so that a run that was killed goes on
// where it was. The first line says what was measured; a ledger of something else is never mixed in.

import { type FileHandle, open, readFile, rm, truncate } from "node:fs/promises";
import { dirname } from "node:path";
import { makeFolders } from "../atomic.node.js";
import { InputError } from "../errors.js";
import { SCORE_BINS } from "./measure.js";
import { type Protocol, protocolChanges, type SegmentationProtocol } from "./protocol.js";
import type { MeasureRecord } from "./worker.js";

/** What the records of a ledger have in common. */
export interface LedgerHead {
  readonly format: "groupvit-ledger/1";
  readonly dataset: string;
  readonly split: string;
  readonly model: string;
  readonly dtype: string;
  readonly protocol: Protocol;
}

/** What a picture gave, and of which bytes: a picture or mask that was changed since is measured again. */
export type LedgerRecord = MeasureRecord & { readonly files: string };

/** Largest ledger that is read: a million pictures of a kilobyte. */
const MAX_BYTES = 2 ** 30;

export class Ledger {
  private constructor(
    private readonly file: FileHandle,
    /** Records of finished pictures by name. */
    readonly records: Map<string, LedgerRecord>,
  ) {}

  /**
   * Opens a ledger, or begins one.
   *
   * @throws InputError where it belongs to another model, set or protocol
   */
  static async open(path: string, head: LedgerHead, fresh: boolean): Promise<Ledger> {
    await makeFolders(dirname(path));
    if (fresh) await rm(path, { force: true });
    const bytes = await readFile(path).catch(() => Buffer.alloc(0));
    if (bytes.length > MAX_BYTES)
      throw new InputError(`${path}: too large for a ledger; remove it`);
    // What follows the last line break was cut off by a kill.
    const whole = bytes.lastIndexOf(10) + 1;
    const records = new Map<string, LedgerRecord>();
    if (whole > 0) {
      const [first, ...lines] = bytes.toString("utf8", 0, whole - 1).split("\n");
      checkHead(path, parse(path, first!), head, lines.length > 0);
      for (const line of lines) {
        const record = parse(path, line);
        if (!isRecord(record, head.protocol)) throw noLedger(path);
        records.set(record.name, record);
      }
      await truncate(path, whole);
    }
    // One without records, such as that of a run that was refused, is begun again.
    const file = await open(path, records.size > 0 ? "a" : "w");
    if (records.size === 0) await file.write(`${JSON.stringify(head)}\n`);
    return new Ledger(file, records);
  }

  async add(record: LedgerRecord): Promise<void> {
    this.records.set(record.name, record);
    await this.file.write(`${JSON.stringify(record)}\n`);
  }

  async close(): Promise<void> {
    await this.file.sync();
    await this.file.close();
  }
}

function parse(path: string, line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    throw noLedger(path);
  }
}

function noLedger(path: string): InputError {
  return new InputError(`${path}: it is no ledger of an evaluation; remove it or use --fresh`);
}

/** @param used whether records follow, which must not be mixed with those of another measurement */
function checkHead(path: string, found: unknown, wanted: LedgerHead, used: boolean): void {
  const old = found as Partial<LedgerHead> | null;
  if (old?.format !== wanted.format || !isProtocol(old.protocol)) throw noLedger(path);
  if (!used) return;
  const differences = (["dataset", "split", "model", "dtype"] as const).flatMap((key) =>
    old[key] === wanted[key] ? [] : [`${key}: ${old[key]} -> ${wanted[key]}`],
  );
  differences.push(...protocolChanges(old.protocol, wanted.protocol));
  if (differences.length > 0) {
    throw new InputError(
      `${path} holds another measurement (${differences.slice(0, 4).join("; ")}); name another ` +
        "--out folder, or use --fresh to begin again",
    );
  }
}

/** As far as the comparison with another one reads it. */
function isProtocol(value: unknown): value is Protocol {
  const { task, words, background } = (value ?? {}) as Partial<SegmentationProtocol>;
  return (
    typeof task === "string" &&
    Array.isArray(words) &&
    (task !== "segmentation" || typeof background?.kind === "string")
  );
}

/** Whether a line holds what a picture can have given under the protocol: it goes into sums unseen. */
function isRecord(value: unknown, { task, words }: Protocol): value is LedgerRecord {
  const record = (value ?? {}) as Partial<Record<string, unknown>>;
  const texts = [record.name, record.files, record.sha256];
  if (!texts.every((text) => typeof text === "string")) return false;
  if (task === "classification") {
    return isCount(record.label, words.length) && isCount(record.rank, words.length);
  }
  const { pairs, bins } = record;
  return (
    Array.isArray(pairs) &&
    pairs.length % 3 === 0 &&
    pairs.every((n, i) => isCount(n, i % 3 === 2 ? Number.MAX_SAFE_INTEGER : words.length + 1)) &&
    Array.isArray(bins) &&
    bins.length === 3 * SCORE_BINS &&
    bins.every((sum) => typeof sum === "number" && sum >= 0)
  );
}

function isCount(value: unknown, below: number): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) < below;
}
