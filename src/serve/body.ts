// Reads what clients send, within limits: one body, and all bodies that are held at the same time.

import type { Readable } from "node:stream";
import { ApiError } from "./errors.js";

/** Bytes of bodies in memory; shared by all requests. */
export class BodyBudget {
  private held = 0;

  constructor(private readonly most: number) {}

  /** @throws ApiError 429 where all bodies together are too large */
  take(bytes: number): void {
    if (this.held + bytes > this.most) {
      throw new ApiError(429, "busy", "too many bytes are being sent at once; try again", 1);
    }
    this.held += bytes;
  }

  give(bytes: number): void {
    this.held -= bytes;
  }
}

/** The bytes of a request's bodies, and how to give their room back. */
export class HeldBytes {
  private bytes = 0;

  /** @param ask tells a client that waits with its body (`Expect: 100-continue`) to send it; to be called once */
  constructor(
    private readonly budget: BodyBudget,
    readonly ask: () => void,
  ) {}

  /**
   * Reads a stream to its end.
   * @throws ApiError 413 beyond `limit` bytes, 429 beyond the budget
   */
  async read(stream: Readable, limit: number): Promise<Buffer<ArrayBuffer>> {
    const chunks: Buffer[] = [];
    let length = 0;
    // A destroyed stream would take the connection with it, and the answer would not arrive.
    const source: AsyncIterable<Buffer> = stream.iterator({ destroyOnReturn: false });
    for await (const chunk of source) {
      length += chunk.length;
      if (length > limit) throw tooLarge(limit);
      this.take(chunk.length);
      chunks.push(chunk);
    }
    return Buffer.concat(chunks, length);
  }

  /** @throws ApiError 429 beyond the budget */
  take(bytes: number): void {
    this.budget.take(bytes);
    this.bytes += bytes;
  }

  release(): void {
    this.budget.give(this.bytes);
    this.bytes = 0;
  }
}

export const tooLarge = (limit: number) =>
  new ApiError(413, "too_large", `more than ${limit} bytes; shrink the picture`);
