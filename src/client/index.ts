// A client for `groupvit serve`, for browsers and Node. Its types are those of the server's own schemas;
// nothing of the server comes along.

import type {
  ClassifyRequest,
  ClassifyResponse,
  EmbedRequest,
  EmbedResponse,
  ErrorResponse,
  GroupsRequest,
  GroupsResponse,
  ModelsResponse,
  SegmentRequest,
  SegmentResponse,
  VocabulariesResponse,
  VocabularyRequest,
  VocabularyResponse,
} from "../serve/schema.js";

export type {
  ClassifyResponse,
  EmbedResponse,
  GroupsResponse,
  ModelsResponse,
  SegmentResponse,
  VocabulariesResponse,
  VocabularyRequest,
  VocabularyResponse,
};

export interface ClientOptions {
  /** Where the server is, such as "http://127.0.0.1:8080". */
  baseUrl: string;
  token?: string;
  /** How often a request that was told to come later is sent again. Default 4. */
  retries?: number;
  /** Default: the global one. */
  fetch?: typeof fetch;
}

/** A picture: its file's bytes, its address (where the server allows it), or one that the server keeps. */
export type ClientPicture =
  | Blob
  | Uint8Array
  | ArrayBuffer
  | { readonly url: string | URL }
  | { readonly id: string };

export interface CallOptions {
  signal?: AbortSignal;
}

type PictureField = "picture" | "picture_url" | "picture_id";
export type SegmentFields = Omit<SegmentRequest, PictureField>;
export type ClassifyFields = Omit<ClassifyRequest, PictureField>;
export type GroupsFields = Omit<GroupsRequest, PictureField>;
export type EmbedFields = Omit<EmbedRequest, PictureField>;

/** A mask or a drawing, with what the headers say about it. */
export interface PictureAnswer {
  /** A PNG file. */
  readonly png: Blob;
  /** Names of the mask's values, in order, the background's first if there is one; absent if too long. */
  readonly labels?: readonly string[];
  readonly pictureId?: string;
}

/** The server's refusal. */
export class GroupVitError extends Error {
  override name = "GroupVitError";

  /**
   * @param status of HTTP, such as 400
   * @param code for programs, such as "unknown_picture"
   * @param wayOut what to do about it
   */
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly wayOut?: string,
  ) {
    super(message);
  }
}

const JSON_TYPE = "application/json";
/** Milliseconds: no server makes us wait longer. */
const LONGEST_WAIT = 60_000;

/**
 * @example
 * const client = new GroupVitClient({ baseUrl: "http://127.0.0.1:8080" });
 * const { labels } = await client.segment(file, { labels: "dog, tree, sky" });
 */
export class GroupVitClient {
  private readonly base: string;

  constructor(private readonly options: ClientOptions) {
    this.base = options.baseUrl.replace(/\/+$/, "");
  }

  /** Masks and scores of labels. */
  segment(picture: ClientPicture, fields: SegmentFields, options?: CallOptions) {
    return this.json<SegmentResponse>("/v1/segment", picture, fields, options);
  }

  /** The labels as an indexed PNG: the value of a pixel is its label's place. */
  segmentMask(picture: ClientPicture, fields: SegmentFields, options?: CallOptions) {
    return this.png("/v1/segment", "image/png;view=mask", picture, fields, options);
  }

  /** The picture with the labels drawn over it. */
  segmentOverlay(picture: ClientPicture, fields: SegmentFields, options?: CallOptions) {
    return this.png("/v1/segment", "image/png;view=overlay", picture, fields, options);
  }

  /** Labels ranked for the picture as a whole. */
  classify(picture: ClientPicture, fields: ClassifyFields, options?: CallOptions) {
    return this.json<ClassifyResponse>("/v1/classify", picture, fields, options);
  }

  /** How the model groups the picture. */
  groups(picture: ClientPicture, fields: GroupsFields = {}, options?: CallOptions) {
    return this.json<GroupsResponse>("/v1/groups", picture, fields, options);
  }

  /** The same, drawn. */
  drawGroups(picture: ClientPicture, fields: GroupsFields = {}, options?: CallOptions) {
    return this.png("/v1/groups", "image/png", picture, fields, options);
  }

  /** Vectors of a picture and of texts; either may be left out. */
  embed(picture: ClientPicture | undefined, fields: EmbedFields = {}, options?: CallOptions) {
    return this.json<EmbedResponse>("/v1/embed", picture, fields, options);
  }

