// The random numbers of a step: made from the run's seed and the step alone, so that a run that is taken
// up again draws the same ones.

import type { GroupViTConfig } from "../model/config.js";
import { nativeGrid } from "../model/image-tower.js";
import { windowWeights } from "../model/positions.js";
import { Random } from "../random.js";
import type { TrainingGraphOptions } from "./graphs.js";
import { cellsOf, dropPathRates, gumbelShapes } from "./graphs.js";
import type { Share } from "./parallel.js";
import type { StepNoise } from "./step.js";

/**
 * Gumbel noise, drop-path factors and window of positions of update `step` for a batch of `batch` samples; of
 * the noise, which is large, only that of the samples in `share`. A picture's numbers depend on its place in
 * the whole batch.
 */
export function stepNoise(
  config: GroupViTConfig,
  options: Pick<TrainingGraphOptions, "gumbel" | "dropPath" | "mosaic" | "positionWindow">,
  batch: number,
  seed: number,
  step: number,
  share: Share = { start: 0, count: batch },
): StepNoise {
  const noise: StepNoise = {};
  const cells = cellsOf(options);
  const [first, pictures] = [share.start / cells, share.count / cells];
  if (options.gumbel) {
    noise.gumbel = gumbelShapes(config).map(([groups, tokens], block) => {
      const random = new Random(`${seed}/${step}/gumbel/${block}`);
      const perPicture = groups * tokens;
      for (let i = 0; i < first * perPicture; i++) random.uniform();
      const data = new Float32Array(pictures * perPicture); // [pictures, groups, tokens]
      for (let i = 0; i < data.length; i++) data[i] = random.gumbel();
      return data;
    });
  }
  if (options.dropPath > 0) {
    const random = new Random(`${seed}/${step}/drop-path`);
    const rates = dropPathRates(config, options.dropPath);
    const all = batch / cells;
    noise.dropPath = new Float32Array(rates.length * all); // [branches, pictures]
    for (const [branch, rate] of rates.entries()) {
      for (let i = 0; i < all; i++) {
        noise.dropPath[branch * all + i] = random.uniform() < rate ? 0 : 1 / (1 - rate);
      }
    }
  }
  const { positionWindow = 1 } = options;
  if (positionWindow < 1) {
    const random = new Random(`${seed}/${step}/positions`);
    const side = 1 - random.uniform() * (1 - positionWindow);
    const [left, top] = [random.uniform() * (1 - side), random.uniform() * (1 - side)];
    noise.positionWeights = windowWeights(nativeGrid(config.vision), { left, top, side });
  }
  return noise;
}
