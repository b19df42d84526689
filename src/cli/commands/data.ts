// groupvit data: looks into, writes, downloads and composes training data.

import { existsSync } from "node:fs";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { Argument, Command, InvalidArgumentError, Option } from "commander";
import { InputError } from "../../errors.js";
import { DATASET_NAMES, type DatasetName } from "../../evaluate/dataset.js";
import type { ListLayout } from "../../train/data/download-list.js";
import type { SampleSource } from "../../train/data/source.js";
import { wholeNumber } from "../options.js";
import { startProgress } from "../progress.js";
import { interruption, note, oneLine, print } from "../terminal.js";

const SCENES = ".cache/scenes";

export function dataCommand(): Command {
  const command = new Command("data").description("Prepare pictures for training and evaluation.");
  for (const part of [
    checkCommand(),
    shardCommand(),
    downloadCommand(),
    scenesCommand(),
    scenesEvaluationCommand(),
    prepareCommand(),
  ]) {
    command.addCommand(part);
  }
  return command;
}

/** Shards where the location names them, else a folder of pictures. */
async function openSource(location: string, captions: string | undefined): Promise<SampleSource> {
  const folder = (await stat(location).catch(() => undefined))?.isDirectory() ?? false;
  if (captions === undefined && /\.(csv|tsv|jsonl|ndjson|parquet|json)$/i.test(location)) {
    throw new InputError(
      `${location}: it is a table; give the folder of its pictures, and --captions ${location}`,
    );
  }
  const { webdataset, resolveShards } = await import("../../train/data/webdataset.js");
  if (captions === undefined && (!folder || resolveShards(location).length > 0)) {
    return webdataset(location);
  }
  const { pictureFolder } = await import("../../train/data/folder.js");
  return pictureFolder(location, captions);
}

const SOURCE =
  'tar shards (file, folder, "cc3m/{00000..00331}.tar", web address) or a picture folder';
const CAPTIONS =
  "CSV, TSV, JSON lines, Parquet or COCO captions of a picture folder (default: a .txt beside each)";

function checkCommand(): Command {
  interface Options {
    captions?: string;
    shards?: number;
    samples?: number;
    decode?: boolean;
    json?: boolean;
  }
  return new Command("check")
    .description(
      "Look through a data set and tell what is there. Exit code 2 where it falls short.",
    )
    .argument("<source>", SOURCE)
    .option("--captions <file>", CAPTIONS)
    .option("--shards <n>", "shards that should be there", wholeNumber(1, 1e6))
    .option("--samples <n>", "usable samples that should be there", wholeNumber(1, 1e9))
    .option("--decode", "decode every picture, not only its header")
    .option("--json", "print one JSON document instead of text")
    .action(async (location: string, options: Options) => {
      const { checkData } = await import("../../train/data/check.js");
      const source = await openSource(location, options.captions);
      const total = source.shards().length;
      const progress = startProgress("check");
      const report = await checkData(
        source,
        { shards: options.shards, samples: options.samples },
        {
          decode: options.decode ?? false,
          signal: interruption.signal,
          onProgress: (shards, samples) => progress.update(shards, total, `${samples} samples`),
        },
      ).finally(() => progress.stop());
      if (options.json) await print(`${JSON.stringify(report)}\n`);
      else {
        const { captionWords: words } = report;
        await print(
          `${oneLine(location)}: ${report.samples} usable samples in ${report.shards} shards\n` +
            (words
              ? `  captions of ${words.shortest} to ${words.longest} words, median ${words.median}\n`
              : "") +
            report.problems.map((problem) => `  ${oneLine(problem)}\n`).join("") +
            (report.problems.length === 0 ? "  nothing to complain about\n" : ""),
        );
      }
      if (report.problems.length > 0) process.exitCode = 2;
    });
}

function prepareCommand(): Command {
  return new Command("prepare")
    .description("Make what an evaluation set lacks in its original form, and check what is there.")
    .addArgument(new Argument("<dataset>", "which one").choices(DATASET_NAMES))
    .requiredOption("--root <folder>", "where its archives are unpacked, or where it lies")
    .option("--json", "print one JSON document instead of text")
    .addHelpText(
      "after",
      `
context: masks of 59 classes from the 459-class annotations. coco-object: masks of 80 classes from the
instances file, where there are no COCO-Stuff maps. All: every file and mask value is checked, and of the
published sets how many pictures there are. Says what to fetch and where.

Examples:
  groupvit data prepare context --root VOCdevkit/VOC2010
  groupvit data prepare coco-object --root coco
  groupvit data prepare folder --root my-masks`,
    )
    .action(async (dataset: DatasetName, { root, json }: { root: string; json?: boolean }) => {
      const { prepareDataset } = await import("../../evaluate/datasets/prepare.js");
      const progress = startProgress("prepare");
      const report = await prepareDataset(dataset, root, {
        signal: interruption.signal,
        onProgress: (done, total, what) => progress.update(done, total, what),
      }).finally(() => progress.stop());
      if (json) return print(`${JSON.stringify(report)}\n`);
      const { pictures, made, kept, split, notes } = report;
      await print(
        `${dataset} ${split}: ${pictures} pictures, ${made} files made, ${kept} there already\n` +
          notes.map((text) => `  ${oneLine(text)}\n`).join(""),
      );
    });
}

