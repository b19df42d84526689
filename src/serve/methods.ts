// What is asked for in vain: a path that there is, by a method that it does not have, or nothing at all.

import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { ApiError } from "./errors.js";

const nothing = () =>
  new ApiError(404, "not_found", "there is nothing here; /docs lists what there is");

/** Answers 404, and 405 with `Allow`; to be called before any route is added. */
export function addNotFound(app: FastifyInstance): void {
  const methods = new Map<string, Set<string>>();
  app.addHook("onRoute", ({ url, method }) => {
    // The wildcard of web pages' preflight requests is no path of its own.
    if (url === "*") return;
    const own = methods.get(url) ?? new Set();
    methods.set(url, own);
    for (const one of [method].flat()) own.add(one);
  });
  app.setNotFoundHandler((request, reply) => refuse(request, reply, methods));
  // Not its body first.
  app.addHook("preParsing", async (request, reply) => {
    if (request.is404) refuse(request, reply, methods);
  });
}

function refuse(
  { method, url }: FastifyRequest,
  reply: FastifyReply,
  methods: ReadonlyMap<string, ReadonlySet<string>>,
): never {
  const path = url.replace(/[?#].*$/s, "");
  const allowed = new Set<string>();
  for (const [pattern, own] of methods) {
    if (fits(path, pattern)) for (const one of own) allowed.add(one);
  }
  // A file that is not there, under a path that takes the method.
  if (allowed.size === 0 || allowed.has(method)) throw nothing();
  const list = [...allowed].sort().join(", ");
  void reply.header("allow", list);
  throw new ApiError(405, "method", `${method} is not for this path; use ${list}`);
}

/** Whether a path is one of a route's, whose pattern may have `:name` for a part and end with `*`. */
function fits(path: string, pattern: string): boolean {
  const parts = path.split("/");
  const wanted = pattern.split("/");
  if (wanted.at(-1) === "*") wanted.pop();
  else if (parts.length !== wanted.length) return false;
  return wanted.every((part, i) => (part.startsWith(":") ? parts[i] !== "" : part === parts[i]));
}
