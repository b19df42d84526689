// A JSON document with one long list, in pieces.

import type { AnnotationPiece } from "./formats.js";

/** Entries with commas between them, something before the first and something after the last. */
export class JsonList {
  private entries = 0;

  constructor(
    private readonly path: string,
    private readonly section: number,
    private readonly before: string,
  ) {}

  add(entry: unknown): AnnotationPiece {
    const lead = this.entries++ === 0 ? `${this.before}\n` : ",\n";
    return this.piece(`${lead}${JSON.stringify(entry)}`);
  }

  end(after: string): AnnotationPiece {
    return this.piece(this.entries === 0 ? `${this.before}${after}` : `\n${after}`);
  }

  private piece(content: string): AnnotationPiece {
    return { path: this.path, section: this.section, content };
  }
}
