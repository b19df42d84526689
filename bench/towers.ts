// The two towers alone: times beside the naive graph and the sgemm roof, and other weight formats.

import { constant, input, linear } from "../src/graph/build.js";
import type { WeightFormat } from "../src/graph/onnx.js";
import { toOnnx } from "../src/graph/onnx.js";
import type { Outputs } from "../src/model/inference.js";
import { imageGraph, textGraph } from "../src/model/inference.js";
import { paddedLength, textFeeds } from "../src/runtime/engine.js";
import type { Session, Value } from "../src/runtime/session.js";
import { createSession } from "../src/runtime/session.node.js";
import type { BenchContext } from "./context.js";
import { gigaFlop } from "./flops.js";
import { wordCount } from "./material.js";
import { interleave, median } from "./measure.js";
import { paddedTextFeeds, separateProjections } from "./naive.js";
import { PUBLISHED, randomFloats, randomWeights } from "./published.js";
import type { Row } from "./row.js";
import { NAIVE, timeRow } from "./row.js";

/** Rows, inputs and outputs of the products that the roof is measured on; the last is the roof. */
type Product = readonly [rows: number, inner: number, columns: number];
const ROOF: Product = [1568, 1536, 384];
const ROOF_SHAPES: readonly Product[] = [
  [848, 384, 1152],
  [848, 384, 1536],
  [848, 1536, 384],
  ROOF,
];

/** A product with constant weights, alone in a graph: what the engine can do at best. */
export async function roofSession([rows, inner, columns]: Product = ROOF) {
  const weight = constant(randomFloats("roof", inner * columns, 0.1), [columns, inner]);
  const outputs = { y: linear(input("x", "f32", [rows, inner]), weight) };
  const session = await createSession(toOnnx(outputs, { weights: new Map() }), {
    keepMemory: true,
  });
  const feeds = { x: { shape: [rows, inner], data: randomFloats("x", rows * inner) } };
  return { run: () => session.run(feeds), gflop: (2 * rows * inner * columns) / 1e9, session };
}

export async function benchRoof({ rounds, budget }: BenchContext): Promise<Row[]> {
  const rows: Row[] = [];
  const products = await Promise.all(ROOF_SHAPES.map((shape) => roofSession(shape)));
  const names = ROOF_SHAPES.map(([m, k, n]) => `[${m}, ${k}] x [${k}, ${n}]`);
  const cases = Object.fromEntries(names.map((name, i) => [name, products[i]!.run]));
  const times = await interleave(cases, rounds, budget);
  const roof = { times: times[names.at(-1)!]!, gflop: products.at(-1)!.gflop };
  names.forEach((name, i) => {
    rows.push(timeRow("sgemm roof", name, times[name]!, { gflop: products[i]!.gflop, roof }));
  });
  return rows;
}

function imageFeeds(batch: number, patches: number): Record<string, Value> {
  const { hiddenSize, patchSize, numChannels } = PUBLISHED.vision;
  const inside = patchSize ** 2 * numChannels;
  return {
    patches: {
      shape: [batch, patches, inside],
      data: randomFloats("patches", batch * patches * inside, 2),
    },
    positions: {
      shape: [1, patches, hiddenSize],
      data: randomFloats("positions", patches * hiddenSize, 0.5),
    },
  };
}

const FORMATS: readonly WeightFormat[] = ["fp32", "fp16", "int8"];

async function sessionsOf(
  graph: Outputs,
  weights: ReadonlyMap<string, Float32Array>,
): Promise<Record<"naive" | WeightFormat, Session>> {
  const sessions: Partial<Record<"naive" | WeightFormat, Session>> = {};
  const options = { keepMemory: true };
  sessions.naive = await createSession(toOnnx(separateProjections(graph), { weights }), options);
  for (const format of FORMATS) {
    // As `Engine` opens them.
    const onnx = toOnnx(graph, { weights, format, fuseAttention: true });
    sessions[format] = await createSession(onnx, options);
  }
  return sessions as Record<"naive" | WeightFormat, Session>;
}

