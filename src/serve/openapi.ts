// The OpenAPI description, made from the same schemas that check requests, and a page to try it.

import swagger from "@fastify/swagger";
import swaggerUi from "@fastify/swagger-ui";
import type { FastifyInstance } from "fastify";
import * as z from "zod";
import * as schema from "./schema.js";
import { packageVersion } from "./version.js";

const PAGE_POLICY =
  "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; " +
  "object-src 'none'; base-uri 'none'; frame-ancestors 'none'";

interface Endpoint {
  method: "get" | "post" | "delete";
  path: string;
  summary: string;
  /** Of the JSON body. */
  request?: z.ZodObject;
  /** A JSON body that is answered. */
  example?: Readonly<Record<string, unknown>>;
  /** A picture may come as multipart or as the body itself. */
  takesPicture?: boolean;
  status?: number;
  answer?: z.ZodType;
  /** The type of an answer that is text, not JSON. */
  text?: string;
  /** Other types than JSON that the Accept header can ask for. */
  images?: readonly string[];
  errors?: readonly number[];
  open?: boolean;
}

/** Origin, host, rate: what any request may be refused for. */
const OPEN_ERRORS = [403, 421, 429];
const ACCESS_ERRORS = [401, ...OPEN_ERRORS];
const PICTURE_ERRORS = [400, 404, 406, 413, 415, 422, 503, 504, ...ACCESS_ERRORS];

/** Two pixels of sky over two of grass. */
const PICTURE =
  "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAACXBIWXMAAAPoAAAD6AG1e1JrAAAAFElEQVQI" +
  "12Nwa9oCRAxK3UpK3UoAJAcEl62DTd4AAAAASUVORK5CYII=";
const LABELS = "sky, grass";

/** Every endpoint but those of Label Studio's protocol, which has its own documents. */
export const ENDPOINTS: readonly Endpoint[] = [
  {
    method: "post",
    path: "/v1/segment",
    summary: "Give every pixel of a picture one of the words",
    request: schema.segmentRequest,
    example: { picture: PICTURE, labels: LABELS },
    takesPicture: true,
    answer: schema.segmentResponse,
    images: ["image/png; view=mask", "image/png; view=overlay"],
    errors: PICTURE_ERRORS,
  },
  {
    method: "post",
    path: "/v1/classify",
    summary: "Rank words for a picture as a whole",
    request: schema.classifyRequest,
    example: { picture: PICTURE, labels: LABELS },
    takesPicture: true,
    answer: schema.classifyResponse,
    errors: PICTURE_ERRORS,
  },
  {
    method: "post",
    path: "/v1/groups",
    summary: "Show how the model groups a picture",
    request: schema.groupsRequest,
    example: { picture: PICTURE },
    takesPicture: true,
    answer: schema.groupsResponse,
    images: ["image/png"],
    errors: PICTURE_ERRORS,
  },
  {
    method: "post",
    path: "/v1/embed",
    summary: "Embed a picture and texts as vectors whose dot product is their likeness",
    request: schema.embedRequest,
    example: { picture: PICTURE, texts: ["a lawn under a blue sky"] },
    takesPicture: true,
    answer: schema.embedResponse,
    errors: PICTURE_ERRORS,
  },
  {
    method: "get",
    path: "/v1/vocabularies",
    summary: "List the vocabularies",
    answer: schema.vocabulariesResponse,
    errors: ACCESS_ERRORS,
  },
  {
    method: "post",
    path: "/v1/vocabularies",
    summary: "Store a vocabulary under a name",
    request: schema.vocabularyRequest,
    example: { name: "outdoors", labels: ["sky", "grass"] },
    status: 201,
    answer: schema.vocabulary,
    errors: [400, 409, 413, 415, 507, ...ACCESS_ERRORS],
  },
  {
    method: "get",
    path: "/v1/vocabularies/{name}",
    summary: "Show a vocabulary",
    answer: schema.vocabulary,
    errors: [404, ...ACCESS_ERRORS],
  },
  {
    method: "delete",
    path: "/v1/vocabularies/{name}",
    summary: "Delete a stored vocabulary",
    status: 204,
    errors: [404, 409, 507, ...ACCESS_ERRORS],
  },
  {
    method: "get",
    path: "/v1/models",
    summary: "Tell about the model",
    answer: schema.modelsResponse,
    errors: ACCESS_ERRORS,
  },
  {
    method: "get",
    path: "/healthz",
    summary: "Whether the server is up",
    answer: schema.statusResponse,
    errors: OPEN_ERRORS,
    open: true,
  },
  {
    method: "get",
    path: "/readyz",
    summary: "Whether an engine takes work",
    answer: schema.statusResponse,
    errors: [503, ...OPEN_ERRORS],
    open: true,
  },
  {
    method: "get",
    path: "/metrics",
    summary: "Latency by stage, queue, batches, kept pictures and memory, for Prometheus",
    text: "text/plain",
    errors: ACCESS_ERRORS,
  },
];

