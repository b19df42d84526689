// The endpoints under /v1, and those that watch over the server.

import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { qualityRefines, qualityShortSide, qualityZooms } from "../evaluate/quality.js";
import { contentType, negotiate, type Offer } from "./accept.js";
import { heldBytes } from "./body-parsers.js";
import type { ServerContext } from "./context.js";
import { ApiError } from "./errors.js";
import type { EncodeFields, Work } from "./jobs.js";
import { chooseLabels, type LabelFields } from "./labels.js";
import { type CheckedPicture, findPicture, type PictureFields } from "./picture-request.js";
import { check, jsonBody, readRequest } from "./read-request.js";
import {
  classifyRequest,
  embedRequest,
  groupsRequest,
  type SegmentRequest,
  segmentRequest,
  vocabularyRequest,
} from "./schema.js";

const JSON_OFFER = { name: "json", type: "application/json" } as const;
export const SEGMENT_OFFERS = [
  JSON_OFFER,
  { name: "mask", type: "image/png", view: "mask" },
  { name: "overlay", type: "image/png", view: "overlay" },
] as const;
export const GROUPS_OFFERS = [JSON_OFFER, { name: "png", type: "image/png" }] as const;
/** A header of names; longer ones than clients take are left out. */
const MAX_LABELS_HEADER = 4096;

export function addRoutes(app: FastifyInstance, context: ServerContext): void {
  const { pool, vocabularies, metrics, modelName: name, modelVersion: version } = context;
  const find = (wanted: string) => vocabularies.find(wanted);
  const required = (fields: LabelFields) => {
    const chosen = chooseLabels(fields, find);
    if (chosen) return chosen;
    throw new ApiError(
      400,
      "invalid",
      'labels: none given; say what to look for: "dog, tree, sky"',
    );
  };

  // Refused before the picture is read.
  const queued = { onRequest: async () => pool.checkRoom() };

  app.post("/v1/segment", queued, async (request, reply) => {
    const offer = negotiate(request.headers.accept, SEGMENT_OFFERS);
    const { fields, picture, signal } = await readPicture(request, reply, context, segmentRequest);
    const { labels, options } = required(fields);
    const refine = qualityRefines(fields.quality);
    const work: Work = {
      kind: "segment",
      labels,
      options: { ...options, topK: fields.top_k, refine },
      as: offer.name,
    };
    const encode = encodeFields(fields, pool.facts.shortSide);
    const bytes = await runJob(context, signal, work, needPicture(picture), encode);
    if (offer.name !== "json") nameLabels(reply, labels, options.background !== "none");
    return answer(reply, context, offer, bytes, picture);
  });

  app.post("/v1/classify", queued, async (request, reply) => {
    const offer = negotiate(request.headers.accept, [JSON_OFFER]);
    const { fields, picture, signal } = await readPicture(request, reply, context, classifyRequest);
    const { labels } = required(fields);
    const work: Work = { kind: "classify", labels, prompts: fields.prompts, top: fields.top ?? 5 };
    const bytes = await runJob(context, signal, work, needPicture(picture));
    return answer(reply, context, offer, bytes, picture);
  });

  app.post("/v1/groups", queued, async (request, reply) => {
    const offer = negotiate(request.headers.accept, GROUPS_OFFERS);
    const { fields, picture, signal } = await readPicture(request, reply, context, groupsRequest);
    const labels = chooseLabels(fields, find)?.labels;
    const mode = fields.draw ?? (labels ? "sheet" : "all_groups");
    if (
      offer.name === "png" &&
      !labels &&
      /^(pred|input_pred|input_pred_label|sheet)$/.test(mode)
    ) {
      throw new ApiError(400, "invalid", `draw ${mode}: it shows labels; say which in "labels"`);
    }
    const work: Work = { kind: "groups", mode, labels, prompts: fields.prompts, as: offer.name };
    const bytes = await runJob(context, signal, work, needPicture(picture));
    return answer(reply, context, offer, bytes, picture);
  });

  app.post("/v1/embed", queued, async (request, reply) => {
    const offer = negotiate(request.headers.accept, [JSON_OFFER]);
    const { fields, picture, signal } = await readPicture(request, reply, context, embedRequest);
    const { texts = [] } = fields;
    if (!picture && texts.length === 0) {
      throw new ApiError(400, "invalid", 'nothing to embed; give a picture, or "texts"');
    }
    const bytes = await runJob(context, signal, { kind: "embed", texts }, picture);
    return answer(reply, context, offer, bytes, picture);
  });

  app.get("/v1/vocabularies", async () => ({ vocabularies: vocabularies.list() }));
  app.post("/v1/vocabularies", async (request, reply) => {
    const stored = await vocabularies.set(check(vocabularyRequest, jsonBody(request) ?? {}));
    return reply.code(201).send(stored);
  });
  app.get<{ Params: { name: string } }>("/v1/vocabularies/:name", async ({ params }) =>
    vocabularies.find(params.name),
  );
  app.delete<{ Params: { name: string } }>("/v1/vocabularies/:name", async ({ params }, reply) => {
    await vocabularies.delete(params.name);
    return reply.code(204).send();
  });

  app.get("/v1/models", async () => {
    const { dim, shortSide: short_side, groups } = pool.facts;
    return { models: [{ name, version, dim, short_side, groups, engines: pool.readyEngines }] };
  });
  app.get("/healthz", { config: { open: true } }, async () => ({ status: "up" }));
  app.get("/readyz", { config: { open: true } }, async () => {
    if (pool.readyEngines > 0) return { status: "ready" };
    throw new ApiError(503, "not_ready", "no engine is ready; try again", 1);
  });
  app.get("/metrics", async (_, reply) => {
    void reply.type(metrics.registry.contentType);
    return metrics.registry.metrics();
  });
}

