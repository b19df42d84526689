import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CheckpointError } from "../errors.js";
import { toFloat32 } from "./dtypes.js";
import { readSafetensors, writeSafetensors } from "./safetensors.js";
import type { TensorDType, TensorMap } from "./tensors.js";

const tiny = new Uint8Array(
  readFileSync(new URL("../../test/fixtures/tiny/model.safetensors", import.meta.url)),
);

const digest = (bytes: Uint8Array) => createHash("sha1").update(bytes).digest("hex");

/** A file with this header text and this many bytes of data. */
function file(header: string, dataLength = 0, claimed?: bigint): Uint8Array {
  const json = new TextEncoder().encode(header);
  const bytes = new Uint8Array(8 + json.byteLength + dataLength);
  new DataView(bytes.buffer).setBigUint64(0, claimed ?? BigInt(json.byteLength), true);
  bytes.set(json, 8);
  return bytes;
}

const entry = (dtype: string, shape: unknown, offsets: unknown) => ({
  dtype,
  shape,
  data_offsets: offsets,
});

describe("readSafetensors", () => {
  it("reads the reference file as views", () => {
    const { tensors, metadata } = readSafetensors(tiny);
    expect(tensors.size).toBe(215);
    expect(metadata).toEqual({ format: "pt" });
    expect([...tensors.keys()].slice(0, 2)).toEqual([
      "logit_scale",
      "text_model.embeddings.position_ids",
    ]);
    const scale = tensors.get("logit_scale")!;
    expect(scale.shape).toEqual([]);
    expect(toFloat32(scale)[0]).toBeCloseTo(2.6592, 2);
    expect(scale.bytes.buffer).toBe(tiny.buffer);
    const positions = tensors.get("text_model.embeddings.position_ids")!;
    expect(positions).toMatchObject({ dtype: "I64", shape: [1, 77] });
    expect([...toFloat32(positions)]).toEqual([...Array(77).keys()]);
  });

  it("reads an empty file, empty tensors and free texts", () => {
    expect(readSafetensors(file("{}")).tensors.size).toBe(0);
    const header = JSON.stringify({
      __metadata__: { a: "b" },
      empty: entry("F32", [0, 3], [4, 4]),
      one: entry("F32", [1], [0, 4]),
    });
    const { tensors, metadata } = readSafetensors(file(header, 4));
    expect([...tensors.keys()]).toEqual(["one", "empty"]);
    expect(metadata).toEqual({ a: "b" });
  });

  const two = (a: unknown, b: unknown) => JSON.stringify({ a, b });
  const hostile: [string, Uint8Array, RegExp][] = [
    ["nothing", new Uint8Array(0), /has 0 bytes/],
    ["a cut length", tiny.subarray(0, 7), /has 7 bytes/],
    ["a cut header", tiny.subarray(0, 1000), /header ends at byte/],
    ["cut data", tiny.subarray(0, tiny.byteLength - 1), /claims bytes/],
    ["trailing data", file(two(entry("U8", [1], [0, 1]), entry("U8", [1], [1, 2])), 3), /follow/],
    ["a giant header", file("{}", 0, 2n ** 63n), /claims 9223372036854775808 bytes/],
    ["a header of 100 MB and 1", file("{}", 0, 100_000_001n), /more than 100000000/],
    ["no JSON", file("{]"), /not valid JSON/],
    ["no UTF-8", file("{}").map((byte, i) => (i === 8 ? 0xff : byte)), /not valid JSON/],
    ["deep JSON", file("[".repeat(100_000)), /not valid JSON/],
    ["deep valid JSON", file(`{"a":${"[".repeat(50_000)}${"]".repeat(50_000)}}`), /proper dtype/],
    ["a list", file("[]"), /not a JSON object/],
    ["an overlap", file(two(entry("U8", [2], [0, 2]), entry("U8", [2], [1, 3])), 3), /overlaps/],
    [
      "the same bytes twice",
      file(two(entry("U8", [2], [0, 2]), entry("U8", [2], [0, 2])), 2),
      /overlaps/,
    ],
    ["a hole", file(two(entry("U8", [1], [0, 1]), entry("U8", [1], [2, 3])), 3), /hole/],
    ["data before the first", file(JSON.stringify({ a: entry("U8", [1], [1, 2]) }), 2), /hole/],
    ["a wrong shape", file(JSON.stringify({ a: entry("F32", [2], [0, 4]) }), 4), /needs 8 bytes/],
    [
      "an overflowing shape",
      file(JSON.stringify({ a: entry("F32", [2 ** 40, 2 ** 40], [0, 4]) }), 4),
      /too many/,
    ],
    ["a negative size", file(JSON.stringify({ a: entry("F32", [-1], [0, 4]) }), 4), /proper/],
    ["a broken size", file(JSON.stringify({ a: entry("F32", [1.5], [0, 4]) }), 4), /proper/],
    [
      "65 dimensions",
      file(JSON.stringify({ a: entry("U8", Array(65).fill(1), [0, 1]) }), 1),
      /65 dim/,
    ],
    ["reversed offsets", file(JSON.stringify({ a: entry("U8", [1], [1, 0]) }), 1), /claims bytes/],
    ["three offsets", file(JSON.stringify({ a: entry("U8", [1], [0, 1, 1]) }), 1), /claims bytes/],
    ["no offsets", file(JSON.stringify({ a: { dtype: "U8", shape: [1] } }), 1), /proper/],
    ["null", file('{"a":null}'), /not described/],
    ["an unknown type", file(JSON.stringify({ a: entry("F8_E4M3", [1], [0, 1]) }), 1), /"F8_E4M3"/],
    [
      "a type of the prototype",
      file(JSON.stringify({ a: entry("toString", [1], [0, 1]) }), 1),
      /"toStr/,
    ],
    ["numbers as metadata", file('{"__metadata__":{"a":1}}'), /not a text/],
    ["a list as metadata", file('{"__metadata__":[]}'), /not an object/],
  ];
  it.each(hostile)("refuses %s", (_, bytes, message) => {
    expect(() => readSafetensors(bytes)).toThrow(CheckpointError);
    expect(() => readSafetensors(bytes)).toThrow(message);
  });

  it("refuses or reads any mutation, never failing otherwise", () => {
    const small = writeSafetensors(
      new Map([
        ["a", { dtype: "F32", shape: [2], bytes: new Uint8Array(8) }],
        ["b", { dtype: "I64", shape: [], bytes: new Uint8Array(8) }],
      ]),
    );
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(small.byteLength - 1), fc.nat(255)), {
          minLength: 1,
          maxLength: 4,
        }),
        fc.nat(small.byteLength),
        (changes, length) => {
          const bytes = small.slice();
          for (const [at, value] of changes) bytes[at] = value;
          for (const cut of [bytes, bytes.subarray(0, length)]) {
            try {
              readSafetensors(cut);
            } catch (error) {
              if (!(error instanceof CheckpointError)) throw error;
            }
          }
        },
      ),
      { seed: 2, numRuns: 3000 },
    );
  });
});

