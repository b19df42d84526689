// Pictures of tasks: uploads at the Label Studio that the server was told of, by their path or address,
// and whatever else the server may fetch.

import { InputError } from "../errors.js";
import { ApiError } from "./errors.js";
import { type FetchPicture, fetchPicture } from "./fetch-picture.js";
import type { ServeOptions } from "./options.js";

/** Milliseconds that an access token is used; Label Studio's are good for five minutes. */
const ACCESS_LIFETIME = 240_000;

/** The fetcher, or undefined where the options name no Label Studio. */
export function uploadsFetcher(
  options: ServeOptions,
  maxBytes: number,
  timeout: number,
): FetchPicture | undefined {
  const { labelStudioUrl, labelStudioToken, allowUrls = false, allowHosts = [] } = options;
  if (labelStudioUrl === undefined) return undefined;
  if (!URL.canParse(labelStudioUrl) || !/^https?:$/.test(new URL(labelStudioUrl).protocol)) {
    throw new InputError(
      `--label-studio-url ${labelStudioUrl}: give an address such as http://localhost:8080`,
    );
  }
  const base = new URL(labelStudioUrl);
  const port = base.port || (base.protocol === "https:" ? "443" : "80");
  const rules = {
    allowPublic: allowUrls,
    allowHosts: [...allowHosts, `${base.hostname}:${port}`],
    authorization: labelStudioToken
      ? { origin: base.origin, header: authorizer(base, labelStudioToken) }
      : undefined,
    maxBytes,
    timeout,
  };
  return (address, signal) => {
    const absolute = URL.canParse(address, base) ? new URL(address, base).href : address;
    return fetchPicture(absolute, rules, signal);
  };
}

/**
 * The Authorization header for a token: an old one is sent as it is; a personal access token (a JWT) is
 * exchanged for one that is good for some minutes.
 */
function authorizer(base: URL, token: string): () => Promise<string> {
  if (!/^eyJ[\w-]*\.[\w-]*\.[\w-]*$/.test(token)) return async () => `Token ${token}`;
  let access: Promise<string> | undefined;
  let expires = 0;
  return () => {
    if (!access || performance.now() > expires) {
      expires = performance.now() + ACCESS_LIFETIME;
      access = exchange(base, token);
      access.catch(() => {
        access = undefined;
      });
    }
    return access;
  };
}

async function exchange(base: URL, refresh: string): Promise<string> {
  try {
    const response = await fetch(new URL("/api/token/refresh", base), {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ refresh }),
      redirect: "error",
      signal: AbortSignal.timeout(10_000),
    });
    const { access } = (await response.json()) as { access?: unknown };
    if (typeof access === "string" && /^[\x21-\x7e]+$/.test(access)) return `Bearer ${access}`;
  } catch {
    // What it said may hold the token.
  }
  throw new ApiError(
    502,
    "label_studio",
    "Label Studio refuses the token in LABEL_STUDIO_API_KEY; make a new one there",
  );
}
