// Composes annotation files from the results of chunks, in the order of the index, while the engine is
// still at work on later ones. Growing documents are written aside and renamed at the end.

import { createReadStream } from "node:fs";
import { type FileHandle, open, readFile, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { ANNOTATION_FORMATS } from "../annotate/formats.js";
import type {
  AnnotationFormat,
  AnnotationFormatName,
  AnnotationOptions,
  AnnotationPiece,
  AnnotationWriter,
} from "../annotate/index.js";
import { makeFolder, writeFileAtomic } from "../atomic.node.js";
import { InputError } from "../errors.js";
import type { FailedRecord, LabelRecord } from "./record.js";
import { resultOf } from "./record.js";
import type { PictureReference } from "./reference.js";

/** Bytes of a growing document that are kept before they are written. */
const BUFFER_BYTES = 1 << 18;
/** Whole files that are written at a time. */
const WRITES = 8;

/** A part of a growing document. */
class Section {
  private waiting: (Uint8Array | string)[] = [];
  private bytes = 0;

  constructor(
    readonly path: string,
    private readonly file: FileHandle,
  ) {}

  async append(content: Uint8Array | string): Promise<void> {
    this.waiting.push(content);
    this.bytes += content.length;
    if (this.bytes >= BUFFER_BYTES) await this.flush();
  }

  async close(): Promise<void> {
    await this.flush();
    await this.file.sync();
    await this.file.close();
  }

  private async flush(): Promise<void> {
    const parts = this.waiting.map((content) =>
      typeof content === "string" ? Buffer.from(content) : content,
    );
    this.waiting = [];
    this.bytes = 0;
    await this.file.appendFile(Buffer.concat(parts));
  }
}

/** Files below a folder, in pieces. */
export class Output {
  private readonly documents = new Map<string, Map<number, Section>>();
  private readonly folders = new Set<string>();
  private readonly writing = new Set<Promise<void>>();
  private failure: Error | undefined;
  private sections = 0;

  /** @param aside folder for what is not complete yet; what is in it is removed */
  constructor(
    private readonly folder: string,
    private readonly aside: string,
  ) {}

  async begin(): Promise<void> {
    await rm(this.aside, { recursive: true, force: true });
    await makeFolder(this.aside);
  }

  async write({ path, section, content }: AnnotationPiece): Promise<void> {
    if (section !== undefined) {
      await (await this.section(path, section)).append(content);
      return;
    }
    if (this.failure) throw this.failure;
    while (this.writing.size >= WRITES) await Promise.race(this.writing);
    const one = this.writeWhole(join(this.folder, path), content)
      .catch((error: Error) => {
        this.failure ??= error;
      })
      .finally(() => this.writing.delete(one));
    this.writing.add(one);
  }

  /** Puts the documents in their places. */
  async end(): Promise<void> {
    await Promise.all(this.writing);
    if (this.failure) throw this.failure;
    for (const [path, sections] of this.documents) {
      const ordered = [...sections].sort(([a], [b]) => a - b).map(([, section]) => section);
      for (const section of ordered) await section.close();
      const [first, ...rest] = ordered;
      for (const section of rest) await appendFileTo(first!.path, section.path);
      await this.makeFolder(dirname(join(this.folder, path)));
      await rename(first!.path, join(this.folder, path));
    }
    await rm(this.aside, { recursive: true, force: true });
  }

  private async section(path: string, number: number): Promise<Section> {
    const sections = this.documents.get(path) ?? new Map<number, Section>();
    this.documents.set(path, sections);
    const known = sections.get(number);
    if (known) return known;
    const own = join(this.aside, `${this.sections++}`);
    const section = new Section(own, await open(own, "wx"));
    sections.set(number, section);
    return section;
  }

  /** What is there with the same bytes stays as it is: most of a run that is repeated. */
  private async writeWhole(path: string, content: Uint8Array | string): Promise<void> {
    const bytes = typeof content === "string" ? Buffer.from(content) : content;
    const there = await readFile(path).catch(() => undefined);
    if (there?.equals(bytes)) return;
    await this.makeFolder(dirname(path));
    await writeFileAtomic(path, bytes, this.aside);
  }

  private async makeFolder(folder: string): Promise<void> {
    if (this.folders.has(folder)) return;
    await makeFolder(folder);
    this.folders.add(folder);
  }
}

async function appendFileTo(path: string, part: string): Promise<void> {
  const file = await open(path, "a");
  try {
    for await (const bytes of createReadStream(part, { highWaterMark: 1 << 20 })) {
      await file.appendFile(bytes as Buffer);
    }
    await file.sync();
  } finally {
    await file.close();
  }
}

/** What polygons keep of the masks: the mean IoU over all labels with pixels. */
export interface FormatSummary {
  readonly format: AnnotationFormatName;
  /** Absent where nothing is lost. */
  readonly iou?: number;
}

interface OpenFormat {
  readonly name: AnnotationFormatName;
  readonly writer: AnnotationWriter;
  iouSum: number;
  iouCount: number;
}

/** Turns records into the files of every format asked for. */
export class Composer {
  private readonly formats: OpenFormat[];

  constructor(
    private readonly output: Output,
    formats: readonly AnnotationFormatName[],
    private readonly labels: readonly string[],
    options: AnnotationOptions,
  ) {
    this.formats = formats.map((name) => {
      const format: AnnotationFormat = ANNOTATION_FORMATS[name];
      return { name, writer: format.open(labels, options), iouSum: 0, iouCount: 0 };
    });
  }

  /** @returns what a format could not hold */
  async add({ file, name }: PictureReference, record: LabelRecord): Promise<FailedRecord[]> {
    const known = resultOf(record, this.labels);
    const refused: FailedRecord[] = [];
    for (const format of this.formats) {
      try {
        const { pieces, iou } = format.writer.add({ file, name, ...known });
        for (const piece of pieces) await this.output.write(piece);
        for (const [label] of iou ? record.masks : []) {
          format.iouSum += iou![label]!;
          format.iouCount++;
        }
      } catch (error) {
        if (!(error instanceof InputError)) throw error;
        refused.push({ name, error: `${format.name}: ${error.message}` });
      }
    }
    return refused;
  }

  async end(): Promise<FormatSummary[]> {
    for (const { writer } of this.formats) {
      for (const piece of writer.end()) await this.output.write(piece);
    }
    return this.formats.map(({ name, iouSum, iouCount }) =>
      iouCount === 0 ? { format: name } : { format: name, iou: iouSum / iouCount },
    );
  }
}
