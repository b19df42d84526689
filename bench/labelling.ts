// Labelling: pictures a second from picture files to annotation files, beside what as many processes of
// one thread do that only encode and segment (the engine's limit), or decode as well.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, writeFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import type { AnnotationFormatName } from "../src/annotate/index.js";
import type { Manifest } from "../src/label/manifest.js";
import type { BenchContext } from "./context.js";
import { built, ENTRY, isBuilt } from "./dist.js";
import { blobs, jpeg, WORDS } from "./material.js";
import { elapsed, ratio, takeTurns } from "./measure.js";
import { type Row, rateRow } from "./row.js";

/** Pictures a process that are left out of the rate, with which it starts: a few chunks. */
const FEW = { bundled: 40, published: 10 };

type Run = typeof import("../src/label/run.js");
type Facts = typeof import("../src/evaluate/run.js");
type Manifests = typeof import("../src/label/manifest.js");
type Sources = typeof import("../src/cli/label-sources.js");

/** Loads the model, and works through its pictures when told to. */
const LIMIT_CODE = `
  const [entry, decodes, source, words, ...files] = process.argv.slice(1);
  const { GroupViT, decodePicture } = await import(entry);
  const labels = JSON.parse(words);
  const model = await GroupViT.load(source || undefined, { threads: 1 });
  const held = decodes ? files : await Promise.all(files.map((file) => decodePicture(file)));
  const segment = async (source) => (await model.encode(source)).segment(labels);
  await segment(held[0]);
  process.on("message", async () => {
    // Decoding goes on beside the engine, as in labelling.
    let next = decodePicture(held[0]);
    for (let i = 0; i < held.length; i++) {
      const picture = await next;
      if (i + 1 < held.length) next = decodePicture(held[i + 1]);
      await segment(picture);
    }
    process.send("done");
  });
  process.send("ready");
`;

async function startLimit(
  files: readonly string[],
  decodes: boolean,
  source: string | null,
): Promise<ChildProcess> {
  const args = [ENTRY, decodes ? "yes" : "", source ?? "", JSON.stringify(WORDS), ...files];
  const child = spawn(process.execPath, ["--input-type=module", "-e", LIMIT_CODE, "--", ...args], {
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
  await once(child, "message");
  return child;
}

/** Milliseconds a picture of processes without anything but engine, and decoding if wanted. */
async function limit(
  files: readonly string[],
  processes: number,
  decodes: boolean,
  source: string | null,
): Promise<number> {
  const children = await Promise.all(
    Array.from({ length: processes }, (_, own) =>
      startLimit(
        files.filter((_, i) => i % processes === own),
        decodes,
        source,
      ),
    ),
  );
  const time = await elapsed(() =>
    Promise.all(
      children.map((child) => {
        child.send("go");
        return once(child, "message");
      }),
    ),
  );
  for (const child of children) child.kill();
  return time / files.length;
}

/** Milliseconds a picture by which a run of all takes longer than one of few: starting up is left out. */
async function label(
  files: readonly string[],
  manifest: Manifest,
  to: string,
  formats: readonly AnnotationFormatName[],
  processes: number,
  few: number,
): Promise<number> {
  const { labelPictures, localEngine } = await built<Run>("label/run");
  const { findPictures } = await built<Sources>("cli/label-sources");
  const run = (part: readonly string[]) =>
    elapsed(() =>
      labelPictures({
        found: findPictures(part),
        manifest,
        to,
        formats,
        review: 0,
        fresh: true,
        engine: localEngine(processes),
      }),
    );
  const first = files.slice(0, few * processes);
  return ((await run(files)) - (await run(first))) / (files.length - first.length);
}

export async function benchLabelling(context: BenchContext): Promise<Row[]> {
  if (!isBuilt("labelling")) return [];
  const bundled = await benchModel(context, "bundled", null, context.quick ? 200 : 1000);
  // A picture takes so long here that reading and writing hardly count.
  const published = await benchModel(context, "published", context.model, context.quick ? 60 : 200);
  return [...bundled, ...published];
}

async function benchModel(
  context: BenchContext,
  name: keyof typeof FEW,
  source: string | null,
  count: number,
): Promise<Row[]> {
  const processes = availableParallelism();
  const folder = join(context.folder, "to-label", name);
  await mkdir(folder, { recursive: true });
  const files = Array.from({ length: count }, (_, i) => join(folder, `${i}.jpg`));
  for (const [i, file] of files.entries()) await writeFile(file, await jpeg(blobs(480, 360, i)));
  const { modelFacts } = await built<Facts>("evaluate/run");
  const { packageVersion } = await built<Manifests>("label/manifest");
  const { sha256, shortSide } = await modelFacts(source ?? undefined);
  const manifest: Manifest = {
    format: "groupvit-labels/1",
    version: packageVersion(),
    model: { source, sha256, dtype: "fp32", device: "cpu" },
    labels: [...WORDS],
    protocol: { prompts: "simple", mode: "whole", shortSide, topK: 5, background: "none" },
  };
  const to = join(context.folder, "labelled", name);
  const [engine, decoded] = ["engine alone, pictures decoded", "decoding and engine"];
  const times = await takeTurns(
    {
      [engine]: () => limit(files, processes, false, source),
      [decoded]: () => limit(files, processes, true, source),
      "labelling, coco": () => label(files, manifest, to, ["coco"], processes, FEW[name]),
      "labelling, png and coco": () =>
        label(files, manifest, to, ["png", "coco"], processes, FEW[name]),
    },
    Math.min(context.rounds, 5),
    context.budget,
  );
  const share = (of: string, other: string) =>
    `${(100 * ratio(times[of]!, times[other]!)).toFixed(0)} %`;
  const group = `labelling of ${count} pictures of 480 x 360, ${name} model, ${processes} processes`;
  return Object.entries(times).map(([row, own]) =>
    rateRow(group, row, "pictures/s", own, {
      note: row.startsWith("labelling")
        ? `${share(engine, row)} of the engine, ${share(decoded, row)} of decoding and engine`
        : undefined,
    }),
  );
}
