// Text to token ids and back: the authors' tokenizer (CLIP's `SimpleTokenizer` with ftfy) and Hugging
// Face's `CLIPTokenizerFast`, which differs on curly quotes, HTML, misread encodings and the like.

import { InputError } from "../errors.js";
import {
  clipVocabulary,
  END_OF_TEXT,
  readVocabulary,
  START_OF_TEXT,
  show,
  type TokenVocabulary,
  tokenBytes,
  wordEncoder,
} from "./bpe.js";
import { cleanText, composeCharacters } from "./clean-text.js";

/** Whose tokenizer: the authors' (of training and of the published results) or Hugging Face's. */
export type TokenizerKind = "authors" | "huggingface";

export interface Tokenizer {
  readonly kind: TokenizerKind;
  /** Longest result of `encode`, start and end of text included. */
  readonly contextLength: number;
  readonly vocabSize: number;
  readonly startToken: number;
  readonly endToken: number;
  /**
   * Token ids of a text, from the start token to the end token, without padding. A text that is too
   * long loses its end; the end token stays.
   */
  encode(text: string): number[];
  /**
   * Text of token ids, every word followed by a space, as the authors' tokenizer does it.
   * @throws InputError on an id outside of the vocabulary
   */
  decode(ids: Iterable<number>): string;
}

/** A checkpoint's tokenizer files, as text: `tokenizer.json` alone, or the other two. */
export interface TokenizerFiles {
  readonly "tokenizer.json"?: string;
  readonly "vocab.json"?: string;
  readonly "merges.txt"?: string;
}

const CONTEXT_LENGTH = 77;
const MAX_CONTEXT_LENGTH = 65_536;
/** CLIP's `tokenizer.json` has some 2 million characters, the largest of other models 30 million. */
const MAX_FILE_LENGTH = 64_000_000;

// White space separates words, letters stick together, every digit is alone. The authors' expression
// ignores case: a long s is an s, and U+0345, whose capital is a letter, is dropped. Hugging Face cuts
// out the special tokens before all else.
const WORDS: Record<TokenizerKind, RegExp> = {
  authors:
    // biome-ignore lint/suspicious/noMisleadingCharacterClass: the mark is meant by itself.
    /<\|[sſ]tartoftext\|>|<\|endoftext\|>|'(?:[sſ]|t|re|ve|m|ll|d)|\p{L}+|\p{N}|[^\u0345\p{White_Space}\p{L}\p{N}]+/gu,
  huggingface:
    /<\|(?:start|end)oftext\|>|'(?:s|t|re|ve|m|ll|d)|\p{L}+|\p{N}|(?:(?!<\|(?:start|end)oftext\|>)[^\p{White_Space}\p{L}\p{N}])+/gu,
};

/** What Hugging Face's normaliser does but for white space: NFC, then each character to lower case. */
function normalise(text: string): string {
  // By itself a capital sigma has no final form, whatever stands around it.
  return composeCharacters(text).replaceAll("Σ", "σ").toLowerCase();
}

function parseJson(name: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new InputError(`${name} is not JSON (${(error as Error).message}): download it again.`);
  }
}

function field(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null && Object.hasOwn(value, name)
    ? (value as Record<string, unknown>)[name]
    : undefined;
}

function readTokenizerJson(text: string): TokenVocabulary {
  const name = "tokenizer.json";
  const root = parseJson(name, text);
  const model = field(root, "model");
  const merges = field(model, "merges");
  const suffix = field(model, "end_of_word_suffix");
  if (!Array.isArray(merges) || suffix !== "</w>") {
    throw new InputError(
      `${name}: the model is ${show(field(model, "type"))} with the end-of-word suffix ${show(suffix)}; only CLIP's kind of byte-pair encoding ("BPE", "</w>") is read.`,
    );
  }
  const vocab = field(model, "vocab");
  const added = field(root, "added_tokens");
  const special: Record<string, unknown> = {};
  for (const token of Array.isArray(added) ? added.slice(0, 1000) : []) {
    const content = field(token, "content");
    if (content === START_OF_TEXT || content === END_OF_TEXT) special[content] = field(token, "id");
  }
  const isObject = typeof vocab === "object" && vocab !== null && !Array.isArray(vocab);
  return readVocabulary(name, isObject ? { ...vocab, ...special } : vocab, merges);
}

function readVocabAndMerges(vocab: string, merges: string): TokenVocabulary {
  const lines = merges.split(/\r?\n/).filter((line) => line !== "");
  if (lines[0]?.startsWith("#version")) lines.shift();
  return readVocabulary("vocab.json and merges.txt", parseJson("vocab.json", vocab), lines);
}

function readFiles(files: TokenizerFiles): TokenVocabulary {
  for (const [name, text] of Object.entries(files)) {
    if (typeof text === "string" && text.length > MAX_FILE_LENGTH) {
      throw new InputError(
        `${name} has ${text.length} characters; at most ${MAX_FILE_LENGTH} are read.`,
      );
    }
  }
  const { "tokenizer.json": whole, "vocab.json": vocab, "merges.txt": merges } = files;
  if (whole !== undefined) return readTokenizerJson(whole);
  if (vocab !== undefined && merges !== undefined) return readVocabAndMerges(vocab, merges);
  if (vocab === undefined && merges === undefined) return clipVocabulary();
  throw new InputError(
    `${vocab === undefined ? "merges.txt" : "vocab.json"} alone is half a tokenizer: vocab.json and merges.txt, or tokenizer.json, are needed.`,
  );
}

