import sharp from "sharp";
import { describe, expect, test } from "vitest";
import { InputError } from "../errors.js";
import { renderContactSheet } from "./contact-sheet.node.js";
import { toPicture } from "./encode.node.js";
import { drawGroups, GROUP_MODES } from "./groups.node.js";
import { drawLegend, presentValues } from "./legend.node.js";
import { drawOverlay, fontSize, renderOverlay } from "./overlay.node.js";
import { labelPalette } from "./palette.js";
import { fitText, textPath, textWidth } from "./text.node.js";

/** A grey picture whose left half is background and whose right half is a cat. */
function halves(width: number, height: number, labels = ["cat"]) {
  const map = new Uint8Array(width * height);
  for (let y = 0; y < height; y++) map.fill(1, y * width + (width >> 1), (y + 1) * width);
  const picture = { width, height, data: new Uint8Array(width * height * 3).fill(100) };
  return { picture, result: { width, height, labels, background: true, map } };
}

const pixel = (image: { width: number; data: Uint8Array }, x: number, y: number) => [
  ...image.data.subarray((y * image.width + x) * 3, (y * image.width + x) * 3 + 3),
];

const CAT = [0x2f, 0x7e, 0xd8];
const TINTED_CAT = CAT.map((c) => (c * 128 + 100 * 128 + 128) >> 8);

describe("drawOverlay", () => {
  test("tints regions and draws the outline on the label's side", async () => {
    const { picture, result } = halves(40, 20);
    const image = await renderOverlay(picture, result, { labels: false, legend: false });
    expect([image.width, image.height]).toEqual([40, 20]);
    expect(pixel(image, 19, 10)).toEqual([82, 82, 82]); // background: (100 + 64) / 2
    expect(pixel(image, 20, 10)).toEqual(CAT); // the outline
    expect(pixel(image, 39, 10)).toEqual(TINTED_CAT);
  });

  test("enlarges small pictures, adds the legend below, writes the label in the region", async () => {
    const { picture, result } = halves(64, 32);
    const image = await toPicture(sharp(await drawOverlay(picture, result)));
    expect(image.width).toBe(512);
    expect(image.height).toBeGreaterThan(256 + 2 * fontSize({ width: 512, height: 256 }));
    expect(pixel(image, 500, 20)).toEqual(TINTED_CAT);
    expect(pixel(image, 384, 119)).toEqual(CAT); // the chip, above its letters
    expect(pixel(image, 511, image.height - 1)).toEqual([255, 255, 255]);
    const row = Array.from({ length: 256 }, (_, i) => pixel(image, 256 + i, 128));
    expect(row.some(([r, g, b]) => r === 255 && g === 255 && b === 255)).toBe(true); // letters
    // The legend lists the cat first, the background after it.
    expect(pixel(image, 20, 256 + 20)).toEqual(CAT);
  });

  test.each([
    [64, 64],
    [64, 1000],
    [1000, 64],
    [1, 1],
    [8000, 40],
  ])("draws %i x %i", async (width, height) => {
    const { picture, result } = halves(width, height, ["a label that is too long for narrow ones"]);
    const bytes = await drawOverlay(picture, result, { format: "jpeg" });
    const { format, width: drawnWidth } = await sharp(bytes).metadata();
    expect(format).toBe("jpeg");
    expect(drawnWidth).toBeGreaterThanOrEqual(width);
  });

  test("draws hostile labels", async () => {
    const { picture, result } = halves(200, 100);
    for (const label of [
      "</path><script>alert(1)</script>&amp;",
      "x".repeat(1000),
      "猫 😀 שלום سلام",
      "\0\x1b[31m\u202e",
      "",
      '" onload="',
    ]) {
      const bytes = await drawOverlay(picture, { ...result, labels: [label] });
      expect((await sharp(bytes).metadata()).width).toBe(600);
    }
  });

  test("is the same every time", async () => {
    const { picture, result } = halves(100, 80);
    expect(await drawOverlay(picture, result)).toEqual(await drawOverlay(picture, result));
  });

  test("refuses a map of another size, and values without label", async () => {
    const { picture, result } = halves(10, 10);
    const other = halves(10, 9).result;
    await expect(drawOverlay(picture, other)).rejects.toThrow(InputError);
    await expect(drawOverlay(picture, { ...result, labels: [] })).rejects.toThrow(InputError);
  });
});

