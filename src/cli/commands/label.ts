// groupvit label: labels any number of pictures and writes annotation files.

import { existsSync } from "node:fs";
import { availableParallelism } from "node:os";
import { resolve } from "node:path";
import { Command, Option } from "commander";
import { FORMAT_TITLES } from "../../annotate/format-titles.js";
import type { AnnotationFormatName } from "../../annotate/formats.js";
import { InputError } from "../../errors.js";
import type { Manifest } from "../../label/manifest.js";
import type { LabelEngine, LabelSummary } from "../../label/run.js";
import {
  addLabelOptions,
  deviceOption,
  type LabelOptions,
  listOf,
  requireLabels,
  wholeNumber,
  withDownloadProgress,
} from "../options.js";
import { startProgress } from "../progress.js";
import { addSegmentOptions, chooseBackground, type SegmentCliOptions } from "../segment-options.js";
import { interruption, note, print } from "../terminal.js";

interface Options extends LabelOptions, SegmentCliOptions {
  to: string;
  format: AnnotationFormatName[];
  model?: string;
  dtype?: Manifest["model"]["dtype"];
  device?: Manifest["model"]["device"];
  tolerance?: number;
  addressPrefix?: string;
  review: number;
  processes?: number;
  queue?: string | true;
  limitPixels?: number;
  fresh?: boolean;
  json?: boolean;
}

const FORMATS = Object.keys(FORMAT_TITLES) as AnnotationFormatName[];
/** Pictures that could not be labelled are told one by one up to here. */
const TOLD = 20;

export function labelCommand(): Command {
  const command = new Command("label")
    .description("Label any number of pictures and write annotation files.")
    .argument(
      "<source...>",
      'folders, pictures, patterns such as "photos/**/*.jpg", addresses, @list.txt, .tar shards, .parquet',
    )
    .requiredOption("--to <folder>", "where results go; made if missing")
    .option("-f, --format <list>", `annotation formats: ${FORMATS.join(", ")}`, listOf(FORMATS), [
      "png",
      "coco",
    ]);
  addLabelOptions(command)
    .option(
      "-m, --model <model>",
      "model folder, checkpoint file or Hugging Face Hub id (default: the bundled model)",
    )
    .addOption(
      new Option("--dtype <type>", "weights in the engine (default: fp32)").choices([
        "fp32",
        "fp16",
        "int8",
      ]),
    )
    .addOption(deviceOption(["wasm"]));
  addSegmentOptions(command)
    .option(
      "--tolerance <pixels>",
      "how far polygons may leave the exact outlines (default: 1)",
      wholeNumber(0, 1000),
    )
    .option(
      "--address-prefix <text>",
      "stands before file names in Label Studio tasks, such as /data/local-files/?d=photos/",
    )
    .option("--review <n>", "length of the review queue", wholeNumber(0, 100_000), 1000)
    .option(
      "--processes <n>",
      "engines on this machine (default: one per core)",
      wholeNumber(1, 256),
    )
    .option(
      "--queue [address]",
      "leave the work to `groupvit worker` processes, by redis://[user:password@]host:port or what " +
        "GROUPVIT_QUEUE says",
    )
    .option(
      "--limit-pixels <n>",
      "refuse pictures with more pixels (default: 100000000)",
      wholeNumber(1, 2 ** 31),
    )
    .option("--fresh", "begin again, though there are results")
    .option("--json", "print one JSON document instead of text");
  return command
    .addHelpText(
      "after",
      `
Formats:
${FORMATS.map((name) => `  ${name.padEnd(14)} ${FORMAT_TITLES[name]}`).join("\n")}

Beside them: manifest.json (model, labels, protocol), set-aside.json (pictures that could not be labelled,
and why), review.json and review.png (what the model is least sure of), results/ (from which all other
files are written; a run that was stopped goes on there, another --format needs no engine).

Examples:
  groupvit label photos/ --labels "dog, tree, sky" --to labelled
  groupvit label "shards/*.tar" --vocabulary coco --to labelled --format coco,yolo,label-studio
  groupvit label @pictures.txt --labels-file labels.txt --to /shared/run1 --queue redis://queue:6379`,
    )
    .action(run);
}