/**
 * Makes a tokenizer: CLIP's vocabulary, or that of a checkpoint's files.
 * @throws InputError on files that are not a tokenizer of CLIP's kind, and on a wrong context length
 *
 * @example
 * loadTokenizer().encode("a photo of a cat"); // [49406, 320, 1125, 539, 320, 2368, 49407]
 */
export function loadTokenizer(
  options: { kind?: TokenizerKind; files?: TokenizerFiles; contextLength?: number } = {},
): Tokenizer {
  const { kind = "authors", files = {}, contextLength = CONTEXT_LENGTH } = options;
  const pattern = WORDS[kind];
  if (pattern === undefined) {
    throw new InputError(`Tokenizer ${JSON.stringify(kind)}: choose "authors" or "huggingface".`);
  }
  if (!Number.isInteger(contextLength) || contextLength < 2 || contextLength > MAX_CONTEXT_LENGTH) {
    throw new InputError(
      `Context length ${contextLength}: it must be a whole number from 2 to ${MAX_CONTEXT_LENGTH}.`,
    );
  }
  const vocabulary = readFiles(files);
  const { startToken, endToken } = vocabulary;
  const encodeWord = wordEncoder(vocabulary);

  function encode(text: string): number[] {
    const ids = [startToken];
    const normalised = kind === "authors" ? cleanText(text) : normalise(text);
    // Only as many words as the context holds: a long text costs no more than its cleaning.
    for (const [word] of normalised.matchAll(pattern)) {
      if (word === START_OF_TEXT) ids.push(startToken);
      else if (word === END_OF_TEXT) ids.push(endToken);
      else for (const id of encodeWord(word)) ids.push(id);
      if (ids.length >= contextLength) break;
    }
    ids.length = Math.min(ids.length, contextLength - 1);
    ids.push(endToken);
    return ids;
  }

  function decode(ids: Iterable<number>): string {
    const bytes: number[] = [];
    for (const id of ids) {
      const token = vocabulary.tokens[id];
      if (token === undefined) {
        throw new InputError(
          `Token id ${id}: the vocabulary has the ids 0 to ${vocabulary.tokens.length - 1}.`,
        );
      }
      for (const byte of tokenBytes(token)) bytes.push(byte);
    }
    const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(new Uint8Array(bytes));
    return text.replaceAll("</w>", " ");
  }

  return {
    kind,
    contextLength,
    vocabSize: vocabulary.tokens.length,
    startToken,
    endToken,
    encode,
    decode,
  };
}

/**
 * CLIP's tokenizer as the files that Hugging Face's libraries open, by name: for a model folder that
 * Python can load. Together 4 MB of text.
 */
export function tokenizerFiles(): Record<string, string> {
  const { tokens, startToken, endToken, pairs, merged } = clipVocabulary();
  const vocab = Object.fromEntries(tokens.map((token, id) => [token, id]));
  const merges = Array.from(
    merged,
    (_, rank) => `${tokens[pairs[2 * rank]!]} ${tokens[pairs[2 * rank + 1]!]}`,
  );
  const specialToken = (id: number) => ({
    id,
    content: tokens[id]!,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: true,
    special: true,
  });
  const tokenizer = {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: [specialToken(startToken), specialToken(endToken)],
    normalizer: {
      type: "Sequence",
      normalizers: [
        { type: "NFC" },
        { type: "Replace", pattern: { Regex: "\\s+" }, content: " " },
        { type: "Lowercase" },
      ],
    },
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [
        {
          type: "Split",
          pattern: {
            Regex: "'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+",
          },
          behavior: "Removed",
          invert: true,
        },
        { type: "ByteLevel", add_prefix_space: false, trim_offsets: true },
      ],
    },
    post_processor: {
      type: "RobertaProcessing",
      sep: [END_OF_TEXT, endToken],
      cls: [START_OF_TEXT, startToken],
      trim_offsets: false,
      add_prefix_space: false,
    },
    decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true },
    model: {
      type: "BPE",
      dropout: null,
      unk_token: END_OF_TEXT,
      continuing_subword_prefix: "",
      end_of_word_suffix: "</w>",
      fuse_unk: false,
      vocab,
      merges,
    },
  };
  const specialTokens = {
    bos_token: START_OF_TEXT,
    eos_token: END_OF_TEXT,
    unk_token: END_OF_TEXT,
    pad_token: END_OF_TEXT,
  };
  const config = {
    ...specialTokens,
    add_prefix_space: false,
    do_lower_case: true,
    errors: "replace",
    model_max_length: CONTEXT_LENGTH,
    tokenizer_class: "CLIPTokenizer",
  };
  return {
    "tokenizer.json": JSON.stringify(tokenizer),
    "vocab.json": JSON.stringify(vocab),
    "merges.txt": `#version: 0.2\n${merges.join("\n")}\n`,
    "tokenizer_config.json": `${JSON.stringify(config, null, 2)}\n`,
    "special_tokens_map.json": `${JSON.stringify(specialTokens, null, 2)}\n`,
  };
}
