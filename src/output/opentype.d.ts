// The part of opentype.js that is used here; the package brings no types of its own.

declare module "opentype.js" {
  interface Path {
    toPathData(decimals?: number): string;
  }
  interface Glyph {
    /** In font units. */
    readonly advanceWidth: number;
    getPath(x: number, y: number, fontSize: number): Path;
  }
  interface Font {
    readonly unitsPerEm: number;
    /** The glyph of the first character of `text`; the empty box when the font has none. */
    charToGlyph(text: string): Glyph;
  }
  const opentype: { parse(buffer: ArrayBuffer, options?: { lowMemory?: boolean }): Font };
  export default opentype;
  export type { Font };
}
