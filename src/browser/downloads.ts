// The downloads of one load: progress over all of its files, the store for the next visit, and what went
// wrong in words.

import { HubError } from "../errors.js";
import type { OpenOptions } from "../platform.js";
import type { StoredFile } from "./store.js";
import { FileStore } from "./store.js";

/** Far beyond any GroupViT, and what one array can hold everywhere. */
const MAX_FILE_BYTES = 2 ** 31 - 1;
const MAX_TEXT_BYTES = 64 << 20;

export interface DownloadOptions extends Pick<OpenOptions, "onProgress" | "onWarning" | "signal"> {
  /** Keep files for the next visit. Default true. */
  cache?: boolean;
}

/** A file to fetch. */
interface Wanted {
  readonly address: string;
  /** Its name, for messages and progress. */
  readonly file: string;
  /** What is at the address never changes. */
  readonly fixed: boolean;
}

/** Fetches files, each from the store where it is there and still the server's. */
export class Downloads {
  private readonly sizes = new Map<string, { loaded: number; total: number }>();
  /** Files whose size is not known yet: until it is, a share of all would be a wrong one. */
  private unsized = 0;
  /** The file that grew last. */
  private latest = "";
  private readonly kept: string[] = [];

  private constructor(
    private readonly options: DownloadOptions,
    private readonly store: FileStore | undefined,
  ) {}

  static async open(options: DownloadOptions): Promise<Downloads> {
    return new Downloads(options, options.cache === false ? undefined : await FileStore.open());
  }

  /**
   * The bytes at an address; nothing if the server has none there. Texts (`.json`, `.txt`) are asked for
   * at every visit, weights only whether they are still the same. Without a network, what is stored counts.
   *
   * @throws HubError if it cannot be had, or is too large; the signal's reason
   */
  async get(address: string, file: string, fixed = false): Promise<Uint8Array | undefined> {
    const wanted = { address, file, fixed };
    this.unsized++;
    try {
      const stored = await this.store?.find(address);
      if (stored && (fixed || (!isText(file) && (await this.unchanged(wanted, stored))))) {
        if (!stored.exists) return undefined;
        const bytes = await this.readStored(wanted, stored);
        if (bytes) return bytes;
      }
      return await this.fetch(wanted, stored);
    } finally {
      if (!this.sizes.has(file)) this.sized(file, 0);
    }
  }

  /** Drops what this load has stored: no model could be made of it. */
  async forget(): Promise<void> {
    for (const address of this.kept) await this.store?.drop(address);
  }

  /** Drops stored files whose address begins with `start` but not with `keep`. */
  async forgetOthers(start: string, keep: string): Promise<void> {
    await this.store?.dropOthers(start, keep);
  }

  /** Whether the server's file is the stored one. One that cannot be asked does not say otherwise. */
  private async unchanged({ address }: Wanted, stored: StoredFile): Promise<boolean> {
    const { signal } = this.options;
    try {
      const response = await fetch(address, { method: "HEAD", signal });
      return response.ok && stored.validator !== "" && validatorOf(response) === stored.validator;
    } catch {
      signal?.throwIfAborted();
      return true;
    }
  }

  private async readStored(
    { address, file }: Wanted,
    stored: StoredFile,
  ): Promise<Uint8Array | undefined> {
    const bytes = await stored.read();
    if (!bytes) {
      await this.store?.drop(address);
      this.options.onWarning?.(`${file}: the stored copy was damaged and is fetched again`);
      return undefined;
    }
    this.sized(file, bytes.length);
    this.loaded(file, bytes.length);
    return bytes;
  }

