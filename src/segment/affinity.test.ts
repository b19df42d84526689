import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  floats,
  integers,
  largestDifference,
  readJson,
  readTensors,
  type TensorReport,
  tolerance,
} from "../../test/support/segment.js";
import { InputError } from "../errors.js";
import { affinity, labelEmbedding, logitScaleFactor } from "./affinity.js";

const expected = readTensors("seg/expected.safetensors");
const report = readJson<{
  logit_scale_override: number;
  clamp_case_logit_scale: number;
  tensors: Record<string, TensorReport>;
}>("seg/report.json");

describe("affinity", () => {
  it.each([
    "tiny.square",
    "tiny.portrait",
    "tiny.land",
    "tiny.port",
    "tiny.tall",
    "tiny_clamp.square",
    "full.land",
    "full.portrait",
  ])("equals the reference for %s: logits, top 5 labels, scores", (name) => {
    const clamped = name.startsWith("tiny_clamp");
    const model = name.startsWith("full") ? "full" : "tiny";
    const result = affinity(
      {
        segmentEmbeds: floats(expected, `${name}.group_embeds`),
        imageEmbed: floats(expected, `${name}.image_embed`),
      },
      floats(expected, `${model}.text_embedding_simple`),
      logitScaleFactor(clamped ? report.clamp_case_logit_scale : report.logit_scale_override),
      5,
    );
    const close = (part: string, values: ArrayLike<number>) =>
      expect(largestDifference(values, floats(expected, `${name}.${part}`))).toBeLessThan(
        tolerance(report.tensors[`${name}.${part}`]),
      );
    close("raw_affinity_logits", result.logits);
    expect(result.topLabels).toEqual(integers(expected, `${name}.top5`));
    const segments = result.scores.length / 5;
    const full = new Float32Array(segments * 20);
    result.scores.forEach((score, i) => {
      full[Math.floor(i / 5) * 20 + result.topLabels[i % 5]] = score;
    });
    close("group_affinity", full);
  });

  it("takes all labels when fewer than k, the lower one among equals", () => {
    const window = {
      segmentEmbeds: new Float32Array([0, 1]),
      imageEmbed: new Float32Array([1, 0]),
    };
    const labels = new Float32Array([0, 1, 1, 0, 0, -1, 1, 0]);
    const top = (k: number) => Array.from(affinity(window, labels, 10, k).topLabels);
    expect(top(5)).toEqual([1, 3, 0, 2]);
    expect(top(Infinity)).toEqual([1, 3, 0, 2]);
    expect(top(3)).toEqual([1, 3, 0]);
    expect(top(1)).toEqual([1]);
  });

  it("with all labels in the running, squares the soft-max", () => {
    const unit = fc.double({ min: -1, max: 1, noNaN: true });
    fc.assert(
      fc.property(fc.array(unit, { minLength: 1, maxLength: 30 }), (similarities) => {
        const labels = Float32Array.from(similarities);
        const window = { segmentEmbeds: new Float32Array([1]), imageEmbed: new Float32Array([1]) };
        const { scores, topLabels } = affinity(window, labels, 7, Infinity);
        const total = labels.reduce((sum, value) => sum + Math.exp(7 * value), 0);
        topLabels.forEach((label, i) => {
          expect(scores[i]).toBeCloseTo((Math.exp(7 * labels[label]) / total) ** 2, 5);
        });
      }),
      { seed: 5, numRuns: 100 },
    );
  });
});

describe("logitScaleFactor", () => {
  it("is the exponential, clamped at 100", () => {
    expect(logitScaleFactor(4)).toBeCloseTo(54.59815, 5);
    expect(logitScaleFactor(5.5)).toBe(100);
  });
});

describe("labelEmbedding", () => {
  it("averages before it normalises", () => {
    const embedding = labelEmbedding([new Float32Array([3, 0]), new Float32Array([3, 8])]);
    expect(embedding).toEqual(new Float32Array([0.6, 0.8]));
    // Normalising each prompt first would give another direction.
    expect(embedding[1]).not.toBeCloseTo(Math.sqrt(0.5), 2);
  });

  it("refuses no prompts, mixed widths, and what cannot be normalised", () => {
    expect(() => labelEmbedding([])).toThrow(/no prompts/);
    expect(() => labelEmbedding([new Float32Array(2), new Float32Array(3)])).toThrow(/2 and 3/);
    expect(() => labelEmbedding([new Float32Array(2)])).toThrow(InputError);
    expect(() => labelEmbedding([new Float32Array([NaN, 1])])).toThrow(/norm NaN/);
  });
});
