import { expect, it } from "vitest";
import type { GroupViT } from "../index.js";
import { encodePicture } from "../output/encode.node.js";
import { measureLabel } from "./measure.js";

const picture = await encodePicture({ width: 1, height: 1, data: Uint8Array.of(9, 9, 9) }, "png");

/** Ranks of all labels, for a picture whose scores are those of the words. */
function ranks(scores: readonly number[]): Promise<number[]> {
  const model = { embedPicture: async () => Float32Array.of(1) } as unknown as GroupViT;
  const words = Float32Array.from(scores);
  return Promise.all(
    scores.map(async (_, label) => (await measureLabel(model, "a", picture, label, words)).rank),
  );
}

it("ranks the words as arg max does: the nearest first, among equals the first", async () => {
  expect(await ranks([0.1, 0.3, 0.2])).toEqual([2, 0, 1]);
  // ImageNet has a word twice: one of the two classes wins, not neither.
  expect(await ranks([0.1, 0.3, 0.3])).toEqual([2, 0, 1]);
  expect(await ranks([0.5, 0.5, 0.5])).toEqual([0, 1, 2]);
});

it("refuses a model that gives no numbers", async () => {
  await expect(ranks([0.1, Number.NaN])).rejects.toThrow(
    /^a: the similarity to class 1 is NaN; .* check the model's weights$/,
  );
});
