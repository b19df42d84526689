import { existsSync, readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CheckpointError } from "../errors.js";
import { Op, PickleGlobal, PickleObject, type PickleValue, readPickle } from "./pickle.js";

const reference = JSON.parse(
  readFileSync(new URL("./pickle.test-data.json", import.meta.url), "utf8"),
) as { protocols: string[]; attacks: Record<string, string> };
const base64 = (text: string) => new Uint8Array(Buffer.from(text, "base64"));

/** A pickle from operation codes and texts. */
const pickle = (...parts: (number | string)[]) =>
  new Uint8Array(
    Buffer.concat(parts.map((part) => Buffer.from(typeof part === "string" ? part : [part]))),
  );
const read = (...parts: (number | string)[]) => readPickle(pickle(...parts)).value;

describe("readPickle", () => {
  it.each([0, 1, 2, 3, 4, 5])("reads what Python writes in protocol %i", (protocol) => {
    const bytes = base64(reference.protocols[protocol]!);
    const { value, end } = readPickle(bytes);
    expect(end).toBe(bytes.byteLength);
    const found = value as Map<string, PickleValue>;
    const nested = new Map([["a", new Map([["b", [[], [], new Map()]]])]]);
    const expected: [string, PickleValue][] = [
      ["text", "pïck\n\\ é 😀"],
      [
        "ints",
        [
          0,
          1,
          -1,
          255,
          256,
          65535,
          65536,
          -(2 ** 31),
          2 ** 31,
          2 ** 53 - 1,
          -(2 ** 40),
          10n ** 30n,
        ],
      ],
      ["floats", [0.5, -1e300, Number.POSITIVE_INFINITY]],
      ["flags", [true, false, null]],
      ["nested", nested],
      ["tuples", [[1], [1, 2], [1, 2, 3, 4]]],
      ["many", [...Array(40).keys()]],
      ["again", nested],
      [
        "ordered",
        new Map([
          ["b", 1],
          ["a", 2],
        ]),
      ],
    ];
    for (const [key, item] of expected) expect(found.get(key), key).toEqual(item);
    expect(found.get("again")).toBe(found.get("nested"));
    if (protocol >= 3) {
      expect(found.get("bytes")).toEqual(Uint8Array.of(0, 255));
      expect(found.get("long_bytes")).toEqual(new Uint8Array(300).fill(1));
    }
    if (protocol >= 4) {
      expect(found.get("set")).toEqual(new Set([7]));
      expect(found.get("frozen")).toEqual(new Set([8]));
    }
  });

  it.each(Object.keys(reference.attacks))("keeps the attack %s as data", (name) => {
    const root = readPickle(base64(reference.attacks[name]!)).value as Map<string, PickleValue>;
    const attack = root.get("model") as PickleObject;
    expect(attack).toBeInstanceOf(PickleObject);
    expect((attack.type as PickleGlobal).name).toMatch(/\.(system|eval|Popen)$/);
    expect(JSON.stringify(attack.args)).toContain("pwned");
    expect(existsSync("pwned")).toBe(false);
  });

  it("never hands names of unknown functions to anything but the handlers", () => {
    const seen: string[] = [];
    const bytes = pickle("cglobalThis\neval\n(S'1'\ntR.");
    const { value } = readPickle(bytes, {
      call: (name) => {
        seen.push(name);
        return undefined;
      },
    });
    expect(seen).toEqual(["globalThis.eval"]);
    expect(value).toEqual(new PickleObject(new PickleGlobal("globalThis.eval"), ["1"]));
  });

  it("keeps state, items and keywords of placeholders", () => {
    const built = read(
      "cm\nC\n)",
      Op.NEWOBJ,
      "}S'k'\nK",
      1,
      "sb(K",
      2,
      "K",
      3,
      "e.",
    ) as PickleObject;
    expect(built.state).toEqual(new Map([["k", 1]]));
    expect(built.items).toEqual([2, 3]);
    expect(read("(im\nC\n.")).toEqual(new PickleObject(new PickleGlobal("m.C"), []));
    expect(read("(cm\nC\nK", 4, "o.")).toEqual(new PickleObject(new PickleGlobal("m.C"), [4]));
    const keywords = read("cm\nC\n)}", Op.NEWOBJ_EX, ".") as PickleObject;
    expect(keywords.items).toEqual([new Map()]);
  });

  it("resolves persistent ids, and tells where it ended", () => {
    const bytes = pickle("xxS'id'\nQ.rest");
    expect(readPickle(bytes, { persistent: (id) => [id] }, 2)).toEqual({ value: ["id"], end: 10 });
    expect(() => readPickle(bytes, {}, 2)).toThrow(/refers to data outside/);
  });

  it("reads texts of protocol 0 with their escapes", () => {
    expect(read("S'a\\n\\x41\\'\\\\'\n.")).toBe("a\nA'\\");
    expect(read("V\\u00e9 \\U0001f600 \\q\n.")).toBe("é 😀 \\q");
    expect([
      read("I01\n."),
      read("I00\n."),
      read("I12\n."),
      read("L-5L\n."),
      read("F1e3\n."),
    ]).toEqual([true, false, 12, -5, 1000]);
  });

  const long = (n: number) => [n & 255, (n >> 8) & 255, (n >> 16) & 255, n >>> 24];
  const hostile: [string, (number | string)[], RegExp][] = [
    ["nothing", [], /cut short/],
    ["no end", ["N"], /cut short/],
    ["an empty stack", ["."], /empty stack/],
    ["a tuple of nothing", [Op.TUPLE2, "."], /empty stack/],
    ["an unbegun list", ["t."], /not begun/],
    ["a pop of nothing", ["0."], /not begun/],
    ["a mark under an append", ["](K", 1, "a."], /empty stack/],
    ["an unknown memo entry", ["g5\n."], /unknown memo entry 5/],
    ["a memo entry that is no number", ["Np-1\n."], /no number/],
    ["an unknown protocol", [Op.PROTO, 6, "N."], /protocol 6/],
    ["an unknown operation", ["N", 0xff], /unknown operation 0xff/],
    ["extension codes", [0x82, 1, "."], /unknown operation 0x82/],
    ["a key without a value", ["}(Nu."], /key without a value/],
    ["items of a number", ["K", 1, "NNs."], /no dictionary/],
    ["appends to text", ["S'a'\nNa."], /no list/],
    ["a text beyond the end", ["X", ...long(0x7fffffff), "a."], /cut short/],
    ["bytes beyond 2^53", [Op.BINBYTES8, ...Array(8).fill(255), "."], /cut short/],
    ["a giant integer", [Op.LONG4, ...long(300), "x".repeat(300), "."], /300 bytes/],
    ["a giant decimal", [`L${"9".repeat(2000)}L\n.`], /no number/],
    ["a hopeless float", ["Fabc\n."], /float that is none/],
    ["a name of numbers", ["K", 1, "K", 2, Op.STACK_GLOBAL, "."], /something else than text/],
    ["deep marks", ["(".repeat(20_000), "."], /nests 10000 levels/],
    ["endless duplicates", ["N", "2".repeat(1_100_000), "."], /larger than 1000000 steps/],
  ];
  it.each(hostile)("refuses %s", (_, parts, message) => {
    expect(() => read(...parts)).toThrow(CheckpointError);
    expect(() => read(...parts)).toThrow(message);
  });

  it("reads deep, shared and cyclic values without recursion", () => {
    const bytes = new Uint8Array(100_002).fill(Op.TUPLE1);
    bytes[0] = Op.NONE;
    bytes[100_001] = Op.STOP;
    let deep = readPickle(bytes).value;
    let depth = 0;
    for (; Array.isArray(deep); deep = deep[0]!) depth++;
    expect(depth).toBe(100_000);
    const cycle = read("]q", 0, "h", 0, "a.") as PickleValue[];
    expect(cycle[0]).toBe(cycle);
    // 2^60 leaves in 60 pairs.
    let laughs = read("]", ...Array<number[]>(60).fill([Op.DUP, Op.TUPLE2]).flat(), ".");
    let pairs = 0;
    for (; Array.isArray(laughs) && laughs.length === 2; laughs = laughs[0]!) pairs++;
    expect(pairs).toBe(60);
  });

  it("refuses or reads any bytes, never failing otherwise", () => {
    const codes = fc.constantFrom(...Object.values(Op));
    const program = fc.array(fc.oneof({ weight: 3, arbitrary: codes }, fc.nat(255)), {
      maxLength: 60,
    });
    const mutated = fc
      .tuple(
        fc.nat(5),
        fc.array(fc.tuple(fc.nat(2000), fc.nat(255)), { minLength: 1, maxLength: 4 }),
      )
      .map(([protocol, changes]) => {
        const bytes = base64(reference.protocols[protocol]!);
        for (const [at, value] of changes) bytes[at % bytes.byteLength] = value;
        return [...bytes];
      });
    fc.assert(
      fc.property(fc.oneof(program, mutated), (codes) => {
        try {
          readPickle(Uint8Array.from(codes), { persistent: (id) => [id] });
        } catch (error) {
          if (!(error instanceof CheckpointError)) throw error;
        }
      }),
      { seed: 5, numRuns: 5000 },
    );
  });
});
