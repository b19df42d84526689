// Downloaded model files in the browser's Cache Storage, so that a model is fetched once. A store that
// cannot be used forgets; it never stops a load.

/** Name of the cache; `caches.delete("groupvit-models")` frees its space. */
const CACHE = "groupvit-models";
const VALIDATOR = "x-groupvit-validator";
const DIGEST = "x-groupvit-sha256";

/** A file in the store. */
export interface StoredFile {
  /** What the server said to tell versions apart; empty if it said nothing. */
  readonly validator: string;
  /** False: it is known that the server has no such file. */
  readonly exists: boolean;
  /** The bytes; nothing if they are not those that were stored. */
  read(): Promise<Uint8Array<ArrayBuffer> | undefined>;
}

/** Model files by address. */
export class FileStore {
  private constructor(private readonly cache: Cache) {}

  /** The store, where this browser lets the page have one (HTTPS or localhost, not every private mode). */
  static async open(): Promise<FileStore | undefined> {
    try {
      return crypto.subtle ? new FileStore(await caches.open(CACHE)) : undefined;
    } catch {
      return undefined;
    }
  }

  async find(address: string): Promise<StoredFile | undefined> {
    const found = await this.cache.match(address, { ignoreVary: true }).catch(() => undefined);
    if (!found) return undefined;
    return {
      validator: found.headers.get(VALIDATOR) ?? "",
      exists: found.status !== 404,
      read: async () => {
        const memory = await found.arrayBuffer().catch(() => new ArrayBuffer(0));
        const bytes = new Uint8Array(memory);
        return (await digest(bytes)) === found.headers.get(DIGEST) ? bytes : undefined;
      },
    };
  }

  /**
   * Keeps a file, or that there is none.
   *
   * @throws DOMException when the browser has no room for it
   */
  async keep(
    address: string,
    bytes: Uint8Array<ArrayBuffer> | undefined,
    validator: string,
  ): Promise<void> {
    const headers = new Headers({ [VALIDATOR]: validator });
    if (bytes) headers.set(DIGEST, await digest(bytes));
    await this.cache.put(
      address,
      new Response(bytes ?? null, { status: bytes ? 200 : 404, headers }),
    );
  }

  async drop(address: string): Promise<void> {
    await this.cache.delete(address, { ignoreVary: true }).catch(() => false);
  }

  /** Drops what begins with `start` but not with `keep`: older versions of a model. */
  async dropOthers(start: string, keep: string): Promise<void> {
    for (const { url } of await this.cache.keys().catch(() => [])) {
      if (url.startsWith(start) && !url.startsWith(keep)) await this.drop(url);
    }
  }
}

async function digest(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