function shardCommand(): Command {
  interface Options {
    out: string;
    captions?: string;
    samplesPerShard?: number;
    json?: boolean;
  }
  return new Command("shard")
    .description("Write a data set as WebDataset tar shards.")
    .argument("<source>", SOURCE)
    .requiredOption("-o, --out <folder>", "folder for 00000.tar, 00001.tar, ...")
    .option("--captions <file>", CAPTIONS)
    .option(
      "--samples-per-shard <n>",
      "samples in a shard (default: 1000)",
      wholeNumber(1, 100_000),
    )
    .option("--json", "print one JSON document instead of text")
    .action(async (location: string, options: Options) => {
      const { writeShards } = await import("../../train/data/shard.js");
      const source = await openSource(location, options.captions);
      const { samples } = source.describe();
      const progress = startProgress("shard");
      const written = await writeShards(source, options.out, {
        samplesPerShard: options.samplesPerShard,
        signal: interruption.signal,
        onProgress: (_, done) => progress.update(done, samples ?? done),
      }).finally(() => progress.stop());
      if (options.json) await print(`${JSON.stringify(written)}\n`);
      else {
        const left = Object.entries(written.skipped).map(([why, n]) => `  ${n} left out: ${why}\n`);
        await print(
          `${written.samples} samples in ${written.shards.length} shards: ${oneLine(options.out)}\n${left.join("")}`,
        );
      }
    });
}

function downloadCommand(): Command {
  interface Options {
    out: string;
    layout: ListLayout;
    concurrency?: number;
    perHost?: number;
    rowsPerShard?: number;
    shortSide?: number;
    timeout?: number;
    maxBytes?: number;
    allowHost?: string[];
    json?: boolean;
  }
  return new Command("download")
    .description("Download a list of addresses and captions into shards; run again to go on.")
    .argument("<list>", "CSV, TSV, JSON lines, Parquet, or the list of a public data set")
    .requiredOption("-o, --out <folder>", "folder for the shards")
    .addOption(
      new Option("--layout <layout>", "how the list is laid out")
        .choices(["cc3m", "cc12m", "yfcc15m", "redcaps", "table"])
        .default("table"),
    )
    .option("--concurrency <n>", "downloads at a time (default: 32)", wholeNumber(1, 1024))
    .option("--per-host <n>", "downloads at a time from one host (default: 2)", wholeNumber(1, 64))
    .option("--rows-per-shard <n>", "rows of a shard (default: 10000)", wholeNumber(1, 100_000))
    .option(
      "--short-side <n>",
      "shrink pictures to this side (default: 256)",
      wholeNumber(32, 4096),
    )
    .option("--timeout <s>", "seconds for one picture (default: 15)", wholeNumber(1, 3600))
    .option(
      "--max-bytes <n>",
      "most bytes of one picture (default: 20 MiB)",
      wholeNumber(1, 2 ** 30),
    )
    .option(
      "--allow-host <host:port...>",
      "private hosts to download from nevertheless, such as a mirror",
    )
    .option("--json", "print one JSON document instead of text")
    .addHelpText(
      "after",
      `
cc3m: TSV of caption, address. cc12m: TSV of address, caption. yfcc15m: rows of YFCC100M's TSV. redcaps: one
annotation JSON. table: columns such as url and caption. Addresses in private networks are refused.

Examples:
  groupvit data download Train_GCC-training.tsv --layout cc3m --out cc3m
  groupvit data download list.parquet --out shards --allow-host mirror.lan:8080`,
    )
    .action(async (list: string, { out, json, timeout, allowHost, ...settings }: Options) => {
      const { downloadShards } = await import("../../train/data/download.js");
      let last = performance.now();
      const statistics = await downloadShards(list, out, {
        ...settings,
        timeout: timeout === undefined ? undefined : timeout * 1000,
        allowHosts: allowHost,
        signal: interruption.signal,
        onProgress: ({ rows, downloaded }) => {
          if (performance.now() - last < 5000) return;
          last = performance.now();
          note(`${downloaded} of ${rows} rows downloaded`);
        },
      });
      if (json) await print(`${JSON.stringify(statistics)}\n`);
      else {
        const failures = Object.entries(statistics.failures).map(([why, n]) => `  ${n}: ${why}\n`);
        await print(
          `${statistics.downloaded} of ${statistics.rows} pictures: ${oneLine(out)}\n${failures.join("")}`,
        );
      }
    });
}

