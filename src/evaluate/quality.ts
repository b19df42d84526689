// The named presets of test-time options: what docs/test-time-options.md found worth its time.

export const QUALITIES = ["fast", "balanced", "best"] as const;

/**
 * `fast` looks at a smaller picture, `best` looks at every piece again from near and fits borders to
 * the picture's own edges, `balanced` does neither.
 */
export type Quality = (typeof QUALITIES)[number];

/** Share of the usual short side at which `fast` encodes. */
const FAST_SIDE = 0.75;

/** Short side in pixels at which a quality encodes, where `standard` is the usual one. */
export function qualityShortSide(quality: Quality | undefined, standard: number): number {
  return quality === "fast" ? Math.round(FAST_SIDE * standard) : standard;
}

/** Whether a quality looks twice (`zoom` of `EncodeOptions`), which takes a picture of one window. */
export function qualityZooms(
  quality: Quality | undefined,
  mode: "whole" | "slide" = "whole",
): boolean {
  return quality === "best" && mode === "whole";
}

/** Whether a quality refines the label map (`refine` of `SegmentOptions`). */
export function qualityRefines(quality: Quality | undefined): boolean {
  return quality === "best";
}
