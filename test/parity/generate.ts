// Weights and inputs that fixtures do not store, made from their names by the manifest's generator.

import { elementCount } from "../../src/checkpoint/dtypes.js";
import { parameterShapes } from "../../src/checkpoint/shapes.js";
import type { TensorMap } from "../../src/checkpoint/tensors.js";
import type { GroupViTConfig } from "../../src/model/config.js";
import { Random } from "../../src/random.js";
import type { Manifest } from "./fixture.js";

/** Numbers that the rules name, such as `P.qk`. */
export type GeneratorParameters = Readonly<Record<string, unknown>>;

type Rule = readonly [pattern: string, value: string];

/**
 * All tensors of a configuration under Hugging Face's names, by the manifest's rules.
 *
 * @throws Error if the manifest has no rules, or one that is of no known form
 */
export function generateWeights(
  config: GroupViTConfig,
  manifest: Manifest,
  parameters: GeneratorParameters,
): TensorMap {
  const rules = manifest.generator?.rules_in_order as Rule[] | undefined;
  if (!Array.isArray(rules)) throw new Error("manifest.json: generator.rules_in_order is missing");
  const tensors: TensorMap = new Map();
  for (const [name, shape] of parameterShapes(config)) {
    const rule = rules.find(([pattern]) => matches(pattern, name, shape));
    if (!rule) throw new Error(`manifest.json: no generator rule for ${name}`);
    const count = elementCount(shape);
    if (rule[1].startsWith("int64")) {
      const arange = rule[1].includes("arange");
      const values = BigInt64Array.from({ length: count }, (_, i) => (arange ? BigInt(i) : 0n));
      tensors.set(name, { dtype: "I64", shape, bytes: new Uint8Array(values.buffer) });
      continue;
    }
    const { base, spread } = evaluate(rule[1], name, shape, parameters);
    const values = uniform(
      `${parameters.prefix ?? ""}${name}`,
      count,
      base - spread,
      base + spread,
    );
    tensors.set(name, { dtype: "F32", shape, bytes: new Uint8Array(values.buffer) });
  }
  return tensors;
}

/** `count` numbers in [low, high) from the stream of a name. */
export function uniform(name: string, count: number, low: number, high: number): Float32Array {
  const random = new Random(name);
  const [base, spread] = [(low + high) / 2, (high - low) / 2];
  const values = new Float32Array(count);
  if (spread === 0) return values.fill(base);
  for (let i = 0; i < count; i++) values[i] = base + spread * (2 * random.uniform() - 1);
  return values;
}

function matches(pattern: string, name: string, shape: readonly number[]): boolean {
  if (pattern.startsWith("== ")) return name === pattern.slice(3);
  if (pattern.startsWith("any other")) return true;
  const [glob, condition] = pattern.split(" with ", 2) as [string, string | undefined];
  if (condition?.startsWith("1 dim") && shape.length !== 1) return false;
  return matchesGlob(glob, name);
}

function matchesGlob(glob: string, name: string): boolean {
  const expression = glob
    .trim()
    .replace(/[.+?^${}()|[\]\\]/g, "\\$&")
    .replaceAll("*", ".*");
  return new RegExp(`^${expression}$`).test(name);
}

/** Centre and half width of the values of a rule such as "base 0, s P.tok". */
function evaluate(
  rule: string,
  name: string,
  shape: readonly number[],
  parameters: GeneratorParameters,
): { base: number; spread: number } {
  const fixed = /^float32\(([-\d.e]+)\)$/.exec(rule);
  if (fixed) return { base: Number(fixed[1]), spread: 0 };
  const parts = /^base ([-\d.]+), s(?: =)? (.+)$/.exec(rule);
  if (!parts) throw new Error(`manifest.json: generator rule "${rule}" is of no known form`);
  const base = Number(parts[1]);
  if (!parts[2]!.startsWith("g*sqrt(3/fan_in)")) {
    return { base, spread: operand(parts[2]!, parameters) };
  }
  const fanIn = shape.slice(1).reduce((product, size) => product * size, 1);
  const gains = /g = (.+)$/.exec(parts[2]!)?.[1] ?? "1";
  for (const choice of gains.split(/, else | else /)) {
    const [value, globs] = choice.split(" for ", 2) as [string, string | undefined];
    if (globs === undefined || globs.split("/").some((glob) => matchesGlob(glob, name))) {
      return { base, spread: operand(value, parameters) * Math.sqrt(3 / fanIn) };
    }
  }
  throw new Error(`manifest.json: generator rule "${rule}" gives no gain for ${name}`);
}

function operand(text: string, parameters: GeneratorParameters): number {
  const key = /^P\.(\w+)$/.exec(text.trim())?.[1];
  const value = key === undefined ? Number(text) : parameters[key];
  if (typeof value !== "number" || Number.isNaN(value)) {
    throw new Error(`manifest.json: generator value "${text}" is unknown`);
  }
  return value;
}
