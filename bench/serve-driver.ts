// The second process of the service's benchmark: clients that ask without a pause, or, as what they are
// compared with, one engine that does the same work without a service. Prints one line of JSON.
// serve-driver clients URL PICTURE CONNECTIONS SECONDS | serve-driver engine PICTURE SECONDS [MODEL]

import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { Agent, request } from "node:http";
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

function ask(url: URL, agent: Agent, picture: Uint8Array): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = { "content-type": "image/jpeg", "content-length": picture.length };
    const sent = request(url, { method: "POST", agent, headers }, (response) => {
      response.resume();
      response.on("error", reject);
      response.on("end", () => {
        const retryAfter = Number(response.headers["retry-after"] ?? 1);
        resolve({ status: response.statusCode ?? 0, retryAfter });
      });
    });
    sent.on("error", reject);
    sent.end(picture);
  });
}

async function clients(
  url: string,
  picture: Uint8Array,
  connections: number,
  seconds: number,
): Promise<ClientReport> {
  const target = new URL(`/v1/segment?labels=${encodeURIComponent(WORDS.join(","))}`, url);
  const agent = new Agent({ keepAlive: true, maxSockets: connections });
  const times: number[] = [];
  let refused = 0;
  let errors = 0;
  const began = performance.now();
  const end = began + seconds * 1000;
  const client = async () => {
    while (performance.now() < end) {
      const asked = performance.now();
      const { status, retryAfter } = await ask(target, agent, picture).catch(() => ({
        status: 0,
        retryAfter: 1,
      }));
      if (status === 200) times.push(performance.now() - asked);
      else if (status === 429) refused++;
      else errors++;
      if (status !== 200) await sleep(Math.min(1000 * retryAfter, end - performance.now()));
    }
  };
  await Promise.all(Array.from({ length: connections }, client));
  const rate = times.length / ((performance.now() - began) / 1000);
  agent.destroy();
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
