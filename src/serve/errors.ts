// What clients are told when something is wrong: a status, a code for programs, and for people what is
// wrong and the way out. Nothing of the server's inside.

import { InputError, PictureError } from "../errors.js";

export class ApiError extends Error {
  override name = "ApiError";

  /**
   * @param code for programs, such as "busy"
   * @param message what is wrong; behind "; " the way out
   * @param retryAfter seconds
   */
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly retryAfter?: number,
  ) {
    super(message);
  }
}

/** The error as clients get it. */
export function errorBody({ code, message: text }: Pick<ApiError, "code" | "message">) {
  // It may quote the request: no terminal or log shall obey what stands there.
  const message = text.replace(/\p{Cc}+/gu, " ");
  const cut = message.indexOf("; ");
  if (cut < 0) return { error: { code, message } };
  return { error: { code, message: message.slice(0, cut), way_out: message.slice(cut + 2) } };
}

/** Any error as one for clients; what is not about their request is only called "internal". */
export function toApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  if (error instanceof PictureError) return new ApiError(422, "picture", error.message);
  if (error instanceof InputError) return new ApiError(400, "invalid", error.message);
  if (error instanceof URIError) return new ApiError(400, "invalid", "the address is malformed");
  const { statusCode, code } = error as { statusCode?: unknown; code?: unknown };
  if (typeof statusCode === "number" && statusCode >= 400 && statusCode < 500) {
    return frameworkError(statusCode, String(code), error as Error);
  }
  if (code === "ECONNRESET" || code === "ERR_STREAM_PREMATURE_CLOSE") {
    return new ApiError(499, "left", "the client has left");
  }
  return new ApiError(
    500,
    "internal",
    "the server failed; try again, and report it if it persists",
  );
}

function frameworkError(status: number, code: string, { message }: Error): ApiError {
  switch (status) {
    case 413:
      return new ApiError(
        413,
        "too_large",
        "the body is larger than the limit; shrink the picture",
      );
    case 415:
      return new ApiError(
        415,
        "content_type",
        "the content type is not supported; send application/json, multipart/form-data or image/*",
      );
    case 403: // a path that leads out of a folder: nothing is said about what is there
    case 404:
      return new ApiError(404, "not_found", "there is nothing here; /docs lists what there is");
    default:
      // Texts about the request's own syntax.
      return new ApiError(status, code.startsWith("FST_") ? "invalid" : "bad_request", message);
  }
}
