// Small JSON documents on disk that outlive the server: written whole or not at all. What a disk cannot
// take is refused, and what was there before stays.

import { readFile } from "node:fs/promises";
import { dirname } from "node:path";
import type * as z from "zod";
import { makeFolders, writeFileAtomic } from "../atomic.node.js";
import { InputError } from "../errors.js";
import { ApiError } from "./errors.js";

const MAX_BYTES = 64 << 20;

/** Records by name, in memory and in one file. */
export class Store<Value> {
  private records = new Map<string, Value>();
  private last: Promise<unknown> = Promise.resolve();

  private constructor(
    private readonly path: string,
    private readonly most: number,
  ) {}

  /**
   * @param most records; the one that was set longest ago makes room where `set` is told so
   * @throws InputError if the file is there, and not one of ours
   */
  static async open<Schema extends z.ZodType>(
    path: string,
    schema: Schema,
    most: number,
  ): Promise<Store<z.infer<Schema>>> {
    const store = new Store<z.infer<Schema>>(path, most);
    let text: string;
    try {
      text = await readFile(path, "utf8");
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "ENOENT" || code === "ENOTDIR") return store;
      throw new InputError(`${path}: cannot be read (${code}); choose another --state folder`);
    }
    try {
      const records = JSON.parse(text) as Record<string, unknown>;
      for (const [name, value] of Object.entries(records)) {
        store.records.set(name, schema.parse(value));
      }
    } catch {
      throw new InputError(`${path}: damaged; remove it, or choose another --state folder`);
    }
    return store;
  }

  get(name: string): Value | undefined {
    return this.records.get(name);
  }

  all(): [string, Value][] {
    return [...this.records];
  }

  /**
   * Sets a record, in the file first.
   *
   * @param makeRoom whether the oldest record goes where there are too many
   * @throws ApiError 507 where there is no room, in the store or on the disk: nothing has changed then
   */
  set(name: string, value: Value, makeRoom = false): Promise<void> {
    return this.change((records) => {
      records.delete(name);
      if (records.size >= this.most) {
        const [oldest] = records.keys();
        if (!makeRoom || oldest === undefined) {
          throw new ApiError(507, "store_full", `${this.most} are stored already; delete one`);
        }
        records.delete(oldest);
      }
      records.set(name, value);
    });
  }

  delete(name: string): Promise<void> {
    return this.change((records) => records.delete(name));
  }

  /** One change after another; each is of a copy that takes the records' place once it is on disk. */
  private change(edit: (records: Map<string, Value>) => void): Promise<void> {
    const change = this.last.then(async () => {
      const records = new Map(this.records);
      edit(records);
      await this.write(JSON.stringify(Object.fromEntries(records)));
      this.records = records;
    });
    this.last = change.catch(() => {});
    return change;
  }

  private async write(text: string): Promise<void> {
    if (Buffer.byteLength(text) > MAX_BYTES) {
      throw new ApiError(507, "store_full", "the store is full; delete something");
    }
    try {
      await makeFolders(dirname(this.path));
      await writeFileAtomic(this.path, text);
    } catch {
      // The reason would tell strangers about our disk.
      throw new ApiError(507, "storage", "it could not be stored; the server's disk may be full");
    }
  }
}