export async function benchImageTower({ rounds, budget }: BenchContext): Promise<Row[]> {
  const graph = imageGraph(PUBLISHED);
  const sessions = await sessionsOf(graph, randomWeights(PUBLISHED));
  const roof = await roofSession();
  const rows: Row[] = [];
  for (const side of [224, 448]) {
    for (const batch of [1, 8]) {
      const patches = (side / PUBLISHED.vision.patchSize) ** 2;
      const feeds = imageFeeds(batch, patches);
      const gflop = gigaFlop(graph, { batch, patches });
      const times = await interleave(
        {
          roof: roof.run,
          naive: () => sessions.naive.run(feeds),
          fp32: () => sessions.fp32.run(feeds),
          fp16: () => sessions.fp16.run(feeds),
          int8: () => sessions.int8.run(feeds),
        },
        rounds,
        budget,
      );
      const extra = { gflop, roof: { times: times.roof, gflop: roof.gflop } };
      const group = `image tower ${side} px, batch ${batch}`;
      rows.push(
        timeRow(group, "fp32", times.fp32, { ...extra, naive: times.naive }),
        timeRow(group, NAIVE, times.naive, extra),
        timeRow(group, "fp16", times.fp16, { naive: times.naive }),
        timeRow(group, "int8", times.int8, { naive: times.naive }),
      );
    }
  }
  return rows;
}

/** Prompts of 9 to 11 tokens, as "a photo of a {}." gives. */
function randomPrompts(count: number): number[][] {
  const { bosTokenId, eosTokenId } = PUBLISHED.text;
  return Array.from({ length: count }, (_, i) => [
    bosTokenId,
    ...Array.from({ length: 7 + (i % 3) }, (_, j) => 300 + ((i * 31 + j * 17) % 40000)),
    eosTokenId,
  ]);
}

export async function benchTextTower({ rounds, budget, quick }: BenchContext): Promise<Row[]> {
  const graph = textGraph(PUBLISHED);
  const sessions = await sessionsOf(graph, randomWeights(PUBLISHED));
  const roof = await roofSession();
  const rows: Row[] = [];
  /** Words that go through at once, as in `Engine.encodeTexts`. */
  const part = 256;
  for (const words of quick ? [1, 21, 100] : [1, 21, 100, 1000]) {
    const prompts = randomPrompts(words);
    const parts: Record<string, Value>[][] = [[], []];
    let gflop = 0;
    for (let start = 0; start < words; start += part) {
      const some = prompts.slice(start, start + part);
      const longest = Math.max(...some.map((prompt) => prompt.length));
      const feeds = textFeeds(some, paddedLength(longest, PUBLISHED.text));
      parts[0]!.push(feeds);
      parts[1]!.push(paddedTextFeeds(some, PUBLISHED.text));
      gflop += gigaFlop(graph, { batch: some.length, tokens: feeds.ids!.shape[1]! });
    }
    const all = (session: Session, feeds: Record<string, Value>[]) => async () => {
      for (const one of feeds) await session.run(one);
    };
    const times = await interleave(
      {
        roof: roof.run,
        naive: all(sessions.naive, parts[1]!),
        fp32: all(sessions.fp32, parts[0]!),
        fp16: all(sessions.fp16, parts[0]!),
        int8: all(sessions.int8, parts[0]!),
      },
      rounds,
      budget,
    );
    const group = `text tower, ${wordCount(words)}`;
    const extra = { gflop, roof: { times: times.roof, gflop: roof.gflop } };
    const each = `${(median(times.fp32) / words).toFixed(2)} ms a word`;
    rows.push(
      timeRow(group, "fp32", times.fp32, { ...extra, naive: times.naive, note: each }),
      timeRow(group, NAIVE, times.naive, { note: "padded to 77 tokens" }),
      timeRow(group, "fp16", times.fp16, { naive: times.naive }),
      timeRow(group, "int8", times.int8, { naive: times.naive }),
    );
  }
  return rows;
}
