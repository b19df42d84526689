// How GroupViT arrived at a segmentation: the groups of its first and its last grouping block and the
// words they took, drawn in the visualisation modes of the authors' demo.

import sharp from "sharp";
import { InputError } from "../errors.js";
import type { Picture } from "../input/picture.js";
import { blendOverlay, paintOutlines } from "./blend.js";
import { renderContactSheet } from "./contact-sheet.node.js";
import { encodePicture, type PictureFormat, resizePicture, toPicture } from "./encode.node.js";
import { type LabelMap, resizeMap, type ValueMap, valueCount } from "./label-map.js";
import { drawLegend } from "./legend.node.js";
import { fontSize, lineWidth, renderOverlay } from "./overlay.node.js";
import { labelPalette } from "./palette.js";
import { outlines } from "./regions.js";

/** The authors' seven modes, and `sheet`: all of them on one page. */
export const GROUP_MODES = [
  "input",
  "pred",
  "input_pred",
  "input_pred_label",
  "all_groups",
  "first_group",
  "final_group",
  "sheet",
] as const;

export type GroupMode = (typeof GROUP_MODES)[number];

/** What the modes draw; all maps have the size of the picture. */
export interface GroupDrawing {
  readonly picture: Picture;
  /** For each pixel the group of the first grouping block that it belongs to. */
  readonly firstGroups: ValueMap;
  /** For each pixel the group of the last grouping block. */
  readonly finalGroups: ValueMap;
  readonly prediction: LabelMap;
}

/** Strength of the colours over the picture. */
const OPACITY = 0.5;
/** Longest side of a picture on the sheet. */
const SHEET_SIDE = 480;

/**
 * Draws one mode:
 * - `input` the picture; `pred` the labels' colours alone; `input_pred` the colours over the picture;
 *   `input_pred_label` with the names written in
 * - `first_group`, `final_group` one colour a group, with outlines
 * - `all_groups` both levels: coloured by final group, first groups as thin white lines
 * - `sheet` all of them, titled, with a legend
 *
 * @returns the bytes of a PNG or JPEG file
 * @throws InputError when a map does not have the size of the picture
 */
export async function drawGroups(
  mode: GroupMode,
  drawing: GroupDrawing,
  format: PictureFormat = "png",
): Promise<Uint8Array> {
  const { picture } = drawing;
  for (const map of [drawing.firstGroups, drawing.finalGroups, drawing.prediction]) {
    if (map.width !== picture.width || map.height !== picture.height) {
      throw new InputError(
        `Group map of ${map.width} x ${map.height}: resize it to the picture's ` +
          `${picture.width} x ${picture.height}.`,
      );
    }
  }
  const drawn = mode === "sheet" ? await renderSheet(drawing) : await renderMode(mode, drawing);
  return encodePicture(drawn, format);
}

async function renderMode(
  mode: Exclude<GroupMode, "sheet">,
  { picture, firstGroups, finalGroups, prediction }: GroupDrawing,
): Promise<Picture> {
  switch (mode) {
    case "input":
      return picture;
    case "pred":
      return renderOverlay(picture, prediction, { opacity: 1, labels: false, legend: false });
    case "input_pred":
      return renderOverlay(picture, prediction, { opacity: OPACITY, labels: false, legend: false });
    case "input_pred_label":
      return renderOverlay(picture, prediction, { opacity: OPACITY, legend: false });
    case "first_group":
      return tintGroups(picture, firstGroups);
    case "final_group":
      return tintGroups(picture, finalGroups);
    case "all_groups":
      return tintGroups(picture, finalGroups, firstGroups);
  }
}

/** The picture in the colours of its groups; `finer` groups are drawn in as thin white lines. */
function tintGroups(picture: Picture, groups: ValueMap, finer?: ValueMap): Picture {
  let largest = 0;
  for (const value of groups.map) if (value > largest) largest = value;
  const palette = labelPalette(largest + 1, false);
  const data = blendOverlay(picture, groups.map, palette, OPACITY);
  if (finer !== undefined) {
    const thin = outlines(finer, Math.max(1, Math.floor(lineWidth(picture) / 2)));
    for (let i = 0; i < thin.length; i++) if (thin[i] === 1) data.fill(255, i * 3, i * 3 + 3);
  }
  paintOutlines(data, outlines(groups, lineWidth(picture)), groups, palette);
  return { ...picture, data };
}

async function renderSheet(drawing: GroupDrawing): Promise<Picture> {
  const small = await fitToSheet(drawing);
  const cells = [];
  for (const mode of GROUP_MODES) {
    if (mode === "sheet") continue;
    cells.push({ picture: await renderMode(mode, small), caption: mode });
  }
  const size = fontSize(small.picture);
  // A narrow or flat picture leaves its legend more room than it takes itself.
  const width = Math.max(small.picture.width, size * 16);
  const legend = drawLegend(
    small.prediction,
    labelPalette(valueCount(small.prediction), small.prediction.background),
    width,
    size,
    Math.max(small.picture.height, SHEET_SIDE / 2),
  );
  const height = Math.max(small.picture.height, legend.height);
  cells.push({
    picture: await toPicture(
      sharp({ create: { width, height, channels: 3, background: "#fff" } }).composite([
        { input: legend.svg, left: 0, top: 0 },
      ]),
    ),
    caption: "labels",
  });
  return renderContactSheet(cells, {
    columns: small.picture.width > 2 * small.picture.height ? 2 : 4,
    cellSide: SHEET_SIDE,
    title: "GroupViT: groups and prediction",
  });
}

/** Everything in the size that it has on the sheet, so that lines and letters are not resampled. */
async function fitToSheet(drawing: GroupDrawing): Promise<GroupDrawing> {
  const { picture, firstGroups, finalGroups, prediction } = drawing;
  const scale = SHEET_SIDE / Math.max(picture.width, picture.height);
  const width = Math.max(1, Math.round(picture.width * scale));
  const height = Math.max(1, Math.round(picture.height * scale));
  return {
    picture: await resizePicture(picture, width, height),
    firstGroups: resizeMap(firstGroups, width, height),
    finalGroups: resizeMap(finalGroups, width, height),
    prediction: { ...prediction, ...resizeMap(prediction, width, height) },
  };
}
