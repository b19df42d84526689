// The weights of a fixture: from its checkpoint files, which must agree with each other, or generated.

import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseConfig } from "../../src/checkpoint/config-file.js";
import { elementCount, isFloat, toFloat32 } from "../../src/checkpoint/dtypes.js";
import { modelFrom, readWeights } from "../../src/checkpoint/load.js";
import { authorsNames, toAuthors } from "../../src/checkpoint/names.js";
import {
  isBuffer,
  MULTI_LABEL_LOGIT_SCALE,
  POSITION_IDS,
  parameterShapes,
} from "../../src/checkpoint/shapes.js";
import type { StoredTensor, TensorMap } from "../../src/checkpoint/tensors.js";
import { readTorch } from "../../src/checkpoint/torch.js";
import type { GroupViTConfig } from "../../src/model/config.js";
import { fnv1a } from "../../src/random.js";
import { Fixture, type Json, kindOf, numbers, sameShape, suffixOf } from "./fixture.js";
import { generateWeights } from "./generate.js";
import type { Report } from "./report.js";

export interface Weights {
  config: GroupViTConfig;
  /** Under Hugging Face's names. */
  tensors: TensorMap;
  /** The files that they were in; none if generated. */
  sources: string[];
}

/** Float tensors as the engine takes them: new each time, as the engine empties and training overwrites them. */
export function floatWeights({ tensors }: Weights): Map<string, Float32Array> {
  const floats = new Map<string, Float32Array>();
  for (const [name, tensor] of tensors) {
    if (isFloat(tensor.dtype)) floats.set(name, toFloat32(tensor).slice());
  }
  return floats;
}

function checkpointFiles(fixture: Fixture): string[] {
  return fixture
    .files()
    .filter(
      (name) =>
        /^(pytorch_)?model\.(safetensors|bin)$/.test(name) ||
        (name.endsWith(".pth") && !name.startsWith("variant_")),
    )
    .sort();
}

/**
 * Reads or generates the weights of a fixture; all of its checkpoint files must hold the same.
 *
 * @throws Error if there is no configuration, or the weights do not fit it
 */
export async function loadWeights(fixture: Fixture, report?: Report): Promise<Weights> {
  const bytes = fixture.bytes("config.json");
  if (!bytes) throw new Error(`config.json: not in ${fixture.name}`);
  const configText = new TextDecoder().decode(bytes);
  const config = parseConfig(configText);
  let weights: Weights | undefined;
  for (const file of checkpointFiles(fixture)) {
    const read = async () => {
      const stored = await readWeights(fixture.need(file));
      const { tensors } = modelFrom(stored, configText);
      if (!weights) {
        weights = { config, tensors, sources: [file] };
        report?.same(`${file}`, true, `${tensors.size} tensors`);
        return;
      }
      const different = differences(weights.tensors, tensors);
      report?.same(
        `${file} as ${weights.sources[0]}`,
        different.length === 0,
        different.length === 0 ? `${tensors.size} tensors` : different.slice(0, 3).join(", "),
      );
      weights.sources.push(file);
    };
    if (report) await report.attempt(file, read);
    else await read();
  }
  return (
    weights ?? {
      config,
      tensors: generateWeights(config, fixture.manifest, generatorParameters(fixture)),
      sources: [],
    }
  );
}

function generatorParameters(fixture: Fixture): Json {
  const checks = fixture.json<{ params?: Json }>("weight_checks.json");
  if (checks?.params) return checks.params;
  const generator = fixture.manifest.generator ?? {};
  const own = [fixture.name.replaceAll("-", "_"), fixture.kind.replaceAll("-", "_")]
    .map((name) => generator[`P_${name}`])
    .find((value) => typeof value === "object" && value !== null);
  if (!own) throw new Error(`manifest.json: no generator parameters P_${fixture.name}`);
  return own as Json;
}

/** Names of tensors that both have and that differ, and of those that only one has. */
function differences(a: TensorMap, b: TensorMap): string[] {
  const names = [...new Set([...a.keys(), ...b.keys()])];
  return names.filter((name) => {
    const [x, y] = [a.get(name), b.get(name)];
    // What one of the two layouts has no place for, or leaves out.
    if (!x || !y) {
      const optional = [MULTI_LABEL_LOGIT_SCALE, POSITION_IDS].includes(name);
      return !optional && !name.endsWith(".num_batches_tracked");
    }
    return !sameTensor(x, y);
  });
}

