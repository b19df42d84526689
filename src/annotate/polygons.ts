// Outlines of a label map's regions as polygons with holes, along pixel edges: exact, or thinned out.
// The walk is in trace.ts, the thinning in simplify.ts, the way back to pixels in rasterise.ts.

import { InputError } from "../errors.js";
import { countValues, type LabelMap, type ValueMap, valueCount } from "../output/label-map.js";
import { ringsLoss, ringsOf } from "./rasterise.js";
import { coordinates, doubleArea, simplifyOutlines } from "./simplify.js";
import { findRegions, type Outline, traceOutlines } from "./trace.js";

/**
 * Corners `x0, y0, x1, y1, ...` in pixels, x to the right and y down from the picture's top left
 * corner, so that the first pixel is the square from 0, 0 to 1, 1. The last corner joins the first,
 * which is not repeated.
 */
export type Ring = readonly number[];

/**
 * An outline with holes. Exteriors have a positive area by the shoelace formula (clockwise on the
 * screen, counterclockwise were y to point up), holes a negative one.
 */
export interface Polygon {
  readonly exterior: Ring;
  readonly holes: readonly Ring[];
}

/** The outline of one region: pixels of one value that hang together by their sides. */
export interface RegionPolygon extends Polygon {
  readonly value: number;
  /** Pixels of the region; thinned out, the polygon's own area may differ. */
  readonly area: number;
}

/** The outlines of one label. */
export interface LabelPolygons {
  readonly name: string;
  /** Pixels that carry the label. */
  readonly area: number;
  /** Intersection over union of these pixels and the polygons; 1 when nothing is lost. */
  readonly iou: number;
  readonly polygons: readonly RegionPolygon[];
}

/** More outlines than this are noise that nobody annotates, and would fill the memory. */
const MAX_OUTLINES = 2 ** 20;
/** What is needed beside the map is 5 bytes a pixel. */
const MAX_PIXELS = 2 ** 28;

/**
 * The outlines of every region, background included, in the order of their first pixels. At tolerance
 * 0 they are exact and simple: no ring touches itself; where a region touches itself across a corner,
 * two of its rings meet.
 *
 * @param tolerance how far, in pixels, an outline may leave the exact one. Neighbours stay together:
 *   what two regions share is thinned out once, and no borders cross.
 * @throws InputError when sizes do not fit, for a negative tolerance, beyond 2^28 pixels or 2^20
 *   outlines
 */
export function tracePolygons(source: ValueMap, tolerance = 0): RegionPolygon[] {
  if (!(tolerance >= 0 && tolerance < Number.POSITIVE_INFINITY)) {
    throw new InputError(`Tolerance ${tolerance} is no distance; give pixels from 0.`);
  }
  countValues(source, 65536);
  if (source.map.length > MAX_PIXELS) {
    const size = `${source.width} x ${source.height}`;
    throw new InputError(`Label map of ${size} is too large to outline; shrink it to 2^28 pixels.`);
  }
  const regions = findRegions(source);
  checkCount(regions.values.length);
  const outlines: Outline[] = [];
  for (const outline of traceOutlines(regions, tolerance > 0)) {
    checkCount(outlines.push(outline));
  }
  const exact = ({ points }: Outline): Ring => coordinates(points, regions.stride);
  const rings =
    tolerance > 0 ? simplifyOutlines(regions, outlines, tolerance) : outlines.map(exact);
  const exteriors: Ring[] = [];
  const holes: Ring[][] = regions.values.map(() => []);
  outlines.forEach(({ region }, i) => {
    if (doubleArea(rings[i]) > 0) exteriors[region - 1] = rings[i];
    else holes[region - 1].push(rings[i]);
  });
  return regions.values.map((value, i) => ({
    value,
    area: regions.areas[i],
    exterior: exteriors[i],
    holes: holes[i],
  }));
}

function checkCount(outlines: number): void {
  if (outlines <= MAX_OUTLINES) return;
  throw new InputError(
    `Label map has more than ${MAX_OUTLINES} outlines; smooth it, or export masks, not polygons.`,
  );
}

/**
 * The outlines of every label of a label map, in the order of `labels`, with what they lose. Labels
 * without a pixel have no polygons; the background is no label.
 *
 * @param tolerance as for `tracePolygons`
 */
export function labelPolygons(result: LabelMap, tolerance = 0): LabelPolygons[] {
  const first = result.background ? 1 : 0;
  const areas = countValues(result, valueCount(result));
  const byValue = new Map<number, RegionPolygon[]>();
  for (const polygon of tracePolygons(result, tolerance)) {
    const polygons = byValue.get(polygon.value);
    if (polygons === undefined) byValue.set(polygon.value, [polygon]);
    else polygons.push(polygon);
  }
  return result.labels.map((name, i) => {
    const polygons = byValue.get(i + first) ?? [];
    const area = areas[i + first];
    return { name, area, iou: ringsLoss(result, i + first, area, ringsOf(polygons)), polygons };
  });
}
