// Finds fixtures in a folder and reads their files, whether plain or compressed.

import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { gunzipSync } from "node:zlib";
import { toFloat32 } from "../../src/checkpoint/dtypes.js";
import { readSafetensors } from "../../src/checkpoint/safetensors.js";
import type { StoredTensor, TensorMap } from "../../src/checkpoint/tensors.js";

/** Longer names first: `tiny-train` is not `tiny`. */
export const KINDS = ["tiny-train", "tokenizer", "resize", "tiny", "full", "seg"] as const;
export type Kind = (typeof KINDS)[number];

/** What the manifest or a report says about one tensor. */
interface TensorEntry {
  shape?: number[];
  atol?: number | null;
  f32_vs_f64_max?: number | null;
  absmax?: number | null;
}

export interface Manifest {
  generator?: Record<string, unknown>;
  training?: Record<string, unknown>;
  files?: Record<string, { tensors?: Record<string, TensorEntry> }>;
}

export type Json = Record<string, unknown>;

/** The kind that a folder's name says: the name up to a trailing letter, as in `tiny-b`. */
export function kindOf(name: string): Kind | undefined {
  return KINDS.find((kind) => new RegExp(`^${kind}(-[a-z]\\d*)?$`, "i").test(name));
}

/** The letter suffix of a folder's name with its dash, or nothing. */
export function suffixOf(name: string): string {
  return /-[a-z]\d*$/i.exec(name)?.[0] ?? "";
}

/** A folder of one kind, with its files. */
export class Fixture {
  readonly name: string;

  constructor(
    readonly folder: string,
    readonly kind: Kind,
    readonly manifest: Manifest,
  ) {
    this.name = basename(folder);
  }

  /** The path of a file, with `.gz` where it is compressed; undefined if it is not there. */
  path(file: string): string | undefined {
    return [file, `${file}.gz`]
      .map((name) => join(this.folder, name))
      .find((path) => existsSync(path));
  }

  files(): string[] {
    return readdirSync(this.folder).map((name) => name.replace(/\.gz$/, ""));
  }

  bytes(file: string): Uint8Array | undefined {
    const path = this.path(file);
    return path === undefined ? undefined : readPlain(path);
  }

  /** @throws Error if the file is not there */
  need(file: string): Uint8Array {
    const bytes = this.bytes(file);
    if (!bytes) throw new Error(`${file}: not in ${this.name}`);
    return bytes;
  }

  json<T = Json>(file: string): T | undefined {
    const bytes = this.bytes(file);
    return bytes && (JSON.parse(new TextDecoder().decode(bytes)) as T);
  }

  /** Tensors of a safetensors file; none if it is not there. */
  tensors(file: string): TensorMap {
    const bytes = this.bytes(`${file}.safetensors`);
    return bytes ? readSafetensors(bytes).tensors : new Map();
  }

  /** The largest difference allowed in a tensor: the manifest's, the report's, or by the rule. */
  tolerance(file: string, name: string, expected: StoredTensor): number {
    const listed = this.listed(file, name, expected.shape);
    if (typeof listed?.atol === "number") return listed.atol;
    let absmax = 0;
    for (const value of numbers(expected)) absmax = Math.max(absmax, Math.abs(value));
    return toleranceRule(absmax, listed?.f32_vs_f64_max ?? 0);
  }

  private listed(file: string, name: string, shape: readonly number[]): TensorEntry | undefined {
    const files = this.manifest.files ?? {};
    const folders = [this.name];
    // A sibling of that name owns the kind's own keys.
    const owner = join(dirname(this.folder), this.kind);
    if (this.kind !== this.name && !existsSync(owner)) folders.push(this.kind);
    const full = `${file}.safetensors`;
    for (const key of [...folders.map((folder) => `${folder}/${full}`), full]) {
      const entry = (files[key] ?? files[`${key}.gz`])?.tensors?.[name];
      if (entry && sameShape(entry.shape ?? shape, shape)) return entry;
    }
    const report = this.json<{ tensors?: Record<string, TensorEntry> }>("report.json");
    return report?.tensors?.[name];
  }
}

