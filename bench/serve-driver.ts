// The second process of the service's benchmark: clients that ask without a pause, or, as what they are
// compared with, one engine that does the same work without a service. Prints one line of JSON.
// serve-driver clients URL PICTURE CONNECTIONS SECONDS | serve-driver engine PICTURE SECONDS [MODEL]

import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { built } from "./dist.js";
import { WORDS } from "./material.js";
import { quantile } from "./measure.js";

/** What clients saw. */
export interface ClientReport {
  /** Pictures a second. */
  rate: number;
  /** Answers with 429. */
  refused: number;
  /** Anything but 200 and 429. */
  errors: number;
  /** Milliseconds of answers with 200. */
  p50: number;
  p95: number;
  p99: number;
}

interface Answer {
  status: number;
  retryAfter: number;
}

/**
 * One connection that is kept: the same bytes are sent for each request, and of an answer only its head is looked at. A
 * client of Node's own costs a third of what the service does, on cores that both share here.
 */
class Connection {
  private socket?: Socket;

  constructor(private readonly url: URL) {}

  ask(message: Uint8Array): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.socket ??= connect(Number(this.url.port), this.url.hostname).setNoDelay();
      const { socket } = this;
      let head = "";
      let missing: number | undefined;
      const end = (error?: Error) => {
        socket.removeAllListeners();
        if (!error) return resolve(readHead(head));
        socket.on("error", () => {}).destroy();
        this.socket = undefined;
        reject(error);
      };
      socket.on("error", end);
      socket.on("close", () => end(new Error("closed without an answer")));
      socket.on("data", (chunk: Buffer) => {
        if (missing === undefined) {
          head += chunk.toString("latin1");
          const cut = head.indexOf("\r\n\r\n");
          if (cut < 0) return;
          const length = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0);
          missing = length - (head.length - cut - 4);
          head = head.slice(0, cut);
        } else missing -= chunk.length;
        if (missing <= 0) end();
      });
      socket.write(message);
    });
  }

  close(): void {
    this.socket?.destroy();
  }
}

function readHead(head: string): Answer {
  const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1] ?? 0);
  return { status, retryAfter: Number(/^retry-after: (\d+)/im.exec(head)?.[1] ?? 1) };
}

async function clients(
  url: string,
  picture: Uint8Array,
  connections: number,
  seconds: number,
): Promise<ClientReport> {
  const target = new URL(`/v1/segment?labels=${encodeURIComponent(WORDS.join(","))}`, url);
  const message = Buffer.concat([
    Buffer.from(
      `POST ${target.pathname}${target.search} HTTP/1.1\r\nhost: ${target.host}\r\n` +
        `content-type: image/jpeg\r\ncontent-length: ${picture.length}\r\n\r\n`,
    ),
    picture,
  ]);
  const times: number[] = [];
  let refused = 0;
  let errors = 0;
  const began = performance.now();
  const end = began + seconds * 1000;
  const client = async () => {
    const connection = new Connection(target);
    while (performance.now() < end) {
      const asked = performance.now();
      const { status, retryAfter } = await connection.ask(message).catch(() => ({
        status: 0,
        retryAfter: 1,
      }));
      if (status === 200) times.push(performance.now() - asked);
      else if (status === 429) refused++;
      else errors++;
      if (status !== 200) await sleep(Math.min(1000 * retryAfter, end - performance.now()));
    }
    connection.close();
  };
  await Promise.all(Array.from({ length: connections }, client));
  const rate = times.length / ((performance.now() - began) / 1000);
  const [p50 = 0, p95 = 0, p99 = 0] =
    times.length === 0 ? [] : [0.5, 0.95, 0.99].map((share) => quantile(times, share));
  return { rate, refused, errors, p50, p95, p99 };
}

/** What one engine with one thread does, from the picture file to the JSON. */
async function engine(
  picture: Uint8Array,
  seconds: number,
  source: string | undefined,
): Promise<{ rate: number }> {
  const { GroupViT, reportPicture } = await built<typeof import("../src/index.js")>("index");
  const model = await GroupViT.load(source, { threads: 1 });
  const segmentOnce = async () => {
    const result = await (await model.encode(picture)).segment(WORDS);
    return JSON.stringify(reportPicture("picture", result, result.scores, null));
  };
  await segmentOnce();
  console.log("ready");
  await once(process.stdin, "data");
  const began = performance.now();
  let done = 0;
  for (; performance.now() - began < seconds * 1000; done++) await segmentOnce();
  return { rate: done / ((performance.now() - began) / 1000) };
}

const [mode, ...rest] = process.argv.slice(2);
const report =
  mode === "engine"
    ? await engine(await readFile(rest[0]!), Number(rest[1]), rest[2])
    : await clients(rest[0]!, await readFile(rest[1]!), Number(rest[2]), Number(rest[3]));
console.log(JSON.stringify(report));
process.exit(0);
