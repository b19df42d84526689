// From starting Node to the first mask: the command line, and the package step by step.

import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { BUNDLED_MODEL, exportOnnx, loadCheckpoint } from "../src/index.js";
import type { BenchContext } from "./context.js";
import { COMMAND, ENTRY, isBuilt, ROOT } from "./dist.js";
import { pictureFile, WORDS } from "./material.js";
import { elapsed, takeTurns } from "./measure.js";
import type { Row } from "./row.js";
import { NAIVE, timeRow } from "./row.js";

// From the package's folder, so that its packages are found.
const run = (...args: string[]) => promisify(execFile)(process.execPath, args, { cwd: ROOT });

const STEPS = ["import the package", "load the model", "encode (first)", "segment (first)"];
const STEPS_CODE = `
  const times = []; let last = performance.now();
  const lap = () => { times.push(performance.now() - last); last = performance.now(); };
  const [entry, folder, picture, ...words] = process.argv.slice(1);
  const { GroupViT } = await import(entry); lap();
  const model = await GroupViT.load(folder); lap();
  const encoded = await model.encode(picture); lap();
  await encoded.segment(words); lap();
  console.log(JSON.stringify(times));`;

/** An exported file in ONNX Runtime: no tokenizer, no masks. */
const NAIVE_CODE = `
  const [file, picture, words] = process.argv.slice(1);
  const { InferenceSession, Tensor } = await import("onnxruntime-node");
  const { default: sharp } = await import("sharp");
  const session = await InferenceSession.create(file);
  const pixels = await sharp(picture).resize(224, 224, { fit: "cover" }).raw().toBuffer();
  const values = Float32Array.from({ length: pixels.length }, (_, i) =>
    pixels[3 * (i % (224 * 224)) + Math.floor(i / (224 * 224))] / 128 - 1);
  const ids = new BigInt64Array(77 * Number(words)).fill(49407n);
  await session.run({
    pixel_values: new Tensor("float32", values, [1, 3, 224, 224]),
    input_ids: new Tensor("int64", ids, [Number(words), 77]),
  });`;

export async function benchColdStart(context: BenchContext): Promise<Row[]> {
  if (!isBuilt("cold start")) return [];
  const picture = await pictureFile(context.folder);
  const file = join(context.folder, "bundled.onnx");
  const exported = exportOnnx(await loadCheckpoint(BUNDLED_MODEL), { parts: "one" });
  await writeFile(file, exported.get("groupvit.onnx")!);
  const module = (code: string, ...args: string[]) =>
    run("--input-type=module", "-e", code, ...args);
  const segment = (model: string, words: string) =>
    run(COMMAND, "segment", picture, "--labels", words, "--model", model, "--out", context.folder);
  const steps: Record<string, number[][]> = {};
  const package_ = (kind: string, model: string) => async () => {
    const { stdout } = await module(STEPS_CODE, ENTRY, model, picture, ...WORDS);
    steps[kind] = [...(steps[kind] ?? []), JSON.parse(stdout) as number[]];
  };
  let serial = 0;
  const naive = `bundled model, ${NAIVE}: exported file, both towers, no mask`;
  const bundled = "bundled model, package to the first mask of 20 words";
  const cases: Record<string, () => unknown> = {
    "node itself": () => run("-e", "0"),
    "groupvit --help": () => run(COMMAND, "--help"),
    [naive]: () => module(NAIVE_CODE, file, picture, String(WORDS.length)),
    [bundled]: package_("bundled", BUNDLED_MODEL),
    "bundled model, groupvit segment, 3 words": () => segment(BUNDLED_MODEL, "dog, tree, sky"),
    "full-size model, package to the first mask of 20 words": package_("full size", context.model),
    "full-size model, groupvit segment, 3 known words": () =>
      segment(context.model, "dog, tree, sky"),
    "full-size model, groupvit segment, 3 new words": () =>
      segment(context.model, `dog${++serial}, tree${serial}, sky${serial}`),
  };
  const turns: Record<string, () => Promise<number>> = {};
  for (const [name, start] of Object.entries(cases)) {
    await start();
    turns[name] = () => elapsed(start);
  }
  const times = await takeTurns(turns, Math.min(context.rounds, 7), context.budget);
  const group = "cold start";
  const rows = Object.entries(times).map(([name, own]) =>
    timeRow(group, name, own, { naive: name === bundled ? times[naive] : undefined }),
  );
  for (const [kind, laps] of Object.entries(steps)) {
    // The first was the warm-up, which also filled the store of words.
    const timed = laps.slice(1);
    STEPS.forEach((step, i) => {
      const own = timed.map((lap) => lap[i]!);
      rows.push(timeRow(group, `of ${kind}: ${step}`, own));
    });
  }
  return rows;
}