/** The rule of the manifest. */
export function toleranceRule(absmax: number, f32VsF64: number): number {
  return Math.max(1e-5, 1e-5 * absmax, 20 * f32VsF64);
}

export function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((size, axis) => size === b[axis]);
}

/** Any tensor's values; integers exactly. */
export function numbers(tensor: StoredTensor): ArrayLike<number> & Iterable<number> {
  const copy = Uint8Array.from(tensor.bytes).buffer;
  switch (tensor.dtype) {
    case "F64":
      return new Float64Array(copy);
    case "I64":
      return Float64Array.from(new BigInt64Array(copy), Number);
    case "I32":
      return new Int32Array(copy);
    case "I16":
      return new Int16Array(copy);
    case "I8":
      return new Int8Array(copy);
    case "U8":
    case "BOOL":
      return new Uint8Array(copy);
    default:
      return toFloat32(tensor);
  }
}

export function isInteger({ dtype }: StoredTensor): boolean {
  return /^[IUB]\w*$/.test(dtype) && dtype !== "BF16";
}

/** A tensor that must be there. */
export function tensor(tensors: TensorMap, name: string): StoredTensor {
  const found = tensors.get(name);
  if (!found) throw new Error(`tensor ${name} is not in the fixture`);
  return found;
}

export function readPlain(path: string): Uint8Array {
  const bytes = readFileSync(path);
  return bytes[0] === 0x1f && bytes[1] === 0x8b && path.endsWith(".gz") ? gunzipSync(bytes) : bytes;
}

export interface Found {
  fixtures: Fixture[];
  /** Folders whose name is of no known kind. */
  unknown: string[];
}

/**
 * The fixtures of a folder: itself, or those inside it.
 *
 * @throws Error if the folder cannot be read
 */
export function findFixtures(path: string): Found {
  const folder = resolve(path);
  if (!statSync(folder).isDirectory()) throw new Error(`${path} is no folder`);
  const own = kindOf(basename(folder));
  if (own && holdsFixture(folder)) {
    return { fixtures: [new Fixture(folder, own, manifestOf(folder))], unknown: [] };
  }
  const found: Found = { fixtures: [], unknown: [] };
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (!entry.isDirectory() || entry.name.startsWith(".")) continue;
    const inner = join(folder, entry.name);
    const kind = kindOf(entry.name);
    if (kind) found.fixtures.push(new Fixture(inner, kind, manifestOf(inner)));
    else found.unknown.push(entry.name);
  }
  if (found.fixtures.length === 0) {
    // Not a collection; a single fixture under a name of its own?
    const kind = holdsFixture(folder) ? kindByContent(folder) : undefined;
    if (kind) return { fixtures: [new Fixture(folder, kind, manifestOf(folder))], unknown: [] };
  }
  found.fixtures.sort((a, b) => (a.name < b.name ? -1 : 1));
  return found;
}

function holdsFixture(folder: string): boolean {
  return ["report.json", "cases.json"].some((file) =>
    [file, `${file}.gz`].some((name) => existsSync(join(folder, name))),
  );
}

function kindByContent(folder: string): Kind | undefined {
  const probe = new Fixture(folder, "tiny", {});
  if (probe.path("cases.json")) return "tokenizer";
  const report = probe.json("report.json") ?? {};
  if (report.adamw_clip5 || report.hard) return "tiny-train";
  if (Array.isArray(report.cases)) return "resize";
  if (report.classes) return "seg";
  if (report.pixel_values_generator_name) return "full";
  return probe.path("config.json") ? "tiny" : undefined;
}

/** The manifest at the folder's root or in its parent. */
function manifestOf(folder: string): Manifest {
  for (const place of [folder, dirname(folder)]) {
    for (const name of ["manifest.json", "manifest.json.gz"]) {
      const path = join(place, name);
      if (existsSync(path)) return JSON.parse(new TextDecoder().decode(readPlain(path)));
    }
  }
  return {};
}
