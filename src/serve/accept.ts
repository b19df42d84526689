// Content negotiation: the answer that a client likes best among those that an endpoint has.

import { ApiError } from "./errors.js";

/** A form that an answer can take. */
export interface Offer<Name extends string = string> {
  readonly name: Name;
  /** Such as "image/png". */
  readonly type: string;
  /** Parameter that a client names to mean this and no other offer of the type. */
  readonly view?: string;
}

const MAX_LENGTH = 2048;

interface Range {
  type: string;
  view?: string;
  quality: number;
}

/**
 * Picks an offer by an Accept header, as RFC 9110 (12.5.1) has it: the most specific range that fits an
 * offer gives its quality, the first of equals wins.
 *
 * @param offers in the server's order of preference
 * @throws ApiError 406 naming the offers
 */
export function negotiate<Name extends string>(
  accept: string | undefined,
  offers: readonly Offer<Name>[],
): Offer<Name> {
  const ranges = accept === undefined ? [] : parse(accept);
  if (ranges.length === 0) return offers[0]!;
  let best: { offer: Offer<Name>; quality: number } | undefined;
  for (const offer of offers) {
    const quality = qualityOf(offer, ranges);
    if (quality > (best?.quality ?? 0)) best = { offer, quality };
  }
  if (best) return best.offer;
  const names = offers.map(contentType).join(", ");
  throw new ApiError(
    406,
    "not_acceptable",
    `none of the types in Accept is had here; take ${names}`,
  );
}

/** What the Content-Type header says about an answer. */
export function contentType({ type, view }: Offer): string {
  return view === undefined ? type : `${type}; view=${view}`;
}

function parse(accept: string): Range[] {
  return accept
    .slice(0, MAX_LENGTH)
    .split(",")
    .map((part) => {
      const [type = "", ...parameters] = part.split(";").map((text) => text.trim().toLowerCase());
      const range: Range = { type, quality: 1 };
      for (const parameter of parameters) {
        const [name, value = ""] = parameter.split("=").map((text) => text.trim());
        if (name === "q") range.quality = Number(value) >= 0 ? Math.min(1, Number(value)) : 0;
        if (name === "view") range.view = value.replaceAll('"', "");
      }
      return range;
    })
    .filter(({ type }) => type !== "");
}

function qualityOf(offer: Offer, ranges: readonly Range[]): number {
  let quality = 0;
  let most = 0;
  for (const range of ranges) {
    const specific = specificity(offer, range);
    if (specific > most) {
      most = specific;
      quality = range.quality;
    }
  }
  return quality;
}

/** How specifically a range names an offer; 0 where it does not. */
function specificity({ type, view }: Offer, range: Range): number {
  const [kind] = type.split("/");
  if (range.type === "*/*") return 1;
  if (range.type === `${kind}/*`) return 2;
  if (range.type !== type) return 0;
  if (range.view === undefined) return 3;
  return range.view === view ? 4 : 0;
}
