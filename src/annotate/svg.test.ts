import { XMLParser } from "fast-xml-parser";
import sharp from "sharp";
import { expect, test } from "vitest";
import { labelPalette } from "../output/palette.js";
import { decodeSvg, encodeSvg } from "./svg.js";

const picture = {
  width: 4,
  height: 3,
  map: Uint8Array.of(3, 1, 1, 1, 0, 1, 0, 1, 0, 1, 1, 1),
  labels: ["ring", "none", '<dot> & "dots"'],
  background: true,
};
const SVG = `<svg xmlns="http://www.w3.org/2000/svg" width="4" height="3" viewBox="0 0 4 3">
<g fill-rule="evenodd" shape-rendering="crispEdges">
<path fill="#2f7ed8" d="M1 0H4V3H1ZM2 2H3V1H2Z"><title>ring</title></path>
<path fill="#2ca25f" d="M0 0H1V1H0Z"><title>&lt;dot&gt; &amp; "dots"</title></path>
</g>
</svg>
`;

test("a path for each label that is there", () => {
  expect(encodeSvg(picture)).toEqual({ text: SVG, iou: [1, 1, 1] });
  const { labels, map } = decodeSvg(SVG);
  expect(labels).toEqual(["ring", '<dot> & "dots"']);
  expect([...map]).toEqual([2, 1, 1, 1, 0, 1, 0, 1, 0, 1, 1, 1]);
});

test("a drawing program shows the mask's pixels in the labels' colours", async () => {
  const map = new Uint8Array(37 * 23).map((_, i) => ((i % 37) * (i % 23) * 7 + i) % 5);
  const labels = ["a", "b", "c", "d"];
  const { text } = encodeSvg({ width: 37, height: 23, map, labels, background: true });
  const { data, info } = await sharp(Buffer.from(text)).raw().toBuffer({ resolveWithObject: true });
  expect([info.width, info.height, info.channels]).toEqual([37, 23, 4]);
  const palette = labelPalette(5, true);
  const expected = Array.from(map, (v) =>
    v === 0 ? [0, 0, 0, 0] : [...palette.subarray(3 * v, 3 * v + 3), 255],
  );
  expect([...data]).toEqual(expected.flat());
});

test("an XML reader sees the names as they were", () => {
  const labels = ["a\r\nb\tc", "]]><script>alert(1)</script>", "&#13;&amp;", "\u0085\u2028 "];
  const map = Uint8Array.of(0, 1, 2, 3);
  const { text } = encodeSvg({ width: 4, height: 1, map, labels, background: false });
  const parser = new XMLParser({ trimValues: false, htmlEntities: true });
  const { svg } = parser.parse(text);
  expect(svg.g.path.map(({ title }: { title: string }) => title)).toEqual(labels);
  expect(svg.script).toBeUndefined();
});

test("sides that are neither level nor upright", () => {
  const map = Uint8Array.from("1000110011101111", Number);
  const stairs = { width: 4, height: 4, map, labels: ["a"], background: true };
  const { text } = encodeSvg(stairs, 0.8);
  expect(text).toContain('d="M0 0H1L4 3V4H0Z"');
  expect(decodeSvg(text).map).toEqual(map);
});

test.each(["NUL\0", "\x1b[31m", "\ufffe", "\ud83d"])("refuses the name %j", (name) => {
  expect(() => encodeSvg({ ...picture, labels: [name, "b", "c"] })).toThrow(
    /SVG: label ".*" holds .*; take it out/,
  );
});

test.each([
  ["another drawing", '<svg width="4"/>', /from character 0 on/],
  [
    "a script",
    SVG.replace("</g>", "<script/></g>"),
    new RegExp(`from character ${SVG.indexOf("</g>")} on`),
  ],
  ["what follows", `${SVG}<!-- -->`, /only such files are read back/],
  [
    "an attribute",
    SVG.replace("<path", '<path onclick="x"'),
    new RegExp(`from character ${SVG.indexOf("<path")} on`),
  ],
  ["a curve", SVG.replace("H4", "C4"), /from character/],
  ["a path that does not begin", SVG.replace("M1 0H4", "H4"), /a path is not/],
  ["a path of two corners", SVG.replace("M2 2H3V1H2Z", "M2 2H3Z"), /a path is not/],
  ["half a corner", SVG.replace("M2 2", "M2"), /a path is not/],
  ["an entity", SVG.replace("&amp;", "&x;"), /a title is not/],
  [
    "a huge picture",
    SVG.replace(/4" height="3" viewBox="0 0 4 3/, '99999" height="99999" viewBox="0 0 99999 99999'),
    /too large/,
  ],
  ["two titles", SVG.replace(/<title>&lt;.*<\/title>/, "<title>ring</title>"), /comes twice/],
])("does not read %s", (_, text, message) => {
  expect(() => decodeSvg(text)).toThrow(message);
});
