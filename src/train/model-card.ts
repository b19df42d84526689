// The model card that a run writes beside its weights: what the model learnt from, at what cost, how
// good it is, and what it cannot do.

import { cpus } from "node:os";
import type { RunState, Scores } from "./checkpoint.js";
import { meanSamples, type TrainConfig } from "./config.js";
import type { Evaluation } from "./evaluation.js";
import type { StepRecord } from "./metrics.js";
import type { TrainingData } from "./stream.js";

export interface ModelCardContent {
  config: TrainConfig;
  data: TrainingData;
  state: Pick<RunState, "step" | "best" | "skipped">;
  records: readonly StepRecord[];
  /** Numbers in all weights. */
  parameters: number;
  /** Of the weights that the card lies beside. */
  evaluation?: Evaluation;
}

/** The card as Markdown, with Hugging Face's header. */
export function modelCard(content: ModelCardContent): string {
  const { config, data, state, records, parameters, evaluation } = content;
  const seconds = records.reduce(
    (sum, { data_seconds, step_seconds }) => sum + data_seconds + step_seconds,
    0,
  );
  const samples = state.step * meanSamples(config);
  const last = records.at(-1);
  const [cpu] = cpus();
  const threads = config.threads === undefined ? "the engine's choice of" : `${config.threads}`;
  return `${[
    "---",
    "library_name: groupvit",
    "pipeline_tag: image-segmentation",
    "tags: [groupvit, open-vocabulary, zero-shot-segmentation]",
    "---",
    "",
    `# ${config.name}`,
    "",
    ...(config.description === "" ? [] : [config.description, ""]),
    "A GroupViT model (Xu et al., CVPR 2022): it segments pictures by any words and was trained from " +
      "pictures with captions only, without a single mask.",
    "",
    "```js",
    'import { GroupViT } from "groupvit";',
    'const model = await GroupViT.load("this-folder");',
    'const picture = await model.encode("picture.jpg");',
    'const { map } = await picture.segment(["dog", "tree"]);',
    "```",
    "",
    "## Data",
    "",
    data.description,
    `Licence: ${data.licence}. ${count(samples)} pictures were seen${epochs(samples, data.samples)}.`,
    ...credits(data),
    "",
    "## Training",
    "",
    `${state.step} steps of ${count(meanSamples(config))} samples, ${count(parameters)} parameters. ` +
      (config.init === undefined ? "From scratch." : `From ${config.init} (${config.trainable}).`),
    `Cost: ${duration(seconds)} on ${cpu?.model.trim() ?? "an unknown processor"} with ${threads} threads${
      config.device === "cpu" ? "" : `, steps on a GPU (${config.device})`
    }.`,
    ...(last === undefined ? [] : [`Last loss: ${last.loss.toFixed(4)}.`]),
    ...(state.skipped.length === 0
      ? []
      : [`Batches left out because the loss broke on them: ${state.skipped.join(", ")}.`]),
    "",
    "<details><summary>Configuration</summary>",
    "",
    "```json",
    JSON.stringify(config, null, 2),
    "```",
    "",
    "</details>",
    "",
    "## Results",
    "",
    ...results(config, evaluation, state.best),
    "",
    "## Limits",
    "",
    ...limits(config),
    "",
  ].join("\n")}`;
}

function results(
  config: TrainConfig,
  evaluation: Evaluation | undefined,
  best: RunState["best"],
): string[] {
  if (!evaluation || !config.evaluation) return ["This run was not evaluated."];
  const { set, threshold, pictures, shortSide } = config.evaluation;
  const side = shortSide ?? config.model.vision.imageSize;
  const where = set.kind === "voc" ? `the held-out set ${set.folder}` : "shapes of another seed";
  return [
    `On ${where}: ${scores(evaluation)}.`,
    `Protocol: at most ${pictures} pictures of each kind, short side ${side}, one window, background below ` +
      `${threshold}, template "a photo of a {}.", the 5 nearest words.`,
    ...(best ? [`Best evaluation during the run: ${scores(best)} at step ${best.step}.`] : []),
    "",
    "| class | IoU |",
    "|---|---|",
    ...evaluation.classIoU
      .filter(({ iou }) => !Number.isNaN(iou))
      .map(({ name, iou }) => `| ${name} | ${(100 * iou).toFixed(1)} |`),
  ];
}

function scores({ miou, accuracy }: Scores): string {
  return `${(100 * miou).toFixed(1)} mIoU, ${(100 * accuracy).toFixed(1)} % zero-shot accuracy`;
}

function limits({ data, model }: TrainConfig): string[] {
  const side = model.vision.imageSize;
  const lines = [
    `- Trained at ${side} x ${side} pixels: objects that are small in the picture are missed, and borders ` +
      `follow patches of ${model.vision.patchSize} pixels.`,
    "- It knows the words of its captions; others fall to whatever is nearest.",
    "- English only.",
  ];
  if (data.kind === "scenes") {
    lines.push(
      "- It has seen drawings and stamps composed into scenes, hardly any photographs: for photographs " +
        "load nvidia/groupvit-gcc-yfcc.",
    );
  }
  if (data.kind === "shapes") {
    lines.push(
      "- It knows six shapes and nothing else: a test of the program, not a model to use.",
    );
  }
  return lines;
}

function credits({ credits }: TrainingData): string[] {
  if (credits.length === 0) return [];
  return [
    "",
    "<details><summary>Attributions</summary>",
    "",
    "| title | author | licence | source |",
    "|---|---|---|---|",
    ...credits.map(
      ({ title, author, licence, url }) =>
        `| ${[title, author, licence, url].map((cell) => cell.replaceAll("|", "/")).join(" | ")} |`,
    ),
    "",
    "</details>",
  ];
}

function epochs(samples: number, ofEpoch: number | undefined): string {
  return ofEpoch === undefined ? "" : ` (${(samples / ofEpoch).toFixed(1)} epochs)`;
}

function count(value: number): string {
  return value >= 1e6 ? `${(value / 1e6).toFixed(1)} million` : String(value);
}

function duration(seconds: number): string {
  if (seconds < 120) return `${seconds.toFixed(0)} s`;
  return seconds < 7200 ? `${(seconds / 60).toFixed(0)} min` : `${(seconds / 3600).toFixed(1)} h`;
}
