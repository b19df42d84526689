// GeoJSON (RFC 7946) in pixels: a MultiPolygon for each label.

import * as z from "zod/mini";
import { InputError } from "../errors.js";
import type { LabelMap } from "../output/label-map.js";
import { Canvas, checkData, checkNames, roundScores } from "./picture.js";
import { labelPolygons, type Polygon, type Ring } from "./polygons.js";

type Position = readonly [x: number, y: number];
/** Closed: the last position repeats the first. */
type LinearRing = readonly Position[];

export interface LabelFeature {
  readonly type: "Feature";
  readonly properties: {
    readonly label: string;
    /** 0 to 1. */
    readonly score: number;
    /** Pixels of the mask. */
    readonly area: number;
    /** What the polygons keep: their IoU with the mask. */
    readonly iou: number;
  };
  /** Exteriors counterclockwise by the numbers, and so clockwise on the screen, holes the other way. */
  readonly geometry: {
    readonly type: "MultiPolygon";
    readonly coordinates: readonly (readonly LinearRing[])[];
  };
}

/** Plain data for `JSON.stringify`. */
export interface LabelFeatures {
  readonly type: "FeatureCollection";
  /** No member of the standard: what the coordinates mean. */
  readonly picture: {
    readonly width: number;
    readonly height: number;
    readonly coordinates: string;
  };
  readonly features: readonly LabelFeature[];
}

const COORDINATES = "pixels from the top left corner of the picture, x to the right, y down";

/**
 * The labels of a picture as features; labels without a pixel are left out.
 *
 * @param scores one number from 0 to 1 for each label
 * @param tolerance how far polygons may leave the exact outlines, in pixels
 * @throws InputError for labels given twice or with half a character, when sizes do not fit, or beyond
 *   2^20 outlines
 */
export function encodeGeoJson(
  result: LabelMap,
  scores: ArrayLike<number>,
  tolerance = 0,
): LabelFeatures {
  checkNames("GeoJSON", result.labels);
  const rounded = roundScores(result.labels, scores);
  const features = labelPolygons(result, tolerance).map(
    ({ name, area, iou, polygons }, i): LabelFeature => ({
      type: "Feature",
      properties: { label: name, score: rounded[i], area, iou },
      geometry: { type: "MultiPolygon", coordinates: polygons.map(closedRings) },
    }),
  );
  return {
    type: "FeatureCollection",
    picture: { width: result.width, height: result.height, coordinates: COORDINATES },
    features: features.filter(({ properties }) => properties.area > 0),
  };
}

function closedRings({ exterior, holes }: Polygon): LinearRing[] {
  return [exterior, ...holes].map((ring) => {
    const positions: Position[] = [];
    for (let i = 0; i < ring.length; i += 2) positions.push([ring[i], ring[i + 1]]);
    return [...positions, positions[0]];
  });
}

const polygonSchema = z.array(z.array(z.array(z.number()).check(z.minLength(2))));
const collectionSchema = z.object({
  type: z.literal("FeatureCollection"),
  picture: z.object({ width: z.number(), height: z.number() }),
  features: z.array(
    z.object({
      properties: z.object({ label: z.string() }),
      geometry: z.discriminatedUnion("type", [
        z.object({ type: z.literal("Polygon"), coordinates: polygonSchema }),
        z.object({ type: z.literal("MultiPolygon"), coordinates: z.array(polygonSchema) }),
      ]),
    }),
  ),
});

/**
 * Reads features with the property `label` in a collection with the member `picture`, as
 * `encodeGeoJson` makes them. The labels are in the order in which they first come, later features
 * cover earlier ones.
 *
 * @param data the file's text, or the object it holds
 * @throws InputError naming what is wrong
 */
export function decodeGeoJson(data: unknown): LabelMap {
  const { picture, features } = checkData("GeoJSON", collectionSchema, data);
  const indices = new Map<string, number>();
  for (const { properties } of features) {
    if (!indices.has(properties.label)) indices.set(properties.label, indices.size);
  }
  const labels = [...indices.keys()];
  checkNames("GeoJSON", labels);
  const canvas = new Canvas("GeoJSON", picture.width, picture.height, labels);
  for (const { properties, geometry } of features) {
    const label = indices.get(properties.label) ?? 0;
    const polygons = geometry.type === "Polygon" ? [geometry.coordinates] : geometry.coordinates;
    for (const rings of polygons) canvas.fillRings(rings.map(openRing), label);
  }
  return canvas.result;
}

function openRing(positions: readonly (readonly number[])[]): Ring {
  const [first] = positions;
  const last = positions[positions.length - 1];
  if (positions.length < 4 || first[0] !== last[0] || first[1] !== last[1]) {
    throw new InputError(
      "GeoJSON: a ring is not closed; end it where it begins, 4 positions or more",
    );
  }
  const ring: number[] = [];
  for (const [x, y] of positions.slice(1)) ring.push(x, y);
  return ring;
}
