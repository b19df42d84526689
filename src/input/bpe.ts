// Byte-pair encoding (Sennrich et al. 2016) over the byte alphabet of GPT-2 with CLIP's end-of-word
// mark: the vocabulary, from CLIP's merges or a checkpoint's files, and the splitting of a word.

import { InputError } from "../errors.js";
import { CLIP_MERGES } from "./data/clip-merges.js";

/** Marks the last character of a word within a token. */
const END_OF_WORD = "</w>";
export const START_OF_TEXT = "<|startoftext|>";
export const END_OF_TEXT = "<|endoftext|>";

export interface TokenVocabulary {
  /** Text of every id in the byte alphabet; holes of a checkpoint's vocabulary are "". */
  readonly tokens: readonly string[];
  readonly startToken: number;
  readonly endToken: number;
  /** Ids of the 256 bytes, then of the 256 bytes at the end of a word. */
  readonly byteTokens: Int32Array;
  /** Pairs of ids in the order in which they are merged: left, right, left, right, ... */
  readonly pairs: Int32Array;
  /** The id that each pair merges to. */
  readonly merged: Int32Array;
}

/** Hostile files: sizes beyond any tokenizer of this kind. */
const MAX_TOKENS = 1 << 20;
const MAX_TOKEN_LENGTH = 1024;

/** A value of a hostile file in a message: short, and without recursion. */
export function show(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value.slice(0, 80));
  return typeof value === "number" ? String(value) : typeof value;
}

/** Printable character of each byte (GPT-2's byte alphabet), and the bytes in that alphabet's order. */
function byteAlphabet(): { characters: string[]; order: number[] } {
  const isPrintable = (byte: number) =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
  const bytes = Array.from({ length: 256 }, (_, byte) => byte);
  const others = bytes.filter((byte) => !isPrintable(byte));
  const order = [...bytes.filter(isPrintable), ...others];
  const characters = bytes.map((byte) =>
    String.fromCharCode(isPrintable(byte) ? byte : 256 + others.indexOf(byte)),
  );
  return { characters, order };
}

const ALPHABET = byteAlphabet();
const BYTE_OF_CHARACTER = new Map(ALPHABET.characters.map((character, byte) => [character, byte]));

/** Bytes of a token's text; a character outside of the byte alphabet (a special token's) as UTF-8. */
export function tokenBytes(token: string): number[] {
  return [...token].flatMap((character) => {
    const byte = BYTE_OF_CHARACTER.get(character);
    return byte === undefined ? [...new TextEncoder().encode(character)] : [byte];
  });
}

let clip: TokenVocabulary | undefined;

/** CLIP's vocabulary: 49,408 tokens, of which the last two are the start and the end of a text. */
export function clipVocabulary(): TokenVocabulary {
  if (clip !== undefined) return clip;
  const data = atob(CLIP_MERGES);
  const pairs = new Int32Array(data.length / 2);
  for (let i = 0; i < pairs.length; i++) {
    pairs[i] = data.charCodeAt(2 * i) | (data.charCodeAt(2 * i + 1) << 8);
  }
  const tokens = ALPHABET.order.map((byte) => ALPHABET.characters[byte]!);
  for (let i = 0; i < 256; i++) tokens.push(tokens[i]! + END_OF_WORD);
  const merged = new Int32Array(pairs.length / 2);
  for (let i = 0; i < merged.length; i++) {
    merged[i] = tokens.length;
    tokens.push(tokens[pairs[2 * i]!]! + tokens[pairs[2 * i + 1]!]!);
  }
  tokens.push(START_OF_TEXT, END_OF_TEXT);
  const byteTokens = new Int32Array(512);
  for (const [i, byte] of ALPHABET.order.entries()) {
    byteTokens[byte] = i;
    byteTokens[256 + byte] = 256 + i;
  }
  const [startToken, endToken] = [tokens.length - 2, tokens.length - 1];
  clip = { tokens, startToken, endToken, byteTokens, pairs, merged };
  return clip;
}

