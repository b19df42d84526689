import { expect, test } from "vitest";
import { decodeGeoJson, encodeGeoJson } from "./geojson.js";

const picture = {
  width: 4,
  height: 3,
  map: Uint8Array.of(3, 1, 1, 1, 0, 1, 0, 1, 3, 1, 1, 1),
  labels: ["ring", "none", "dot"],
  background: true,
};

test("a MultiPolygon for each label that is there, by the right-hand rule", () => {
  expect(encodeGeoJson(picture, [0.1234567, 0, 1])).toEqual({
    type: "FeatureCollection",
    picture: {
      width: 4,
      height: 3,
      coordinates: "pixels from the top left corner of the picture, x to the right, y down",
    },
    features: [
      {
        type: "Feature",
        properties: { label: "ring", score: 0.123457, area: 8, iou: 1 },
        geometry: {
          type: "MultiPolygon",
          coordinates: [
            [
              [
                [1, 0],
                [4, 0],
                [4, 3],
                [1, 3],
                [1, 0],
              ],
              [
                [2, 2],
                [3, 2],
                [3, 1],
                [2, 1],
                [2, 2],
              ],
            ],
          ],
        },
      },
      {
        type: "Feature",
        properties: { label: "dot", score: 1, area: 2, iou: 1 },
        geometry: {
          type: "MultiPolygon",
          coordinates: [
            [
              [
                [0, 0],
                [1, 0],
                [1, 1],
                [0, 1],
                [0, 0],
              ],
            ],
            [
              [
                [0, 2],
                [1, 2],
                [1, 3],
                [0, 3],
                [0, 2],
              ],
            ],
          ],
        },
      },
    ],
  });
});

test("reads Polygons, heights, and features of one label", () => {
  const ring = [
    [0, 0, 9],
    [1, 0, 9],
    [1, 1, 9],
    [0, 1, 9],
    [0, 0, 9],
  ];
  const feature = (label: string, dx: number) => ({
    properties: { label },
    geometry: { type: "Polygon", coordinates: [ring.map(([x, y, z]) => [x + dx, y, z])] },
  });
  const { labels, map } = decodeGeoJson({
    type: "FeatureCollection",
    picture: { width: 3, height: 1 },
    features: [feature("b", 0), feature("a", 1), feature("b", 2)],
  });
  expect([labels, [...map]]).toEqual([
    ["b", "a"],
    [1, 2, 1],
  ]);
});

const collection = encodeGeoJson(picture, [1, 1, 1]);
const withRing = (ring: unknown) => ({
  ...collection,
  features: [{ properties: { label: "a" }, geometry: { type: "Polygon", coordinates: [ring] } }],
});

test.each([
  ["a single feature", collection.features[0], /wrong at "type"/],
  ["no size", { ...collection, picture: undefined }, /wrong at "picture"/],
  ["a size too large", { ...collection, picture: { width: 1e6, height: 1e6 } }, /too large/],
  [
    "an open ring",
    withRing([
      [0, 0],
      [1, 0],
      [1, 1],
      [0, 1],
    ]),
    /not closed/,
  ],
  [
    "a ring of a line",
    withRing([
      [0, 0],
      [1, 0],
      [0, 0],
    ]),
    /4 positions or more/,
  ],
  ["no ring", withRing([]), /not closed/],
  ["a position of one number", withRing([[0]]), /wrong at "features\.0/],
  ["a number that is none", withRing([[0, null]]), /wrong at "features\.0/],
])("refuses %s", (_, data, message) => {
  expect(() => decodeGeoJson(data)).toThrow(message);
});

test("coordinates far outside take no time", () => {
  const far = 1e300;
  const { map } = decodeGeoJson(
    withRing([
      [-far, -far],
      [far, -far],
      [far, far],
      [-far, -far],
    ]),
  );
  expect(map.length).toBe(12);
});
