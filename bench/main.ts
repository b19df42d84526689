// Runs the benchmarks, each part in a process of its own, prints what they measured, and writes
// RESULTS.md, results.json and results.svg.
// npm run bench -- [--quick] [--only TEXT] [--json]

import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import { saveHuggingFace } from "../src/checkpoint/save.node.js";
import { aims } from "./aims.js";
import { chart } from "./chart.js";
import { benchColdStart } from "./cold-start.js";
import type { BenchContext } from "./context.js";
import { benchEvaluation } from "./evaluation.js";
import { benchLabelling } from "./labelling.js";
import { benchLoader, benchScenesLoader } from "./loader.js";
import { benchManyPictures, benchMemory, benchNaiveMemory } from "./memory.js";
import { benchRelabel, benchSegment } from "./pictures.js";
import { PUBLISHED, randomTensors } from "./published.js";
import { machine, markdown, textTable } from "./report.js";
import { comparePeaks, type Row } from "./row.js";
import { benchScaling } from "./scaling.js";
import { benchServe } from "./serve.js";
import { benchNaiveSize, benchPictureSize } from "./sizes.js";
import { benchImageTower, benchRoof, benchTextTower } from "./towers.js";
import { benchScenesTraining, benchTraining } from "./training.js";
import { benchKnownWords, benchNewWords } from "./vocabulary.js";

const PARTS: Record<string, (context: BenchContext) => Promise<Row[]>> = {
  "sgemm roof": benchRoof,
  "image tower": benchImageTower,
  "text tower": benchTextTower,
  segment: benchSegment,
  relabel: benchRelabel,
  "vocabulary, known words": benchKnownWords,
  "vocabulary, new words": benchNewWords,
  "picture size 224": (context) => benchPictureSize(context, 224),
  "picture size 224, naive path": () => benchNaiveSize(224),
  "picture size 448": (context) => benchPictureSize(context, 448),
  "picture size 448, naive path": () => benchNaiveSize(448),
  "picture size 1024": (context) => benchPictureSize(context, 1024),
  "picture size 1024, naive path": () => benchNaiveSize(1024),
  "picture size 2048": (context) => benchPictureSize(context, 2048),
  "cold start": benchColdStart,
  "memory, naive path": benchNaiveMemory,
  "memory, fp32": (context) => benchMemory(context, "fp32"),
  "memory, int8": (context) => benchMemory(context, "int8"),
  "memory, many pictures": benchManyPictures,
  "training step, published": benchTraining,
  "training step, scenes": benchScenesTraining,
  "training loader, tar": benchLoader,
  "training loader, scenes": benchScenesLoader,
  evaluation: benchEvaluation,
  labelling: benchLabelling,
  serve: benchServe,
  "training step, ranks": benchScaling,
};

const { values } = parseArgs({
  options: {
    json: { type: "boolean", default: false },
    quick: { type: "boolean", default: false },
    /** Runs the parts whose name contains it, and writes no files. */
    only: { type: "string", default: "" },
    /** Set by this program for its own children: a part, and the context as JSON. */
    part: { type: "string" },
    context: { type: "string" },
  },
});

const resultOf = (folder: string) => join(folder, "rows.json");

async function inChild(part: string, context: BenchContext): Promise<Row[]> {
  const args = ["--part", part, "--context", JSON.stringify(context)];
  // Word embeddings stay out of the user's cache, and no part knows another's words.
  const env = { ...process.env, GROUPVIT_CACHE: join(context.folder, "cache", part) };
  const { stderr } = await promisify(execFile)(process.execPath, [process.argv[1]!, ...args], {
    env,
    maxBuffer: 1 << 26,
  });
  if (stderr) process.stderr.write(stderr);
  return JSON.parse(await readFile(resultOf(context.folder), "utf8")) as Row[];
}

async function runParts(parts: readonly string[], quick: boolean): Promise<Row[]> {
  const folder = await mkdtemp(join(tmpdir(), "groupvit-bench-"));
  try {
    const context: BenchContext = {
      rounds: quick ? 5 : 25,
      budget: quick ? 3_000 : 30_000,
      quick,
      model: join(folder, "model"),
      folder,
    };
    await saveHuggingFace(context.model, { config: PUBLISHED, tensors: randomTensors(PUBLISHED) });
    const rows: Row[] = [];
    for (const part of parts) {
      const began = performance.now();
      process.stderr.write(`bench: ${part} ... `);
      rows.push(...(await inChild(part, context)));
      process.stderr.write(`${((performance.now() - began) / 1000).toFixed(0)} s\n`);
    }
    comparePeaks(rows);
    return rows;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function main({ quick, only, json }: typeof values): Promise<void> {
  const parts = Object.keys(PARTS).filter((name) => name.includes(only));
  if (parts.length === 0) {
    const there = Object.keys(PARTS).join("; ");
    console.error(`bench: no part's name contains "${only}"; there are: ${there}`);
    process.exitCode = 2;
    return;
  }
  const rows = await runParts(parts, quick);
  const results = { machine: machine(), quick, aims: aims(rows), rows };
  const text = `${JSON.stringify(results, null, 2)}\n`;
  if (json) {
    process.stdout.write(text);
  } else {
    console.log(textTable(rows));
    for (const { aim, reached, holds } of results.aims) {
      console.log(`${holds ? "reached " : "missed  "} ${aim}: ${reached}`);
    }
  }
  if (only !== "") return;
  const write = (name: string, content: string) =>
    writeFile(fileURLToPath(new URL(name, import.meta.url)), content);
  await write("results.json", text);
  await write("results.svg", chart(rows, results.machine));
  await write("RESULTS.md", markdown(results));
}

if (values.part && values.context) {
  const context = JSON.parse(values.context) as BenchContext;
  const rows = await PARTS[values.part]!(context);
  await writeFile(resultOf(context.folder), JSON.stringify(rows));
  process.exit(0);
} else {
  await main(values);
}
