import { describe, expect, test } from "vitest";
import { CocoWriter, decodeCoco, encodeCoco } from "./coco.js";

// 0 1 1
// 0 2 1   with labels "cat" and "dog"; the cats are one region.
const picture = {
  width: 3,
  height: 2,
  map: Uint8Array.of(0, 1, 1, 0, 2, 1),
  labels: ["cat", "dog"],
  background: true,
};

describe("CocoWriter", () => {
  test("one annotation a label, as compressed RLE", () => {
    const scores = [0.25, 0.9999996];
    expect(new CocoWriter().add("park.jpg", picture, scores).iou).toEqual([1, 1]);
    expect(encodeCoco([{ file: "park.jpg", result: picture, scores }])).toEqual({
      info: { description: "Segmented by GroupViT" },
      licenses: [],
      images: [{ id: 1, file_name: "park.jpg", width: 3, height: 2 }],
      categories: [
        { id: 1, name: "cat", supercategory: "" },
        { id: 2, name: "dog", supercategory: "" },
      ],
      annotations: [
        {
          id: 1,
          image_id: 1,
          category_id: 1,
          // Down the columns 0 0, 1 0, 1 1: runs of 2, 1, 1, 2; each is its count plus 48, and the
          // fourth is written as its difference to the second, 2 - 1.
          segmentation: { size: [2, 3], counts: "2111" },
          area: 3,
          bbox: [1, 0, 2, 2],
          iscrowd: 0,
          score: 0.25,
        },
        {
          id: 2,
          image_id: 1,
          category_id: 2,
          // 0 0, 0 1, 0 0: runs of 3, 1, 2.
          segmentation: { size: [2, 3], counts: "312" },
          area: 1,
          bbox: [1, 1, 1, 1],
          iscrowd: 0,
          score: 1,
        },
      ],
    });
  });

  test("one annotation a region, as polygons; holes are joined by a cut", () => {
    const rings = {
      width: 5,
      height: 3,
      map: Uint8Array.of(0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1),
      labels: ["sea", "boat"],
      background: false,
    };
    const { annotations } = encodeCoco([{ file: "sea.png", result: rings }], {
      shape: "polygons",
      per: "region",
    });
    expect(annotations.map(({ category_id, area, bbox }) => [category_id, area, bbox])).toEqual([
      [1, 12, [0, 0, 5, 3]],
      [2, 1, [3, 0, 1, 1]],
      [2, 1, [1, 1, 1, 1]],
      [2, 1, [4, 2, 1, 1]],
    ]);
    expect(annotations[0].segmentation).toEqual([
      // Around the sea; from (0, 2) the cut to the boat in it, around that, and back.
      [
        0, 0, 3, 0, 3, 1, 4, 1, 4, 0, 5, 0, 5, 2, 4, 2, 4, 3, 0, 3, 0, 2, 1, 2, 2, 2, 2, 1, 1, 1, 1,
        2, 0, 2,
      ],
    ]);
    expect(annotations[1].segmentation).toEqual([[3, 0, 4, 0, 4, 1, 3, 1]]);
  });

  test("a region's RLE goes on from the foot of a column to the head of the next", () => {
    const result = { ...picture, map: Uint8Array.of(1, 1, 0, 1, 1, 1) };
    const { annotations } = encodeCoco([{ file: "a.png", result }], { per: "region" });
    // 1 1, 1 1, 0 1: no zeros, four ones, one zero, one one (written as 1 - 4 = -3, that is 31 - 2).
    expect(annotations[0].segmentation).toEqual({ size: [2, 3], counts: "041M" });
  });

  test("says what polygons lose, label by label", () => {
    // The bump lies within 1 pixel of the line beside it: one of the cat's 7 pixels goes.
    const map = Uint8Array.from("000000001000111111222222", Number);
    const bump = { width: 6, height: 4, map, labels: ["cat", "dog"], background: true };
    const writer = new CocoWriter({ shape: "polygons", tolerance: 1 });
    const { annotations, iou } = writer.add("a.png", bump);
    expect(iou).toEqual([6 / 7, 1]);
    const [{ segmentation, area, bbox }] = annotations;
    expect([segmentation, area, bbox]).toEqual([[[6, 2, 6, 3, 0, 3, 0, 2]], 7, [0, 2, 6, 1]]);
  });

  test("categories are shared by name among pictures", () => {
    const { categories, annotations } = encodeCoco([
      { file: "a.jpg", result: picture },
      { file: "b.jpg", result: { ...picture, labels: ["dog", "__proto__"] } },
    ]);
    expect(categories.map(({ name }) => name)).toEqual(["cat", "dog", "__proto__"]);
    expect(annotations.map((a) => [a.image_id, a.category_id])).toEqual([
      [1, 1],
      [1, 2],
      [2, 2],
      [2, 3],
    ]);
  });

  test("refuses labels given twice, and scores that are too few", () => {
    const writer = new CocoWriter();
    expect(() => writer.add("a", { ...picture, labels: ["cat", "cat"] })).toThrow(
      /label "cat" comes twice; rename/,
    );
    expect(() => writer.add("a", { ...picture, labels: ["cat", "\ud800"] })).toThrow(
      /label "\\ud800" holds half of a character; take it out/,
    );
    expect(() => writer.add("a", picture, [1])).toThrow(/1 for 2 labels; give one for each/);
    expect(writer.categories).toEqual([]);
  });
});

