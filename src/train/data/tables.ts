// Caption tables row by row: CSV, TSV, JSON lines and Parquet, each with bounded memory.

import { createReadStream } from "node:fs";
import { open } from "node:fs/promises";
import { brotliDecompressSync, gunzipSync } from "node:zlib";
import {
  type AsyncBuffer,
  type Compressors,
  parquetMetadataAsync,
  parquetReadObjects,
  parquetSchema,
  snappyUncompress,
} from "hyparquet";
import { InputError } from "../../errors.js";
import { LIMITS } from "./source.js";

/** A row by column name. Values come from strangers: check their types. */
export type TableRecord = Readonly<Record<string, unknown>>;

/** Largest row group of a Parquet file that is read at once, in uncompressed bytes. */
const MAX_ROW_GROUP_BYTES = 2 ** 30;

/**
 * The rows of a CSV (RFC 4180 quotes) or TSV file (no quotes: a quote is a character), empty lines
 * left out.
 *
 * @throws InputError where a row is longer than `LIMITS.lineBytes` or a quote is never closed
 */
export async function* readCells(
  path: string,
  delimiter: "," | "\t",
  signal?: AbortSignal,
): AsyncGenerator<string[]> {
  const quotes = delimiter === ",";
  let cells: string[] = [];
  let cell = "";
  let inQuotes = false;
  let afterQuote = false;
  let rowLength = 0;
  let rowNumber = 1;
  let first = true;
  const endRow = (): string[] | undefined => {
    // Windows line ends leave a carriage return in the last cell.
    cells.push(cell.endsWith("\r") ? cell.slice(0, -1) : cell);
    const row = cells;
    cells = [];
    cell = "";
    rowLength = 0;
    rowNumber++;
    afterQuote = false;
    return row.length === 1 && row[0] === "" ? undefined : row;
  };
  for await (const chunk of textChunks(path, signal)) {
    let text = chunk;
    if (first && text.charCodeAt(0) === 0xfeff) text = text.slice(1);
    first = false;
    // `start` is the beginning of the run of plain characters not yet copied into the cell.
    let start = 0;
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      if (inQuotes) {
        if (code === 34) {
          cell += text.slice(start, i);
          start = i + 1;
          inQuotes = false;
          afterQuote = true;
        }
      } else if (quotes && code === 34 && (afterQuote || (cell === "" && start === i))) {
        // A doubled quote inside quotes is one quote; a quote at a cell's beginning opens it.
        if (afterQuote) cell += '"';
        start = i + 1;
        inQuotes = true;
        afterQuote = false;
      } else if (code === 10 || text[i] === delimiter) {
        cell += text.slice(start, i);
        start = i + 1;
        afterQuote = false;
        if (code === 10) {
          const row = endRow();
          if (row) yield row;
        } else {
          cells.push(cell);
          cell = "";
        }
      } else {
        afterQuote = false;
      }
      if (++rowLength > LIMITS.lineBytes) throw rowTooLong(path, rowNumber);
    }
    cell += text.slice(start);
  }
  if (inQuotes) {
    throw new InputError(`${path}: a quote in row ${rowNumber} is never closed; mend the file`);
  }
  if (cell !== "" || cells.length > 0) {
    const row = endRow();
    if (row) yield row;
  }
}

function rowTooLong(path: string, row: number): InputError {
  return new InputError(
    `${path}: row ${row} is longer than ${LIMITS.lineBytes} characters; it is no caption table`,
  );
}

async function* textChunks(path: string, signal?: AbortSignal): AsyncGenerator<string> {
  const stream = createReadStream(path, { encoding: "utf8", highWaterMark: 2 ** 18, signal });
  try {
    yield* stream as AsyncIterable<string>;
  } catch (error) {
    signal?.throwIfAborted();
    const code = (error as NodeJS.ErrnoException).code ?? String(error);
    throw new InputError(`${path}: it cannot be read (${code}); check the path`);
  }
}

async function* readJsonLines(path: string, signal?: AbortSignal): AsyncGenerator<TableRecord> {
  let rest = "";
  let row = 0;
  const parse = (line: string): TableRecord => {
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch {
      throw new InputError(`${path}: line ${row} is not JSON; one object stands on each line`);
    }
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      throw new InputError(`${path}: line ${row} is not an object; one object stands on each line`);
    }
    return value as TableRecord;
  };
  for await (const chunk of textChunks(path, signal)) {
    rest += chunk;
    let start = 0;
    for (let end = rest.indexOf("\n"); end >= 0; end = rest.indexOf("\n", start)) {
      row++;
      const line = rest.slice(start, end).trim();
      start = end + 1;
      if (line !== "") yield parse(line);
    }
    rest = rest.slice(start);
    if (rest.length > LIMITS.lineBytes) throw rowTooLong(path, row + 1);
  }
  row++;
  if (rest.trim() !== "") yield parse(rest);
}

/** A page that claims to unpack to more than any of these codecs could is hostile. */
function checkedLength(input: Uint8Array, outputLength: number, ratio: number): number {
  if (!(outputLength >= 0 && outputLength <= input.length * ratio + 64)) {
    throw new InputError(`Parquet page: ${input.length} bytes cannot unpack to ${outputLength}`);
  }
  // zlib wants a bound of at least one byte, also for empty pages.
  return Math.max(1, outputLength);
}

