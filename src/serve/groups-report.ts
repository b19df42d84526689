// The JSON of a picture's groups: how they merge, and the mask of each.

import type { GroupStage } from "../index.js";
import { compressRle, encodeAllRle } from "../output/rle.js";

export function groupsReport(
  file: string,
  width: number,
  height: number,
  stages: readonly GroupStage[],
) {
  return {
    file,
    width,
    height,
    stages: stages.map(({ groups, map, nodes }) => ({
      groups,
      nodes,
      rle: encodeAllRle({ width, height, map }, groups).map(compressRle),
    })),
  };
}
