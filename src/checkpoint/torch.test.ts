import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CheckpointError } from "../errors.js";
import { fromFloat32, toFloat32 } from "./dtypes.js";
import { readSafetensors } from "./safetensors.js";
import type { StoredTensor, TensorDType, TensorMap } from "./tensors.js";
import { isTorch, readTorch, type TorchValue, torchChunks } from "./torch.js";
import { zipChunks } from "./zip.js";

const fixture = (name: string) =>
  new Uint8Array(readFileSync(new URL(`../../test/fixtures/tiny/${name}`, import.meta.url)));
const authorsNames = JSON.parse(
  new TextDecoder().decode(fixture("nvlabs_to_hf_names.json")),
) as Record<string, string[]>;
const join = (chunks: Uint8Array[]) => new Uint8Array(Buffer.concat(chunks));
const digest = (bytes: Uint8Array) => createHash("sha1").update(bytes).digest("hex");
const list = (tensors: TensorMap) =>
  [...tensors].map(([name, { dtype, shape, bytes }]) => [name, dtype, shape, digest(bytes)]);

describe("readTorch", () => {
  it("reads the same tensors as the safetensors file", async () => {
    const { tensors, config } = await readTorch(fixture("pytorch_model.bin"));
    expect(list(tensors)).toEqual(list(readSafetensors(fixture("model.safetensors")).tensors));
    expect(config).toBeUndefined();
  });

  it("reads the authors' checkpoint and its configuration", async () => {
    const bytes = fixture("nvlabs.pth");
    const { tensors, config } = await readTorch(bytes);
    expect([...tensors.keys()]).toEqual(Object.keys(authorsNames));
    expect(config).toEqual({ model: { type: "MultiLabelContrastive", multi_label: 3 } });
    expect(tensors.get("img_projector.linear_out.weight")!.shape).toEqual([32, 64, 1]);
    // Nothing was copied.
    for (const tensor of tensors.values()) expect(tensor.bytes.buffer).toBe(bytes.buffer);
  });

  it("reads half types, strided views, shared storages and 0-dimensional tensors", async () => {
    const { tensors } = await readTorch(fixture("variant_dtypes.pth"));
    const count = (from: number, to: number) =>
      Array.from({ length: to - from }, (_, i) => from + i);
    const expected: [string, TensorDType, number[], number[]][] = [
      ["f16", "F16", [3], [1.5, -2.25, 65_504]],
      ["bf16", "BF16", [3], [1.5, -2.25, 1.765625 * 2 ** 127]],
      ["view", "F32", [2, 3], [8, 9, 10, 14, 15, 16]],
      ["transposed", "F32", [6, 4], count(0, 6).flatMap((i) => [i, i + 6, i + 12, i + 18])],
      ["i64", "I64", [3], [1, -2, 2 ** 40]],
      ["scalar", "F32", [], [3.5]],
      ["shared_a", "F32", [4, 6], count(0, 24)],
      ["shared_b", "F32", [6], count(12, 18)],
    ];
    expect([...tensors.keys()]).toEqual(expected.map(([name]) => name));
    for (const [name, dtype, shape, values] of expected) {
      const tensor = tensors.get(name)!;
      expect(tensor, name).toMatchObject({ dtype, shape });
      expect([...toFloat32(tensor)], name).toEqual(values);
    }
  });

  it("reads the older container and OmegaConf's pickled configuration alike", async () => {
    const legacy = await readTorch(fixture("variant_legacy.pth"));
    const { tensors, config } = await readTorch(fixture("variant_omegaconf.pth"));
    expect(list(legacy.tensors)).toEqual(list(tensors));
    expect([...tensors.keys()]).toEqual([
      "logit_scale",
      "img_encoder.norm.weight",
      "img_encoder.norm.bias",
    ]);
    expect(list(tensors)[0]).toEqual(list((await readTorch(fixture("nvlabs.pth"))).tensors)[0]);
    expect(config).toEqual({ a: 1, b: [1, 2.5, null, true] });
  });

  it("reads names with a module prefix, under state_dict", async () => {
    const tensors: TensorMap = new Map([
      ["module.a", fromFloat32(Float32Array.of(1, 2), [2])],
      ["module.b", fromFloat32(Float32Array.of(3), [])],
    ]);
    const { tensors: read } = await readTorch(
      join(torchChunks(new Map([["state_dict", tensors]]))),
    );
    expect([...read.keys()]).toEqual(["a", "b"]);
    expect([...toFloat32(read.get("a")!)]).toEqual([1, 2]);
  });
});

