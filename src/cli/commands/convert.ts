// groupvit convert: any checkpoint as Hugging Face's folder, PyTorch's folder or the authors' file.

import { stat } from "node:fs/promises";
import { dirname } from "node:path";
import { Command, Option } from "commander";
import { makeFolder } from "../../atomic.node.js";
import { InputError } from "../../errors.js";
import type { Checkpoint } from "../../index.js";
import { withDownloadProgress } from "../options.js";
import { writeInto } from "../output.js";
import { byteSize } from "../progress.js";
import { interruption, note, oneLine, print } from "../terminal.js";
import { heading } from "../text.js";

/** Size of CLIP's vocabulary, with which published models are trained. */
const CLIP_TOKENS = 49_408;

interface Options {
  to: "huggingface" | "pytorch" | "authors";
  out: string;
  dtype: "f32" | "f16";
  json?: boolean;
}

export function convertCommand(): Command {
  return new Command("convert")
    .description("Convert a checkpoint between the formats of Hugging Face and of the authors.")
    .argument("<model>", "model folder, checkpoint file (.safetensors, .bin, .pth) or Hub id")
    .addOption(
      new Option(
        "--to <format>",
        "a folder with model.safetensors, one with pytorch_model.bin, or the authors' .pth",
      )
        .choices(["huggingface", "pytorch", "authors"])
        .makeOptionMandatory(),
    )
    .requiredOption("-o, --out <path>", "the folder, or for authors the file, to write")
    .addOption(
      new Option("--dtype <type>", "type of the weights, f16 for half the size")
        .choices(["f32", "f16"])
        .default("f32"),
    )
    .option("--json", "print one JSON document instead of text")
    .addHelpText(
      "after",
      `
Folders get config.json, preprocessor_config.json and the tokenizer's files, so that Python's
transformers opens them with GroupViTModel.from_pretrained.

Examples:
  groupvit convert group_vit_gcc_yfcc.pth --to huggingface --out groupvit-gcc-yfcc
  groupvit convert nvidia/groupvit-gcc-yfcc --to huggingface --dtype f16 --out small
  groupvit convert my-model --to authors --out my-model.pth`,
    )
    .action(run);
}

async function run(model: string, { to, out, dtype, json }: Options): Promise<void> {
  const api = await import("../../index.js");
  if (to === "authors" && dtype === "f16") {
    throw new InputError("--dtype f16: the authors' files hold f32 only; leave it out");
  }
  const there = await stat(out).catch(() => undefined);
  if (to === "authors" && there?.isDirectory()) {
    throw new InputError(`--out ${out}: a folder; give the name of a file, such as model.pth`);
  }
  if (to !== "authors" && there && !there.isDirectory()) {
    throw new InputError(`--out ${out}: a file; give a folder`);
  }
  const { checkpoint, path } = await withDownloadProgress(model, async (options) => {
    const path = await api.resolveModel(model, options);
    return { path, checkpoint: await api.loadCheckpoint(path) };
  });
  let files: string[];
  if (to === "authors") {
    await makeFolder(dirname(out));
    await api.saveAuthors(out, checkpoint);
    files = [out];
  } else {
    const parts = api.huggingFaceFiles(checkpoint, {
      dtype: dtype === "f16" ? "F16" : "F32",
      files: sideFiles(checkpoint, api.tokenizerFiles),
    });
    if (to === "pytorch") {
      const { tensors } = api.readSafetensors(joined(parts.get("model.safetensors")!));
      parts.delete("model.safetensors");
      parts.set("pytorch_model.bin", api.torchChunks(tensors));
    }
    await makeFolder(out);
    files = [];
    for (const [name, chunks] of parts) {
      interruption.signal.throwIfAborted();
      files.push(await writeInto(out, name, joined(chunks)));
    }
  }
  const values = [...checkpoint.tensors.values()].reduce(
    (sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1),
    0,
  );
  if (json) await print(`${JSON.stringify({ model, source: path, to, dtype, values, files })}\n`);
  else {
    await print(
      `${heading(`${model}: ${checkpoint.tensors.size} tensors, ${(values / 1e6).toFixed(1)} million numbers`)}\n`,
    );
    for (const file of files) {
      await print(`  ${byteSize((await stat(file)).size).padStart(7)}  ${oneLine(file)}\n`);
    }
  }
}

/** The checkpoint's own tokenizer and processor files, and CLIP's tokenizer where it has none. */
function sideFiles(
  { files, config }: Checkpoint,
  clipFiles: () => Record<string, string>,
): Record<string, string> {
  if (files["tokenizer.json"] !== undefined || files["vocab.json"] !== undefined) return files;
  if (config.text.vocabSize !== CLIP_TOKENS) {
    note(
      `the checkpoint brings no tokenizer, and CLIP's ${CLIP_TOKENS} tokens are not the ` +
        `${config.text.vocabSize} that the model reads; put its tokenizer.json into the folder`,
    );
    return files;
  }
  return { ...clipFiles(), ...files };
}

function joined(chunks: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
  let offset = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, offset);
    offset += chunk.length;
  }
  return bytes;
}
