// A small Hugging Face Hub on this machine for tests: the model API, `resolve` with the Hub's headers, and
// a second server in the place of the storage network, to which files in large-file storage redirect.
// Faults are put in through `fault`, which sees each request first.

import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** A repository: its files at the present commit, and what guards it. */
export interface HubRepository {
  commit: string;
  files: Map<string, Uint8Array>;
  /** Branches and tags that point to the commit. */
  revisions: string[];
  /** Only this token may read it. */
  token?: string;
  gated?: boolean;
}

export interface HubRequest {
  readonly host: "hub" | "storage";
  readonly method: string;
  /** Decoded path and query. */
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
}

/** Answers the request itself and returns true, or leaves it to the server. */
export type HubFault = (request: HubRequest, response: ServerResponse) => boolean;

export interface HubServer {
  readonly endpoint: string;
  readonly storage: string;
  readonly repositories: Map<string, HubRepository>;
  /** Every request so far. */
  readonly requests: HubRequest[];
  fault: HubFault | undefined;
  close(): Promise<void>;
}

/** Names whose contents are in large-file storage, as the Hub's .gitattributes has it. */
const LARGE = /\.(safetensors|bin|pth)$/;

/** A repository on branch `main`; the commit is a hash of the files. */
export function hubRepository(files: Record<string, string | Uint8Array>): HubRepository {
  const hash = createHash("sha1");
  const map = new Map<string, Uint8Array>();
  for (const [name, content] of Object.entries(files)) {
    const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
    hash.update(name).update(bytes);
    map.set(name, bytes);
  }
  return { commit: hash.digest("hex"), files: map, revisions: ["main"] };
}

/** The name under which the Hub and its caches keep a file: SHA-256 if large, git's SHA-1 otherwise. */
export function hubEtag(name: string, bytes: Uint8Array): string {
  return LARGE.test(name)
    ? createHash("sha256").update(bytes).digest("hex")
    : createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex");
}

/** Sets the headers for `bytes`, or the asked-for part of them, and returns that part. */
export function startBytes(
  request: HubRequest,
  response: ServerResponse,
  bytes: Uint8Array,
): Uint8Array {
  const range = /^bytes=(\d+)-$/.exec(request.headers.range ?? "");
  const from = Number(range?.[1] ?? 0);
  if (range) {
    response.statusCode = from < bytes.length ? 206 : 416;
    response.setHeader("content-range", `bytes ${from}-${bytes.length - 1}/${bytes.length}`);
  }
  const part = bytes.subarray(from);
  response.setHeader("accept-ranges", "bytes");
  response.setHeader("content-length", part.length);
  return part;
}

/** Sends `bytes`, or the asked-for part of them, as a file server does. */
export function sendBytes(request: HubRequest, response: ServerResponse, bytes: Uint8Array): void {
  const part = startBytes(request, response, bytes);
  response.end(request.method === "HEAD" ? undefined : part);
}

/** Starts both servers on free ports of the loopback interface. */
export async function startHub(repositories: Record<string, HubRepository>): Promise<HubServer> {
  const requests: HubRequest[] = [];
  const answer =
    (host: HubRequest["host"], serve: (request: HubRequest, response: ServerResponse) => void) =>
    (message: IncomingMessage, response: ServerResponse) => {
      const request: HubRequest = {
        host,
        method: message.method ?? "",
        path: decodeURIComponent(message.url ?? ""),
        headers: message.headers,
      };
      requests.push(request);
      if (!hub.fault?.(request, response)) serve(request, response);
    };
  const main = createServer(answer("hub", (request, response) => serveHub(hub, request, response)));
  const storage = createServer(
    answer("storage", (request, response) => serveStorage(hub, request, response)),
  );
  const hub: HubServer = {
    endpoint: await listen(main),
    // Another host, not just another port
    storage: (await listen(storage)).replace("127.0.0.1", "localhost"),
    repositories: new Map(Object.entries(repositories)),
    requests,
    fault: undefined,
    async close() {
      for (const server of [main, storage]) {
        server.closeAllConnections();
        await new Promise((done) => server.close(done));
      }
    },
  };
  return hub;
}

async function listen(server: Server): Promise<string> {
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function refuse(response: ServerResponse, status: number, code: string): void {
  response.writeHead(status, { "x-error-code": code, "content-type": "application/json" });
  response.end(JSON.stringify({ error: code }));
}

function serveHub(hub: HubServer, request: HubRequest, response: ServerResponse): void {
  const api = /^\/api\/models\/([^/]+\/[^/]+)\/revision\/(.+)$/.exec(request.path);
  const file = /^\/([^/]+\/[^/]+)\/resolve\/([^/]+)\/(.+)$/.exec(request.path);
  const [, id, revision, name] = api ?? file ?? [];
  const repository = hub.repositories.get(id);
  const token = /^Bearer (.+)$/.exec(request.headers.authorization ?? "")?.[1];
  if (!repository || (repository.token && token !== repository.token && !repository.gated)) {
    // The Hub does not tell a stranger whether a private model exists.
    refuse(response, token ? 404 : 401, "RepoNotFound");
    return;
  }
  if (repository.gated && token !== repository.token) {
    refuse(response, token ? 403 : 401, "GatedRepo");
    return;
  }
  if (revision !== repository.commit && !repository.revisions.includes(revision)) {
    refuse(response, 404, "RevisionNotFound");
    return;
  }
  response.setHeader("x-repo-commit", repository.commit);
  if (api) {
    const siblings = [...repository.files.keys()].map((rfilename) => ({ rfilename }));
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ id, sha: repository.commit, siblings }));
    return;
  }
  const bytes = repository.files.get(name);
  if (!bytes) {
    refuse(response, 404, "EntryNotFound");
    return;
  }
  const etag = `"${hubEtag(name, bytes)}"`;
  if (!LARGE.test(name)) {
    response.setHeader("etag", etag);
    sendBytes(request, response, bytes);
    return;
  }
  response.setHeader("x-linked-etag", etag);
  response.setHeader("x-linked-size", bytes.length);
  response.setHeader("location", `${hub.storage}/${id}/${encodeURIComponent(name)}?signature=1`);
  response.writeHead(302).end();
}

function serveStorage(hub: HubServer, request: HubRequest, response: ServerResponse): void {
  const match = /^\/([^/]+\/[^/]+)\/(.+)\?signature=1$/.exec(request.path);
  const bytes = hub.repositories.get(match?.[1] ?? "")?.files.get(match?.[2] ?? "");
  if (bytes) {
    response.setHeader("etag", '"of-the-storage"');
    sendBytes(request, response, bytes);
  } else {
    response.writeHead(403).end();
  }
}
