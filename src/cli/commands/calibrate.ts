// groupvit calibrate: the background threshold and prompt set that serve a vocabulary best.

import { resolve } from "node:path";
import { Command } from "commander";
import { InputError } from "../../errors.js";
import type { Calibration, Scored } from "../../evaluate/calibrate.js";
import { addModelOptions, loadModel, type ModelOptions, wholeNumber } from "../options.js";
import { startProgress } from "../progress.js";
import { interruption, print } from "../terminal.js";

interface Options extends ModelOptions {
  limit?: number;
  json?: boolean;
}

/** More pictures make it slower and hardly better. */
const DEFAULT_LIMIT = 100;

export function calibrateCommand(): Command {
  const command = new Command("calibrate")
    .description("Find the background threshold and prompts that fit your labelled pictures best.")
    .argument("<folder>", "pictures, masks and classes.txt in the layout of PASCAL VOC")
    .option(
      "--limit <n>",
      `use n pictures, evenly spread (default: ${DEFAULT_LIMIT})`,
      wholeNumber(2, 100_000),
    )
    .option("--json", "print one JSON document instead of text");
  return addModelOptions(command)
    .addHelpText(
      "after",
      `
The first line of classes.txt is background; a mask's value is the line of its class, counted from 0.

Examples:
  groupvit calibrate my-masks
  groupvit calibrate .cache/scenes/evaluation --limit 30 --json`,
    )
    .action(run);
}

async function run(folder: string, options: Options): Promise<void> {
  const { openDataset } = await import("../../evaluate/datasets/open.js");
  const { checkDataset } = await import("../../evaluate/datasets/check.js");
  const { limitSet, modelFacts, standardProtocol } = await import("../../evaluate/run.js");
  const { calibrate } = await import("../../evaluate/calibrate.js");
  const { signal } = interruption;
  const whole = await openDataset("folder", resolve(folder), {});
  if (whole.kind !== "segmentation") throw new InputError(`${folder}: calibrate needs masks`);
  const set = limitSet(whole, options.limit ?? DEFAULT_LIMIT);
  if (set.samples.length < 2) {
    throw new InputError(`${folder}: one picture is too little to calibrate; label a few more`);
  }
  await checkDataset(set, { signal });
  const { protocol } = standardProtocol(set, await modelFacts(options.model));
  if (protocol.task !== "segmentation") throw new Error("the set has masks");
  const model = await loadModel(options);
  const progress = startProgress("calibrate");
  const result = await calibrate(model, set, protocol, {
    signal,
    onProgress: (done, total) => progress.update(done, total, "pictures"),
  }).finally(() => progress.stop());
  await model.release();
  await print(options.json ? `${JSON.stringify(result)}\n` : text(result));
}

function text({ pictures, best, standard, crossValidated, folds, tried }: Calibration): string {
  const percent = (value: number) => `${(100 * value).toFixed(1)} %`;
  const line = (name: string, { prompts, threshold, mIoU }: Scored) =>
    `  ${name.padEnd(9)} ${percent(mIoU).padStart(7)} mIoU   --threshold ${threshold} --prompts ${prompts}\n`;
  const sets = [...new Set(tried.map(({ prompts }) => prompts))].map((prompts) => {
    const own = tried.filter((setting) => setting.prompts === prompts);
    return line(
      prompts,
      own.reduce((a, b) => (b.mIoU > a.mIoU ? b : a)),
    );
  });
  return (
    `${pictures} pictures, ${tried.length} settings\n${line("standard", standard)}${line("best", best)}` +
    `  On pictures that the choice did not see (${folds} folds): ${percent(crossValidated)} mIoU.\n` +
    `Best of each prompt set:\n${sets.join("")}`
  );
}
