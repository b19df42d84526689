// The review queue: the pictures that the model is least sure of, as a list and as a sheet to look at.

import { rm } from "node:fs/promises";
import { writeFileAtomic } from "../atomic.node.js";
import { PictureError } from "../errors.js";
import { decodePicture } from "../index.js";
import type { Picture } from "../input/picture.js";
import { type ContactSheetCell, renderContactSheet } from "../output/contact-sheet.node.js";
import { encodePicture, resizePicture } from "../output/encode.node.js";
import { resizeMap } from "../output/label-map.js";
import { renderOverlay } from "../output/overlay.node.js";
import { type LabelRecord, resultOf } from "./record.js";
import { openPlace, type PictureReference } from "./reference.js";

/** Pictures on the sheet. */
const SHOWN = 24;
const COLUMNS = 6;
const CELL_SIDE = 320;

interface Entry {
  readonly reference: PictureReference;
  readonly record: LabelRecord;
}

/** Keeps the most uncertain pictures of any number of them. */
export class ReviewQueue {
  /** Most uncertain first; among equals, the earlier ones. */
  private readonly entries: Entry[] = [];

  constructor(
    private readonly labels: readonly string[],
    private readonly length: number,
  ) {}

  add(reference: PictureReference, record: LabelRecord): void {
    let [low, high] = [0, this.entries.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.entries[middle]!.record.uncertainty >= record.uncertainty) low = middle + 1;
      else high = middle;
    }
    if (low >= this.length) return;
    this.entries.splice(low, 0, { reference, record });
    if (this.entries.length > this.length) this.entries.pop();
  }

  /** Writes `review.json` and, where there is anything to show, `review.png`. */
  async write(paths: { list: string; sheet: string }, signal?: AbortSignal): Promise<void> {
    const list = {
      measure: "uncertainty: 1 less the mean winning score over the labelled pixels, 1 without any",
      pictures: this.entries.map(({ reference: { file, name }, record }) => ({
        file,
        name,
        uncertainty: record.uncertainty,
        labels: record.masks.map(([label, score]) => ({ label: this.labels[label], score })),
      })),
    };
    await writeFileAtomic(paths.list, `${JSON.stringify(list, null, 1)}\n`);
    const cells: ContactSheetCell[] = [];
    for (const entry of this.entries.slice(0, SHOWN)) {
      signal?.throwIfAborted();
      const picture = await this.draw(entry);
      const { file } = entry.reference;
      const caption = `${entry.record.uncertainty.toFixed(3)}  ${file}`;
      if (picture) cells.push({ picture, caption });
    }
    if (cells.length === 0) {
      // One of an earlier run would show other pictures.
      await rm(paths.sheet, { force: true });
      return;
    }
    const sheet = await renderContactSheet(cells, {
      columns: COLUMNS,
      cellSide: CELL_SIDE,
      title: `The ${cells.length} most uncertain pictures`,
    });
    await writeFileAtomic(paths.sheet, await encodePicture(sheet, "png"));
  }

  /** The picture with its labels; nothing where it can no longer be read. */
  private async draw({ reference, record }: Entry): Promise<Picture | undefined> {
    try {
      const picture = await decodePicture(await openPlace(reference.place));
      const scale = Math.min(1, CELL_SIDE / Math.max(picture.width, picture.height));
      const width = Math.max(1, Math.round(picture.width * scale));
      const height = Math.max(1, Math.round(picture.height * scale));
      const { result } = resultOf(record, this.labels);
      const small = { ...result, ...resizeMap(result, width, height) };
      return await renderOverlay(await resizePicture(picture, width, height), small, {
        legend: false,
      });
    } catch (error) {
      if (error instanceof PictureError) return undefined;
      throw error;
    }
  }
}
