// The page's side of the paint worker: its calls as promises, and colours for every value of a mask.

import type { LabelMap, ValueMap } from "../src/output/label-map.js";
import { labelPalette } from "../src/output/palette.js";

/** Which of two compared vocabularies. */
export type Side = "a" | "b";
/** What lies over the picture: the mask of a vocabulary, or the groups of a grouping block. */
export type Layer = Side | "first" | "last";
/** What can be saved. */
export type Format = "mask" | "overlay" | "json" | "svg";
/** R, G, B, A bytes, four for each value of a map. */
export type Colours = Uint8Array;

/** A segmented picture with the mean score of each label. */
export interface Result extends LabelMap {
  readonly scores: Float32Array;
}

export interface Painted {
  readonly bitmap: ImageBitmap;
  /** Where to write a value's name, as shares of width and height. */
  readonly names: readonly { value: number; x: number; y: number; share: number }[];
}

/** What the worker does; every call answers when it is done, in order. */
export interface PaintCalls {
  /** Takes a new picture; the bitmap is at display size, width and height are the picture's. */
  picture(
    source: Blob | ImageBitmap,
  ): Promise<{ width: number; height: number; bitmap: ImageBitmap }>;
  /** Paints a mask of words, and keeps it for `save`. */
  mask(side: Side, result: Result, colours: Colours): Promise<Painted>;
  /** Paints groups, and keeps them for `find` and `highlight`. */
  groups(layer: Layer, map: ValueMap, colours: Colours): Promise<Painted>;
  /** Takes the regions of an explanation, for `find` and `highlight`. */
  places(layer: Layer, map: Uint8Array | Uint16Array | Uint32Array, width: number): Promise<void>;
  /** What is at a point, given as shares of width and height. */
  find(layer: Layer, x: number, y: number): Promise<number | undefined>;
  /** A shade over all other places. */
  highlight(layer: Layer, places: readonly number[]): Promise<ImageBitmap | undefined>;
  save(side: Side, format: Format, file: string, colours: Colours, opacity: number): Promise<Blob>;
}

export function startPainter(): PaintCalls {
  const worker = new Worker(new URL("./paint.worker.ts", import.meta.url), { type: "module" });
  const waiting = new Map<number, { resolve(value: never): void; reject(error: unknown): void }>();
  let calls = 0;
  worker.onmessage = ({ data: { id, value, error } }) => {
    const call = waiting.get(id);
    waiting.delete(id);
    if (error === undefined) call?.resolve(value as never);
    else call?.reject(error);
  };
  worker.onerror = (event) => {
    for (const call of waiting.values()) call.reject(new Error(event.message));
    waiting.clear();
  };
  const call = (name: keyof PaintCalls, args: readonly unknown[], transfer: Transferable[] = []) =>
    new Promise<never>((resolve, reject) => {
      const id = calls++;
      waiting.set(id, { resolve, reject });
      worker.postMessage({ id, name, args }, transfer);
    });
  return {
    picture: (source) => call("picture", [source], source instanceof ImageBitmap ? [source] : []),
    mask: (side, result, colours) => call("mask", [side, result, colours], [result.map.buffer]),
    groups: (layer, map, colours) => call("groups", [layer, map, colours], [map.map.buffer]),
    places: (layer, map, width) => call("places", [layer, map, width], [map.buffer]),
    find: (...args) => call("find", args),
    highlight: (...args) => call("highlight", args),
    save: (...args) => call("save", args),
  };
}

/** Colours of a word mask; the background stays clear. */
export function wordColours(labels: number, background: boolean): Colours {
  const first = background ? 1 : 0;
  const palette = labelPalette(labels + first, background);
  const colours = new Uint8Array(4 * (labels + first));
  for (let value = 0; value < labels + first; value++) {
    colours.set(palette.subarray(3 * value, 3 * value + 3), 4 * value);
    colours[4 * value + 3] = value < first ? 0 : 255;
  }
  return colours;
}

/**
 * Colours of groups: the last segments have the palette's, and every earlier group a tint or shade of the
 * segment that it merges into, so that merging shows.
 */
export function groupColours(nodes: readonly { segment: number }[], segments: number): Colours {
  const palette = labelPalette(segments, false);
  const colours = new Uint8Array(4 * nodes.length);
  const brothers = new Map<number, number[]>();
  for (const [group, { segment }] of nodes.entries()) {
    brothers.set(segment, [...(brothers.get(segment) ?? []), group]);
  }
  for (const [group, { segment }] of nodes.entries()) {
    // The palette's own colour, then lighter and darker ones in turn, in even steps.
    const own = brothers.get(segment)!;
    const n = own.indexOf(group);
    const steps = Math.ceil((own.length - 1) / 2);
    const share = steps === 0 ? 0 : (0.75 * Math.ceil(n / 2)) / steps;
    const towards = n % 2 === 1 ? 255 : 0;
    for (let c = 0; c < 3; c++) {
      colours[4 * group + c] = palette[3 * segment + c]! * (1 - share) + towards * share;
    }
    colours[4 * group + 3] = 255;
  }
  return colours;
}

/** A CSS colour. */
export function css(colours: Colours, value: number): string {
  const [r, g, b] = colours.subarray(4 * value);
  return `rgb(${r} ${g} ${b})`;
}

/** Black or white, whichever has the higher contrast (WCAG 2) with a colour: 4.5 : 1 or more. */
export function ink(colours: Colours, value: number): string {
  const [r, g, b] = Array.from(colours.subarray(4 * value, 4 * value + 3), (byte) =>
    byte <= 10 ? byte / 3294 : ((byte / 255 + 0.055) / 1.055) ** 2.4,
  ) as [number, number, number];
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "#000" : "#fff";
}