/** The description of the service. */
export function openApiDocument() {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const endpoint of ENDPOINTS) {
    paths[endpoint.path] = { ...paths[endpoint.path], [endpoint.method]: operation(endpoint) };
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "groupvit",
      version: packageVersion,
      description: "Segments any picture by any words.",
    },
    paths,
    components: {
      securitySchemes: { token: { type: "http", scheme: "bearer" } },
      schemas: { Error: jsonSchema(schema.errorResponse, "output") },
    },
  };
}

const jsonSchema = (type: z.ZodType, io: "input" | "output") => {
  const { $schema: _, ...rest } = z.toJSONSchema(type, { io });
  return rest;
};

function operation(endpoint: Endpoint): Record<string, unknown> {
  const { summary, request, answer, text, images = [], status = 200 } = endpoint;
  const content: Record<string, unknown> = {};
  if (answer) content["application/json"] = { schema: jsonSchema(answer, "output") };
  if (text) content[text] = { schema: { type: "string" } };
  for (const type of images) content[type] = { schema: { type: "string", format: "binary" } };
  const responses: Record<string, unknown> = {
    [status]: { description: "The answer", ...(answer || text ? { content } : {}) },
  };
  for (const error of endpoint.errors ?? []) {
    responses[error] = {
      description: "What is wrong, and the way out",
      content: { "application/json": { schema: { $ref: "#/components/schemas/Error" } } },
    };
  }
  const names = [...endpoint.path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
  return {
    summary,
    parameters: names.map((name) => ({
      name,
      in: "path",
      required: true,
      schema: { type: "string" },
    })),
    ...(request ? { requestBody: requestBody(request, endpoint) } : {}),
    responses,
    security: endpoint.open ? [] : [{ token: [] }, {}],
  };
}

function requestBody(request: z.ZodObject, { takesPicture, example }: Endpoint) {
  const own = jsonSchema(request, "input");
  const json = { schema: own, example };
  if (!takesPicture) return { required: true, content: { "application/json": json } };
  const file = { type: "string", format: "binary" };
  const form = { ...own, properties: { ...own.properties, picture: file } };
  return {
    required: true,
    description: "image/* takes the other fields in the query.",
    content: {
      "multipart/form-data": { schema: form },
      "application/json": json,
      "image/*": { schema: file },
    },
  };
}

/**
 * The description as the page gets it. The page makes up a value for every field of a form, and a request with all
 * of them is refused: fields are empty, and so as good as left out, but for the labels.
 */
function forPage(document: ReturnType<typeof openApiDocument>) {
  const copy = structuredClone(document);
  for (const { path } of ENDPOINTS.filter(({ takesPicture }) => takesPicture)) {
    const { requestBody } = copy.paths[path]!.post as {
      requestBody: { content: Record<string, { schema: { properties: Record<string, object> } }> };
    };
    const { properties } = requestBody.content["multipart/form-data"]!.schema;
    for (const [name, property] of Object.entries(properties)) {
      if (name === "picture") continue;
      Object.assign(property, { examples: [name === "labels" ? LABELS : ""] });
    }
  }
  return copy;
}

/** Serves the description under /openapi.json and the page under /docs. */
export async function addDocs(app: FastifyInstance): Promise<void> {
  const document = openApiDocument();
  await app.register(swagger, {
    mode: "static",
    specification: { document: forPage(document) as never },
  });
  await app.register(async (docs) => {
    docs.addHook("onRoute", (route) => {
      route.config = { ...route.config, open: true };
    });
    docs.get("/openapi.json", async () => document);
    await docs.register(swaggerUi, {
      routePrefix: "/docs",
      staticCSP: PAGE_POLICY,
      // Nothing is asked of other servers.
      uiConfig: { validatorUrl: null },
    });
  });
}
