// PASCAL Context's annotations of 459 classes to masks of the 59 frequent ones.

import { dirname, join } from "node:path";
import { makeFolders, writeFileAtomic } from "../../atomic.node.js";
import { InputError } from "../../errors.js";
import { vocPalette } from "../../output/palette.js";
import { encodeLabelPng } from "../../output/png.js";
import { firstFile, firstFolder, readBounded, readLines } from "./files.js";
import { isWholePng, type MadeMasks, type MakeOptions } from "./made.js";
import { type MatMatrix, readMatMatrix } from "./mat.js";
import { CONTEXT_CLASSES, CONTEXT_SPELLINGS } from "./names.js";
import { ARCHIVES, fetchIt, fetchOrUnpack } from "./origins.js";

/** An annotation of PASCAL Context has some 5 KB, and never more than its 187,500 labels. */
const MAX_MAT_BYTES = 64 * 2 ** 20;

/**
 * Writes `SegmentationClassContext/NAME.png` for each name, from `trainval/NAME.mat` and `labels.txt`.
 *
 * @param root VOC2010's folder
 * @throws InputError where annotations or the list of labels are missing or damaged
 */
export async function makeContextMasks(
  root: string,
  names: readonly string[],
  { signal, onProgress }: MakeOptions,
): Promise<MadeMasks> {
  const folder = join(root, "SegmentationClassContext");
  await makeFolders(folder);
  let source: { folder: string; table: Uint8Array } | undefined;
  let [made, kept] = [0, 0];
  for (const name of names) {
    signal?.throwIfAborted();
    const path = join(folder, `${name}.png`);
    if (await isWholePng(path)) kept++;
    else {
      source ??= await findAnnotations(root, signal);
      const mat = join(source.folder, `${name}.mat`);
      const labels = readMatMatrix(await readBounded(mat, MAX_MAT_BYTES), "LabelMap", mat);
      await writeFileAtomic(path, encodeLabelPng(reduced(labels, source.table), vocPalette()));
      made++;
    }
    onProgress?.(made + kept, names.length, "masks");
  }
  return { made, kept };
}

async function findAnnotations(root: string, signal?: AbortSignal) {
  const around = [root, dirname(root), join(root, "context"), join(dirname(root), "context")];
  const folder = await firstFolder(around.map((place) => join(place, "trainval")));
  if (folder === undefined) {
    throw new InputError(
      `data set context: no folder trainval with annotations (.mat) in ${root}; ` +
        (await fetchOrUnpack(ARCHIVES.contextLabels, around, signal)),
    );
  }
  const list = await firstFile(
    [folder, dirname(folder), ...around].map((place) => join(place, "labels.txt")),
  );
  if (list === undefined) {
    throw new InputError(
      `data set context: no labels.txt beside ${folder}; ${fetchIt(ARCHIVES.contextNames)}`,
    );
  }
  return { folder, table: await readReduction(list) };
}

/**
 * Class value of each of the 459 labels, by name; 0 for those that are none of the 59.
 *
 * @param list file with lines such as "1: accordion"
 * @throws InputError where a line is no label, or one of the 59 is missing or comes twice
 */
export async function readReduction(list: string): Promise<Uint8Array> {
  const table = new Uint8Array(65536);
  const seen = new Map<string, string>();
  for (const line of await readLines(list)) {
    const [, id, text] = /^(\d{1,5})\s*:\s*(\S.*)$/.exec(line) ?? [];
    if (id === undefined || text === undefined || Number(id) > 65535) {
      throw new InputError(
        `${list}: ${JSON.stringify(line.slice(0, 80))} is no label such as "1: accordion"; ` +
          fetchIt(ARCHIVES.contextNames),
      );
    }
    const name = CONTEXT_SPELLINGS[text.toLowerCase()] ?? text.toLowerCase();
    const index = CONTEXT_CLASSES.indexOf(name);
    if (index < 0) continue;
    const other = seen.get(name);
    if (other !== undefined) {
      throw new InputError(`${list}: "${other}" and "${line}" are the same class; remove one`);
    }
    seen.set(name, line);
    table[Number(id)] = index + 1;
  }
  const missing = CONTEXT_CLASSES.filter((name) => !seen.has(name));
  if (missing.length > 0) {
    throw new InputError(
      `${list}: it lacks ${missing.slice(0, 5).join(", ")} of the ${CONTEXT_CLASSES.length} classes; ` +
        fetchIt(ARCHIVES.contextNames),
    );
  }
  return table;
}

function reduced({ width, height, map }: MatMatrix, table: Uint8Array) {
  return { width, height, map: Uint8Array.from(map, (label) => table[label]!) };
}
