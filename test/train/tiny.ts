// The smallest run: shapes of 32 pixels, towers 16 wide, with everything switched on.

import type { TrainConfigInput } from "../../src/train/config.js";

export const TINY = {
  name: "tiny",
  seed: 3,
  model: {
    vision: {
      hiddenSize: 16,
      intermediateSize: 32,
      depths: [1, 1],
      numGroupTokens: [4, 0],
      numOutputGroups: [4, 4],
      numAttentionHeads: 2,
      imageSize: 32,
      patchSize: 8,
    },
    text: {
      hiddenSize: 8,
      intermediateSize: 16,
      numHiddenLayers: 1,
      numAttentionHeads: 2,
      maxPositionEmbeddings: 24,
    },
    projectionDim: 16,
    projectionIntermediateDim: 32,
  },
  data: { kind: "shapes" },
  prompts: "subset",
  multiLabel: 2,
  batch: 8,
  dropPath: 0.1,
  optimiser: { learningRate: 1e-3 },
  schedule: { kind: "cosine", end: 1e-5, warmUp: { length: { steps: 3 }, from: 1e-5 } },
  steps: 6,
  ema: 0.9,
  checkpoint: { everySteps: 2, keep: 2 },
  threads: 1,
  dataWorkers: 0,
} satisfies TrainConfigInput;
