// The report of an evaluation on disk: the page, and drawings of the pictures that went worst and best.

import { readFile, rm, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { makeFolders, writeFileAtomic } from "../atomic.node.js";
import { InputError } from "../errors.js";
import { GroupViT } from "../index.js";
import { blendOverlay } from "../output/blend.js";
import { encodePicture, resizePicture } from "../output/encode.node.js";
import { resizeMap } from "../output/label-map.js";
import { labelPalette } from "../output/palette.js";
import { BUNDLED_MODEL } from "../platform.node.js";
import { cardWithResults } from "./card.js";
import type { MaskedSample, SegmentationSet } from "./dataset.js";
import { readMask } from "./datasets/masks.js";
import { predict } from "./measure.js";
import { reportPage, type ShownPicture } from "./report.js";
import type { EvaluationResult, PictureResult, SegmentationResult } from "./result.js";
import type { EvaluationSet, ModelFacts } from "./run.js";

/** Pictures of either kind. */
const SHOWN = 6;
/** Longest side of a drawing in pixels. */
const SIDE = 320;
const OPACITY = 0.6;

/**
 * Writes `index.html` and the drawings beside it.
 *
 * @returns the page's path
 */
export async function writeReport(
  folder: string,
  set: EvaluationSet,
  result: EvaluationResult,
  model: ModelFacts,
  signal?: AbortSignal,
): Promise<string> {
  const shown =
    set.kind === "segmentation" && result.task === "segmentation"
      ? await drawShown(folder, set, result, model, signal)
      : [];
  const page = join(folder, "index.html");
  await writeFileAtomic(page, reportPage(result, shown));
  return page;
}

/**
 * The card of a model: `README.md` in its folder.
 *
 * @throws InputError where the model is no folder
 */
export async function cardPath(model: ModelFacts): Promise<string> {
  const folder = model.source ?? BUNDLED_MODEL;
  const isFolder = await stat(folder).then(
    (entry) => entry.isDirectory(),
    () => false,
  );
  if (!isFolder) {
    throw new InputError(`--card: ${model.name} is no folder with a README.md; leave --card out`);
  }
  return join(folder, "README.md");
}

/** Puts results into a card; begins one where there is none. */
export async function writeCard(
  path: string,
  results: readonly EvaluationResult[],
  command: string,
): Promise<void> {
  const card = await readFile(path, "utf8").catch(() => `# ${basename(dirname(resolve(path)))}\n`);
  await writeFileAtomic(path, cardWithResults(card, results, command));
}

async function drawShown(
  folder: string,
  set: SegmentationSet,
  result: SegmentationResult,
  model: ModelFacts,
  signal?: AbortSignal,
): Promise<ShownPicture[]> {
  const ranked = result.pictures
    .filter(({ mIoU }) => !Number.isNaN(mIoU))
    .sort((a, b) => a.mIoU - b.mIoU || (a.name < b.name ? -1 : 1));
  const half = Math.min(SHOWN, Math.floor(ranked.length / 2));
  const chosen = [
    ...ranked.slice(0, half).map((picture) => ({ ...picture, kind: "worst" as const })),
    ...ranked
      .slice(ranked.length - half)
      .reverse()
      .map((picture) => ({ ...picture, kind: "best" as const })),
  ];
  const pictures = join(folder, "pictures");
  await rm(pictures, { recursive: true, force: true });
  await makeFolders(pictures);
  const samples = new Map(set.samples.map((sample) => [sample.name, sample]));
  const loaded = await GroupViT.load(model.source, { dtype: result.model.dtype });
  try {
    const shown: ShownPicture[] = [];
    for (const [i, picture] of chosen.entries()) {
      signal?.throwIfAborted();
      const sample = samples.get(picture.name)!;
      shown.push(await drawOne(pictures, `${i}`, loaded, set, sample, result, picture));
    }
    return shown;
  } finally {
    await loaded.release();
  }
}

async function drawOne(
  folder: string,
  prefix: string,
  model: GroupViT,
  set: SegmentationSet,
  sample: MaskedSample,
  { protocol }: SegmentationResult,
  { name, mIoU, kind }: PictureResult & Pick<ShownPicture, "kind">,
): Promise<ShownPicture> {
  const truth = await readMask(set, sample);
  const predicted = await predict(model, sample.picture, protocol, set);
  const whole = await model.encode(sample.picture, { shortSide: protocol.shortSide });
  const { picture } = whole;
  const scale = Math.min(1, SIDE / Math.max(picture.width, picture.height));
  const [width, height] = [picture.width, picture.height].map((side) =>
    Math.max(1, Math.round(side * scale)),
  ) as [number, number];
  const small = await resizePicture(picture, width, height);
  const values = set.classes.length + (set.background ? 1 : 0);
  const palette = labelPalette(values, set.background);
  const overlay = (map: Uint8Array | Uint16Array) => {
    const part = resizeMap(
      { width: picture.width, height: picture.height, map },
      width,
      height,
    ).map;
    return { width, height, data: blendOverlay(small, part, palette, OPACITY) };
  };
  const write = async (what: string, bytes: Uint8Array) => {
    const file = `${prefix}-${what}.png`;
    await writeFileAtomic(join(folder, file), bytes);
    return `pictures/${file}`;
  };
  // What is not counted is shown as what is not coloured.
  const counted = truth.map.map((value) => (value === 255 ? 0 : value));
  const groups = whole.groups().at(-1)!;
  const groupPalette = labelPalette(groups.groups, false);
  const groupMap = resizeMap(
    { width: picture.width, height: picture.height, map: groups.map },
    width,
    height,
  );
  return {
    name,
    kind,
    mIoU,
    files: {
      picture: await write("picture", await encodePicture(small, "png")),
      truth: await write("truth", await encodePicture(overlay(counted), "png")),
      predicted: await write("predicted", await encodePicture(overlay(predicted.map), "png")),
      groups: await write(
        "groups",
        await encodePicture(
          { width, height, data: blendOverlay(small, groupMap.map, groupPalette, OPACITY) },
          "png",
        ),
      ),
    },
  };
}