/**
 * A vocabulary from a checkpoint's files.
 * @param subject names the file in messages
 * @param vocab token to id, as parsed
 * @param merges each "left right" or [left, right], as parsed
 * @throws InputError on anything that is not the vocabulary of a byte-pair encoding
 */
export function readVocabulary(
  subject: string,
  vocab: unknown,
  merges: readonly unknown[],
): TokenVocabulary {
  if (typeof vocab !== "object" || vocab === null || Array.isArray(vocab)) {
    throw new InputError(`${subject}: the vocabulary must be an object of tokens and their ids.`);
  }
  const entries = Object.entries(vocab);
  if (entries.length === 0 || entries.length > MAX_TOKENS || merges.length > MAX_TOKENS) {
    throw new InputError(
      `${subject}: ${entries.length} tokens and ${merges.length} merges; between 1 and ${MAX_TOKENS} are read.`,
    );
  }
  const tokens: string[] = [];
  const ids = new Map<string, number>();
  for (const [token, id] of entries) {
    const isId = typeof id === "number" && Number.isInteger(id) && id >= 0 && id < MAX_TOKENS;
    if (!isId || token.length > MAX_TOKEN_LENGTH) {
      throw new InputError(
        `${subject}: token ${show(token)} has the id ${show(id)}; ids are whole numbers below ${MAX_TOKENS}, tokens at most ${MAX_TOKEN_LENGTH} characters.`,
      );
    }
    while (tokens.length <= id) tokens.push("");
    tokens[id] = token;
    ids.set(token, id);
  }
  const pairs = new Int32Array(2 * merges.length);
  const merged = new Int32Array(merges.length);
  for (const [i, merge] of merges.entries()) {
    const parts: unknown = typeof merge === "string" ? merge.split(" ") : merge;
    const [left, right] = Array.isArray(parts) && parts.length === 2 ? parts : [];
    const leftId = ids.get(left);
    const rightId = ids.get(right);
    const id = ids.get(`${left}${right}`);
    if (leftId === undefined || rightId === undefined || id === undefined) {
      throw new InputError(
        `${subject}: merge ${i} is ${Array.isArray(parts) ? parts.slice(0, 3).map(show).join(" ") : show(merge)}; it must join two tokens of the vocabulary to a third.`,
      );
    }
    pairs[2 * i] = leftId;
    pairs[2 * i + 1] = rightId;
    merged[i] = id;
  }
  const special = (token: string): number => {
    const id = ids.get(token);
    if (id !== undefined) return id;
    throw new InputError(
      `${subject}: no token ${token}; this is not the tokenizer of a GroupViT or CLIP checkpoint.`,
    );
  };
  const [startToken, endToken] = [special(START_OF_TEXT), special(END_OF_TEXT)];
  // As in Hugging Face's tokenizer, whose unknown token is the end of the text.
  const byteTokens = Int32Array.from({ length: 512 }, (_, i) => {
    const character = ALPHABET.characters[i & 255]!;
    return ids.get(i < 256 ? character : character + END_OF_WORD) ?? endToken;
  });
  return { tokens, startToken, endToken, byteTokens, pairs, merged };
}

/** Splits words into tokens. */
export type WordEncoder = (word: string) => readonly number[];

const MAX_CACHED_WORDS = 20_000;
const MAX_CACHED_LENGTH = 64;
/** Positions in a word are packed into one number with the rank of a merge. */
const MAX_WORD_BYTES = 2 ** 31;

