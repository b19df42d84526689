// Bodies by content type, each read within the limits on one body and on all of them.

import type { Readable } from "node:stream";
import type { FastifyInstance, FastifyRequest } from "fastify";
import { HeldBytes, tooLarge } from "./body.js";
import type { ServerContext } from "./context.js";
import { ApiError } from "./errors.js";

const MIB = 1 << 20;
/** JSON is parsed in one go, and nobody else is served meanwhile: larger pictures come as they are. */
const MAX_JSON = 16 * MIB;
/** Brackets, commas and colons, which cost most of that time. Base64 has none, and labels few. */
const MAX_MARKS = 50_000;
const IS_MARK = new Uint8Array(256);
for (const byte of Buffer.from("[{,:")) IS_MARK[byte] = 1;

/** The bytes that each request holds until it is answered. */
const held = new WeakMap<FastifyRequest, HeldBytes>();

export function addBodyParsers(app: FastifyInstance, { budget, maxBytes }: ServerContext): void {
  app.removeAllContentTypeParsers();
  const parseJson = app.getDefaultJsonParser("error", "error");
  // Base64 takes four characters for three bytes; a megabyte for the words.
  const jsonLimit = Math.min(MAX_JSON, Math.ceil((maxBytes / 3) * 4) + MIB);
  app.addContentTypeParser(
    "application/json",
    async (request: FastifyRequest, payload: Readable) => {
      const bytes = await readBody(request, payload, jsonLimit);
      checkMarks(bytes);
      const text = bytes.toString("utf8");
      return new Promise((resolve, reject) => {
        parseJson(request, text, (error, body) => (error ? reject(error) : resolve(body)));
      });
    },
  );
  app.addContentTypeParser(/^image\//, (request: FastifyRequest, payload: Readable) =>
    readBody(request, payload, maxBytes),
  );
  app.addHook("onRequest", async (request) => {
    const encoding = request.headers["content-encoding"];
    if (encoding !== undefined && encoding !== "identity") {
      throw new ApiError(
        415,
        "content_encoding",
        "packed bodies are not taken; send it as it is, without Content-Encoding",
      );
    }
    held.set(request, new HeldBytes(budget));
  });
  app.addHook("onResponse", async (request) => held.get(request)?.release());
  // A client that left gets no answer.
  app.addHook("onRequestAbort", async (request) => held.get(request)?.release());
}

function checkMarks(json: Buffer): void {
  let marks = 0;
  for (let i = 0; i < json.length; i++) marks += IS_MARK[json[i]!]!;
  if (marks <= MAX_MARKS) return;
  throw new ApiError(
    413,
    "too_large",
    `the body has more than ${MAX_MARKS} brackets, commas and colons; give fewer labels`,
  );
}

async function readBody(
  request: FastifyRequest,
  payload: Readable,
  limit: number,
): Promise<Buffer> {
  // Refused before it is sent, where the client says how much it will be.
  if (Number(request.headers["content-length"] ?? 0) > limit) throw tooLarge(limit);
  return heldBytes(request).read(payload, limit);
}

export function heldBytes(request: FastifyRequest): HeldBytes {
  const found = held.get(request);
  if (!found) throw new Error("the request passed no hook");
  return found;
}
