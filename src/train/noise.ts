// The random numbers of a step: made from the run's seed and the step alone, so that a run that is taken
// up again draws the same ones.

import type { GroupViTConfig } from "../model/config.js";
import { Random } from "../random.js";
import type { TrainingGraphOptions } from "./graphs.js";
import { dropPathRates, gumbelShapes } from "./graphs.js";
import type { Share } from "./parallel.js";
import type { StepNoise } from "./step.js";

/**
 * Gumbel noise and drop-path factors of update `step` for a batch of `batch` pictures; of the noise, which is
 * large, only that of the pictures in `share`. A picture's numbers depend on its place in the whole batch.
 */
export function stepNoise(
  config: GroupViTConfig,
  options: Pick<TrainingGraphOptions, "gumbel" | "dropPath">,
  batch: number,
  seed: number,
  step: number,
  share: Share = { start: 0, count: batch },
): StepNoise {
  const noise: StepNoise = {};
  if (options.gumbel) {
    noise.gumbel = gumbelShapes(config).map(([groups, tokens], block) => {
      const random = new Random(`${seed}/${step}/gumbel/${block}`);
      const perPicture = groups * tokens;
      for (let i = 0; i < share.start * perPicture; i++) random.uniform();
      const data = new Float32Array(share.count * perPicture); // [share, groups, tokens]
      for (let i = 0; i < data.length; i++) data[i] = random.gumbel();
      return data;
    });
  }
  if (options.dropPath > 0) {
    const random = new Random(`${seed}/${step}/drop-path`);
    const rates = dropPathRates(config, options.dropPath);
    noise.dropPath = new Float32Array(rates.length * batch); // [branches, batch]
    for (const [branch, rate] of rates.entries()) {
      for (let i = 0; i < batch; i++) {
        noise.dropPath[branch * batch + i] = random.uniform() < rate ? 0 : 1 / (1 - rate);
      }
    }
  }
  return noise;
}