describe("writeSafetensors", () => {
  const sizes: [TensorDType, number][] = [
    ["F64", 8],
    ["F32", 4],
    ["BF16", 2],
    ["I64", 8],
    ["BOOL", 1],
  ];
  const tensorMaps = fc
    .uniqueArray(
      fc.tuple(
        fc.oneof(fc.string(), fc.constant("__proto__"), fc.constant("constructor")),
        fc.constantFrom(...sizes),
        fc.array(fc.nat(3), { maxLength: 3 }),
      ),
      { selector: ([name]) => name, maxLength: 8 },
    )
    .map((list): TensorMap => {
      const map: TensorMap = new Map();
      for (const [name, [dtype, size], shape] of list) {
        const count = shape.reduce((product, n) => product * n, size);
        map.set(name, {
          dtype,
          shape,
          bytes: Uint8Array.from({ length: count }, (_, i) => i + map.size),
        });
      }
      return map;
    })
    .filter((map) => !map.has("__metadata__"));

  it("round-trips any tensors, each aligned to its element size", () => {
    fc.assert(
      fc.property(tensorMaps, (tensors) => {
        const { tensors: read, metadata } = readSafetensors(writeSafetensors(tensors, { k: "v" }));
        expect(metadata).toEqual({ k: "v" });
        expect(new Map(read)).toEqual(new Map(tensors));
        for (const [, { dtype, bytes }] of read) {
          const size = sizes.find(([name]) => name === dtype)![1];
          expect(bytes.byteOffset % size).toBe(0);
        }
      }),
      { seed: 3, numRuns: 200 },
    );
  });

  it("keeps every byte of the reference file's tensors, 8-byte elements first", () => {
    const list = (tensors: TensorMap) =>
      [...tensors].map(([name, { dtype, shape, bytes }]) => [name, dtype, shape, digest(bytes)]);
    const before = list(readSafetensors(tiny).tensors);
    const after = list(readSafetensors(writeSafetensors(readSafetensors(tiny).tensors)).tensors);
    expect(after).toEqual([
      ...before.filter(([, dtype]) => dtype === "I64"),
      ...before.filter(([, dtype]) => dtype !== "I64"),
    ]);
  });

  it("refuses bytes that do not fit the shape, and the reserved name", () => {
    const tensor = { dtype: "F32", shape: [2], bytes: new Uint8Array(7) } as const;
    expect(() => writeSafetensors(new Map([["a", tensor]]))).toThrow(
      /^Tensor "a" cannot be written/,
    );
    const fine = { dtype: "U8", shape: [], bytes: new Uint8Array(1) } as const;
    expect(() => writeSafetensors(new Map([["__metadata__", fine]]))).toThrow(CheckpointError);
  });
});