/** Largest expansion of deflate (1032) and of snappy (64 bytes for 3), and a bound for brotli. */
const compressors: Compressors = {
  GZIP: (input, outputLength) =>
    gunzipSync(input, { maxOutputLength: checkedLength(input, outputLength, 1032) }),
  BROTLI: (input, outputLength) =>
    brotliDecompressSync(input, { maxOutputLength: checkedLength(input, outputLength, 4096) }),
  SNAPPY: (input, outputLength) => {
    checkedLength(input, outputLength, 22);
    const output = new Uint8Array(outputLength);
    snappyUncompress(input, output);
    return output;
  },
};

/** A Parquet file of which parts are read. */
export interface ParquetTable {
  /** Names of the top columns. */
  readonly columns: readonly string[];
  /** Rows that are stored together and read at no extra cost; `end` is excluded. */
  readonly groups: readonly { readonly start: number; readonly end: number }[];
  /**
   * Rows of one group.
   *
   * @param columns only these; texts that the file does not mark as such are bytes then
   */
  rows(start: number, end: number, columns?: readonly string[]): Promise<TableRecord[]>;
  close(): Promise<void>;
}

/**
 * Opens a Parquet file.
 *
 * @throws InputError where it cannot be read, or has row groups that are too large
 */
export async function openParquet(path: string): Promise<ParquetTable> {
  const handle = await open(path, "r").catch((error: NodeJS.ErrnoException) => {
    throw new InputError(`${path}: it cannot be read (${error.code}); check the path`);
  });
  const explained = (error: unknown): never => {
    if (error instanceof InputError) throw error;
    const cause = error instanceof Error ? error.message : String(error);
    throw new InputError(`${path}: it is no readable Parquet file (${cause})`);
  };
  try {
    const { size } = await handle.stat();
    const file: AsyncBuffer = {
      byteLength: size,
      async slice(start, end = size) {
        // Offsets come from the file itself.
        const from = Math.min(size, Math.max(0, start));
        const length = Math.max(0, Math.min(size, end) - from);
        const bytes = new Uint8Array(length);
        const { bytesRead } = await handle.read(bytes, 0, length, from);
        return bytes.buffer.slice(0, bytesRead);
      },
    };
    const metadata = await parquetMetadataAsync(file);
    const groups: { start: number; end: number }[] = [];
    let start = 0;
    for (const group of metadata.row_groups) {
      const rows = Number(group.num_rows);
      if (group.total_byte_size > MAX_ROW_GROUP_BYTES || start + rows > LIMITS.rows || rows < 0) {
        throw new InputError(
          `${path}: a row group of ${group.total_byte_size} bytes and ${rows} rows is too large; ` +
            "write the table with smaller row groups",
        );
      }
      groups.push({ start, end: start + rows });
      start += rows;
    }
    return {
      columns: parquetSchema(metadata).children.map(({ element }) => element.name),
      groups,
      rows: (rowStart, rowEnd, columns) =>
        parquetReadObjects({
          file,
          metadata,
          rowStart,
          rowEnd,
          compressors,
          ...(columns ? { columns: [...columns], utf8: false } : {}),
        }).catch(explained),
      close: () => handle.close(),
    };
  } catch (error) {
    await handle.close();
    return explained(error);
  }
}

async function* readParquet(path: string, signal?: AbortSignal): AsyncGenerator<TableRecord> {
  const table = await openParquet(path);
  try {
    for (const { start, end } of table.groups) {
      signal?.throwIfAborted();
      yield* await table.rows(start, end);
    }
  } finally {
    await table.close();
  }
}

/**
 * The rows of a table with named columns, by its extension: `.csv` and `.tsv` with a header line,
 * `.jsonl`, `.parquet`.
 *
 * @throws InputError for another extension, a broken file, or more than `LIMITS.rows` rows
 */
export async function* readRecords(
  path: string,
  signal?: AbortSignal,
): AsyncGenerator<TableRecord> {
  let rows = 0;
  for await (const record of recordsOf(path, signal)) {
    if (++rows > LIMITS.rows) {
      throw new InputError(`${path}: more than ${LIMITS.rows} rows; split the table`);
    }
    yield record;
  }
}

async function* recordsOf(path: string, signal?: AbortSignal): AsyncGenerator<TableRecord> {
  const lower = path.toLowerCase();
  if (lower.endsWith(".parquet")) {
    yield* readParquet(path, signal);
  } else if (lower.endsWith(".jsonl") || lower.endsWith(".ndjson")) {
    yield* readJsonLines(path, signal);
  } else if (lower.endsWith(".csv") || lower.endsWith(".tsv")) {
    let header: string[] | undefined;
    for await (const cells of readCells(path, lower.endsWith(".csv") ? "," : "\t", signal)) {
      if (header === undefined) {
        header = cells;
        continue;
      }
      // Null prototype: a column may be named "__proto__".
      const record: Record<string, unknown> = Object.create(null);
      for (let i = 0; i < header.length; i++) record[header[i]!] = cells[i] ?? "";
      yield record;
    }
  } else {
    throw new InputError(`${path}: unknown kind of table; use .csv, .tsv, .jsonl or .parquet`);
  }
}

/**
 * The text of the first of the named columns (any case) that holds one; empty where such a column holds
 * something else, such as null.
 *
 * @param names the best first
 * @returns undefined where there is no such column
 */
export function textColumn(record: TableRecord, names: readonly string[]): string | undefined {
  const found = new Map(
    Object.entries(record).map(([name, value]) => [name.trim().toLowerCase(), value]),
  );
  const present = names.filter((name) => found.has(name));
  const holding = present.find((name) => typeof found.get(name) === "string");
  if (holding !== undefined) return found.get(holding) as string;
  return present.length > 0 ? "" : undefined;
}
