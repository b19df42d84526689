// Requests that no HTTP client would send: bytes on a socket, and what comes back.

import { connect, type Socket } from "node:net";

export interface RawAnswer {
  /** 0 where the connection was closed without an answer. */
  status: number;
  headers: Map<string, string>;
  body: string;
}

type Part = string | Uint8Array;

/** Sends bytes, and gives the first answer; the connection is closed then. */
export function sendRaw(
  port: number,
  parts: Part | Iterable<Part> | AsyncIterable<Part>,
  { end = false } = {},
): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    const chunks: Buffer[] = [];
    let done = false;
    const finish = () => {
      if (done) return;
      done = true;
      socket.destroy();
      resolve(parseAnswer(Buffer.concat(chunks)));
    };
    socket.on("data", (chunk) => {
      chunks.push(chunk);
      if (isWhole(Buffer.concat(chunks))) finish();
    });
    socket.on("end", finish);
    // A server that has seen enough closes; what it said before counts.
    socket.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "ECONNREFUSED") reject(error);
      else finish();
    });
    socket.on("connect", () => {
      const list = typeof parts === "string" || parts instanceof Uint8Array ? [parts] : parts;
      write(socket, list, () => done)
        .then(() => end && socket.end())
        .catch(finish);
    });
  });
}

async function write(
  socket: Socket,
  parts: Iterable<Part> | AsyncIterable<Part>,
  isDone: () => boolean,
): Promise<void> {
  for await (const part of parts) {
    if (isDone()) return;
    if (socket.write(part)) continue;
    await new Promise<void>((resolve) => {
      socket.once("drain", resolve);
      socket.once("close", () => resolve());
    });
  }
}

/** A request's text. */
export function request(
  method: string,
  path: string,
  headers: Record<string, string | number> = {},
  body = "",
): string {
  const lines = Object.entries({ host: "localhost", ...headers }).map(([k, v]) => `${k}: ${v}\r\n`);
  return `${method} ${path} HTTP/1.1\r\n${lines.join("")}\r\n${body}`;
}

/** A chunk of a chunked body. */
export function chunk(bytes: Uint8Array): Uint8Array {
  return Buffer.concat([
    Buffer.from(`${bytes.length.toString(16)}\r\n`),
    bytes,
    Buffer.from("\r\n"),
  ]);
}

function isWhole(bytes: Buffer): boolean {
  const at = bytes.indexOf("\r\n\r\n");
  if (at < 0) return false;
  const length = /\r\ncontent-length: (\d+)/i.exec(bytes.toString("latin1", 0, at))?.[1];
  return length !== undefined && bytes.length >= at + 4 + Number(length);
}

function parseAnswer(bytes: Buffer): RawAnswer {
  const at = bytes.indexOf("\r\n\r\n");
  const [first = "", ...lines] = bytes.toString("latin1", 0, Math.max(0, at)).split("\r\n");
  const headers = new Map(
    lines.map((line): [string, string] => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
    }),
  );
  const status = Number(/^HTTP\/1\.1 (\d+)/.exec(first)?.[1] ?? 0);
  return { status, headers, body: bytes.toString("utf8", at + 4) };
}
