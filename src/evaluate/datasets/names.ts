// The data sets that evaluation knows, and how the published ones number and name their classes. What the
// model is asked for instead stands in input/vocabularies.ts, in the same order.

import { VOCABULARIES } from "../../input/vocabularies.js";

/** The list that published results were measured on, and its pictures. */
export const PUBLISHED_LISTS = {
  voc: { split: "val", pictures: 1449 },
  context: { split: "val", pictures: 5105 },
  "coco-object": { split: "val2017", pictures: 5000 },
  imagenet: { split: "val", pictures: 50_000 },
} as const;

const list = (text: string): readonly string[] => text.split(", ");

/** PASCAL VOC: class i has mask value i + 1. */
export const VOC_CLASSES = list(
  "aeroplane, bicycle, bird, boat, bottle, bus, car, cat, chair, cow, diningtable, dog, horse, motorbike, person, pottedplant, sheep, sofa, train, tvmonitor",
);

/** PASCAL Context, the 59 frequent classes by name: class i has mask value i + 1. */
export const CONTEXT_CLASSES = list(
  "aeroplane, bag, bed, bedclothes, bench, bicycle, bird, boat, book, bottle, building, bus, cabinet, car, cat, ceiling, chair, cloth, computer, cow, cup, curtain, dog, door, fence, floor, flower, food, grass, ground, horse, keyboard, light, motorbike, mountain, mouse, person, plate, platform, pottedplant, road, rock, sheep, shelves, sidewalk, sign, sky, snow, sofa, diningtable, track, train, tree, truck, tvmonitor, wall, water, window, wood",
);

/**
 * Other spellings of Context classes. The list of 459 has both "plant" and "pottedplant": only the
 * second is meant.
 */
export const CONTEXT_SPELLINGS: Readonly<Record<string, string>> = {
  airplane: "aeroplane",
  bedcloth: "bedclothes",
  clothes: "cloth",
  motorcycle: "motorbike",
  "potted plant": "pottedplant",
  table: "diningtable",
  "dining table": "diningtable",
  "tv monitor": "tvmonitor",
  "tv/monitor": "tvmonitor",
};

/** COCO's 80 objects; its file of instances and the words of the protocol use the same names. */
export const COCO_CLASSES = VOCABULARIES.coco.labels;

/** Category ids from 1 to 90 that COCO never used. */
const COCO_UNUSED = new Set([12, 26, 29, 30, 45, 66, 68, 69, 71, 83]);

/**
 * Class value of each value in a COCO-Stuff map (category id - 1): objects become 1 to 80, and all else,
 * also what nobody labelled (255), is background.
 */
export function cocoStuffTable(): number[] {
  const table = new Array<number>(256).fill(0);
  let value = 0;
  for (let id = 1; id <= 90; id++) {
    if (!COCO_UNUSED.has(id)) table[id - 1] = ++value;
  }
  return table;
}
