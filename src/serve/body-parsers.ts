// Bodies by content type, each read within the limits on one body and on all of them.

import type { Readable } from "node:stream";
import type { FastifyInstance, FastifyRequest } from "fastify";
import { HeldBytes, tooLarge } from "./body.js";
import type { ServerContext } from "./context.js";
import { ApiError } from "./errors.js";
import { JsonBodies } from "./json-bodies.js";

const MIB = 1 << 20;
/** A thread parses it in one go: larger pictures come as they are. */
const MAX_JSON = 16 * MIB;

/** The bytes that each request holds until it is answered. */
const held = new WeakMap<FastifyRequest, HeldBytes>();

export function addBodyParsers(app: FastifyInstance, { budget, maxBytes }: ServerContext): void {
  app.removeAllContentTypeParsers();
  // Base64 takes four characters for three bytes; a megabyte for the words.
  const jsonLimit = Math.min(MAX_JSON, Math.ceil((maxBytes / 3) * 4) + MIB);
  const bodies = new JsonBodies();
  app.addHook("onClose", () => bodies.close());
  app.addContentTypeParser("application/json", async (request: FastifyRequest, payload: Readable) =>
    bodies.parse(await readBody(request, payload, jsonLimit), maxBytes),
  );
  app.addContentTypeParser(/^image\//, (request: FastifyRequest, payload: Readable) =>
    readBody(request, payload, maxBytes),
  );
  app.addHook("onRequest", async (request, reply) => {
    const encoding = request.headers["content-encoding"];
    if (encoding !== undefined && encoding !== "identity") {
      throw new ApiError(
        415,
        "content_encoding",
        "packed bodies are not taken; send it as it is, without Content-Encoding",
      );
    }
    const waits = request.headers.expect !== undefined;
    held.set(request, new HeldBytes(budget, () => waits && reply.raw.writeContinue()));
  });
  app.addHook("onResponse", async (request) => held.get(request)?.release());
  // A client that left gets no answer.
  app.addHook("onRequestAbort", async (request) => held.get(request)?.release());
}

async function readBody(
  request: FastifyRequest,
  payload: Readable,
  limit: number,
): Promise<Buffer<ArrayBuffer>> {
  // Refused before it is sent, where the client says how much it will be.
  if (Number(request.headers["content-length"] ?? 0) > limit) throw tooLarge(limit);
  heldBytes(request).ask();
  return heldBytes(request).read(payload, limit);
}

export function heldBytes(request: FastifyRequest): HeldBytes {
  const found = held.get(request);
  if (!found) throw new Error("the request passed no hook");
  return found;
}
