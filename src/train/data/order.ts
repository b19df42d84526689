// The order in which a rank sees its samples: shards permuted by seed and epoch, split over the ranks,
// then a shuffle buffer. Where it stands can be stored and taken up again exactly.

import { ConfigError, InputError } from "../../errors.js";
import { fnv1a, Random } from "../../random.js";
import type { SampleSource, ShardRef, SourceItem } from "./source.js";

export interface OrderOptions {
  /** Decides every shuffle. */
  seed: number;
  /** This process among `worldSize` (defaults 0 of 1). Ranks share no shard. */
  rank?: number;
  worldSize?: number;
  /** Samples from which the next is drawn; 1 keeps the order within shards. Default 1000. */
  shuffleBuffer?: number;
}

/**
 * Where a rank stands in its data; plain JSON. Samples in the shuffle buffer are noted by place, so that
 * resuming reads the few shards they come from and decodes nothing.
 */
export interface DataPosition {
  epoch: number;
  /** Samples drawn in this epoch, skipped ones included. */
  index: number;
  /** The rank's shard that is being read, counted in the epoch's order, and items read from it. */
  shard: number;
  item: number;
  /** Shard and item of each sample in the shuffle buffer, flat. */
  buffer: number[];
  /** State of the shuffle buffer's generator. */
  generator: number;
  /** Data and settings that the position belongs to. */
  fingerprint: string;
}

/** A shard that could not be read to its end. */
export interface ShardFault {
  readonly shard: string;
  readonly reason: string;
}

export interface OrderedSample {
  readonly item: SourceItem;
  readonly epoch: number;
  /** Place in this rank's epoch. */
  readonly index: number;
  /** The position after this sample. */
  position(): DataPosition;
}

/** Fills in defaults. @throws ConfigError naming the field that is wrong */
function orderOptions(options: OrderOptions): Required<OrderOptions> {
  const { seed, rank = 0, worldSize = 1, shuffleBuffer = 1000 } = options;
  const check = (name: string, value: number, low: number, high: number): void => {
    if (!Number.isInteger(value) || value < low || value > high) {
      throw new ConfigError(`data ${name} ${value}: give a whole number from ${low} to ${high}`);
    }
  };
  check("seed", seed, 0, 2 ** 32 - 1);
  check("worldSize", worldSize, 1, 65_536);
  check("rank", rank, 0, worldSize - 1);
  check("shuffleBuffer", shuffleBuffer, 1, 1_000_000);
  return { seed, rank, worldSize, shuffleBuffer };
}

