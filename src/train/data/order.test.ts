import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ConfigError, InputError } from "../../errors.js";
import { type DataPosition, epochShards, type OrderOptions, orderedSamples } from "./order.js";
import { memorySource, type SampleSource } from "./source.js";

function numbered(count: number, perShard: number): SampleSource {
  const samples = Array.from({ length: count }, (_, i) => ({
    key: String(i),
    image: new Uint8Array(1),
    caption: "x",
  }));
  return memorySource(samples, perShard);
}

/** The next `count` keys with the position after each. */
async function take(
  source: SampleSource,
  options: OrderOptions,
  count: number,
  start?: DataPosition,
  faults: string[] = [],
): Promise<{ key: string; epoch: number; position: DataPosition }[]> {
  const out: { key: string; epoch: number; position: DataPosition }[] = [];
  const stream = orderedSamples(source, options, start, (fault) => faults.push(fault.shard));
  for await (const sample of stream) {
    out.push({ key: sample.item.key, epoch: sample.epoch, position: sample.position() });
    if (out.length === count) break;
  }
  return out;
}

const keys = (samples: { key: string }[]): string[] => samples.map((sample) => sample.key);

describe("order of samples", () => {
  it("gives each sample once an epoch, shuffled differently in each", async () => {
    const both = await take(numbered(100, 10), { seed: 1, shuffleBuffer: 16 }, 200);
    const [first, second] = [both.slice(0, 100), both.slice(100)];
    const sorted = Array.from({ length: 100 }, (_, i) => String(i)).sort();
    expect(keys(first).sort()).toEqual(sorted);
    expect(keys(second).sort()).toEqual(sorted);
    expect(keys(first)).not.toEqual(keys(second));
    expect(new Set(first.map((sample) => sample.epoch))).toEqual(new Set([0]));
    expect(new Set(second.map((sample) => sample.epoch))).toEqual(new Set([1]));
  });

  it("repeats for a seed and changes with it", async () => {
    const order = async (seed: number) =>
      keys(await take(numbered(60, 7), { seed, shuffleBuffer: 9 }, 60));
    expect(await order(3)).toEqual(await order(3));
    expect(await order(4)).not.toEqual(await order(3));
  });

  it("splits shards over ranks without overlap or loss", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 1, max: 8 }),
        fc.integer({ min: 0, max: 5 }),
        (count, worldSize, epoch) => {
          fc.pre(count >= worldSize);
          const shards = Array.from({ length: count }, (_, i) => ({ name: String(i) }));
          const all = Array.from({ length: worldSize }, (_, rank) =>
            epochShards(shards, epoch, { seed: 9, rank, worldSize }),
          ).flat();
          expect(all.map((shard) => Number(shard.name)).sort((a, b) => a - b)).toEqual(
            Array.from({ length: count }, (_, i) => i),
          );
        },
      ),
      { seed: 1 },
    );
  });

  it("resumes after any sample with exactly the samples that followed", async () => {
    const source = numbered(47, 10);
    const options = { seed: 5, shuffleBuffer: 12 };
    const whole = await take(source, options, 120);
    for (let at = 0; at < 100; at++) {
      const stored = JSON.parse(JSON.stringify(whole[at]!.position)) as DataPosition;
      const rest = await take(source, options, 20, stored);
      expect(keys(rest)).toEqual(keys(whole.slice(at + 1, at + 21)));
      expect(rest[19]!.position).toEqual(whole[at + 20]!.position);
    }
  });

  it("refuses a position of other data, other settings, or damaged", async () => {
    const source = numbered(40, 10);
    const options = { seed: 5, shuffleBuffer: 4 };
    const { position } = (await take(source, options, 7))[6]!;
    await expect(take(source, { ...options, seed: 6 }, 1, position)).rejects.toThrow(ConfigError);
    await expect(take(numbered(50, 10), options, 1, position)).rejects.toThrow(/other|belongs/);
    const damaged = { ...position, buffer: [99, 0] };
    await expect(take(source, options, 1, damaged)).rejects.toThrow(ConfigError);
    await expect(take(source, options, 1, { ...position, item: -1 })).rejects.toThrow(ConfigError);
  });

  it("passes over a missing shard and reports it", async () => {
    const source = numbered(40, 10);
    const broken: SampleSource = {
      ...source,
      async *open(shard) {
        if (shard.name === "10-20") throw new InputError("shard 10-20: it does not exist");
        yield* source.open(shard);
      },
    };
    const faults: string[] = [];
    const samples = await take(broken, { seed: 1, shuffleBuffer: 4 }, 30, undefined, faults);
    expect(new Set(keys(samples)).size).toBe(30);
    expect(samples.every((sample) => sample.epoch === 0)).toBe(true);
    expect(faults).toEqual(["10-20"]);
  });

  it("needs a shard for each rank and at least one sample", async () => {
    const twoRanks = { seed: 1, rank: 1, worldSize: 2 };
    await expect(take(numbered(10, 10), twoRanks, 1)).rejects.toThrow(/1 shards for 2 ranks/);
    await expect(take({ ...numbered(10, 5), open: async function* () {} }, { seed: 1 }, 1))
      .rejects //
      .toThrow(InputError);
    await expect(take(numbered(10, 5), { seed: 1, rank: 2, worldSize: 2 }, 1)).rejects.toThrow(
      /rank 2/,
    );
  });
});
