// Labels as people see them. A label may be any string: what a terminal or a picture cannot show, or
// what would disturb it, is taken out before it is measured, cut and written.

/** Nothing in a picture or a table has room for more; measuring stops here. */
const MAX_CHARACTERS = 200;

/**
 * One line of visible text: control characters (terminal escapes among them), invisible format
 * characters (such as direction overrides) and lone surrogates go, white space collapses. At most
 * 200 characters; "(empty)" when nothing is left.
 */
export function cleanLabel(label: string): string {
  const visible = label
    .slice(0, 8 * MAX_CHARACTERS)
    .normalize("NFC")
    .replace(/[\s\p{Zl}\p{Zp}]+/gu, " ")
    .replace(/[\p{Cc}\p{Cf}\p{Cs}]/gu, "")
    .trim();
  const cut = shorten(visible, MAX_CHARACTERS, () => 1);
  return cut === "" ? "(empty)" : cut;
}

/**
 * The text, or as much of its beginning as fits in `limit` together with an ellipsis.
 * @param measure size of one character (code point), in the unit of `limit`
 */
export function shorten(
  text: string,
  limit: number,
  measure: (character: string) => number,
): string {
  const ellipsis = measure("…");
  let size = 0;
  let fits = 0; // length of the longest beginning that leaves room for the ellipsis
  let at = 0;
  for (const character of text) {
    size += measure(character);
    if (size > limit) return `${text.slice(0, fits).trimEnd()}…`;
    at += character.length;
    if (size + ellipsis <= limit) fits = at;
  }
  return text;
}

/** Share of a picture as text: "37.4%", "<0.1%" for less than half a thousandth. */
export function percent(share: number): string {
  return share > 0 && share < 0.0005 ? "<0.1%" : `${(share * 100).toFixed(1)}%`;
}