/** Pickle text (protocol 0) of a tensor over a storage, in an archive with that storage. */
interface Lie {
  type?: string;
  elements?: number;
  offset?: number;
  shape?: string;
  strides?: string;
  data?: Uint8Array;
  key?: string;
  call?: string;
  byteorder?: string;
}
function tensorFile(lie: Lie = {}): Uint8Array {
  const storage =
    `(S'storage'\nctorch\n${lie.type ?? "FloatStorage"}\nS'${lie.key ?? "0"}'\nS'cpu'\n` +
    `I${lie.elements ?? 6}\ntQ`;
  const call = lie.call ?? "torch._utils\n_rebuild_tensor_v2";
  const tensor =
    `c${call}\n(${storage}I${lie.offset ?? 0}\n(${lie.shape ?? "I2\nI3\n"}t(` +
    `${lie.strides ?? "I3\nI1\n"}tI00\nccollections\nOrderedDict\n)RtR`;
  return pickleFile(`}(S'w'\n${tensor}u.`, lie);
}
function pickleFile(
  pickle: string,
  { data = new Uint8Array(24), byteorder }: Lie = {},
): Uint8Array {
  const text = (value: string) => new TextEncoder().encode(value);
  return join(
    zipChunks([
      ["a/data.pkl", text(pickle)],
      ["a/data/0", data],
      ...(byteorder === undefined ? [] : ([["a/byteorder", text(byteorder)]] as const)),
    ]),
  );
}

describe("readTorch on hostile files", () => {
  it("reads the honest file that the lies are made from", async () => {
    const { tensors } = await readTorch(tensorFile());
    expect(tensors.get("w")).toEqual({ dtype: "F32", shape: [2, 3], bytes: new Uint8Array(24) });
  });

  const zeros = "I0\nI0\n";
  const legacy = fixture("variant_legacy.pth");
  const lies: [string, Uint8Array, RegExp][] = [
    ["a view beyond its storage", tensorFile({ offset: 1 }), /reaches element 6 of a storage of 6/],
    ["strides beyond the storage", tensorFile({ strides: "I4\nI1\n" }), /reaches element 6/],
    ["giant strides", tensorFile({ strides: `I${2 ** 52}\nI1\n` }), /reaches element/],
    ["negative strides", tensorFile({ strides: "I-3\nI1\n" }), /unknown form/],
    ["a negative offset", tensorFile({ offset: -1 }), /unknown form/],
    ["fewer strides than sizes", tensorFile({ strides: "I1\n" }), /unknown form/],
    [
      "a giant shape",
      tensorFile({ shape: `I${2 ** 40}\nI${2 ** 40}\n`, strides: zeros }),
      /too many/,
    ],
    [
      "billions of repeated elements",
      tensorFile({ shape: "I100000\nI100000\n", strides: zeros }),
      /far beyond/,
    ],
    [
      "a storage shorter than it says",
      tensorFile({ data: new Uint8Array(20) }),
      /20 bytes in storage "0" instead of 24/,
    ],
    ["a storage longer than it says", tensorFile({ data: new Uint8Array(28) }), /instead of 24/],
    ["a missing storage", tensorFile({ key: "../../etc/passwd" }), /lacks the entry/],
    ["a negative storage", tensorFile({ elements: -6 }), /unknown form/],
    [
      "complex numbers",
      tensorFile({ type: "ComplexFloatStorage" }),
      /"torch.ComplexFloatStorage" is not supported/,
    ],
    ["a storage of the prototype", tensorFile({ type: "constructor" }), /not supported/],
    [
      "a quantised tensor",
      tensorFile({ call: "torch._utils\n_rebuild_qtensor" }),
      /tensor "w" is made by "torch._utils._rebuild_qtensor"/,
    ],
    ["big-endian numbers", tensorFile({ byteorder: "big" }), /big-endian/],
    ["no tensors", pickleFile("}S'a'\nI1\ns."), /holds no named tensors/],
    ["a whole module", pickleFile("cmodels\nGroupViT\n)R."), /holds a whole Python object/],
    ["a code execution", pickleFile("cos\nsystem\n(S'touch pwned'\ntR."), /whole Python object/],
    ["another archive", join(zipChunks([["a", new Uint8Array(1)]])), /without data.pkl/],
    ["no pickle", new TextEncoder().encode("hello"), /no file of torch.save/],
    ["another pickle", Uint8Array.of(0x80, 2, 0x4e, 0x2e), /no file of torch.save/],
    ["a wrong magic number", legacy.map((byte, i) => (i === 5 ? byte ^ 1 : byte)), /magic number/],
    ["a wrong version", legacy.map((byte, i) => (i === 18 ? byte ^ 1 : byte)), /unknown version/],
    ["a cut older container", legacy.subarray(0, legacy.byteLength - 1), /cut short/],
    ["an older container without data", legacy.subarray(0, 544), /cut short/],
  ];
  it.each(lies)("refuses %s", async (_, bytes, message) => {
    await expect(readTorch(bytes)).rejects.toThrow(CheckpointError);
    await expect(readTorch(bytes)).rejects.toThrow(message);
  });

  it("bounds the configuration: cyclic, deep and repeated values", async () => {
    const tensors: TensorMap = new Map([["a", fromFloat32(Float32Array.of(1), [])]]);
    const nest = (depth: number): TorchValue =>
      depth === 0 ? 1 : [nest(depth - 1), nest(depth - 1)];
    const file = join(
      torchChunks(
        new Map<string, TorchValue>([
          ["model", tensors],
          ["config", nest(13)],
        ]),
      ),
    );
    expect(JSON.stringify((await readTorch(file)).config).length).toBeLessThan(60_000);
    const tensor =
      "ctorch._utils\n_rebuild_tensor\n((S'storage'\nctorch\nFloatStorage\nS'0'\nS'cpu'\nI6\ntQI0\n(t(ttR";
    const cyclic = pickleFile(`}(S'w'\n${tensor}S'config'\n]p0\ng0\nau.`);
    const { config } = await readTorch(cyclic);
    expect(JSON.stringify(config).length).toBeLessThan(200);
  });

  it("refuses or reads any mutation, never failing otherwise", async () => {
    const files = [fixture("variant_dtypes.pth"), legacy, fixture("variant_omegaconf.pth")];
    await fc.assert(
      fc.asyncProperty(
        fc.nat(2),
        fc.array(fc.tuple(fc.nat(2200), fc.nat(255)), { minLength: 1, maxLength: 4 }),
        fc.option(fc.nat(2200)),
        async (which, changes, cut) => {
          const bytes = files[which]!.slice(0, cut ?? undefined);
          for (const [at, value] of changes) bytes[at % bytes.byteLength] = value;
          try {
            await readTorch(bytes);
          } catch (error) {
            if (!(error instanceof CheckpointError)) throw error;
          }
        },
      ),
      { seed: 6, numRuns: 2000 },
    );
  });

  it("finds no way around the pickle when the archive is sound", async () => {
    const text =
      "}(S'w'\nctorch._utils\n_rebuild_tensor_v2\n((S'storage'\nctorch\nFloatStorage\nS'0'\nS'cpu'\nI6\ntQI0\n(I2\nI3\nt(I3\nI1\ntI00\n}tRu.";
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(text.length - 2), fc.integer({ min: 10, max: 126 })), {
          minLength: 1,
          maxLength: 3,
        }),
        async (changes) => {
          const codes = [...text];
          for (const [at, code] of changes) codes[at] = String.fromCharCode(code);
          try {
            const { tensors } = await readTorch(pickleFile(codes.join("")));
            for (const tensor of tensors.values()) toFloat32(tensor);
          } catch (error) {
            if (!(error instanceof CheckpointError)) throw error;
          }
        },
      ),
      { seed: 7, numRuns: 1500 },
    );
  });
});