describe("decodeCoco", () => {
  const image = { id: 7, file_name: "x.jpg", width: 4, height: 2 };
  const categories = [
    { id: 30, name: "cat" },
    { id: "d", name: "dog" },
  ];
  const file = (segmentation: unknown, change: object = {}) => ({
    images: [image],
    categories,
    annotations: [{ image_id: 7, category_id: 30, segmentation }],
    ...change,
  });
  const read = (data: unknown) => [...decodeCoco(data)];

  test("reads counts as numbers, polygons, and ids of any kind; later ones cover earlier ones", () => {
    const annotations = [
      { image_id: 7, category_id: 30, segmentation: { size: [2, 4], counts: [2, 3, 3] } },
      { image_id: 7, category_id: "d", segmentation: [[2, 0, 4, 0, 4, 2, 3, 2]] },
    ];
    const [{ file: name, result }] = read(JSON.stringify({ ...file([]), annotations }));
    expect(name).toBe("x.jpg");
    expect(result.labels).toEqual(["cat", "dog"]);
    // Cats in columns 0 0, 1 1, 1 0, 0 0. The polygon's left side runs from (2, 0) to (3, 2): at the
    // centres of the rows it is at 2.25 and 2.75.
    expect([...result.map]).toEqual([0, 1, 2, 2, 0, 1, 0, 2]);
  });

  test.each([
    ["no JSON", "{", /no JSON/],
    ["another file", [], /not such a file/],
    ["a picture of no size", file([], { images: [{ ...image, width: 0 }] }), /0 x 2 is no size/],
    ["a huge picture", file([], { images: [{ ...image, width: 1e9 }] }), /too large/],
    ["a picture given twice", file([], { images: [image, image] }), /image id 7 comes twice/],
    ["a category without name", file([], { categories: [{ id: 30 }] }), /categories\.0\.name/],
    ["a category that is missing", file([], { categories: [] }), /category 30, which is not there/],
    ["a picture that is missing", file([], { images: [] }), /image 7, which is not there/],
    ["a polygon of two corners", file([[0, 0, 1, 1]]), /polygon has 4 numbers; give x and y/],
    ["a mask of another size", file({ size: [4, 2], counts: "8" }), /4 x 2 for a picture of 2 x 4/],
    ["counts that do not add up", file({ size: [2, 4], counts: [9] }), /add up to 9/],
    ["counts that are no text", file({ size: [2, 4], counts: "\0" }), /not COCO's compressed/],
    [
      "a number beyond all",
      '{"images":[],"categories":[],"annotations":[{"image_id":1e999}]}',
      /image_id/,
    ],
  ])("refuses %s", (_, data, message) => {
    expect(() => read(data)).toThrow(message);
  });

  test("refuses masks that cover the picture without end", () => {
    const full = {
      image_id: 7,
      category_id: 30,
      segmentation: { size: [1000, 4000], counts: [0, 4e6] },
    };
    const annotations = new Array(70).fill(full);
    const images = [{ ...image, width: 4000, height: 1000 }];
    expect(() => read(file([], { images, annotations }))).toThrow(
      /more than 64 times; remove some/,
    );
  });

  test("reads one picture at a time: a bad one does not keep those before it", () => {
    const images = [image, { ...image, id: 8, height: -1 }];
    const pictures = decodeCoco(file([[0, 0, 4, 0, 4, 2]], { images }));
    expect(pictures.next().value?.file).toBe("x.jpg");
    expect(() => pictures.next()).toThrow(/4 x -1/);
  });
});
