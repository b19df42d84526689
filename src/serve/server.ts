// The HTTP service: pictures and words in, masks out; see docs/serve.md.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { availableParallelism } from "node:os";
import { basename, join } from "node:path";
import cors from "@fastify/cors";
import helmet from "@fastify/helmet";
import multipart from "@fastify/multipart";
import rateLimit from "@fastify/rate-limit";
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import { type Logger, pino } from "pino";
import { InputError } from "../errors.js";
import { cacheFolder } from "../segment/word-store.node.js";
import { checkOrigin, isLoopback, Tokens } from "./auth.js";
import { BodyBudget } from "./body.js";
import { addBodyParsers } from "./body-parsers.js";
import { EnginePool } from "./engine-pool.js";
import { ApiError, errorBody, toApiError } from "./errors.js";
import { ExpiringCache } from "./expiring-cache.js";
import { pictureFetcher } from "./fetch-picture.js";
import { addLabelStudio } from "./label-studio.js";
import { addNotFound } from "./methods.js";
import { Metrics } from "./metrics.js";
import { addDocs } from "./openapi.js";
import type { ServeOptions } from "./options.js";
import type { KeptPicture } from "./picture-request.js";
import { RateStore } from "./rate-store.js";
import { addRoutes } from "./routes.js";
import { inTurns } from "./turns.js";
import { packageVersion } from "./version.js";
import { Vocabularies } from "./vocabularies.js";

const MIB = 1 << 20;
/** Memory for bodies that are being received or wait. */
const MAX_BODIES = 512 * MIB;
const MAX_CONNECTIONS = 4096;
/** Over one connection, one after another. */
const MAX_REQUESTS = 10_000;
/** Milliseconds. */
const HEADERS_TIMEOUT = 10_000;
const REQUEST_TIMEOUT = 60_000;
const KEEP_ALIVE = 10_000;
const CHECK_INTERVAL = 2_000;
const SWEEP_INTERVAL = 50;
const LINGER = 2_000;

export interface RunningServer {
  /** Such as "http://127.0.0.1:8080". */
  readonly url: string;
  readonly app: FastifyInstance;
  readonly pool: EnginePool;
  /** Stops accepting, answers what was taken (for `deadline` at most), ends the engines. */
  close(): Promise<void>;
}

/**
 * Starts a server.
 *
 * @throws InputError for a host that others reach without a token, an address that is taken, and what
 *   is wrong with the model
 */
export async function startServer(options: ServeOptions = {}): Promise<RunningServer> {
  const { host = "127.0.0.1", port = 8080, deadline = 30_000, tokens: given = [] } = options;
  const tokens = new Tokens(checkTokens(given));
  if (!isLoopback(host) && !tokens.required) {
    throw new InputError(
      `--host ${host}: others reach this server there; give it a token, in GROUPVIT_TOKEN or with --token`,
    );
  }
  const log = pino({ level: options.logLevel ?? "info", base: null }, pino.destination(2));
  const metrics = new Metrics();
  const pool = startPool(options, metrics, log);
  const state = options.state ?? join(cacheFolder(), "serve");
  const app = createApp(options, tokens, log, metrics);
  try {
    const vocabularies = await Vocabularies.open(state);
    const kept = new ExpiringCache<KeptPicture>({
      count: 10_000,
      bytes: options.keepBytes ?? 256 * MIB,
      lifetime: options.keepFor ?? 600_000,
    });
    metrics.watch(pool, kept);
    const { maxPixels, maxBytes } = limits(options);
    const fetch = pictureFetcher(options, maxBytes, deadline);
    const context = {
      pool,
      tokens,
      vocabularies,
      metrics,
      sources: { maxPixels, kept, fetch },
      budget: new BodyBudget(MAX_BODIES),
      maxBytes,
      deadline,
      modelName: modelName(options.model),
      modelVersion: `groupvit-${packageVersion} ${modelName(options.model)}`,
    };
    addBodyParsers(app, context);
    await addSecurity(app, options, tokens);
    await addDocs(app);
    addRoutes(app, context);
    await addLabelStudio(app, context, state, options);
    await pool.start();
    const url = await listen(app, host, port);
    return {
      url,
      app,
      pool,
      async close() {
        // What does not end by itself is cut off: a client that never reads its answer, for one.
        const cut = setTimeout(() => app.server.closeAllConnections(), deadline);
        // Connections that a client keeps open become idle when it has its last answer.
        const sweep = setInterval(() => app.server.closeIdleConnections(), SWEEP_INTERVAL);
        await app.close();
        clearTimeout(cut);
        clearInterval(sweep);
        pool.close();
      },
    };
  } catch (error) {
    pool.close();
    await app.close();
    throw error;
  }
}

