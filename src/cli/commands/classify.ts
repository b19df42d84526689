// groupvit classify: ranks labels for pictures as a whole.

import { Command } from "commander";
import type { PromptSet } from "../../index.js";
import { runBatch } from "../batch.js";
import {
  addLabelOptions,
  addModelOptions,
  addPictureOptions,
  type LabelOptions,
  loadModel,
  type ModelOptions,
  modelName,
  type PictureOptions,
  promptsOption,
  requireLabels,
  wholeNumber,
} from "../options.js";
import { findSources } from "../sources.js";
import { interruption, oneLine } from "../terminal.js";
import { heading } from "../text.js";

interface Options extends ModelOptions, LabelOptions, PictureOptions {
  prompts?: PromptSet;
  top?: number;
}

export function classifyCommand(): Command {
  const command = new Command("classify")
    .description("Rank labels for pictures as a whole.")
    .argument("<picture...>", "files, folders, patterns, addresses, @list.txt, or - for stdin");
  addLabelOptions(command)
    .addOption(promptsOption("labels as they are"))
    .option("--top <n>", "how many labels to show (default: 5)", wholeNumber(1, 100_000));
  addPictureOptions(addModelOptions(command));
  return command
    .addHelpText(
      "after",
      `
Scores of all labels together are 1.

Examples:
  groupvit classify park.jpg --labels "a dog in a park; a city street"
  groupvit classify photos/ --vocabulary imagenet --prompts full --top 3
  groupvit classify photos/ --labels "cat, dog" --json > result.json`,
    )
    .action(run);
}

async function run(pictures: string[], options: Options): Promise<void> {
  const { labels } = await requireLabels(options);
  const sources = await findSources(pictures);
  const model = await loadModel(options);
  const head = { model: modelName(options.model) };
  await runBatch("classify", sources, options, head, async (picture, { file }) => {
    const encoded = await model.encode(picture, {
      maxPixels: options.limitPixels,
      signal: interruption.signal,
    });
    const ranked = await encoded.classify(labels, {
      prompts: options.prompts,
      signal: interruption.signal,
    });
    const shown = ranked.slice(0, options.top ?? 5);
    const lines = shown.map(({ label, score }) => `${score.toFixed(3)}  ${oneLine(label)}`);
    return {
      json: { file, labels: shown },
      text: `${heading(file)}\n${lines.map((line) => `  ${line}\n`).join("")}`,
    };
  });
  await model.release();
}