/**
 * How a request wants its picture encoded.
 * @throws ApiError 400 for what goes with no quality
 */
function encodeFields(
  { mode, short_side, quality }: SegmentRequest,
  standard: number,
): EncodeFields {
  if (quality === "fast" && short_side !== undefined) {
    throw new ApiError(
      400,
      "invalid",
      "quality fast: it chooses the short side; leave short_side out",
    );
  }
  // Time grows with the labels that are seen, which one window has few of.
  if (quality === "best" && mode === "slide") {
    throw new ApiError(400, "invalid", "quality best: it takes one window; leave mode out");
  }
  const shortSide = quality === "fast" ? qualityShortSide(quality, standard) : short_side;
  return { mode, shortSide, zoom: qualityZooms(quality, mode) };
}

/** A request's fields and its picture, both checked. */
async function readPicture<Fields extends PictureFields>(
  request: FastifyRequest,
  reply: FastifyReply,
  context: ServerContext,
  schema: Parameters<typeof check<import("zod").ZodType<Fields>>>[0],
): Promise<{ fields: Fields; picture: CheckedPicture | undefined; signal: AbortSignal }> {
  const { sources, tokens, maxBytes } = context;
  const raw = await readRequest(request, heldBytes(request), maxBytes);
  const fields = check(schema, raw.fields);
  const owner = tokens.match(request.headers.authorization);
  const signal = whileWaiting(reply);
  const picture = await findPicture(raw.picture, fields, owner, sources, signal);
  return { fields, picture, signal };
}

function needPicture(picture: CheckedPicture | undefined): CheckedPicture {
  if (picture) return picture;
  throw new ApiError(
    400,
    "no_picture",
    "no picture; send one as image/*, as multipart part or base64 field picture, or a picture_id",
  );
}

/** Fires when the client leaves before it has its answer. */
export function whileWaiting(reply: FastifyReply): AbortSignal {
  const controller = new AbortController();
  const leave = () => {
    if (!reply.raw.writableFinished) {
      controller.abort(new ApiError(499, "left", "the client has left"));
    }
  };
  if (reply.raw.destroyed) leave();
  else reply.raw.on("close", leave);
  return controller.signal;
}

async function runJob(
  { pool, deadline }: ServerContext,
  signal: AbortSignal,
  work: Work,
  picture: CheckedPicture | undefined,
  encode: EncodeFields = {},
): Promise<Uint8Array> {
  return pool.run({
    work,
    picture: picture && { id: picture.id, file: picture.file, bytes: picture.bytes, encode },
    size: picture?.size,
    deadline,
    signal,
  });
}

/** What values of a mask mean, in a header that takes any text. */
function nameLabels(reply: FastifyReply, labels: readonly string[], background: boolean): void {
  const names = background ? ["background", ...labels] : labels;
  const text = names.map(encodeURIComponent).join(",");
  if (text.length <= MAX_LABELS_HEADER) void reply.header("x-labels", text);
}

/** Sends an engine's bytes; to JSON the model and the picture's id are added. */
function answer(
  reply: FastifyReply,
  { modelVersion }: ServerContext,
  offer: Offer,
  bytes: Uint8Array,
  picture: CheckedPicture | undefined,
): FastifyReply {
  // Beside the origin, where pages of others are let in.
  const vary = reply.getHeader("vary");
  void reply.header("vary", vary === undefined ? "accept" : `${vary}, accept`);
  void reply.type(contentType(offer));
  if (offer.name !== "json") {
    void reply.header("x-model", encodeURIComponent(modelVersion));
    if (picture?.id !== undefined) void reply.header("x-picture-id", picture.id);
    return reply.send(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  }
  const tail = JSON.stringify({
    model: modelVersion,
    ...(picture?.id === undefined ? {} : { picture_id: picture.id }),
  });
  // The engine wrote an object with at least one field: its closing brace becomes a comma.
  const head = bytes.subarray(0, bytes.length - 1);
  return reply.send(Buffer.concat([head, Buffer.from(`,${tail.slice(1)}`)]));
}
