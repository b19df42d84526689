// The results of an evaluation in a model's card, written by the command that measured them.

import { protocolFields } from "./protocol.js";
import { shortHash } from "./report-parts.js";
import type { ClassificationResult, EvaluationResult, SegmentationResult } from "./result.js";

const BEGIN = "<!-- groupvit eval: begin -->";
const END = "<!-- groupvit eval: end -->";

/**
 * Puts results into a card (Markdown): in place of those that stand there, else before "## Limits", else
 * at the end. Nothing else of the card changes.
 *
 * @param command how the numbers are measured again
 */
export function cardWithResults(
  card: string,
  results: readonly EvaluationResult[],
  command: string,
): string {
  const section = [
    BEGIN,
    "## Evaluation",
    "",
    ...results.flatMap((result) => [...summary(result), ""]),
    `Measured again by \`${command}\`.`,
    END,
  ].join("\n");
  const [from, to] = [card.indexOf(BEGIN), card.indexOf(END)];
  if (from >= 0 && to > from) return card.slice(0, from) + section + card.slice(to + END.length);
  const limits = card.indexOf("\n## Limits");
  if (limits < 0) return `${card.trimEnd()}\n\n${section}\n`;
  return `${card.slice(0, limits)}\n${section}\n${card.slice(limits)}`;
}

function summary(result: EvaluationResult): string[] {
  const { dataset, protocol, changes } = result;
  const fields = protocolFields(protocol).map(([name, value]) => `${name} ${value}`);
  return [
    ...(result.task === "segmentation" ? segmentation(result) : classification(result)),
    "",
    `Protocol on ${dataset.name} (${dataset.split}, ${dataset.pictures} pictures, sha256 ${shortHash(dataset.sha256)}): ${fields.join(", ")}.` +
      (changes.length === 0 ? "" : ` Not the standard: ${changes.join("; ")}.`),
  ];
}

function percent(value: number | null): string {
  return value === null || Number.isNaN(value) ? "–" : (100 * value).toFixed(1);
}

function cell(text: string): string {
  return text.replaceAll("|", "/").replace(/\s+/g, " ");
}

function segmentation(result: SegmentationResult): string[] {
  const { mIoU, pixelAccuracy, meanAccuracy, tiers, classes } = result;
  return [
    `**${percent(mIoU)} mIoU** over ${classes.length} classes, background included; pixel accuracy ` +
      `${percent(pixelAccuracy)} %, mean accuracy ${percent(meanAccuracy)} %.`,
    ...(tiers.length === 0
      ? []
      : [
          "",
          "| part | pictures | mIoU |",
          "| --- | ---: | ---: |",
          ...tiers.map(
            (tier) => `| ${cell(tier.name)} | ${tier.pictures} | ${percent(tier.mIoU)} |`,
          ),
        ]),
    "",
    "| class | IoU | accuracy |",
    "| --- | ---: | ---: |",
    ...classes.map(
      ({ name, iou, accuracy }) => `| ${cell(name)} | ${percent(iou)} | ${percent(accuracy)} |`,
    ),
  ];
}

function classification({ top1, top5, classes, tiers }: ClassificationResult): string[] {
  return [
    `**${percent(top1)} % zero-shot accuracy** over ${classes.length} classes, ${percent(top5)} % among ` +
      "the five nearest.",
    ...(tiers.length === 0
      ? []
      : [
          "",
          "| part | pictures | accuracy |",
          "| --- | ---: | ---: |",
          ...tiers.map(
            (tier) => `| ${cell(tier.name)} | ${tier.pictures} | ${percent(tier.top1)} |`,
          ),
        ]),
  ];
}
