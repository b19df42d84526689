// groupvit export: a model as ONNX files for other programs.

import { stat } from "node:fs/promises";
import { Command, Option } from "commander";
import { makeFolder } from "../../atomic.node.js";
import type { ExportOptions } from "../../index.js";
import { modelName, withDownloadProgress } from "../options.js";
import { writeInto } from "../output.js";
import { byteSize } from "../progress.js";
import { interruption, oneLine, print } from "../terminal.js";
import { heading } from "../text.js";

interface Options {
  model?: string;
  out: string;
  parts?: ExportOptions["parts"];
  dtype?: ExportOptions["format"];
  json?: boolean;
}

export function exportCommand(): Command {
  return new Command("export")
    .description("Export a model as ONNX files for other programs.")
    .option(
      "-m, --model <model>",
      "model folder, checkpoint file or Hugging Face Hub id (default: the bundled model)",
    )
    .requiredOption("-o, --out <folder>", "where the files go; made if missing")
    .addOption(
      new Option(
        "--parts <parts>",
        "image.onnx, text.onnx and matcher.onnx, or groupvit.onnx alone (default: three)",
      ).choices(["three", "one"]),
    )
    .addOption(
      new Option(
        "--dtype <type>",
        "type of the weights, fp16 for half the size, int8 for a quarter (default: fp32)",
      ).choices(["fp32", "fp16", "int8"]),
    )
    .option("--json", "print one JSON document instead of text")
    .addHelpText(
      "after",
      `
The files take any batch, picture size and prompt length; how to prepare pictures and texts for them
stands in their metadata.

Examples:
  groupvit export --out onnx
  groupvit export --model nvidia/groupvit-gcc-yfcc --dtype fp16 --out onnx
  groupvit export --model my-model --parts one --out onnx`,
    )
    .action(run);
}

async function run({ model, out, parts, dtype, json }: Options): Promise<void> {
  const { exportOnnx, loadCheckpoint, resolveModel } = await import("../../index.js");
  const checkpoint = await withDownloadProgress(model, async (options) =>
    loadCheckpoint(await resolveModel(model, options)),
  );
  await makeFolder(out);
  const files: string[] = [];
  for (const [name, bytes] of exportOnnx(checkpoint, { parts, format: dtype })) {
    interruption.signal.throwIfAborted();
    files.push(await writeInto(out, name, bytes));
  }
  if (json) {
    await print(`${JSON.stringify({ model: modelName(model), files })}\n`);
    return;
  }
  await print(`${heading(`${modelName(model)} as ONNX`)}\n`);
  for (const file of files) {
    await print(`  ${byteSize((await stat(file)).size).padStart(7)}  ${oneLine(file)}\n`);
  }
}
