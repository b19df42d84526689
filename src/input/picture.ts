// A decoded picture: what every way of reading pictures gives, and what everything after it takes.

/** 8-bit sRGB pixels, rows from the top, three bytes (R, G, B) a pixel, no padding. */
export interface Picture {
  readonly width: number;
  readonly height: number;
  /** `height * width * 3` bytes, row-major, channels last. */
  readonly data: Uint8Array;
}
