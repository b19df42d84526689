// Entry of the processes that label: each has an engine of one thread and works on two chunks at a time,
// so that pictures of one are read, decoded and written while the engine works on the other.

import { setTimeout as sleep } from "node:timers/promises";
import { explainWrite } from "../atomic.node.js";
import { InputError, PictureError } from "../errors.js";
import { serveTasks } from "../evaluate/pool.js";
import { modelFacts } from "../evaluate/run.js";
import type { Segmentation } from "../groupvit.js";
import { decodePicture, GroupViT, type Picture } from "../index.js";
import type { Chunk } from "./chunks.js";
import { layout, type Manifest, readManifest } from "./manifest.js";
import { type PictureRecord, recordOf } from "./record.js";
import { describePlace, openPlace, type PicturePlace, type PictureReference } from "./reference.js";
import { Results } from "./results.js";

export interface LabelTask {
  /** Folder of the results, with its manifest. */
  readonly to: string;
  /** Of the manifest: another one means another model. */
  readonly run: string;
  readonly chunk: Chunk;
  readonly limitPixels?: number;
}

/** Tries for addresses, which may fail for a moment. */
const TRIES = 4;
const FIRST_PAUSE_MS = 500;

let loaded: { to: string; run: string; manifest: Manifest; model: GroupViT } | undefined;

/** Loads what a run is labelled with, once; runs of equal manifests in two folders are two runs. */
async function loadRun(to: string, run: string): Promise<{ manifest: Manifest; model: GroupViT }> {
  if (loaded?.to === to && loaded.run === run) return loaded;
  const manifest = await readManifest(to);
  const { source, sha256, dtype, device } = manifest.model;
  const facts = await modelFacts(source ?? undefined);
  if (facts.sha256 !== sha256) {
    throw new InputError(
      `model ${facts.name}: its weights here are not those of the run (${facts.sha256.slice(0, 12)}, ` +
        `not ${sha256.slice(0, 12)}); put the same files on every machine`,
    );
  }
  await loaded?.model.release();
  loaded = undefined;
  // One thread: sums round alike, whatever the number of processes.
  const model = await GroupViT.load(source ?? undefined, { dtype, device, threads: 1 });
  loaded = { to, run, manifest, model };
  return loaded;
}

/** Runs one after another what must not run side by side. */
function oneByOne(): <T>(work: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const own = last.then(work);
    last = own.catch(() => {});
    return own;
  };
}

const loading = oneByOne();
const engine = oneByOne();

async function labelChunk({ to, run, chunk, limitPixels }: LabelTask): Promise<void> {
  const { manifest, model } = await loading(() => loadRun(to, run));
  const results = new Results(layout(to).results);
  if (await results.isFinished(chunk.key)) return;
  const standing = await results.standing(chunk.key);
  const trail = await explainWrite(to, () => results.beginTrail(chunk.key));
  const { ended, poison } = trail;
  // A chunk that ended a process is worked on alone, so that the right picture is blamed.
  const turn: typeof engine = ended > 0 ? (work) => work() : engine;

  const label = async (reference: PictureReference, i: number): Promise<PictureRecord> => {
    const { name, place } = reference;
    if (poison.has(i)) {
      return { name, error: `${describePlace(place)}: it ended its process again and again` };
    }
    await trail.mark(i);
    try {
      const picture = await decode(place, limitPixels);
      return recordOf(name, await turn(() => segment(model, picture, manifest)));
    } catch (error) {
      if (error instanceof PictureError) return { name, error: error.message };
      throw error;
    }
  };
  const labelAll = async () => {
    const records: PictureRecord[] = [];
    for (const [i, reference] of chunk.pictures.entries()) {
      records.push(standing.get(reference.name) ?? (await label(reference, i)));
    }
    return records;
  };
  const records = await (ended > 0 ? engine(labelAll) : labelAll()).finally(() => trail.end());
  await explainWrite(to, () => results.write(chunk.key, records));
}

async function decode(place: PicturePlace, maxPixels?: number): Promise<Picture> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await decodePicture(await openPlace(place), { maxPixels });
    } catch (error) {
      if (!(error instanceof PictureError)) throw error;
      if ("shard" in place || "table" in place) {
        throw new PictureError(`${describePlace(place)}: ${error.message}`);
      }
      if (!("address" in place) || attempt === TRIES) throw error;
      await sleep(FIRST_PAUSE_MS * 2 ** (attempt - 1));
    }
  }
}

async function segment(
  model: GroupViT,
  picture: Picture,
  { labels, protocol }: Manifest,
): Promise<Segmentation> {
  const { mode, shortSide, ...options } = protocol;
  const encoded = await model.encode(picture, { mode, shortSide, maxPixels: Infinity });
  return encoded.segment(labels, options);
}

serveTasks(async () => {}, labelChunk);
