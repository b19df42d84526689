// groupvit train: trains a model from a configuration file, or goes on with a run.

import { readFile } from "node:fs/promises";
import { Command } from "commander";
import { FailedTogether } from "../../distribute/ranks.js";
import { InputError } from "../../errors.js";
import type { TrainProgress, TrainResult } from "../../train/loop.js";
import type { TrainSettings } from "../../train/train.js";
import { deviceOption, wholeNumber } from "../options.js";
import { duration } from "../progress.js";
import { interruption, note, oneLine, print } from "../terminal.js";

interface Options {
  out: string;
  resume?: boolean;
  fresh?: boolean;
  steps?: number;
  device?: TrainSettings["device"];
  threads?: number;
  json?: boolean;
}

/** Milliseconds between two lines of progress where stderr is no terminal. */
const PLAIN_MS = 5000;

export function trainCommand(): Command {
  return new Command("train")
    .description("Train a model from pictures and captions.")
    .argument("<config>", "configuration file (JSON), such as configs/smoke.json")
    .requiredOption("-o, --out <folder>", "folder of the run: checkpoints, metrics, page, model")
    .option("--resume", "go on with the run in the folder (the default where there is one)")
    .option("--fresh", "replace the run in the folder by a new one")
    .option("--steps <n>", "stop after this step of the schedule", wholeNumber(1, 1e9))
    .addOption(deviceOption())
    .option("--threads <n>", "threads of the engine (default: one per core)", wholeNumber(1, 1024))
    .option("--json", "print one JSON document at the end instead of text")
    .addHelpText(
      "after",
      `
The folder gets metrics.jsonl (one line a step), TensorBoard event files, index.html (open it in a
browser), checkpoints, and at the end model/ with its model card. Ctrl-C stops after the step at hand;
the same command goes on from there, also after a crash.

Examples:
  groupvit train configs/smoke.json --out runs/smoke
  groupvit train configs/scenes.json --out runs/scenes --threads 2`,
    )
    .action(run);
}

async function run(path: string, options: Options): Promise<void> {
  if (options.resume && options.fresh) {
    throw new InputError("--resume and --fresh: give one of them");
  }
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    throw new InputError(`config ${path}: it cannot be read (${error.code}); check the path`);
  });
  const { train } = await import("../../train/train.js");
  const show = progressLine();
  let result: TrainResult;
  try {
    result = await train(text, {
      out: options.out,
      mode: options.fresh ? "fresh" : options.resume ? "resume" : "auto",
      steps: options.steps,
      device: options.device,
      threads: options.threads,
      signal: interruption.signal,
      onStep: show,
      onNotice: (notice) => {
        show.clear();
        note(notice);
      },
    });
  } catch (error) {
    if (!(error instanceof FailedTogether) || error.toTell) throw error;
    process.exitCode = 2; // another rank tells why
    return;
  } finally {
    show.clear();
  }
  if (result.rank > 0) {
    if (interruption.signal.aborted) process.exitCode = 130;
    return;
  }
  if (!result.finished) {
    note(`checkpoint of step ${result.step} written; the same command goes on from there`);
    interruption.signal.throwIfAborted();
  }
  if (options.json) await print(`${JSON.stringify(result)}\n`);
  else await print(summary(result));
}

function summary({ folder, step, steps, last, evaluation, models }: TrainResult): string {
  const lines = [`${step} of ${steps} steps`];
  if (last) lines.push(`loss ${last.loss.toFixed(4)}`);
  if (evaluation) {
    const { miou, accuracy } = evaluation;
    lines.push(`${(100 * miou).toFixed(1)} mIoU, ${(100 * accuracy).toFixed(1)} % accuracy`);
  }
  const files = models.map((model) => `  model: ${oneLine(model)}\n`).join("");
  return `${lines.join(", ")}\n${files}  page:  ${oneLine(folder)}/index.html\n`;
}

/** One line that is redrawn on a terminal, a plain line every few seconds elsewhere. */
function progressLine(): ((progress: TrainProgress) => void) & { clear(): void } {
  const stream = process.stderr;
  let last = Number.NEGATIVE_INFINITY;
  let shown = false;
  const show = ({ step, steps, record, secondsLeft }: TrainProgress): void => {
    const now = performance.now();
    if (!stream.isTTY && now - last < PLAIN_MS && step !== steps) return;
    last = now;
    const scores = record.miou === undefined ? "" : `, ${(100 * record.miou).toFixed(1)} mIoU`;
    const line =
      `step ${step}/${steps}, loss ${record.loss.toFixed(3)}${scores}, ` +
      `${record.samples_per_second.toFixed(0)} samples/s, groups ` +
      `${record.group_entropy.map((value) => Math.exp(value).toFixed(1)).join("/")} in use, ` +
      `${duration(secondsLeft * 1000)} left`;
    if (stream.isTTY) stream.write(`\r\x1b[K${line.slice(0, (stream.columns ?? 80) - 1)}`);
    else stream.write(`train: ${line}\n`);
    shown = true;
  };
  const clear = (): void => {
    if (shown && stream.isTTY) stream.write("\r\x1b[K");
    shown = false;
  };
  return Object.assign(show, { clear });
}
