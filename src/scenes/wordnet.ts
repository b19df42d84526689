// Which English nouns name a thing one can see, from WordNet's noun index (Debian `wordnet-base`).

import { readFileSync } from "node:fs";
import { join } from "node:path";

/** WordNet's lexicographer files: 05 animal, 06 artifact, 08 body, 13 food, 17 object, 20 plant. */
const VISIBLE = new Set(["05", "06", "08", "13", "17", "20"]);

/** Looks nouns up; all arguments are lower case with single spaces. */
export interface NounBook {
  /** True when the commonest meaning of the noun (singular) is a visible thing. */
  isThing(noun: string): boolean;
  /** The singular of a word that is no noun as it stands; the word itself otherwise. */
  singular(word: string): string;
}

/** Reads WordNet's database folder (`index.noun`, `data.noun`). */
export function readNounBook(folder: string): NounBook {
  const fileByOffset = new Map<string, string>();
  for (const line of readFileSync(join(folder, "data.noun"), "latin1").split("\n")) {
    if (!line.startsWith(" ")) fileByOffset.set(line.slice(0, 8), line.slice(9, 11));
  }
  const nouns = new Map<string, boolean>();
  for (const line of readFileSync(join(folder, "index.noun"), "latin1").split("\n")) {
    if (line === "" || line.startsWith(" ")) continue;
    // lemma, part of speech, senses, pointers (count, then symbols), senses, tagged, offsets...
    const fields = line.trim().split(" ");
    const first = fields[fields.length - Number(fields[2])]!;
    nouns.set(fields[0]!.replaceAll("_", " "), VISIBLE.has(fileByOffset.get(first) ?? ""));
  }
  return {
    isThing: (noun) => nouns.get(noun) ?? false,
    singular(word) {
      if (nouns.has(word)) return word;
      const guesses = [
        word.replace(/ies$/, "y"),
        word.replace(/ves$/, "f"),
        word.replace(/(ch|sh|x|ss|o)es$/, "$1"),
        word.replace(/s$/, ""),
      ];
      return guesses.find((guess) => guess !== word && nouns.has(guess)) ?? word;
    },
  };
}