describe("the legend", () => {
  const map = Uint8Array.from([0, 0, 0, 0, 2, 1, 1, 4]);
  const result = { width: 8, height: 1, labels: ["a", "b", "c", "d"], background: true, map };

  test("lists what is in the picture, largest first, background last", () => {
    expect(presentValues(result)).toEqual([
      { value: 1, name: "a", share: 0.25 },
      { value: 2, name: "b", share: 0.125 },
      { value: 4, name: "d", share: 0.125 },
      { value: 0, name: "background", share: 0.5 },
    ]);
  });

  test("emits paths and rectangles only, however hostile the label", () => {
    const hostile = { ...result, labels: ["<b>", "&", '"', "'><image href='file:///x'/>"] };
    const { svg } = drawLegend(hostile, labelPalette(5, true), 300, 14, 1000);
    const elements = [...svg.toString().matchAll(/<(\w+)/g)].map(([, name]) => name);
    expect(new Set(elements)).toEqual(new Set(["svg", "rect", "path"]));
  });

  test("sums up what has no room", () => {
    const labels = Array.from({ length: 200 }, (_, i) => `label ${i}`);
    const many = { width: 200, height: 1, labels, background: false, map: new Uint8Array(200) };
    many.map.forEach((_, i) => {
      many.map[i] = i;
    });
    const { height } = drawLegend(many, labelPalette(200, false), 300, 14, 200);
    expect(height).toBeLessThanOrEqual(200);
  });
});

describe("text", () => {
  test("is as wide as its letters and cut to fit", () => {
    expect(textWidth("ab", 20, "bold")).toBeCloseTo(
      textWidth("a", 20, "bold") + textWidth("b", 20, "bold"),
      9,
    );
    const cut = fitText("a".repeat(100), 20, "bold", 100);
    expect(cut.endsWith("…")).toBe(true);
    expect(textWidth(cut, 20, "bold")).toBeLessThanOrEqual(100);
    expect(textWidth(`a${cut}`, 20, "bold")).toBeGreaterThan(100);
  });

  test("becomes path commands and nothing else", () => {
    expect(textPath("cat <&\"'> 猫", 0, 20, 16, "regular")).toMatch(/^[MLQCZ0-9.\s-]+$/);
    expect(textPath("", 0, 0, 16, "bold")).toBe("");
  });
});

describe("drawGroups", () => {
  const { picture, result } = halves(60, 40);
  const firstGroups = {
    width: 60,
    height: 40,
    map: new Uint8Array(2400).map((_, i) => Math.floor((i % 60) / 15)),
  };
  const finalGroups = { ...firstGroups, map: firstGroups.map.map((group) => group >> 1) };
  const drawing = { picture, firstGroups, finalGroups, prediction: result };

  test.each(GROUP_MODES)("%s", async (mode) => {
    const image = await toPicture(sharp(await drawGroups(mode, drawing)));
    const label = mode === "input_pred_label" || mode === "sheet";
    if (label) expect(image.width).toBeGreaterThanOrEqual(480);
    else expect([image.width, image.height]).toEqual([60, 40]);
    const expected = {
      input: [100, 100, 100],
      pred: [64, 64, 64],
      input_pred: [82, 82, 82],
      first_group: TINTED_CAT, // group 0 has the first colour
      final_group: TINTED_CAT,
      all_groups: TINTED_CAT,
      input_pred_label: [82, 82, 82],
      sheet: [255, 255, 255],
    }[mode];
    expect(pixel(image, 5, 5)).toEqual(expected);
  });

  test("all_groups draws first groups in white where they share a final group", async () => {
    const image = await toPicture(sharp(await drawGroups("all_groups", drawing)));
    expect(pixel(image, 15, 20)).toEqual([255, 255, 255]);
    expect(pixel(image, 29, 20)).toEqual(CAT); // the border of the final group wins
  });

  test.each([
    [300, 4],
    [4, 300],
  ])("a sheet of a picture of %i x %i", async (width, height) => {
    const labels = Array.from({ length: 30 }, (_, i) => `label ${i}`);
    const odd = halves(width, height, labels);
    odd.result.map.forEach((_, i) => {
      odd.result.map[i] = i % 31;
    });
    const groups = { width, height, map: odd.result.map };
    const drawn = await drawGroups("sheet", {
      picture: odd.picture,
      firstGroups: groups,
      finalGroups: groups,
      prediction: odd.result,
    });
    expect((await sharp(drawn).metadata()).width).toBeGreaterThan(480);
  });

  test("a map of another size is refused", async () => {
    const other = { ...drawing, firstGroups: { ...firstGroups, width: 40, height: 60 } };
    await expect(drawGroups("all_groups", other)).rejects.toThrow(/40 x 60.*60 x 40/);
  });
});

test("a contact sheet has its pictures in rows", async () => {
  const red = { width: 10, height: 10, data: new Uint8Array(300) };
  for (let i = 0; i < 300; i += 3) red.data[i] = 255;
  const cells = Array.from({ length: 3 }, (_, i) => ({ picture: red, caption: `picture ${i}` }));
  const sheet = await renderContactSheet(cells, { columns: 2, cellSide: 130, title: "Review" });
  let redPixels = 0;
  for (let i = 0; i < sheet.data.length; i += 3) {
    if (sheet.data[i] === 255 && sheet.data[i + 1] === 0) redPixels++;
  }
  expect(redPixels).toBe(3 * 130 * 130);
  await expect(renderContactSheet([], { columns: 2, cellSide: 130, title: "" })).rejects.toThrow(
    /without pictures/,
  );
  await expect(
    renderContactSheet(cells, { columns: 2, cellSide: 20000, title: "" }),
  ).rejects.toThrow(/smaller cells/);
});
