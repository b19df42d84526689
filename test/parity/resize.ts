// Kind `resize`: PIL's and OpenCV's resizing, Hugging Face's crop, normalisation.

import type { StoredTensor } from "../../src/checkpoint/tensors.js";
import { normalize } from "../../src/input/normalize.js";
import type { Picture } from "../../src/input/picture.js";
import {
  type PilFilter,
  resizeOpenCv,
  resizePil,
  shortestEdgeCenterCrop,
} from "../../src/input/resize.js";
import { type Fixture, numbers, sameShape, tensor } from "./fixture.js";
import { every } from "./model.js";
import type { Report } from "./report.js";

interface Case {
  key: string;
  kind: string;
  filter?: string;
  input?: string;
  height?: number;
  width?: number;
  shortest_edge?: number;
  crop?: number;
  of?: string;
  mean?: number[];
  std?: number[];
  layout?: string;
  atol?: number;
}

export async function runResize(fixture: Fixture, report: Report): Promise<void> {
  const inputs = fixture.tensors("inputs");
  const expected = fixture.tensors("expected");
  const cases = fixture.json<{ cases?: Case[] }>("report.json")?.cases ?? [];
  const known = new Map(cases.map((entry) => [entry.key, entry]));
  for (const key of expected.keys()) {
    if (!known.has(key)) report.add(key, false, "no case", "a case in report.json");
  }
  const run = (entry: Case): Picture => {
    const picture = toPicture(tensor(inputs, entry.input ?? ""));
    const { filter, width = 0, height = 0 } = entry;
    switch (entry.kind) {
      case "pil_resize":
        return resizePil(picture, width, height, filter as PilFilter);
      case "cv2_resize":
        if (filter && filter !== "linear") throw new Error(`filter ${filter} is not supported`);
        return resizeOpenCv(picture, width, height);
      case "shortest_edge_center_crop": {
        const edge = entry.shortest_edge ?? 0;
        return shortestEdgeCenterCrop(picture, edge, entry.crop ?? edge, filter as PilFilter);
      }
      default:
        throw new Error(`case kind "${entry.kind}" is unknown`);
    }
  };
  for (const entry of cases) {
    await report.attempt(entry.key, () => {
      const reference = tensor(expected, entry.key);
      if (entry.kind === "normalize") {
        normalized(fixture, report, entry, run(known.get(entry.of ?? "") ?? entry), reference);
        return;
      }
      const { width, height, data } = run(entry);
      if (!sameShape([height, width, 3], reference.shape)) {
        report.add(entry.key, false, `${height} x ${width}`, `shape [${reference.shape}]`);
      } else report.equal(entry.key, data, reference.bytes, 0, "bytes");
    });
  }
}

function normalized(
  fixture: Fixture,
  report: Report,
  { key, mean = [], std = [], atol }: Case,
  picture: Picture,
  reference: StoredTensor,
): void {
  const whole = {
    shape: [3, picture.height, picture.width],
    data: normalize(picture, mean, std),
  };
  const step = /stride(\d+)$/.exec(key)?.[1];
  const { data } = step ? every(whole, Number(step)) : whole;
  report.close(
    key,
    data,
    numbers(reference),
    atol ?? fixture.tolerance("expected", key, reference),
  );
}

/** `[height, width, 3]` bytes as a picture. */
export function toPicture({ shape, bytes }: StoredTensor): Picture {
  const [height, width] = shape as [number, number];
  return { width, height, data: bytes };
}
