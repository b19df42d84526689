// Label Studio's protocol for ML backends: it sets a project up, then asks for predictions of tasks.

import { join } from "node:path";
import type { FastifyInstance } from "fastify";
import * as z from "zod";
import { fromBase64 } from "./base64.js";
import type { ServerContext } from "./context.js";
import { ApiError, toApiError } from "./errors.js";
import type { FetchPicture } from "./fetch-picture.js";
import { type LabelConfig, readLabelConfig } from "./label-config.js";
import { uploadsFetcher } from "./label-studio-uploads.js";
import { checkLabels, chooseLabels } from "./labels.js";
import type { ServeOptions } from "./options.js";
import { findPicture } from "./picture-request.js";
import { check, jsonBody } from "./read-request.js";
import { whileWaiting } from "./routes.js";
import { backgroundFields } from "./schema.js";
import { Store } from "./store.js";

const MAX_PROJECTS = 1000;
const MAX_TASKS = 1000;
/** What is wrong with one task's picture alone. */
const NOT_THE_OTHERS = new Set([400, 403, 413, 415, 422]);

/** What a project may set as extra parameters of its backend. */
const extraParams = z.object({
  ...backgroundFields,
  prompts: z.enum(["simple", "subset", "full"]).optional(),
  top_k: z.int().min(1).max(100_000).optional(),
});

const project = z.object({
  config: z.object({
    fromName: z.string(),
    toName: z.string(),
    field: z.string(),
    labels: z.array(
      z.object({ name: z.string(), words: z.string(), fromName: z.string().optional() }),
    ),
  }),
  extra: extraParams,
});
type Project = z.infer<typeof project>;

const projectName = z.union([z.string().max(200), z.number()]).transform(String);

const setupRequest = z.object({
  project: projectName,
  schema: z.string(),
  extra_params: z.unknown().optional(),
});

const predictRequest = z.object({
  tasks: z
    .array(z.object({ data: z.record(z.string(), z.unknown()) }))
    .min(1)
    .max(MAX_TASKS),
  project: projectName.nullish(),
  label_config: z.string().nullish(),
});

export async function addLabelStudio(
  app: FastifyInstance,
  context: ServerContext,
  folder: string,
  options: ServeOptions,
): Promise<void> {
  const { pool, modelVersion, deadline, maxBytes, tokens, sources } = context;
  const projects = await Store.open(join(folder, "label-studio.json"), project, MAX_PROJECTS);
  const fetch = uploadsFetcher(options, maxBytes, deadline) ?? sources.fetch;
  const up = { status: "UP", model_class: "GroupViT", model_version: modelVersion };
  const versions = async () => ({ versions: [modelVersion] });

  app.get("/", { config: { open: true } }, async () => up);
  app.get("/health", { config: { open: true } }, async () => up);
  app.get("/versions", versions);
  app.post("/versions", versions);
  // The model does not learn from annotations: it only says that it heard.
  app.post("/webhook", async (_, reply) => reply.code(201).send({ status: "ok" }));

  app.post("/setup", async (request) => {
    const fields = check(setupRequest, jsonBody(request));
    const config = readConfig(fields.schema);
    const { extra_params: extra } = check(z.object({ extra_params: extraParams }), {
      extra_params: readExtra(fields.extra_params),
    });
    labelsOf({ config, extra });
    await projects.set(fields.project, { config, extra }, true);
    return { model_version: modelVersion };
  });

  app.post("/predict", async (request, reply) => {
    const fields = check(predictRequest, jsonBody(request));
    const known = fields.project ? projects.get(fields.project) : undefined;
    // What comes with the request is newer than what was set up.
    const config = fields.label_config ? readConfig(fields.label_config) : known?.config;
    if (!config) {
      throw new ApiError(
        400,
        "unknown_project",
        "neither a label_config nor a project that was set up; connect the backend again",
      );
    }
    const wanted = { config, extra: known?.extra ?? {} };
    const { labels, options } = labelsOf(wanted);
    const signal = whileWaiting(reply);
    const owner = tokens.match(request.headers.authorization);
    const predict = async ({ data }: { data: Record<string, unknown> }): Promise<unknown> => {
      const address = data[config.field];
      if (typeof address !== "string") {
        const why = `a task has no "${config.field}"; check the project's data`;
        throw new ApiError(400, "invalid", why);
      }
      const bytes = address.startsWith("data:")
        ? fromBase64(address, maxBytes)
        : await required(fetch)(address, signal);
      const picture = await findPicture(bytes, {}, owner, sources, signal);
      const answer = await pool.run({
        work: {
          kind: "brush",
          labels,
          names: config.labels.map(({ name }) => name),
          options: { ...options, topK: wanted.extra.top_k },
          modelVersion,
          fromNames: config.labels.map((label) => label.fromName ?? config.fromName),
          toName: config.toName,
        },
        picture: picture && { file: picture.file, bytes: picture.bytes, encode: {} },
        size: picture?.size,
        deadline,
        signal,
      });
      return JSON.parse(Buffer.from(answer).toString("utf8"));
    };
    const results = await predictAll(fields.tasks, predict, pool.readyEngines, modelVersion);
    return { results, model_version: modelVersion };
  });
}

/**
 * Predicts as many tasks at a time as there are engines: a page of tasks must not fill the queue. Among
 * several, one with a picture that cannot be had gets an empty prediction with the reason.
 */
async function predictAll<Task>(
  tasks: readonly Task[],
  predict: (task: Task) => Promise<unknown>,
  lanes: number,
  modelVersion: string,
): Promise<unknown[]> {
  const results = new Array<unknown>(tasks.length);
  let next = 0;
  const lane = async () => {
    while (next < tasks.length) {
      const i = next++;
      results[i] = await predict(tasks[i]!).catch((error: unknown) => {
        const known = toApiError(error);
        if (tasks.length === 1 || !NOT_THE_OTHERS.has(known.status)) throw error;
        const { message } = known;
        return { model_version: modelVersion, score: 0, result: [], error: message };
      });
    }
  };
  await Promise.all(Array.from({ length: Math.max(1, lanes) }, lane));
  return results;
}

function required(fetch: FetchPicture | undefined): FetchPicture {
  if (fetch) return fetch;
  throw new ApiError(
    403,
    "urls_not_allowed",
    "this server fetches no pictures; start it with --label-studio-url, --allow-host or --allow-urls",
  );
}

function readConfig(xml: string): LabelConfig {
  const config = readLabelConfig(xml);
  const names = config.labels.map(({ name }) => name);
  if (new Set(names).size < names.length) {
    throw new ApiError(400, "label_config", "two labels have the same name; rename one");
  }
  return config;
}

/** The words of a project's labels. */
function labelsOf({ config, extra }: Project) {
  const words = config.labels.map((label) => label.words);
  checkLabels(words, extra.prompts ?? "simple");
  return chooseLabels({ labels: words, ...extra }, () => {
    throw new ApiError(400, "invalid", "a project names no vocabulary");
  })!;
}

/** Extra parameters come as an object, or as its JSON. */
function readExtra(extra: unknown): unknown {
  if (extra === undefined || extra === null || extra === "") return {};
  if (typeof extra !== "string") return extra;
  try {
    return JSON.parse(extra);
  } catch {
    throw new ApiError(400, "invalid", "extra_params is no JSON; give an object");
  }
}