function sameTensor(a: StoredTensor, b: StoredTensor): boolean {
  return a.dtype === b.dtype && sameShape(a.shape, b.shape) && sameBytes(a.bytes, b.bytes);
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

/** Compares everything that a fixture says about its weights, beside the weights themselves. */
export async function checkWeightFiles(
  fixture: Fixture,
  weights: Weights,
  report: Report,
): Promise<void> {
  const { config, tensors } = weights;
  const mapping = fixture.json<Record<string, string[]>>("nvlabs_to_hf_names.json");
  if (mapping) checkMapping("nvlabs_to_hf_names", mapping, config, report);
  await report.attempt("names_and_shapes", () => checkNames(fixture, weights, report));

  const { checks } =
    fixture.json<{ checks?: Record<string, WeightCheck> }>("weight_checks.json") ?? {};
  if (checks) {
    const wrong = Object.entries(checks).filter(([name, check]) => {
      const tensor = tensors.get(name);
      return !tensor || !fitsCheck(name, tensor, check);
    });
    report.same(
      "weight_checks",
      wrong.length === 0,
      wrong.length === 0
        ? `${Object.keys(checks).length} tensors`
        : `${wrong.length} differ: ${wrong[0]![0]}`,
    );
  }

  for (const file of fixture.files().filter((name) => /^variant_.*\.(pth|pt|bin)$/.test(name))) {
    await report.attempt(file, async () => {
      const { tensors: found } = await readTorch(fixture.need(file));
      const finite = [...found.values()].every((tensor) => numbers(tensor).length >= 0);
      report.same(file, found.size > 0 && finite, `${found.size} tensors`);
    });
  }
}

interface WeightCheck {
  fnv1a32: number;
  first4: number[];
  last: number;
  sum_f64: number;
  abs_sum_f64: number;
}

function fitsCheck(name: string, tensor: StoredTensor, check: WeightCheck): boolean {
  const values = numbers(tensor);
  let sum = 0;
  let absolute = 0;
  for (const value of values) {
    sum += value;
    absolute += Math.abs(value);
  }
  const rounding = 1e-9 * Math.max(1, absolute);
  return (
    fnv1a(name) === check.fnv1a32 &&
    check.first4.every((value, i) => values[i] === value) &&
    values[values.length - 1] === check.last &&
    Math.abs(sum - check.sum_f64) <= rounding &&
    Math.abs(absolute - check.abs_sum_f64) <= rounding
  );
}

function checkMapping(
  name: string,
  expected: Record<string, string[]>,
  config: GroupViTConfig,
  report: Report,
): void {
  const actual = authorsNames(config);
  const names = [...new Set([...actual.keys(), ...Object.keys(expected)])];
  const wrong = names.filter((key) => actual.get(key)?.join() !== expected[key]?.join());
  report.same(name, wrong.length === 0, wrong[0] ?? `${names.length} names`);
}

type Entry = { shape: number[]; dtype?: string; parameter?: boolean };

interface NamesAndShapes {
  hf?: Record<string, Entry>;
  nvlabs?: Record<string, Entry>;
  nvlabs_to_hf?: Record<string, string[]>;
  num_hf_parameters?: number;
  num_nvlabs_parameters?: number;
}

function checkNames(fixture: Fixture, { config, tensors }: Weights, report: Report): void {
  const expected = fixture.json<NamesAndShapes>("names_and_shapes.json");
  if (!expected) return;
  const compare = (
    name: string,
    actual: ReadonlyMap<string, readonly number[]>,
    entries: Record<string, Entry>,
  ) => {
    const names = [...new Set([...actual.keys(), ...Object.keys(entries)])];
    const wrong = names.filter(
      (key) =>
        !entries[key] || !actual.has(key) || !sameShape(actual.get(key)!, entries[key].shape),
    );
    report.same(
      `names_and_shapes.${name}`,
      wrong.length === 0,
      wrong[0] ?? `${names.length} names`,
    );
  };
  const count = (
    shapes: ReadonlyMap<string, readonly number[]>,
    buffer: (name: string) => boolean,
  ) =>
    [...shapes].reduce((sum, [name, shape]) => sum + (buffer(name) ? 0 : elementCount(shape)), 0);
  const shapes = parameterShapes(config);
  if (expected.hf) {
    compare("hf", shapes, expected.hf);
    const wrong = Object.entries(expected.hf).find(
      ([name, { parameter }]) => parameter !== undefined && parameter === isBuffer(name),
    );
    report.same("names_and_shapes.hf parameters", !wrong, wrong?.[0] ?? "all");
  }
  if (expected.num_hf_parameters !== undefined) {
    const total = count(shapes, isBuffer);
    report.same("num_hf_parameters", total === expected.num_hf_parameters, `${total}`);
  }
  if (expected.nvlabs_to_hf) checkMapping("nvlabs_to_hf", expected.nvlabs_to_hf, config, report);
  if (!expected.nvlabs) return;
  const all: TensorMap = new Map(tensors);
  if (!all.has(MULTI_LABEL_LOGIT_SCALE) && expected.nvlabs[MULTI_LABEL_LOGIT_SCALE]) {
    all.set(MULTI_LABEL_LOGIT_SCALE, { dtype: "F32", shape: [], bytes: new Uint8Array(4) });
  }
  const authors = new Map(
    [...toAuthors(all, config)].map(([name, { shape }]) => [name, shape] as const),
  );
  compare("nvlabs", authors, expected.nvlabs);
  if (expected.num_nvlabs_parameters !== undefined) {
    const total = count(authors, isBuffer);
    report.same("num_nvlabs_parameters", total === expected.num_nvlabs_parameters, `${total}`);
  }
}

/** This project's own fixtures, for folders that came without the models they refer to. */
const OWN_FIXTURES = fileURLToPath(new URL("../fixtures", import.meta.url));

/**
 * The fixture that holds the model of another one: a sibling, the one with the same letter first.
 *
 * @param names folder names that the fixture itself gives, the likeliest first
 * @param kinds kinds of folder that serve otherwise
 */
export function modelFixture(
  fixture: Fixture,
  names: readonly string[],
  kinds: readonly string[],
): Fixture | undefined {
  const suffix = suffixOf(fixture.name);
  const wanted = [...kinds.map((kind) => `${kind}${suffix}`), ...names, ...kinds];
  for (const place of [fixture.folder, dirname(fixture.folder), OWN_FIXTURES]) {
    for (const name of wanted) {
      const folder = join(place, name);
      const config = ["config.json", "config.json.gz"].some((file) =>
        existsSync(join(folder, file)),
      );
      if (config) return new Fixture(folder, kindOf(name) ?? "tiny", fixture.manifest);
    }
  }
  return undefined;
}