/** What answers and metrics call the model: never a path of this machine. */
function modelName(model: string | undefined): string {
  return model === undefined ? "bundled" : basename(model);
}

function checkTokens(tokens: readonly string[]): readonly string[] {
  for (const token of tokens) {
    if (!/^[\x21-\x7e]{16,256}$/.test(token)) {
      throw new InputError(
        "--token: a token has 16 to 256 letters, digits and signs without spaces; make one with " +
          "`openssl rand -hex 24`",
      );
    }
  }
  return tokens;
}

function limits({ maxPixels = 40_000_000, maxBytes = 32 * MIB }: ServeOptions) {
  return { maxPixels, maxBytes };
}

function startPool(options: ServeOptions, metrics: Metrics, log: Logger): EnginePool {
  const { processes = availableParallelism(), threads = 1, batch = 1, queue = 128 } = options;
  const { model, device, dtype, keepBytes = 256 * MIB, keepFor = 600_000 } = options;
  const { maxPixels } = limits(options);
  return new EnginePool(
    { model, device, dtype, threads, maxPixels, keepBytes, keepFor, processes, queue, batch },
    metrics.observer({
      crash: (how) => log.warn(how),
      defect: (stack) => log.error({ stack }, "a request failed"),
    }),
  );
}

function createApp(
  options: ServeOptions,
  tokens: Tokens,
  log: Logger,
  metrics: Metrics,
): FastifyInstance {
  const fail = (error: unknown, request: FastifyRequest, reply: FastifyReply) => {
    const known = toApiError(error);
    if (known.status === 500) log.error({ err: error, route: routeOf(request) }, "a defect");
    if (known.retryAfter !== undefined) void reply.header("retry-after", known.retryAfter);
    if (known.status === 401) void reply.header("www-authenticate", "Bearer");
    void reply.code(known.status).type("application/json").send(errorBody(known));
  };
  const app = Fastify({
    logger: false,
    frameworkErrors: fail,
    clientErrorHandler: refuseBrokenHttp,
    bodyLimit: Math.ceil((limits(options).maxBytes / 3) * 4) + MIB,
    forceCloseConnections: "idle",
    serverFactory: listener,
    routerOptions: { maxParamLength: 100 },
    exposeHeadRoutes: true,
  });
  app.setErrorHandler(fail);
  addNotFound(app);
  // Fastify closes the connection of a body that it refused. While the client still sends, its system answers that
  // with a reset, and the client would never read why.
  app.addHook("onSend", async (request, reply) => {
    if (!request.raw.complete) reply.removeHeader("connection");
  });
  // The log never has words, pictures, tokens or addresses: only the route's pattern.
  app.addHook("onResponse", async (request, reply) => {
    linger(request);
    metrics.answered(routeOf(request), reply.statusCode, reply.elapsedTime / 1000);
    log.info({
      id: request.id,
      method: request.method,
      route: routeOf(request),
      status: reply.statusCode,
      ms: Math.round(reply.elapsedTime),
      token: tokens.match(request.headers.authorization),
    });
  });
  return app;
}

