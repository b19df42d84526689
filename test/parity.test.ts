// The parity runner on this project's fixtures, and on copies of them that are wrong in one place.

import { execFile } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { readSafetensors, writeSafetensors } from "../src/checkpoint/safetensors.js";
import type { TensorMap } from "../src/checkpoint/tensors.js";

const root = fileURLToPath(new URL("..", import.meta.url));
const fixtures = join(root, "test/fixtures");
const scratch = mkdtempSync(join(tmpdir(), "groupvit-parity-"));
let folder: string;
let count = 0;

beforeEach(() => {
  folder = join(scratch, `${count++}`);
  mkdirSync(folder);
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

interface Result {
  code: number;
  lines: string[];
  failures: string[];
}

function parity(...args: string[]): Promise<Result> {
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [join(root, "scripts/run-ts.mjs"), join(root, "test/parity/main.ts"), ...args],
      { maxBuffer: 1 << 26 },
      (error, stdout) => {
        const lines = stdout.trimEnd().split("\n");
        const failures = lines.filter((line) => line.startsWith("  FAIL"));
        resolve({ code: error ? Number(error.code) : 0, lines, failures });
      },
    );
  });
}

/** Copies fixtures and the manifest into the test's own folder. */
function copy(...names: string[]): void {
  cpSync(join(fixtures, "manifest.json"), join(folder, "manifest.json"));
  for (const name of names) {
    const [from, to] = name.split(" as ") as [string, string | undefined];
    cpSync(join(fixtures, from), join(folder, to ?? from), { recursive: true });
  }
}

/** Rewrites a safetensors file, compressed or not, as a plain one. */
function change(file: string, edit: (tensors: TensorMap) => void): void {
  const path = join(folder, file);
  const bytes = readFileSync(path);
  const { tensors } = readSafetensors(file.endsWith(".gz") ? gunzipSync(bytes) : bytes);
  const copies: TensorMap = new Map(
    [...tensors].map(([name, tensor]) => [name, { ...tensor, bytes: tensor.bytes.slice() }]),
  );
  edit(copies);
  rmSync(path);
  writeFileSync(path.replace(/\.gz$/, ""), writeSafetensors(copies));
}

/** Adds to one 32-bit float of a tensor. */
function addTo(tensors: TensorMap, name: string, index: number, amount: number): void {
  const { bytes } = tensors.get(name)!;
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  view.setFloat32(4 * index, view.getFloat32(4 * index, true) + amount, true);
}

function json(file: string, edit: (value: Record<string, unknown>) => void): void {
  const path = join(folder, file);
  const value = JSON.parse(readFileSync(path, "utf8"));
  edit(value);
  writeFileSync(path, JSON.stringify(value));
}

