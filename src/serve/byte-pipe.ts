// Pictures and answers between the server and its engines. Beside the channel for messages, which copies whatever
// it carries in one go, they have a pipe for bytes: a message says how many, and they follow in the same order.

import { Socket } from "node:net";

/** Of the pipe, in an engine process. */
export const PIPE_FD = 4;

interface Wanted {
  target: Buffer;
  filled: number;
  resolve(bytes: Uint8Array): void;
}

/** The receiving end of a pipe. */
export class ByteReader {
  private readonly wanted: Wanted[] = [];
  private readonly early: Buffer[] = [];

  constructor(pipe: Socket) {
    // A pipe that breaks: the process at its other end is gone, which is noticed otherwise.
    pipe.on("error", () => {});
    pipe.on("data", (chunk: Buffer) => {
      this.early.push(chunk);
      this.fill();
    });
  }

  /** The next bytes, in the order of the calls; never, where the pipe ends before. */
  take(length: number): Promise<Uint8Array> {
    return new Promise((resolve) => {
      this.wanted.push({ target: Buffer.allocUnsafeSlow(length), filled: 0, resolve });
      this.fill();
    });
  }

  private fill(): void {
    for (;;) {
      const [next] = this.wanted;
      if (!next) return;
      if (next.filled === next.target.length) {
        this.wanted.shift();
        next.resolve(next.target);
        continue;
      }
      const chunk = this.early.shift();
      if (!chunk) return;
      const part = chunk.subarray(0, next.target.length - next.filled);
      next.target.set(part, next.filled);
      next.filled += part.length;
      if (part.length < chunk.length) this.early.unshift(chunk.subarray(part.length));
    }
  }
}

/** The pipe of an engine process to its server. */
export function enginePipe(): Socket {
  return new Socket({ fd: PIPE_FD });
}