async function run(sources: string[], options: Options): Promise<void> {
  const { labelPictures } = await import("../../label/run.js");
  const { findPictures } = await import("../label-sources.js");
  if (options.to === "") throw new InputError('--to "": name a folder for the results');
  const to = resolve(options.to);
  if (sources.some((source) => resolve(source) === to)) {
    throw new InputError(`--to ${options.to}: the pictures lie there; name another folder`);
  }
  const { labels, preset } = await requireLabels(options);
  const manifest = await describeRun(options, labels, preset);
  const engine = await openEngine(options);
  const began = performance.now();
  let found = 0;
  // Without a total there is no time left to tell.
  const finding = startProgress("find", () => `${found} pictures`);
  const progress = startProgress("label");
  let told = 0;
  const summary = await labelPictures({
    found: findPictures(sources, to),
    manifest,
    to,
    formats: options.format,
    annotation: {
      tolerance: options.tolerance ?? 1,
      modelVersion: `groupvit ${manifest.version} ${manifest.model.sha256.slice(0, 12)}`,
      addressPrefix: options.addressPrefix,
    },
    review: options.review,
    limitPixels: options.limitPixels,
    fresh: options.fresh,
    engine,
    signal: interruption.signal,
    onFound(pictures) {
      found = pictures;
      finding.update(0, 0);
    },
    onProgress(done, total) {
      finding.clear();
      progress.update(done, total, engine.remark?.());
    },
    onSetAside({ error }) {
      progress.clear();
      if (told++ < TOLD) note(error);
    },
  }).finally(() => {
    finding.stop();
    progress.stop();
  });
  const perSecond = (summary.pictures - summary.stood) / ((performance.now() - began) / 1000);
  const text = options.json
    ? `${JSON.stringify({ to: options.to, ...summary, picturesPerSecond: perSecond }, null, 1)}\n`
    : summaryText(options.to, summary, perSecond);
  await print(text);
  if (summary.setAside > 0) {
    note(`${summary.setAside} set aside; see ${options.to}/set-aside.json`);
    process.exitCode = 2;
  }
}

function summaryText(to: string, summary: LabelSummary, perSecond: number): string {
  const { pictures, labelled, setAside, stood, formats } = summary;
  const counts = [
    `${labelled} of ${pictures} pictures labelled`,
    ...(stood > 0 ? [`${stood} of them before`] : []),
    ...(setAside > 0 ? [`${setAside} set aside`] : []),
    `${perSecond.toFixed(1)} pictures a second`,
  ];
  const kept = formats.map(({ format, iou }) =>
    iou === undefined ? format : `${format} (polygons keep ${(100 * iou).toFixed(1)} % IoU)`,
  );
  const sheet = labelled > 0 ? `  to review: ${to}/review.png\n` : "";
  return `${to}: ${counts.join(", ")}\n  formats: ${kept.join(", ")}\n${sheet}`;
}

async function describeRun(
  options: Options,
  labels: readonly string[],
  preset: Parameters<typeof chooseBackground>[1],
) {
  const { parseLabels } = await import("../../index.js");
  const { modelFacts } = await import("../../evaluate/run.js");
  const { resolveModel } = await import("../../platform.node.js");
  const { packageVersion } = await import("../../label/manifest.js");
  const { background = "none", threshold, backgroundWords } = chooseBackground(options, preset);
  const words = backgroundWords === undefined ? undefined : parseLabels(backgroundWords);
  // Now, not after the model is loaded.
  if (words) parseLabels([...labels, ...words]);
  await withDownloadProgress(options.model, (download) => resolveModel(options.model, download));
  const model = await modelFacts(options.model);
  // Workers have other working folders.
  const isPlace = options.model !== undefined && existsSync(options.model);
  const source = isPlace ? resolve(options.model!) : (options.model ?? null);
  return {
    format: "groupvit-labels/1" as const,
    version: packageVersion(),
    model: {
      source,
      sha256: model.sha256,
      dtype: options.dtype ?? "fp32",
      device: options.device ?? "cpu",
    },
    labels: [...labels],
    protocol: {
      prompts: options.prompts ?? "simple",
      mode: options.mode ?? "whole",
      shortSide: options.shortSide ?? model.shortSide,
      topK: options.topK ?? 5,
      background,
      ...(background === "threshold" ? { threshold: threshold ?? model.threshold } : {}),
      ...(words ? { backgroundWords: words } : {}),
    },
  };
}

async function openEngine({ queue, processes }: Options): Promise<LabelEngine> {
  if (queue !== undefined) {
    const { queueEngine } = await import("../../label/queue.js");
    const address = queue === true ? process.env.GROUPVIT_QUEUE : queue;
    if (address === undefined) {
      throw new InputError("--queue: no address; write redis://host:6379, or set GROUPVIT_QUEUE");
    }
    return queueEngine(address, note);
  }
  const { localEngine } = await import("../../label/run.js");
  return localEngine(processes ?? availableParallelism());
}
