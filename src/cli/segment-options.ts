// Options on how pictures become label maps, which several commands share.

import { type Command, Option } from "commander";
import { InputError } from "../errors.js";
import type { EncodeOptions, SegmentOptions } from "../index.js";
import { promptsOption, share, wholeNumber } from "./options.js";

export interface SegmentCliOptions {
  mode?: EncodeOptions["mode"];
  shortSide?: number;
  background?: SegmentOptions["background"];
  backgroundWords?: string;
  threshold?: number;
  prompts?: SegmentOptions["prompts"];
  topK?: number;
}

export function addSegmentOptions(command: Command): Command {
  return command
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
      "scores below it, 0 to 1, are background (default: the model's or the vocabulary's)",
      share,
    )
    .addOption(promptsOption("simple"))
    .option(
      "--top-k <n>",
      "how many labels, those nearest to the picture, may win (default: 5)",
      wholeNumber(1, 100_000),
    );
}

/** Which pixels are background: what the user says, else what the vocabulary was published with. */
export function chooseBackground(
  { background, backgroundWords, threshold }: SegmentCliOptions,
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
