// Files by pattern, for shells that leave patterns alone and for patterns in quotes.

import { readdir } from "node:fs/promises";
import { join } from "node:path";

/** Deepest folder that a walk enters. */
const MAX_DEPTH = 64;
/** Patterns that braces may unfold to. */
const MAX_PATTERNS = 1000;

/** Whether the text holds any of `* ? [ {`. */
export function isGlob(text: string): boolean {
  return /[*?[{]/.test(text);
}

/**
 * The files that match a pattern, sorted by their names' code units. `*` and `?` stay within a name,
 * `[a-z]` and `[!a-z]` are one character, `{jpg,png}` either, and `**` any number of folders. Names that
 * begin with a dot match only patterns that do; links to folders are not followed by `**`.
 */
export async function glob(pattern: string): Promise<string[]> {
  const found = new Set<string>();
  for (const one of unfoldBraces(withSlashes(pattern))) {
    const root = one.startsWith("/") ? "/" : "";
    const parts = one.split("/").filter((part) => part !== "");
    await match(root, parts, found, 0);
  }
  return [...found].sort(byName);
}

function withSlashes(pattern: string): string {
  return process.platform === "win32" ? pattern.replaceAll("\\", "/") : pattern;
}

/** Every file below a folder, sorted by path; hidden ones and links to folders are left out. */
export async function walk(folder: string): Promise<string[]> {
  const found = new Set<string>();
  await match(folder, ["**", "*"], found, 0);
  return [...found].sort(byName);
}

function byName(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

async function match(
  folder: string,
  parts: readonly string[],
  found: Set<string>,
  depth: number,
): Promise<void> {
  const [part, ...rest] = parts;
  if (part === undefined || depth > MAX_DEPTH) return;
  if (part === "**") {
    await match(folder, rest.length > 0 ? rest : ["*"], found, depth);
    for (const entry of await entries(folder)) {
      if (entry.isDirectory() && !entry.name.startsWith(".")) {
        await match(join(folder, entry.name), parts, found, depth + 1);
      }
    }
    return;
  }
  if (part === "." || part === "..") {
    await match(folder === "" ? part : `${folder}/${part}`, rest, found, depth + 1);
    return;
  }
  const expression = nameExpression(part);
  for (const entry of await entries(folder)) {
    if (!expression.test(entry.name)) continue;
    if (entry.name.startsWith(".") && !part.startsWith(".")) continue;
    const path = join(folder, entry.name);
    if (rest.length > 0) await match(path, rest, found, depth + 1);
    else if (!entry.isDirectory()) found.add(path);
  }
}

/** What is in a folder; nothing where it cannot be read or is none. */
async function entries(folder: string) {
  return readdir(folder === "" ? "." : folder, { withFileTypes: true }).catch(() => []);
}

/** A pattern for one name as a regular expression. */
function nameExpression(part: string): RegExp {
  let source = "";
  for (let i = 0; i < part.length; i++) {
    const character = part[i]!;
    const set = character === "[" ? /^\[([!^]?)(\]?[^\]]*)\]/.exec(part.slice(i)) : null;
    if (set) {
      source += `[${set[1] === "" ? "" : "^"}${set[2]!.replace(/[\\\][^]/g, "\\$&")}]`;
      i += set[0].length - 1;
    } else if (character === "*") {
      if (part[i - 1] !== "*") source += ".*";
    } else {
      source += character === "?" ? "." : character.replace(/[\\^$.|+()[\]{}]/g, "\\$&");
    }
  }
  try {
    return new RegExp(`^${source}$`, "su");
  } catch {
    return /$^/; // a range such as [z-a] matches nothing
  }
}

/** `a{b,c}` as `ab` and `ac`; braces may stand in braces. */
function unfoldBraces(pattern: string): string[] {
  const done: string[] = [];
  const open = [pattern];
  while (open.length > 0 && done.length + open.length <= MAX_PATTERNS) {
    const next = open.pop()!;
    const inner = /\{([^{}]*,[^{}]*)\}/.exec(next);
    if (!inner) {
      done.push(next);
      continue;
    }
    for (const choice of inner[1]!.split(",")) {
      open.push(next.slice(0, inner.index) + choice + next.slice(inner.index + inner[0].length));
    }
  }
  return done;
}
