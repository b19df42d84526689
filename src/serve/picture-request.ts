// The picture of a request: its bytes, from wherever they come, checked before anything decodes them.

import { randomBytes } from "node:crypto";
import { PictureError } from "../errors.js";
import { headerSize, pictureFormat } from "../input/header.js";
import { checkSize } from "../input/limits.js";
import { ApiError } from "./errors.js";
import type { ExpiringCache } from "./expiring-cache.js";

/** A picture that was checked by its header. */
export interface CheckedPicture {
  bytes: Uint8Array;
  file: string;
  /** As the header says, before it is turned upright; TIFF tells it only to the decoder. */
  size?: { width: number; height: number };
  /** Under which it is kept. */
  id?: string;
}

export interface KeptPicture extends CheckedPicture {
  /** The token that may use it again. */
  owner: number | undefined;
}

export interface PictureFields {
  picture_url?: string;
  picture_id?: string;
  file?: string;
  keep?: boolean;
}

/** Where pictures come from, and what they may be. */
export interface PictureSources {
  maxPixels: number;
  kept: ExpiringCache<KeptPicture>;
  /** Absent where addresses are not allowed. */
  fetch?(url: string, signal: AbortSignal): Promise<Uint8Array>;
}

/**
 * Finds the picture that a request brings or names; undefined where it has none.
 *
 * @throws ApiError for none or several of the ways to give one, one that is not kept (any more), an
 *   address though they are not allowed, what is no picture, and one with too many pixels
 */
export async function findPicture(
  bytes: Uint8Array | undefined,
  fields: PictureFields,
  owner: number | undefined,
  sources: PictureSources,
  signal: AbortSignal,
): Promise<CheckedPicture | undefined> {
  const { picture_url: url, picture_id: id } = fields;
  const given = [bytes, url, id].filter((value) => value !== undefined).length;
  if (given > 1) {
    throw new ApiError(
      400,
      "invalid",
      "more than one picture; give only one of picture, picture_url and picture_id",
    );
  }
  if (given === 0) return undefined;
  if (id !== undefined) return findKept(id, fields, owner, sources);
  const read = bytes ?? (await fetchAllowed(url ?? "", sources, signal));
  const file = fileName(fields.file);
  const checked = { bytes: read, file, size: checkHeader(read, sources.maxPixels) };
  return fields.keep ? keepPicture(checked, owner, sources.kept) : checked;
}

function findKept(
  id: string,
  fields: PictureFields,
  owner: number | undefined,
  { kept }: PictureSources,
): CheckedPicture {
  const found = kept.get(id);
  // Another's picture is as good as none.
  if (!found || found.owner !== owner) {
    throw new ApiError(404, "unknown_picture", "no picture is kept under this id; send it again");
  }
  return fields.file === undefined ? found : { ...found, file: fileName(fields.file) };
}

function keepPicture(
  picture: CheckedPicture,
  owner: number | undefined,
  kept: ExpiringCache<KeptPicture>,
): CheckedPicture {
  const id = randomBytes(16).toString("base64url");
  kept.set(id, { ...picture, id, owner }, picture.bytes.length);
  return { ...picture, id };
}

async function fetchAllowed(
  url: string,
  { fetch }: PictureSources,
  signal: AbortSignal,
): Promise<Uint8Array> {
  if (fetch) return fetch(url, signal);
  throw new ApiError(
    403,
    "urls_not_allowed",
    "this server fetches no addresses; send the picture itself",
  );
}

/** Refuses by its first bytes what no decoder shall see. */
function checkHeader(bytes: Uint8Array, maxPixels: number) {
  const subject = "picture";
  let size: { width: number; height: number } | undefined;
  try {
    size = headerSize(bytes, pictureFormat(subject, bytes));
  } catch (error) {
    if (!(error instanceof PictureError)) throw error;
    throw new ApiError(bytes.length === 0 ? 400 : 415, "picture_format", wayOut(error.message));
  }
  if (!size) return undefined;
  try {
    checkSize(subject, size.width, size.height, maxPixels);
  } catch (error) {
    const enough = size.width > 0 && size.height > 0;
    throw new ApiError(enough ? 413 : 422, "picture_size", wayOut((error as Error).message));
  }
  return size;
}

/** Errors about pictures put ": " before the way out. */
export function wayOut(message: string): string {
  const cut = message.lastIndexOf(": ");
  return cut < 0 ? message : `${message.slice(0, cut)}; ${message.slice(cut + 2)}`;
}

/** A name without control characters, which no answer shall hand on. */
function fileName(file = "picture"): string {
  return file.replace(/\p{Cc}+/gu, " ").slice(0, 255) || "picture";
}
