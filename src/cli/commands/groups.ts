// groupvit groups: draws how the model groups a picture, in the modes of the authors' demo.

import { Command } from "commander";
import { makeFolder } from "../../atomic.node.js";
import { InputError } from "../../errors.js";
import type { GroupMode, PromptSet } from "../../index.js";
import { runBatch } from "../batch.js";
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
  readLabels,
} from "../options.js";
import { writeInto } from "../output.js";
import { findSources } from "../sources.js";
import { interruption } from "../terminal.js";
import { fileLines, heading } from "../text.js";

/** The drawing modes, here again so that `--help` need not load what draws them. */
const MODES = [
  "input",
  "pred",
  "input_pred",
  "input_pred_label",
  "all_groups",
  "first_group",
  "final_group",
  "sheet",
] as const satisfies readonly GroupMode[];

/** Modes that show no labels. */
const WITHOUT_LABELS: readonly GroupMode[] = ["input", "all_groups", "first_group", "final_group"];

interface Options extends ModelOptions, LabelOptions, PictureOptions {
  out: string;
  modes?: GroupMode[];
  prompts?: PromptSet;
}

export function groupsCommand(): Command {
  const command = new Command("groups")
    .description("Draw how the model groups pictures, and the words the groups take.")
    .argument("<picture...>", "files, folders, patterns, addresses, @list.txt, or - for stdin");
  addLabelOptions(command)
    .option("-o, --out <folder>", "where results go; made if missing", "groupvit-out")
    .option(
      "--modes <list>",
      `what to draw: ${MODES.join(",")} (default: sheet, or all_groups without labels)`,
      listOf(MODES),
    )
    .addOption(promptsOption("simple"));
  addPictureOptions(addModelOptions(command));
  return command
    .addHelpText(
      "after",
      `
Modes: input, the picture; pred, the labels' colours; input_pred, colours over the picture;
input_pred_label, with names; first_group and final_group, the groups of the first and the last
grouping block; all_groups, both; sheet, everything on one page. Files: NAME.MODE.png.

Examples:
  groupvit groups park.jpg --labels "dog, tree, sky"
  groupvit groups park.jpg --modes first_group,final_group --out groups
  groupvit groups photos/ --vocabulary context --modes sheet`,
    )
    .action(run);
}

async function run(pictures: string[], options: Options): Promise<void> {
  const { drawGroups } = await import("../../index.js");
  const found = await readLabels(options);
  const modes: readonly GroupMode[] = options.modes ?? [found ? "sheet" : "all_groups"];
  const needy = modes.find((mode) => !WITHOUT_LABELS.includes(mode));
  if (needy && !found) {
    throw new InputError(
      `mode ${needy}: it shows labels; say which, as in --labels "dog, tree, sky"`,
    );
  }
  const sources = await findSources(pictures);
  await makeFolder(options.out);
  const model = await loadModel(options);
  const head = { model: modelName(options.model) };
  await runBatch("groups", sources, options, head, async (picture, source) => {
    const { width, height } = picture;
    const encoded = await model.encode(picture, {
      maxPixels: options.limitPixels,
      signal: interruption.signal,
    });
    const stages = encoded.groups();
    const maps = stages.map(({ map }) => ({ width, height, map }));
    const prediction = found
      ? await encoded.segment(found.labels, {
          prompts: options.prompts,
          signal: interruption.signal,
        })
      : { ...maps[0]!, labels: [], background: false };
    const written: Record<string, string> = {};
    for (const mode of modes) {
      interruption.signal.throwIfAborted();
      const bytes = await drawGroups(mode, {
        picture,
        firstGroups: maps[0]!,
        finalGroups: maps.at(-1)!,
        prediction,
      });
      const name = `${source.name}.${mode === "sheet" ? "groups" : mode}.png`;
      written[mode] = await writeInto(options.out, name, bytes);
    }
    const used = stages.map(({ map, groups }) => `${new Set(map).size} of ${groups}`).join(", ");
    return {
      json: {
        file: source.file,
        width,
        height,
        stages: stages.map(({ groups, nodes }) => ({ groups, nodes })),
        files: written,
      },
      text: `${heading(`${source.file}  ${width} x ${height}`)}\n  groups seen per block: ${used}\n${fileLines(written)}`,
    };
  });
  await model.release();
}