/** Rank of every pair of ids: an open hash table, three times as fast to fill and ask as a Map. */
function rankTable({ pairs, merged }: TokenVocabulary): (left: number, right: number) => number {
  const bits = Math.ceil(Math.log2(Math.max(2, 2 * merged.length)));
  const mask = (1 << bits) - 1;
  const slots = new Int32Array(1 << bits).fill(-1);
  const slotOf = (left: number, right: number): number => {
    const hash = Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca6b);
    let slot = (hash ^ (hash >>> 15)) & mask;
    while (slots[slot]! >= 0) {
      const rank = slots[slot]!;
      if (pairs[2 * rank] === left && pairs[2 * rank + 1] === right) break;
      slot = (slot + 1) & mask;
    }
    return slot;
  };
  for (let rank = 0; rank < merged.length; rank++) {
    const slot = slotOf(pairs[2 * rank]!, pairs[2 * rank + 1]!);
    if (slots[slot] === -1) slots[slot] = rank;
  }
  return (left, right) => slots[slotOf(left, right)]!;
}

/**
 * Makes the function that splits a word: its UTF-8 bytes, then again and again the first merge of the
 * list that applies, leftmost first. Takes n log n time for n bytes; short words are remembered.
 */
export function wordEncoder(vocabulary: TokenVocabulary): WordEncoder {
  const { byteTokens, pairs, merged } = vocabulary;
  const rankOf = rankTable(vocabulary);
  const encoder = new TextEncoder();

  function encode(word: string): number[] {
    const bytes = encoder.encode(word);
    const count = bytes.length;
    if (count === 0) return [];
    // A doubly linked list of tokens: position, then next[position] ... up to `count`.
    const token = new Int32Array(count);
    const next = new Int32Array(count);
    const previous = new Int32Array(count);
    for (let i = 0; i < count; i++) {
      token[i] = byteTokens[bytes[i]!]!;
      next[i] = i + 1;
      previous[i] = i - 1;
    }
    token[count - 1] = byteTokens[256 + bytes[count - 1]!]!;

    // A heap of rank and position, packed so that the smallest number is the next merge.
    const heap: number[] = [];
    const consider = (at: number) => {
      const rank = rankOf(token[at]!, token[next[at]!]!);
      if (rank >= 0) push(heap, rank * MAX_WORD_BYTES + at);
    };
    for (let i = 0; i + 1 < count; i++) consider(i);
    while (heap.length > 0) {
      const item = pop(heap);
      const rank = Math.floor(item / MAX_WORD_BYTES);
      const at = item - rank * MAX_WORD_BYTES;
      const right = next[at]!;
      // An earlier merge may have taken either of the two.
      const isCurrent =
        right < count && token[at] === pairs[2 * rank] && token[right] === pairs[2 * rank + 1];
      if (!isCurrent) continue;
      token[at] = merged[rank]!;
      token[right] = -1;
      next[at] = next[right]!;
      if (next[at]! < count) {
        previous[next[at]!] = at;
        consider(at);
      }
      if (previous[at]! >= 0) consider(previous[at]!);
    }
    const result: number[] = [];
    for (let at = 0; at < count; at = next[at]!) result.push(token[at]!);
    return result;
  }

  const cache = new Map<string, readonly number[]>();
  return (word) => {
    const cached = cache.get(word);
    if (cached !== undefined) return cached;
    const result = encode(word);
    if (word.length <= MAX_CACHED_LENGTH) {
      if (cache.size >= MAX_CACHED_WORDS) cache.clear();
      cache.set(word, result);
    }
    return result;
  };
}

function push(heap: number[], item: number): void {
  let at = heap.length;
  heap.push(item);
  while (at > 0) {
    const parent = (at - 1) >> 1;
    if (heap[parent]! <= item) break;
    heap[at] = heap[parent]!;
    at = parent;
  }
  heap[at] = item;
}

function pop(heap: number[]): number {
  const top = heap[0]!;
  const item = heap.pop()!;
  const count = heap.length;
  if (count === 0) return top;
  let at = 0;
  for (let child = 1; child < count; child = 2 * at + 1) {
    if (child + 1 < count && heap[child + 1]! < heap[child]!) child++;
    if (heap[child]! >= item) break;
    heap[at] = heap[child]!;
    at = child;
  }
  heap[at] = item;
  return top;
}