/** The shards of one rank in one epoch, in reading order. */
export function epochShards(
  shards: readonly ShardRef[],
  epoch: number,
  options: OrderOptions,
): ShardRef[] {
  const { seed, rank, worldSize } = orderOptions(options);
  if (shards.length < worldSize) {
    throw new ConfigError(
      `data: ${shards.length} shards for ${worldSize} ranks; write smaller shards, so that each rank has one`,
    );
  }
  const random = new Random(`${seed}/${epoch}/shards`);
  const order = [...shards];
  for (let i = order.length - 1; i > 0; i--) {
    const j = random.integer(i + 1);
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return order.filter((_, i) => i % worldSize === rank);
}

function fingerprint(shards: readonly ShardRef[], options: Required<OrderOptions>): string {
  const { seed, rank, worldSize, shuffleBuffer } = options;
  const names = fnv1a(shards.map((shard) => shard.name).join("\n")).toString(16);
  return `seed ${seed}, rank ${rank} of ${worldSize}, buffer ${shuffleBuffer}, ${shards.length} shards ${names}`;
}

interface Buffered {
  shard: number;
  item: number;
  value: SourceItem;
}

/**
 * The samples of this rank, epoch after epoch without end. A shard that is missing or breaks off is
 * reported and passed over.
 *
 * @param start where to go on; the samples after it are those that followed when it was taken
 * @throws ConfigError where `start` belongs to other data or settings
 * @throws InputError where a whole epoch has no sample
 */
export async function* orderedSamples(
  source: SampleSource,
  options: OrderOptions,
  start: DataPosition | undefined,
  onFault: (fault: ShardFault) => void,
  signal?: AbortSignal,
): AsyncGenerator<OrderedSample> {
  const resolved = orderOptions(options);
  const all = source.shards();
  const own = fingerprint(all, resolved);
  let resumed = start;
  if (resumed) checkPosition(resumed, own, resolved.shuffleBuffer);
  for (let epoch = resumed?.epoch ?? 0; ; epoch++) {
    const shards = epochShards(all, epoch, resolved);
    const random = new Random(`${resolved.seed}/${epoch}/buffer/${resolved.rank}`);
    const buffer = resumed
      ? await restoreBuffer(source, shards, resumed.buffer, onFault, signal)
      : [];
    if (resumed) random.state = resumed.generator;
    let index = resumed?.index ?? 0;
    let fault: string | undefined;
    const firstShard = resumed?.shard ?? 0;
    let skip = resumed?.item ?? 0;
    resumed = undefined;

    const draw = (value: SourceItem, shard: number, item: number): OrderedSample => {
      index++;
      const places = new Int32Array(buffer.length * 2);
      for (let i = 0; i < buffer.length; i++) {
        places[2 * i] = buffer[i]!.shard;
        places[2 * i + 1] = buffer[i]!.item;
      }
      const [drawn, generator] = [index, random.state];
      return {
        item: value,
        epoch,
        index: drawn - 1,
        position: () => ({
          epoch,
          index: drawn,
          shard,
          item,
          buffer: Array.from(places),
          generator,
          fingerprint: own,
        }),
      };
    };

    for (let shard = firstShard; shard < shards.length; shard++) {
      let item = 0;
      try {
        for await (const value of source.open(shards[shard]!, signal)) {
          item++;
          if (item <= skip) continue;
          if (buffer.length < resolved.shuffleBuffer) {
            buffer.push({ shard, item: item - 1, value });
            continue;
          }
          const place = random.integer(buffer.length);
          const out = buffer[place]!.value;
          buffer[place] = { shard, item: item - 1, value };
          yield draw(out, shard, item);
        }
      } catch (error) {
        signal?.throwIfAborted();
        if (!(error instanceof InputError)) throw error;
        fault ??= error.message;
        onFault({ shard: shards[shard]!.name, reason: error.message });
      }
      skip = 0;
    }
    while (buffer.length > 0) {
      const place = random.integer(buffer.length);
      const out = buffer[place]!.value;
      buffer[place] = buffer[buffer.length - 1]!;
      buffer.pop();
      yield draw(out, shards.length, 0);
    }
    if (index === 0) {
      const { location } = source.describe();
      throw new InputError(
        `${location}: none of its ${shards.length} shards gives a sample${fault ? ` (${fault})` : ""}; ` +
          "check them",
      );
    }
  }
}

function checkPosition(position: DataPosition, own: string, shuffleBuffer: number): void {
  if (position.fingerprint !== own) {
    throw new ConfigError(
      `data position: it belongs to (${position.fingerprint}), this run has (${own}); resume with the ` +
        "same data and settings, or start the epoch anew",
    );
  }
  const { epoch, index, shard, item, buffer, generator } = position;
  const whole = [epoch, index, shard, item, ...buffer].every(
    (value) => Number.isSafeInteger(value) && value >= 0,
  );
  if (
    !whole ||
    !Number.isInteger(generator) ||
    buffer.length % 2 !== 0 ||
    buffer.length > 2 * shuffleBuffer
  ) {
    throw new ConfigError("data position: its numbers are damaged; resume from another checkpoint");
  }
}

/** Reads the buffered samples again, shard by shard. One that is gone stays as a skipped sample. */
async function restoreBuffer(
  source: SampleSource,
  shards: readonly ShardRef[],
  places: readonly number[],
  onFault: (fault: ShardFault) => void,
  signal?: AbortSignal,
): Promise<Buffered[]> {
  const buffer: Buffered[] = [];
  const wanted = new Map<number, Map<number, number>>();
  for (let i = 0; i < places.length; i += 2) {
    const [shard, item] = [places[i]!, places[i + 1]!];
    if (shard >= shards.length) {
      throw new ConfigError(`data position: shard ${shard} of ${shards.length}; it is damaged`);
    }
    const items = wanted.get(shard) ?? new Map<number, number>();
    items.set(item, i / 2);
    wanted.set(shard, items);
    buffer.push({ shard, item, value: { key: `${shard}/${item}`, skipped: "no picture" } });
  }
  for (const [shard, items] of wanted) {
    let item = 0;
    let left = items.size;
    try {
      for await (const value of source.open(shards[shard]!, signal)) {
        const place = items.get(item);
        if (place !== undefined) {
          buffer[place] = { shard, item, value };
          if (--left === 0) break;
        }
        item++;
      }
    } catch (error) {
      signal?.throwIfAborted();
      if (!(error instanceof InputError)) throw error;
      onFault({ shard: shards[shard]!.name, reason: error.message });
    }
  }
  return buffer;
}