/** Rasterises the drawings unless that is done; returns their folder. */
async function cutoutsOf(root: string): Promise<string> {
  const folder = join(root, "cutouts");
  const { buildCutouts, isBuilt } = await import("../../scenes/cutouts.js");
  if (isBuilt(folder)) return folder;
  const { readSources } = await import("../../scenes/sources.js");
  const progress = startProgress("cut-outs");
  await buildCutouts(readSources(root), folder, {
    signal: interruption.signal,
    onProgress: (done, total) => progress.update(done, total),
  }).finally(() => progress.stop());
  return folder;
}

const ROOT_HELP = `folder that scripts/setup-scenes.mjs filled`;

function scenesCommand(): Command {
  interface Options {
    sources: string;
    out?: string;
    count: number;
    size: number;
    seed: number;
    difficulty: number;
  }
  return new Command("scenes")
    .description(
      "Rasterise the drawings for composing scenes while training, and with --out write scenes as shards.",
    )
    .option("--sources <folder>", ROOT_HELP, SCENES)
    .option("-o, --out <folder>", "write shards of scenes here")
    .option("--count <n>", "scenes to write", wholeNumber(1, 1e9), 10_000)
    .option("--size <n>", "side in pixels", wholeNumber(32, 512), 128)
    .option("--seed <n>", "names the stream of scenes", wholeNumber(0, 2 ** 32 - 1), 1)
    .option("--difficulty <x>", "0 (one large object) to 1 (crowded)", fraction, 0.5)
    .action(async ({ sources, out, count, size, seed, difficulty }: Options) => {
      const cutouts = await cutoutsOf(sources);
      if (out === undefined) {
        await print(`cut-outs: ${oneLine(cutouts)}\n`);
        return;
      }
      const { loadCutouts } = await import("../../scenes/cutouts.js");
      const { makeCatalogue } = await import("../../scenes/compose.js");
      const { generateShards } = await import("../../scenes/shards.js");
      const progress = startProgress("scenes");
      const files = await generateShards(makeCatalogue(loadCutouts(cutouts, "train")), {
        folder: out,
        seed,
        count,
        size,
        difficulty,
        signal: interruption.signal,
        onProgress: (done, total) => progress.update(done, total),
      }).finally(() => progress.stop());
      await print(`${count} scenes in ${files.length} shards: ${oneLine(out)}\n`);
    });
}

function scenesEvaluationCommand(): Command {
  interface Options {
    sources: string;
    out?: string;
    scenes: number;
    size: number;
    classes: number;
  }
  return new Command("scenes-evaluation")
    .description("Write the held-out evaluation: scenes with exact masks, and single objects.")
    .option("--sources <folder>", ROOT_HELP, SCENES)
    .option("-o, --out <folder>", "folder to write (default: evaluation beside the cut-outs)")
    .option("--scenes <n>", "scenes of each tier", wholeNumber(1, 100_000), 200)
    .option("--size <n>", "side in pixels", wholeNumber(32, 512), 224)
    .option("--classes <n>", "classes", wholeNumber(1, 158), 36)
    .action(async ({ sources, out, scenes, size, classes }: Options) => {
      const folder = out ?? join(sources, "evaluation");
      if (existsSync(folder)) {
        throw new InputError(`--out ${folder}: it exists; remove it or name another folder`);
      }
      const cutouts = await cutoutsOf(sources);
      const { loadCutouts } = await import("../../scenes/cutouts.js");
      const { writeEvaluation } = await import("../../scenes/evaluation.js");
      const progress = startProgress("evaluation");
      const written = await writeEvaluation(loadCutouts(cutouts, "held-out"), folder, {
        scenes,
        size,
        classes,
        signal: interruption.signal,
        onProgress: (done, total) => progress.update(done, total),
      }).finally(() => progress.stop());
      const singles = Object.values(written.singles).reduce((sum, n) => sum + n, 0);
      await print(
        `${written.scenes} scenes and ${singles} single objects of ${written.classes.length} classes: ` +
          `${oneLine(folder)}\n`,
      );
    });
}

function fraction(text: string): number {
  const value = Number(text);
  if (text.trim() !== "" && value >= 0 && value <= 1) return value;
  throw new InvalidArgumentError("Give a number from 0 to 1.");
}
