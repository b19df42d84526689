// groupvit eval: measures a model on a data set, under a protocol that is printed with the numbers.

import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { Command, InvalidArgumentError, Option } from "commander";
import { InputError } from "../../errors.js";
import { DATASET_NAMES, type DatasetName } from "../../evaluate/dataset.js";
import type { SegmentationProtocol } from "../../evaluate/protocol.js";
import type { Quality } from "../../evaluate/quality.js";
import type { EvaluationResult } from "../../evaluate/result.js";
import type { EvaluationSet, ModelFacts } from "../../evaluate/run.js";
import {
  dtypeOption,
  MODEL_OPTION,
  promptsOption,
  qualityOption,
  share,
  wholeNumber,
} from "../options.js";
import { startProgress } from "../progress.js";
import { interruption, print } from "../terminal.js";

/** Where a checkout keeps the held-out scenes. */
const SCENES = ".cache/scenes/evaluation";

interface Options {
  root?: string;
  split?: string;
  model?: string;
  dtype?: "fp32" | "fp16" | "int8";
  limit?: number;
  save?: string;
  out?: string;
  processes?: number;
  fresh?: boolean;
  card?: boolean;
  json?: boolean;
  mode?: SegmentationProtocol["mode"];
  shortSide?: number;
  background?: SegmentationProtocol["background"]["kind"];
  threshold?: number;
  prompts?: SegmentationProtocol["prompts"];
  topK?: number;
  assignment?: SegmentationProtocol["assignment"];
  flip?: boolean;
  quality?: Quality;
}

function datasetName(text: string): DatasetName {
  const found = DATASET_NAMES.find((name) => name === text);
  if (found) return found;
  throw new InvalidArgumentError(`Choose from ${DATASET_NAMES.join(", ")}.`);
}

export function evalCommand(): Command {
  return new Command("eval")
    .description("Measure a model on a data set; results carry the whole protocol.")
    .argument("<dataset>", DATASET_NAMES.join(", "), datasetName)
    .option("--root <folder>", `where the data set lies (default for scenes: ${SCENES})`)
    .option("--split <name>", "list of pictures (default: the set's validation list)")
    .option(...MODEL_OPTION)
    .addOption(dtypeOption())
    .option("--limit <n>", "measure n pictures, evenly spread over the set", wholeNumber(1, 1e7))
    .option("--save <folder>", "write the predicted maps as indexed PNG files")
    .option(
      "-o, --out <folder>",
      "ledger, result.json and report (default: groupvit-eval/<dataset>)",
    )
    .option("--processes <n>", "pictures at a time (default: one per core)", wholeNumber(1, 256))
    .option("--fresh", "begin again, though pictures are finished already")
    .addOption(
      new Option("--mode <mode>", "one window, or overlapping square ones").choices([
        "whole",
        "slide",
      ]),
    )
    .option("--short-side <pixels>", "short side of the encoded picture", wholeNumber(1, 4096))
    .addOption(
      new Option("--background <kind>", "which pixels take no class").choices([
        "none",
        "threshold",
      ]),
    )
    .option("--threshold <number>", "scores below it are background, 0 to 1", share)
    .addOption(promptsOption("the protocol's"))
    .option("--top-k <n>", "words nearest to the picture that may win", wholeNumber(1, 100_000))
    .addOption(
      new Option("--assignment <kind>", "soft maps, or each patch wholly in its group").choices([
        "soft",
        "hard",
      ]),
    )
    .option("--flip", "average with the mirrored picture")
    .addOption(qualityOption())
    .option("--card", "put the result into the model's card, README.md in its folder")
    .option("--json", "print the result as JSON instead of text")
    .addHelpText(
      "after",
      `
Options from --mode to --quality change the set's standard protocol; every change is named in the result.
A run that was interrupted goes on where it was: run the same command again.

Examples:
  groupvit eval scenes
  groupvit eval voc --root VOCdevkit/VOC2012 --model nvidia/groupvit-gcc-yfcc
  groupvit eval folder --root my-masks --limit 50 --save predicted --threshold 0.8`,
    )
    .action(run);
}

async function run(dataset: DatasetName, options: Options): Promise<void> {
  const { modelFacts } = await import("../../evaluate/run.js");
  const { cardPath, writeCard } = await import("../../evaluate/report-folder.js");
  const { resultText } = await import("../../evaluate/terminal-table.js");
  const set = await openSet(dataset, options);
  const out = options.out ?? join("groupvit-eval", dataset);
  const model = await modelFacts(options.model);
  const card = options.card ? await cardPath(model) : undefined;
  const { result, page } = await measure(set, model, out, options);
  const single =
    dataset === "scenes" ? await measureSingles(set.root, model, out, options) : undefined;
  if (card !== undefined) {
    await writeCard(card, single ? [single, result] : [result], commandOf(dataset, options));
  }
  if (options.json) {
    await print(`${JSON.stringify(single ? { ...result, single } : result)}\n`);
    return;
  }
  if (single) await print(`${resultText(single)}\n\n`);
  await print(`${resultText(result)}\n  report: ${page}\n`);
}

