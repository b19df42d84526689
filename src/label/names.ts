// Names for results, one for each picture, decided as pictures come: what was given before is remembered
// as numbers, 16 bytes a name, so that a million pictures need no list of a million names.

import { createHash } from "node:crypto";
import { safeName } from "../atomic.node.js";

/** A set of texts by the first 53 bits of their hashes; a false "there" costs a number in a name. */
class HashSet {
  private slots = new Float64Array(1 << 12);
  private size = 0;

  /** Adds a text; false where it was there. */
  add(text: string): boolean {
    const digest = createHash("sha1").update(text).digest();
    // Never 0, which marks a free slot.
    const hash = digest.readUIntBE(0, 6) * 32 + (digest[6]! & 31) + 1;
    if (!this.put(this.slots, hash)) return false;
    if (++this.size * 2 > this.slots.length) {
      const larger = new Float64Array(this.slots.length * 2);
      for (const slot of this.slots) if (slot !== 0) this.put(larger, slot);
      this.slots = larger;
    }
    return true;
  }

  private put(slots: Float64Array, hash: number): boolean {
    const mask = slots.length - 1;
    for (let at = hash % slots.length; ; at = (at + 1) & mask) {
      if (slots[at] === hash) return false;
      if (slots[at] === 0) {
        slots[at] = hash;
        return true;
      }
    }
  }
}

/**
 * Gives every picture a `file` and a `name` that no other has, also where upper and lower case are the
 * same. Folders are kept: `trips/sea.jpg` is named `trips/sea`, a second one of another source
 * `trips/sea-2.jpg` and `trips/sea-2`; beside `sea.jpg`, `sea.png` is named `sea.png`.
 */
export class Names {
  private readonly known = new HashSet();

  /** @param path relative path of a picture; a stranger's text leads nowhere else than below a folder */
  next(path: string): { file: string; name: string } {
    const parts = path.split(/[/\\]+/).filter((part) => part !== "" && !/^\.+$/.test(part));
    const plain = parts.map((part) => (isPlain(part) ? part : withExtension(part))).join("/");
    const whole = plain === "" ? "picture" : plain;
    const stem = whole.replace(/(?<=[^/])\.[^./]+$/, "");
    const extension = whole.slice(stem.length);
    let file = whole;
    for (let n = 2; !this.add("file", file); n++) file = `${stem}-${n}${extension}`;
    let name = file.slice(0, file.length - extension.length);
    if (this.add("name", name)) return { file, name };
    name = file;
    for (let n = 2; !this.add("name", name); n++) name = `${file}-${n}`;
    return { file, name };
  }

  private add(kind: string, text: string): boolean {
    return this.known.add(`${kind} ${text.normalize("NFC").toLowerCase()}`);
  }
}

/** A safe name that keeps the extension, which formats show, of one that is too long. */
function withExtension(part: string): string {
  const [extension] = /\.[a-z0-9]{1,5}$/i.exec(part) ?? [""];
  return `${safeName(part.slice(0, part.length - extension.length))}${extension}`;
}

/** A name that file systems and formats take as it is. */
function isPlain(part: string): boolean {
  if (/[\p{Cc}\p{Cs}\p{Zl}\p{Zp}<>:"|?*\\]/u.test(part) || /^[\s.]|[\s.](\.[^.]*)?$/.test(part))
    return false;
  // Most of what is plain is also safe; of the rest only spaces and signs are.
  return Buffer.byteLength(part) <= 200 && !safeName(part).startsWith("x-");
}