function listener(handler: (request: IncomingMessage, response: ServerResponse) => void): Server {
  const limits = {
    headersTimeout: HEADERS_TIMEOUT,
    requestTimeout: REQUEST_TIMEOUT,
    keepAliveTimeout: KEEP_ALIVE,
    connectionsCheckingInterval: CHECK_INTERVAL,
  };
  const inTurn = inTurns(handler);
  const server = createServer(limits, inTurn);
  // Whoever waits with a body is asked for it when it is wanted, and keeps it where the request is refused.
  server.on("checkContinue", inTurn);
  server.maxConnections = MAX_CONNECTIONS;
  server.maxRequestsPerSocket = MAX_REQUESTS;
  return server;
}

/**
 * A body that was refused is taken for a moment and forgotten, so that the client gets to read its answer;
 * who still sends then is cut off.
 */
function linger({ raw }: FastifyRequest): void {
  if (raw.complete) return;
  raw.resume();
  setTimeout(() => {
    if (!raw.complete) raw.socket.destroy();
  }, LINGER).unref();
}

/** What is no HTTP, or comes too slowly, is answered in the same form. */
function refuseBrokenHttp(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === "ECONNRESET" || !socket.writable) {
    socket.destroy();
    return;
  }
  const slow = error.code === "ERR_HTTP_REQUEST_TIMEOUT";
  const large = error.code === "HPE_HEADER_OVERFLOW";
  const status = slow ? "408 Request Timeout" : large ? "431 Headers Too Large" : "400 Bad Request";
  const message = slow
    ? "the request comes too slowly; send it faster"
    : large
      ? "the headers are too large; shorten them"
      : "this is no HTTP request; check the client";
  const body = JSON.stringify(errorBody({ code: "http", message }));
  socket.end(
    `HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-type: application/json\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}

const routeOf = (request: FastifyRequest): string => request.routeOptions.url ?? "unknown";

async function addSecurity(
  app: FastifyInstance,
  options: ServeOptions,
  tokens: Tokens,
): Promise<void> {
  const origins = options.allowOrigins ?? [];
  await app.register(helmet, {
    // Answers are data; the page under /docs brings its own policy.
    contentSecurityPolicy: {
      useDefaults: false,
      directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] },
    },
    // Whoever ends TLS before this server says this.
    strictTransportSecurity: false,
  });
  if (origins.length > 0) {
    await app.register(cors, {
      origin: [...origins],
      methods: ["GET", "POST", "DELETE"],
      exposedHeaders: ["retry-after", "x-labels", "x-picture-id", "x-model"],
    });
  }
  await app.register(rateLimit, {
    global: true,
    max: options.rate ?? 6000,
    timeWindow: "1 minute",
    store: RateStore,
    // Without tokens only this machine asks, and the queue is the limit.
    allowList: () => !tokens.required && options.rate === undefined,
    keyGenerator: (request) =>
      String(tokens.match(request.headers.authorization) ?? `from ${request.ip}`),
    errorResponseBuilder: (_, { ttl }) =>
      new ApiError(
        429,
        "rate",
        "too many requests in this minute; try again after the seconds in Retry-After",
        Math.max(1, Math.ceil(ttl / 1000)),
      ),
  });
  await app.register(multipart, { throwFileSizeLimit: false });
  app.addHook("onRequest", async (request) => {
    checkOrigin(request, tokens.required, origins);
    if (!request.routeOptions.config.open) tokens.check(request);
  });
}

async function listen(app: FastifyInstance, host: string, port: number): Promise<string> {
  try {
    return await app.listen({ host, port });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    throw new InputError(
      `--host ${host} --port ${port}: cannot be listened on (${code}); choose another, or --port 0`,
    );
  }
}

declare module "fastify" {
  interface FastifyContextConfig {
    /** Answers without a token. */
    open?: boolean;
  }
}
