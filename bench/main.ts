// Runs the benchmarks, each group in a process of its own, and prints what they measured.
// npm run bench -- [--quick] [--filter TEXT] [--json]

import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import { saveHuggingFace } from "../src/checkpoint/save.node.js";
import type { BenchContext } from "./context.js";
import { benchRelabel, benchSegment } from "./pictures.js";
import { benchColdStart, benchManyPictures, benchMemory, benchTraining } from "./processes.js";
import { PUBLISHED, randomTensors } from "./published.js";
import { aims, machine, markdown, textTable } from "./report.js";
import type { Row } from "./row.js";
import { benchImageTower, benchRoof, benchTextTower } from "./towers.js";

const GROUPS: Record<string, (context: BenchContext) => Promise<Row[]>> = {
  roof: benchRoof,
  image: benchImageTower,
  text: benchTextTower,
  segment: benchSegment,
  relabel: benchRelabel,
  "cold-start": benchColdStart,
  memory: (context) => benchMemory(context, "fp32"),
  "memory-int8": (context) => benchMemory(context, "int8"),
  "many-pictures": benchManyPictures,
  training: benchTraining,
};

const { values } = parseArgs({
  options: {
    json: { type: "boolean", default: false },
    quick: { type: "boolean", default: false },
    filter: { type: "string", default: "" },
    /** Set by this program for its own children: a group, and the context as JSON. */
    group: { type: "string" },
    context: { type: "string" },
  },
});

async function inChild(group: string, context: BenchContext): Promise<Row[]> {
  const result = join(context.folder, `${group}.json`);
  const args = ["--group", group, "--context", JSON.stringify(context)];
  // Word embeddings of the benchmark stay out of the user's cache.
  const env = { ...process.env, GROUPVIT_CACHE: join(context.folder, "cache") };
  const { stderr } = await promisify(execFile)(process.execPath, [process.argv[1]!, ...args], {
    env,
    maxBuffer: 1 << 26,
  });
  if (stderr) process.stderr.write(stderr);
  return JSON.parse(await readFile(result, "utf8")) as Row[];
}

async function main(): Promise<void> {
  const { quick } = values;
  const chosen = Object.keys(GROUPS).filter((name) => name.includes(values.filter));
  if (chosen.length === 0) {
    console.error(
      `bench: no group holds "${values.filter}"; there are ${Object.keys(GROUPS).join(", ")}`,
    );
    process.exitCode = 2;
    return;
  }
  const folder = await mkdtemp(join(tmpdir(), "groupvit-bench-"));
  try {
    const context: BenchContext = {
      rounds: quick ? 5 : 25,
      budget: quick ? 5_000 : 30_000,
      quick,
      model: join(folder, "model"),
      folder,
    };
    await saveHuggingFace(context.model, { config: PUBLISHED, tensors: randomTensors(PUBLISHED) });
    const rows: Row[] = [];
    for (const group of chosen) {
      process.stderr.write(`bench: ${group} ...\n`);
      const own = await inChild(group, context);
      rows.push(...own);
      if (!values.json) console.log(textTable(own));
    }
    const on = machine();
    const reached = aims(rows);
    if (values.json) {
      console.log(JSON.stringify({ machine: on, quick, aims: reached, rows }, null, 2));
    } else {
      for (const { aim, reached: value, holds } of reached) {
        console.log(`${holds ? "reached " : "missed  "} ${aim}: ${value}`);
      }
    }
    if (values.filter === "") {
      const path = fileURLToPath(new URL("RESULTS.md", import.meta.url));
      await writeFile(path, markdown(rows, on, quick));
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

if (values.group && values.context) {
  const context = JSON.parse(values.context) as BenchContext;
  const rows = await GROUPS[values.group]!(context);
  await writeFile(join(context.folder, `${values.group}.json`), JSON.stringify(rows));
  process.exit(0);
} else {
  await main();
}
