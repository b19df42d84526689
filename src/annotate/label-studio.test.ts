import { decode, encode } from "@thi.ng/rle-pack";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { packBrush, packRuns, unpackBrush, unpackRuns } from "./brush-rle.js";
import { decodeLabelStudio, encodeLabelStudio, labelStudioTask } from "./label-studio.js";

const spansIn = (bytes: ArrayLike<number>, pixels: number): number[] => {
  const spans: number[] = [];
  unpackBrush(bytes, pixels, (from, to) => spans.push(from, to));
  return spans;
};

describe("byte examples", () => {
  // From the test of Label Studio's own converter, tests/test_brush.py of label-studio-converter:
  // encode_rle([1, 1, 1, 1, 2, 3, 5, 6, 7, 8, 4, 4, 4, 4, 4, 4, 4, 4]).
  const CONVERTER = [0, 0, 0, 18, 57, 27, 252, 96, 32, 1, 0, 6, 0, 40, 0, 192, 3, 128, 17, 56, 32];
  const RUNS = [
    [1, 4],
    [2, 1],
    [3, 1],
    [5, 1],
    [6, 1],
    [7, 1],
    [8, 1],
    [4, 8],
  ] as const;

  test("the converter's", () => {
    expect([...packRuns(RUNS)]).toEqual(CONVERTER);
    const runs: [number, number][] = [];
    unpackRuns(CONVERTER, 18, (value, from, to) => runs.push([value, to - from]));
    expect(runs).toEqual(RUNS);
  });

  test("of @thi.ng/rle-pack 3.2.12, with which the labelling page encodes: a mask", () => {
    // encodeBinary of the RGBA bytes of 0 0 255 / 255 255 0, each value four times.
    const mask = [0, 0, 0, 24, 57, 27, 252, 224, 22, 255, 227, 0];
    expect([...packBrush([2, 5], 6)]).toEqual(mask);
    expect(spansIn(mask, 6)).toEqual([2, 5]);
  });

  test("of @thi.ng/rle-pack 3.2.12: the same mask painted in the colour 244, 67, 54", () => {
    const painted = [
      0, 0, 0, 24, 57, 27, 252, 224, 6, 253, 16, 205, 191, 253, 16, 205, 191, 253, 16, 205, 191,
      227, 0,
    ];
    expect(spansIn(painted, 6)).toEqual([2, 3, 3, 4, 4, 5]);
  });

  test("by hand: a run of 65,536 and what is left of it", () => {
    // 16,385 pixels inside are 65,540 values: a run (1) of the fourth width (11), 2^16 long, of 255;
    // then a run (1) of the first width (00), 3 + 1 long, of 255; two bits fill the last byte.
    const bytes = packBrush([0, 16385], 16385);
    const bits = Array.from(bytes, (byte) => byte.toString(2).padStart(8, "0")).join("");
    const head = `${(65540).toString(2).padStart(32, "0")}00111 0010 0011 0111 1111`;
    const blocks = `1 11 ${"1".repeat(16)} 11111111 1 00 011 11111111 00`;
    expect(bits).toBe((head + blocks).replaceAll(" ", ""));
    expect(spansIn(bytes, 16385)).toEqual([0, 16384, 16384, 16385]);
  });
});

test("the labelling page's own packer reads what is written here, and what it writes is read", () => {
  const masks = fc
    .array(fc.tuple(fc.boolean(), fc.integer({ min: 1, max: 400 })), {
      minLength: 1,
      maxLength: 30,
    })
    .map((runs) => runs.flatMap(([inside, length]) => Array<boolean>(length).fill(inside)));
  fc.assert(
    fc.property(masks, (mask) => {
      const spans: number[] = [];
      for (const [pixel, inside] of mask.entries()) {
        if (inside !== (mask[pixel - 1] ?? false)) spans.push(pixel);
      }
      if (spans.length % 2 === 1) spans.push(mask.length);
      const rgba = Uint8Array.from(
        mask.flatMap((inside) => Array<number>(4).fill(inside ? 255 : 0)),
      );
      expect(decode(packBrush(spans, mask.length))).toEqual(rgba);
      expect(spansIn(encode(rgba, rgba.length), mask.length)).toEqual(spans);
    }),
    { seed: 17, numRuns: 300 },
  );
});