/** Zero-shot classification of the scenes' objects, one a picture, with the same prompts. */
async function measureSingles(
  root: string,
  model: ModelFacts,
  out: string,
  { dtype, prompts, processes, fresh, limit }: Options,
): Promise<EvaluationResult> {
  const { scenesSingles } = await import("../../evaluate/datasets/open.js");
  const own = { dtype, prompts, processes, fresh, limit };
  return (await measure(await scenesSingles(root), model, join(out, "single"), own)).result;
}

async function measure(
  whole: EvaluationSet,
  model: ModelFacts,
  out: string,
  options: Options,
): Promise<{ result: EvaluationResult; page: string }> {
  const { standardProtocol, limitSet, evaluateSet } = await import("../../evaluate/run.js");
  const { checkDataset } = await import("../../evaluate/datasets/check.js");
  const { writeReport } = await import("../../evaluate/report-folder.js");
  const { signal } = interruption;
  const set = options.limit === undefined ? whole : limitSet(whole, options.limit);
  const protocol = await changedProtocol(standardProtocol(set, model).protocol, model, options);
  const checking = startProgress("check");
  await checkDataset(set, {
    signal,
    onProgress: (done, total) => checking.update(done, total),
  }).finally(() => checking.stop());
  const progress = startProgress("eval");
  const result = await evaluateSet({
    set,
    model,
    protocol,
    out,
    dtype: options.dtype,
    processes: options.processes,
    save: options.save === undefined ? undefined : resolve(options.save),
    fresh: options.fresh,
    signal,
    onProgress: (done, total) => progress.update(done, total, "pictures"),
  }).finally(() => progress.stop());
  return { result, page: await writeReport(out, set, result, model, signal) };
}

async function openSet(dataset: DatasetName, { root, split }: Options): Promise<EvaluationSet> {
  const { openDataset } = await import("../../evaluate/datasets/open.js");
  const folder = root ?? (dataset === "scenes" ? SCENES : undefined);
  if (folder === undefined) {
    throw new InputError(
      `eval ${dataset}: say where the data set lies, as in --root data/${dataset}`,
    );
  }
  if (root === undefined && !existsSync(folder)) {
    throw new InputError(
      `eval scenes: ${folder} does not exist; in a checkout "npm run eval:scenes" makes the held-out set and ` +
        "measures; or say where one lies, as in --root data/scenes",
    );
  }
  return openDataset(dataset, resolve(folder), { split });
}

const SEGMENTATION_ONLY = [
  "mode",
  "shortSide",
  "background",
  "threshold",
  "topK",
  "assignment",
  "flip",
  "quality",
  "save",
] as const;

/** Options that the numbers depend on. */
const MEASURED = [
  "root",
  "split",
  "model",
  "dtype",
  "limit",
  "prompts",
  ...SEGMENTATION_ONLY.filter((name) => name !== "save"),
] as const;

/** The command that gives the same numbers again. */
function commandOf(dataset: DatasetName, options: Options): string {
  const given = MEASURED.flatMap((name) => {
    const value = options[name];
    if (value === undefined) return [];
    return value === true ? [`--${dashed(name)}`] : [`--${dashed(name)}`, quoted(`${value}`)];
  });
  return ["groupvit eval", dataset, ...given].join(" ");
}

/** A word of a shell's command line. */
function quoted(text: string): string {
  return /^[\w./:@%+,=-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

async function changedProtocol(
  standard: EvaluationResult["protocol"],
  model: ModelFacts,
  options: Options,
): Promise<EvaluationResult["protocol"]> {
  const { withQuality } = await import("../../evaluate/protocol.js");
  const prompts = options.prompts ?? standard.prompts;
  if (standard.task === "classification") {
    const given = SEGMENTATION_ONLY.find((name) => options[name] !== undefined);
    if (given)
      throw new InputError(`--${dashed(given)}: it has no meaning for pictures of one class`);
    return { ...standard, prompts };
  }
  if (options.quality === "fast" && options.shortSide !== undefined) {
    throw new InputError("--quality fast: it chooses the short side; leave --short-side out");
  }
  const changed = {
    ...standard,
    prompts,
    background: changedBackground(standard, model, options),
    shortSide: options.shortSide ?? standard.shortSide,
    mode: options.mode ?? standard.mode,
    topK: options.topK ?? standard.topK,
    assignment: options.assignment ?? standard.assignment,
    flip: options.flip ?? standard.flip,
  };
  return withQuality(changed, options.quality);
}

function changedBackground(
  { background }: SegmentationProtocol,
  model: ModelFacts,
  options: Options,
): SegmentationProtocol["background"] {
  const kind =
    options.background ?? (options.threshold === undefined ? background.kind : "threshold");
  if (kind === "none") {
    if (options.threshold !== undefined) {
      throw new InputError("--threshold: it has a meaning only with --background threshold");
    }
    return { kind };
  }
  const standard = background.kind === "threshold" ? background.threshold : model.threshold;
  return { kind, threshold: options.threshold ?? standard };
}

function dashed(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}
