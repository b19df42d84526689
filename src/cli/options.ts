// Options that several commands share, and how their values are read.

import { readFile } from "node:fs/promises";
import type { Command } from "commander";
import { InvalidArgumentError, Option } from "commander";
import { InputError } from "../errors.js";
import { QUALITIES } from "../evaluate/quality.js";
import type { GroupViT, LoadOptions, PromptSet, Vocabulary } from "../index.js";
import { byteSize, startProgress } from "./progress.js";
import { interruption, note } from "./terminal.js";

export interface ModelOptions {
  model?: string;
  device?: LoadOptions["device"];
  dtype?: LoadOptions["dtype"];
  threads?: number;
}

export interface LabelOptions {
  labels?: string;
  labelsFile?: string;
  vocabulary?: Vocabulary["name"];
}

export interface PictureOptions {
  limitPixels?: number;
  json?: boolean;
}

/** Flags and text of the option that names a model. */
export const MODEL_OPTION = [
  "-m, --model <model>",
  "model folder, checkpoint file or Hugging Face Hub id (default: the bundled model)",
] as const;

/** @param also devices beyond those that train */
export function deviceOption(also: readonly string[] = []): Option {
  return new Option("--device <device>", "where to compute (default: cpu)").choices([
    "cpu",
    "cuda",
    "webgpu",
    ...also,
  ]);
}

export function dtypeOption(): Option {
  return new Option(
    "--dtype <type>",
    "weights in the engine, int8 fastest but a little off (default: fp32)",
  ).choices(["fp32", "fp16", "int8"]);
}

export function qualityOption(): Option {
  return new Option(
    "--quality <preset>",
    "fast looks at a smaller picture, best looks twice and fits borders to the picture's edges (default: balanced)",
  ).choices(QUALITIES);
}

/** @param threads what is said of the engine's threads where nothing is given */
export function addModelOptions(command: Command, threads = "one per core"): Command {
  return command
    .option(...MODEL_OPTION)
    .addOption(deviceOption(["wasm"]))
    .addOption(dtypeOption())
    .option("--threads <n>", `threads of the engine (default: ${threads})`, wholeNumber(1, 1024));
}

export function addLabelOptions(command: Command): Command {
  return command
    .option(
      "-l, --labels <list>",
      'words to look for: "dog, tree, sky"; with synonyms: "sofa, couch; dog"',
    )
    .option("--labels-file <file>", "the same from a file, one label a line")
    .addOption(
      new Option("--vocabulary <name>", "the labels of a published evaluation").choices([
        "voc",
        "context",
        "coco",
        "imagenet",
      ]),
    );
}

export function addPictureOptions(command: Command): Command {
  return command
    .option(
      "--limit-pixels <n>",
      "refuse pictures with more pixels (default: 100000000)",
      wholeNumber(1, 2 ** 31),
    )
    .option("--json", "print one JSON document instead of text");
}

export function promptsOption(standard: string): Option {
  return new Option(
    "--prompts <set>",
    `1, 7 or 80 prompt templates around each label (default: ${standard})`,
  ).choices(["simple", "subset", "full"] satisfies PromptSet[]);
}

/** Reads a whole number within bounds. */
export function wholeNumber(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
    if (!(value >= least && value <= most)) {
      throw new InvalidArgumentError(`Give a whole number from ${least} to ${most}.`);
    }
    return value;
  };
}

/** Reads a number from 0 to 1. */
export function share(text: string): number {
  const value = text.trim() === "" ? Number.NaN : Number(text);
  if (!(value >= 0 && value <= 1)) throw new InvalidArgumentError("Give a number from 0 to 1.");
  return value;
}

/** Reads a list such as "mask,overlay" of the given words. */
export function listOf<T extends string>(choices: readonly T[]): (text: string) => T[] {
  return (text) => {
    const words = text.split(",").map((word) => word.trim());
    for (const word of words) {
      if (!(choices as readonly string[]).includes(word)) {
        throw new InvalidArgumentError(
          `"${word}" is unknown; choose from ${choices.join(", ")}, with commas between.`,
        );
      }
    }
    return [...new Set(words)] as T[];
  };
}

/** The labels that the options name, or none where no option does, and the preset they come from. */
export async function readLabels(
  options: LabelOptions,
): Promise<{ labels: readonly string[]; preset?: Vocabulary } | undefined> {
  const given = [options.labels, options.labelsFile, options.vocabulary].filter(
    (value) => value !== undefined,
  );
  if (given.length > 1) {
    throw new InputError("labels: give only one of --labels, --labels-file and --vocabulary");
  }
  const { parseLabels, readLabelsFile, VOCABULARIES } = await import("../index.js");
  if (options.labels !== undefined) return { labels: parseLabels(options.labels) };
  if (options.vocabulary !== undefined) {
    const preset = VOCABULARIES[options.vocabulary];
    // ImageNet has two words twice, each for two classes; asked for once, either class is meant.
    return { labels: [...new Set(preset.labels)], preset };
  }
  if (options.labelsFile === undefined) return undefined;
  let text: string;
  try {
    text = await readFile(options.labelsFile, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new InputError(
      `labels file ${options.labelsFile}: cannot be read (${code}); check the path`,
    );
  }
  return { labels: readLabelsFile(text) };
}

/** The same for commands that cannot do without. */
export async function requireLabels(options: LabelOptions) {
  const found = await readLabels(options);
  if (found) return found;
  throw new InputError(
    'labels: none given; say what to look for, as in --labels "dog, tree, sky", or --vocabulary voc',
  );
}

/** What messages and documents call the model. */
export function modelName(model: string | undefined): string {
  return model ?? "bundled";
}

/** Loads the model, telling on stderr how far a download is. */
export async function loadModel(options: ModelOptions): Promise<GroupViT> {
  const { GroupViT } = await import("../index.js");
  return withDownloadProgress(options.model, (download) =>
    GroupViT.load(options.model, {
      ...download,
      device: options.device,
      dtype: options.dtype,
      threads: options.threads,
    }),
  );
}

/** Runs something that may download a model; without one, checks that the bundled model is there. */
export async function withDownloadProgress<T>(
  model: string | undefined,
  work: (options: Required<Pick<LoadOptions, "onProgress" | "onWarning" | "signal">>) => Promise<T>,
): Promise<T> {
  if (model === undefined) await requireBundledModel();
  const progress = startProgress(
    "download",
    (done, total) => `${byteSize(done)} of ${byteSize(total)}`,
  );
  try {
    return await work({
      onProgress: ({ file, loaded, total }) => progress.update(loaded, total, file),
      onWarning(message) {
        progress.clear();
        note(message);
      },
      signal: interruption.signal,
    });
  } finally {
    progress.stop();
  }
}

async function requireBundledModel(): Promise<void> {
  const { BUNDLED_MODEL } = await import("../index.js");
  const { existsSync } = await import("node:fs");
  if (existsSync(BUNDLED_MODEL)) return;
  throw new InputError(
    `the bundled model is missing (${BUNDLED_MODEL}); give another one: a folder or checkpoint file, ` +
      "or a Hub id as in --model nvidia/groupvit-gcc-yfcc (downloaded once, 0.2 GB)",
  );
}
