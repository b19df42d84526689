// A request in any of its forms (JSON, multipart, a bare picture with a query) as its fields and bytes.

import type { FastifyRequest } from "fastify";
import type * as z from "zod";
import { type HeldBytes, tooLarge } from "./body.js";
import { ApiError } from "./errors.js";
import { explain } from "./explain.js";

/** What a request said, before it is checked. */
export interface RawRequest {
  fields: Record<string, unknown>;
  picture?: Uint8Array;
}

/** Fields that are lists where they come more than once, or as `name[]`. */
const LISTS = new Set(["labels", "background_words", "texts"]);
const NUMBERS = new Set(["threshold", "short_side", "top_k", "top"]);
const MAX_FIELD_BYTES = 1 << 20;
const MAX_FIELDS = 2048;

/** Reads the body by its content type. */
export async function readRequest(
  request: FastifyRequest,
  held: HeldBytes,
  limit: number,
): Promise<RawRequest> {
  if (request.isMultipart()) return readMultipart(request, held, limit);
  const { body } = request;
  if (body instanceof Uint8Array) return { fields: fromTexts(queryTexts(request)), picture: body };
  if (typeof body !== "object" || body === null || Array.isArray(body)) {
    throw new ApiError(
      400,
      "invalid",
      "the body is no JSON object; send one, multipart/form-data, or a picture as image/*",
    );
  }
  const { picture, ...fields } = body as Record<string, unknown>;
  if (picture instanceof Uint8Array) return { fields, picture };
  return { fields: body as Record<string, unknown> };
}

/**
 * The body of a request that brings no picture.
 * @throws ApiError 415 for a form or a picture, whose bytes no schema shall take for fields
 */
export function jsonBody(request: FastifyRequest): unknown {
  if (!request.isMultipart() && !(request.body instanceof Uint8Array)) return request.body;
  throw new ApiError(415, "content_type", "the body is no JSON; send application/json");
}

async function readMultipart(
  request: FastifyRequest,
  held: HeldBytes,
  limit: number,
): Promise<RawRequest> {
  try {
    return await readParts(request, held, limit);
  } catch (error) {
    // Or it would go on to collect parts that nobody reads.
    request.raw.unpipe();
    throw formError(error as Error & { code?: string });
  }
}

/** What the parser of forms says, for clients. */
function formError(error: Error & { code?: string }): Error {
  if (error instanceof ApiError) return error;
  if (error.code === "FST_FILES_LIMIT") {
    return new ApiError(
      413,
      "too_large",
      "the form has more than one file; send one picture in each request",
    );
  }
  if (error.code === "FST_PARTS_LIMIT" || error.code === "FST_FIELDS_LIMIT") {
    return new ApiError(
      413,
      "too_large",
      `the form has more than ${MAX_FIELDS} fields; give labels in one field`,
    );
  }
  if (error.code !== undefined) return error;
  return new ApiError(
    400,
    "invalid",
    "the form is damaged or cut short; send multipart/form-data with its boundary, as curl -F does",
  );
}

async function readParts(
  request: FastifyRequest,
  held: HeldBytes,
  limit: number,
): Promise<RawRequest> {
  const texts: [string, string][] = queryTexts(request);
  let textBytes = 0;
  let picture: Buffer | undefined;
  held.ask();
  const parts = request.parts({
    limits: {
      files: 1,
      fields: MAX_FIELDS,
      parts: MAX_FIELDS + 1,
      fieldSize: MAX_FIELD_BYTES,
      fieldNameSize: 100,
      headerPairs: 100,
      fileSize: limit,
    },
  });
  for await (const part of parts) {
    if (part.type === "field") {
      const text = String(part.value);
      held.take(text.length);
      textBytes += text.length;
      if (part.valueTruncated || textBytes > MAX_FIELD_BYTES) throw tooManyTexts();
      // Pages send what nobody filled in as well. A part may come without a name, whatever its type says.
      if (text !== "") texts.push([part.fieldname ?? "", text]);
      continue;
    }
    if (part.fieldname !== "picture") {
      throw new ApiError(
        400,
        "invalid",
        'a file in another part than "picture"; send it there, as in curl -F picture=@park.jpg',
      );
    }
    picture = await held.read(part.file, limit);
    if (part.file.truncated) throw tooLarge(limit);
    texts.unshift(["file", part.filename]);
  }
  return { fields: fromTexts(texts), picture };
}

const tooManyTexts = () =>
  new ApiError(
    413,
    "too_large",
    `the fields of the form have more than ${MAX_FIELD_BYTES} characters; give fewer labels`,
  );

function queryTexts(request: FastifyRequest): [string, string][] {
  const query = request.query as Record<string, string | string[]>;
  return Object.entries(query).flatMap(([name, value]) =>
    (Array.isArray(value) ? value : [value]).map((text): [string, string] => [name, text]),
  );
}

/** Texts of a form or a query as the values that JSON would have had; the last of doubles counts. */
function fromTexts(texts: readonly (readonly [string, string])[]): Record<string, unknown> {
  const fields = new Map<string, unknown>();
  for (const [key, text] of texts) {
    const name = key.replace(/\[\]$/, "");
    const before = fields.get(name);
    if (LISTS.has(name) && Array.isArray(before)) before.push(text);
    else if (LISTS.has(name) && before !== undefined) fields.set(name, [before, text]);
    else if (LISTS.has(name) && (key !== name || name === "texts")) fields.set(name, [text]);
    else if (NUMBERS.has(name)) fields.set(name, toNumber(text));
    else if (name === "keep") fields.set(name, toBoolean(text));
    else fields.set(name, text);
  }
  return Object.fromEntries(fields);
}

/** What is no number stays as it is, for the message. */
function toNumber(text: string): number | string {
  const value = text.trim() === "" ? Number.NaN : Number(text);
  return Number.isNaN(value) ? text : value;
}

function toBoolean(text: string): boolean | string {
  if (["true", "1", ""].includes(text)) return true;
  return ["false", "0"].includes(text) ? false : text;
}

/**
 * Checks fields against a schema.
 * @throws ApiError 400 naming the first field that is wrong
 */
export function check<Schema extends z.ZodType>(schema: Schema, fields: unknown): z.infer<Schema> {
  const result = schema.safeParse(fields, { reportInput: true });
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  const path = issue.path.map(String).join(".");
  const message = explain(issue).replaceAll("; ", ", ").slice(0, 300);
  throw new ApiError(
    400,
    "invalid",
    `${path === "" ? "the request" : path.slice(0, 100)}: ${message}; /docs has the fields`,
  );
}
