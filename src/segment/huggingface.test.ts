// Hugging Face's segmentation logits against its own, for the native and three other sizes.

import { describe, expect, it } from "vitest";
import {
  floats,
  largestDifference,
  readJson,
  readTensors,
  type TensorReport,
  tensor,
  tolerance,
} from "../../test/support/segment.js";
import { InputError } from "../errors.js";
import { segmentationLogits } from "./huggingface.js";

const expected = readTensors("tiny/expected.safetensors.gz");
const weights = readTensors("tiny/model.safetensors");
const { tensors } = readJson<{ tensors: Record<string, TensorReport> }>("tiny/report.json");

function linear(input: Float32Array, name: string, outputs: number): Float32Array {
  const weight = floats(weights, `${name}.weight`);
  const bias = floats(weights, `${name}.bias`);
  const width = weight.length / outputs;
  return Float32Array.from({ length: (input.length / width) * outputs }, (_, i) => {
    const row = Math.floor(i / outputs) * width;
    const output = i % outputs;
    let sum = bias[output];
    for (let d = 0; d < width; d++) sum += input[row + d] * weight[output * width + d];
    return sum;
  });
}

/** The segments as the visual projector (linear, batch norm, ReLU, linear) and L2 norm give them. */
function projectedSegments(segments: Float32Array): Float32Array {
  const name = "visual_projection";
  const hidden = linear(segments, `${name}.0`, 64);
  const gain = floats(weights, `${name}.1.weight`);
  const bias = floats(weights, `${name}.1.bias`);
  const mean = floats(weights, `${name}.1.running_mean`);
  const variance = floats(weights, `${name}.1.running_var`);
  const rectified = hidden.map((value, i) => {
    const c = i % 64;
    return Math.max(((value - mean[c]) / Math.sqrt(variance[c] + 1e-5)) * gain[c] + bias[c], 0);
  });
  const embeds = linear(rectified, `${name}.3`, 32);
  return embeds.map((value, i) => {
    const row = embeds.subarray(i - (i % 32), i - (i % 32) + 32);
    return value / Math.hypot(...row);
  });
}

describe("segmentationLogits", () => {
  it.each(["", "hf_96x64.", "hf_72x120.", "hf_128x128."])("equals the reference (%s)", (prefix) => {
    const name = `${prefix}segmentation_logits`;
    const [batch, labels, height, width] = tensor(expected, name).shape;
    const part = (values: Float32Array, picture: number) =>
      values.subarray((values.length / batch) * picture, (values.length / batch) * (picture + 1));
    for (let picture = 0; picture < batch; picture++) {
      const segments = part(floats(expected, `${prefix}vision.last_hidden_state`), picture);
      const logits = segmentationLogits({
        assignments: [
          part(floats(expected, `${prefix}group0.soft`), picture),
          part(floats(expected, `${prefix}group1.soft`), picture),
        ],
        groups: [16, 4],
        segmentEmbeds: projectedSegments(segments),
        textEmbeds: floats(expected, "text_embeds").subarray(0, labels * 32),
        logitScale: floats(expected, "logit_scale")[0],
        height,
        width,
      });
      expect(largestDifference(logits, part(floats(expected, name), picture))).toBeLessThan(
        tolerance(tensors[name]),
      );
    }
  });

  it("refuses sizes that do not fit", () => {
    const input = {
      assignments: [new Float32Array(6).fill(0.5)],
      groups: [1],
      segmentEmbeds: new Float32Array([1, 0]),
      textEmbeds: new Float32Array([1, 0]),
      logitScale: 2,
      height: 20,
      width: 30,
    };
    expect(segmentationLogits(input)).toEqual(new Float32Array(600).fill(2));
    const seven = [new Float32Array(7).fill(0.5)];
    expect(() => segmentationLogits({ ...input, assignments: seven })).toThrow(/7 patches are no/);
    expect(() => segmentationLogits({ ...input, assignments: [] })).toThrow(/0 patches are no/);
    expect(() => segmentationLogits({ ...input, groups: [4] })).toThrow(InputError);
    expect(() => segmentationLogits({ ...input, textEmbeds: new Float32Array(3) })).toThrow(
      /width/,
    );
    expect(() => segmentationLogits({ ...input, height: 20000, width: 60000 })).toThrow(
      /too large/,
    );
    expect(() => segmentationLogits({ ...input, height: -20 })).toThrow(/30 x -20/);
  });
});
