// The state that a run begins with: fresh weights, or those of another model.

import { toFloat32 } from "../checkpoint/dtypes.js";
import { loadCheckpoint } from "../checkpoint/load.node.js";
import { isBuffer } from "../checkpoint/shapes.js";
import { ConfigError } from "../errors.js";
import type { GroupViTConfig } from "../model/config.js";
import { nativeGrid } from "../model/image-tower.js";
import { interpolatePositions } from "../model/positions.js";
import { resolveModel } from "../platform.node.js";
import { type RunState, weightShapes } from "./checkpoint.js";
import type { TrainConfig } from "./config.js";
import { initialWeights } from "./initialise.js";
import { isOrthogonalised } from "./optimiser.js";

const POSITIONS = "vision_model.embeddings.position_embeddings";

/** A moving average that begins where the weights are. */
export function copyOf({ weights }: Pick<RunState, "weights">): Map<string, Float32Array> {
  return new Map([...weights].map(([name, data]) => [name, data.slice()]));
}

/** Whether a parameter is trained. */
export function isTrainable(trainable: TrainConfig["trainable"], name: string): boolean {
  switch (trainable) {
    case "all":
      return true;
    case "projectors":
      return /^(visual|text)_projection\.|logit_scale$/.test(name);
    case "group tokens":
      return name.endsWith(".group_token");
  }
}

/**
 * Weights before the first step, with moments of zero.
 *
 * @throws CheckpointError or ConfigError where `init` cannot be read or is another architecture
 */
export async function startState(config: TrainConfig): Promise<RunState> {
  const shapes = weightShapes(config.model, config.multiLabel);
  const weights = initialWeights(config.model, shapes, config.seed, config.initialisation);
  if (config.init !== undefined) await takeOver(config.init, config.model, weights);
  const state: RunState = {
    weights,
    first: new Map(),
    second: new Map(),
    step: 0,
    position: undefined,
    batches: 0,
    skipped: [],
  };
  for (const [name, data] of weights) {
    if (isBuffer(name) || !isTrainable(config.trainable, name)) continue;
    state.first.set(name, new Float32Array(data.length));
    if (!isOrthogonalised(name, shapes.get(name)!, config.optimiser))
      state.second.set(name, new Float32Array(data.length));
  }
  if (config.ema !== undefined) state.ema = copyOf(state);
  return state;
}

/** Replaces weights by those of a checkpoint; a logit scale that it lacks stays as it is. */
async function takeOver(
  init: string,
  config: GroupViTConfig,
  weights: Map<string, Float32Array>,
): Promise<void> {
  const checkpoint = await loadCheckpoint(await resolveModel(init));
  checkArchitecture(init, checkpoint.config, config);
  const [from, to] = [nativeGrid(checkpoint.config.vision), nativeGrid(config.vision)];
  for (const [name, tensor] of checkpoint.tensors) {
    if (isBuffer(name) && !name.includes(".running_")) continue;
    if (!weights.has(name)) continue;
    let data: Float32Array = toFloat32(tensor).slice();
    if (name === POSITIONS && from !== to) {
      const grid = { rows: from, columns: from };
      data = interpolatePositions(data, grid, config.vision.hiddenSize, to, to, "authors");
    }
    weights.set(name, data);
  }
}

/** Everything but the picture's size must be equal. */
function checkArchitecture(init: string, from: GroupViTConfig, to: GroupViTConfig): void {
  const parts: [string, object, object][] = [
    ["model.vision.", from.vision, { ...to.vision, imageSize: from.vision.imageSize }],
    ["model.text.", from.text, to.text],
  ];
  const { projectionDim, projectionIntermediateDim } = to;
  parts.push(["model.", from, { projectionDim, projectionIntermediateDim }]);
  for (const [path, old, now] of parts) {
    for (const [field, value] of Object.entries(now)) {
      // Padding is never computed, and where texts begin and end is the tokenizer's affair.
      if (field.endsWith("TokenId")) continue;
      const has = (old as Record<string, unknown>)[field];
      // What a stage without grouping block would put out does not exist.
      if (field === "numOutputGroups" && sameGroups(from, to)) continue;
      if (JSON.stringify(has) === JSON.stringify(value)) continue;
      throw new ConfigError(
        `training config: init ${init} has ${path}${field} ${JSON.stringify(has)}, the run ` +
          `${JSON.stringify(value)}; set the field to the checkpoint's value`,
      );
    }
  }
}

function sameGroups(from: GroupViTConfig, to: GroupViTConfig): boolean {
  return to.vision.numGroupTokens.every(
    (tokens, stage) =>
      tokens === 0 || from.vision.numOutputGroups[stage] === to.vision.numOutputGroups[stage],
  );
}