test.each([
  ["of another picture", packBrush([0, 1], 5), /of 20 values: the picture has 24/],
  ["cut off", packBrush([2, 5], 6).subarray(0, 9), /ends too early/],
  ["empty", new Uint8Array(0), /ends too early/],
  ["with values of 9 bits", [0, 0, 0, 24, 0x40, 0, 0], /values of 9 bits/],
  ["that goes beyond", [...packRuns([[0, 32]])].with(3, 24), /beyond its 24 values/],
])("refuses an RLE %s", (_, bytes, message) => {
  expect(() => spansIn(bytes, 6)).toThrow(message);
});

const picture = {
  width: 3,
  height: 2,
  map: Uint8Array.of(0, 0, 1, 1, 1, 3),
  labels: ["cat", "dog", 'a "bird"\n'],
  background: true,
};

describe("predictions", () => {
  test("a result for each label that is there, the score by area", () => {
    const prediction = encodeLabelStudio(picture, [0.5, 1, 0.9], {
      modelVersion: "groupvit-1",
      toName: "photo",
    });
    const result = (id: string, score: number, label: string, rle: number[]) => ({
      id,
      type: "brushlabels",
      from_name: "tag",
      to_name: "photo",
      original_width: 3,
      original_height: 2,
      image_rotation: 0,
      score,
      value: { format: "rle", rle, brushlabels: [label] },
    });
    expect(prediction).toEqual({
      model_version: "groupvit-1",
      score: 0.6, // (3 * 0.5 + 1 * 0.9) / 4
      result: [
        result("groupvit-1", 0.5, "cat", [0, 0, 0, 24, 57, 27, 252, 224, 22, 255, 227, 0]),
        result("groupvit-3", 0.9, 'a "bird"\n', [...packBrush([5, 6], 6)]),
      ],
    });
    expect(labelStudioTask("/data/a.jpg", prediction)).toEqual({
      data: { image: "/data/a.jpg" },
      predictions: [prediction],
    });
  });

  test("a picture of background alone has no result and score 0", () => {
    const empty = { ...picture, map: new Uint8Array(6) };
    const prediction = encodeLabelStudio(empty, [1, 1, 1], { modelVersion: "v" });
    expect([prediction.result, prediction.score]).toEqual([[], 0]);
    expect(() => decodeLabelStudio(prediction)).toThrow(/no brush masks/);
  });
});

describe("decodeLabelStudio", () => {
  const brush = (rle: Iterable<number>, labels: string[], change: object = {}) => ({
    type: "brushlabels",
    original_width: 3,
    original_height: 2,
    value: { format: "rle", rle: [...rle], brushlabels: labels },
    ...change,
  });

  test("reads annotations: other results are passed over, later masks cover earlier ones", () => {
    const { labels, map, background } = decodeLabelStudio({
      id: 4,
      result: [
        { type: "choices", value: { choices: ["day"] } },
        brush(packBrush([0, 4], 6), ["dog"]),
        brush(packBrush([3, 5], 6), ["cat", "animal"]),
        brush(packBrush([0, 1], 6), ["cat"]),
      ],
    });
    expect([labels, [...map], background]).toEqual([["dog", "cat"], [2, 1, 1, 2, 2, 0], true]);
  });

  test.each([
    ["no list", {}, /wrong at "result"/],
    ["bytes above 255", { result: [brush([256], ["a"])] }, /wrong at "value\.rle\.0"/],
    ["no label", { result: [brush([], [])] }, /wrong at "value\.brushlabels"/],
    ["another size", { result: [brush([], ["a"], { original_width: 2e9 })] }, /too large/],
    [
      "two sizes",
      {
        result: [
          brush(packBrush([], 6), ["a"]),
          brush(packBrush([], 6), ["a"], { original_width: 2, original_height: 3 }),
        ],
      },
      /3 x 2 and 2 x 3 in one picture/,
    ],
  ])("refuses %s", (_, data, message) => {
    expect(() => decodeLabelStudio(data)).toThrow(message);
  });
});

test("labels may be of several tags, one each", () => {
  const map = {
    width: 2,
    height: 1,
    labels: ["a", "b"],
    background: false,
    map: Uint8Array.of(0, 1),
  };
  const options = { modelVersion: "1", fromName: ["things", "stuff"] };
  const { result } = encodeLabelStudio(map, [1, 1], options);
  expect(result.map(({ from_name }) => from_name)).toEqual(["things", "stuff"]);
  const one = { ...options, fromName: ["things"] };
  expect(() => encodeLabelStudio(map, [1, 1], one)).toThrow(/1 tags for 2 labels; give one/);
});
