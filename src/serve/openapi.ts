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
  /** A picture may come as multipart or as the body itself. */
  takesPicture?: boolean;
  status?: number;
  answer?: z.ZodType;
  /** Other types than JSON that the Accept header can ask for. */
  images?: readonly string[];
  errors?: readonly number[];
  open?: boolean;
}

const PICTURE_ERRORS = [400, 401, 403, 404, 406, 413, 415, 422, 429, 503, 504];

/** Every endpoint but those of Label Studio's protocol, which has its own documents. */
export const ENDPOINTS: readonly Endpoint[] = [
  {
    method: "post",
    path: "/v1/segment",
    summary: "Give every pixel of a picture one of the words",
    request: schema.segmentRequest,
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
    takesPicture: true,
    answer: schema.classifyResponse,
    errors: PICTURE_ERRORS,
  },
  {
    method: "post",
    path: "/v1/groups",
    summary: "Show how the model groups a picture",
    request: schema.groupsRequest,
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
    takesPicture: true,
    answer: schema.embedResponse,
    errors: PICTURE_ERRORS,
  },
  {
    method: "get",
    path: "/v1/vocabularies",
    summary: "List the vocabularies",
    answer: schema.vocabulariesResponse,
    errors: [401],
  },
  {
    method: "post",
    path: "/v1/vocabularies",
    summary: "Store a vocabulary under a name",
    request: schema.vocabularyRequest,
    status: 201,
    answer: schema.vocabulary,
    errors: [400, 401, 409, 507],
  },
  {
    method: "get",
    path: "/v1/vocabularies/{name}",
    summary: "Show a vocabulary",
    answer: schema.vocabulary,
    errors: [401, 404],
  },
  {
    method: "delete",
    path: "/v1/vocabularies/{name}",
    summary: "Delete a stored vocabulary",
    status: 204,
    errors: [401, 404, 409, 507],
  },
  {
    method: "get",
    path: "/v1/models",
    summary: "Tell about the model",
    answer: schema.modelsResponse,
    errors: [401],
  },
  {
    method: "get",
    path: "/healthz",
    summary: "Whether the server is up",
    answer: schema.statusResponse,
    open: true,
  },
  {
    method: "get",
    path: "/readyz",
    summary: "Whether an engine takes work",
    answer: schema.statusResponse,
    errors: [503],
    open: true,
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
  const { summary, request, takesPicture, answer, images = [], status = 200 } = endpoint;
  const content: Record<string, unknown> = {};
  if (answer) content["application/json"] = { schema: jsonSchema(answer, "output") };
  for (const type of images) content[type] = { schema: { type: "string", format: "binary" } };
  const responses: Record<string, unknown> = {
    [status]: { description: "The answer", ...(answer ? { content } : {}) },
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
    ...(request ? { requestBody: requestBody(request, takesPicture ?? false) } : {}),
    responses,
    security: endpoint.open ? [] : [{ token: [] }, {}],
  };
}

function requestBody(request: z.ZodObject, takesPicture: boolean) {
  const own = jsonSchema(request, "input");
  if (!takesPicture) return { required: true, content: { "application/json": { schema: own } } };
  const file = { type: "string", format: "binary" };
  const form = { ...own, properties: { ...own.properties, picture: file } };
  return {
    required: true,
    description: "image/* takes the other fields in the query.",
    content: {
      "multipart/form-data": { schema: form },
      "application/json": { schema: own },
      "image/*": { schema: file },
    },
  };
}

/** Serves the description under /openapi.json and the page under /docs. */
export async function addDocs(app: FastifyInstance): Promise<void> {
  const document = openApiDocument();
  await app.register(swagger, {
    mode: "static",
    specification: { document: document as never },
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
