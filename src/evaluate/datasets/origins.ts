// Where the published data sets come from: the official pages and archives that messages send people to.

import { createHash } from "node:crypto";
import { join } from "node:path";
import { isFile, readChunks } from "./files.js";

export interface Archive {
  readonly file: string;
  /** The page that offers it. */
  readonly page: string;
  /** Where its publisher, or everyone who uses it, states one. */
  readonly md5?: string;
}

const COCO = "https://cocodataset.org/#download";
const CONTEXT = "https://cs.stanford.edu/~roozbeh/pascal-context/";

export const ARCHIVES = {
  voc2012: {
    file: "VOCtrainval_11-May-2012.tar",
    page: "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/",
    md5: "6cd6e144f989b92b3379bac3b3de84fd",
  },
  voc2010: {
    file: "VOCtrainval_03-May-2010.tar",
    page: "http://host.robots.ox.ac.uk/pascal/VOC/voc2010/",
    md5: "da459979d0c395079b5c75ee67908abb",
  },
  contextLabels: { file: "trainval.tar.gz", page: CONTEXT },
  contextNames: { file: "labels.txt", page: CONTEXT },
  cocoPictures: { file: "val2017.zip", page: COCO },
  cocoInstances: { file: "annotations_trainval2017.zip", page: COCO },
  cocoStuff: {
    file: "stuffthingmaps_trainval2017.zip",
    page: "https://github.com/nightrome/cocostuff",
  },
  imagenet: {
    file: "ILSVRC2012_img_val.tar",
    page: "https://image-net.org/challenges/LSVRC/2012/2012-downloads.php",
    md5: "29b22e2961454d5413ddabcf34fc5622",
  },
} as const satisfies Record<string, Archive>;

/** "fetch FILE from PAGE". */
export function fetchIt({ file, page }: Archive): string {
  return `fetch ${file} from ${page}`;
}

/**
 * What to do about missing files: fetch the archive and unpack it in the first of the folders, or unpack it
 * where it already lies in one of them, or fetch it again where its checksum is wrong. Reads the whole
 * archive for that.
 */
export async function fetchOrUnpack(
  archive: Archive,
  folders: readonly string[],
  signal?: AbortSignal,
): Promise<string> {
  for (const folder of folders) {
    const path = join(folder, archive.file);
    if (!(await isFile(path))) continue;
    const found = archive.md5 === undefined ? undefined : await md5(path, signal);
    if (found === archive.md5) return `unpack ${path}`;
    return `${path} is damaged (MD5 ${found}, not ${archive.md5}): ${fetchIt(archive)} again`;
  }
  return `${fetchIt(archive)} and unpack it in ${folders[0]}`;
}

async function md5(path: string, signal?: AbortSignal): Promise<string> {
  const hash = createHash("md5");
  for await (const chunk of readChunks(path, signal)) hash.update(chunk);
  return hash.digest("hex");
}