describe("parity", () => {
  it("passes on every fixture of the project", { timeout: 600_000 }, async () => {
    const { code, lines, failures } = await parity(fixtures);
    expect(failures).toEqual([]);
    const [, passed] = /^(\d+) passed, 0 failed$/.exec(lines[lines.length - 1]!) ?? [];
    expect(Number(passed)).toBeGreaterThan(1900);
    expect(code).toBe(0);
    for (const kind of ["tiny", "full", "seg", "resize", "tokenizer", "tiny-train"]) {
      expect(lines).toContain(kind);
    }
  });

  it("runs a single fixture and prints JSON", async () => {
    const { code, lines } = await parity(join(fixtures, "resize"), "--json");
    const report = JSON.parse(lines.join("\n"));
    expect(code).toBe(0);
    expect(report).toMatchObject({ passed: 79, failed: 0 });
    expect(report.checks[0]).toMatchObject({ fixture: "resize", passed: true, allowed: "<= 0" });
  });

  it("takes the kind from the name without its letter, and reports unknown kinds", async () => {
    copy("resize as resize-b", "tokenizer as tokenizer-x");
    mkdirSync(join(folder, "other"));
    const { code, lines } = await parity(folder);
    expect(code).toBe(0);
    expect(lines).toContain("resize-b");
    expect(lines).toContain("tokenizer-x");
    expect(lines[lines.indexOf("other") + 1]).toContain("unknown kind");
    expect(lines[lines.length - 1]).toBe("85 passed, 0 failed");
  });

  it("does not pass when nothing was compared", async () => {
    mkdirSync(join(folder, "other"));
    expect((await parity(folder)).code).toBe(1);
    expect((await parity(join(folder, "absent"))).code).toBe(2);
  });

  it("finds one wrong value of a hidden state", async () => {
    copy("tiny as tiny-b");
    change("tiny-b/expected.safetensors.gz", (tensors) => {
      addTo(tensors, "vision.stage0.layer1", 17, 2e-4);
      addTo(tensors, "text.layer0", 3, 3e-5); // within its tolerance
    });
    const { code, failures, lines } = await parity(folder);
    expect(failures).toHaveLength(1);
    expect(failures[0]).toContain("vision.stage0.layer1");
    expect(lines[lines.length - 1]).toMatch(/^\d+ passed, 1 failed$/);
    expect(code).toBe(1);
  });

  it("finds a wrong integer, a wrong shape, NaN and a tensor that nobody knows", async () => {
    copy("tiny");
    change("tiny/expected.safetensors.gz", (tensors) => {
      const hard = tensors.get("group0.hard_index")!;
      hard.bytes[0] = (hard.bytes[0]! + 1) % 16;
      const soft = tensors.get("group1.soft")!;
      tensors.set("group1.soft", { ...soft, shape: [soft.shape[0]! * 4, ...soft.shape.slice(2)] });
      addTo(tensors, "image_embeds", 0, Number.NaN);
      tensors.set("vision.stage9.out", tensors.get("vision.stage0.out")!);
    });
    const { code, failures } = await parity(folder);
    expect(code).toBe(1);
    expect(failures).toHaveLength(4);
    for (const name of ["group0.hard_index", "group1.soft", "image_embeds", "vision.stage9.out"]) {
      expect(failures.some((line) => line.includes(name))).toBe(true);
    }
  });

  it("finds a checkpoint file that differs from the others in one number", async () => {
    copy("tiny");
    const path = join(folder, "tiny/pytorch_model.bin");
    const bytes = readFileSync(path);
    const name = "vision_model.embeddings.position_embeddings";
    const stored = readSafetensors(readFileSync(join(folder, "tiny/model.safetensors"))).tensors;
    const at = bytes.indexOf(stored.get(name)!.bytes.subarray(0, 64));
    bytes[at] = bytes[at]! ^ 1;
    writeFileSync(path, bytes);
    const { code, failures } = await parity(folder);
    expect(code).toBe(1);
    expect(failures.every((line) => line.includes("pytorch_model.bin"))).toBe(true);
    expect(failures.length).toBeGreaterThan(0);
  });

  it("finds a wrong byte of a resized picture and a wrong token", async () => {
    copy("resize", "tokenizer");
    change("resize/expected.safetensors.gz", (tensors) => {
      tensors.get("cv2.linear.noise.19x31")!.bytes[5]! ^= 1;
    });
    json("tokenizer/cases.json", (value) => {
      const cases = value.cases as { ids: number[]; ids_hf_fast?: number[] }[];
      cases.find((entry) => entry.ids_hf_fast)!.ids_hf_fast![1]! += 1;
    });
    const { code, failures } = await parity(folder);
    expect(code).toBe(1);
    expect(failures).toHaveLength(2);
    expect(failures[0]).toContain("cv2.linear.noise.19x31");
    expect(failures[1]).toContain("Hugging Face");
  });

  it("forgives 1 % of the authors' strings, and no more", async () => {
    const spoil = (wrong: number) =>
      json("tokenizer/cases.json", (value) => {
        const cases = value.cases as { ids: number[]; ids_hf_fast?: number[] }[];
        for (const entry of cases.slice(0, wrong)) {
          entry.ids_hf_fast ??= [...entry.ids];
          entry.ids[0] = 1;
        }
      });
    copy("tokenizer");
    spoil(4);
    expect((await parity(folder)).code).toBe(0);
    spoil(5);
    const { code, failures } = await parity(folder);
    expect(code).toBe(1);
    expect(failures).toHaveLength(6);
  });

  it("forgives 0.1 % of a label map's pixels, and no more", { timeout: 120_000 }, async () => {
    const spoil = (share: number) => {
      rmSync(join(folder, "seg"), { recursive: true, force: true });
      copy("seg", "tiny");
      rmSync(join(folder, "seg/expected.safetensors"));
      change("seg/labels_u8.safetensors.gz", (tensors) => {
        const name = "tiny.land.whole.bg0";
        const { bytes } = tensors.get(name)!;
        const wrong = Math.floor(share * bytes.length);
        for (let i = 0; i < wrong; i++) bytes[i] = bytes[i] === 1 ? 2 : 1;
        for (const key of [...tensors.keys()]) if (key !== name) tensors.delete(key);
      });
      return parity(join(folder, "seg"));
    };
    expect((await spoil(0.0009)).code).toBe(0);
    const { code, failures } = await spoil(0.0012);
    expect(code).toBe(1);
    expect(failures[0]).toContain("tiny.land.whole.bg0");
  });

  it("finds one wrong number of a gradient and a wrong loss", { timeout: 120_000 }, async () => {
    copy("tiny-train", "tiny");
    const name = "vision_model.encoder.stages.0.group_token";
    change("tiny-train/grads_hard.safetensors.gz", (tensors) => addTo(tensors, name, 9, 1e-3));
    json("tiny-train/report.json", (value) => {
      for (const key of ["gumbel", "adamw_clip5", "adamw_clip1"]) delete value[key];
      (value.hard as { losses_f32: { total: number } }).losses_f32.total += 2e-4;
    });
    rmSync(join(folder, "tiny-train/grads_gumbel.safetensors.gz"));
    const { code, failures } = await parity(join(folder, "tiny-train"));
    expect(code).toBe(1);
    expect(failures).toHaveLength(2);
    expect(failures[0]).toContain("hard.total");
    expect(failures[1]).toContain(name);
  });
});
