// Bytes that come as text.

import { tooLarge } from "./body.js";
import { ApiError } from "./errors.js";

/**
 * Bytes of base64, or of a data: URL.
 * @throws ApiError 400 for what is neither, 413 beyond `limit` bytes
 */
export function fromBase64(text: string, limit: number): Uint8Array {
  const comma = text.startsWith("data:") ? text.indexOf(",", 0) : -1;
  if (comma >= 0 && !text.slice(0, comma).endsWith(";base64")) {
    throw new ApiError(400, "invalid", "the data: URL is not in base64; encode it so");
  }
  const encoded = comma >= 0 ? text.slice(comma + 1) : text;
  if (encoded.length > Math.ceil(limit / 3) * 4 + 4) throw tooLarge(limit);
  const bytes = Buffer.from(encoded, "base64");
  const padding = /=*$/.exec(encoded.slice(-2))?.[0].length ?? 0;
  // The decoder leaves out what is no base64. Where nothing was left out, there is nothing to look for.
  const signs = encoded.length - padding;
  const nothingLeftOut = signs % 4 !== 1 && bytes.length === Math.floor((signs * 3) / 4);
  if (!nothingLeftOut && /[^A-Za-z0-9+/=\s_-]/.test(encoded)) {
    throw new ApiError(400, "invalid", "the picture is no base64; encode its file, without quotes");
  }
  return bytes;
}
