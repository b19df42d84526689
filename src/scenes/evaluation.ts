// The held-out evaluation: scenes and single objects from drawings that training never saw, with exact
// masks, written as a PASCAL VOC folder.

import { existsSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { makeFolder } from "../atomic.node.js";
import { InputError } from "../errors.js";
import { labelPalette } from "../output/palette.js";
import { encodeLabelPng } from "../output/png.js";
import { CLASS_NAMES } from "./classes.js";
import { makeCatalogue, sceneAt } from "./compose.js";
import { CHANNELS, type Cutout, type Cutouts } from "./cutouts.js";

/** Kind of cut-outs that a picture is composed of; results are told apart by it. */
export type Tier = "photo" | "drawing" | "emoji";
export const TIERS: readonly Tier[] = ["photo", "drawing", "emoji"];

export interface EvaluationOptions {
  seed?: number | string;
  /** Scenes of each tier. */
  scenes?: number;
  /** Side of the pictures in pixels. */
  size?: number;
  /** How many of the 158 classes, those with most held-out cut-outs first. */
  classes?: number;
  signal?: AbortSignal;
  onProgress?: (done: number, total: number) => void;
}

export interface EvaluationSummary {
  /** Without the background. */
  readonly classes: readonly string[];
  readonly scenes: number;
  readonly singles: Readonly<Record<Tier, number>>;
}

function isTier(style: Cutout["style"]): style is Tier {
  return (TIERS as readonly string[]).includes(style);
}

/**
 * The classes that the held-out cut-outs cover best: photographs count double because they are rare,
 * more than two or three of a kind add nothing. Equals stand in the order of `CLASS_NAMES`.
 */
export function evaluationClasses(heldOut: readonly Cutout[], count: number): string[] {
  const score = (noun: string) => {
    const tally: Record<Tier, number> = { photo: 0, drawing: 0, emoji: 0 };
    for (const cutout of heldOut) {
      if (cutout.noun === noun && isTier(cutout.style)) tally[cutout.style]++;
    }
    if (tally.emoji === 0) return 0;
    return 2 * Math.min(tally.photo, 2) + Math.min(tally.drawing, 2) + Math.min(tally.emoji, 3);
  };
  const scored = CLASS_NAMES.slice(1).map((noun, order) => ({ noun, order, score: score(noun) }));
  const best = scored.filter((entry) => entry.score > 0);
  best.sort((a, b) => b.score - a.score || a.order - b.order);
  return best
    .slice(0, count)
    .sort((a, b) => a.order - b.order)
    .map(({ noun }) => noun);
}

/** One cut-out alone, centred on white, as RGB. */
function singlePicture(cutout: Cutout, pixels: Uint8Array, size: number) {
  const { width, height, offset } = cutout.levels[0]!;
  const channels = CHANNELS[cutout.kind];
  const straight = Buffer.alloc(width * height * 4);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const i = offset + ((y + 1) * (width + 2) + x + 1) * channels;
      const o = (y * width + x) * 4;
      const alpha = pixels[i + 3]!;
      for (let c = 0; c < 3; c++) {
        straight[o + c] =
          alpha === 0 ? 0 : Math.min(255, Math.round((pixels[i + c]! * 255) / alpha));
      }
      straight[o + 3] = alpha;
    }
  }
  const inner = Math.round(size * 0.8);
  return sharp(straight, { raw: { width, height, channels: 4 } })
    .resize(inner, inner, { fit: "contain", background: { r: 0, g: 0, b: 0, alpha: 0 } })
    .extend({
      top: Math.floor((size - inner) / 2),
      bottom: Math.ceil((size - inner) / 2),
      left: Math.floor((size - inner) / 2),
      right: Math.ceil((size - inner) / 2),
      background: { r: 0, g: 0, b: 0, alpha: 0 },
    })
    .flatten({ background: "#fff" })
    .png();
}

/**
 * Writes the evaluation to `folder`, which must not exist yet: `JPEGImages/*.png`,
 * `SegmentationClass/*.png` (palette PNG, value = line in `classes.txt`, 0 = background),
 * `ImageSets/Segmentation/val.txt` and one list per tier, `classes.txt`, and for zero-shot accuracy
 * `single/*.png` with `single.csv` (file, class, tier). The same seed gives the same files.
 * @param cutouts the held-out side: `loadCutouts(folder, "held-out")`
 * @throws InputError where the folder exists or a training cut-out is among the given
 */
