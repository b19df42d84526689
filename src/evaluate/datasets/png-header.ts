// The first bytes of a PNG file: what can be known of a mask before it is decoded.

export interface PngHeader {
  readonly width: number;
  readonly height: number;
  /** Bits a sample. */
  readonly depth: number;
  /** 0 grey, 2 RGB, 3 palette, 4 grey with alpha, 6 RGB with alpha. */
  readonly colourType: number;
  readonly interlaced: boolean;
}

/** Bytes that `pngHeader` needs. */
export const PNG_HEADER_BYTES = 33;

/** The header that a PNG file begins with; undefined where the bytes are something else. */
export function pngHeader(bytes: Uint8Array): PngHeader | undefined {
  if (bytes.length < PNG_HEADER_BYTES) return undefined;
  const start = String.fromCharCode(...bytes.subarray(0, 16));
  if (start !== "\x89PNG\r\n\x1a\n\0\0\0\rIHDR") return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return {
    width: view.getUint32(16),
    height: view.getUint32(20),
    depth: bytes[24]!,
    colourType: bytes[25]!,
    interlaced: bytes[28] === 1,
  };
}

/** Whether the pixels are stored as colours rather than as palette indices or grey values. */
export function isColour({ colourType }: PngHeader): boolean {
  return colourType === 2 || colourType === 6;
}
