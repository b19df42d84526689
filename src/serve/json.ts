// JSON of strangers as values.

import { fromBase64 } from "./base64.js";
import { ApiError } from "./errors.js";

/** Brackets, commas and colons, which cost most of the time. Base64 has none, and labels few. */
const MAX_MARKS = 50_000;
const IS_MARK = new Uint8Array(256);
for (const byte of Buffer.from("[{,:")) IS_MARK[byte] = 1;

/**
 * Parses a body. A `picture` of the outermost object is decoded from base64.
 *
 * @param pictureLimit bytes that a picture may have
 * @throws ApiError 400 for what is no JSON or would reach prototypes, 413 for what is too large
 */
export function parseJson(bytes: Uint8Array, pictureLimit: number): unknown {
  checkMarks(bytes);
  const value = parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString());
  if (typeof value !== "object" || value === null) return value;
  const fields = value as { picture?: unknown };
  if (typeof fields.picture === "string") {
    fields.picture = fromBase64(fields.picture, pictureLimit);
  }
  return fields;
}

function checkMarks(json: Uint8Array): void {
  let marks = 0;
  for (let i = 0; i < json.length; i++) marks += IS_MARK[json[i]!]!;
  if (marks <= MAX_MARKS) return;
  throw new ApiError(
    413,
    "too_large",
    `the body has more than ${MAX_MARKS} brackets, commas and colons; give fewer labels`,
  );
}

function parse(text: string): unknown {
  let reaches = false;
  try {
    const value: unknown = JSON.parse(text.replace(/^\ufeff/, ""), (key, inner: unknown) => {
      const deep = key === "constructor" && typeof inner === "object" && inner !== null;
      if (key === "__proto__" || (deep && Object.hasOwn(inner, "prototype"))) reaches = true;
      return inner;
    });
    if (!reaches) return value;
  } catch {
    throw new ApiError(400, "invalid", "the body is no JSON; check its quotes, commas and end");
  }
  throw new ApiError(400, "invalid", "the body has a field __proto__ or prototype; leave it out");
}
