// metrics.jsonl: one JSON object for every step of a run.

import { type FileHandle, open, readFile } from "node:fs/promises";
import { writeAtomically } from "./data/files.js";

/** One line. Names are those of the file. */
export interface StepRecord {
  /** Updates made, this one included. */
  step: number;
  /** Sum of the parts. */
  loss: number;
  contrastive_loss: number;
  multi_label_loss?: number;
  lr: number;
  /** Global norm before clipping. */
  gradient_norm: number;
  /** Factors on cosine similarities, clamped at 100. */
  logit_scale: number;
  multi_label_logit_scale?: number;
  /** Entropy of the use of groups for each grouping block, in nats: ln(groups) when all are used alike. */
  group_entropy: number[];
  /** Nats of its patches that a picture's last groups tell apart; where the configuration asks for it. */
  group_information?: number;
  /** Share of patches that look alike but are in different last groups; where the configuration asks for it. */
  likeness_cut?: number;
  /** Length of the longest text of the batch. */
  tokens: number;
  /** Samples left out since this process began. */
  skipped_samples: number;
  /** The same by reason, such as "broken picture"; where there are any. */
  skipped_by_reason?: Readonly<Record<string, number>>;
  samples_per_second: number;
  /** Time spent waiting for data, and in the step. */
  data_seconds: number;
  step_seconds: number;
  /** Of the step, the time spent waiting for other ranks; with several ranks. */
  exchange_seconds?: number;
  /** Seconds since 1970. */
  time: number;
  /** Present where the step was followed by an evaluation, 0 to 1. */
  miou?: number;
  accuracy?: number;
}

/** Entropy in nats of shares that sum to 1. */
export function entropy(shares: Float32Array): number {
  let sum = 0;
  for (const share of shares) if (share > 0) sum -= share * Math.log(share);
  return sum;
}

/** Appends to metrics.jsonl, and can go back to an earlier step. */
export class MetricsFile {
  private constructor(
    private readonly path: string,
    private file: FileHandle,
    /** All lines so far. */
    readonly records: StepRecord[],
  ) {}

  /** Opens or creates the file; lines after `step`, and a torn last one, are cut off. */
  static async open(path: string, step: number): Promise<MetricsFile> {
    const records: StepRecord[] = [];
    const text = await readFile(path, "utf8").catch(() => "");
    for (const line of text.split("\n")) {
      const record = parseLine(line);
      if (record && record.step <= step) records.push(record);
    }
    await writeLines(path, records);
    return new MetricsFile(path, await open(path, "a"), records);
  }

  async append(record: StepRecord): Promise<void> {
    this.records.push(record);
    await this.file.appendFile(`${JSON.stringify(record)}\n`);
  }

  /** Cuts off what came after `step`. */
  async rewind(step: number): Promise<void> {
    await this.file.close();
    const keep = this.records.findLastIndex((record) => record.step <= step) + 1;
    this.records.length = keep;
    await writeLines(this.path, this.records);
    this.file = await open(this.path, "a");
  }

  /** Makes sure that the lines outlive a power failure. */
  sync(): Promise<void> {
    return this.file.sync();
  }

  close(): Promise<void> {
    return this.file.close();
  }
}

function writeLines(path: string, records: readonly StepRecord[]): Promise<void> {
  const text = records.map((record) => `${JSON.stringify(record)}\n`).join("");
  return writeAtomically(path, (file) => file.writeFile(text));
}

function parseLine(line: string): StepRecord | undefined {
  try {
    const record = JSON.parse(line) as StepRecord;
    return Number.isInteger(record.step) ? record : undefined;
  } catch {
    return undefined;
  }
}