export async function writeEvaluation(
  cutouts: Cutouts,
  folder: string,
  options: EvaluationOptions = {},
): Promise<EvaluationSummary> {
  const { seed = "evaluation", scenes = 200, size = 224, classes: count = 36 } = options;
  if (existsSync(folder)) {
    throw new InputError(`${folder} exists; remove it or name another folder for the evaluation`);
  }
  const seenInTraining = cutouts.entries.find(({ split }) => split !== "held-out");
  if (seenInTraining !== undefined) {
    throw new InputError(`${seenInTraining.id} belongs to training; load the held-out cut-outs`);
  }
  const classes = evaluationClasses(cutouts.entries, count);
  const valueOfClass = new Uint8Array(CLASS_NAMES.length);
  for (const [index, noun] of classes.entries()) {
    valueOfClass[CLASS_NAMES.indexOf(noun)] = index + 1;
  }
  const palette = labelPalette(classes.length + 1, true);
  const temporary = `${folder}.${process.pid}.tmp`;
  rmSync(temporary, { recursive: true, force: true });
  for (const part of ["JPEGImages", "SegmentationClass", "ImageSets/Segmentation", "single"]) {
    await makeFolder(join(temporary, part));
  }
  const chosen = cutouts.entries.filter(
    ({ noun, style }) => style === "background" || classes.includes(noun),
  );
  const singles = chosen.filter(({ style }) => isTier(style));
  const total = scenes * TIERS.length + singles.length;
  let done = 0;
  try {
    const all: string[] = [];
    for (const tier of TIERS) {
      const entries = chosen.filter(({ style }) => style === tier || style === "background");
      const catalogue = makeCatalogue({ entries, chunks: cutouts.chunks });
      const names: string[] = [];
      for (let index = 0; catalogue.known.length > 0 && index < scenes; index++) {
        options.signal?.throwIfAborted();
        const scene = sceneAt(`${seed}/${tier}`, index, catalogue, {
          size,
          // From one object before a plain ground to four before a busy one.
          difficulty: index / Math.max(1, scenes - 1),
          distorted: 0,
        });
        const name = `${tier}_${String(index).padStart(4, "0")}`;
        const map = scene.mask.map((value) => valueOfClass[value]!);
        await sharp(scene.picture.data, { raw: { width: size, height: size, channels: 3 } })
          .png()
          .toFile(join(temporary, "JPEGImages", `${name}.png`));
        writeFileSync(
          join(temporary, "SegmentationClass", `${name}.png`),
          encodeLabelPng({ width: size, height: size, map }, palette),
        );
        names.push(name);
        options.onProgress?.(++done, total);
      }
      all.push(...names);
      writeFileSync(
        join(temporary, "ImageSets", "Segmentation", `${tier}.txt`),
        names.map((name) => `${name}\n`).join(""),
      );
    }
    writeFileSync(
      join(temporary, "ImageSets", "Segmentation", "val.txt"),
      all.map((name) => `${name}\n`).join(""),
    );
    writeFileSync(join(temporary, "classes.txt"), `${["background", ...classes].join("\n")}\n`);
    const rows = ["file,class,tier"];
    const chunks = cutouts.chunks.map((chunk) => new Uint8Array(chunk));
    const tally: Record<Tier, number> = { photo: 0, drawing: 0, emoji: 0 };
    for (const cutout of singles) {
      options.signal?.throwIfAborted();
      const tier = cutout.style as Tier;
      const file = `single/${tier}_${String(tally[tier]++).padStart(4, "0")}.png`;
      await singlePicture(cutout, chunks[cutout.chunk]!, size).toFile(join(temporary, file));
      rows.push(`${file},${cutout.noun},${tier}`);
      options.onProgress?.(++done, total);
    }
    writeFileSync(join(temporary, "single.csv"), `${rows.join("\n")}\n`);
    renameSync(temporary, folder);
    return { classes, scenes: all.length, singles: tally };
  } catch (error) {
    rmSync(temporary, { recursive: true, force: true });
    throw error;
  }
}
