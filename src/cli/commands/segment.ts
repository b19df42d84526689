// groupvit segment: gives every pixel of the pictures one of the words.

import { Command, Option } from "commander";
import { InputError } from "../../errors.js";
import type { EncodeOptions, SegmentOptions } from "../../index.js";
import { runBatch } from "../batch.js";
import { npy } from "../npy.js";
import {
  addLabelOptions,
  addModelOptions,
  addPictureOptions,
  type LabelOptions,
  listOf,
  loadModel,
  type ModelOptions,
  modelName,
  type PictureOptions,
  promptsOption,
  requireLabels,
  share,
  wholeNumber,
} from "../options.js";
import { makeFolder, writeInto } from "../output.js";
import { findSources } from "../sources.js";
import { interruption } from "../terminal.js";
import { segmentationText } from "../text.js";

const SAVED = ["mask", "overlay", "labels", "groups", "scores"] as const;

interface Options extends ModelOptions, LabelOptions, PictureOptions {
  out: string;
  save: (typeof SAVED)[number][];
  mode?: EncodeOptions["mode"];
  shortSide?: number;
  background?: SegmentOptions["background"];
  backgroundWords?: string;
  threshold?: number;
  prompts?: SegmentOptions["prompts"];
  topK?: number;
}

export function segmentCommand(): Command {
  const command = new Command("segment")
    .description("Segment pictures by words: a mask and an overlay for each.")
    .argument(
      "<picture...>",
      'files, folders, patterns such as "photos/*.jpg", addresses, @list.txt, or - for stdin',
    );
  addLabelOptions(command)
    .option("-o, --out <folder>", "where results go; made if missing", "groupvit-out")
    .option(
      "--save <list>",
      `what to write: ${SAVED.join(",")} (default: mask,overlay)`,
      listOf(SAVED),
    )
    .addOption(
      new Option(
        "--mode <mode>",
        "one window over the picture, or overlapping square ones, slower and finer (default: whole)",
      ).choices(["whole", "slide"]),
    )
    .option(
      "--short-side <pixels>",
      "short side at which the picture is encoded (default: the model's)",
      wholeNumber(1, 4096),
    )
    .addOption(
      new Option(
        "--background <kind>",
        "which pixels take no label, those of low score or those won by other words (default: none)",
      ).choices(["none", "threshold", "words"]),
    )
    .option("--background-words <list>", "words that stand for background", String)
    .option(
      "--threshold <number>",
      "scores below it, 0 to 1, are background (default: 0.95, or the vocabulary's)",
      share,
    )
    .addOption(promptsOption("simple"))
    .option(
      "--top-k <n>",
      "how many labels, those nearest to the picture, may win (default: 5)",
      wholeNumber(1, 100_000),
    );
  addPictureOptions(addModelOptions(command));
  return command
    .addHelpText(
      "after",
      `
Files: NAME.mask.png (palette, value = label), NAME.overlay.png, NAME.labels.json (the entry of --json),
NAME.groups.png (how the model grouped the picture), NAME.scores.npy (winning score of each pixel).
The vocabularies voc, context and coco bring their background threshold with them.

Examples:
  groupvit segment park.jpg --labels "dog, tree, sky"
  groupvit segment photos/ --labels-file labels.txt --out masks --save mask,labels
  groupvit segment "photos/**/*.jpg" --vocabulary voc --mode slide --json > result.json
  groupvit segment room.jpg --labels "sofa, couch; lamp" --background-words "wall, floor"
  curl -s https://example.org/park.jpg | groupvit segment - -l "dog, grass"`,
    )
    .action(run);
}

async function run(pictures: string[], options: Options): Promise<void> {
  const { parseLabels, drawGroups, drawOverlay, encodeLabelPng, labelPalette, reportPicture } =
    await import("../../index.js");
  const { labels, preset } = await requireLabels(options);
  const words = options.backgroundWords;
  const segmentOptions: SegmentOptions = {
    prompts: options.prompts,
    topK: options.topK,
    pixelScores: options.save?.includes("scores"),
    signal: interruption.signal,
    ...chooseBackground(options, preset),
  };
  // Now, not after the model is loaded.
  if (words !== undefined) parseLabels([...labels, ...parseLabels(words)]);
  const sources = await findSources(pictures);
  const { out, save = ["mask", "overlay"] } = options;
  await makeFolder(out);
  const model = await loadModel(options);
  const head = { model: modelName(options.model) };
  await runBatch("segment", sources, options, head, async (picture, source) => {
    const encoded = await model.encode(picture, {
      mode: options.mode,
      shortSide: options.shortSide,
      maxPixels: options.limitPixels,
      signal: interruption.signal,
    });
    const result = await encoded.segment(labels, segmentOptions);
    const written: Record<string, string> = {};
    if (save.includes("mask")) {
      const palette = labelPalette(
        result.labels.length + (result.background ? 1 : 0),
        result.background,
      );
      written.mask = await writeInto(
        out,
        `${source.name}.mask.png`,
        encodeLabelPng(result, palette),
      );
    }
    if (save.includes("overlay")) {
      const bytes = await drawOverlay(picture, result);
      written.overlay = await writeInto(out, `${source.name}.overlay.png`, bytes);
    }
    if (save.includes("groups")) {
      const whole = options.mode === "slide" ? await model.encode(picture) : encoded;
      const stages = whole.groups();
      const bytes = await drawGroups("sheet", {
        picture,
        firstGroups: { ...result, map: stages[0]!.map },
        finalGroups: { ...result, map: stages.at(-1)!.map },
        prediction: result,
      });
      written.groups = await writeInto(out, `${source.name}.groups.png`, bytes);
    }
    if (save.includes("scores")) {
      const bytes = npy([result.height, result.width], result.pixelScores!);
      written.scores = await writeInto(out, `${source.name}.scores.npy`, bytes);
    }
    const json = reportPicture(source.file, result, result.scores, written.mask ?? null);
    if (save.includes("labels")) {
      const text = `${JSON.stringify(json)}\n`;
      written.labels = await writeInto(out, `${source.name}.labels.json`, text);
    }
    return { json, text: await segmentationText(source.file, result, written) };
  });
  await model.release();
}

/** Which pixels are background: what the user says, else what the vocabulary was published with. */
function chooseBackground(
  { background, backgroundWords, threshold }: Options,
  preset: { background: boolean; threshold?: number } | undefined,
): Pick<SegmentOptions, "background" | "backgroundWords" | "threshold"> {
  const kind =
    background ??
    (backgroundWords !== undefined
      ? "words"
      : threshold !== undefined || preset?.background
        ? "threshold"
        : "none");
  if (kind !== "threshold" && threshold !== undefined) {
    throw new InputError("--threshold: it has a meaning only with --background threshold");
  }
  if (kind !== "words" && backgroundWords !== undefined) {
    throw new InputError("--background-words: they have a meaning only with --background words");
  }
  if (kind === "words" && backgroundWords === undefined) {
    throw new InputError('--background words: needs --background-words, such as "sky, ground"');
  }
  if (kind === "threshold") return { background: kind, threshold: threshold ?? preset?.threshold };
  return { background: kind, backgroundWords };
}
