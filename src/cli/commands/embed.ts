// groupvit embed: pictures and texts as vectors of one space, for search and clustering.

import { readFile } from "node:fs/promises";
import { Command } from "commander";
import { InputError } from "../../errors.js";
import { runBatch } from "../batch.js";
import { npy } from "../npy.js";
import {
  addModelOptions,
  addPictureOptions,
  loadModel,
  type ModelOptions,
  modelName,
  type PictureOptions,
} from "../options.js";
import { writeTo } from "../output.js";
import { findSources } from "../sources.js";
import { interruption, note } from "../terminal.js";

interface Options extends ModelOptions, PictureOptions {
  text: string[];
  textsFile?: string;
  out?: string;
}

export function embedCommand(): Command {
  const command = new Command("embed")
    .description("Embed pictures and texts as vectors whose dot product is their likeness.")
    .argument("[picture...]", "files, folders, patterns, addresses, @list.txt, or - for stdin")
    .option(
      "-t, --text <text>",
      "a text, taken as it is; give it again for more",
      (text: string, before: string[]) => [...before, text],
      [] as string[],
    )
    .option("--texts-file <file>", "texts from a file, one a line")
    .option(
      "-o, --out <file.npy>",
      "write the vectors as a NumPy array, pictures first, then texts",
    );
  addModelOptions(command);
  addPictureOptions(command);
  return command
    .addHelpText(
      "after",
      `
Vectors have length 1. Without --out they are printed as JSON, with or without --json.

Examples:
  groupvit embed park.jpg --text "a dog in a park" --text "a city street"
  groupvit embed photos/ --out photos.npy
  groupvit embed --texts-file captions.txt --out captions.npy --json`,
    )
    .action(run);
}

async function run(pictures: string[], options: Options): Promise<void> {
  const { out } = options;
  if (out !== undefined && !out.endsWith(".npy")) {
    throw new InputError(`--out ${out}: give a name that ends in .npy, or leave it for JSON`);
  }
  const texts = [...options.text, ...(await readTexts(options.textsFile))];
  if (texts.length === 0 && pictures.length === 0) {
    throw new InputError('embed: nothing given; give pictures, or --text "a photo of a dog"');
  }
  const sources = await findSources(pictures);
  const model = await loadModel(options);
  const dim = model.config.projectionDim;
  const vectors: Float32Array[] = [];
  const textVectors = await model.embedTexts(texts, interruption.signal);
  await runBatch(
    "embed",
    sources,
    { ...options, json: options.json || out === undefined },
    { model: modelName(options.model), dim },
    async (picture, { file }) => {
      const embedding = await model.embedPicture(picture);
      if (out !== undefined) vectors.push(embedding);
      return {
        json: { file, ...(out === undefined ? { embedding: [...embedding] } : {}) },
        text: `${file}\n`,
      };
    },
    () => ({
      texts: texts.map((text, i) => ({
        text,
        ...(out === undefined ? { embedding: [...textVectors[i]!] } : {}),
      })),
      ...(out === undefined ? {} : { out }),
    }),
  );
  if (out !== undefined) {
    const rows = [...vectors, ...textVectors];
    const data = new Float32Array(rows.length * dim);
    for (const [i, row] of rows.entries()) data.set(row, i * dim);
    await writeTo(out, npy([rows.length, dim], data));
    note(`${rows.length} vectors of ${dim} numbers in ${out}`);
  }
  await model.release();
}

async function readTexts(path: string | undefined): Promise<string[]> {
  if (path === undefined) return [];
  try {
    const text = await readFile(path, "utf8");
    return text
      .replace(/^\ufeff/, "")
      .split(/\r\n|\r|\n/)
      .filter((line) => line.trim() !== "");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new InputError(`texts file ${path}: cannot be read (${code}); check the path`);
  }
}
