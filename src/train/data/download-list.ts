// Lists of addresses and captions as the public data sets publish them.

import { InputError } from "../../errors.js";
import { readJson } from "./folder.js";
import { readCells, readRecords, textColumn } from "./tables.js";

/**
 * - `cc3m`: TSV without header, caption then address
 * - `cc12m`: TSV without header, address then caption
 * - `yfcc15m`: rows of the YFCC100M TSV without header (title, description and address in columns 8, 9
 *   and 16, counted from 0, URL-encoded), chosen beforehand by OpenAI's list
 * - `redcaps`: one annotation JSON of RedCaps
 * - `table`: CSV or TSV with header, JSON lines or Parquet, with columns such as `url` and `caption`
 */
export type ListLayout = "cc3m" | "cc12m" | "yfcc15m" | "redcaps" | "table";

export interface ListRow {
  url: string;
  caption: string;
}

const URL_COLUMNS = ["url", "image_url", "downloadurl", "link"];
const CAPTION_COLUMNS = ["caption", "text", "title", "alt", "alt_text", "description"];

/**
 * The rows of a list in order. Rows without address or caption are given with empty text, so that row
 * numbers stay those of the file.
 *
 * @throws InputError where the file does not have the layout
 */
export async function* readList(
  path: string,
  layout: ListLayout,
  signal?: AbortSignal,
): AsyncGenerator<ListRow> {
  switch (layout) {
    case "cc3m":
      for await (const cells of readCells(path, "\t", signal)) {
        yield { caption: cells[0] ?? "", url: cells[1] ?? "" };
      }
      return;
    case "cc12m":
      for await (const cells of readCells(path, "\t", signal)) {
        yield { url: cells[0] ?? "", caption: cells[1] ?? "" };
      }
      return;
    case "yfcc15m":
      for await (const cells of readCells(path, "\t", signal)) {
        const text = [cells[8] ?? "", cells[9] ?? ""].map(plainText).filter((part) => part !== "");
        yield { url: cells[16] ?? "", caption: text.join(". ") };
      }
      return;
    case "redcaps":
      yield* readRedCaps(path);
      return;
    case "table":
      for await (const record of readRecords(path, signal)) {
        const url = textColumn(record, URL_COLUMNS);
        const caption = textColumn(record, CAPTION_COLUMNS);
        if (url === undefined && caption === undefined) {
          throw new InputError(
            `${path}: its columns are ${Object.keys(record).slice(0, 20).join(", ")}; name one "url" ` +
              'and one "caption", or say which layout it has',
          );
        }
        yield { url: url ?? "", caption: caption ?? "" };
      }
  }
}

async function* readRedCaps(path: string): AsyncGenerator<ListRow> {
  const { annotations } = (await readJson(path)) as { annotations?: unknown };
  if (!Array.isArray(annotations)) {
    throw new InputError(`${path}: it lacks "annotations"; give an annotation file of RedCaps`);
  }
  for (const note of annotations as ({ url?: unknown; caption?: unknown } | null)[]) {
    yield {
      url: typeof note?.url === "string" ? note.url : "",
      caption: typeof note?.caption === "string" ? note.caption : "",
    };
  }
}

/** Undoes YFCC100M's encoding: plus signs, percent codes, HTML tags, runs of white space. */
function plainText(cell: string): string {
  let text = cell.replaceAll("+", " ");
  try {
    text = decodeURIComponent(text);
  } catch {
    // A stray percent sign: the text stands as it is.
  }
  return text
    .replace(/<[^<>]+>/g, "")
    .replace(/\s+/g, " ")
    .trim();
}
