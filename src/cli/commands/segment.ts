// groupvit segment: gives every pixel of the pictures one of the words.

import { Command } from "commander";
import { makeFolder } from "../../atomic.node.js";
import { InputError } from "../../errors.js";
import {
  type Quality,
  qualityRefines,
  qualityShortSide,
  qualityZooms,
} from "../../evaluate/quality.js";
import type { SegmentOptions } from "../../index.js";
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
  qualityOption,
  requireLabels,
} from "../options.js";
import { writeInto } from "../output.js";
import { addSegmentOptions, chooseBackground, type SegmentCliOptions } from "../segment-options.js";
import { findSources } from "../sources.js";
import { interruption } from "../terminal.js";
import { segmentationText } from "../text.js";

const SAVED = ["mask", "overlay", "labels", "groups", "scores"] as const;

interface Options extends ModelOptions, LabelOptions, PictureOptions, SegmentCliOptions {
  out: string;
  save: (typeof SAVED)[number][];
  quality?: Quality;
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
    );
  addSegmentOptions(command).addOption(qualityOption());
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
  groupvit segment park.jpg -l "dog, grass" --quality best
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
  if (options.quality === "fast" && options.shortSide !== undefined) {
    throw new InputError("--quality fast: it chooses the short side; leave --short-side out");
  }
  const segmentOptions: SegmentOptions = {
    prompts: options.prompts,
    topK: options.topK,
    refine: qualityRefines(options.quality),
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
  const shortSide =
    options.quality === "fast"
      ? qualityShortSide(options.quality, model.processor.segmentationShortSide)
      : options.shortSide;
  const head = { model: modelName(options.model) };
  await runBatch("segment", sources, options, head, async (picture, source) => {
    const encoded = await model.encode(picture, {
      mode: options.mode,
      shortSide,
      zoom: qualityZooms(options.quality, options.mode),
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
