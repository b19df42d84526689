// The loader of a job with several ranks: all read the same order, each prepares its share of every batch,
// and the batches are those of one process, whichever samples turn out to be unusable.

import { InputError } from "../../errors.js";
import type { Share } from "../parallel.js";
import type { TrainingBatch } from "./batches.js";
import { type BatchConfig, checkedConfig, emptyBatch, type LoaderReport } from "./batches.js";
import { type DataPosition, type OrderedSample, orderedSamples } from "./order.js";
import type { PreparedSample } from "./prepare.js";
import { isSkipped, type SkipReason } from "./source.js";
import { startPool } from "./workers.js";

/** A sample that may belong to the next batch. */
interface Candidate {
  ordered: OrderedSample;
  /** Why it does not; found by the source, or by the rank that prepared it. */
  skipped?: SkipReason;
  /** What this rank has made of it. */
  prepared?: PreparedSample;
}

/** Samples that turned out to be unusable: their places among the candidates, and why. */
type Found = [place: number, reason: SkipReason][];

const MAX_FAULTS = 100;
/** Samples in flight. */
const PREFETCH = 256;

/**
 * Batches as `batches` gives them, of which this rank has the samples of its share: pixels and texts.
 *
 * @param shares of each batch, taken in turns like the batches' sizes
 * @param exchange what each rank tells, in their order
 */
export function sharedBatches(
  shares: readonly Share[],
  exchange: (found: Found) => Promise<Found[]>,
): (config: BatchConfig, position?: DataPosition) => AsyncGenerator<TrainingBatch> {
  return async function* load(config, position) {
    const { sizes, shape, prepare } = checkedConfig(config);
    const { source, seed } = config;
    const report: LoaderReport = { samples: 0, skipped: {}, shardFaults: [] };
    const samples = orderedSamples(source, config, position, (fault) => {
      if (report.shardFaults.length < MAX_FAULTS) report.shardFaults.push(fault);
    });
    const most = Math.max(...shares.map(({ count }) => count));
    const slots = Array.from({ length: Math.min(most, PREFETCH) }, (_, slot) => slot);
    const pool = startPool(prepare, config.workers ?? 1, slots.length);
    const window: Candidate[] = [];
    const next = async (): Promise<Candidate> => {
      const { value, done } = await samples.next();
      if (done) throw new Error("the order ended");
      const { item } = value;
      return { ordered: value, ...(isSkipped(item) ? { skipped: item.skipped } : {}) };
    };

    /** Places of the first candidates that nobody has found unusable. */
    const choose = async (count: number): Promise<number[]> => {
      const rows: number[] = [];
      for (let place = 0; rows.length < count; place++) {
        if (place === window.length) window.push(await next());
        if (window[place]!.skipped === undefined) rows.push(place);
      }
      return rows;
    };

    /** Prepares what is not yet; returns what cannot be used. */
    const prepareAll = async (places: readonly number[]): Promise<Found> => {
      const todo = places.filter((place) => window[place]!.prepared === undefined);
      const found: Found = [];
      const work = async (slot: number): Promise<void> => {
        for (let place = todo.shift(); place !== undefined; place = todo.shift()) {
          const { item, epoch, index } = window[place]!.ordered;
          if (isSkipped(item)) throw new Error("it was to be left out");
          const result = await pool.prepare(slot, item, `${seed}/${epoch}/${index}`);
          if ("skipped" in result) found.push([place, result.skipped]);
          // The slot is taken by the next one.
          else window[place]!.prepared = { ...result, pixels: result.pixels.slice() };
        }
      };
      await Promise.all(slots.map(work));
      return found;
    };

    const usable = new UsableEpochs(source.describe().location, position);
    try {
      for (let turn = 0; ; turn = (turn + 1) % sizes.length) {
        const share = shares[turn]!;
        let rows: number[];
        for (;;) {
          rows = await choose(sizes[turn]!);
          const own = rows.slice(share.start, share.start + share.count);
          const found = (await exchange(await prepareAll(own))).flat();
          if (found.length === 0) break;
          for (const [place, reason] of found) window[place]!.skipped = reason;
          usable.check(window);
        }
        const last = rows.at(-1)!;
        const batch = emptyBatch([share.count, ...shape], report);
        for (const [row, place] of rows.entries()) {
          if (row < share.start || row >= share.start + share.count) continue;
          add(batch, window[place]!, row - share.start);
        }
        const { ordered } = window[last]!;
        const used = window.splice(0, last + 1);
        usable.pass(used);
        for (const { skipped } of used) {
          if (skipped === undefined) report.samples++;
          else report.skipped[skipped] = (report.skipped[skipped] ?? 0) + 1;
        }
        yield { ...batch, position: ordered.position() };
      }
    } finally {
      await pool.close();
      await samples.return(undefined);
    }
  };
}

function add(
  batch: Omit<TrainingBatch, "position">,
  { ordered, prepared }: Candidate,
  row: number,
): void {
  if (!prepared) throw new Error("a sample of this rank was not prepared");
  batch.pixels.set(prepared.pixels, row * prepared.pixels.length);
  batch.captions.push(prepared.caption);
  batch.prompts.push(prepared.prompts);
  batch.nouns.push(prepared.nouns);
  const { item, epoch, index } = ordered;
  batch.samples.push({ key: item.key, epoch, index });
}

/** Finds epochs without a single usable sample, of which a loader would read one after the other for ever. */
class UsableEpochs {
  /** The last epoch that has one, or of which the beginning is not known. */
  private latest: number;

  constructor(
    private readonly location: string,
    position: DataPosition | undefined,
  ) {
    this.latest = position && position.index > 0 ? position.epoch : -1;
  }

  pass(used: readonly Candidate[]): void {
    for (const { ordered, skipped } of used) {
      if (skipped === undefined) this.latest = ordered.epoch;
    }
  }

  check(window: readonly Candidate[]): void {
    const good = new Set([this.latest]);
    for (const { ordered, skipped } of window) if (skipped === undefined) good.add(ordered.epoch);
    const ended = window.at(-1)?.ordered.epoch ?? 0;
    const empty = window.find(({ ordered: { epoch } }) => epoch < ended && !good.has(epoch));
    if (!empty) return;
    throw new InputError(
      `${this.location}: no usable sample in epoch ${empty.ordered.epoch} ` +
        `(such as ${empty.ordered.item.key}: ${empty.skipped}); check the data`,
    );
  }
}