  private async fetch(
    wanted: Wanted,
    stored: StoredFile | undefined,
  ): Promise<Uint8Array | undefined> {
    const { address, file } = wanted;
    const { signal } = this.options;
    let response: Response;
    try {
      response = await fetch(address, { signal });
    } catch (error) {
      signal?.throwIfAborted();
      if (stored && !stored.exists) return undefined;
      const bytes = stored && (await this.readStored(wanted, stored));
      if (bytes) return bytes;
      throw new HubError(
        `${file}: ${address} cannot be reached (${(error as Error).message}); check the network, and ` +
          "that the server allows requests from this page (CORS)",
        { cause: error },
      );
    }
    // Servers of single-page applications answer with their page where there is no file.
    const page = response.headers.get("content-type")?.startsWith("text/html");
    if (response.status === 404 || (response.ok && page)) {
      await response.body?.cancel();
      await this.keep(wanted, undefined, "");
      return undefined;
    }
    if (!response.ok || !response.body) {
      const gated = response.status === 401 || response.status === 403;
      throw new HubError(
        `${file}: ${address} answers ${response.status}; ` +
          (gated ? "the model does not exist or is not public" : "try again later"),
      );
    }
    const bytes = await this.read(wanted, response, response.body);
    await this.keep(wanted, bytes, validatorOf(response));
    return bytes;
  }

  private async read(
    { address, file }: Wanted,
    response: Response,
    body: ReadableStream<Uint8Array>,
  ): Promise<Uint8Array<ArrayBuffer>> {
    const limit = isText(file) ? MAX_TEXT_BYTES : MAX_FILE_BYTES;
    // A compressed answer has the length of what is sent, not of what arrives.
    const encoded = response.headers.has("content-encoding");
    const total = encoded ? 0 : Number(response.headers.get("content-length") ?? 0);
    const tooLarge = (size: number) =>
      new HubError(`${file}: ${address} has ${size} bytes or more; at most ${limit} are read`);
    if (total > limit) throw tooLarge(total);
    this.sized(file, total);
    const parts: Uint8Array[] = [];
    let bytes = total > 0 ? new Uint8Array(total) : undefined;
    let loaded = 0;
    const reader = body.getReader();
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      const size = loaded + part.value.length;
      if (size > limit) throw tooLarge(size);
      if (bytes && size > bytes.length) {
        parts.push(bytes.subarray(0, loaded));
        bytes = undefined;
      }
      if (bytes) bytes.set(part.value, loaded);
      else parts.push(part.value);
      loaded = size;
      this.loaded(file, loaded);
    }
    if (total > 0 && loaded < total) {
      throw new HubError(`${file}: ${address} ended after ${loaded} of ${total} bytes; try again`);
    }
    return bytes ?? joined(parts, loaded);
  }

  /** Keeps a file for the next visit; of weights it is not worth knowing that there are none. */
  private async keep(
    { address, file }: Wanted,
    bytes: Uint8Array<ArrayBuffer> | undefined,
    validator: string,
  ): Promise<void> {
    if (!this.store) return;
    try {
      if (bytes || isText(file)) {
        await this.store.keep(address, bytes, validator);
        this.kept.push(address);
      } else await this.store.drop(address);
    } catch (error) {
      this.options.onWarning?.(
        `${file}: the browser has no room to keep it (${(error as Error).message}); ` +
          "it will be downloaded again at the next visit",
      );
    }
  }

  private sized(file: string, total: number): void {
    this.unsized--;
    this.sizes.set(file, { loaded: 0, total });
    if (this.latest !== "") this.report();
  }

  private loaded(file: string, loaded: number): void {
    const own = this.sizes.get(file);
    this.sizes.set(file, { loaded, total: Math.max(loaded, own?.total ?? 0) });
    this.latest = file;
    this.report();
  }

  private report(): void {
    if (this.unsized > 0) return;
    const all = [...this.sizes.values()];
    this.options.onProgress?.({
      file: this.latest,
      loaded: all.reduce((sum, one) => sum + one.loaded, 0),
      total: all.reduce((sum, one) => sum + one.total, 0),
    });
  }
}

function isText(file: string): boolean {
  return /\.(json|txt)$/.test(file);
}

/** What tells two versions of a file apart without reading them. */
function validatorOf({ headers }: Response): string {
  return headers.get("etag") ?? headers.get("last-modified") ?? "";
}

function joined(parts: readonly Uint8Array[], size: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(size);
  let offset = 0;
  for (const part of parts) {
    bytes.set(part, offset);
    offset += part.length;
  }
  return bytes;
}