describe("torchChunks", () => {
  const dtypes: [TensorDType, number][] = [
    ["F64", 8],
    ["F32", 4],
    ["F16", 2],
    ["BF16", 2],
    ["I64", 8],
    ["I32", 4],
    ["I16", 2],
    ["I8", 1],
    ["U8", 1],
    ["BOOL", 1],
  ];

  it("round-trips tensors of every type and shape", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(
          fc.tuple(fc.string(), fc.constantFrom(...dtypes), fc.array(fc.nat(4), { maxLength: 4 })),
          {
            selector: ([name]) => name,
            minLength: 1,
            maxLength: 6,
          },
        ),
        async (entries) => {
          const tensors: TensorMap = new Map();
          for (const [name, [dtype, size], shape] of entries) {
            const count = shape.reduce((product, n) => product * n, size);
            const bytes = Uint8Array.from({ length: count }, (_, i) => i + tensors.size);
            tensors.set(`w${name}`, { dtype, shape, bytes } satisfies StoredTensor);
          }
          const bytes = join(torchChunks(tensors));
          expect(isTorch(bytes)).toBe(true);
          expect(list((await readTorch(bytes)).tensors)).toEqual(list(tensors));
        },
      ),
      { seed: 8, numRuns: 100 },
    );
  });

  it("round-trips plain values beside the weights", async () => {
    const config = { a: [1, -1, 2 ** 40, -0.5, 300, null, true, false, "é", []], b: { c: {} } };
    const value = new Map<string, TorchValue>([
      ["model", new Map([["w", fromFloat32(Float32Array.of(1), [1])]])],
      [
        "config",
        new Map<string, TorchValue>([
          ["a", config.a as TorchValue],
          ["b", new Map([["c", new Map()]])],
        ]),
      ],
    ]);
    expect((await readTorch(join(torchChunks(value)))).config).toEqual(config);
  });

  it("refuses bytes that do not fit the shape", () => {
    const tensor = { dtype: "F32", shape: [2], bytes: new Uint8Array(7) } as const;
    expect(() => torchChunks(new Map([["a", tensor]]))).toThrow(CheckpointError);
  });
});