  async vocabularies(options?: CallOptions): Promise<VocabulariesResponse["vocabularies"]> {
    const response = await this.send("GET", "/v1/vocabularies", undefined, JSON_TYPE, options);
    return ((await response.json()) as VocabulariesResponse).vocabularies;
  }

  /** Stores a vocabulary under its name, to be used as `vocabulary`. */
  async storeVocabulary(
    vocabulary: VocabularyRequest,
    options?: CallOptions,
  ): Promise<VocabularyResponse> {
    const body = jsonBody(vocabulary);
    const response = await this.send("POST", "/v1/vocabularies", body, JSON_TYPE, options);
    return (await response.json()) as VocabularyResponse;
  }

  async deleteVocabulary(name: string, options?: CallOptions): Promise<void> {
    const path = `/v1/vocabularies/${encodeURIComponent(name)}`;
    await this.send("DELETE", path, undefined, JSON_TYPE, options);
  }

  async models(options?: CallOptions): Promise<ModelsResponse["models"]> {
    const response = await this.send("GET", "/v1/models", undefined, JSON_TYPE, options);
    return ((await response.json()) as ModelsResponse).models;
  }

  private async json<Answer>(
    path: string,
    picture: ClientPicture | undefined,
    fields: object,
    options?: CallOptions,
  ): Promise<Answer> {
    const response = await this.send("POST", path, bodyOf(picture, fields), JSON_TYPE, options);
    return (await response.json()) as Answer;
  }

  private async png(
    path: string,
    accept: string,
    picture: ClientPicture,
    fields: object,
    options?: CallOptions,
  ): Promise<PictureAnswer> {
    const response = await this.send("POST", path, bodyOf(picture, fields), accept, options);
    const labels = response.headers.get("x-labels");
    return {
      png: await response.blob(),
      labels: labels === null ? undefined : labels.split(",").map(decodeURIComponent),
      pictureId: response.headers.get("x-picture-id") ?? undefined,
    };
  }

  private async send(
    method: string,
    path: string,
    body: Body | undefined,
    accept: string,
    { signal }: CallOptions = {},
  ): Promise<Response> {
    const { token, retries = 4 } = this.options;
    const headers = {
      accept,
      ...body?.headers,
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    };
    const call = this.options.fetch ?? fetch;
    for (let attempt = 0; ; attempt++) {
      const response = await call(`${this.base}${path}`, {
        method,
        headers,
        body: body?.content,
        signal,
      });
      if (response.ok) return response;
      const error = await refusal(response);
      if (response.status !== 429 || attempt >= retries) throw error;
      await pause(1000 * Number(response.headers.get("retry-after") ?? 1), signal);
    }
  }
}

interface Body {
  content: FormData | string;
  headers: Record<string, string>;
}

const jsonBody = (value: unknown): Body => ({
  content: JSON.stringify(value),
  headers: { "content-type": JSON_TYPE },
});

function bodyOf(picture: ClientPicture | undefined, fields: object): Body {
  if (picture === undefined) return jsonBody(fields);
  if ("url" in picture) return jsonBody({ ...fields, picture_url: String(picture.url) });
  if ("id" in picture) return jsonBody({ ...fields, picture_id: picture.id });
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) {
    if (Array.isArray(value)) for (const one of value) form.append(`${name}[]`, String(one));
    else if (value !== undefined) form.append(name, String(value));
  }
  const blob = picture instanceof Blob ? picture : new Blob([picture as BlobPart]);
  const name = picture instanceof File ? picture.name : "picture";
  form.append("picture", blob, name);
  return { content: form, headers: {} };
}

async function refusal(response: Response): Promise<GroupVitError> {
  const { status } = response;
  try {
    const { error } = (await response.json()) as ErrorResponse;
    return new GroupVitError(status, error.code, error.message, error.way_out);
  } catch {
    // Something between us and the server answered.
    return new GroupVitError(status, "http", `the server answered HTTP ${status}`);
  }
}

/** Waits; rejects at once when the signal fires. */
function pause(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  const wait = Number.isFinite(milliseconds) ? milliseconds : 1000;
  return new Promise((resolve, reject) => {
    const abort = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(
      () => {
        signal?.removeEventListener("abort", abort);
        resolve();
      },
      Math.min(LONGEST_WAIT, Math.max(0, wait)),
    );
    if (signal?.aborted) abort();
    else signal?.addEventListener("abort", abort, { once: true });
  });
}
